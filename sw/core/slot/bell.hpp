// Bells: how a process tells the engine which of its slots moved a mark, and how an idle engine is woken.
// The memory is described in docs/architecture.md, "The session: bells".
#pragma once
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/regs/regs.hpp"

namespace slotwire::slot {

/// The bell page as it lies in memory; the process sets bits, the engine takes them.
struct BellPage {
  alignas(64) std::atomic<std::uint64_t> summary;
  alignas(64) std::atomic<std::uint64_t> words[regs::kBellWordCount];
};
static_assert(offsetof(BellPage, summary) == regs::kBellSummary);
static_assert(offsetof(BellPage, words) == regs::kBellWords);
static_assert(sizeof(BellPage) <= regs::kPageBytes);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// The polled page as it lies in memory; the engine writes it, the process has it read-only.
struct PolledPage {
  alignas(64) std::atomic<std::uint64_t> polled;
};
static_assert(offsetof(PolledPage, polled) == regs::kPolled);

/// Slots that one session can have: one bit each.
inline constexpr std::size_t kMaxSessionSlots = regs::kBellWordCount * 64;

/// A set of a session's bell words, one bit each.
using BellWords = std::uint64_t;
inline constexpr BellWords kAllBellWords = ~BellWords{0};
static_assert(regs::kBellWordCount == 64);
/// The word of bell `local` (0..4095).
constexpr BellWords bell_word(std::size_t local) {
  return BellWords{1} << (local / 64);
}

/// Process side: marks `local` (0..4095) as moved. Returns true when nobody polls its word and the engine must be
/// kicked.
/// Any thread that owns the slot may call it.
inline bool ring_bell(BellPage& bells, const PolledPage& polled, std::size_t local) {
  const std::uint64_t bit = std::uint64_t{1} << (local % 64);
  const BellWords word_bit = bell_word(local);
  // Both are read-modify-writes, so the mark stored before is visible to whoever sees the bit, and the look at `polled`
  // cannot move before them.
  bells.words[local / 64].fetch_or(bit, std::memory_order_seq_cst);
  bells.summary.fetch_or(word_bit, std::memory_order_seq_cst);
  return (polled.polled.load(std::memory_order_seq_cst) & word_bit) == 0;
}

/// Engine side: is any bell of `words` set.
inline bool bell_pending(const BellPage& bells, BellWords words = kAllBellWords) {
  return (bells.summary.load(std::memory_order_seq_cst) & words) != 0;
}

/// Engine side: takes every bell of `words` that is set and calls `each(local)`; a word is taken by one thread only.
/// Costs one load when none is set. The page is the process's: any bit may be set at any time, so `each` must check its
/// argument against what the session owns.
template <typename Each>
void take_bells(BellPage& bells, Each&& each, BellWords words = kAllBellWords) {
  if ((bells.summary.load(std::memory_order_acquire) & words) == 0) return;
  // The exchange is the cheaper of the two.
  BellWords summary = words == kAllBellWords ? bells.summary.exchange(0, std::memory_order_seq_cst)
                                             : bells.summary.fetch_and(~words, std::memory_order_seq_cst) & words;
  while (summary != 0) {
    const auto word = static_cast<std::size_t>(std::countr_zero(summary));
    summary &= summary - 1;
    std::uint64_t bits = bells.words[word].exchange(0, std::memory_order_seq_cst);
    while (bits != 0) {
      each((word * 64) + static_cast<std::size_t>(std::countr_zero(bits)));
      bits &= bits - 1;
    }
  }
}

}  // namespace slotwire::slot
