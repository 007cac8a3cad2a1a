// A part of a processor: how much time work for one source may take, and when there is some again.
#pragma once
#include <algorithm>
#include <cstdint>

namespace slotwire::engine {

/// Has no clock of its own. Work may overdraw it once; what it took too long is waited for.
class TimeBudget {
 public:
  /// One part in `parts` of the time; up to `most_us` at once after a pause.
  constexpr TimeBudget(std::uint32_t parts, std::uint64_t most_us)
      : parts_(parts), most_us_(static_cast<std::int64_t>(most_us)), left_us_(most_us_) {}

  /// Microseconds until work may begin; 0: now.
  std::uint64_t wait_us(std::uint64_t now_us) {
    fill(now_us);
    return left_us_ > 0 ? 0 : static_cast<std::uint64_t>(1 - left_us_) * parts_;
  }
  void spend(std::uint64_t used_us, std::uint64_t now_us) {
    fill(now_us);
    left_us_ = std::max(-most_us_, left_us_ - static_cast<std::int64_t>(std::min(used_us, kLongestUs)));
  }

 private:
  static constexpr std::uint64_t kLongestUs = 3600'000'000;

  /// What is less than a microsecond of work is kept for the next call.
  void fill(std::uint64_t now_us) {
    const std::uint64_t earned = (now_us - at_us_) / parts_;
    at_us_ += earned * parts_;
    left_us_ = std::min(most_us_, left_us_ + static_cast<std::int64_t>(std::min(earned, kLongestUs)));
  }

  std::uint64_t parts_;
  std::int64_t most_us_, left_us_;
  std::uint64_t at_us_ = 0;
};

}  // namespace slotwire::engine
