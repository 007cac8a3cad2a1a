#include "runtime/client/inspection.hpp"

#include <ctime>
#include <utility>

#include "runtime/client/connection.hpp"

namespace slotwire::client {
namespace {

/// Nanoseconds, to a few milliseconds: it is asked for each record.
std::int64_t coarse_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  constexpr std::int64_t kSecond = 1'000'000'000;
  return (static_cast<std::int64_t>(now.tv_sec) * kSecond) + now.tv_nsec;
}

/// Nobody reads summaries here.
inspect::Limits without_summaries() {
  inspect::Limits limits;
  limits.summary_bytes = 0;
  return limits;
}

}  // namespace

control::Inspected InspectedService::take(const std::string& service) {
  static_assert(control::kMaxLabels >= inspect::Counts::kMaxLabels);
  const inspect::Counts found = std::exchange(counts, {});
  control::Inspected message;
  message.service = service;
  message.language = inspect::name_of(language);
  for (const auto& [label, count] : found.by_label()) message.labels.push_back({label, count});
  message.invalid = found.invalid;
  message.refused = found.refused;
  return message;
}

void InspectedService::tell_now_and_then() {
  const std::int64_t now = coarse_ns();
  if (now - told_ns < kIntervalNs) return;
  told_ns = now;
  tell();
}

Inspection::Inspection(InspectedService& service)
    : service_(service),
      inspector_(service.language, inspect::Role::request, inspect::Join::beginning, without_summaries()) {}

bool Inspection::look(const slot::RecordHeader& header, std::string_view payload) {
  const bool good = inspector_.begin(header, service_) && inspector_.feed(payload, service_);
  if (!good) {
    ++service_.counts.invalid;
    if (service_.refuses) ++service_.counts.refused;
  }
  service_.tell_now_and_then();
  return good;
}

void Connection::inspect(InspectedService& inspected) {
  inspection_.emplace(inspected);
  inspected_ = reader_.consumer().head();
}

Failure Connection::look_at(const slot::RecordView& view, std::uint32_t skip) {
  if (!inspection_) return {};
  if (end_.status != SW_OK && inspection_->service().refuses && !inspection_->problem().empty()) return end_;
  const slot::Position at = reader_.consumer().head() + skip;
  if (static_cast<std::int32_t>(at - inspected_) < 0) return {};
  inspected_ = at + view.lines;
  const std::string_view payload(reinterpret_cast<const char*>(view.payload.data()), view.payload.size());
  if (inspection_->look(view.header, payload)) return {};
  const bool refuses = inspection_->service().refuses;
  const std::string why(inspection_->problem());
  if (!refuses) {
    inspection_.reset();
    return {};
  }
  return broken("the peer does not speak " + info_.inspect + ", which the node's configuration demands of '" +
                info_.service + "': " + why);
}

}  // namespace slotwire::client
