// The host's own frames through a shell's window (docs/registers.md, "The page of the host's own frames"), for shells
// that give the host no network interface of its own. Slow (a register access for every four bytes): for address
// resolution and the control connection, not for traffic.
//
// Thread rules: as the window's, one thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "driver/bus/window_port.hpp"

namespace slotwire::driver {

class WindowFrames {
 public:
  static constexpr std::size_t kMaxFrame = 9216;  ///< bytes; longer ones are dropped
  /// Looks whether there is room for a line before a frame is given up: the card takes lines at its own speed.
  static constexpr int kRoomLooks = 1000;

  /// Ends a frame that an earlier process began, and throws away what was not fetched of one.
  explicit WindowFrames(WindowDevice& window);

  /// The next frame that the card passes to the host, valid until the next call; empty: none now, or not all of it.
  std::span<const std::byte> receive();
  /// Sends a frame of 1 to kMaxFrame bytes. False: it was lost.
  bool send(std::span<const std::byte> frame);

 private:
  bool send_line(std::span<const std::byte> line, bool last);

  WindowDevice& window_;
  std::vector<std::byte> frame_;
  bool whole_ = false, skip_ = false;
};

}  // namespace slotwire::driver
