// The frames that tell what steers them to a port from what does not: one set for every way of steering.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "carrier/harness.hpp"
#include "core/pipeline/ethernet.hpp"

namespace slotwire::test {

using pipeline::Endpoint;

inline constexpr Endpoint kPeer{0x0200'0000'0042, 0x0a4d'0042, 7402};
inline constexpr const char* kPeerText = "10.77.0.66:7402";
inline constexpr std::size_t kIp = pipeline::kEthernetBytes, kUdp = kIp + pipeline::kIpv4Bytes;

inline void put(Bytes& frame, std::size_t at, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i)
    frame[at + i] = static_cast<std::byte>(value >> (8 * (bytes - 1 - i)) & 0xffU);
}
inline std::uint64_t get(const Bytes& frame, std::size_t at, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value = value << 8U | std::to_integer<std::uint64_t>(frame.at(at + i));
  return value;
}
inline void mend(Bytes& frame) {
  put(frame, pipeline::kIpv4ChecksumAt, 0, 2);
  put(frame, pipeline::kIpv4ChecksumAt,
      pipeline::ipv4_checksum(std::span<const std::byte>(frame).subspan(kIp, pipeline::kIpv4Bytes)), 2);
}

inline Bytes datagram(const Endpoint& port) {
  const Bytes link(86, std::byte{0x5a});
  Bytes frame(pipeline::kCarrierBytes + link.size());
  wrap(kPeer, port, link, frame);
  return frame;
}

/// An ARP request of `sender` for `target`.
inline Bytes arp(std::uint32_t sender, std::uint32_t target) {
  Bytes frame(60);
  put(frame, 0, 0xffff'ffff'ffff, 6);
  put(frame, 6, kPeer.mac, 6);
  put(frame, 12, 0x0806, 2);
  put(frame, 14, 0x0001'0800'0604, 6);
  put(frame, 20, 1, 2);
  put(frame, 22, kPeer.mac, 6);
  put(frame, 28, sender, 4);
  put(frame, 38, target, 4);
  return frame;
}

/// Puts a tag with a priority into it.
inline Bytes tagged(Bytes frame, unsigned vlan) {
  frame.insert(frame.begin() + 12, 4, std::byte{0});
  put(frame, 12, 0x8100'6000U | vlan, 4);
  return frame;
}
/// As it is on the wire of a port with that VLAN, 0: none.
inline Bytes in_vlan(Bytes frame, unsigned vlan) {
  return vlan == 0 ? frame : tagged(std::move(frame), vlan);
}

inline Bytes ipv6(const Endpoint& port) {
  Bytes frame(pipeline::kEthernetBytes + 40 + 8 + 86);
  put(frame, 0, port.mac, 6);
  put(frame, 6, kPeer.mac, 6);
  put(frame, 12, 0x86dd, 2);
  put(frame, kIp, 0x60, 1);
  put(frame, kIp + 4, 8 + 86, 2);
  put(frame, kIp + 6, 17, 1);
  put(frame, kIp + 40 + 2, port.port, 2);
  put(frame, kIp + 40 + 4, 8 + 86, 2);
  return frame;
}

inline Bytes changed(Bytes frame, const std::function<void(Bytes&)>& change) {
  change(frame);
  return frame;
}

enum class Whose {
  link,      ///< a frame of a link: to the sink
  port,      ///< the port's, but no link's
  kernel,    ///< not ours
  software,  ///< not ours, but what a rule of rte_flow cannot tell; software does
  priority,  ///< of a link in software; rules may take its tag for that of another VLAN
};

struct Vector {
  const char* name;
  Bytes frame;
  Whose whose;
};

/// For a port with `queues` queues, whose own UDP ports begin with that of `port`, in `vlan` (0: none).
inline std::vector<Vector> vectors(const Endpoint& port, unsigned vlan = 0, std::size_t queues = 1) {
  const Bytes good = datagram(port);
  Endpoint last = port, behind = port, before = port;
  last.port = static_cast<std::uint16_t>(port.port + queues - 1);
  behind.port = static_cast<std::uint16_t>(port.port + queues);
  --before.port;
  std::vector<Vector> all{
      {"ours", good, Whose::link},
      {"another UDP port", changed(good, [](Bytes& f) { put(f, kUdp + 2, 7400, 2); }), Whose::kernel},
      {"another address", changed(good, [](Bytes& f) { f[kIp + 19] ^= std::byte{4}, mend(f); }), Whose::kernel},
      {"TCP", changed(good, [](Bytes& f) { f[kIp + 9] = std::byte{6}, mend(f); }), Whose::kernel},
      {"a first fragment", changed(good, [](Bytes& f) { put(f, kIp + 6, 0x2000, 2), mend(f); }), Whose::software},
      {"a later fragment", changed(good, [](Bytes& f) { put(f, kIp + 6, 0x0010, 2), mend(f); }), Whose::software},
      {"IPv4 options", changed(good, [](Bytes& f) { f[kIp] = std::byte{0x46}, mend(f); }), Whose::software},
      {"the last UDP port", datagram(last), Whose::link},
      {"the UDP port behind", datagram(behind), Whose::kernel},
      {"the UDP port before", datagram(before), Whose::kernel},
      {"IPv6", ipv6(port), Whose::kernel},
      {"ARP for our address", arp(kPeer.ip, port.ip), Whose::port},
      {"ARP of another with our address", arp(port.ip, kPeer.ip), Whose::port},
      {"ARP for another address", arp(kPeer.ip, port.ip + 100), Whose::software},
      {"cut in the Ethernet header", Bytes(good.begin(), good.begin() + 14), Whose::kernel},
      {"cut in the IPv4 header", Bytes(good.begin(), good.begin() + 33), Whose::kernel},
      {"cut in the UDP header", Bytes(good.begin(), good.begin() + 41), Whose::kernel},
      {"ARP, cut", changed(arp(kPeer.ip, port.ip), [](Bytes& f) { f.resize(41); }), Whose::kernel},
  };
  for (Vector& one : all) one.frame = in_vlan(std::move(one.frame), vlan);
  const unsigned other = vlan == 0 ? 7 : vlan + 1;
  const std::vector<Vector> tags{
      {"another VLAN", tagged(good, other), Whose::kernel},
      {"ARP in another VLAN", tagged(arp(kPeer.ip, port.ip), other), Whose::kernel},
      {"two tags", tagged(tagged(good, vlan), other), Whose::kernel},
      {"two tags, ours outside", tagged(tagged(good, other), vlan == 0 ? 7 : vlan), Whose::kernel},
      {"VLAN 0", tagged(good, 0), vlan == 0 ? Whose::priority : Whose::kernel},
      {"cut in the tag", Bytes(all[0].frame.begin(), all[0].frame.begin() + 16), Whose::kernel},
  };
  all.insert(all.end(), tags.begin(), tags.end());
  if (vlan != 0) all.push_back({"no tag", good, Whose::kernel});
  return all;
}

}  // namespace slotwire::test
