// The card in free running: nothing waits for rest, ports stall at random, time goes with the clocks. At the other end
// of every link is a software pipeline behind a channel that loses, doubles, reorders and damages frames. What one
// process writes the other reads: the same lines, in order, none missing, in both directions, whatever is reset in
// between.
#pragma once
#include <cstdint>
#include <string>

#include "sim/card/card_model.hpp"

namespace slotwire::lockstep {

struct FreeRunOptions {
  const sim::CardKind* kind = nullptr;
  std::uint64_t seed = 1;
  bool twins = false;           ///< see sim::SimCoreOptions
  std::uint32_t lines = 1'500;  ///< that each process writes at most
  std::string trace_file;
  std::uint64_t trace_from = 0;
};

struct FreeRunResult {
  std::string failure;  ///< empty: everything arrived
  std::uint64_t clocks = 0;
  std::uint64_t connections = 0, lines = 0, frames_out = 0, frames_in = 0, lost = 0, resets = 0, link_cuts = 0,
                passed = 0, interrupts = 0;
};

FreeRunResult free_run(const FreeRunOptions& options);

}  // namespace slotwire::lockstep
