#include "core/slot/waiter.hpp"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

#include <cerrno>
#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace slotwire::slot {
namespace {

// Looks between two readings of the clock while spinning: a reading costs about as much as this many pauses.
constexpr std::uint32_t kLooksPerClock = 16;

/// TFD_IOC_SET_TICKS of <linux/timerfd.h>, which cannot be included beside <sys/timerfd.h>.
constexpr unsigned long kSetTicks = _IOW('T', 0, std::uint64_t);

}  // namespace

void Waiter::pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

Waiter::Step Waiter::next() {
  const auto clock = [] { return std::chrono::steady_clock::now(); };
  if (looks_ == 0) start_ = clock();
  ++looks_;
  if (looks_ % kLooksPerClock != 0 && policy_.spin.count() > 0 && looks_ < 0x40000000U) {
    pause();
    return Step::again;
  }
  return at(clock());
}

Waiter::Step Waiter::next_after_looks() {
  const auto now = std::chrono::steady_clock::now();
  if (looks_ == 0) start_ = now;
  looks_ |= 1;
  return at(now);
}

Waiter::Step Waiter::at(std::chrono::steady_clock::time_point now) {
  const auto waited = now - start_;
  const bool stays_awake = may_stay_awake(now);
  if (stays_awake && waited < policy_.spin) {
    pause();
    return Step::again;
  }
  if (stays_awake && waited < policy_.spin + policy_.yield) {
    yielded_ = true;
    last_ = now;
    ::sched_yield();
    looks_ |= kLooksPerClock - 1;  // read the clock at every look from now on: a yield may take long
    return Step::again;
  }
  if (habit_ != nullptr && decided_) {
    if (stays_awake) habit_->missed();
    asleep_ = !stays_awake;
  }
  decided_ = yielded_ = false;
  return Step::sleep;
}

void Waiter::tell_habit() {
  if (habit_ == nullptr) return;
  if (asleep_) return habit_->slept(std::chrono::steady_clock::now() - start_ < policy_.spin + policy_.yield);
  if (!habit_->pays()) return;
  habit_->found(yielded_ ? std::chrono::steady_clock::now() - last_ : std::chrono::nanoseconds{});
}

bool Waiter::may_stay_awake(std::chrono::steady_clock::time_point now) {
  if (habit_ == nullptr) return true;
  if (yielded_) habit_->yielded(now - last_);
  if (!decided_) {
    decided_ = true;
    habit_->begin();
  }
  return habit_->pays();
}

// An event is a timerfd that is never armed. It is the one pollable object that can be made readable and not readable
// by calls that do not block whatever its flags and its state are, and both are in the hands of everybody who shares
// it: write() on an eventfd that is full and read() on one that is empty block as soon as somebody clears O_NONBLOCK,
// and on a pipe they block while somebody else is inside of it, even with O_NONBLOCK ("Waking" in docs/decisions.md).

Fd create_event() {
  Fd event(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!event) {
    throw std::system_error(errno, std::generic_category(),
                            "cannot create a timerfd (raise the open-file limit, LimitNOFILE or ulimit -n)");
  }
  return event;
}

bool is_event(int fd) {
  itimerspec unused{};
  return ::timerfd_gettime(fd, &unused) == 0;
}

void signal_event(int fd) {
  std::uint64_t ticks = 1;
  if (::ioctl(fd, kSetTicks, &ticks) == 0) return;
  // A kernel without CONFIG_CHECKPOINT_RESTORE: the timer itself has to expire, which takes some microseconds.
  itimerspec at_once{};
  at_once.it_value.tv_nsec = 1;
  ::timerfd_settime(fd, 0, &at_once, nullptr);
}

void drain_event(int fd) {
  const itimerspec never{};
  ::timerfd_settime(fd, 0, &never, nullptr);
}

}  // namespace slotwire::slot
