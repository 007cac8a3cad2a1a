// How long to wait before the next try.
#pragma once
#include <algorithm>
#include <cstdint>
#include <random>

namespace slotwire::carriers {

/// Delays in microseconds that double from `min_us` to `max_us` with each failure, and are drawn from half of that to
/// all of it: peers that lost the same node at once shall not come back at once. Repeatable by its seed.
class Backoff {
 public:
  /// 1 <= min_us <= max_us.
  Backoff(std::uint64_t min_us, std::uint64_t max_us, std::uint64_t seed)
      : min_us_(min_us), max_us_(max_us), ceiling_us_(min_us), random_(seed) {}

  /// The delay after one more failure.
  std::uint64_t next() {
    const std::uint64_t ceiling = ceiling_us_;
    ceiling_us_ = ceiling > max_us_ / 2 ? max_us_ : 2 * ceiling;
    return std::uniform_int_distribution<std::uint64_t>(ceiling - ceiling / 2, ceiling)(random_);
  }
  /// After a success that counts: the next failure is the first again.
  void reset() { ceiling_us_ = min_us_; }

 private:
  std::uint64_t min_us_, max_us_, ceiling_us_;
  std::mt19937_64 random_;
};

}  // namespace slotwire::carriers
