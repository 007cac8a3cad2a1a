// How fast a session goes: the round trip, the time-out that follows from it, how long bundles gather, how long they
// are.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/http_stream/bundle.hpp"

namespace slotwire::http_stream {

/// Round-trip time as RFC 6298 smooths it, and the time-out.
class RoundTrip {
 public:
  RoundTrip(std::uint64_t first_us, std::uint64_t min_us, std::uint64_t max_us)
      : first_us_(first_us), min_us_(min_us), max_us_(max_us) {}

  void measured(std::uint64_t us) {
    const std::uint64_t off = us > smoothed_us_ ? us - smoothed_us_ : smoothed_us_ - us;
    variation_us_ = smoothed_us_ == 0 ? us / 2 : variation_us_ - variation_us_ / 4 + off / 4;
    smoothed_us_ = smoothed_us_ == 0 ? us : smoothed_us_ - smoothed_us_ / 8 + us / 8;
    smoothed_us_ = std::max<std::uint64_t>(smoothed_us_, 1);
    backoff_ = 1;
  }
  /// A time-out passed: the next one is twice as long, until a round trip is measured.
  void timed_out() { backoff_ = std::min<std::uint64_t>(2 * backoff_, 64); }
  std::uint64_t smoothed_us() const { return smoothed_us_; }
  std::uint64_t timeout_us() const {
    if (smoothed_us_ == 0) return std::min(first_us_ * backoff_, max_us_);
    // Requests that leave together wait for each other on the way, which the variation shows only afterwards: so the
    // least is what is added to the round trip.
    return std::min((smoothed_us_ + std::max(4 * variation_us_, min_us_)) * backoff_, max_us_);
  }

 private:
  std::uint64_t first_us_, min_us_, max_us_;
  std::uint64_t smoothed_us_ = 0, variation_us_ = 0, backoff_ = 1;
};

/// How long bundles gather and how long they may be, by round trip and load.
///
/// Bundles have at most bundle_bytes at first. While several of them wait, one of twice the length is tried; if it
/// passes, all may be that long. So proxies that hang on long bodies, or refuse them, cost one bundle now and then, and
/// others have fewer requests to pass on.
class Pace {
 public:
  explicit Pace(const SessionOptions& options)
      : options_(options),
        most_(options.bundle_bytes),
        ceiling_(options.bundle_bytes_max),
        least_(std::min(options.bundle_bytes, kMinBundleBytes + options.part_bytes)),
        bytes_(options.bundle_bytes),
        retry_us_(options.longer_retry_us) {}

  /// The smoothed round trip is this now. One that has grown to several times the shortest says that bundles wait for
  /// each other on the way: they become shorter, so that what is urgent waits less; and longer again afterwards.
  void round_trip(std::uint64_t us, std::uint64_t now_us) {
    if (us == 0) return;
    round_trip_us_ = us;
    shortest_us_ = shortest_us_ == 0 ? us : std::min(shortest_us_, us);
    if (now_us < changed_us_ + us) return;
    constexpr std::uint64_t kLong = 300 * kMillisecond;
    if (us > kLong && us > 4 * shortest_us_) {
      bytes_ = std::max(least_, bytes_ / 2);
      changed_us_ = now_us;
    } else if (us < 2 * shortest_us_ && bytes_ < most_) {
      bytes_ = std::min(most_, 2 * bytes_);
      changed_us_ = now_us;
    }
  }
  /// No body may be longer than this: the peer or a proxy says so.
  void limit_bundle(std::size_t bytes) {
    ceiling_ = std::max(least_, std::min(ceiling_, bytes));
    most_ = std::min(most_, ceiling_);
    bytes_ = std::min(bytes_, most_);
  }

  // Longer bodies.

  /// How long the next bundle may be when so much waits for it.
  std::size_t next_bytes(std::size_t waiting, std::uint64_t now_us) const {
    const bool may_try = waiting >= kTrialBundles * most_ && bytes_ == most_ && most_ < ceiling_ && trial_ == 0 &&
                         now_us >= try_from_us_;
    return may_try ? std::min(2 * most_, ceiling_) : bytes_;
  }
  /// A bundle of this length was sent. If it is a trial, there is no other one before its end is known.
  void sent(std::size_t bytes) {
    if (bytes > most_) trial_ = bytes;
  }
  /// A bundle of this length has arrived.
  void passed(std::size_t bytes) {
    if (trial_ == 0 || bytes < trial_) return;
    if (bytes_ == most_) bytes_ = std::min(bytes, ceiling_);
    most_ = std::min(bytes, ceiling_);
    trial_ = 0;
  }
  /// A bundle of this length has failed, for whatever reason. Of those that pass everywhere that says nothing.
  void failed(std::size_t bytes, std::uint64_t now_us) {
    if (bytes <= options_.bundle_bytes) return;
    trial_ = 0;
    if (bytes <= most_) most_ = std::max(std::min(options_.bundle_bytes, ceiling_), bytes / 2);
    bytes_ = std::min(bytes_, most_);
    if (now_us < try_from_us_) return;  // one of those that were on their way together
    try_from_us_ = now_us + retry_us_;
    retry_us_ = std::min(2 * retry_us_, options_.longer_retry_max_us);
  }

  /// What becomes of it will not be known.
  void forget_trial() { trial_ = 0; }

  /// Length of a bundle that needs not wait for more.
  std::size_t full_bytes() const { return bytes_; }
  std::size_t bundle_bytes() const { return bytes_; }
  /// That a bundle may have, trials aside, and that it may ever have.
  std::size_t most_bytes() const { return most_; }
  std::size_t ceiling_bytes() const { return ceiling_; }
  std::size_t least_bytes() const { return least_; }
  std::uint64_t gather_us() const { return std::min(options_.gather_max_us, round_trip_us_ / 8); }

 private:
  static constexpr std::size_t kTrialBundles = 3;  ///< that wait before a longer one is tried

  SessionOptions options_;
  std::size_t most_, ceiling_, least_, bytes_;
  std::size_t trial_ = 0;  ///< length of the bundle that is tried; 0: none
  std::uint64_t try_from_us_ = 0, retry_us_;
  std::uint64_t round_trip_us_ = 0, shortest_us_ = 0, changed_us_ = 0;
};

}  // namespace slotwire::http_stream
