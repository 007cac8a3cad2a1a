// What changed in a configuration that is read again.
#pragma once
#include <string>
#include <vector>

#include "runtime/engine/config/config.hpp"

namespace slotwire::engine {

/// What differs between the configuration that a node runs with and the one that was read again, and is used at the
/// next start only: "memory.slot_memory", "the [[link]] to 'b'". The tables that a reload takes up are left out.
std::vector<std::string> changes_for_a_restart(const Config& before, const Config& after);

}  // namespace slotwire::engine
