#include "clock.hpp"

#include <cstdio>
#include <fstream>

namespace slotwire::bench {

Clock measure_clock() {
  Clock clock;
#if defined(__x86_64__)
  std::ifstream info("/proc/cpuinfo");
  std::string line;
  while (std::getline(info, line) && !line.starts_with("flags")) {
  }
  if (line.find("constant_tsc") == std::string::npos || line.find("nonstop_tsc") == std::string::npos ||
      line.find("rdtscp") == std::string::npos) {
    return clock;
  }
  clock.counter = true;
  constexpr std::uint64_t kMeasureNs = 20'000'000;
  const std::uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC), begin = clock.now();
  std::uint64_t end_ns = begin_ns;
  while (end_ns - begin_ns < kMeasureNs) end_ns = clock_ns(CLOCK_MONOTONIC);
  clock.ns_per_tick = static_cast<double>(end_ns - begin_ns) / static_cast<double>(clock.now() - begin);
#endif
  return clock;
}

std::string describe(const Clock& clock) {
  if (!clock.counter) return "CLOCK_MONOTONIC";
  char text[64];
  std::snprintf(text, sizeof text, "the time stamp counter, %.2f ns a tick", clock.ns_per_tick);
  return text;
}

}  // namespace slotwire::bench
