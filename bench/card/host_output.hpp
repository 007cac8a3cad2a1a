// What the whole PCIe card adds to a call whose output rings and marks are in the hosts' memory: two cards of
// hw/shells/pcie in simulation, with the bridge's AXI ports and the MAC's clock.
#pragma once
#include <cstdint>

namespace slotwire::bench {

struct HostOutputTimes {
  double doorbell_to_wire_ns = 0;  ///< the doorbell at the AXI port to the frame's first beat at the MAC
  double wire_to_mark_ns = 0;  ///< the frame's last beat from the MAC to the mark's write at the bridge's slave port
};

/// Means over `messages` of `lines` lines each, 1 to 16. `answer_clocks`: from a write at the slave port to its answer,
/// 1 or more. Throws std::runtime_error if a line or a mark does not arrive.
HostOutputTimes measure_host_output(std::uint64_t seed, std::uint32_t lines, unsigned messages,
                                    std::uint64_t answer_clocks);

}  // namespace slotwire::bench
