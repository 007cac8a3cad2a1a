// How much a peer may send: so many messages a second, and a second's worth at once. A large message counts as several.
#pragma once
#include <algorithm>
#include <cstdint>

namespace slotwire::gate {

/// Time is given in microseconds of a clock that never goes back.
class TokenBucket {
 public:
  TokenBucket(std::uint32_t per_second, std::uint64_t now_us)
      : per_second_(std::max(per_second, 1U)), scaled_(full()), at_us_(now_us) {}

  /// Takes `tokens` if there is one, or returns false. What there is not yet is owed, at most a second's worth, so that
  /// a message larger than all that fits goes through.
  bool take(std::uint64_t now_us, std::uint32_t tokens = 1) {
    fill(now_us);
    if (scaled_ < kSecond) return false;
    scaled_ = std::max(scaled_ - kSecond * tokens, -full());
    return true;
  }
  /// How long until there is one; 0: now.
  std::uint64_t wait_us(std::uint64_t now_us) {
    fill(now_us);
    return scaled_ >= kSecond ? 0 : static_cast<std::uint64_t>((kSecond - scaled_ + per_second_ - 1) / per_second_);
  }

 private:
  static constexpr std::int64_t kSecond = 1'000'000;

  std::int64_t full() const { return kSecond * per_second_; }
  /// Tokens are counted in millionths, so that a microsecond is worth `per_second_` of them. A pause beyond an hour is
  /// worth no more than an hour, so that nothing overflows.
  void fill(std::uint64_t now_us) {
    constexpr std::uint64_t kLongest = 3'600 * static_cast<std::uint64_t>(kSecond);
    const auto passed = static_cast<std::int64_t>(std::min(now_us - at_us_, kLongest));
    at_us_ = now_us;
    scaled_ = std::min(scaled_ + passed * per_second_, full());
  }

  std::int64_t per_second_;
  std::int64_t scaled_;  ///< negative: owed
  std::uint64_t at_us_;
};

}  // namespace slotwire::gate
