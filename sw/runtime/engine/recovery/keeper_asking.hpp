// What the files of class Keeper share. Private to the keeper's code.
#pragma once
#include <cstddef>
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/engine/recovery/keeper.hpp"
#include "runtime/engine/recovery/keeper_protocol.hpp"

namespace slotwire::engine {

/// Requests to one process whose answers have not come. So many, with their descriptors, fit into any socket's buffer
/// and below the limit of descriptors under way.
inline constexpr std::size_t kAhead = 32;

struct Keeper::Answer {
  KeeperReply reply;
  std::vector<slot::Fd> fds;
};

}  // namespace slotwire::engine
