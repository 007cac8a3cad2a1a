// The two ends of a ring: a producer (writes lines, moves the tail) and a consumer (reads lines, moves the head).
//
// The other side's mark is read once into a local and checked: a mark that is more than one ring away makes the end
// *broken*, for good; it then allows nothing.
// commit() and release() publish a mark and order nothing after it: a caller that then looks whether the other side
// sleeps makes a barrier first, or rings a bell, whose read-modify-writes are one.
// Thread rules: an end belongs to one thread.
#pragma once
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/slot/marks.hpp"

namespace slotwire::slot {

/// What both ends know of the ring.
struct RingView {
  std::byte* ring = nullptr;  ///< first line
  unsigned order = 0;         ///< 2^order lines
  bool mirrored = false;      ///< mapped twice in a row

  std::uint32_t lines() const { return std::uint32_t{1} << order; }
  std::byte* at(Position position) const { return ring + (std::size_t{position & (lines() - 1)} * regs::kLineBytes); }
  /// Lines from `position` on that are contiguous in memory, at most `wanted`.
  std::uint32_t contiguous(Position position, std::uint32_t wanted) const {
    if (mirrored) return wanted;
    const std::uint32_t to_end = lines() - (position & (lines() - 1));
    return wanted < to_end ? wanted : to_end;
  }
};

/// The writing end of a ring. A template over the atomics, so that a test can give it those of a model checker.
template <template <typename> class Atomic = std::atomic>
class BasicProducer {
 public:
  BasicProducer() = default;
  /// `tail` is the mark that this end writes, `head` the one that the other side writes. Takes up at the marks as they
  /// stand.
  BasicProducer(RingView ring, Atomic<Position>& tail, const Atomic<Position>& head)
      : ring_(ring), tail_mark_(&tail), head_mark_(&head), tail_(tail.load(std::memory_order_relaxed)) {
    head_ = tail_ - ring_.lines();  // nothing is known to be free until the mark has been read and checked
    refresh();
  }

  /// Lines that may be written now. Reads the other side's mark only when fewer than `wanted` are known to be free.
  std::uint32_t writable(std::uint32_t wanted = 1) {
    if (known_free() < wanted) refresh();
    return broken_ ? 0 : known_free();
  }
  /// Up to `lines` writable lines at the tail, contiguous; empty if none is free. Not visible to anyone before
  /// commit().
  std::span<std::byte> reserve(std::uint32_t lines) {
    const std::uint32_t free = writable(lines);
    const std::uint32_t n = ring_.contiguous(tail_, lines < free ? lines : free);
    return {ring_.at(tail_), std::size_t{n} * regs::kLineBytes};
  }
  /// Hands `lines` lines to the other side; they must have been reserved.
  void commit(std::uint32_t lines) {
    assert(lines <= known_free());
    tail_ += lines;
    tail_mark_->store(tail_, std::memory_order_release);
  }
  /// The lines from `skip` lines after the tail on, contiguous; writable(skip + lines) must hold.
  std::byte* place(std::uint32_t skip, [[maybe_unused]] std::uint32_t lines) {
    assert(skip + lines <= known_free() && ring_.contiguous(tail_ + skip, lines) == lines);
    return ring_.at(tail_ + skip);
  }
  /// Has the other side's mark moved since it was read last. Orders nothing: a hint for who spins.
  bool moved() const { return head_mark_->load(std::memory_order_relaxed) != head_; }
  /// Lines committed that the other side has not released, from its mark as it is now.
  std::uint32_t outstanding() {
    refresh();
    return broken_ ? 0 : tail_ - head_;
  }
  Position tail() const { return tail_; }
  /// The other side wrote a mark that cannot be.
  bool broken() const { return broken_; }
  const RingView& ring() const { return ring_; }

 private:
  std::uint32_t known_free() const { return ring_.lines() - (tail_ - head_); }
  void refresh() {
    const Position head = head_mark_->load(std::memory_order_seq_cst);
    // Valid heads lie between the last one and the tail.
    if (head - head_ > tail_ - head_) {
      broken_ = true;
      return;
    }
    head_ = head;
  }

  RingView ring_;
  Atomic<Position>* tail_mark_ = nullptr;
  const Atomic<Position>* head_mark_ = nullptr;
  Position tail_ = 0;
  Position head_ = 0;
  bool broken_ = false;
};

/// The reading end of a ring.
template <template <typename> class Atomic = std::atomic>
class BasicConsumer {
 public:
  BasicConsumer() = default;
  /// `head` is the mark that this end writes, `tail` the one that the other side writes. Takes up at the marks as they
  /// stand.
  BasicConsumer(RingView ring, Atomic<Position>& head, const Atomic<Position>& tail)
      : ring_(ring), head_mark_(&head), tail_mark_(&tail), head_(head.load(std::memory_order_relaxed)), tail_(head_) {
    refresh();
  }

  /// Lines that may be read now, contiguous ones up to lines() when the ring is mirrored. Reads the other side's mark
  /// only when fewer than `wanted` are known.
  std::uint32_t readable(std::uint32_t wanted = 1) {
    if (tail_ - head_ < wanted) refresh();
    return broken_ ? 0 : tail_ - head_;
  }
  /// The readable lines after the first `skip` ones (which must be readable), contiguous. They stay valid and unchanged
  /// by an honest other side until release().
  std::span<const std::byte> peek(std::uint32_t skip = 0) {
    const std::uint32_t n = ring_.contiguous(head_ + skip, readable(skip + 1) - skip);
    return {ring_.at(head_ + skip), std::size_t{n} * regs::kLineBytes};
  }
  /// Gives `lines` lines back to the other side; they must have been readable.
  void release(std::uint32_t lines) {
    assert(lines <= tail_ - head_);
    head_ += lines;
    head_mark_->store(head_, std::memory_order_release);
  }
  /// Has the other side's mark moved since it was read last. Orders nothing: a hint for who spins.
  bool moved() const { return tail_mark_->load(std::memory_order_relaxed) != tail_; }
  Position head() const { return head_; }
  /// The other side wrote a mark that cannot be.
  bool broken() const { return broken_; }
  const RingView& ring() const { return ring_; }

 private:
  void refresh() {
    const Position tail = tail_mark_->load(std::memory_order_seq_cst);
    if (tail - head_ > ring_.lines() || tail - head_ < tail_ - head_) {
      broken_ = true;
      return;
    }
    tail_ = tail;
  }

  RingView ring_;
  Atomic<Position>* head_mark_ = nullptr;
  const Atomic<Position>* tail_mark_ = nullptr;
  Position head_ = 0;
  Position tail_ = 0;
  bool broken_ = false;
};

using Producer = BasicProducer<>;
using Consumer = BasicConsumer<>;

}  // namespace slotwire::slot
