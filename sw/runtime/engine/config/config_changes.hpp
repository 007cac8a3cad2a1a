// What changed in a configuration that is read again.
#pragma once
#include <string>
#include <vector>

#include "runtime/engine/config/config.hpp"

namespace slotwire::engine {

/// What differs between the configuration that a node runs with and the one that was read again, and is used at the
/// next start only: "memory.slot_memory changed", "the [[link]] to 'b' was removed". The tables and limits that a
/// reload takes up are left out.
std::vector<std::string> changes_for_a_restart(const Config& before, const Config& after);

/// Takes the limits of processes, users and peers of the configuration that was read again into the running one, where
/// they are asked each time, and the keys of the directory. Returns those that changed: "limits.slots_per_peer".
std::vector<std::string> take_live_keys(Config& running, const Config& read);

}  // namespace slotwire::engine
