// How much of the engine's thread requests and control messages may take while lines flow.
#pragma once
#include <algorithm>
#include <cstdint>

namespace slotwire::engine {

/// Says after each poll of the card whether the reactor is to be looked at. It is looked at after a number of polls or
/// some time; and while lines flow, a look that took long is followed by a pause, so that control takes a quarter of
/// the thread at most, however many requests and messages wait. Without lines there is no pause. A thread that sleeps
/// in a pause is woken by lines alone: a caller that has one call under way leaves the thread idle between two frames,
/// and what waits would fill each of these gaps and make the next frame late.
class ControlShare {
 public:
  static constexpr std::uint32_t kPollsPerLook = 64;
  static constexpr std::uint64_t kLookUs = 50;
  /// The pause, in times of what the look took.
  static constexpr std::uint64_t kLinesToControl = 3;
  /// No pause is longer: a look may have taken long since the thread had no processor.
  static constexpr std::uint64_t kLongestPauseUs = 3000;

  /// What is to be looked at now.
  enum class Look : std::uint8_t {
    none,
    urgent,  ///< what tells that lines wait, and nothing else: control pauses
    all,
  };

  /// The card was polled at `now_us`; `busy`: lines moved.
  Look due(std::uint64_t now_us, bool busy) {
    lines_flow_ = lines_flow_ || busy;
    if (++polls_ < kPollsPerLook && now_us - looked_us_ < kLookUs) return Look::none;
    return pause_us(now_us) == 0 ? Look::all : Look::urgent;
  }
  /// What is urgent was looked at until `now_us`.
  void glanced(std::uint64_t now_us) {
    polls_ = 0;
    looked_us_ = now_us;
  }
  /// Everything was looked at until `end_us`, and handlers were called for `spent_us`; the thread may have slept
  /// before.
  void looked(std::uint64_t end_us, std::uint64_t spent_us) {
    glanced(end_us - spent_us);
    lines_flow_ = false;
    pause_until_us_ = end_us + std::min(kLinesToControl * spent_us, kLongestPauseUs);
  }
  /// What is left of the pause, in microseconds; 0: control may be looked at, and the thread may sleep until it comes.
  std::uint64_t pause_us(std::uint64_t now_us) const {
    return lines_flow_ && now_us < pause_until_us_ ? pause_until_us_ - now_us : 0;
  }

 private:
  std::uint32_t polls_ = 0;
  bool lines_flow_ = false;  ///< since the last look
  std::uint64_t looked_us_ = 0, pause_until_us_ = 0;
};

}  // namespace slotwire::engine
