#include "figures.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "contender.hpp"

namespace slotwire::bench {
namespace {

std::string short_number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.10g", value);
  return text.data();
}

}  // namespace

const std::vector<Goal>& goals() {
  const std::string tcp = "bare tcp", slots = kSlotwire, direct = "direct";
  static const std::vector<Goal> all{
      {"call-1", "p50", slots, Goal::at_most, 0.4, tcp},
      {"call-1", "processor time per call", slots, Goal::at_most, 1, tcp},
      {"call-16", "calls", slots, Goal::at_least, 1, tcp},
      {"call-64", "calls", slots, Goal::at_least, 1, tcp},
      {"under-way-64", "calls", slots, Goal::at_least, 1.3, tcp},
      {"one-way-64", "messages", slots, Goal::at_least, 2, kBestPeer},
      {"large-1MiB", "throughput", slots, Goal::at_least, 0.9, tcp},
      {"tunnel-iperf3", "throughput", slots, Goal::at_least, 0.5, direct},
      {"tunnel-pgbench", "transactions", slots, Goal::at_least, 0.7, direct},
      {"tunnel-wrk", "requests", slots, Goal::at_least, 0.65, direct},
      {"tunnel-redis", "requests", slots, Goal::at_least, 0.8, direct},
      {"peers-4", "p50", slots, Goal::at_most, 1.3, "slotwire, one of them"},
      {"open-remote", "connections", slots, Goal::at_least, 10'000, ""},
      {"open-remote", "connections", "slotwire, 64 at once", Goal::at_least, 10'000, ""},
      {"open-local", "connections", slots, Goal::at_least, 20'000, ""},
      {"open-local", "connections", "slotwire, 64 at once", Goal::at_least, 20'000, ""},
      {"slots-60000", "p50", slots, Goal::at_most, 1.2, "slotwire, one slot"},
      {"hog", "p99", slots, Goal::at_most, 2, "slotwire, no hog"},
      {"idle", "processor of an idle slotwired", slots, Goal::at_most, 0.1, ""},
      {"idle", "processor of an idle slotwired", "slotwire, 1000 slots", Goal::at_most, 0.1, ""},
  };
  return all;
}

void Figures::add(const std::string& group, const std::string& contender, const Value& value) {
  for (Series& series : series_) {
    if (series.group == group && series.contender == contender && series.metric == value.metric) {
      series.runs.push_back(value.value);
      return;
    }
  }
  series_.push_back({group, contender, value.metric, value.unit, {value.value}});
}

void Figures::set_floor(const std::string& group, const std::string& contender, const std::string& metric) {
  floors_[group][metric] = contender;
}

const Figures::Series* Figures::find(const std::string& group, const std::string& contender,
                                     const std::string& metric) const {
  for (const Series& series : series_) {
    if (series.group == group && series.contender == contender && series.metric == metric) return &series;
  }
  return nullptr;
}

const Figures::Series* Figures::floor_of(const Series& series) const {
  const auto floors = floors_.find(series.group);
  if (floors == floors_.end()) return nullptr;
  for (const std::string& metric : {series.metric, std::string()}) {
    const auto found = floors->second.find(metric);
    if (found != floors->second.end()) return find(series.group, found->second, series.metric);
  }
  return nullptr;
}

nlohmann::json Figures::goal_of(const Series& series) const {
  for (const Goal& goal : goals()) {
    if (goal.group != series.group || goal.metric != series.metric || goal.contender != series.contender) continue;
    const bool most = goal.sense == Goal::at_most;
    std::string text = std::string(most ? "at most " : "at least ") + short_number(goal.factor);
    double value = median(series.runs);
    if (!goal.against.empty()) {
      const Series* other = nullptr;
      for (const Series& candidate : series_) {
        const bool stands_for = goal.against == kBestPeer ? !candidate.contender.starts_with(kSlotwire)
                                                          : candidate.contender == goal.against;
        if (candidate.group != series.group || candidate.metric != series.metric || !stands_for) continue;
        if (other == nullptr || (median(candidate.runs) < median(other->runs)) == most) other = &candidate;
      }
      if (other == nullptr) return nullptr;
      text += " of " + (goal.against == kBestPeer ? "the best peer, " + other->contender : goal.against);
      value /= median(other->runs);
    }
    return {{"text", text}, {"value", value}, {"met", most ? value <= goal.factor : value >= goal.factor}};
  }
  return nullptr;
}

nlohmann::json Figures::rows() const {
  nlohmann::json rows = nlohmann::json::array();
  for (const Series& series : series_) {
    const bool own = series.contender == kSlotwire;
    // Groups in which Slotwire has several names have no case that is named after the group.
    const bool named = std::any_of(series_.begin(), series_.end(), [&](const Series& other) {
      return other.group == series.group && other.contender == kSlotwire;
    });
    nlohmann::json row{{"suite", "node"},
                       {"case", own ? series.group : series.contender + (named ? ", " + series.group : "")},
                       {"group", series.group},
                       {"contender", series.contender},
                       {"metric", series.metric},
                       {"unit", series.unit},
                       {"value", median(series.runs)},
                       {"runs", series.runs.size()},
                       {"spread",
                        {*std::min_element(series.runs.begin(), series.runs.end()),
                         *std::max_element(series.runs.begin(), series.runs.end())}},
                       {"floor", nullptr},
                       {"ratio_to_floor", nullptr},
                       {"peers", nlohmann::json::object()}};
    if (const Series* const floor = floor_of(series)) {
      row["floor"] = median(floor->runs);
      if (median(floor->runs) != 0) row["ratio_to_floor"] = median(series.runs) / median(floor->runs);
    }
    for (const Series& other : series_) {
      if (&other != &series && other.group == series.group && other.metric == series.metric)
        row["peers"][other.contender] = median(other.runs);
    }
    if (const nlohmann::json goal = goal_of(series); !goal.is_null()) row["goal"] = goal;
    if (const auto note = notes_.find(series.group); own && note != notes_.end()) row["note"] = note->second;
    rows.push_back(row);
  }
  return rows;
}

}  // namespace slotwire::bench
