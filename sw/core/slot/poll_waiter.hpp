// When a thread whose looks are system calls goes to sleep.
#pragma once
#include <chrono>
#include <cstdint>

#include "core/slot/wait_habit.hpp"
#include "core/slot/waiter.hpp"

namespace slotwire::slot {

/// The wait of a thread whose looks are system calls (a receive on a socket, epoll_wait), unlike those of Waiter, which
/// are loads. Every look is timed, so spinning and yielding end when they should. Whether it yields at all depends on
/// what the waits before brought (WaitHabit).
class PollWaiter {
 public:
  enum class Step { look, yield, sleep };

  /// Spins for at most `policy.spin`, then yields for at most `policy.yield`.
  explicit PollWaiter(WaitPolicy policy) : policy_(policy) {}
  /// After a look that found nothing: spends a little time as next() says. False: the thread is to sleep, then to call
  /// slept().
  bool stay_awake();
  /// After a look that found something.
  void found() {
    if (waiting_) found(std::chrono::steady_clock::now().time_since_epoch());
  }
  /// The thread slept: the next wait starts anew.
  void slept() {
    if (waiting_) slept(std::chrono::steady_clock::now().time_since_epoch());
  }

  // The same on a clock of the caller's.

  /// What to do after a look at `now` that found nothing.
  Step next(std::chrono::nanoseconds now);
  /// A look at `now` found something: the next wait starts anew.
  void found(std::chrono::nanoseconds now);
  /// The thread slept until `now`.
  void slept(std::chrono::nanoseconds now);

 private:
  enum class Yields : std::uint8_t { undecided, on, off };

  WaitPolicy policy_;
  WaitHabit habit_;
  bool waiting_ = false, yielded_ = false;
  Yields yields_ = Yields::undecided;
  std::chrono::nanoseconds start_{}, last_{};
};

}  // namespace slotwire::slot
