// Several queues of ports of net_slotwire, steered to by the classifiers of two simulated cards, with a thread each.
#include <gtest/gtest.h>

#include <string>

#include "dpdk/ports.hpp"
#include "dpdk/queue_stress.hpp"
#include "sim_card.hpp"

namespace slotwire::test {
namespace {

std::unique_ptr<carriers::DpdkCarrier> open_on(const SimCard& card, int side) {
  carriers::DpdkOptions options = port_options(side, Wire::af_packet, 2);
  options.device = "net_slotwire" + std::to_string(side) + ",queues=2,path=" + card.queues();
  options.eal.more = {"-d", SLOTWIRE_PMD};
  return carriers::open_dpdk(options);
}

class PmdQueues : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = lacks_ports(Wire::af_packet); !missing.empty()) GTEST_SKIP() << missing;
    for (int side = 0; side < 2; ++side) {
      cards_[side] = std::make_unique<SimCard>("veth:" + interface_of(side));
      ports_[side] = open_on(*cards_[side], side);
      ASSERT_EQ(ports_[side]->queues(), 2U);
      ASSERT_EQ(ports_[side]->port().steering, "rte_flow, isolated");
    }
  }
  static constexpr std::uint32_t kFrames = 300;  // simulated cards are slow

  std::unique_ptr<SimCard> cards_[2];
  std::unique_ptr<carriers::DpdkCarrier> ports_[2];
};

TEST_F(PmdQueues, NothingIsHandedOverWherePeersSendToThePortsThatTheyAreTold) {
  for (int side = 0; side < 2; ++side) {
    const auto& other = *ports_[1 - side];
    const auto told = other.ports(ports_[side]->local_address());
    EXPECT_EQ(told, (std::vector<std::uint16_t>{7401, 7402}));
    ports_[side]->add_link(0, other.local_address(), told);
  }
  EXPECT_TRUE(QueueStress(*ports_[0], *ports_[1], kFrames).run());
  for (const auto& port : ports_) EXPECT_EQ(port->port().handed_out, 0U);
}

TEST_F(PmdQueues, PeersThatSendToOnePortAreUnderstood) {
  for (int side = 0; side < 2; ++side) ports_[side]->add_link(0, ports_[1 - side]->local_address());
  EXPECT_TRUE(QueueStress(*ports_[0], *ports_[1], kFrames).run());
  for (const auto& port : ports_) {
    EXPECT_EQ(port->port().handed_out, kFrames) << "what is for queue 1, half of all, came to queue 0";
    EXPECT_EQ(port->port().handed_in, kFrames);
  }
}

}  // namespace
}  // namespace slotwire::test
