// What a tunnel writes of itself: a line for each connection that ended, and for what went wrong.
#pragma once
#include <cstdint>
#include <string>

#include "tools/slotwire/tunnel/pipe.hpp"

namespace slotwire::cli {

class AccessLog {
 public:
  /// `json`: one object a line on standard output; else text on standard error. `quiet`: no line for each connection.
  AccessLog(bool json, bool quiet) : json_(json), quiet_(quiet) {}

  void ready(const std::string& text, const std::string& address, const std::string& service);
  void ended(const Pipe& pipe, const std::string& service);
  void trouble(const std::string& text);
  void sums();

 private:
  bool json_, quiet_;
  std::uint64_t connections_ = 0, broken_ = 0, to_slot_ = 0, from_slot_ = 0;
};

}  // namespace slotwire::cli
