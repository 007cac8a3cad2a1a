// What must hold for a node between any two steps, whatever its processes and peers do.
#pragma once
#include <string>

#include "runtime/engine/node.hpp"
#include "sim/engine/sim_machine.hpp"

namespace slotwire::sim {

/// Slots, sessions, what users hold and what `store` keeps agree with each other, and no user has more than its quota.
/// Returns what does not hold; empty: everything does.
std::string broken_invariant(engine::Node& node, const SimStore& store);

}  // namespace slotwire::sim
