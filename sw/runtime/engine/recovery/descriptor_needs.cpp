#include "runtime/engine/recovery/descriptor_needs.hpp"

namespace slotwire::engine {
namespace {

constexpr std::size_t kOfSlot = 1;      ///< its wake-up
constexpr std::size_t kOfSession = 5;   ///< its socket, its process, bell page, polled page, kick
constexpr std::size_t kOfLink = 3;      ///< control connection, TCP connections
constexpr std::size_t kOfRegion = 2;    ///< its directory, the socket that wakes its processes
constexpr std::size_t kOfNode = 256;    ///< the card, carriers, logs, the keeper, and what is on its way to processes
constexpr std::size_t kKeptOfSlot = 3;  ///< both spaces and the wake-up
constexpr std::size_t kKeptOfSession = 3;
constexpr std::size_t kKeptOfRegion = 8;  ///< a cell: its directory, its record, its channel, and a few lists

}  // namespace

std::size_t descriptors_needed(const NodeSize& size) {
  return kOfSlot * size.slots + kOfSession * size.sessions + kOfLink * size.links + kOfRegion * size.regions +
         size.region_processes + size.region_lists + kOfNode;
}

std::size_t descriptors_kept(const NodeSize& size) {
  return kKeptOfSlot * size.slots + kKeptOfSession * size.sessions + kKeptOfRegion * size.regions + 1;
}

std::string descriptor_shortage(const NodeSize& size, std::uint64_t limit) {
  const std::size_t needed = descriptors_needed(size);
  if (needed <= limit) return "";
  const std::size_t others = needed - kOfSlot * size.slots;
  std::string text = "limits.slots = " + std::to_string(size.slots) +
                     " and limits.sessions = " + std::to_string(size.sessions) + " need " + std::to_string(needed) +
                     " descriptors, and this process may open " + std::to_string(limit) +
                     ": raise LimitNOFILE (or ulimit -Hn) to " + std::to_string(needed) + ", or lower limits.";
  // Without any slot it may be too much, too.
  if (others < limit) return text + "slots to " + std::to_string((limit - others) / kOfSlot);
  return text + "sessions";
}

}  // namespace slotwire::engine
