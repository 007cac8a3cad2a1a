// The DPDK carrier through what every carrier must do: two ports of one process, wired to each other.
#include "carrier/conformance.hpp"
#include "carrier/sealed_pair.hpp"

#include <array>

#include "pipeline/ethernet.hpp"
#include "ports.hpp"

namespace slotwire::test {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ManyLinksConformance);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ConnectionConformance);

namespace {

/// An address belongs to one link, so one link joins two ports.
class DpdkPair final : public Pair {
 public:
  DpdkPair() {
    for (int side = 0; side < 2; ++side) make(side);
  }
  Carrier& carrier(int side) override { return *carriers_[side]; }
  void join(std::uint16_t link) override {
    for (int side = 0; side < 2; ++side) carriers_[side]->add_link(link, carriers_[1 - side]->local_address());
    joined_.push_back(link);
  }
  void part(int side, std::uint16_t link) override { carriers_[side]->remove_link(link); }
  void restart(int side) override {
    carriers_[side].reset();
    make(side);
    for (const auto link : joined_) carriers_[side]->add_link(link, carriers_[1 - side]->local_address());
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
  void make(int side) { carriers_[side] = carriers::open_dpdk(port_options(side)); }
  std::unique_ptr<carriers::DpdkCarrier> carriers_[2];
  std::vector<std::uint16_t> joined_;
};

const Factory kAfPacket{"af_packet", [] { return std::make_unique<DpdkPair>(); }, lacks_ports};
const Factory kEncrypted{
    "af_packet_aes256",
    [] { return std::make_unique<SealedPair>(std::make_unique<DpdkPair>(), carriers::CipherSuite::aes_256_gcm); },
    lacks_ports};

INSTANTIATE_TEST_SUITE_P(Dpdk, Conformance, testing::Values(kAfPacket, kEncrypted), name_of);
INSTANTIATE_TEST_SUITE_P(Dpdk, NetworkConformance, testing::Values(kAfPacket, kEncrypted), name_of);

}  // namespace
}  // namespace slotwire::test
