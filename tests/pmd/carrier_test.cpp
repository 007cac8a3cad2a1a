// The DPDK carrier on a port of net_slotwire whose card goes and comes back: the test holds the card's wire.
#include <gtest/gtest.h>

#include <array>

#include "carrier/harness.hpp"
#include "dpdk/ports.hpp"
#include "sim_card.hpp"

namespace slotwire::test {
namespace {

constexpr pipeline::Endpoint kPeer{0x0200'0000'0042, 0x0a4d'0042, 7402};
constexpr const char* kPeerText = "10.77.0.66:7402";
constexpr std::uint16_t kLink = 3;

TEST(PmdCarrier, ACardThatGoesAndComesBackTakesItsLinksWithIt) {
  SimCard card;
  carriers::DpdkOptions options = port_options(0);
  options.device = "net_slotwire0,queues=1,path=" + card.queues();
  options.eal.more = {"-d", SLOTWIRE_PMD};
  const auto carrier = carriers::open_dpdk(options);
  const std::string mac = carrier->port().mac;
  const pipeline::Endpoint port = endpoint_of(*carrier, 0);
  Recorder sink;
  const auto pump_until = [&](const std::function<bool()>& done) { return pump({{carrier.get(), &sink}}, done); };
  const auto comes_up = [&] {
    // Until the port is open again, what is sent to it is lost.
    return pump_until([&] {
      EXPECT_TRUE(card.send(arp_of_peer(kPeer, port, false)));
      return sink.is_up(kLink);
    });
  };
  const auto receives = [&] {
    const Bytes link(86, std::byte{0x5a});
    Bytes frame(pipeline::kCarrierBytes + link.size());
    wrap(kPeer, port, link, frame);
    const std::size_t before = sink.count;
    EXPECT_TRUE(card.send(frame));
    return pump_until([&] { return sink.count != before; }) && sink.frames[kLink].back() == link;
  };
  carrier->add_link(kLink, carriers::Address::parse(kPeerText));
  ASSERT_TRUE(comes_up());
  EXPECT_TRUE(receives());
  for (int times = 0; times < 2; ++times) {
    card.kill();
    ASSERT_TRUE(pump_until([&] { return !sink.is_up(kLink); }));
    EXPECT_NE(sink.events.back().reason.find("has no link"), std::string::npos) << sink.events.back().reason;
    EXPECT_EQ(carrier->room(kLink), 0U);
    card.restart();
    ASSERT_TRUE(comes_up());
    EXPECT_TRUE(receives());
    EXPECT_EQ(carrier->port().mac, mac);
    EXPECT_EQ(carrier->port().steering, "rte_flow, isolated");
  }
}

}  // namespace
}  // namespace slotwire::test
