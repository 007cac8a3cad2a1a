// The carriers of the kernel and the loopback, all through what every carrier must do.
#include "conformance.hpp"

#include <memory>
#include <system_error>

#include "core/carriers/ladder.hpp"
#include "core/carriers/loopback.hpp"
#include "core/carriers/tcp.hpp"
#include "core/carriers/udp.hpp"
#include "relayed_pair.hpp"
#include "sealed_pair.hpp"
#include "test_certificates.hpp"

namespace slotwire::test {
namespace {

using carriers::Address;

class LoopbackPair final : public Pair {
 public:
  LoopbackPair() { make(); }
  Carrier& carrier(int) override { return *carrier_; }
  void join(std::uint16_t link) override {
    carrier_->add_link(link);
    joined_.push_back(link);
  }
  void part(int, std::uint16_t link) override { carrier_->remove_link(link); }
  void restart(int) override {
    make();
    for (const auto link : joined_) carrier_->add_link(link);
  }
  std::size_t intrude(int) override { return 0; }
  bool two_sided() const override { return false; }

 private:
  void make() {
    carriers::LoopbackOptions options;
    options.lines_per_frame = 32;
    carrier_ = std::make_unique<carriers::LoopbackCarrier>(options);
  }
  std::unique_ptr<carriers::LoopbackCarrier> carrier_;
  std::vector<std::uint16_t> joined_;
};

/// An address belongs to one link, so one link joins two UDP carriers; udp_test.cpp has many.
class UdpPair final : public Pair {
 public:
  UdpPair(std::string host, bool gso, bool gro) : host_(std::move(host)), gso_(gso), gro_(gro) {
    for (int side = 0; side < 2; ++side) make(side, Address::parse(host_ + ":0"));
  }
  Carrier& carrier(int side) override { return *carriers_[side]; }
  void join(std::uint16_t link) override {
    for (int side = 0; side < 2; ++side) carriers_[side]->add_link(link, address_[1 - side]);
    joined_.push_back(link);
  }
  void part(int side, std::uint16_t link) override { carriers_[side]->remove_link(link); }
  void restart(int side) override {
    carriers_[side].reset();
    make(side, address_[side]);
    for (const auto link : joined_) carriers_[side]->add_link(link, address_[1 - side]);
  }
  std::size_t intrude(int side) override {
    const carriers::Fd stranger = carriers::bound_socket(Address::parse(host_ + ":0"), SOCK_DGRAM);
    const std::array<char, 100> junk{};
    for (int i = 0; i < 3; ++i) {
      ::sendto(stranger.get(), junk.data(), junk.size(), 0, address_[side].data(), address_[side].size());
    }
    return 3;
  }

 private:
  void make(int side, const Address& bind) {
    carriers::UdpOptions options;
    options.bind = bind;
    options.gso = gso_;
    options.gro = gro_;
    carriers_[side] = std::make_unique<carriers::UdpCarrier>(options);
    address_[side] = carriers_[side]->local_address();
  }
  std::string host_;
  bool gso_, gro_;
  std::unique_ptr<carriers::UdpCarrier> carriers_[2];
  Address address_[2];
  std::vector<std::uint16_t> joined_;
};

class TcpPair final : public Pair {
 public:
  explicit TcpPair(bool tls) {
    if (tls) certificates_ = std::make_unique<TestCertificates>();
    for (int side = 0; side < 2; ++side) {
      if (tls) contexts_[side] = certificates_->context(node(side));
      make(side, Address::parse("127.0.0.1:0"));
    }
  }
  Carrier& carrier(int side) override { return *carriers_[side]; }
  void join(std::uint16_t link) override {
    for (int side = 0; side < 2; ++side) add(side, link);
    joined_.push_back(link);
  }
  void part(int side, std::uint16_t link) override { carriers_[side]->remove_link(link); }
  void restart(int side) override {
    carriers_[side].reset();
    make(side, address_[side]);
    for (const auto link : joined_) add(side, link);
  }
  bool connected() const override { return true; }
  void cut(int side, std::uint16_t link) override { carriers_[side]->cut(link); }
  std::size_t intrude(int side) override {
    // A node of the right name with a wrong token.
    carriers::TcpOptions options = base(1 - side);
    stranger_ = std::make_unique<carriers::TcpCarrier>(options);
    carriers::TcpLink link{0, node(side), true, address_[side], {}};
    link.token.fill(std::byte{0xEE});
    stranger_->add_link(link);
    Recorder sink;
    EXPECT_TRUE(
        pump({{stranger_.get(), &sink}, {carriers_[side].get(), &intruded_}}, [&] { return !sink.events.empty(); }));
    EXPECT_FALSE(sink.is_up(0));
    stranger_.reset();
    return 1;
  }

 private:
  static std::string node(int side) { return side == 0 ? "node-a" : "node-b"; }
  carriers::TcpOptions base(int side) {
    carriers::TcpOptions options;
    options.node = node(side);
    options.tls = contexts_[side];
    options.lines_per_frame = 32;
    options.backoff_min_us = 500;
    options.backoff_max_us = 20'000;
    return options;
  }
  void make(int side, const Address& listen) {
    carriers::TcpOptions options = base(side);
    options.listen = listen;
    carriers_[side] = std::make_unique<carriers::TcpCarrier>(options);
    address_[side] = carriers_[side]->local_address();
  }
  void add(int side, std::uint16_t link) {
    carriers::TcpLink config{link, node(1 - side), side == 0, address_[1 - side], {}};
    config.token.fill(static_cast<std::byte>(link + 1));
    carriers_[side]->add_link(config);
  }
  std::unique_ptr<TestCertificates> certificates_;
  std::shared_ptr<const carriers::TlsContext> contexts_[2];
  std::unique_ptr<carriers::TcpCarrier> carriers_[2], stranger_;
  Address address_[2];
  std::vector<std::uint16_t> joined_;
  Recorder intruded_;
};

/// Datagrams above a connection of another process, as a link with carrier = "auto" has them.
class LadderPair final : public Pair {
 public:
  LadderPair() {
    for (int side = 0; side < 2; ++side) make(side);
  }
  Carrier& carrier(int side) override { return *ladders_[side]; }
  void join(std::uint16_t link) override {
    for (const auto& ladder : ladders_) ladder->add_link(link, 3);
    udp_.join(link);
    relayed_.join(link);
    joined_.push_back(link);
  }
  void part(int side, std::uint16_t link) override {
    udp_.part(side, link);
    relayed_.part(side, link);
    ladders_[side]->remove_link(link);
  }
  void restart(int side) override {
    ladders_[side].reset();
    udp_.restart(side);
    relayed_.restart(side);
    make(side);
    for (const auto link : joined_) ladders_[side]->add_link(link, 3);
  }
  std::size_t intrude(int side) override { return udp_.intrude(side); }

 private:
  void make(int side) {
    carriers::LadderOptions options;
    options.idle_ask_us = std::uint64_t{3600} * 1'000'000;  // so that a test can see a side that has nothing to do
    options.busy_ask_us = options.idle_ask_us;
    ladders_[side] = std::make_unique<carriers::LadderCarrier>(
        "auto",
        std::vector<carriers::Rung>{{"udp", &udp_.carrier(side), 300'000, false, 0},
                                    {"http", &relayed_.carrier(side), 300'000, true, 0}},
        options);
  }
  UdpPair udp_{"127.0.0.1", true, true};
  RelayedPair relayed_{udp_.carrier(0).lines_per_frame()};
  std::unique_ptr<carriers::LadderCarrier> ladders_[2];
  std::vector<std::uint16_t> joined_;
};

std::string no_ipv6() {
  try {
    carriers::bound_socket(Address::parse("[::1]:0"), SOCK_DGRAM);
    return {};
  } catch (const std::system_error&) {
    return "this host has no IPv6 loopback address";
  }
}

const Factory kLoopback{"loopback", [] { return std::make_unique<LoopbackPair>(); }};
const Factory kUdpPlain{"udp_plain", [] { return std::make_unique<UdpPair>("127.0.0.1", false, false); }};
const Factory kUdpGso{"udp_gso", [] { return std::make_unique<UdpPair>("127.0.0.1", true, false); }};
const Factory kUdpGro{"udp_gso_gro", [] { return std::make_unique<UdpPair>("127.0.0.1", true, true); }};
const Factory kUdp6{"udp_ipv6", [] { return std::make_unique<UdpPair>("[::1]", true, true); }, no_ipv6};
std::unique_ptr<Pair> sealed_udp(carriers::CipherSuite suite, bool gso, bool gro) {
  return std::make_unique<SealedPair>(std::make_unique<UdpPair>("127.0.0.1", gso, gro), suite);
}
const Factory kUdp256{"udp_aes256", [] { return sealed_udp(carriers::CipherSuite::aes_256_gcm, true, true); }};
const Factory kUdp128{"udp_plain_aes128", [] { return sealed_udp(carriers::CipherSuite::aes_128_gcm, false, false); }};
const Factory kTcp{"tcp", [] { return std::make_unique<TcpPair>(false); }};
const Factory kTls{"tcp_tls", [] { return std::make_unique<TcpPair>(true); }};

const Factory kRelayed{"relayed", [] { return std::make_unique<RelayedPair>(); }};
const Factory kLadder{"ladder", [] { return std::make_unique<LadderPair>(); }};
const Factory kLadder256{
    "ladder_aes256",
    [] { return std::make_unique<SealedPair>(std::make_unique<LadderPair>(), carriers::CipherSuite::aes_256_gcm); }};

INSTANTIATE_TEST_SUITE_P(Carriers, Conformance,
                         testing::Values(kLoopback, kUdpPlain, kUdpGso, kUdpGro, kUdp6, kUdp256, kUdp128, kTcp, kTls,
                                         kRelayed, kLadder, kLadder256),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Carriers, NetworkConformance,
                         testing::Values(kUdpPlain, kUdpGso, kUdpGro, kUdp6, kUdp256, kUdp128, kTcp, kTls, kLadder,
                                         kLadder256),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Carriers, ManyLinksConformance, testing::Values(kLoopback, kTcp, kTls, kRelayed), name_of);
INSTANTIATE_TEST_SUITE_P(Carriers, ConnectionConformance, testing::Values(kTcp, kTls, kRelayed), name_of);

}  // namespace
}  // namespace slotwire::test
