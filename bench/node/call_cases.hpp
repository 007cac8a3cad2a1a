// Calls with one or several of them under way.
#pragma once
#include <cstddef>
#include <vector>

#include "contender.hpp"
#include "figures.hpp"

namespace slotwire::bench {

/// How many calls are under way, and whose they are.
struct CallShape {
  std::size_t callers = 1;    ///< processes, each with a connection of its own
  std::size_t under_way = 1;  ///< calls that each of them has under way
  std::size_t servers = 1;    ///< that each of them calls in turn
};

/// Measures about `calls` calls of kCallBytes. Throws std::runtime_error.
std::vector<Value> measure_calls(const CallShape& shape, std::size_t calls, const Contender& contender);

}  // namespace slotwire::bench
