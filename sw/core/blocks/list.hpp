// Message lists: what a publisher and its subscribers share of a queue of blocks ("Blocks" in docs/blocks.md).
//
// A list has one writer and any number of readers, and every word of it has one writer: the publisher writes the
// entries and ListMarks, each subscriber writes its own Cursor. Nothing is locked or claimed, so a party may die at any
// step: its words stay as they are, and the others go by them.
//
// Positions are 64-bit numbers of messages, from 0. The list keeps the entries from `oldest` to `tail`. A subscriber
// that the publisher waits for needs everything from its `released` on. One that may be overtaken names each message
// that it holds, in its `holds`, before it looks at the block.
//
// Everything is a template over the atomics, so that tests can give it those of a model checker.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace slotwire::blocks {

/// A message's number in its list, from 0.
using Position = std::uint64_t;
/// Where a block starts: lines of 64 bytes from the start of the publisher's block memory.
using BlockPlace = std::uint32_t;
inline constexpr std::size_t kPlaceBytes = 64;

/// Messages that a subscriber which may be overtaken can hold at once.
inline constexpr std::size_t kMaxHolds = 16;

struct StdAtomics {
  static constexpr std::size_t kHolds = kMaxHolds;
  template <typename T>
  using Atomic = std::atomic<T>;
  static void fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }
};

/// One message in the ring of a list. Written by the publisher.
template <typename Atomics = StdAtomics>
struct Entry {
  /// The block's place in the low half; in the high half the low half of its position, plus 1: the entry is that of
  /// the position that a reader expects, or it is not.
  typename Atomics::template Atomic<std::uint64_t> place;
  typename Atomics::template Atomic<std::uint64_t> length;  ///< bytes
};

/// The marks of a list. Written by the publisher.
template <typename Atomics = StdAtomics>
struct ListMarks {
  alignas(64) typename Atomics::template Atomic<Position> tail;    ///< messages ever published
  alignas(64) typename Atomics::template Atomic<Position> oldest;  ///< first position that may still be taken
  /// Subscribers that joined up to this number of the directory's generation are waited for (see ListReader).
  alignas(64) typename Atomics::template Atomic<std::uint64_t> admitted;
  alignas(64) typename Atomics::template Atomic<std::uint32_t> wait;  ///< not 0: the publisher sleeps for room
  typename Atomics::template Atomic<std::uint32_t> barrier;  ///< 1: before it sleeps it makes a barrier for both
};

/// What a subscriber does when it is slower than the publisher.
enum class Overflow : std::uint32_t {
  none = 0,         ///< the cursor is not in use
  block = 1,        ///< the publisher waits for it
  drop_oldest = 2,  ///< it loses the oldest messages that it has not taken
  fail = 3,         ///< the publisher is refused, and does not wait
};

/// Where a subscriber stands in a list. Written by the subscriber; after its death `overflow` by whoever cleans up.
template <typename Atomics = StdAtomics>
struct Cursor {
  alignas(64) typename Atomics::template Atomic<Position> released;   ///< it needs nothing before this position
  typename Atomics::template Atomic<std::uint32_t> overflow;          ///< an Overflow
  alignas(64) typename Atomics::template Atomic<std::uint32_t> wait;  ///< not 0: the subscriber sleeps for a message
  typename Atomics::template Atomic<std::uint32_t> barrier;  ///< 1: before it sleeps it makes a barrier for both
  /// Positions that it holds, plus 1; 0: none. Of a subscriber that may be overtaken.
  alignas(64) std::array<typename Atomics::template Atomic<Position>, Atomics::kHolds> holds;
};

constexpr std::uint64_t entry_word(Position position, BlockPlace place) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(position + 1)) << 32) | place;
}
constexpr bool is_entry_of(std::uint64_t word, Position position) {
  return static_cast<std::uint32_t>(word >> 32) == static_cast<std::uint32_t>(position + 1);
}

/// The publisher's end. One thread.
template <typename Atomics = StdAtomics>
class ListWriter {
 public:
  using CursorOf = Cursor<Atomics>;

  ListWriter() = default;
  /// Over zeroed memory. `entries`: a power of two of them, 2 at least.
  ListWriter(ListMarks<Atomics>& marks, std::span<Entry<Atomics>> entries) : marks_(&marks), entries_(entries) {
    assert(entries.size() >= 2 && std::has_single_bit(entries.size()));
    blocks_.resize(entries.size());
  }

  /// Takes note of the subscribers, and tells those that joined up to `generation` that they are waited for.
  void admit(std::vector<CursorOf*> cursors, std::uint64_t generation) {
    cursors_ = std::move(cursors);
    marks_->admitted.store(generation, std::memory_order_release);
  }
  const std::vector<CursorOf*>& cursors() const { return cursors_; }

  Position tail() const { return tail_; }
  Position oldest() const { return oldest_; }
  bool full() const { return tail_ - oldest_ == entries_.size(); }
  /// Blocks that left the list while a subscriber held them.
  std::size_t limbo() const { return limbo_.size(); }

  /// Publishes `length` bytes in the block at `place`; the list must not be full. Whoever wakes subscribers makes a
  /// barrier before it looks at their WAIT.
  void append(BlockPlace place, std::uint64_t length) {
    assert(!full());
    Entry<Atomics>& entry = entry_at(tail_);
    blocks_[tail_ & (entries_.size() - 1)] = place;
    // Relaxed is enough for the length: a reader that gets a newer one than it should finds its position overwritten.
    entry.length.store(length, std::memory_order_relaxed);
    entry.place.store(entry_word(tail_, place), std::memory_order_release);
    ++tail_;
    marks_->tail.store(tail_, std::memory_order_release);
  }

  /// The first position that some subscriber still needs, those that drop not counted unless `all`. One that has left
  /// counts until the next admit(): another reader may have come for it, which is not known yet, and begins there.
  Position needed(bool all) const {
    Position first = tail_;
    for (const CursorOf* cursor : cursors_) {
      const auto overflow = static_cast<Overflow>(cursor->overflow.load(std::memory_order_acquire));
      if (overflow == Overflow::drop_oldest && !all) continue;
      // A subscriber writes what it likes; behind the list or beyond its tail it only fools itself.
      const Position released = cursor->released.load(std::memory_order_acquire);
      first = std::min(first, std::clamp(released, oldest_, tail_));
    }
    return first;
  }

  /// Takes everything before `limit` off the list and gives the blocks that nobody holds to `free(place)`. `limit` is
  /// at most needed(false). `look_for_readers()` is called after subscribers can see the new limit, and admits those
  /// that have joined: one that joined after the caller looked last may hold a message that goes now.
  template <typename LookForReaders, typename Free>
  void retire(Position limit, LookForReaders&& look_for_readers, Free&& free) {
    assert(limit >= oldest_ && limit <= tail_);
    if (limit != oldest_) {
      marks_->oldest.store(limit, std::memory_order_seq_cst);
      // A subscriber names the position that it takes, makes a barrier, and looks at `oldest`. So either it sees the
      // new mark and leaves the position alone, or it is seen here as one that holds it. That it has joined is seen as
      // well, since it said so before.
      Atomics::fence();
      look_for_readers();
    }
    holds_.clear();
    for (const CursorOf* cursor : cursors_) {
      if (cursor->overflow.load(std::memory_order_acquire) == static_cast<std::uint32_t>(Overflow::none)) continue;
      for (const auto& hold : cursor->holds) {
        if (const Position held = hold.load(std::memory_order_seq_cst); held != 0) holds_.push_back(held - 1);
      }
    }
    const auto held = [&](Position position) {
      return std::find(holds_.begin(), holds_.end(), position) != holds_.end();
    };
    std::erase_if(limbo_, [&](const Limbo& block) {
      if (held(block.position)) return false;
      free(block.place);
      return true;
    });
    for (; oldest_ != limit; ++oldest_) {
      const BlockPlace place = blocks_[oldest_ & (entries_.size() - 1)];
      if (held(oldest_)) {
        limbo_.push_back({oldest_, place});
      } else {
        free(place);
      }
    }
  }

 private:
  struct Limbo {
    Position position;
    BlockPlace place;
  };
  Entry<Atomics>& entry_at(Position position) { return entries_[position & (entries_.size() - 1)]; }

  ListMarks<Atomics>* marks_ = nullptr;
  std::span<Entry<Atomics>> entries_;
  std::vector<BlockPlace> blocks_;  ///< of the positions in the list
  std::vector<CursorOf*> cursors_;
  std::vector<Limbo> limbo_;
  std::vector<Position> holds_;  ///< kept so that retire() does not allocate
  Position tail_ = 0;
  Position oldest_ = 0;
};

/// A message as a reader finds it: nothing of it has been checked but that it is the one of its position.
struct Taken {
  Position position = 0;
  BlockPlace place = 0;
  std::uint64_t length = 0;
  /// Index in Cursor::holds; none: `released` alone holds it.
  std::optional<std::size_t> hold;
};

/// A subscriber's end. One thread.
template <typename Atomics = StdAtomics>
class ListReader {
 public:
  ListReader() = default;
  /// Joins: begins `history` messages before the tail, or with the oldest that is left. `generation` is the directory's
  /// number of this subscription: until the publisher has admitted it, a subscriber that blocks reads like one that
  /// drops, since the publisher does not wait for it yet. The cursor is zeroed.
  /// `from`: where another reader of the same end stopped; then it begins there, or with the oldest that is left.
  ListReader(const ListMarks<Atomics>& marks, std::span<const Entry<Atomics>> entries, Cursor<Atomics>& cursor,
             Overflow overflow, Position history, std::uint64_t generation, std::optional<Position> from = std::nullopt)
      : marks_(&marks),
        entries_(entries),
        cursor_(&cursor),
        blocks_(overflow != Overflow::drop_oldest),
        generation_(generation),
        given_back_(entries.size()) {
    const Position tail = marks.tail.load(std::memory_order_acquire);
    const Position first = from ? std::min(*from, tail) : tail - std::min(tail, history);
    next_ = std::max(marks.oldest.load(std::memory_order_acquire), first);
    released_ = next_;
    cursor.released.store(next_, std::memory_order_relaxed);
    cursor.overflow.store(static_cast<std::uint32_t>(overflow), std::memory_order_seq_cst);
  }

  /// Takes up a cursor that the publisher has set up before it published anything, with `released` at 0: it waits for
  /// this subscriber from the beginning. `generation` is that of the publication.
  ListReader(const ListMarks<Atomics>& marks, std::span<const Entry<Atomics>> entries, Cursor<Atomics>& cursor,
             Overflow overflow, std::uint64_t generation)
      : marks_(&marks),
        entries_(entries),
        cursor_(&cursor),
        blocks_(overflow != Overflow::drop_oldest),
        generation_(generation),
        given_back_(entries.size()) {}

  enum class Look : std::uint8_t { taken, nothing_there, holds_too_many };

  /// The next message, held until release(). A block that lies elsewhere than it should is the publisher's fault; the
  /// caller checks place and length.
  Look take(Taken& out) {
    while (true) {
      const bool waited_for = is_waited_for();
      const Entry<Atomics>& entry = entries_[next_ & (entries_.size() - 1)];
      const std::uint64_t word = entry.place.load(std::memory_order_acquire);
      if (!is_entry_of(word, next_)) {
        // Not there yet, or overwritten.
        if (!waited_for && catch_up()) continue;
        return Look::nothing_there;
      }
      out = {next_, static_cast<BlockPlace>(word), entry.length.load(std::memory_order_relaxed), std::nullopt};
      if (!waited_for) {
        out.hold = free_hold();
        if (!out.hold) return Look::holds_too_many;
        auto& hold = cursor_->holds[*out.hold];
        hold.store(next_ + 1, std::memory_order_seq_cst);
        Atomics::fence();
        if (catch_up()) {
          hold.store(0, std::memory_order_release);
          continue;
        }
        held_ |= 1U << *out.hold;
      }
      ++next_;
      if (!blocks_) move_released(next_);
      return Look::taken;
    }
  }

  /// Gives a message back, in any order. True: the publisher may have room now.
  bool release(const Taken& taken) {
    if (taken.hold) {
      cursor_->holds[*taken.hold].store(0, std::memory_order_release);
      held_ &= ~(1U << *taken.hold);
      if (!blocks_ || taken.position < released_) return true;
    }
    given_back_[taken.position & (entries_.size() - 1)] = true;
    const Position before = released_;
    if (taken.position == before) pass(before);
    return released_ != before;
  }

  /// Does the publisher wait for this subscriber.
  bool is_waited_for() {
    if (admitted_ || !blocks_) return admitted_;
    if (marks_->admitted.load(std::memory_order_acquire) < generation_) return false;
    // What the publisher took off the list before it knew of this subscriber is gone; from now on it takes no more.
    // What was taken and not released is still needed: whoever comes for this subscriber, should it die, begins there.
    catch_up();
    return admitted_ = true;
  }
  /// Would take() find a message.
  bool ready() {
    const std::uint64_t word = entries_[next_ & (entries_.size() - 1)].place.load(std::memory_order_acquire);
    return is_entry_of(word, next_) || marks_->oldest.load(std::memory_order_seq_cst) > next_;
  }
  Position next() const { return next_; }
  /// The first message that was taken and not released.
  std::optional<Position> oldest_held() const {
    std::optional<Position> oldest;
    if (released_ != next_) oldest = released_;
    for (std::size_t i = 0; i < Atomics::kHolds; ++i) {
      if ((held_ & (1U << i)) == 0) continue;
      const Position held = cursor_->holds[i].load(std::memory_order_relaxed) - 1;
      if (!oldest || held < *oldest) oldest = held;
    }
    return oldest;
  }
  /// Messages that were overwritten before they were taken; of a subscriber that blocks, such before it was admitted.
  std::uint64_t dropped() const { return dropped_; }

 private:
  /// Goes on with the oldest message if the publisher has overtaken. False: it has not.
  bool catch_up() {
    const Position oldest = marks_->oldest.load(std::memory_order_seq_cst);
    if (blocks_ && oldest > released_) pass(std::min(oldest, next_));  // what it holds of that is out of the list
    if (oldest <= next_) return false;
    dropped_ += oldest - next_;
    next_ = oldest;
    if (blocks_) move_released(next_);
    return true;
  }
  /// Needs nothing before `position`, and nothing that was given back behind it.
  void pass(Position position) {
    const std::size_t mask = entries_.size() - 1;
    for (Position at = released_; at != position; ++at) given_back_[at & mask] = false;
    for (; position != next_ && given_back_[position & mask]; ++position) given_back_[position & mask] = false;
    move_released(position);
  }
  std::optional<std::size_t> free_hold() const {
    const auto first = static_cast<std::size_t>(std::countr_one(held_));
    if (first >= Atomics::kHolds) return std::nullopt;
    return first;
  }
  void move_released(Position position) {
    released_ = position;
    cursor_->released.store(position, std::memory_order_release);
  }

  const ListMarks<Atomics>* marks_ = nullptr;
  std::span<const Entry<Atomics>> entries_;
  Cursor<Atomics>* cursor_ = nullptr;
  bool blocks_ = false;
  bool admitted_ = false;
  std::uint64_t generation_ = 0;
  Position next_ = 0;
  Position released_ = 0;
  std::vector<bool> given_back_;  ///< by position: released out of order
  std::uint32_t held_ = 0;        ///< which of the holds are in use
  std::uint64_t dropped_ = 0;
};

}  // namespace slotwire::blocks
