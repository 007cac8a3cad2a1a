// A simulated card as a PCI function: configuration space, BARs, function reset, MSI-X, in front of the card's host
// port. Front ends (vfio-user, the PCI proxy of QEMU) bring accesses to it one at a time.
//
// It does what the hard block does, and MSI-X. What a shell does behind that is the shell's RTL (PcieHostPort). Two
// things are here for those who look on: accesses are cut into lines with byte strobes, and an access that no driver
// should make is refused and logged instead of handed on: a write is dropped, a read answered with all ones.
//
// Thread rules: one thread.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "sim/pci/transaction_log.hpp"
#include "sim/simcard/host_port.hpp"

namespace slotwire::sim {

/// Where a card's interrupt messages go.
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  /// The function wrote `data` at `address`, as the MSI-X table's entry `vector` says.
  virtual void message(unsigned vector, std::uint64_t address, std::uint32_t data) = 0;
};

/// What the sizes of the function follow from (the capability page), and how its slot memory is offered.
struct PciGeometry {
  std::uint32_t slots = 0;         ///< a power of two
  std::uint32_t links = 0;         ///< rows in the link table
  std::uint32_t vectors = 1;       ///< 1..32
  std::uint32_t memory_lines = 0;  ///< a power of two
  bool wide_memory = true;         ///< slot memory in a 64-bit prefetchable BAR; else in a 32-bit one
};

class PciDevice {
 public:
  static constexpr std::size_t kConfigBytes = 4096;
  static constexpr unsigned kBars = 6;
  static constexpr unsigned kMostVectors = 32;
  /// Most bytes in one access of a BAR.
  static constexpr std::size_t kMaxAccess = std::size_t{64} << 10;
  static constexpr std::uint8_t kPcieCapability = 0x40, kMsixCapability = 0x80;

  struct Place {
    unsigned bar = 0;
    std::uint64_t offset = 0;
  };

  /// `reset_card` resets the card behind the port (its memory and marks stay). Throws std::invalid_argument for sizes
  /// that cannot be.
  PciDevice(AccessPort& card, const PciGeometry& geometry, std::function<void()> reset_card);

  // --- configuration space ---

  /// `width` 1, 2 or 4, aligned; anything else reads as all ones, and is not written.
  std::uint32_t config_read(std::size_t offset, std::size_t width);
  void config_write(std::size_t offset, std::size_t width, std::uint32_t value);

  // --- BARs ---

  /// 0: there is none (or it is the upper half of the one before).
  std::uint64_t bar_bytes(unsigned bar) const { return bar < kBars ? bar_bytes_[bar] : 0; }
  /// Which BAR the bus address belongs to, if memory is enabled and all of the access is in one.
  std::optional<Place> decode(std::uint64_t address, std::size_t bytes) const;
  /// Can an access be taken; else poll() until it can.
  bool ready() const { return !writing_ && !reading_; }
  /// Takes a write of 1..kMaxAccess bytes; ready() only. What is not allowed is dropped and logged.
  void write(unsigned bar, std::uint64_t offset, std::span<const std::byte> data);
  /// Takes a read of 1..kMaxAccess bytes; ready() only. poll() until answer() has it.
  void read(unsigned bar, std::uint64_t offset, std::size_t bytes);
  /// The answer to the read, once.
  std::optional<std::vector<std::byte>> answer();
  /// Moves the access on as far as it goes. True: something moved.
  bool poll();

  // --- the rest ---

  /// FLR, or a reset of the bus: everything but slot memory and marks is as after power-up.
  void function_reset();
  /// The card raised these interrupts.
  void raise(std::uint32_t vectors);
  void set_sink(MessageSink* sink) { sink_ = sink; }
  /// Sets one MSI-X entry up as a host's kernel does, and enables MSI-X; a masked entry has `on` false.
  void set_vector(unsigned vector, bool on, std::uint64_t address, std::uint32_t data);
  unsigned vectors() const { return geometry_.vectors; }
  bool memory_enabled() const;
  /// May the function write into the host's memory?
  bool bus_master() const;
  TransactionLog& log() { return log_; }

 private:
  struct MsixEntry {
    std::uint32_t address_low = 0, address_high = 0, data = 0, control = 1;
  };

  std::uint32_t& config32(std::size_t offset) { return config_[offset / 4]; }
  std::uint32_t config32(std::size_t offset) const { return config_[offset / 4]; }
  void power_up();
  std::uint32_t writable(std::size_t offset) const;
  bool allowed(unsigned bar, std::uint64_t offset, std::size_t bytes, bool write) const;
  std::uint32_t card_address(unsigned bar, std::uint64_t offset) const;
  bool is_msix(unsigned bar, std::uint64_t offset) const;
  std::uint32_t read_msix(std::uint64_t offset) const;
  void write_msix(std::uint64_t offset, std::uint32_t value);
  bool move_write();
  bool move_read();
  void deliver();

  AccessPort& card_;
  PciGeometry geometry_;
  std::function<void()> reset_card_;
  MessageSink* sink_ = nullptr;
  TransactionLog log_;
  std::array<std::uint32_t, kConfigBytes / 4> config_{};
  std::array<std::uint64_t, kBars> bar_bytes_{};
  std::array<MsixEntry, kMostVectors> msix_{};
  std::uint32_t pending_ = 0;  ///< MSI-X messages that wait for their vector, a bit each

  // The access under way.
  bool writing_ = false, reading_ = false;
  PciTransaction access_;
  std::uint32_t at_ = 0;         ///< card address of its first byte
  std::size_t lines_done_ = 0;   ///< of a write taken, of a read asked for
  std::size_t answered_ = 0;     ///< lines
  std::vector<std::byte> data_;  ///< of a write; of a read, the lines that came
  std::optional<std::vector<std::byte>> answer_;
};

}  // namespace slotwire::sim
