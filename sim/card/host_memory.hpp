// The memory of a host that a card writes into.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "core/regs/regs.hpp"

namespace slotwire::sim {

using Line = std::array<std::byte, regs::kLineBytes>;

/// The memory of the host, as the bus reaches it for a card with DMA.
class HostMemory {
 public:
  virtual ~HostMemory() = default;
  /// The card wrote the bytes of a line at bus address `address` that `strobes` has bits for. False: the bus refuses
  /// it.
  virtual bool write(std::uint64_t address, const Line& data, std::uint64_t strobes) = 0;
};

}  // namespace slotwire::sim
