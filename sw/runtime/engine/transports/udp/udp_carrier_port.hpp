// A kernel UDP socket that links run over, set up from the configuration.
#pragma once
#include <memory>

#include "core/carriers/udp.hpp"
#include "runtime/engine/transports/transport.hpp"

namespace slotwire::engine {

/// Opens the carrier and lets it wake the loop. Throws std::exception.
std::unique_ptr<carriers::UdpCarrier> open_udp_carrier(const TransportContext& context,
                                                       const carriers::Address& address);

}  // namespace slotwire::engine
