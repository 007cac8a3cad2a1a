// The bugs that mutate.py puts into the engine's rooms. Only in engine-mutants.
#pragma once
#include <span>
#include <string_view>

namespace slotwire::engine {

/// Which bug is on in this thread: 1.. in the order of the names; 0: none.
void set_mutant(int number);
std::span<const std::string_view> mutant_names();

}  // namespace slotwire::engine
