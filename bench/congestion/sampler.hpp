// What the congestion benchmarks say of the bytes that arrive: a line of JSON for each interval.
#pragma once

#include <chrono>
#include <cstdint>

namespace slotwire::bench {

/// Counts bytes and prints {"t": seconds of CLOCK_MONOTONIC, "bytes": so far} ten times a second, from the first byte
/// on.
class Sampler {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kInterval{100};

  void add(std::uint64_t bytes) { bytes_ += bytes; }
  /// Prints a sample if one is due.
  void tick(Clock::time_point now);
  /// When tick() has something to do.
  Clock::time_point next() const { return next_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  std::uint64_t bytes_ = 0;
  Clock::time_point next_ = Clock::now();
};

}  // namespace slotwire::bench
