// How much of the engine's thread requests and control messages may take while lines flow.
#pragma once
#include <algorithm>
#include <cstdint>

namespace slotwire::engine {

/// Says after each poll of the card whether the reactor is to be looked at. It is looked at after a number of polls or
/// some time; and while lines flow, a look that took long is followed by a pause, so that control takes a quarter of
/// the thread at most, however many requests and messages wait. Without lines there is no pause.
class ControlShare {
 public:
  static constexpr std::uint32_t kPollsPerLook = 64;
  static constexpr std::uint64_t kLookUs = 50;
  /// The pause, in times of what the look took.
  static constexpr std::uint64_t kLinesToControl = 3;
  /// No pause is longer: a look may have taken long since the thread had no processor.
  static constexpr std::uint64_t kLongestPauseUs = 1000;

  /// The card was polled at `now_us`; `busy`: lines moved.
  bool is_due(std::uint64_t now_us, bool busy) {
    lines_flow_ = lines_flow_ || busy;
    if (++polls_ < kPollsPerLook && now_us - looked_us_ < kLookUs) return false;
    return !lines_flow_ || now_us >= pause_until_us_;
  }
  /// The reactor was looked at.
  void looked(std::uint64_t begin_us, std::uint64_t end_us) {
    polls_ = 0;
    lines_flow_ = false;
    looked_us_ = begin_us;
    pause_until_us_ = end_us + std::min(kLinesToControl * (end_us - begin_us), kLongestPauseUs);
  }
  /// The thread slept in the reactor until `now_us`, and the reactor has called all that was ready.
  void slept(std::uint64_t now_us) {
    polls_ = 0;
    lines_flow_ = false;
    looked_us_ = now_us;
  }

 private:
  std::uint32_t polls_ = 0;
  bool lines_flow_ = false;  ///< since the last look
  std::uint64_t looked_us_ = 0, pause_until_us_ = 0;
};

}  // namespace slotwire::engine
