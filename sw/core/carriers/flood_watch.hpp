// Tells a flood of frames that nobody has use for from the few that any network brings.
#pragma once
#include <cstdint>

namespace slotwire::carriers {

/// Counts useless frames in windows of time. One thread. Times are in microseconds of one clock that never goes back.
class FloodWatch {
 public:
  static constexpr std::uint64_t kWindowUs = 50'000;
  /// A flood begins with a window above the first of these rates, in useless frames a second, and ends when none was
  /// above the second for kQuietUs. Connections that close leave a few thousand a second behind at most.
  static constexpr std::uint64_t kBegins = 20'000, kEnds = 5'000, kQuietUs = 1'000'000;

  void useless() noexcept { ++count_; }
  /// Whether there is a flood.
  bool on() const noexcept { return on_; }

  /// Closes the window if its time is over. Returns whether it did.
  bool look(std::uint64_t now_us) noexcept {
    const std::uint64_t elapsed = now_us - began_us_;
    if (elapsed < kWindowUs) return false;
    const std::uint64_t rate = count_ * 1'000'000 / elapsed;
    if (rate > (on_ ? kEnds : kBegins)) {
      on_ = true;
      loud_us_ = now_us;
    } else if (on_ && now_us - loud_us_ >= kQuietUs) {
      on_ = false;
    }
    count_ = 0;
    began_us_ = now_us;
    return true;
  }

 private:
  std::uint64_t count_ = 0, began_us_ = 0, loud_us_ = 0;
  bool on_ = false;
};

}  // namespace slotwire::carriers
