// A card's host port, by the name that the simulation knows it by.
#pragma once
#include "driver/bus/access_port.hpp"

namespace slotwire::sim {
using driver::AccessPort;
}  // namespace slotwire::sim
