// What the cases measured, the goals, and the rows that both become.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace slotwire::bench {

struct Value {
  std::string metric, unit;
  double value = 0;
};

/// What a case has to reach.
struct Goal {
  std::string group, metric;
  std::string contender;  ///< of whom it is asked
  enum { at_most, at_least } sense;
  double factor;        ///< of `against`, or the value itself if that is empty
  std::string against;  ///< a contender of the group, or kBestPeer
};
inline constexpr const char* kBestPeer = "the best peer";
const std::vector<Goal>& goals();

class Figures {
 public:
  /// One run of one contender.
  void add(const std::string& group, const std::string& contender, const Value& value);
  /// The contender that the others of the group are compared with in this metric. "": in all others.
  void set_floor(const std::string& group, const std::string& contender, const std::string& metric = "");
  /// A sentence without its full stop that belongs to the group's figures.
  void note(const std::string& group, const std::string& text) { notes_[group] = text; }
  /// One for each group, metric and contender.
  nlohmann::json rows() const;
  bool empty() const { return series_.empty(); }

 private:
  struct Series {
    std::string group, contender, metric, unit;
    std::vector<double> runs;
  };
  const Series* find(const std::string& group, const std::string& contender, const std::string& metric) const;
  const Series* floor_of(const Series& series) const;
  nlohmann::json goal_of(const Series& series) const;
  std::vector<Series> series_;
  std::map<std::string, std::map<std::string, std::string>> floors_;  ///< group -> metric -> contender
  std::map<std::string, std::string> notes_;
};

}  // namespace slotwire::bench
