// The messages that a connection has handed out and that were not released yet.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace slotwire::client {

/// A message, or a run of several that arrived together, as the library holds it until it is released: lines of the
/// ring, or a copy.
struct Held {
  std::uint32_t lines = 0;     ///< in the ring; 0: the data is in `copy`
  std::uint32_t messages = 0;  ///< of the run, that were not released yet
  bool released = false;
  Held* next = nullptr;  ///< the one that arrived after it, or the next free one
  std::vector<std::byte> copy;
};

/// Lines are given back in the order of arrival, messages in any order. Allocates only when more messages are held than
/// ever before. One thread.
class HeldMessages {
 public:
  /// The next `lines` lines of the ring, after all that are held.
  Held& hold_lines(std::uint32_t lines);
  /// Adds the next message to the run that was held last. Its lines are given back when all of its messages were
  /// released.
  void extend(Held& run, std::uint32_t lines) {
    run.lines += lines;
    ++run.messages;
    lines_ += lines;
  }
  /// A message that is not in the ring.
  Held& hold_copy(std::vector<std::byte> data);
  /// One whose `copy` the caller fills. It may have had other contents before.
  Held& hold_room();
  void release(Held& held);
  /// Lines at the front of the ring whose messages were all released: they are held no longer.
  std::uint32_t take_released();
  /// Lines after the head of the ring that are held.
  std::uint32_t lines() const { return lines_; }

 private:
  Held& take_free();
  void put_free(Held& held);

  std::deque<Held> all_;  ///< a deque: its elements stay where they are
  Held* free_ = nullptr;
  Held* first_ = nullptr;  ///< in the ring, in the order of arrival
  Held* last_ = nullptr;
  std::uint32_t lines_ = 0;
};

}  // namespace slotwire::client
