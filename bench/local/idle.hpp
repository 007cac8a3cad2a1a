// What a node costs that has many slots and nothing to do.
#pragma once
#include <vector>

#include "cases.hpp"

namespace slotwire::bench {

inline constexpr const char* kIdleCase = "idle-1000";

/// Processor time of slotwired with 1,000 idle slots (500 connections within the node), for so many seconds.
std::vector<Value> measure_idle(Harness& harness, unsigned seconds);

}  // namespace slotwire::bench
