/* What a process does for a service, or asks of it, as counts and times. Part of slotwire.hpp, which includes it. */
#pragma once
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "slotwire.h"

namespace slotwire {

/// What this process does for a service, or asks of it: counts and times, which Context::report() sends to slotwired.
/// Belongs to one thread.
class Figures {
 public:
  enum class Role : std::uint32_t { client = SW_CLIENT, server = SW_SERVER };
  /// `service`: name of the service, as in Context::serve().
  Figures(std::string service, Role role) : service_(std::move(service)), role_(role) {}

  /// A request has ended after `took`. `trace`: the number of its trace, if it has one (the 32 digits of a W3C
  /// traceparent); digits and letters, cut to 32.
  void add(std::chrono::microseconds took, bool failed, std::string_view trace = {}) {
    const auto us = static_cast<std::uint64_t>(std::max<std::chrono::microseconds::rep>(took.count(), 0));
    const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), us);
    ++buckets_.at(static_cast<std::size_t>(bound - kBounds.begin()));
    ++requests_;
    errors_ += failed ? 1 : 0;
    sum_us_ += us;
    // One of the slow requests since the last report.
    if (trace.empty() || us < exemplar_us_) return;
    exemplar_us_ = us;
    trace_ = trace.substr(0, 32);
  }
  /// Requests that were refused by a limit of this process's own, so far (slotwire_breaker.hpp).
  void set_limited(const std::array<std::uint64_t, SW_FIGURE_LIMITS>& limited) { limited_ = limited; }
  const std::string& service() const { return service_; }
  /// Requests that have ended.
  std::uint64_t requests() const { return requests_; }
  /// As sw_report() takes them; valid until the next add(). The traced request is then forgotten.
  sw_figures take() {
    sw_figures told;
    SW_INIT(told);
    told.role = static_cast<std::uint32_t>(role_);
    told.service = service_.c_str();
    told.requests = requests_;
    told.errors = errors_;
    told.sum_us = sum_us_;
    std::copy(buckets_.begin(), buckets_.end(), std::begin(told.buckets));
    told.exemplar_trace = trace_.empty() ? nullptr : trace_.c_str();
    told.exemplar_us = std::exchange(exemplar_us_, 0);
    std::copy(limited_.begin(), limited_.end(), std::begin(told.limited));
    return told;
  }
  /// Upper bounds of the buckets but the last, microseconds.
  static constexpr std::array<std::uint64_t, SW_FIGURE_BUCKETS - 1> kBounds{
      50,     100,     200,     500,     1'000,     2'000,     5'000,     10'000,    20'000,
      50'000, 100'000, 200'000, 500'000, 1'000'000, 2'000'000, 5'000'000, 10'000'000};

 private:
  std::string service_, trace_;
  Role role_;
  std::array<std::uint64_t, SW_FIGURE_BUCKETS> buckets_{};
  std::array<std::uint64_t, SW_FIGURE_LIMITS> limited_{};
  std::uint64_t requests_ = 0, errors_ = 0, sum_us_ = 0, exemplar_us_ = 0;
};

}  // namespace slotwire
