/* Circuit breaking: whether a request to a service may begin, or has to fail at once. Part of libslotwire's C++
 * headers; no part of it talks to slotwired. Whoever sends requests owns one Breaker for each service, asks it before a
 * request begins, and answers the request itself when a limit forbids it. One thread. */
#pragma once
#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>

namespace slotwire {

/// What one caller allows itself at one service. 0: no limit.
struct BreakerLimits {
  std::size_t requests = 0;          ///< begun and not ended, those that wait for a connection among them
  std::size_t process_requests = 0;  ///< that one process has at one time
  std::size_t waiting = 0;           ///< that wait for a connection; unlike the others 0 allows none
  std::size_t retries_percent = 0;   ///< of the requests that are begun and not ended, those that are tried again
  std::size_t least_retries = 3;     ///< tries that are allowed whatever their share is
};

class Breaker {
 public:
  enum class Limit : std::uint8_t { none, requests, process, waiting, retries };
  static constexpr std::size_t kLimits = 5;

  explicit Breaker(const BreakerLimits& limits) : limits_(limits) {}

  /// Whether one more request, or another try of one, may begin; what forbids it. Changes nothing.
  Limit may_begin(bool retry) const { return may_begin(retry, requests_, retries_); }
  /// The same where others count, too: with so many requests begun and not ended by all, and tries of them.
  Limit may_begin(bool retry, std::size_t requests, std::size_t retries) const {
    if (limits_.requests != 0 && requests >= limits_.requests) return Limit::requests;
    if (retry && limits_.retries_percent != 0) {
      const std::size_t share = (requests + 1) * limits_.retries_percent / 100;
      if (retries >= std::max(share, limits_.least_retries)) return Limit::retries;
    }
    return Limit::none;
  }
  /// Whether a process that has so many requests may have one more.
  bool may_have_another(std::size_t process_requests) const {
    return limits_.process_requests == 0 || process_requests < limits_.process_requests;
  }
  /// Whether one more may wait beside so many.
  Limit may_wait(std::size_t waiting) const { return waiting < limits_.waiting ? Limit::none : Limit::waiting; }

  void begin(bool retry) {
    ++requests_;
    retries_ += retry ? 1 : 0;
  }
  void end(bool retry) {
    assert(requests_ != 0 && (!retry || retries_ != 0));
    --requests_;
    retries_ -= retry ? 1 : 0;
  }
  /// A request was refused by this limit.
  void count(Limit limit) { ++refused_.at(static_cast<std::size_t>(limit)); }

  std::size_t requests() const { return requests_; }
  std::size_t retries() const { return retries_; }
  std::uint64_t refused(Limit limit) const { return refused_.at(static_cast<std::size_t>(limit)); }
  /// "requests", "process", "waiting", "retries".
  static const char* name(Limit limit) {
    constexpr std::array<const char*, kLimits> kNames{"none", "requests", "process", "waiting", "retries"};
    return kNames.at(static_cast<std::size_t>(limit));
  }

 private:
  const BreakerLimits limits_;
  std::size_t requests_ = 0, retries_ = 0;
  std::array<std::uint64_t, kLimits> refused_{};
};

}  // namespace slotwire
