// Two whole engines in simulated time: their rooms, a control connection that breaks, a wire that loses frames,
// processes that come and go, and invariants checked after every step.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/engine/node.hpp"
#include "runtime/engine/services/directory.hpp"
#include "sim/engine/sim_loop.hpp"
#include "sim/engine/sim_machine.hpp"
#include "sim/engine/sim_process.hpp"
#include "sim/engine/sim_transport.hpp"
#include "sim/random.hpp"

namespace slotwire::sim {

struct EngineRun {
  std::uint64_t seed = 1;
  unsigned steps = 300;
  /// The link goes over the best of three wires, which change at random while it lives.
  bool carriers = false;
};

/// With carriers: no line is on its way for longer while one wire is good, and has been for kGoodUs. The best two wires
/// may be silent, one after the other, which three questions on each find out; and then what was lost is sent again.
inline constexpr std::uint64_t kSlowestUs = 4'000'000;
/// Within this time a link knows that a wire is good: questions on one that is not are asked every five seconds.
inline constexpr std::uint64_t kGoodUs = 7'000'000;

/// What a run did, and what it violated.
struct EngineResult {
  std::uint64_t hash = 0;
  std::uint64_t steps = 0, restarts = 0, opened = 0, lines = 0, cuts = 0;
  std::uint64_t calls = 0, slowest_us = 0, moves = 0;  ///< with carriers
  std::optional<std::string> violation;
  std::vector<std::string> events;  ///< the last ones before the violation
};

EngineResult run_engines(const EngineRun& run);

}  // namespace slotwire::sim
