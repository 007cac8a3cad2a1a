// A card behind a shell's window of 32-bit registers (docs/registers.md, hw/rtl/axi/sw_window.sv) as a host port: card
// addresses become registers, and slot memory is reached as the shell has it.
//
// Thread rules: as AccessPort's, one thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "driver/bus/access_port.hpp"

namespace slotwire::driver {

/// How a shell is reached. Calls wait until they are done; a device that does not answer any more is for the
/// implementation to notice.
class WindowDevice {
 public:
  virtual ~WindowDevice() = default;
  /// `offset`: in the window, a multiple of 4.
  virtual void write(std::uint32_t offset, std::uint32_t value) = 0;
  virtual std::uint32_t read(std::uint32_t offset) = 0;
  /// Slot memory, from byte `offset` on. A read sees the writes before it.
  virtual void write_memory(std::size_t offset, std::span<const std::byte> data) = 0;
  virtual void read_memory(std::size_t offset, std::span<std::byte> data) = 0;
  /// Returns when slot memory has all that was written to it: whoever writes a register next, by which the card reads
  /// lines, calls it before. Nothing to do where lines take the same way as registers, or write_memory() waits.
  virtual void settle_memory() {}
};

/// The register that shows the word at a card address other than slot memory; none: the window does not show it.
std::optional<std::uint32_t> window_offset(std::uint32_t address);

class WindowPort final : public AccessPort {
 public:
  /// Reads that wait to be done together, lines.
  static constexpr std::size_t kMaxReads = 1024;
  /// Bytes of one access of slot memory, at most.
  static constexpr std::size_t kMaxRun = std::size_t{64} << 10;

  /// `memory_lines`: of slot memory.
  WindowPort(WindowDevice& device, std::uint32_t memory_lines);

  bool write(std::uint32_t address, const Bytes& data, std::uint64_t strobes) override;
  bool read(std::uint32_t address) override { return read_words(address, kAllWords); }
  bool read_words(std::uint32_t address, std::uint16_t words) override;
  bool answered() const override { return !reads_.empty() || !answers_.empty(); }
  Reply take_answer() override;

  /// Writes to slot memory what is kept. Registers are written at once.
  void flush();

 private:
  static constexpr std::uint16_t kAllWords = 0xffff;
  struct Read {
    std::uint32_t address = 0;
    std::uint16_t words = kAllWords;
  };

  bool in_memory(std::uint32_t address) const;
  void do_reads();
  Reply read_registers(const Read& read);
  std::uint64_t read_counter(std::uint32_t offset);

  WindowDevice& device_;
  std::size_t memory_bytes_;
  std::deque<Read> reads_;
  std::deque<Reply> answers_;
  std::size_t run_at_ = 0;
  std::vector<std::byte> run_, read_;
  bool unsettled_ = false;  ///< lines were written since the last settle_memory()
};

}  // namespace slotwire::driver
