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

// Why no bell is lost
//
// A word's summary bit goes from 0 to 1 by a ringer and from 1 to 0 by the board that takes the word. The ringer that
// sets it from 0 to 1 looks at POLLED and kicks; one that finds it set need not, because of two rules:
//
//   1. Whoever set it from 0 to 1 either saw the word polled or kicks. A kick makes the board poll the word.
//   2. A board stops polling a word only by stop_polling(): POLLED to 0, then a look at the summary; while the bit is
//      set the board goes on polling. It begins with a word by start_polling(), or by stop_polling() when the word may
//      have bells from before (a board that takes a session over from a proxy that died, or a word from another board).
//
// So while the bit is 1 the board polls the word, or a kick is on its way that will make it do so: a take follows.
// Say ringer R sets its bell's bit and then finds the summary bit set. The next take comes after R's read-modify-write
// of the summary, therefore reads R's bit in the word (and the marks that R stored before it). It does not matter
// whether the proxy is awake, asleep, or kicked and not running yet, nor which ringer's kick it was.
//
// The ringer that set the bit and the board use sequentially consistent operations, so one of the two sees the other:
// either the look of stop_polling() comes after the bit was set and finds it, or POLLED was 0 before the ringer looked.
// tests/unit/slot_bell_interleaving_test.cpp runs these functions through every interleaving.
//
// They are templates so that the test can give them pages whose atomics it schedules.

/// Process side: marks `local` (0..4095) as moved. Returns true when the engine must be kicked: nobody polls the word,
/// and this is its first bell since the engine took the word last.
/// Any thread that owns the slot may call it; a thread that got true must kick, or bells of the word stay unheard.
template <typename Bells = BellPage, typename Polled = PolledPage>
bool ring_bell(Bells& bells, const Polled& polled, std::size_t local) {
  const std::uint64_t bit = std::uint64_t{1} << (local % 64);
  const BellWords word_bit = bell_word(local);
  // Both are read-modify-writes, so the mark stored before is visible to whoever sees the bit, and the look at `polled`
  // cannot move before them.
  bells.words[local / 64].fetch_or(bit, std::memory_order_seq_cst);
  if ((bells.summary.fetch_or(word_bit, std::memory_order_seq_cst) & word_bit) != 0) return false;
  return (polled.polled.load(std::memory_order_seq_cst) & word_bit) == 0;
}

/// Engine side: is any bell of `words` set.
template <typename Bells = BellPage>
bool bell_pending(const Bells& bells, BellWords words = kAllBellWords) {
  return (bells.summary.load(std::memory_order_seq_cst) & words) != 0;
}

/// Engine side: tells ringers that `words` are polled; take_bells() must follow before stop_polling().
template <typename Polled = PolledPage>
void start_polling(Polled& polled, BellWords words) {
  polled.polled.fetch_or(words, std::memory_order_seq_cst);
}

/// Engine side: tells ringers to kick after a bell of `words`. False: one is set already, and the words stay polled.
template <typename Bells = BellPage, typename Polled = PolledPage>
bool stop_polling(const Bells& bells, Polled& polled, BellWords words) {
  polled.polled.fetch_and(~words, std::memory_order_seq_cst);
  if (!bell_pending(bells, words)) return true;
  start_polling(polled, words);
  return false;
}

/// Engine side: takes every bell of `words` that is set and calls `each(local)`; a word is taken by one thread only.
/// Costs one load when none is set. The page is the process's: any bit may be set at any time, so `each` must check its
/// argument against what the session owns.
template <typename Each, typename Bells = BellPage>
void take_bells(Bells& bells, Each&& each, BellWords words = kAllBellWords) {
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
