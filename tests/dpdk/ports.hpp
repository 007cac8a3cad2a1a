// Ports for tests: a pair of virtual Ethernet interfaces in a network namespace that only this process has.
#pragma once
#include <cstddef>
#include <span>
#include <string>

#include "carriers/dpdk/dpdk.hpp"
#include "pipeline/ethernet.hpp"

namespace slotwire::test {

/// What this host lacks for ports; empty: nothing. The first call makes the namespace and the interfaces.
std::string lacks_ports();

/// Interface of side 0 or 1.
std::string interface_of(int side);

/// A port on the interface of `side` with the address 10.77.0.<1 + side>, UDP port 7401.
carriers::DpdkOptions port_options(int side);

/// What frames to the port of `side` are addressed to.
pipeline::Endpoint endpoint_of(const carriers::DpdkCarrier& carrier, int side);

/// Sends an Ethernet frame to `side`, from the interface on the other end. False when the kernel did not take it.
bool put_on_wire(int side, std::span<const std::byte> frame);

}  // namespace slotwire::test
