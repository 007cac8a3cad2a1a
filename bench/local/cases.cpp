#include "cases.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace slotwire::bench {
namespace {

constexpr const char* kSlotwire = "slotwire";
constexpr const char* kBlocks = "slotwire blocks";
/// Of cases that are not in the list: what is measured beside them, if anything.
constexpr const char* kCopy = "floor: copy";
constexpr const char* kStrict = "slotwire blocks, strict";

std::string size_name(std::size_t bytes) {
  if (bytes >= (std::size_t{1} << 20)) return std::to_string(bytes >> 20) + "MiB";
  if (bytes >= 1024) return std::to_string(bytes >> 10) + "KiB";
  return std::to_string(bytes);
}

std::vector<Case> make_cases() {
  const std::size_t mib = std::size_t{1} << 20;
  std::vector<Case> all{
      {.name = "spinning/64", .kind = Kind::open_round_trip, .floor = "floor: line"},
      {.name = "one-way/64", .kind = Kind::one_way, .floor = "floor: ring"},
      {.name = "one-way-batch/64", .kind = Kind::one_way_batch, .floor = "floor: ring"},
      {.name = "one-way-open/64", .kind = Kind::open_one_way, .floor = "floor: ring", .in_quick = false},
      {.name = "asleep/64", .waiting = Waiting::block, .floor = "floor: futex"},
      {.name = "asleep-same-core/64",
       .waiting = Waiting::block,
       .placement = Placement::same_core,
       .floor = "floor: futex"},
      {.name = "spinning/loan-1MiB", .kind = Kind::loan, .size = mib, .floor = "floor: line"},
      {.name = "spinning/pass-1MiB", .kind = Kind::pass, .size = mib, .floor = "floor: line"},
      {.name = "publish-8/1-subscriber", .kind = Kind::publish, .waiting = Waiting::block},
      {.name = "strict/64", .waiting = Waiting::block, .floor = kBlocks, .own = kStrict},
      {.name = "strict/64KiB", .waiting = Waiting::block, .size = 65536, .floor = kBlocks, .own = kStrict},
      {.name = "strict/1MiB", .waiting = Waiting::block, .size = mib, .floor = kBlocks, .own = kStrict},
      {.name = "publish-8", .kind = Kind::publish, .waiting = Waiting::block, .subscribers = 8},
  };
  for (std::size_t size = 32; size <= 4 * mib; size *= 2) {
    const bool quick = size == 65536 || size == mib;
    const bool power_of_four = size == 32 || (size > 64 && std::countr_zero(size) % 2 == 0);
    if (size == 64 || !power_of_four) continue;
    all.push_back({.name = "spinning/" + size_name(size), .size = size, .floor = "floor: line", .in_quick = quick});
  }
  return all;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace

const std::vector<Case>& cases() {
  static const std::vector<Case> all = make_cases();
  return all;
}

bool takes_part(const Contender& contender, const Case& one) {
  const Traits& traits = contender.traits;
  if (one.size > traits.largest) return false;
  if (one.own != kSlotwire && contender.name != one.own && contender.name != one.floor) return false;
  if (one.own == kSlotwire && contender.name == kStrict) return false;
  switch (one.kind) {
    case Kind::one_way:
    case Kind::one_way_batch:
    case Kind::open_one_way:
      // Floors that sleep are floors of round trips.
      return contender.messages && (traits.spins || traits.group != Group::floor) &&
             (traits.group != Group::floor || !traits.round_trips);
    case Kind::publish:
      return contender.messages && traits.fans_out;
    case Kind::round_trip:
    case Kind::open_round_trip:
    case Kind::loan:
    case Kind::pass:
      break;
  }
  return traits.round_trips && (one.waiting == Waiting::spin ? traits.spins : traits.blocks);
}

std::vector<Value> values_of(const Case& one, const Outcome& outcome) {
  const Figures& closed = outcome.closed;
  switch (one.kind) {
    case Kind::one_way:
    case Kind::one_way_batch:
      return {{"messages", "messages/s", closed.rate}, {"processor time per message", "ns", closed.cpu_ns}};
    case Kind::publish:
      return {{"publisher's time per message", "ns", closed.p50}, {"processor time per message", "ns", closed.cpu_ns}};
    default:
      break;
  }
  std::vector<Value> values;
  if (one.kind == Kind::open_one_way) {
    values.push_back({"saturation", "messages/s", closed.rate});
  } else {
    values = {{"round trip p50", "ns", closed.p50},
              {"round trip p99", "ns", closed.p99},
              {"processor time per round trip", "ns", closed.cpu_ns}};
    // Whether the sides did sleep: a round trip between two sleepers is two at least.
    if (one.kind == Kind::round_trip && one.waiting == Waiting::block)
      values.push_back({"sleeps per round trip", "", closed.sleeps});
  }
  if (one.kind == Kind::open_one_way || one.kind == Kind::open_round_trip) {
    const std::string what = one.kind == Kind::open_one_way ? "delay" : "round trip";
    for (std::size_t i = 0; i < kLoads.size(); ++i) {
      const std::string at = " at " + std::to_string(std::lround(kLoads[i] * 100)) + " % load";
      values.push_back({what + " p50" + at, "ns", outcome.open[i].p50});
      values.push_back({what + " p99" + at, "ns", outcome.open[i].p99});
    }
  }
  return values;
}

void Results::add(const std::string& name, const std::string& contender, const Value& value) {
  for (Series& series : series_) {
    if (series.name == name && series.contender == contender && series.metric == value.metric) {
      series.runs.push_back(value.value);
      return;
    }
  }
  series_.push_back({name, contender, value.metric, value.unit, {value.value}});
}

const Results::Series* Results::find(const std::string& name, const std::string& contender,
                                     const std::string& metric) const {
  for (const Series& series : series_) {
    if (series.name == name && series.contender == contender && series.metric == metric) return &series;
  }
  return nullptr;
}

nlohmann::json Results::rows() const {
  nlohmann::json rows = nlohmann::json::array();
  for (const Series& series : series_) {
    std::string floor_name = kCopy;
    std::string own_name = kSlotwire;
    for (const Case& one : cases()) {
      if (one.name != series.name) continue;
      floor_name = one.floor;
      own_name = one.own;
    }
    const bool own = series.contender == own_name;
    const double value = median(series.runs);
    nlohmann::json row{{"suite", "local"},
                       {"case", own ? series.name : series.name + ", " + series.contender},
                       {"group", series.name},
                       {"contender", series.contender},
                       {"metric", series.metric},
                       {"unit", series.unit},
                       {"value", value},
                       {"runs", series.runs.size()},
                       {"spread",
                        {*std::min_element(series.runs.begin(), series.runs.end()),
                         *std::max_element(series.runs.begin(), series.runs.end())}},
                       {"floor", nullptr},
                       {"ratio_to_floor", nullptr},
                       {"peers", nlohmann::json::object()}};
    if (const Series* const floor = find(series.name, floor_name, series.metric)) {
      row["floor"] = median(floor->runs);
      row["ratio_to_floor"] = value / median(floor->runs);
    }
    if (own) {
      for (const Series& other : series_) {
        if (other.name == series.name && other.metric == series.metric && !other.contender.starts_with("floor: ") &&
            other.contender != own_name && other.contender != floor_name)
          row["peers"][other.contender] = median(other.runs);
      }
    }
    rows.push_back(row);
  }
  return rows;
}

}  // namespace slotwire::bench
