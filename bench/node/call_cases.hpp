// Calls between nodes with several of them under way, beside the same over bare TCP.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace slotwire::bench {

/// How many calls are under way, and whose they are.
struct CallShape {
  std::string name;           ///< "call-16"
  std::size_t callers = 1;    ///< processes, each with a connection of its own
  std::size_t under_way = 1;  ///< calls that each of them has under way
};
/// The shapes that are measured.
const std::vector<CallShape>& call_shapes();

/// What one measurement of a shape gave.
struct CallResult {
  double rate = 0;          ///< calls a second, of all callers together
  double p50 = 0, p99 = 0;  ///< microseconds from a request to its answer
  double cpu_us = 0;        ///< processor time of all processes for a call, microseconds
  double proxies_us = 0;    ///< of that, the two slotwired; 0 for bare TCP
};

/// Two nodes and a server on the second one, as the callers find them.
struct CallNodes {
  std::string socket;          ///< control socket of the callers' node
  std::string service;         ///< answers every request with its own bytes
  std::vector<pid_t> proxies;  ///< both slotwired
  pid_t server = -1;
};

/// Measures about `calls` calls of 64 bytes through slots. Throws std::runtime_error.
CallResult measure_calls(const CallShape& shape, std::size_t calls, const CallNodes& nodes);
/// How the bare ends send: a send() for each request and answer, or one for all that are due.
enum class Sending { each, together };
/// The same between bare processes: one server with epoll, a TCP connection for each caller.
CallResult measure_bare_calls(const CallShape& shape, std::size_t calls, Sending sending);

}  // namespace slotwire::bench
