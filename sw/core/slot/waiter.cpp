#include "core/slot/waiter.hpp"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace slotwire::slot {
namespace {

// Looks between two readings of the clock while spinning: a reading costs about as much as this many pauses.
constexpr std::uint32_t kLooksPerClock = 16;

void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

Waiter::Step Waiter::next() {
  const auto clock = [] { return std::chrono::steady_clock::now(); };
  if (looks_ == 0) start_ = clock();
  ++looks_;
  if (looks_ % kLooksPerClock != 0 && policy_.spin.count() > 0 && looks_ < 0x40000000U) {
    pause_cpu();
    return Step::again;
  }
  const auto waited = clock() - start_;
  if (waited < policy_.spin) {
    pause_cpu();
    return Step::again;
  }
  if (waited < policy_.spin + policy_.yield) {
    ::sched_yield();
    looks_ |= kLooksPerClock - 1;  // read the clock at every look from now on: a yield may take long
    return Step::again;
  }
  return Step::sleep;
}

Fd create_event() {
  Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) {
    throw std::system_error(errno, std::generic_category(),
                            "cannot create an eventfd (raise the open-file limit, LimitNOFILE or ulimit -n)");
  }
  return event;
}

void signal_event(int fd) {
  const std::uint64_t one = 1;
  // EAGAIN means the counter is full, which is as readable as it gets.
  while (::write(fd, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void drain_event(int fd) {
  std::uint64_t count = 0;
  while (::read(fd, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

}  // namespace slotwire::slot
