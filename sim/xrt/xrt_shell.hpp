// The XRT shell in simulation: the Verilated kernel (hw/shells/xrt/slotwire_xrt.v), a host at its registers, device
// memory at its memory port, queues at its streams. Every port is checked against the rules of AXI. Clock by clock, one
// thread.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/regs/regs.hpp"
#include "sim/axi/check.hpp"
#include "sim/card/frame_queue.hpp"
#include "sim/random.hpp"

class Vslotwire_xrt_sim;
class VerilatedContext;

namespace slotwire::sim {

struct XrtShellOptions {
  std::uint64_t seed = 1;       ///< of registers without reset, latencies and stalls
  unsigned memory_latency = 4;  ///< most clocks that device memory takes to answer, 1 or more
  bool random_latency = false;  ///< else always that many
  unsigned stall_permille = 0;  ///< of the clocks in which a port that could go on does not
};

/// Device memory: pages that come into being when they are written; the rest reads as zeros. Bytes of an address.
class DeviceMemory {
 public:
  static constexpr std::size_t kPageBytes = 4096;
  static constexpr std::size_t kMaxPages = std::size_t{1} << 16;  ///< 256 MiB

  /// False: there is no more room.
  bool write(std::uint64_t address, std::span<const std::byte> data);
  void read(std::uint64_t address, std::span<std::byte> data) const;

 private:
  using Page = std::array<std::byte, kPageBytes>;
  std::unordered_map<std::uint64_t, std::unique_ptr<Page>> pages_;
};

class XrtShell {
 public:
  using Line = std::array<std::byte, regs::kLineBytes>;
  /// Longest that an access of a register may take, in clocks.
  static constexpr std::uint64_t kPatience = 100'000;
  static constexpr std::size_t kMemoryBursts = 64;  ///< under way in each direction, as sw_axi_master has them

  explicit XrtShell(const XrtShellOptions& options);
  ~XrtShell();
  XrtShell(const XrtShell&) = delete;
  XrtShell& operator=(const XrtShell&) = delete;

  void reset(unsigned clocks = 8);
  void clock(std::uint64_t n = 1);
  std::uint64_t now() const { return clock_; }

  /// An access of a register of the window; clocks pass until it is answered. Nothing: it was answered with an error,
  /// or not at all (then there is a violation).
  bool write(std::uint32_t address, std::uint32_t value);
  std::optional<std::uint32_t> read(std::uint32_t address);

  DeviceMemory& memory() { return memory_; }
  FrameQueue& wire_in() { return *wire_in_; }
  FrameQueue& wire_out() { return *wire_out_; }
  bool interrupt() const { return interrupt_; }
  /// The last clock in which something moved at the memory port or a stream, or a register was accessed.
  std::uint64_t last_activity() const { return last_activity_; }

  /// The first breach of a port's rules; empty if there was none.
  const std::string& violation() const { return violation_; }
  /// For tests: every data beat towards memory has its first bit turned over while it waits.
  void break_memory_writes(bool on) { broken_ = on; }

 private:
  struct Read {
    std::uint64_t due = 0;
    Line data{};
  };
  struct Write {
    std::uint64_t due = 0;
    bool good = true;
  };
  struct Data {
    Line line{};
    std::uint64_t strobes = 0;
  };
  struct LiteState {
    bool aw = false, w = false, ar = false;  ///< offered
    bool answered = false;
    std::uint32_t data = 0, response = 0;
  };

  void one_clock();
  void drive();
  void sample();
  void sample_lite();
  void sample_memory();
  void sample_streams();
  void access(bool write, std::uint32_t address, std::uint32_t value);
  void violated(const std::string& what);
  bool stalls() { return options_.stall_permille != 0 && random_.chance(options_.stall_permille); }
  std::uint64_t due(std::uint64_t last);

  XrtShellOptions options_;
  Random random_;
  std::unique_ptr<VerilatedContext> context_;
  std::unique_ptr<Vslotwire_xrt_sim> model_;
  std::uint64_t clock_ = 0, last_activity_ = 0;
  bool in_reset_ = true, interrupt_ = false, broken_ = false;
  std::string violation_;

  LiteState lite_;
  DeviceMemory memory_;
  std::deque<Read> reads_;
  std::deque<Write> writes_;
  std::deque<std::uint64_t> write_addresses_;
  std::deque<Data> write_data_;
  std::uint64_t last_read_due_ = 0, last_write_due_ = 0;
  bool read_offered_ = false, answer_offered_ = false;

  std::unique_ptr<FrameQueue> wire_in_, wire_out_;
  std::size_t in_at_ = 0, out_bytes_ = 0;
  bool in_offered_ = false;
  axi::LiteCheck lite_check_;
  axi::MemoryCheck memory_check_;
  axi::StreamCheck in_check_, out_check_;
};

}  // namespace slotwire::sim
