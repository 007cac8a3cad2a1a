// The rules of the DPDK carrier done by a card's classifier: what is not the carrier's does not come to its port.
#include <gtest/gtest.h>

#include <string_view>

#include "carrier/harness.hpp"
#include "dpdk/ports.hpp"
#include "dpdk/queues_as_one.hpp"
#include "dpdk/steering_frames.hpp"
#include "sim_card.hpp"

namespace slotwire::test {
namespace {

void run(unsigned vlan, std::size_t queues) {
  const SimCard card;
  carriers::DpdkOptions options = port_options(0, Wire::af_packet, queues);
  options.vlan = vlan;
  options.device = "net_slotwire0,queues=" + std::to_string(queues) + ",path=" + card.queues();
  options.eal.more = {"-d", SLOTWIRE_PMD};
  const auto carrier = carriers::open_dpdk(options);
  ASSERT_EQ(carrier->port().steering, "rte_flow, isolated");
  const Endpoint port = endpoint_of(*carrier, 0);
  QueuesAsOne all(*carrier);
  Recorder sink;
  const auto pump_until = [&](const std::function<bool()>& done) { return pump({{&all, &sink}}, done); };
  carrier->add_link(3, carriers::Address::parse(kPeerText));
  ASSERT_TRUE(card.send(in_vlan(arp(kPeer.ip, port.ip), vlan)));
  ASSERT_TRUE(pump_until([&] { return sink.is_up(3); }));
  for (const Vector& one : vectors(port, vlan, queues)) {
    SCOPED_TRACE(one.name);
    const auto before = carrier->port();
    const std::size_t taken = sink.count;
    ASSERT_TRUE(card.send(one.frame));
    // One of ours behind it shows that it has passed.
    ASSERT_TRUE(card.send(in_vlan(datagram(port), vlan)));
    const std::size_t ours = one.whose == Whose::link ? 2 : 1;
    ASSERT_TRUE(pump_until([&] { return sink.count >= taken + ours; }));
    ASSERT_TRUE(settle({{&all, &sink}}));
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

TEST(PmdSteering, TheCardKeepsAwayWhatIsNotTheCarriers) {
  run(0, 1);
}

TEST(PmdSteering, TheCardKeepsAwayOtherVlans) {
  run(7, 1);
}

TEST(PmdSteering, TheCardBringsEachUdpPortToItsQueue) {
  run(0, 2);
}

}  // namespace
}  // namespace slotwire::test
