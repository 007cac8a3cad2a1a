// What reached a simulated PCI function, access by access, for tests to look at.
//
// One line of the file for each, numbers but the bar in hexadecimal:  OP BAR OFFSET WIDTH VALUE   with OP one of
// config_read config_write read write refused reset interrupt; BAR is - where there is none; VALUE is that of the first
// 8 bytes, little-endian. Of a read it is what was answered; of a refused access its offset, width and value; of an
// interrupt its vector stands in the place of the offset.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <fstream>
#include <span>
#include <string>

namespace slotwire::sim {

enum class PciOp : std::uint8_t { config_read, config_write, read, write, refused, reset, interrupt };

struct PciTransaction {
  static constexpr unsigned kNoBar = 6;

  PciOp op = PciOp::reset;
  unsigned bar = kNoBar;
  std::uint64_t offset = 0;
  std::size_t width = 0;  ///< bytes
  std::uint64_t value = 0;
  bool operator==(const PciTransaction&) const = default;
};

/// Of at most 8 bytes, little-endian.
std::uint64_t pci_value(std::span<const std::byte> bytes);

class TransactionLog {
 public:
  /// Transactions that are kept here; older ones are forgotten (a file has all).
  static constexpr std::size_t kKept = 4096;

  /// Writes to a file as well from now on. Throws std::runtime_error when it cannot be made.
  void write_to(const std::string& file);
  void add(const PciTransaction& transaction);
  /// Makes the file say all that happened.
  void flush() { file_.flush(); }

  const std::deque<PciTransaction>& kept() const { return kept_; }
  std::uint64_t count(PciOp op) const { return counts_[static_cast<std::size_t>(op)]; }
  void clear_kept() { kept_.clear(); }

 private:
  std::deque<PciTransaction> kept_;
  std::uint64_t counts_[7] = {};
  std::ofstream file_;
};

}  // namespace slotwire::sim
