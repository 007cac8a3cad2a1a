// The clock of the suite `local`: the time stamp counter where it runs at one rate in all cores and states, else
// CLOCK_MONOTONIC. One reading serves as the end of one round trip and the start of the next.
#pragma once
#include <cstdint>
#include <ctime>
#include <string>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace slotwire::bench {

inline std::uint64_t clock_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return (static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000) + static_cast<std::uint64_t>(now.tv_nsec);
}

/// Ticks and what they are in nanoseconds. Measured once, by the harness, and given to both sides: ticks of one process
/// can be compared with those of another.
struct Clock {
  bool counter = false;  ///< ticks are of the time stamp counter
  double ns_per_tick = 1.0;

  std::uint64_t now() const {
#if defined(__x86_64__)
    if (counter) {
      unsigned core = 0;
      return __rdtscp(&core);  // waits for what stands before it
    }
#endif
    return clock_ns(CLOCK_MONOTONIC);
  }
  double ns(std::uint64_t ticks) const {
    return static_cast<double>(ticks) * ns_per_tick;
  }
  std::uint64_t ticks(double ns) const {
    return static_cast<std::uint64_t>(ns / ns_per_tick);
  }
};

/// Chooses the clock of this machine and measures its rate, for 20 ms.
Clock measure_clock();
/// "time stamp counter, 0.4 ns" or "CLOCK_MONOTONIC", for people.
std::string describe(const Clock& clock);

inline void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace slotwire::bench
