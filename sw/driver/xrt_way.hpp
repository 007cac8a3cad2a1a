// The way to a card by XRT. XRT is no part of Debian, so what needs it is a module of its own.
#pragma once
#include "driver/choose_card.hpp"

namespace slotwire::driver {

WayResult try_xrt(const CardWish& wish);

}  // namespace slotwire::driver
