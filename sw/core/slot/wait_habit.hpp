// Whether a wait stays awake for a while before it sleeps, by what the waits before it brought.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>

namespace slotwire::slot {

/// Kept from wait to wait by whoever waits again and again. Spinning and yielding pay when what is waited for comes
/// before the thread would sleep: a sleep and its wake-up cost several switches. They cost when it does not, and a
/// yield is a loss when somebody who has much to do takes the processor and keeps it, for a thread that sleeps is given
/// the processor as soon as it is woken. Waits for nothing itself and reads no clock. Belongs to one thread.
class WaitHabit {
 public:
  /// A yield that took longer than this was a loss, whatever it brought.
  static constexpr std::chrono::nanoseconds kLongYield = std::chrono::milliseconds(1);
  /// Between two tries of a habit that does not pay: this many waits at first, and twice as many after each try that
  /// failed, up to the most.
  static constexpr std::uint32_t kFirstPause = 16, kLongestPause = 1024;

  /// A wait begins. False: it sleeps at once.
  bool begin() {
    pays_ = credit_ > 0 || ++skipped_ >= pause_;
    if (pays_) skipped_ = 0;
    return pays_;
  }
  /// What begin() said.
  bool pays() const { return pays_; }
  /// The wait stayed awake, and what it waited for came, `took` after its last yield began.
  void found(std::chrono::nanoseconds took) {
    if (took >= kLongYield) return lose(kMostCredit / 2);
    credit_ = std::min(credit_ + kGain, kMostCredit);
    pause_ = kFirstPause;
  }
  /// The wait stayed awake, and sleeps nevertheless.
  void missed() { lose(1); }
  /// One yield took so long.
  void yielded(std::chrono::nanoseconds took) {
    if (took >= kLongYield) lose(kMostCredit / 2);
  }

 private:
  // A wait that is found saves about twice what one that is missed costs: it pays from one in three on.
  static constexpr int kGain = 2, kMostCredit = 16;

  void lose(int credit) {
    if (credit_ == 0) pause_ = std::min(pause_ * 2, kLongestPause);
    credit_ = std::max(credit_ - credit, 0);
  }

  int credit_ = kMostCredit / 2;
  std::uint32_t skipped_ = 0, pause_ = kFirstPause;
  bool pays_ = true;
};

}  // namespace slotwire::slot
