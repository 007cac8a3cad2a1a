// Ports for tests: two of them, wired to each other.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/carriers/dpdk/dpdk.hpp"
#include "core/pipeline/ethernet.hpp"

namespace slotwire::test {

/// What the two ports are.
enum class Wire {
  af_packet,  ///< raw sockets on a pair of virtual Ethernet interfaces, in a network namespace that only this process
              ///< has
  af_xdp,     ///< XDP sockets on the same
  vhost,      ///< side 0 net_vhost, side 1 net_virtio_user: shared memory
};

/// What this host lacks for it; empty: nothing. The first call makes the namespace and the interfaces.
std::string lacks_ports(Wire wire);

/// Interface of side 0 or 1 (not on vhost).
std::string interface_of(int side);

/// Runs ip (of iproute2) with these arguments, in the namespace of the interfaces; true when it says that all is well.
bool run_ip(std::vector<std::string> arguments);

/// The port of `side` with the address 10.77.0.<1 + side>, UDP port 7401.
carriers::DpdkOptions port_options(int side, Wire wire = Wire::af_packet, std::size_t queues = 1);

/// What frames to the port of `side` are addressed to.
pipeline::Endpoint endpoint_of(const carriers::DpdkCarrier& carrier, int side);

/// Sends an Ethernet frame to `side`, from the interface on the other end (not on vhost). False when the kernel did not
/// take it.
bool put_on_wire(int side, std::span<const std::byte> frame);

/// An ARP packet of `peer` that says where it is; `asks`: the port is asked where it is, too.
std::vector<std::byte> arp_of_peer(const pipeline::Endpoint& peer, const pipeline::Endpoint& port, bool asks);

}  // namespace slotwire::test
