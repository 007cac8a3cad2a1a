// Ports that spread by a hash: the hash against what was published with it and against one worked out bit by bit, the
// choice of UDP ports, and the set-up of a port. No driver without a NIC spreads for real: what one does with the table
// is what is computed here.
#include "core/carriers/dpdk/rss.hpp"

#include <gtest/gtest.h>
#include <rte_ethdev.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "core/carriers/dpdk/dpdk_carrier.hpp"

namespace slotwire::test {
namespace {

using carriers::RssTable;
using pipeline::Endpoint;

constexpr std::array<std::uint8_t, 40> kKey{0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                            0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                            0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                            0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

constexpr std::uint32_t ip(unsigned a, unsigned b, unsigned c, unsigned d) {
  return a << 24U | b << 16U | c << 8U | d;
}

/// As it is defined: for every bit of the input that is set, the 32 bits of the key from there on.
std::uint32_t bit_by_bit(const std::vector<std::uint8_t>& key, const Endpoint& from, const Endpoint& to) {
  std::vector<bool> input;
  const auto add = [&input](std::uint64_t value, int bits) {
    while (bits-- > 0) input.push_back((value >> bits & 1U) != 0);
  };
  add(from.ip, 32);
  add(to.ip, 32);
  add(from.port, 16);
  add(to.port, 16);
  const auto key_bit = [&key](std::size_t i) { return std::uint32_t{key.at(i / 8)} >> (7 - i % 8) & 1U; };
  std::uint32_t hash = 0;
  for (std::size_t i = 0; i < input.size(); ++i) {
    if (!input[i]) continue;
    std::uint32_t window = 0;
    for (std::size_t bit = 0; bit < 32; ++bit) window = window << 1U | key_bit(i + bit);
    hash ^= window;
  }
  return hash;
}

TEST(Rss, TheHashIsThatOfThePublishedVectors) {
  struct Case {
    Endpoint to, from;
    std::uint32_t hash;
  };
  const Case cases[] = {
      {{0, ip(161, 142, 100, 80), 1766}, {0, ip(66, 9, 149, 187), 2794}, 0x51ccc178},
      {{0, ip(65, 69, 140, 83), 4739}, {0, ip(199, 92, 111, 2), 14230}, 0xc626b0ea},
      {{0, ip(12, 22, 207, 184), 38024}, {0, ip(24, 19, 198, 95), 12898}, 0x5c2b394a},
      {{0, ip(209, 142, 163, 6), 2217}, {0, ip(38, 27, 205, 30), 48228}, 0xafc7327f},
      {{0, ip(202, 188, 127, 2), 1303}, {0, ip(153, 39, 163, 191), 44251}, 0x10e828a2},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(carriers::toeplitz(kKey, one.from, one.to), one.hash);
    EXPECT_EQ(bit_by_bit({kKey.begin(), kKey.end()}, one.from, one.to), one.hash) << "the one of this test";
  }
}

/// A hash of this kind is linear: with some keys the ports in question lead to some of the queues alone.
TEST(Rss, PortsLeadToTheirQueues) {
  std::mt19937 random(7);
  for (const std::size_t queues : {2U, 3U, 4U, 7U, 8U, 16U}) {
    for (int round = 0; round < 100; ++round) {
      const bool usual = round % 2 == 0;
      RssTable table{{kKey.begin(), kKey.end()}, {}};
      for (auto& byte : table.key) byte = usual ? byte : static_cast<std::uint8_t>(random());
      for (std::size_t i = 0; i < 128; ++i) table.queues.push_back(static_cast<std::uint16_t>(i % queues));
      const Endpoint peer{0, static_cast<std::uint32_t>(random()), static_cast<std::uint16_t>(random())};
      const Endpoint own{0, static_cast<std::uint32_t>(random()), 7401};
      std::vector<std::uint16_t> expected(queues);
      Endpoint to = own;
      for (std::size_t i = carriers::kRssPorts; i-- > 0;) {
        to.port = static_cast<std::uint16_t>(own.port + i);
        expected.at(table.queues[bit_by_bit(table.key, peer, to) % table.queues.size()]) = to.port;
      }
      const bool all = std::count(expected.begin(), expected.end(), 0) == 0;
      EXPECT_TRUE(all || !usual) << "with the key that ports are given every queue is reached";
      EXPECT_EQ(table.ports(peer, own, queues), all ? expected : std::vector<std::uint16_t>{});
    }
  }
}

TEST(Rss, NoPortsWhereAQueueIsInNoEntryOrThePortsEnd) {
  RssTable table{{kKey.begin(), kKey.end()}, {0, 0, 0, 0}};
  const Endpoint peer{0, ip(10, 0, 0, 1), 7401};
  EXPECT_TRUE(table.ports(peer, {0, ip(10, 0, 0, 2), 7401}, 2).empty());
  EXPECT_EQ(table.ports(peer, {0, ip(10, 0, 0, 2), 7401}, 1).size(), 1U);
  table.queues = {0, 1, 2, 3};
  EXPECT_TRUE(table.ports(peer, {0, ip(10, 0, 0, 2), 65534}, 4).empty()) << "two ports cannot lead to four queues";
}

/// net_null has a table and a key, and forgets all frames.
TEST(Rss, APortThatSpreadsIsSetUpAndAsksForPortsByItsTable) {
  carriers::DpdkOptions options;
  options.device = "net_null0";
  options.address = carriers::Address::parse("10.77.0.1:7401");
  options.queues = 2;
  options.eal.hugepages = false;
  options.eal.memory = std::size_t{96} << 20;
  const carriers::PortCarrier carrier(options);
  ASSERT_EQ(carrier.queues(), 2U);
  ASSERT_EQ(carrier.port().steering, "RSS");
  // What the port itself says.
  std::uint16_t port = 0;
  ASSERT_EQ(::rte_eth_dev_get_port_by_name("net_null0", &port), 0);
  rte_eth_dev_info info{};
  ASSERT_EQ(::rte_eth_dev_info_get(port, &info), 0);
  RssTable table;
  table.key.resize(kKey.size());
  rte_eth_rss_conf conf{};
  conf.rss_key = table.key.data();
  conf.rss_key_len = kKey.size();
  ASSERT_EQ(::rte_eth_dev_rss_hash_conf_get(port, &conf), 0);
  EXPECT_NE(conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_UDP, 0U);
  std::vector<rte_eth_rss_reta_entry64> entries(info.reta_size / RTE_ETH_RETA_GROUP_SIZE);
  for (auto& entry : entries) entry.mask = ~std::uint64_t{0};
  ASSERT_EQ(::rte_eth_dev_rss_reta_query(port, entries.data(), info.reta_size), 0);
  std::array<std::size_t, 2> shares{};
  for (std::size_t i = 0; i < info.reta_size; ++i) {
    table.queues.push_back(entries[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE]);
    ++shares.at(table.queues.back());
  }
  EXPECT_EQ(shares[0], shares[1]) << "half of the table each";
  // The ports that a peer is told lead there by the port's own table.
  for (unsigned peer = 2; peer < 50; ++peer) {
    const auto address = carriers::Address::parse("10.77.0." + std::to_string(peer) + ":7402");
    const auto ports = carrier.ports(address);
    ASSERT_EQ(ports.size(), 2U);
    for (std::size_t queue = 0; queue < 2; ++queue) {
      const Endpoint from{0, ip(10, 77, 0, peer), 7402}, to{0, ip(10, 77, 0, 1), ports[queue]};
      EXPECT_EQ(table.queues[bit_by_bit(table.key, from, to) % table.queues.size()], queue);
    }
  }
}

}  // namespace
}  // namespace slotwire::test
