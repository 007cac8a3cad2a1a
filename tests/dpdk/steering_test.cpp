// What steers frames to the port, by one set of frames: software, the XDP program, and the rules of rte_flow.
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include <array>
#include <cstring>
#include <functional>

#include "carrier/harness.hpp"
#include "carriers/dpdk/flow.hpp"
#include "ports.hpp"

namespace slotwire::test {
namespace {

using carriers::Address;
using pipeline::Endpoint;

constexpr Endpoint kPeer{0x0200'0000'0042, 0x0a4d'0042, 7402};
constexpr const char* kPeerText = "10.77.0.66:7402";
constexpr std::size_t kIp = pipeline::kEthernetBytes, kUdp = kIp + pipeline::kIpv4Bytes;

void put(Bytes& frame, std::size_t at, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i)
    frame[at + i] = static_cast<std::byte>(value >> (8 * (bytes - 1 - i)) & 0xffU);
}
std::uint64_t get(const Bytes& frame, std::size_t at, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value = value << 8U | std::to_integer<std::uint64_t>(frame.at(at + i));
  return value;
}
void mend(Bytes& frame) {
  put(frame, pipeline::kIpv4ChecksumAt, 0, 2);
  put(frame, pipeline::kIpv4ChecksumAt,
      pipeline::ipv4_checksum(std::span<const std::byte>(frame).subspan(kIp, pipeline::kIpv4Bytes)), 2);
}

Bytes datagram(const Endpoint& port) {
  const Bytes link(86, std::byte{0x5a});
  Bytes frame(pipeline::kCarrierBytes + link.size());
  wrap(kPeer, port, link, frame);
  return frame;
}

/// An ARP request of `sender` for `target`.
Bytes arp(std::uint32_t sender, std::uint32_t target) {
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

/// Puts a VLAN tag into it.
Bytes tagged(Bytes frame) {
  const Bytes tag{std::byte{0x81}, std::byte{0}, std::byte{0}, std::byte{7}};
  frame.insert(frame.begin() + 12, tag.begin(), tag.end());
  return frame;
}

Bytes ipv6(const Endpoint& port) {
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

Bytes changed(Bytes frame, const std::function<void(Bytes&)>& change) {
  change(frame);
  return frame;
}

enum class Whose {
  link,     ///< a frame of a link: to the sink
  port,     ///< the port's, but no link's
  kernel,   ///< not ours
  software  ///< not ours, but what a rule of rte_flow cannot tell; software does
};

struct Vector {
  const char* name;
  Bytes frame;
  Whose whose;
};

std::vector<Vector> vectors(const Endpoint& port) {
  const Bytes good = datagram(port);
  return {
      {"ours", good, Whose::link},
      {"another UDP port", changed(good, [](Bytes& f) { put(f, kUdp + 2, 7400, 2); }), Whose::kernel},
      {"another address", changed(good, [](Bytes& f) { f[kIp + 19] ^= std::byte{4}, mend(f); }), Whose::kernel},
      {"TCP", changed(good, [](Bytes& f) { f[kIp + 9] = std::byte{6}, mend(f); }), Whose::kernel},
      {"a first fragment", changed(good, [](Bytes& f) { put(f, kIp + 6, 0x2000, 2), mend(f); }), Whose::software},
      {"a later fragment", changed(good, [](Bytes& f) { put(f, kIp + 6, 0x0010, 2), mend(f); }), Whose::software},
      {"IPv4 options", changed(good, [](Bytes& f) { f[kIp] = std::byte{0x46}, mend(f); }), Whose::software},
      {"a VLAN tag", tagged(good), Whose::kernel},
      {"IPv6", ipv6(port), Whose::kernel},
      {"ARP for our address", arp(kPeer.ip, port.ip), Whose::port},
      {"ARP of another with our address", arp(port.ip, kPeer.ip), Whose::port},
      {"ARP for another address", arp(kPeer.ip, port.ip + 100), Whose::software},
      {"cut in the Ethernet header", Bytes(good.begin(), good.begin() + 14), Whose::kernel},
      {"cut in the IPv4 header", Bytes(good.begin(), good.begin() + 33), Whose::kernel},
      {"cut in the UDP header", Bytes(good.begin(), good.begin() + 41), Whose::kernel},
      {"ARP, cut", changed(arp(kPeer.ip, port.ip), [](Bytes& f) { f.resize(41); }), Whose::kernel},
  };
}

/// A raw socket on the port's interface: what it gets, the kernel has got.
class Kernel {
 public:
  Kernel() : socket_(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL))) {
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = static_cast<int>(::if_nametoindex(interface_of(0).c_str()));
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    const int one = 1;
    EXPECT_EQ(::setsockopt(socket_.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one), 0);
  }
  /// Whether `frame` has come by now; forgets what else has.
  bool has(const Bytes& frame) {
    Bytes got(65536);
    bool found = false;
    for (ssize_t bytes = 0; (bytes = ::recv(socket_.get(), got.data(), got.size(), 0)) >= 0;) {
      // A tag is taken out on the way to the socket.
      const auto size = static_cast<std::size_t>(bytes);
      const bool same = size == frame.size() && std::memcmp(got.data(), frame.data(), size) == 0;
      const bool untagged = size + 4 == frame.size() && std::memcmp(got.data() + 12, frame.data() + 16, size - 12) == 0;
      found = found || same || untagged;
    }
    return found;
  }

 private:
  carriers::Fd socket_;
};

class Steering : public testing::Test {
 protected:
  /// Opens a port, brings a link to kPeer up and runs all vectors. `exclusive`: what is the port's the kernel does not
  /// get.
  void run(Wire wire, std::string_view steering, bool exclusive) {
    if (const std::string missing = lacks_ports(wire); !missing.empty()) GTEST_SKIP() << missing;
    const auto carrier = carriers::open_dpdk(port_options(0, wire));
    EXPECT_EQ(carrier->port().steering, steering);
    const Endpoint port = endpoint_of(*carrier, 0);
    Recorder sink;
    const auto pump_until = [&](const std::function<bool()>& done) { return pump({{carrier.get(), &sink}}, done); };
    carrier->add_link(3, Address::parse(kPeerText));
    ASSERT_TRUE(put_on_wire(0, arp(kPeer.ip, port.ip)));
    ASSERT_TRUE(pump_until([&] { return sink.is_up(3); }));
    Kernel kernel;
    for (const Vector& one : vectors(port)) {
      SCOPED_TRACE(one.name);
      kernel.has({});
      const auto before = carrier->port();
      const std::size_t taken = sink.count;
      if (!put_on_wire(0, one.frame)) {
        EXPECT_LT(one.frame.size(), 15U) << "only a frame without a body cannot be put on the wire";
        continue;
      }
      // One of ours behind it shows that it has passed.
      ASSERT_TRUE(put_on_wire(0, datagram(port)));
      const std::size_t ours = one.whose == Whose::link ? 2 : 1;
      ASSERT_TRUE(pump_until([&] { return sink.count >= taken + ours; }));
      EXPECT_EQ(sink.count, taken + ours);
      const auto after = carrier->port();
      const bool arp_taken = after.arp_answered + after.arp_conflicts > before.arp_answered + before.arp_conflicts;
      EXPECT_EQ(arp_taken, one.whose == Whose::port);
      const bool ours_alone = one.whose == Whose::link || one.whose == Whose::port;
      EXPECT_EQ(kernel.has(one.frame), !(exclusive && ours_alone));
      if (exclusive) {
        EXPECT_EQ(after.rx_other, before.rx_other) << "the port got what is not its";
      }
    }
  }
};

TEST_F(Steering, BySoftware) {
  run(Wire::af_packet, "software", false);
}

TEST_F(Steering, ByTheXdpProgram) {
  run(Wire::af_xdp, "XDP program", true);
}

TEST_F(Steering, ASecondXdpPortOnOneInterfaceIsRefused) {
  if (const std::string missing = lacks_ports(Wire::af_xdp); !missing.empty()) GTEST_SKIP() << missing;
  const auto first = carriers::open_dpdk(port_options(0, Wire::af_xdp));
  carriers::DpdkOptions second = port_options(0, Wire::af_xdp);
  second.device.replace(second.device.find("net_af_xdp0"), 11, "net_af_xdp7");
  try {
    carriers::open_dpdk(second);
    FAIL() << "two ports on one interface";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string_view(error.what()).find("has a port of another slotwired already"), std::string_view::npos)
        << error.what();
  }
}

/// What a port does with a pattern: frames match when every item matches, in the order of the layers.
bool matches(const carriers::FlowPattern& pattern, const Bytes& frame) {
  std::size_t at = 0;
  std::uint64_t next = 0;  // EtherType, then protocol
  const auto field = [&](const rte_flow_item& item, std::size_t offset, std::size_t bytes) {
    if (item.spec == nullptr) return true;
    if (at + offset + bytes > frame.size()) return false;
    for (std::size_t i = 0; i < bytes; ++i) {
      const auto mask = static_cast<const std::byte*>(item.mask)[offset + i];
      if ((frame[at + offset + i] & mask) != (static_cast<const std::byte*>(item.spec)[offset + i] & mask))
        return false;
    }
    return true;
  };
  for (const rte_flow_item& item : pattern.items) {
    switch (item.type) {
      case RTE_FLOW_ITEM_TYPE_END:
        return true;
      case RTE_FLOW_ITEM_TYPE_ETH:
        if (frame.size() < 14 || !field(item, 0, 14)) return false;
        next = get(frame, 12, 2);
        at = 14;
        break;
      case RTE_FLOW_ITEM_TYPE_IPV4:
        if (next != 0x0800 || frame.size() < at + 20 || !field(item, 0, 20)) return false;
        next = get(frame, at + 9, 1);
        at += 20;
        break;
      case RTE_FLOW_ITEM_TYPE_UDP:
        if (next != 17 || frame.size() < at + 8 || !field(item, 0, 8)) return false;
        at += 8;
        break;
      default:
        ADD_FAILURE() << "an item that this does not know: " << item.type;
        return false;
    }
  }
  return false;
}

TEST(FlowRules, LetInWhatIsOursAndLeaveLittleToSoftware) {
  const Endpoint port{0x0200'0000'0001, 0x0a4d'0001, 7401};
  const carriers::FlowPattern udp(port), arp_pattern;
  for (const Vector& one : vectors(port)) {
    const bool in = matches(udp, one.frame) || matches(arp_pattern, one.frame);
    if (one.whose == Whose::link || one.whose == Whose::port) {
      EXPECT_TRUE(in) << one.name;
    } else if (one.whose == Whose::kernel && std::string_view(one.name) != "ARP, cut") {
      EXPECT_FALSE(in) << one.name;
    }
  }
}

}  // namespace
}  // namespace slotwire::test
