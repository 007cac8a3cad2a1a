// What full_duplex.cpp keeps of a slot, of the host's reads and of the wire.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>

#include "sim/card/sim_core.hpp"
#include "sim/lockstep/program.hpp"

namespace slotwire::lockstep::duplex {

struct Failure {
  std::string what;
};

/// One time that a slot was bound.
struct Life {
  std::uint16_t slot = 0, link = 0, epoch = 0;
  unsigned order = 0;
  std::uint32_t in_base = 0, out_base = 0, in_fill = 0, out_fill = 0;
  // The host's process.
  Position in_tail = 0, in_head = 0, out_tail = 0;
  Position rung_in = 0, rung_out = 0;  ///< the marks that the card was told
  // The far one.
  Bytes far_in, far_out;
  Position far_in_tail = 0, far_out_head = 0;
  std::uint64_t last_progress = 0;

  std::uint32_t size() const { return 1U << order; }
};

enum class SlotStage { binding, live, freeing, freed };

struct Slot {
  SlotStage stage = SlotStage::freed;
  Life life;
  std::uint64_t since = 0;  ///< of the stage
  bool refused = false;     ///< slot memory refuses a line of it, or did: its slot has to stop
};

/// What an answer of the host's port is for.
struct Asked {
  enum class What {
    out_tail,
    in_head,
    bound_marks,
    bound_row,
    freed_row,
    refused_row,
    line,
    event,
    moved
  } what = What::out_tail;
  std::uint16_t slot = 0, epoch = 0;
  Position at = 0;
};

class Watcher final : public sim::PortWatcher {
 public:
  void wire_beat(std::uint64_t clock, bool out, bool /*first*/, bool /*last*/, const sim::Line& /*data*/) override {
    if (out) {
      ++beats_out;
      return;
    }
    ++beats_in;
    if (last_in != 0) longest = std::max(longest, clock - last_in - 1);
    last_in = clock;
  }
  std::uint64_t beats_in = 0, beats_out = 0, longest = 0, last_in = 0;
};

}  // namespace slotwire::lockstep::duplex
