// Steering by rules in the port itself (rte_flow).
#pragma once
#include <rte_byteorder.h>
#include <rte_flow.h>

#include <array>
#include <cstdint>
#include <vector>

#include "core/pipeline/ethernet.hpp"

namespace slotwire::carriers {

/// A pattern that points into itself: it stays where it was made.
struct FlowPattern {
  /// UDP in IPv4 to `own`, with the tag of `vlan` where that is not 0.
  FlowPattern(const pipeline::Endpoint& own, std::uint16_t in_vlan) {
    ip.hdr.dst_addr = rte_cpu_to_be_32(own.ip);
    ip_mask.hdr.dst_addr = 0xffff'ffff;
    udp.hdr.dst_port = rte_cpu_to_be_16(own.port);
    udp_mask.hdr.dst_port = 0xffff;
    std::size_t at = tag(in_vlan);
    items[at++] = {RTE_FLOW_ITEM_TYPE_IPV4, &ip, nullptr, &ip_mask};
    items[at] = {RTE_FLOW_ITEM_TYPE_UDP, &udp, nullptr, &udp_mask};
  }
  /// All ARP of `vlan`, or without a tag.
  explicit FlowPattern(std::uint16_t in_vlan) {
    if (tag(in_vlan) != 1) {
      vlan.inner_type = rte_cpu_to_be_16(0x0806);
      vlan_mask.inner_type = 0xffff;
      return;
    }
    eth.hdr.ether_type = rte_cpu_to_be_16(0x0806);
    eth_mask.hdr.ether_type = 0xffff;
    items[0].spec = &eth;
    items[0].mask = &eth_mask;
  }
  FlowPattern(const FlowPattern&) = delete;
  FlowPattern& operator=(const FlowPattern&) = delete;

  rte_flow_item_eth eth{}, eth_mask{};
  rte_flow_item_vlan vlan{}, vlan_mask{};
  rte_flow_item_ipv4 ip{}, ip_mask{};
  rte_flow_item_udp udp{}, udp_mask{};
  std::array<rte_flow_item, 5> items{
      {{RTE_FLOW_ITEM_TYPE_ETH, nullptr, nullptr, nullptr}}};  // the others are RTE_FLOW_ITEM_TYPE_END

 private:
  /// The item after Ethernet where there is a tag. Returns where the next one goes.
  std::size_t tag(std::uint16_t number) {
    if (number == 0) return 1;
    vlan.tci = rte_cpu_to_be_16(number);
    vlan_mask.tci = rte_cpu_to_be_16(0x0fff);
    items[1] = {RTE_FLOW_ITEM_TYPE_VLAN, &vlan, nullptr, &vlan_mask};
    return 2;
  }
};

/// The rules of one port: frames for `own` and ARP to receive queue 0, those for the next UDP port to the next queue
/// and so on, and all others not at all.
class FlowSteering {
 public:
  explicit FlowSteering(std::uint16_t port) : port_(port) {}
  /// Before the port is configured: shut all out that no rule lets in. False when the port cannot do that.
  bool isolate() noexcept;
  /// After it was started. False when the port does not take the rules, whatever it said about them before: then none
  /// is left, and the isolation is to be lifted.
  bool add_rules(const pipeline::Endpoint& own, std::uint16_t vlan, std::size_t queues) noexcept;
  /// While the port is stopped.
  void lift() noexcept;

 private:
  bool add_rule(const FlowPattern& pattern, std::size_t queue) noexcept;

  std::uint16_t port_;
};

}  // namespace slotwire::carriers
