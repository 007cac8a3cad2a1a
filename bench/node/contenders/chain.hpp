// A chain of processes that pass bytes on over TCP and do nothing else: what as many processes cost that wake each
// other one after the other.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "processes.hpp"

namespace slotwire::bench {

class Chain {
 public:
  /// `links` processes before a server at a port of 127.0.0.1, which has to listen when somebody connects.
  Chain(std::size_t links, const std::string& port);
  /// Where the chain begins.
  const std::string& port() const { return port_; }
  std::vector<pid_t> pids() const;

 private:
  std::string port_;
  std::vector<std::unique_ptr<Part>> links_;
};

}  // namespace slotwire::bench
