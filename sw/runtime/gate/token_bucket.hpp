// How many messages a peer may send: so many a second, and a second's worth at once.
#pragma once
#include <algorithm>
#include <cstdint>

namespace slotwire::gate {

/// Time is given in microseconds of a clock that never goes back.
class TokenBucket {
 public:
  TokenBucket(std::uint32_t per_second, std::uint64_t now_us)
      : per_second_(std::max(per_second, 1U)), scaled_(kSecond * per_second_), at_us_(now_us) {}

  /// Takes one, or returns false.
  bool take(std::uint64_t now_us) {
    fill(now_us);
    if (scaled_ < kSecond) return false;
    scaled_ -= kSecond;
    return true;
  }
  /// How long until there is one; 0: now.
  std::uint64_t wait_us(std::uint64_t now_us) {
    fill(now_us);
    return scaled_ >= kSecond ? 0 : ((kSecond - scaled_) + per_second_ - 1) / per_second_;
  }

 private:
  static constexpr std::uint64_t kSecond = 1'000'000;

  /// Tokens are counted in millionths, so that a microsecond is worth `per_second_` of them.
  void fill(std::uint64_t now_us) {
    const std::uint64_t passed = std::min(now_us - at_us_, kSecond);
    at_us_ = now_us;
    scaled_ = std::min(scaled_ + passed * per_second_, kSecond * per_second_);
  }

  std::uint64_t per_second_;
  std::uint64_t scaled_;
  std::uint64_t at_us_;
};

}  // namespace slotwire::gate
