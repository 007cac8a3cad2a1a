// Links that share one queue: senders with one link each, receivers behind a router, simulated time.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/congestion/algorithm.hpp"

namespace slotwire::sim {

/// The router between senders and receivers, the same in both directions.
struct Bottleneck {
  std::uint32_t megabits = 100;
  std::uint32_t delay_us = 10'000;      ///< one way
  std::uint32_t queue_bytes = 250'000;  ///< what does not fit is dropped
  std::uint32_t mark_bytes = 0;         ///< frames are marked while more waits; 0: never
  unsigned loss = 0;                    ///< of 10000 frames, beside those that the queue drops
};

struct BottleneckOptions {
  std::uint64_t seed = 1;
  unsigned mutant = 0;  ///< of mutant_names(), from 1; 0: none
  bool verbose = false;
};

/// What one run came to, over its second half where a share is meant.
struct BottleneckResult {
  congestion::Kind kind = congestion::Kind::cubic;
  Bottleneck network;
  std::vector<std::uint32_t> slots;  ///< by link
  double utilisation = 0;            ///< of what the network can carry
  double fairness = 0;               ///< Jain's index over the links
  double least_share = 0;            ///< of the link that got least, of an equal share
  double lost = 0;                   ///< of all frames, dropped or lost
  std::uint64_t queue_us = 0;        ///< mean time in the queue
  std::uint64_t lines = 0, again = 0, timeouts = 0, hash = 0;
  std::string violation;  ///< what did not hold; empty: all did
};

BottleneckResult run_bottleneck(const BottleneckOptions& options);

/// Bugs of algorithms, of which one may be on in this thread (mutate.py).
void set_mutant(unsigned number);
bool mutant_is(unsigned number);
std::span<const std::string_view> mutant_names();

}  // namespace slotwire::sim
