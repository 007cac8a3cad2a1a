// What steers frames to the port, by one set of frames: software, the XDP program, and the rules of rte_flow.
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include <array>
#include <cstring>
#include <functional>

#include "carrier/harness.hpp"
#include "core/carriers/dpdk/flow.hpp"
#include "ports.hpp"
#include "queues_as_one.hpp"
#include "steering_frames.hpp"

namespace slotwire::test {
namespace {

using carriers::Address;

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
  void run(Wire wire, std::string_view steering, bool exclusive, unsigned vlan = 0, std::size_t queues = 1) {
    if (const std::string missing = lacks_ports(wire); !missing.empty()) GTEST_SKIP() << missing;
    carriers::DpdkOptions options = port_options(0, wire, queues);
    options.vlan = vlan;
    const auto carrier = carriers::open_dpdk(options);
    EXPECT_EQ(carrier->port().steering, steering);
    EXPECT_EQ(carrier->queues(), queues);
    QueuesAsOne all(*carrier);
    const Endpoint port = endpoint_of(*carrier, 0);
    Recorder sink;
    const auto pump_until = [&](const std::function<bool()>& done) { return pump({{&all, &sink}}, done); };
    carrier->add_link(3, Address::parse(kPeerText));
    ASSERT_TRUE(put_on_wire(0, in_vlan(arp(kPeer.ip, port.ip), vlan)));
    ASSERT_TRUE(pump_until([&] { return sink.is_up(3); }));
    Kernel kernel;
    for (const Vector& one : vectors(port, vlan, queues)) {
      SCOPED_TRACE(one.name);
      kernel.has({});
      const auto before = carrier->port();
      const std::size_t taken = sink.count;
      if (!put_on_wire(0, one.frame)) {
        EXPECT_LT(one.frame.size(), 15U) << "only a frame without a body cannot be put on the wire";
        continue;
      }
      // One of ours behind it shows that it has passed.
      ASSERT_TRUE(put_on_wire(0, in_vlan(datagram(port), vlan)));
      const bool of_link = one.whose == Whose::link || one.whose == Whose::priority;
      const std::size_t ours = of_link ? 2 : 1;
      ASSERT_TRUE(pump_until([&] { return sink.count >= taken + ours; }));
      ASSERT_TRUE(settle({{&all, &sink}}));
      EXPECT_EQ(sink.count, taken + ours);
      const auto after = carrier->port();
      const bool arp_taken = after.arp_answered + after.arp_conflicts > before.arp_answered + before.arp_conflicts;
      EXPECT_EQ(arp_taken, one.whose == Whose::port);
      const bool ours_alone = of_link || one.whose == Whose::port;
      const bool tag_alone = one.frame.size() < 20 && get(one.frame, 12, 2) == 0x8100;  // the kernel drops it
      if (!tag_alone) {
        EXPECT_EQ(kernel.has(one.frame), !(exclusive && ours_alone));
      }
      if (exclusive) {
        EXPECT_EQ(after.rx_other, before.rx_other) << "the port got what is not its";
      }
    }
  }
};

TEST_F(Steering, BySoftware) {
  run(Wire::af_packet, "software", false);
}

TEST_F(Steering, BySoftwareInAVlan) {
  run(Wire::af_packet, "software", false, 7);
}

TEST_F(Steering, BySoftwareToThreeQueues) {
  run(Wire::af_packet, "software", false, 0, 3);
}

TEST_F(Steering, ByTheXdpProgram) {
  run(Wire::af_xdp, "XDP program", true);
}

TEST_F(Steering, ByTheXdpProgramInAVlan) {
  run(Wire::af_xdp, "XDP program", true, 7);
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
      case RTE_FLOW_ITEM_TYPE_VLAN:
        if (next != 0x8100 || frame.size() < at + 4 || !field(item, 0, 4)) return false;
        next = get(frame, at + 2, 2);
        at += 4;
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
  Endpoint next = port;
  ++next.port;
  for (const std::uint16_t vlan : {std::uint16_t{0}, std::uint16_t{7}}) {
    const carriers::FlowPattern first(port, vlan), second(next, vlan), arp_pattern(vlan);
    for (const Vector& one : vectors(port, vlan, 2)) {
      SCOPED_TRACE(one.name);
      const bool in = matches(first, one.frame) || matches(second, one.frame) || matches(arp_pattern, one.frame);
      if (one.whose == Whose::link || one.whose == Whose::port) {
        EXPECT_TRUE(in);
      } else if (one.whose == Whose::kernel && std::string_view(one.name) != "ARP, cut") {
        EXPECT_FALSE(in);
      }
    }
    EXPECT_FALSE(matches(first, in_vlan(datagram(next), vlan))) << "another queue's";
  }
}

}  // namespace
}  // namespace slotwire::test
