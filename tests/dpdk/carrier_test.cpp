// What is the DPDK carrier's own: frames that are not right, addresses, options, waking up.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <stdexcept>

#include "carrier/harness.hpp"
#include "ports.hpp"

namespace slotwire::test {
namespace {

using carriers::Address;
using carriers::DpdkCarrier;
using carriers::DpdkOptions;
using pipeline::Endpoint;

constexpr Endpoint kPeer{0x0200'0000'0042, 0x0a4d'0042, 7402};
constexpr const char* kPeerText = "10.77.0.66:7402";
constexpr std::size_t kIp = pipeline::kEthernetBytes, kUdp = kIp + pipeline::kIpv4Bytes;

void put16(Bytes& frame, std::size_t at, std::size_t value) {
  frame[at] = static_cast<std::byte>(value >> 8U & 0xffU);
  frame[at + 1] = static_cast<std::byte>(value & 0xffU);
}

/// Makes the IPv4 header's checksum right after a change.
void mend(Bytes& frame) {
  put16(frame, pipeline::kIpv4ChecksumAt, 0);
  put16(frame, pipeline::kIpv4ChecksumAt,
        pipeline::ipv4_checksum(std::span<const std::byte>(frame).subspan(kIp, pipeline::kIpv4Bytes)));
}

/// One port on side 0; the other end of its wire is the test's.
class DpdkCarrierTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = lacks_ports(Wire::af_packet); !missing.empty()) GTEST_SKIP() << missing;
    carrier_ = carriers::open_dpdk(port_options(0));
    port_ = endpoint_of(*carrier_, 0);
  }
  void put_on(const Bytes& frame) { ASSERT_TRUE(put_on_wire(0, frame)); }
  bool pump_until(const std::function<bool()>& done) { return pump({{carrier_.get(), &sink_}}, done); }
  void bring_up() {
    carrier_->add_link(3, Address::parse(kPeerText));
    put_on(arp_of_peer(kPeer, port_, false));
    ASSERT_TRUE(pump_until([&] { return sink_.is_up(3); }));
  }
  Bytes datagram(std::size_t bytes) const {
    const Bytes link(bytes, std::byte{0x5a});
    Bytes frame(pipeline::kCarrierBytes + bytes);
    wrap(kPeer, port_, link, frame);
    return frame;
  }

  std::unique_ptr<DpdkCarrier> carrier_;
  Endpoint port_;
  Recorder sink_;
};

TEST_F(DpdkCarrierTest, OnlyWholeFramesToTheOwnAddressAreTaken) {
  bring_up();
  struct Case {
    const char* name;
    std::function<void(Bytes&)> change;
    enum { other, malformed, kept } what;  // kept: net_af_packet has the kernel keep fragments for their other parts
  };
  const std::vector<Case> cases{
      {"another MAC address", [](Bytes& f) { f[5] ^= std::byte{1}; }, Case::other},
      {"another EtherType", [](Bytes& f) { put16(f, 12, 0x86dd); }, Case::other},
      {"IPv4 options", [](Bytes& f) { f[kIp] = std::byte{0x46}, mend(f); }, Case::other},
      {"another address", [](Bytes& f) { f[kIp + 19] ^= std::byte{1}, mend(f); }, Case::other},
      {"another port", [](Bytes& f) { put16(f, kUdp + 2, 7400); }, Case::other},
      {"TCP", [](Bytes& f) { f[kIp + 9] = std::byte{6}, mend(f); }, Case::other},
      {"a first fragment", [](Bytes& f) { put16(f, kIp + 6, 0x2000), mend(f); }, Case::kept},
      {"a later fragment", [](Bytes& f) { put16(f, kIp + 6, 0x0010), mend(f); }, Case::kept},
      {"a UDP length below its header", [](Bytes& f) { put16(f, kUdp + 4, 7), put16(f, kIp + 2, 27), mend(f); },
       Case::other},
      {"lengths that differ", [](Bytes& f) { put16(f, kUdp + 4, 50); }, Case::other},
      {"cut short", [](Bytes& f) { f.resize(f.size() - 1); }, Case::malformed},
      {"lengths far beyond its end", [](Bytes& f) { put16(f, kUdp + 4, 65515), put16(f, kIp + 2, 65535), mend(f); },
       Case::malformed},
      {"a wrong checksum", [](Bytes& f) { f[kIp + 8] ^= std::byte{1}; }, Case::malformed},
  };
  std::uint64_t malformed = carrier_->counters().rx_malformed;
  for (const Case& one : cases) {
    Bytes frame = datagram(86);
    one.change(frame);
    const std::uint64_t other = carrier_->port().rx_other;
    put_on(frame);
    const Bytes good = datagram(22);  // what comes after it shows that it was looked at
    put_on(good);
    const std::size_t before = sink_.count;
    ASSERT_TRUE(pump_until([&] { return sink_.count > before; })) << one.name;
    EXPECT_EQ(sink_.count, before + 1) << one.name;
    EXPECT_EQ(sink_.frames[3].back(), Bytes(22, std::byte{0x5a})) << one.name;
    if (one.what == Case::malformed) {
      EXPECT_EQ(carrier_->counters().rx_malformed, ++malformed) << one.name;
    } else if (one.what == Case::other) {
      EXPECT_GT(carrier_->port().rx_other, other) << one.name;
    }
  }
  // A datagram above what one frame may carry, though the interface lets it through.
  put_on(datagram(carrier_->lines_per_frame() * regs::kLineBytes + regs::kHeaderBytes + 1));
  ASSERT_TRUE(pump_until([&] { return carrier_->counters().rx_malformed == malformed + 1; }));
}

TEST_F(DpdkCarrierTest, SilentPeersAreToldDownAndComeUpWhenTheyAnswer) {
  carrier_->add_link(3, Address::parse(kPeerText));
  ASSERT_TRUE(pump_until([&] { return !sink_.events.empty(); }));
  EXPECT_FALSE(sink_.events[0].up);
  EXPECT_NE(sink_.events[0].reason.find("nobody answers"), std::string::npos);
  EXPECT_EQ(carrier_->room(3), 0U);
  put_on(arp_of_peer(kPeer, port_, true));
  ASSERT_TRUE(pump_until([&] { return sink_.is_up(3); }));
  EXPECT_EQ(sink_.events.size(), 2U) << "down is told once";
  EXPECT_EQ(carrier_->port().arp_answered, 1U);
}

TEST_F(DpdkCarrierTest, TheFrameBehindThePeersAnswerIsTaken) {
  carrier_->add_link(3, Address::parse(kPeerText));
  // Both are in the port before it is looked at.
  put_on(arp_of_peer(kPeer, port_, false));
  put_on(datagram(86));
  ASSERT_TRUE(pump_until([&] { return sink_.count == 1; }));
  EXPECT_TRUE(sink_.is_up(3));
}

TEST_F(DpdkCarrierTest, AnotherHostWithTheOwnAddressIsCounted) {
  Endpoint thief = kPeer;
  thief.ip = port_.ip;
  put_on(arp_of_peer(thief, port_, true));
  ASSERT_TRUE(pump_until([&] { return carrier_->port().arp_conflicts == 1; }));
  EXPECT_EQ(carrier_->port().arp_answered, 0U);
}

TEST_F(DpdkCarrierTest, FramesOfOthersDoNotWakeIt) {
  bring_up();
  ASSERT_TRUE(settle({{carrier_.get(), &sink_}}));
  Bytes strange = datagram(86);
  put16(strange, kUdp + 2, 7400);
  const std::uint64_t other = carrier_->port().rx_other;
  for (int i = 0; i < 10; ++i) put_on(strange);
  // Looked for without being woken: once they are in the port, they have passed the doorbell or are about to.
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (carrier_->port().rx_other < other + 10 && std::chrono::steady_clock::now() < end) {
    EXPECT_FALSE(readable(carrier_->fd()));
    carrier_->poll(now_us(), 64, sink_);
  }
  EXPECT_GE(carrier_->port().rx_other, other + 10);
  EXPECT_FALSE(readable(carrier_->fd()));
  const std::size_t before = sink_.count;
  put_on(datagram(86));
  ASSERT_TRUE(pump_until([&] { return sink_.count == before + 1; }));
}

TEST_F(DpdkCarrierTest, LinksThatCannotBeAreRefused) {
  bring_up();
  const auto refused = [&](std::uint16_t link, const char* peer) {
    EXPECT_THROW(carrier_->add_link(link, Address::parse(peer)), std::invalid_argument) << peer;
  };
  refused(3, "10.77.0.67:7401");     // the link is taken
  refused(4, kPeerText);             // the address is taken
  refused(4, "10.77.0.67:0");        // no port
  refused(4, "[::1]:7401");          // not IPv4
  refused(4, "10.78.0.1:7401");      // no gateway
  refused(4, "10.77.0.255:7401");    // all hosts
  refused(4, "10.77.0.1:7401");      // itself
  refused(5000, "10.77.0.67:7401");  // above the limit
  carrier_->remove_link(3);
  carrier_->add_link(4, Address::parse(kPeerText));
}

TEST_F(DpdkCarrierTest, OptionsOutOfRangeAreRefused) {
  const auto refused = [](const std::function<void(DpdkOptions&)>& change) {
    DpdkOptions options = port_options(1);
    change(options);
    EXPECT_THROW(carriers::open_dpdk(options), std::invalid_argument);
  };
  refused([](DpdkOptions& o) { o.device.clear(); });
  refused([](DpdkOptions& o) { o.address = Address::parse("[::1]:7401"); });
  refused([](DpdkOptions& o) { o.address = Address::parse("10.77.0.2:0"); });
  refused([](DpdkOptions& o) { o.prefix = 0; });
  refused([](DpdkOptions& o) { o.prefix = 33; });
  refused([](DpdkOptions& o) { o.gateway = Address::parse("10.78.0.1:0"); });
  refused([](DpdkOptions& o) { o.mtu = 20 + 8 + regs::kHeaderBytes + regs::kLineBytes - 1; });
  refused([](DpdkOptions& o) { o.mtu = carriers::kMaxDpdkMtu + 1; });
  refused([](DpdkOptions& o) { o.rx_descriptors = carriers::kMinDpdkDescriptors - 1; });
  refused([](DpdkOptions& o) { o.tx_descriptors = carriers::kMaxDpdkDescriptors + 1; });
  refused([](DpdkOptions& o) { o.output_frames = 0; });
  refused([](DpdkOptions& o) { o.max_links = 65537; });
  DpdkOptions good = port_options(1);
  good.gateway = Address::parse("10.77.0.99:0");
  const auto second = carriers::open_dpdk(good);
  second->add_link(0, Address::parse("10.78.0.1:7401"));
}

}  // namespace
}  // namespace slotwire::test
