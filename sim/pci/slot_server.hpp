// Who serves slots of a simulated card whose space files a client of its PCI function hands over.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "core/slot/memory.hpp"
#include "driver/bus/pcie/vfio_user_protocol.hpp"

namespace slotwire::sim {

/// In the order of the message: space file A, space file B, the event (core/slot/waiter.hpp) that wakes the process.
using ShareFds = std::array<slot::Fd, driver::vfio_user::kShareFds>;

/// Called only while no access of the function is under way.
class SlotServer {
 public:
  virtual ~SlotServer() = default;
  /// Serves a slot from now on. Everything is checked; returns an empty string, or what is wrong.
  virtual std::string share(const driver::vfio_user::ShareSlot& asked, ShareFds fds) = 0;
  /// Ends it for one slot (if it was served), or for all: their files are touched no more.
  virtual void unshare(std::uint32_t slot) = 0;
  virtual void unshare_all() = 0;
};

}  // namespace slotwire::sim
