// The bugs that mutate.py puts into http_stream. Only in http-mutants.
#pragma once
#include <span>
#include <string_view>

namespace slotwire::http_stream {

/// Which bug is on: 1.. in the order of the names; 0: none.
void set_mutant(int number);
std::span<const std::string_view> mutant_names();

}  // namespace slotwire::http_stream
