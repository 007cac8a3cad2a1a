// The rules of the DPDK carrier done by a card's classifier: what is not the carrier's does not come to its port.
#include <gtest/gtest.h>

#include <string_view>

#include "carrier/harness.hpp"
#include "dpdk/ports.hpp"
#include "dpdk/steering_frames.hpp"
#include "sim_card.hpp"

namespace slotwire::test {
namespace {

TEST(PmdSteering, TheCardKeepsAwayWhatIsNotTheCarriers) {
  const SimCard card;
  carriers::DpdkOptions options = port_options(0);
  options.device = "net_slotwire0,queues=1,path=" + card.queues();
  options.eal.more = {"-d", SLOTWIRE_PMD};
  const auto carrier = carriers::open_dpdk(options);
  ASSERT_EQ(carrier->port().steering, "rte_flow, isolated");
  const Endpoint port = endpoint_of(*carrier, 0);
  Recorder sink;
  const auto pump_until = [&](const std::function<bool()>& done) { return pump({{carrier.get(), &sink}}, done); };
  carrier->add_link(3, carriers::Address::parse(kPeerText));
  ASSERT_TRUE(card.send(arp(kPeer.ip, port.ip)));
  ASSERT_TRUE(pump_until([&] { return sink.is_up(3); }));
  for (const Vector& one : vectors(port)) {
    SCOPED_TRACE(one.name);
    const auto before = carrier->port();
    const std::size_t taken = sink.count;
    ASSERT_TRUE(card.send(one.frame));
    // One of ours behind it shows that it has passed.
    ASSERT_TRUE(card.send(datagram(port)));
    const std::size_t ours = one.whose == Whose::link ? 2 : 1;
    ASSERT_TRUE(pump_until([&] { return sink.count >= taken + ours; }));
    EXPECT_EQ(sink.count, taken + ours);
    const auto after = carrier->port();
    const bool arp_taken = after.arp_answered + after.arp_conflicts > before.arp_answered + before.arp_conflicts;
    EXPECT_EQ(arp_taken, one.whose == Whose::port);
    // All ARP comes in, and a frame that has its ports but not all of its UDP header. Fragments and options do not.
    if (std::string_view(one.name).starts_with("ARP") || std::string_view(one.name) == "cut in the UDP header")
      continue;
    EXPECT_EQ(after.rx_other, before.rx_other) << "the port got what is not its";
  }
}

}  // namespace
}  // namespace slotwire::test
