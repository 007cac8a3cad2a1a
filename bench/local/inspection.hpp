// What the parsers of the inspection cost.
#pragma once
#include <vector>

#include "cases.hpp"

namespace slotwire::bench {

/// The names of the cases: "inspect/http" and others.
inline constexpr const char* kInspectionCase = "inspect";

/// Time of each parser for a message, nanoseconds, over so many milliseconds; the floor is to copy the same bytes.
/// Adds to `results`, under the contenders "slotwire" and "floor: copy".
void measure_inspection(unsigned milliseconds, Results& results);

}  // namespace slotwire::bench
