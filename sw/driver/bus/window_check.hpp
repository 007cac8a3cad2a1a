// What a window must show before anything is done with the card behind it.
#pragma once
#include <cstdint>

#include "driver/bus/window_port.hpp"

namespace slotwire::driver {

struct WindowCard {
  std::uint32_t memory_lines = 0, slots = 0;
};

/// Checks the window's magic, the card's magic and version, and that its sizes can be. Throws std::runtime_error: what
/// is wrong and what to do, to go behind the name of a device.
WindowCard check_window(WindowDevice& window);

}  // namespace slotwire::driver
