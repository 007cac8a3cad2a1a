// What a card that serves slots itself is handed: the space files of a slot, in the place of pages of its BARs.
#pragma once
#include <cstdint>

namespace slotwire::driver {

/// The descriptors stay the caller's.
struct SlotShare {
  std::uint16_t slot = 0;
  unsigned in_order = 0, out_order = 0;  ///< rings of 2^order lines
  int own = -1;                          ///< space file A: process page and input ring
  int other = -1;                        ///< space file B: proxy page and output ring
  int wake = -1;                         ///< event (core/slot/waiter.hpp) that wakes the process
};

}  // namespace slotwire::driver
