// When a thread that moves lines goes to sleep.
#pragma once
#include <chrono>
#include <cstdint>

#include "core/slot/waiter.hpp"
#include "core/slot/wait_habit.hpp"

namespace slotwire::driver {

/// The wait of a thread whose looks may be system calls (a receive on a socket), unlike a process's, whose looks are
/// loads. Every look is timed, so spinning and yielding end when they should. Whether it yields at all depends on what
/// the waits before brought (slot::WaitHabit). Waits for nothing itself; the caller gives the time.
class PollWaiter {
 public:
  enum class Step { look, yield, sleep };

  /// Spins for at most `policy.spin`, then yields for at most `policy.yield`.
  explicit PollWaiter(slot::WaitPolicy policy) : policy_(policy) {}
  /// What to do after a look at `now` that found nothing.
  Step next(std::chrono::nanoseconds now);
  /// A wait has begun that neither found() nor slept() ended.
  bool waiting() const { return waiting_; }
  /// A look at `now` found something: the next wait starts anew.
  void found(std::chrono::nanoseconds now);
  /// The thread slept: the next wait starts anew.
  void slept() { waiting_ = false; }

 private:
  enum class Yields : std::uint8_t { undecided, on, off };

  slot::WaitPolicy policy_;
  slot::WaitHabit habit_;
  bool waiting_ = false, yielded_ = false;
  Yields yields_ = Yields::undecided;
  std::chrono::nanoseconds start_{}, last_{};
};

}  // namespace slotwire::driver
