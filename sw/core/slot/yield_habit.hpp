// Whether a wait yields before it sleeps, by what the waits before it brought.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>

namespace slotwire::slot {

/// Kept from wait to wait by whoever waits again and again. Yielding pays when what is waited for comes before the
/// thread would sleep: a sleep and its wake-up cost several switches. It costs when it does not, and it is a loss when
/// somebody who has much to do takes the processor meanwhile and keeps it, for a thread that sleeps is given the
/// processor as soon as it is woken. Waits for nothing itself and reads no clock. Belongs to one thread.
class YieldHabit {
 public:
  /// A yield that took longer than this was a loss, whatever it brought.
  static constexpr std::chrono::nanoseconds kLongYield = std::chrono::milliseconds(1);
  /// Between two tries of a habit that does not pay: this many waits at first, and twice as many after each try that
  /// failed, up to the most.
  static constexpr std::uint32_t kFirstPause = 16, kLongestPause = 1024;

  /// A wait would yield now, for the first time. False: it sleeps at once.
  bool begin() {
    yields_ = credit_ > 0 || ++skipped_ >= pause_;
    if (yields_) skipped_ = 0;
    return yields_;
  }
  /// The wait yielded, and found what it waited for while awake.
  void found() {
    credit_ = std::min(credit_ + kGain, kMostCredit);
    pause_ = kFirstPause;
  }
  /// The wait yielded, and sleeps nevertheless.
  void missed() { lose(1); }
  /// One yield took so long.
  void yielded(std::chrono::nanoseconds took) {
    if (took >= kLongYield) lose(kMostCredit / 2);
  }
  bool yields() const { return yields_; }

 private:
  // A wait that is found saves about twice what one that is missed costs: it pays from one in three on.
  static constexpr int kGain = 2, kMostCredit = 16;

  void lose(int credit) {
    if (credit_ == 0) pause_ = std::min(pause_ * 2, kLongestPause);
    credit_ = std::max(credit_ - credit, 0);
  }

  int credit_ = kMostCredit / 2;
  std::uint32_t skipped_ = 0, pause_ = kFirstPause;
  bool yields_ = true;
};

}  // namespace slotwire::slot
