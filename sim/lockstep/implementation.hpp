// What lockstep drives twice: an implementation of the proxy behind a card's ports, and what can be seen of it.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sim/lockstep/program.hpp"

namespace slotwire::lockstep {

/// A frame that left, and from what it can be told whose it is.
struct SentFrame {
  std::uint16_t slot = 0;   ///< that sent it; kPassed for a frame of the host
  std::uint64_t clock = 0;  ///< of its last beat; 0 where there are no clocks
  Bytes bytes;              ///< the whole Ethernet frame
};
inline constexpr std::uint16_t kPassed = 0xffff;
/// More frames than any right card sends between two moments of rest: all lines of all rings, one by one.
inline constexpr std::size_t kMaxFrames = 100'000;

/// A line of an output space that was written.
struct LineWritten {
  std::uint16_t slot = 0;
  std::uint32_t index = 0;  ///< in the ring
  bool operator==(const LineWritten&) const = default;
  bool operator<(const LineWritten& other) const {
    return slot != other.slot ? slot < other.slot : index < other.index;
  }
};

/// What the process sees on the proxy's page.
struct ProxyMarks {
  Position out_tail = 0, in_head = 0;
  bool operator==(const ProxyMarks&) const = default;
};

/// Everything that can be seen from outside after a step. Frames, lines, events and moved slots are those since the
/// last observation.
struct Observation {
  std::vector<SentFrame> wire;
  std::vector<Bytes> to_host;
  std::vector<regs::SlotRow> rows;
  std::vector<ProxyMarks> marks;  ///< of slots that are not free
  std::array<std::uint64_t, regs::kCounterCount> counters{};
  std::array<std::uint64_t, regs::kCardCounterCount> card_counters{};
  std::vector<pipeline::SlotEvent> events;
  std::vector<std::uint16_t> moved;
  std::vector<LineWritten> written;
  std::string wrong;  ///< what was seen that must never be (a write beside every ring, a port out of order)
  std::uint64_t clock = 0;

  void clear() {
    wire.clear();
    to_host.clear();
    events.clear();
    moved.clear();
    written.clear();
    wrong.clear();
  }
};

class Implementation {
 public:
  virtual ~Implementation() = default;
  /// Power on: every slot free, every link down with the default figures, nothing counted.
  virtual void start(const Program& program) = 0;
  /// Begins a step; `now` is the time after it.
  virtual void apply(const Action& action, Microseconds now) = 0;
  /// Goes on at the same time until nothing happens any more. Returns an empty text, or why there is no end.
  virtual std::string settle(Microseconds now) = 0;
  virtual void observe(Observation& out) = 0;
  /// The line at `index` of a slot's output ring as it stands; all of it for a slot that is not free.
  virtual void out_line(std::uint16_t slot, std::uint32_t index, std::span<std::byte, regs::kLineBytes> line) = 0;
};

/// The first difference between two observations of one step; empty if there is none.
std::string compare(const Observation& expected, const Observation& seen);

}  // namespace slotwire::lockstep
