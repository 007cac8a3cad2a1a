// One connection measured for another benchmark.
#pragma once
#include <string>

namespace slotwire::bench {

/// Calls (`what` is "round-trips") or one-way messages of 40 bytes through one connection; prints what it measured as
/// JSON. Returns the exit status.
int print_one_connection(const std::string& socket, const std::string& service, int count, const std::string& what);

}  // namespace slotwire::bench
