#include "driver/pmd/flow_rules.hpp"

#include <rte_byteorder.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <span>

namespace slotwire::driver::pmd {
namespace {

using regs::ClassifierRule;

constexpr std::uint16_t kTpid = 0x8100, kIpv4 = 0x0800, kIpv6 = 0x86dd;
constexpr std::uint8_t kUdp = 17, kTcp = 6;

int refuse(rte_flow_error* error, int code, rte_flow_error_type type, const void* where, const char* what) {
  return ::rte_flow_error_set(error, code, type, where, what);
}

std::uint32_t mac_high(const rte_ether_addr& mac) {
  const auto& b = mac.addr_bytes;
  return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
}
std::uint16_t mac_low(const rte_ether_addr& mac) {
  return static_cast<std::uint16_t>(mac.addr_bytes[4] << 8 | mac.addr_bytes[5]);
}

/// Has `mask` no ones where `known` has none.
template <typename Item>
bool within(const Item& mask, const Item& known) {
  const auto a = std::as_bytes(std::span(&mask, 1)), b = std::as_bytes(std::span(&known, 1));
  return std::equal(a.begin(), a.end(), b.begin(), [](std::byte m, std::byte k) { return (m & ~k) == std::byte{0}; });
}

/// What is compared of an item without a mask: rte_flow.h has that for C alone.
template <typename Item>
Item default_mask();
template <>
rte_flow_item_eth default_mask() {
  rte_flow_item_eth mask{};
  std::fill(std::begin(mask.dst.addr_bytes), std::end(mask.dst.addr_bytes), std::uint8_t{0xff});
  std::fill(std::begin(mask.src.addr_bytes), std::end(mask.src.addr_bytes), std::uint8_t{0xff});
  return mask;
}
template <>
rte_flow_item_vlan default_mask() {
  rte_flow_item_vlan mask{};
  mask.tci = rte_cpu_to_be_16(0x0fff);
  return mask;
}
template <>
rte_flow_item_ipv4 default_mask() {
  rte_flow_item_ipv4 mask{};
  mask.hdr.src_addr = mask.hdr.dst_addr = ~rte_be32_t{0};
  return mask;
}
template <>
rte_flow_item_ipv6 default_mask() {
  rte_flow_item_ipv6 mask{};
  std::fill(std::begin(mask.hdr.src_addr), std::end(mask.hdr.src_addr), std::uint8_t{0xff});
  std::fill(std::begin(mask.hdr.dst_addr), std::end(mask.hdr.dst_addr), std::uint8_t{0xff});
  return mask;
}
template <>
rte_flow_item_udp default_mask() {
  rte_flow_item_udp mask{};
  mask.hdr.src_port = mask.hdr.dst_port = 0xffff;
  return mask;
}
template <>
rte_flow_item_tcp default_mask() {
  rte_flow_item_tcp mask{};
  mask.hdr.src_port = mask.hdr.dst_port = 0xffff;
  return mask;
}

/// One pattern on its way into a rule.
class Pattern {
 public:
  Pattern(ClassifierRule& rule, rte_flow_error* error) : rule_(rule), error_(error) {}

  int take(const rte_flow_item& item) {
    if (item.last != nullptr) return no(item, "ranges are not compared");
    if (item.spec == nullptr && item.mask != nullptr) return no(item, "a mask without a value");
    switch (item.type) {
      case RTE_FLOW_ITEM_TYPE_VOID:
        return 0;
      case RTE_FLOW_ITEM_TYPE_ETH:
        return ethernet(item);
      case RTE_FLOW_ITEM_TYPE_VLAN:
        return vlan(item);
      case RTE_FLOW_ITEM_TYPE_IPV4:
        return ipv4(item);
      case RTE_FLOW_ITEM_TYPE_IPV6:
        return ipv6(item);
      case RTE_FLOW_ITEM_TYPE_UDP:
        return udp(item);
      case RTE_FLOW_ITEM_TYPE_TCP:
        return tcp(item);
      default:
        return no(item, "the classifier compares Ethernet, one VLAN tag, IPv4, IPv6, UDP and TCP");
    }
  }
  /// A pattern that asks for more than an Ethernet header and names no tag means frames without one.
  void end() {
    if (!tag_known_ && (at_ > kVlan || type_asked_)) kind(regs::kFrameKindTagged, false);
  }

 private:
  enum Layer { kStart, kEthernet, kVlan, kNetwork, kTransport };

  int no(const rte_flow_item& item, const char* what, rte_flow_error_type type = RTE_FLOW_ERROR_TYPE_ITEM) {
    return refuse(error_, ENOTSUP, type, &item, what);
  }
  int in_order(const rte_flow_item& item, Layer highest, Layer layer) {
    if (at_ > highest) return refuse(error_, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM, &item, "headers out of order");
    if (layer == kTransport && at_ != kNetwork)
      return refuse(error_, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM, &item, "UDP and TCP need IPv4 or IPv6 before them");
    if (layer == kVlan && at_ == kStart)
      return refuse(error_, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM, &item, "a VLAN tag needs Ethernet before it");
    at_ = layer;
    return 0;
  }
  void kind(std::uint8_t bit, bool set) {
    rule_.kinds_mask |= bit;
    if (set) rule_.kinds |= bit;
    if (bit == regs::kFrameKindTagged) tag_known_ = true;
  }
  /// The item's value and mask; false: it has none, and any such header will do.
  template <typename Item>
  static bool values(const rte_flow_item& item, Item& spec, Item& mask) {
    if (item.spec == nullptr) return false;
    spec = *static_cast<const Item*>(item.spec);
    mask = item.mask == nullptr ? default_mask<Item>() : *static_cast<const Item*>(item.mask);
    return true;
  }
  int ether_type(const rte_flow_item& item, rte_be16_t spec, rte_be16_t mask) {
    const std::uint16_t value = rte_be_to_cpu_16(spec), bits = rte_be_to_cpu_16(mask);
    if (bits == 0) return 0;
    const auto both = static_cast<std::uint16_t>(rule_.ether_type_mask & bits);
    if (((rule_.ether_type ^ value) & both) != 0)
      return refuse(error_, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM, &item, "two EtherTypes that exclude each other");
    rule_.ether_type_mask |= bits;
    rule_.ether_type = static_cast<std::uint16_t>(rule_.ether_type | (value & bits));
    return 0;
  }
  int protocol(const rte_flow_item& item, std::uint8_t value, std::uint8_t bits) {
    if (((rule_.protocol ^ value) & rule_.protocol_mask & bits) != 0)
      return refuse(error_, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM, &item, "two IP protocols that exclude each other");
    rule_.protocol_mask |= bits;
    rule_.protocol = static_cast<std::uint8_t>(rule_.protocol | (value & bits));
    return 0;
  }

  int ethernet(const rte_flow_item& item) {
    if (const int wrong = in_order(item, kStart, kEthernet); wrong != 0) return wrong;
    rte_flow_item_eth spec{}, mask{}, known{};
    if (!values(item, spec, mask)) return 0;
    std::fill(std::begin(known.dst.addr_bytes), std::end(known.dst.addr_bytes), std::uint8_t{0xff});
    known.type = 0xffff;
    known.has_vlan = 1;
    if (!within(mask, known)) return no(item, "source MAC addresses are not compared", RTE_FLOW_ERROR_TYPE_ITEM_MASK);
    rule_.dst_mac_high_mask = mac_high(mask.dst);
    rule_.dst_mac_low_mask = mac_low(mask.dst);
    rule_.dst_mac_high = mac_high(spec.dst) & rule_.dst_mac_high_mask;
    rule_.dst_mac_low = static_cast<std::uint16_t>(mac_low(spec.dst) & rule_.dst_mac_low_mask);
    if (mask.has_vlan != 0) kind(regs::kFrameKindTagged, spec.has_vlan != 0);
    if (mask.type == 0) return 0;
    // Of a tag the classifier knows that it is there.
    if (mask.type == 0xffff && rte_be_to_cpu_16(spec.type) == kTpid) {
      kind(regs::kFrameKindTagged, true);
      return 0;
    }
    type_asked_ = true;
    return ether_type(item, spec.type, mask.type);
  }
  int vlan(const rte_flow_item& item) {
    if (const int wrong = in_order(item, kEthernet, kVlan); wrong != 0) return wrong;
    if (type_asked_ || (tag_known_ && (rule_.kinds & regs::kFrameKindTagged) == 0))
      return refuse(error_, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM, &item, "a VLAN tag behind another EtherType");
    kind(regs::kFrameKindTagged, true);
    rte_flow_item_vlan spec{}, mask{}, known{};
    if (!values(item, spec, mask)) return 0;
    known.tci = known.inner_type = 0xffff;
    if (!within(mask, known)) return no(item, "one VLAN tag is compared", RTE_FLOW_ERROR_TYPE_ITEM_MASK);
    rule_.vlan_mask = rte_be_to_cpu_16(mask.tci);
    rule_.vlan = static_cast<std::uint16_t>(rte_be_to_cpu_16(spec.tci) & rule_.vlan_mask);
    return ether_type(item, spec.inner_type, mask.inner_type);
  }
  int ipv4(const rte_flow_item& item) {
    if (const int wrong = in_order(item, kVlan, kNetwork); wrong != 0) return wrong;
    kind(regs::kFrameKindIpv4, true);
    if (const int wrong = ether_type(item, rte_cpu_to_be_16(kIpv4), 0xffff); wrong != 0) return wrong;
    rte_flow_item_ipv4 spec{}, mask{}, known{};
    if (!values(item, spec, mask)) return 0;
    known.hdr.src_addr = known.hdr.dst_addr = ~rte_be32_t{0};
    known.hdr.next_proto_id = 0xff;
    if (!within(mask, known))
      return no(item, "of IPv4 the addresses and the protocol are compared", RTE_FLOW_ERROR_TYPE_ITEM_MASK);
    rule_.src_ip_mask = rte_be_to_cpu_32(mask.hdr.src_addr);
    rule_.dst_ip_mask = rte_be_to_cpu_32(mask.hdr.dst_addr);
    rule_.src_ip = rte_be_to_cpu_32(spec.hdr.src_addr) & rule_.src_ip_mask;
    rule_.dst_ip = rte_be_to_cpu_32(spec.hdr.dst_addr) & rule_.dst_ip_mask;
    return protocol(item, spec.hdr.next_proto_id, mask.hdr.next_proto_id);
  }
  int ipv6(const rte_flow_item& item) {
    if (const int wrong = in_order(item, kVlan, kNetwork); wrong != 0) return wrong;
    kind(regs::kFrameKindIpv6, true);
    if (const int wrong = ether_type(item, rte_cpu_to_be_16(kIpv6), 0xffff); wrong != 0) return wrong;
    rte_flow_item_ipv6 spec{}, mask{}, known{};
    if (!values(item, spec, mask)) return 0;
    known.hdr.proto = 0xff;
    if (!within(mask, known))
      return no(item, "of IPv6 the next header alone is compared", RTE_FLOW_ERROR_TYPE_ITEM_MASK);
    return protocol(item, spec.hdr.proto, mask.hdr.proto);
  }
  int ports(rte_be16_t src, rte_be16_t src_mask, rte_be16_t dst, rte_be16_t dst_mask) {
    rule_.src_port_mask = rte_be_to_cpu_16(src_mask);
    rule_.dst_port_mask = rte_be_to_cpu_16(dst_mask);
    rule_.src_port = static_cast<std::uint16_t>(rte_be_to_cpu_16(src) & rule_.src_port_mask);
    rule_.dst_port = static_cast<std::uint16_t>(rte_be_to_cpu_16(dst) & rule_.dst_port_mask);
    return 0;
  }
  int udp(const rte_flow_item& item) {
    if (const int wrong = in_order(item, kNetwork, kTransport); wrong != 0) return wrong;
    kind(regs::kFrameKindPorts, true);
    if (const int wrong = protocol(item, kUdp, 0xff); wrong != 0) return wrong;
    rte_flow_item_udp spec{}, mask{}, known{};
    if (!values(item, spec, mask)) return 0;
    known.hdr.src_port = known.hdr.dst_port = 0xffff;
    if (!within(mask, known)) return no(item, "of UDP the ports are compared", RTE_FLOW_ERROR_TYPE_ITEM_MASK);
    return ports(spec.hdr.src_port, mask.hdr.src_port, spec.hdr.dst_port, mask.hdr.dst_port);
  }
  int tcp(const rte_flow_item& item) {
    if (const int wrong = in_order(item, kNetwork, kTransport); wrong != 0) return wrong;
    kind(regs::kFrameKindPorts, true);
    if (const int wrong = protocol(item, kTcp, 0xff); wrong != 0) return wrong;
    rte_flow_item_tcp spec{}, mask{}, known{};
    if (!values(item, spec, mask)) return 0;
    known.hdr.src_port = known.hdr.dst_port = 0xffff;
    if (!within(mask, known)) return no(item, "of TCP the ports are compared", RTE_FLOW_ERROR_TYPE_ITEM_MASK);
    return ports(spec.hdr.src_port, mask.hdr.src_port, spec.hdr.dst_port, mask.hdr.dst_port);
  }

  ClassifierRule& rule_;
  rte_flow_error* error_;
  Layer at_ = kStart;
  bool tag_known_ = false, type_asked_ = false;
};

int take_actions(const rte_flow_action* actions, std::uint32_t queues, ClassifierRule& rule, rte_flow_error* error) {
  const auto no = [&](const rte_flow_action& action, int code, const char* what) {
    return refuse(error, code, RTE_FLOW_ERROR_TYPE_ACTION, &action, what);
  };
  const auto decide = [&](regs::ClassifierAction action) {
    if (rule.action != 0) return false;
    rule.action = static_cast<std::uint8_t>(action);
    return true;
  };
  for (; actions->type != RTE_FLOW_ACTION_TYPE_END; ++actions) {
    switch (actions->type) {
      case RTE_FLOW_ACTION_TYPE_VOID:
        break;
      case RTE_FLOW_ACTION_TYPE_QUEUE: {
        const auto* conf = static_cast<const rte_flow_action_queue*>(actions->conf);
        if (conf == nullptr || conf->index >= queues) return no(*actions, EINVAL, "the port has no such queue");
        if (!decide(regs::ClassifierAction::queue)) return no(*actions, EINVAL, "a frame goes to one place");
        rule.host_queue = conf->index;
        break;
      }
      case RTE_FLOW_ACTION_TYPE_DROP:
        if (!decide(regs::ClassifierAction::drop)) return no(*actions, EINVAL, "a frame goes to one place");
        break;
      case RTE_FLOW_ACTION_TYPE_MARK: {
        const auto* conf = static_cast<const rte_flow_action_mark*>(actions->conf);
        if (conf == nullptr || rule.marks != 0) return no(*actions, EINVAL, "one mark a flow");
        if ((conf->id >> regs::kVerdictMarkBits) != 0) return no(*actions, ENOTSUP, "a mark has 24 bits");
        rule.marks = 1;
        rule.mark = conf->id;
        break;
      }
      default:
        return no(*actions, ENOTSUP, "the classifier does QUEUE, DROP, and MARK with QUEUE");
    }
  }
  if (rule.action == 0)
    return refuse(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_ACTION, actions, "a flow needs QUEUE or DROP");
  return 0;
}

}  // namespace

int translate(const rte_flow_attr& attr, const rte_flow_item* pattern, const rte_flow_action* actions,
              std::uint32_t queues, regs::ClassifierRule& rule, rte_flow_error* error) {
  rule = {};
  if (attr.ingress == 0 || attr.egress != 0 || attr.transfer != 0)
    return refuse(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_ATTR, &attr, "the classifier sees received frames alone");
  if (attr.group != 0) return refuse(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_ATTR_GROUP, &attr, "there is one group");
  Pattern taken(rule, error);
  for (; pattern->type != RTE_FLOW_ITEM_TYPE_END; ++pattern) {
    if (const int wrong = taken.take(*pattern); wrong != 0) return wrong;
  }
  taken.end();
  return take_actions(actions, queues, rule, error);
}

// ---- the table

/// Writes the rule of the flow at `index`, or that there is none.
int FlowTable::write(std::size_t index) {
  return card_.write_rule(static_cast<std::uint32_t>(index),
                          index < flows_.size() ? flows_[index]->rule : regs::ClassifierRule{});
}

rte_flow* FlowTable::add(const regs::ClassifierRule& rule, std::uint32_t priority, rte_flow_error* error) {
  if (flows_.size() >= card_.info().rules) {
    refuse(error, ENOSPC, RTE_FLOW_ERROR_TYPE_HANDLE, nullptr, "the card has no more rules");
    return nullptr;
  }
  const auto place = std::upper_bound(flows_.begin(), flows_.end(), priority,
                                      [](std::uint32_t p, const auto& flow) { return p < flow->priority; });
  const auto index = static_cast<std::size_t>(place - flows_.begin());
  auto flow = std::make_unique<rte_flow>();
  flow->rule = rule;
  flow->priority = priority;
  rte_flow* const added = flow.get();
  flows_.insert(place, std::move(flow));
  // From the end on: a rule that moves stands in two places for a while, and never in none.
  for (std::size_t i = flows_.size(); i-- > index;) {
    if (const int wrong = write(i); wrong != 0) {
      flows_.erase(flows_.begin() + static_cast<std::ptrdiff_t>(index));
      refuse(error, -wrong, RTE_FLOW_ERROR_TYPE_HANDLE, nullptr, "the card did not take the rule");
      return nullptr;
    }
  }
  return added;
}

int FlowTable::remove(const rte_flow* flow, rte_flow_error* error) {
  const auto found = std::find_if(flows_.begin(), flows_.end(), [&](const auto& f) { return f.get() == flow; });
  if (found == flows_.end()) return refuse(error, ENOENT, RTE_FLOW_ERROR_TYPE_HANDLE, flow, "there is no such flow");
  const auto index = static_cast<std::size_t>(found - flows_.begin());
  flows_.erase(found);
  int result = 0;
  for (std::size_t i = index; i <= flows_.size() && result == 0; ++i) result = write(i);
  if (result == 0) return 0;
  return refuse(error, -result, RTE_FLOW_ERROR_TYPE_HANDLE, nullptr, "the card did not take the rules");
}

int FlowTable::remove_all(rte_flow_error* error) {
  int result = 0;
  for (std::size_t i = flows_.size(); i-- > 0;) {
    flows_.pop_back();
    const int wrong = write(i);
    if (result == 0) result = wrong;
  }
  if (result == 0) return 0;
  return refuse(error, -result, RTE_FLOW_ERROR_TYPE_HANDLE, nullptr, "the card did not take the rules");
}

}  // namespace slotwire::driver::pmd
