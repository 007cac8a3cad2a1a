// The circuit breaker of a link (RFC 8084): what no controller can help is not sent at all, and tried again later.
#pragma once
#include <cstdint>
#include <string>

#include "core/congestion/algorithm.hpp"

namespace slotwire::congestion {

/// Of one link. Times are those of rounds, but for the pause, which grows while the link keeps failing.
class Breaker {
 public:
  /// So many timeouts in silence, over so long, trip it ...
  static constexpr std::uint32_t kSilences = 8;
  static constexpr Microseconds kSilentUs = 10'000'000;
  /// ... and so does more than a loss in so many frames, for so long.
  static constexpr std::uint32_t kFramesPerLoss = 3;
  static constexpr std::uint64_t kLossyUs = 10'000'000;
  static constexpr std::uint32_t kLeastFrames = 100;
  static constexpr std::uint64_t kFirstPauseUs = 1'000'000, kLongestPauseUs = 64'000'000;

  /// Why the link is to be taken down now, for people; empty: it is not.
  std::string look(const Round& round);
  /// How long it stays down; called once for each time that it goes down.
  std::uint64_t pause_us();
  std::uint32_t trips() const { return trips_; }

 private:
  std::uint64_t lossy_us_ = 0, good_us_ = 0;
  std::uint64_t frames_ = 0, losses_ = 0;
  std::uint64_t next_pause_us_ = kFirstPauseUs;
  std::uint32_t trips_ = 0;
};

}  // namespace slotwire::congestion
