// A card whose wire is full in both directions: long and one-line frames mixed, slots that are freed in the middle of
// their traffic and bound anew, and a host that only writes marks. With `stress` everything around the card is unkind
// as well: memory that jumps, ports that stall, queues that are held full, events that nobody takes.
//
// Every line on the wire and in slot memory is checked, nothing may be sent twice, and every slot has to go on.
#pragma once
#include <cstdint>
#include <string>

#include "sim/card/card_model.hpp"

namespace slotwire::lockstep {

struct FullDuplexOptions {
  const sim::CardKind* kind = nullptr;
  std::uint64_t seed = 1;
  std::uint64_t clocks = 100'000;       ///< with traffic; the end takes a few more
  unsigned memory_latency = 2;          ///< clocks, of an access of slot memory
  std::uint64_t churn_clocks = 20'000;  ///< from one binding to the next; 0: none
  bool stress = false;
};

struct FullDuplexResult {
  std::string failure;  ///< empty: nothing was lost, and everything went on
  std::uint64_t clocks = 0;
  std::uint64_t beats_in = 0, beats_out = 0;    ///< of `clocks`
  std::uint64_t longest_stall = 0;              ///< most clocks in a row in which the card took no beat
  std::uint64_t frames_in = 0, frames_out = 0;  ///< with lines
  std::uint64_t lines_in = 0, lines_out = 0;    ///< that were told of, and that arrived at the far ends
  std::uint64_t bindings = 0, events = 0, passed = 0;
};

FullDuplexResult full_duplex(const FullDuplexOptions& options);

}  // namespace slotwire::lockstep
