// What no single key can be checked for: values that contradict each other. Private to the engine's configuration code.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "runtime/engine/config/config.hpp"

namespace slotwire::engine {

/// Where each key stands that was written down: "memory.ring", or "link#0.dial" for a key of the first [[link]].
using Positions = std::map<std::string, Position>;

/// Problems in the order they were found, formatted.
class Problems {
 public:
  explicit Problems(std::string source) : source_(std::move(source)) {}
  void add(Position at, const std::string& key, const std::string& text) {
    lines_.push_back(format_problem(source_, at, key, text));
  }
  bool empty() const { return lines_.empty(); }
  std::vector<std::string> take() { return std::move(lines_); }

 private:
  std::string source_;
  std::vector<std::string> lines_;
};

/// Fills in the defaults that depend on other keys.
void complete(Config& config, const Positions& positions);
/// Adds a problem for each contradiction.
void check_contradictions(const Config& config, const Positions& positions, Problems& problems);

}  // namespace slotwire::engine
