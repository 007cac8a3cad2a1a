#include "core/congestion/breaker.hpp"

#include <algorithm>

namespace slotwire::congestion {

std::string Breaker::look(const Round& round) {
  if (round.silences >= kSilences && round.silent_us >= kSilentUs) {
    return "congestion control: nothing was acknowledged for " + std::to_string(round.silent_us / 1'000'000) +
           " s, in which lines were sent " + std::to_string(round.silences) + " times";
  }
  const bool lossy = std::uint64_t{round.losses} * kFramesPerLoss > round.frames;
  if (!lossy) {
    if (round.frames != 0 && round.losses == 0) {
      good_us_ += round.length_us;
      if (good_us_ > kLongestPauseUs) next_pause_us_ = kFirstPauseUs;
    }
    lossy_us_ = frames_ = losses_ = 0;
    return {};
  }
  good_us_ = 0;
  lossy_us_ += round.length_us;
  frames_ += round.frames;
  losses_ += round.losses;
  if (lossy_us_ < kLossyUs || frames_ < kLeastFrames) return {};
  return "congestion control: lines had to be sent again " + std::to_string(losses_) + " times in " +
         std::to_string(frames_) + " frames, for " + std::to_string(lossy_us_ / 1'000'000) + " s";
}

std::uint64_t Breaker::pause_us() {
  lossy_us_ = good_us_ = frames_ = losses_ = 0;
  ++trips_;
  const std::uint64_t pause = next_pause_us_;
  next_pause_us_ = std::min(next_pause_us_ * 2, kLongestPauseUs);
  return pause;
}

}  // namespace slotwire::congestion
