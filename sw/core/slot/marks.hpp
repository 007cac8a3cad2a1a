// Marks: 32-bit free-running line counters in shared pages, and what they allow.
//
// Thread rules: each mark has exactly one writer. Everything here may be called from the thread that owns the side
// named.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/regs/regs.hpp"

namespace slotwire::slot {

/// A free-running line counter; differences are modulo 2^32.
using Position = std::uint32_t;

// What the four marks of a slot allow (the table of "Words" in the design). `size` is the ring's size in lines.

/// The process may write into its input space: at least one line is free.
constexpr bool process_may_write(Position in_tail, Position in_head, std::uint32_t size) {
  return in_tail - in_head < size;
}
/// The proxy may read from the input space: lines were produced that it has not sent.
constexpr bool proxy_may_read(Position in_tail, Position sent) {
  return sent != in_tail;
}
/// The proxy may write into the output space: at least one line is free.
constexpr bool proxy_may_write(Position out_tail, Position out_head, std::uint32_t size) {
  return out_tail - out_head < size;
}
/// The process may read from its output space: lines were delivered that it has not consumed.
constexpr bool process_may_read(Position out_tail, Position out_head) {
  return out_tail != out_head;
}

/// A mark page as it lies in memory that two parties share. Never constructed: a mapping is looked at as one.
/// Whoever stores a mark and then looks whether the other side sleeps needs a barrier between the two (barrier.hpp).
struct MarkPage {
  alignas(64) std::atomic<Position> tail;       ///< tail of the ring in the same file
  alignas(64) std::atomic<Position> head;       ///< head of the ring in the other file
  alignas(64) std::atomic<std::uint32_t> wait;  ///< not 0: the writer of this page sleeps (see kWait...)
  std::atomic<std::uint32_t> barrier;           ///< 1: the writer of this page makes the barrier for both sides
  std::atomic<Position> aim;                    ///< of a sleep to read: the tail that is worth waking for (reaches())
};

/// Whether a tail is worth waking a reader whose page has this `aim`: 0 means that any is.
constexpr bool reaches(Position tail, Position aim) {
  return aim == 0 || static_cast<std::int32_t>(tail - aim) >= 0;
}
/// The aim of a reader that needs the tail at `position`: one line less where that would be 0.
constexpr Position aim_at(Position position) {
  return position == 0 ? position - 1 : position;
}

// WAIT: what the sleeper waits for in the two lowest bits, a fresh number each time in the rest.
inline constexpr std::uint32_t kWaitReadable = 1;  ///< wake me when the tail of my output space moves
inline constexpr std::uint32_t kWaitWritable = 2;  ///< wake me when the head of my input space moves
inline constexpr std::uint32_t kWaitStep = 4;      ///< added for each sleep
static_assert(offsetof(MarkPage, tail) == regs::kMarkTail);
static_assert(offsetof(MarkPage, head) == regs::kMarkHead);
static_assert(offsetof(MarkPage, wait) == regs::kMarkWait);
static_assert(offsetof(MarkPage, barrier) == regs::kMarkBarrier);
static_assert(offsetof(MarkPage, aim) == regs::kMarkAim);
static_assert(std::atomic<Position>::is_always_lock_free, "marks are shared between processes");
static_assert(sizeof(std::atomic<Position>) == sizeof(Position));

}  // namespace slotwire::slot
