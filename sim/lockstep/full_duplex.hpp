// A card whose wire is full in both directions: long and one-line frames mixed, slots that are freed in the middle of
// their traffic and bound anew, rows written in between, and a host that only writes marks. By option the host and the
// MAC stall, and memory jumps. With `stress` everything around the card is adverse and changes every few thousand
// clocks.
//
// No line has the content of another one. Each is checked on the wire and in slot memory, nothing may be sent twice,
// and every slot has to go on.
#pragma once
#include <cstdint>
#include <string>

#include "sim/card/card_model.hpp"

namespace slotwire::lockstep {

struct FullDuplexOptions {
  const sim::CardKind* kind = nullptr;
  std::uint64_t seed = 1;
  std::uint64_t clocks = 10'000'000;  ///< with traffic; the end takes a few more
  unsigned memory_latency = 2;        ///< clocks, of an access of slot memory; 1 to SimCore::kMaxMemoryLatency
  bool memory_jumps = false;          ///< from 1 to memory_latency clocks, drawn anew for each access
  unsigned host_stalls = 0;           ///< of 1000 clocks, those in which the host asks, sends and takes nothing; to 950
  unsigned mac_stalls = 0;            ///< the same for the wire, each direction by itself
  std::uint64_t churn_clocks = 20'000;  ///< from one binding to the next; 0: none
  std::uint64_t row_clocks = 10'000;    ///< from one row that is written beside them to the next; 0: none
  std::uint64_t refuse_clocks = 0;      ///< from one line that slot memory refuses to the next; 0: none
  std::uint64_t hang_clocks = 20'000;   ///< so long may nothing move while something is due
  std::uint64_t hang_at = 0;            ///< from this clock on the MAC takes nothing, to see that reported; 0: never
  bool stress = false;
};

struct FullDuplexResult {
  std::string failure;  ///< empty: nothing was lost, and everything went on
  std::uint64_t clocks = 0;
  std::uint64_t settled_clocks = 0;             ///< until everything had arrived and the card was at rest
  std::uint64_t beats_in = 0, beats_out = 0;    ///< of `clocks`
  std::uint64_t longest_stall = 0;              ///< most clocks in a row in which the card took no beat
  std::uint64_t frames_in = 0, frames_out = 0;  ///< with lines
  std::uint64_t lines_in = 0, lines_out = 0;    ///< that were told of, and that arrived at the far ends
  std::uint64_t bindings = 0, rows_written = 0, refused = 0, events = 0, passed = 0;
};

FullDuplexResult full_duplex(const FullDuplexOptions& options);

}  // namespace slotwire::lockstep
