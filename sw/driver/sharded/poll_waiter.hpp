// When a thread that moves lines goes to sleep.
#pragma once
#include <chrono>
#include <cstdint>

#include "core/slot/waiter.hpp"

namespace slotwire::driver {

/// The wait of a thread whose looks may be system calls (a receive on a socket), unlike a process's, whose looks are
/// loads. Every look is timed, so spinning ends when it should, and the thread yields only as long as somebody takes
/// the processor: a yield that comes straight back says that the processor would be idle, and there sleeping costs less
/// than looking. Waits for nothing itself; the caller gives the time.
class PollWaiter {
 public:
  enum class Step { look, yield, sleep };

  /// Spins for at most `policy.spin`, then yields for at most `policy.yield`.
  explicit PollWaiter(slot::WaitPolicy policy) : policy_(policy) {}
  /// What to do after a look at `now` that found nothing.
  Step next(std::chrono::nanoseconds now);
  /// Something was found: the next wait starts anew.
  void reset() { waiting_ = false; }

 private:
  slot::WaitPolicy policy_;
  bool waiting_ = false;
  bool yielded_ = false;
  std::uint32_t fruitless_ = 0;  ///< yields one after another that came straight back
  std::chrono::nanoseconds start_{}, last_{};
};

}  // namespace slotwire::driver
