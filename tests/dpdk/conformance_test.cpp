// The DPDK carrier through what every carrier must do: two ports of one process, wired to each other.
#include "carrier/conformance.hpp"
#include "carrier/sealed_pair.hpp"

#include <array>

#include "core/pipeline/ethernet.hpp"
#include "forgetful.hpp"
#include "ports.hpp"
#include "queues_as_one.hpp"

namespace slotwire::test {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ManyLinksConformance);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ConnectionConformance);

namespace {

/// An address belongs to one link, so one link joins two ports.
class DpdkPair final : public Pair {
 public:
  /// `told`: each side sends to the ports that the other one asks for, else all to one. `in_place`: lines are sent from
  /// where they are, by every port that can, and are gone when send() returns.
  explicit DpdkPair(Wire wire, std::size_t queues = 1, bool told = false, bool in_place = false)
      : wire_(wire), queues_(queues), told_(told), in_place_(in_place) {
    for (int side = 0; side < 2; ++side) make(side);
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
    unmake(side);
    make(side);
    for (const auto link : joined_) add(side, link);
  }
  std::string lacks_restart() const override {
    if (wire_ != Wire::af_xdp) return {};
    return "net_af_xdp of this DPDK keeps its socket until the process ends: dpdk_node_test restarts processes";
  }
  bool connected() const override { return wire_ == Wire::vhost; }  // the drivers tell when the other end goes
  std::size_t intrude(int side) override {
    if (wire_ == Wire::vhost) return intrude_by_port(side);
    const pipeline::Endpoint stranger{0x0200'0000'0099, 0x0a4d'0063, 7401};
    const std::array<std::byte, 100> junk{};
    std::array<std::byte, 200> frame{};
    const std::size_t bytes = wrap(stranger, endpoint_of(*carriers_[side], side), junk, frame);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(put_on_wire(side, std::span(frame).first(bytes)));
    return 3;
  }

 private:
  void make(int side) {
    carriers::DpdkOptions options = port_options(side, wire_, queues_);
    const bool in_place = in_place_ && options.device.rfind("net_virtio_user", 0) != 0;
    if (in_place) options.zero_copy = carriers::ZeroCopy::on;
    use(side, carriers::open_dpdk(options));
    if (in_place) {
      EXPECT_EQ(carriers_[side]->port().zero_copy, "on");
    }
  }
  void use(int side, std::unique_ptr<carriers::DpdkCarrier> carrier) {
    carriers_[side] = std::move(carrier);
    EXPECT_EQ(carriers_[side]->queues(), queues_);
    // A vhost frame arrives at the queue that it was sent from: another than its own.
    all_[side] = std::make_unique<QueuesAsOne>(*carriers_[side], wire_ == Wire::vhost ? 1 : 0);
    forgetful_[side] = std::make_unique<Forgetful>(*all_[side]);
  }
  void unmake(int side) {
    forgetful_[side].reset();
    all_[side].reset();
    carriers_[side].reset();
  }
  void add(int side, std::uint16_t link) {
    const auto& other = *carriers_[1 - side];
    std::vector<std::uint16_t> ports;
    if (told_) ports = other.ports(carriers_[side]->local_address());
    carriers_[side]->add_link(link, other.local_address(), ports);
  }
  /// The wire has two ends and nobody else: for a while the other port is a stranger's.
  std::size_t intrude_by_port(int side) {
    Carrier& target = carrier(side);
    Recorder target_sink, other_sink;
    unmake(1 - side);
    carriers::DpdkOptions options = port_options(1 - side, wire_, queues_);
    options.address = carriers::Address::parse("10.77.0.99:7401");
    use(1 - side, carriers::open_dpdk(options));
    carriers_[1 - side]->add_link(0, carriers_[side]->local_address());
    const std::vector<Side> both{{&target, &target_sink}, {&carrier(1 - side), &other_sink}};
    EXPECT_TRUE(pump(both, [&] { return other_sink.is_up(0); }));
    Frames frames(3);
    for (int i = 0; i < 3; ++i) frames.add(0, 78);
    carrier(1 - side).send(frames.list());
    EXPECT_TRUE(pump(both, [&] { return target.counters().rx_unknown_peer == 3; }));
    EXPECT_EQ(target_sink.count, 0U);
    const auto ups = [&] {
      return std::count_if(target_sink.events.begin(), target_sink.events.end(), [](const auto& e) { return e.up; });
    };
    const auto before = ups();
    other_sink = {};
    restart(1 - side);
    EXPECT_TRUE(pump({{&target, &target_sink}, {&carrier(1 - side), &other_sink}},
                     [&] { return ups() > before && other_sink.is_up(0); }));
    return 3;
  }

  Wire wire_;
  std::size_t queues_;
  bool told_, in_place_;
  std::unique_ptr<carriers::DpdkCarrier> carriers_[2];
  std::unique_ptr<QueuesAsOne> all_[2];  ///< goes before its carrier
  std::unique_ptr<Forgetful> forgetful_[2];
  std::vector<std::uint16_t> joined_;
};

template <Wire wire, std::size_t queues = 1, bool told = false, bool in_place = false>
Factory factory(const char* name) {
  return {name, [] { return std::make_unique<DpdkPair>(wire, queues, told, in_place); },
          [] { return lacks_ports(wire); }};
}

const Factory kEncrypted{"af_packet_aes256",
                         [] {
                           return std::make_unique<SealedPair>(std::make_unique<DpdkPair>(Wire::af_packet),
                                                               carriers::CipherSuite::aes_256_gcm);
                         },
                         [] { return lacks_ports(Wire::af_packet); }};

const auto kPorts = testing::Values(factory<Wire::af_packet>("af_packet"), factory<Wire::af_xdp>("af_xdp"),
                                    factory<Wire::vhost>("vhost_and_virtio_user"), kEncrypted,
                                    factory<Wire::af_packet, 1, false, true>("af_packet_in_place"),
                                    factory<Wire::vhost, 1, false, true>("vhost_in_place_and_virtio_user"));
const auto kQueues = testing::Values(factory<Wire::af_packet, 2>("af_packet_2_queues"),
                                     factory<Wire::af_packet, 3, true>("af_packet_3_queues_told"),
                                     factory<Wire::vhost, 2>("vhost_2_queues"));

INSTANTIATE_TEST_SUITE_P(Dpdk, Conformance, kPorts, name_of);
INSTANTIATE_TEST_SUITE_P(Dpdk, NetworkConformance, kPorts, name_of);
INSTANTIATE_TEST_SUITE_P(DpdkQueues, Conformance, kQueues, name_of);
INSTANTIATE_TEST_SUITE_P(DpdkQueues, NetworkConformance, kQueues, name_of);

}  // namespace
}  // namespace slotwire::test
