// Makes programs up: the right pipeline, honest peers behind bad channels, and forged frames decide what comes next;
// what the card is given is written down as concrete steps.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "sim/lockstep/peer.hpp"
#include "sim/lockstep/software_card.hpp"

namespace slotwire::lockstep {

struct GeneratorOptions {
  std::uint64_t seed = 1;
  std::uint32_t steps = 400;
  std::uint32_t slots = 16;  ///< rows of the slot table
  std::uint32_t links = 16;  ///< rows of the link table
  unsigned max_order = 10;   ///< of a ring
  std::uint32_t frame_lines = 32;
  std::uint32_t memory_lines = 1U << 16;
  bool refusals = true;  ///< slot memory may refuse lines; not with memory in RTL
};

/// The program of a seed: the same on every machine. Any thread.
Program generate(const GeneratorOptions& options);

}  // namespace slotwire::lockstep
