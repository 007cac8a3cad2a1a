// The decision of a round by a given algorithm: for those who bring one of their own, as tests with mutants do.
#pragma once
#include "core/congestion/algorithm.hpp"

namespace slotwire::congestion {

/// As decide(), by `by` instead of the algorithm that the state's settings name.
Decision decide_by(const Algorithm& by, State& state, const Round& round);

}  // namespace slotwire::congestion
