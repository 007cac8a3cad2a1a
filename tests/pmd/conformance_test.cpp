// The DPDK carrier over ports of net_slotwire: two simulated cards whose wires are joined, nothing of them is the
// cards' own.
#include "carrier/conformance.hpp"

#include <array>
#include <memory>

#include "core/pipeline/ethernet.hpp"
#include "dpdk/forgetful.hpp"
#include "dpdk/ports.hpp"
#include "dpdk/queues_as_one.hpp"
#include "sim_card.hpp"

namespace slotwire::test {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ManyLinksConformance);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ConnectionConformance);

namespace {

/// The cards stay where they are when a carrier closes its port and opens it again.
class CardPair final : public Pair {
 public:
  /// `in_place`: lines are sent from where they are, and are gone when send() returns.
  explicit CardPair(std::size_t queues = 1, bool in_place = false) : queues_(queues), in_place_(in_place) {
    for (int side = 0; side < 2; ++side) {
      cards_[side] = std::make_unique<SimCard>("veth:" + interface_of(side));
      make(side);
    }
  }
  ~CardPair() override {
    // The classifiers have brought every frame to its queue.
    for (const auto& carrier : carriers_) EXPECT_EQ(carrier->port().handed_out, 0U);
  }
  Carrier& carrier(int side) override { return in_place_ ? static_cast<Carrier&>(*forgetful_[side]) : *all_[side]; }
  std::size_t lanes() const override { return queues_; }
  void join(std::uint16_t link) override {
    for (int side = 0; side < 2; ++side) add(side, link);
    joined_.push_back(link);
  }
  void part(int side, std::uint16_t link) override {
    carriers_[side]->remove_link(link);
    all_[side]->hear();
  }
  void restart(int side) override {
    forgetful_[side].reset();
    all_[side].reset();
    carriers_[side].reset();
    make(side);
    for (const auto link : joined_) add(side, link);
  }
  std::size_t intrude(int side) override {
    const pipeline::Endpoint stranger{0x0200'0000'0099, 0x0a4d'0063, 7401};
    const std::array<std::byte, 100> junk{};
    std::array<std::byte, 200> frame{};
    const std::size_t bytes = wrap(stranger, endpoint_of(*carriers_[side], side), junk, frame);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(put_on_wire(side, std::span(frame).first(bytes)));
    return 3;
  }

 private:
  void make(int side) {
    carriers::DpdkOptions options = port_options(side, Wire::af_packet, queues_);
    options.device = "net_slotwire" + std::to_string(side) + ",queues=" + std::to_string(queues_) +
                     ",path=" + cards_[side]->queues();
    options.eal.more = {"-d", SLOTWIRE_PMD};
    if (in_place_) options.zero_copy = carriers::ZeroCopy::on;
    carriers_[side] = carriers::open_dpdk(options);
    EXPECT_EQ(carriers_[side]->port().zero_copy.substr(0, 2), in_place_ ? "on" : "of");
    EXPECT_EQ(carriers_[side]->queues(), queues_);
    all_[side] = std::make_unique<QueuesAsOne>(*carriers_[side]);
    forgetful_[side] = std::make_unique<Forgetful>(*all_[side]);
    // The card's classifier keeps away what is not the carrier's, and an interrupt of its queue wakes.
    EXPECT_EQ(carriers_[side]->port().steering, "rte_flow, isolated");
    EXPECT_NE(carriers_[side]->port().wake, "polling");
  }

  void add(int side, std::uint16_t link) {
    const auto& other = *carriers_[1 - side];
    carriers_[side]->add_link(link, other.local_address(), other.ports(carriers_[side]->local_address()));
  }

  std::size_t queues_;
  bool in_place_;
  std::unique_ptr<SimCard> cards_[2];
  std::unique_ptr<carriers::DpdkCarrier> carriers_[2];
  std::unique_ptr<QueuesAsOne> all_[2];  ///< goes before its carrier
  std::unique_ptr<Forgetful> forgetful_[2];
  std::vector<std::uint16_t> joined_;
};

const Factory kCards{"net_slotwire", [] { return std::make_unique<CardPair>(); },
                     [] { return lacks_ports(Wire::af_packet); }};

const Factory kCardsInPlace{"net_slotwire_in_place", [] { return std::make_unique<CardPair>(1, true); },
                            [] { return lacks_ports(Wire::af_packet); }};

const Factory kQueues{"net_slotwire_2_queues", [] { return std::make_unique<CardPair>(2); },
                      [] { return lacks_ports(Wire::af_packet); }};

INSTANTIATE_TEST_SUITE_P(Pmd, Conformance, testing::Values(kCards, kQueues, kCardsInPlace), name_of);
INSTANTIATE_TEST_SUITE_P(Pmd, NetworkConformance, testing::Values(kCards, kQueues, kCardsInPlace), name_of);

}  // namespace
}  // namespace slotwire::test
