// How many descriptors a node needs, and what to do where its processes may open fewer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace slotwire::engine {

/// What a node may have at once.
struct NodeSize {
  std::size_t slots = 0;             ///< limits.slots
  std::size_t sessions = 0;          ///< limits.sessions
  std::size_t links = 0;             ///< that are configured
  std::size_t regions = 0;           ///< limits.regions
  std::size_t region_processes = 0;  ///< limits.region_processes
  std::size_t region_lists = 0;      ///< limits.region_lists
};

/// Descriptors that slotwired has open when all of it is in use. A slot has its wake-up; its spaces are mapped, and
/// their descriptors are the keeper's alone.
std::size_t descriptors_needed(const NodeSize& size);
/// Descriptors that the keeper holds then, in all its processes together.
std::size_t descriptors_kept(const NodeSize& size);
/// Empty: a process that may open `limit` files can be a node of this size. Else what is missing, and what to do.
std::string descriptor_shortage(const NodeSize& size, std::uint64_t limit);

}  // namespace slotwire::engine
