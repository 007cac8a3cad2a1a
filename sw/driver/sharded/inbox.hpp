// What other threads leave for a thread that takes bells: slots to look at, sessions that kicked, and a wake-up.
#pragma once
#include <atomic>
#include <cstdint>

#include "core/slot/memory.hpp"
#include "driver/sharded/number_set.hpp"

namespace slotwire::driver {

/// Nobody waits for anybody here, and nothing is allocated after construction.
class Inbox {
 public:
  /// Slots 0..slots-1, sessions 0..sessions-1.
  /// Throws std::system_error when there is no descriptor for it.
  Inbox(std::size_t slots, std::size_t sessions);

  // --- any thread ---

  /// The marks of `slot`, whose lines move in the owner's thread, may have moved.
  void look_soon(std::uint16_t slot) noexcept {
    looks_.add(slot);
    wake();
  }
  /// The session kicked, for a bell in a word of the owner's thread.
  void kicked(std::uint32_t session) noexcept {
    kicks_.add(session);
    wake();
  }
  /// Ends the owner's sleep, or the one that it is about to begin. What it is woken for is stored before the call.
  void wake() noexcept {
    if (asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false, std::memory_order_seq_cst)) {
      signal();
    }
  }

  // --- the owner's thread ---

  /// Calls each(session) for every session that kicked. Returns whether there was any.
  template <typename Each>
  bool take_kicks(Each&& each) {
    return kicks_.take([&](std::size_t session) { each(static_cast<std::uint32_t>(session)); });
  }
  /// Calls each(slot) for every slot to look at. Returns whether there was any.
  template <typename Each>
  bool take_looks(Each&& each) {
    return looks_.take([&](std::size_t slot) { each(static_cast<std::uint16_t>(slot)); });
  }
  /// Whatever is left from now on makes fd() readable; what was left before is still to be taken.
  void prepare_sleep() noexcept;
  /// Readable when somebody woke the owner; prepare_sleep() empties it.
  int fd() const noexcept { return wake_.get(); }

 private:
  void signal() noexcept;

  NumberSet looks_, kicks_;
  std::atomic<bool> asleep_{false};
  slot::Fd wake_;  ///< an eventfd, which counts signals; shared with nobody outside this process
  // The owner's. Each time that asleep_ is taken away, exactly one signal comes, then or later.
  bool armed_ = false;      ///< asleep_ was set, and nobody was seen to have taken it
  std::uint64_t owed_ = 0;  ///< signals that came or will come, and were not read
};

}  // namespace slotwire::driver
