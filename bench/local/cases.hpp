// What is measured: the cases, by name, and the rows that their measurements become.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "measure.hpp"

namespace slotwire::bench {

/// One case: every contender that can do it is measured in turn, run after run.
struct Case {
  std::string name;
  Kind kind = Kind::round_trip;
  Waiting waiting = Waiting::spin;
  Placement placement = Placement::two_cores;
  std::size_t size = 64;
  unsigned subscribers = 1;
  std::string floor{};  ///< the contender that the others are compared with
  bool in_quick = true;
  /// The contender whose row bears the case's name. Where it is not Slotwire's messages, it and the floor alone take
  /// part.
  std::string own = "slotwire";
};

const std::vector<Case>& cases();

/// Whether a contender takes part.
bool takes_part(const Contender& contender, const Case& one);

/// The values of one measurement, by metric.
struct Value {
  std::string metric, unit;
  double value = 0;
};
std::vector<Value> values_of(const Case& one, const Outcome& outcome);

/// All runs of all contenders, and the rows that they make.
class Results {
 public:
  void add(const std::string& name, const std::string& contender, const Value& value);
  /// One row for each case, metric and contender. The row of Case::own, Slotwire's messages mostly, bears the
  /// case's own name and names the others as its peers.
  nlohmann::json rows() const;

 private:
  struct Series {
    std::string name, contender, metric, unit;
    std::vector<double> runs;
  };
  const Series* find(const std::string& name, const std::string& contender, const std::string& metric) const;
  std::vector<Series> series_;
};

}  // namespace slotwire::bench
