// Whether a wait stays awake for a while before it sleeps, by what the waits before it brought.
#pragma once
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace slotwire::slot {

/// Kept from wait to wait by whoever waits again and again. Spinning and yielding pay when what is waited for comes
/// before the thread would sleep: a sleep and its wake-up cost several switches. They cost when it does not, and a
/// yield is a loss when somebody who has much to do takes the processor and keeps it, for a thread that sleeps is given
/// the processor as soon as it is woken. Waits for nothing itself and reads no clock. Belongs to one thread.
///
/// Whether a wait will be short is told by the ones before it: who passes a call on waits shortly for the answer and
/// long for the next call, in turn. So there is a credit for each sequence of short and long waits that may have come
/// before.
class WaitHabit {
 public:
  /// A yield that took longer than this was a loss, whatever it brought.
  static constexpr std::chrono::nanoseconds kLongYield = std::chrono::milliseconds(1);
  /// Between two tries of a habit that does not pay: this many waits at first, and twice as many after each try that
  /// failed, up to the most. After long yields no wait stays awake for as many waits.
  static constexpr std::uint32_t kFirstPause = 16, kLongestPause = 1024;
  /// So many waits before one tell what it will be like.
  static constexpr unsigned kPast = 2;

  /// A wait begins. False: it sleeps at once. Its end is told by one of found(), missed() and slept().
  bool begin() {
    ++skipped_;
    pays_ = shut_ ? skipped_ >= pause_ : credit() > 0 || skipped_ >= pause_;
    if (pays_) {
      skipped_ = 0;
      shut_ = false;
    }
    return pays_;
  }
  /// What begin() said.
  bool pays() const { return pays_; }
  /// The wait stayed awake, and what it waited for came, `took` after its last yield began.
  void found(std::chrono::nanoseconds took) {
    if (took >= kLongYield) return lose_turn();
    trust_ = std::min(trust_ + kGain, kMostCredit);
    lost_turn_ = false;
    pause_ = kFirstPause;
    gain(kGain);
  }
  /// The wait stayed awake, and sleeps nevertheless.
  void missed() {
    if (credit() == 0) wait_longer();
    lose();
  }
  /// The wait slept at once. `soon`: what it waited for came before a wait that stays awake would have slept.
  void slept(bool soon) {
    if (soon) return gain(kGainAsleep);
    lose();
  }
  /// One yield took so long.
  void yielded(std::chrono::nanoseconds took) {
    if (took >= kLongYield) lose_turn();
  }

 private:
  // A wait that is found saves about twice what one that is missed costs: it pays from one in three on.
  static constexpr int kGain = 2, kGainAsleep = 1, kMostCredit = 16;
  static constexpr std::size_t kPasts = std::size_t{1} << kPast;

  int& credit() { return credits_[past_]; }
  void gain(int credits) {
    credit() = std::min(credit() + credits, kMostCredit);
    ended(true);
  }
  void lose() {
    credit() = std::max(credit() - 1, 0);
    ended(false);
  }
  void ended(bool soon) { past_ = ((past_ << 1U) | (soon ? 1U : 0U)) % kPasts; }
  void wait_longer() { pause_ = std::min(pause_ * 2, kLongestPause); }
  /// A yield cost a whole turn of somebody else's, whatever kind of wait it was.
  void lose_turn() {
    trust_ = std::max(trust_ - kMostCredit / 2, 0);
    if (trust_ != 0 || shut_) return;
    if (std::exchange(lost_turn_, true)) wait_longer();
    shut_ = true;
    skipped_ = 0;
  }

  std::array<int, kPasts> credits_ = full_of(kMostCredit / 2);
  int trust_ = kMostCredit / 2;  ///< that a yield returns soon
  unsigned past_ = 0;            ///< the last waits, one bit each, set: it was short
  std::uint32_t skipped_ = 0, pause_ = kFirstPause;
  bool pays_ = true;
  bool shut_ = false;       ///< yields take long: no wait stays awake before the pause is over
  bool lost_turn_ = false;  ///< no wait has been found since that

  static constexpr std::array<int, kPasts> full_of(int credit) {
    std::array<int, kPasts> all{};
    all.fill(credit);
    return all;
  }
};

}  // namespace slotwire::slot
