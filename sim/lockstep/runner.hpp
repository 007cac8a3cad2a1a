// Runs a program on two implementations and compares all that can be seen, step by step; shortens a program that
// differs.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "sim/lockstep/coverage.hpp"
#include "sim/lockstep/implementation.hpp"
#include "sim/lockstep/software_card.hpp"

namespace slotwire::lockstep {

struct Difference {
  std::size_t step = 0;  ///< from 1
  std::string what;
  std::uint64_t clock = 0;  ///< of the implementation that is looked at; 0 where there are no clocks
};

struct RunResult {
  std::optional<Difference> difference;
  std::size_t steps = 0;    ///< taken
  std::size_t settled = 0;  ///< comparisons
};

/// `seen` against the software pipeline. One thread; runs share nothing.
RunResult run(const Program& program, Implementation& seen, Coverage* coverage = nullptr);

using Differs = std::function<bool(const Program&)>;
/// Most runs that shortening may take.
inline constexpr unsigned kMaxShrinkRuns = 2'000;
/// The program without the steps that `differs` does not need: no single step can be left out any more, unless
/// kMaxShrinkRuns or `max_runs` were not enough. `differs(program)` is true.
Program shrink(Program program, const Differs& differs, unsigned max_runs = kMaxShrinkRuns);

}  // namespace slotwire::lockstep
