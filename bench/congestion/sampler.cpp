#include "sampler.hpp"

#include <cstdio>

namespace slotwire::bench {

void Sampler::tick(Clock::time_point now) {
  if (now < next_) return;
  // Samples lie on whole intervals, so that those of several processes can be added.
  const auto whole = std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch()) / kInterval;
  next_ = Clock::time_point((whole + 1) * kInterval);
  std::printf("{\"t\": %.4f, \"bytes\": %llu}\n", std::chrono::duration<double>(now.time_since_epoch()).count(),
              static_cast<unsigned long long>(bytes_));
  std::fflush(stdout);
}

}  // namespace slotwire::bench
