// What a call costs that the exchange cache answers, and how often it can.
#pragma once
#include <string>
#include <vector>

#include "cases.hpp"

namespace slotwire::bench {

inline constexpr const char* kCacheCase = "cache-hit";

/// Hits beside local calls that spin, both taken in turns in one run: of one key, and of a million keys in 64 MiB.
std::vector<Value> measure_cache_hits(Harness& harness, unsigned milliseconds);
/// The hit ratio of a Zipf load (s = 0.99) beside the best that as many entries can have, in caches of several sizes.
std::vector<Value> measure_cache_ratio(bool quick);

}  // namespace slotwire::bench
