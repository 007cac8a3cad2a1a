// Waiting: spin briefly, then yield for a bounded time, then sleep. See "Waiting" in docs/decisions.md for why.
#pragma once
#include <chrono>
#include <cstdint>

#include "core/slot/memory.hpp"
#include "core/slot/wait_habit.hpp"

namespace slotwire::slot {

/// How long a waiter stays awake. Zero for both: sleeps at once.
struct WaitPolicy {
  std::chrono::nanoseconds spin{2000};    ///< busy, with the CPU's pause hint
  std::chrono::nanoseconds yield{50000};  ///< then giving the processor to whoever is ready
};

/// One wait. Ask next() after every unsuccessful look; when it says sleep, arm and sleep. Belongs to one thread.
class Waiter {
 public:
  enum class Step { again, sleep };

  explicit Waiter(WaitPolicy policy) : policy_(policy) {}
  /// Stays awake only where `habit`, which outlives the waiter, says that it pays.
  Waiter(WaitPolicy policy, WaitHabit& habit) : policy_(policy), habit_(&habit) {}
  /// Spends a little time in the way that fits how long this wait has lasted; Step::sleep when it is time to sleep.
  Step next();
  /// As next(), after the caller has looked kLooks times with pause() in between: reads the clock.
  Step next_after_looks();
  static constexpr int kLooks = 16;
  /// The processor's hint that this is a loop which waits.
  static void pause();
  /// What was waited for is there.
  void found() {
    if (decided_ || asleep_) tell_habit();
    reset();
  }
  /// The thread slept after Step::sleep: the next wait starts anew.
  void slept() {
    if (asleep_) tell_habit();
    reset();
  }
  /// The next wait starts anew.
  void reset() {
    looks_ = 0;
    decided_ = yielded_ = asleep_ = false;
  }

 private:
  Step at(std::chrono::steady_clock::time_point now);
  void tell_habit();
  bool may_stay_awake(std::chrono::steady_clock::time_point now);

  WaitPolicy policy_;
  WaitHabit* habit_ = nullptr;
  bool decided_ = false;  ///< whether this wait stays awake; habit_ knows what
  bool yielded_ = false;
  bool asleep_ = false;  ///< it was told to sleep at once; habit_ is told how long that took
  std::uint32_t looks_ = 0;
  std::chrono::steady_clock::time_point start_{}, last_{};
};

/// Creates an event: a descriptor that is readable from signal_event() to drain_event(). It may be shared with
/// processes that are not trusted: neither call blocks, whatever the others do with it. Throws std::system_error.
Fd create_event();
/// Whether a descriptor that came from somebody else is an event.
bool is_event(int fd);
/// Makes an event readable. Never blocks. Any thread, and from a signal handler.
void signal_event(int fd);
/// Makes an event not readable. Never blocks.
void drain_event(int fd);

}  // namespace slotwire::slot
