// Clients and a server of http_stream over a lossy HTTP, with applications that send, read late and end sessions; and
// the checks of what they may see.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace slotwire::sim {

struct HttpRun {
  std::uint64_t seed = 1;
  std::uint64_t trouble_us = 60'000'000;  ///< simulated time for which the way is bad, before it heals
};

struct HttpResult {
  std::optional<std::string> violation;
  std::vector<std::string> events;  ///< the last ones, for people
  std::uint64_t steps = 0, requests = 0, bytes = 0, messages = 0, resent = 0, duplicates = 0, cuts = 0, ended = 0,
                duplex_tries = 0;
  std::uint64_t hash = 0;
};

/// One run. The same seed gives the same run.
HttpResult run_http(const HttpRun& run);

}  // namespace slotwire::sim
