// The codec of the card's port under the simulation's names.
#pragma once
#include "core/pipeline/ethernet.hpp"

namespace slotwire::sim {

using pipeline::Datagram;
using pipeline::Endpoint;
using pipeline::ipv4_checksum;
using pipeline::kCarrierBytes;
using pipeline::kEthernetBytes;
using pipeline::kIpv4Bytes;
using pipeline::kMinEthernetBytes;
using pipeline::kUdpBytes;
using pipeline::unwrap;
using pipeline::wrap;

}  // namespace slotwire::sim
