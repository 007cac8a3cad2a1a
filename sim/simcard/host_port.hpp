// A card's host port, by the name that the simulation knows it by.
#pragma once
#include "driver/bus/host_port.hpp"

namespace slotwire::sim {
using driver::HostPort;
}  // namespace slotwire::sim
