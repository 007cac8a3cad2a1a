// What `slotwire web serve` writes of itself: a line for each request, and for what went wrong.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "slotwire_web.hpp"

namespace slotwire::cli {

class WebLog {
 public:
  /// `json`: one object a line on standard output; else text on standard error. `quiet`: no line for each request.
  WebLog(bool json, bool quiet) : json_(json), quiet_(quiet) {}
  /// The name of the node, for lines in JSON from now on.
  void set_node(std::string node) { node_ = std::move(node); }

  void note(const std::string& event, const std::string& text) const;
  void finished(const web::Finished& request);
  /// `heads`: that were given up because their user had too many.
  void sums(std::uint64_t heads) const;

 private:
  nlohmann::ordered_json line(const std::string& event, const char* level, const std::string& message) const;

  bool json_, quiet_;
  std::string node_;
  std::uint64_t requests_ = 0, aborted_ = 0, failed_ = 0;
};

}  // namespace slotwire::cli
