// net_slotwire on a simulated card: the test holds the wire's other end.
#include <gtest/gtest.h>
#include <rte_bus_vdev.h>
#include <rte_interrupts.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>

#include "pmd_port.hpp"

namespace slotwire::test {
namespace {

constexpr std::size_t kInFlight = 64;  ///< frames that a test lets be under way: fewer than a queue holds

rte_flow_action queue_action(const rte_flow_action_queue& queue) {
  return {RTE_FLOW_ACTION_TYPE_QUEUE, &queue};
}
rte_flow_item item(rte_flow_item_type type, const void* spec = nullptr, const void* mask = nullptr) {
  return {type, spec, nullptr, mask};
}
rte_flow_item_udp udp_to(std::uint16_t port) {
  rte_flow_item_udp udp{};
  udp.hdr.dst_port = rte_cpu_to_be_16(port);
  return udp;
}

/// UDP to ports 2000 + n goes to queue n.
void spread(PmdPort& port, std::uint16_t queues) {
  for (std::uint16_t i = 1; i < queues; ++i) {
    const auto spec = udp_to(static_cast<std::uint16_t>(2000 + i)), mask = udp_to(0xffff);
    const rte_flow_action_queue queue{i};
    ASSERT_NE(port.flow({item(RTE_FLOW_ITEM_TYPE_ETH), item(RTE_FLOW_ITEM_TYPE_IPV4),
                         item(RTE_FLOW_ITEM_TYPE_UDP, &spec, &mask)},
                        {queue_action(queue)}),
              nullptr)
        << port.error.message;
  }
}

/// Where a frame comes out: its queue, and its mark or -1; queue -1: nowhere, as a frame after it tells.
struct Seen {
  int queue = -1;
  std::int64_t mark = -1;
  bool operator==(const Seen&) const = default;
};
void PrintTo(const Seen& seen, std::ostream* out) {
  *out << "queue " << seen.queue << ", mark " << seen.mark;
}

class Pmd : public testing::Test {
 protected:
  void open(const PortOptions& options = {}) { port.emplace(card.queues(), options); }

  /// Sends `frame`, and behind it one that goes to queue 0 whatever the flows of a test say of UDP.
  Seen arrives(const Frame& frame) {
    Maker last;
    last.protocol = 6;
    last.src_port = 7;
    last.seed = ++seed_;
    const Frame behind = make(last);
    EXPECT_TRUE(card.send(frame) && card.send(behind));
    Seen seen;
    // In the turn in which the last one is seen the others were given to their queues before.
    bool last_came = false;
    const bool came = until([&] {
      const bool done = last_came;
      for (std::uint16_t queue = 0; queue < PortOptions{}.queues; ++queue) {
        for (rte_mbuf* const mbuf : port->take(queue, 1)) {
          const Frame bytes = bytes_of(mbuf);
          const bool marked = (mbuf->ol_flags & RTE_MBUF_F_RX_FDIR_ID) != 0;
          const std::int64_t mark = marked ? std::int64_t{mbuf->hash.fdir.hi} : -1;
          ::rte_pktmbuf_free(mbuf);
          if (bytes == behind) {
            last_came = true;
            continue;
          }
          EXPECT_EQ(bytes, frame);
          seen = {queue, mark};
        }
      }
      return done;
    });
    EXPECT_TRUE(came);
    return seen;
  }

  SimCard card;
  std::optional<PmdPort> port;

 private:
  std::uint32_t seed_ = 0;
};

TEST_F(Pmd, FramesComeUnharmedAndInOrderOnSeveralQueues) {
  open({.mtu = 9000});
  spread(*port, 4);
  constexpr std::uint32_t kFrames = 600;
  std::array<std::vector<Frame>, 4> sent;
  std::array<std::size_t, 4> came{};
  std::size_t received = 0;
  for (std::uint32_t i = 0; i < kFrames || received < kFrames;) {
    if (i < kFrames && i - received < kInFlight) {
      const auto queue = static_cast<std::uint16_t>(i % 7 % 4);
      Maker maker;
      maker.dst_port = static_cast<std::uint16_t>(2000 + queue);
      maker.payload = i % 50 == 0 ? 8900 : i * 37 % 1400;
      maker.seed = i;
      sent[queue].push_back(make(maker));
      ASSERT_TRUE(card.send(sent[queue].back()));
      ++i;
    }
    const auto some = [&] {
      bool any = false;
      for (std::uint16_t queue = 0; queue < 4; ++queue) {
        for (rte_mbuf* const mbuf : port->take(queue)) {
          EXPECT_LT(came[queue], sent[queue].size());
          EXPECT_EQ(bytes_of(mbuf), sent[queue][came[queue]]) << "queue " << queue << ", frame " << came[queue];
          ::rte_pktmbuf_free(mbuf);
          ++came[queue], ++received;
          any = true;
        }
      }
      return any;
    };
    if (i < kFrames && i - received < kInFlight) {
      some();
    } else if (received < i) {
      ASSERT_TRUE(until(some)) << received << " of " << i;
    }
  }
  const rte_eth_stats stats = port->stats();
  EXPECT_EQ(stats.ipackets, kFrames);
  EXPECT_EQ(stats.imissed + stats.ierrors + stats.rx_nombuf, 0U);
  std::uint64_t bytes = 0;
  for (std::uint16_t queue = 0; queue < 4; ++queue) {
    EXPECT_EQ(stats.q_ipackets[queue], sent[queue].size());
    for (const Frame& frame : sent[queue]) bytes += frame.size();
  }
  EXPECT_EQ(stats.ibytes, bytes);
}

TEST_F(Pmd, FramesGoUnharmedAndInOrderFromSeveralQueues) {
  open({.mtu = 9000, .tx_offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS});
  constexpr std::uint32_t kFrames = 600;
  std::array<std::vector<Frame>, 4> sent;
  std::array<std::size_t, 4> came{};
  std::uint64_t bytes = 0;
  for (std::uint32_t i = 0, received = 0; received < kFrames;) {
    if (i < kFrames && i - received < kInFlight) {
      const auto queue = static_cast<std::uint16_t>(i * 5 % 4);
      Maker maker;
      maker.dst_port = static_cast<std::uint16_t>(2000 + queue);
      maker.payload = i % 50 == 0 ? 8900 : i * 37 % 1400;
      maker.seed = i;
      sent[queue].push_back(make(maker));
      bytes += sent[queue].back().size();
      ASSERT_TRUE(port->send(sent[queue].back(), queue, i % 3 == 0 ? 100 : 1 << 16));
      ++i;
      continue;
    }
    const Frame frame = card.receive();
    ASSERT_FALSE(frame.empty()) << received << " of " << i;
    const std::size_t queue = std::to_integer<std::size_t>(frame[37]) - (2000 & 0xff);
    ASSERT_LT(queue, 4U);
    ASSERT_LT(came[queue], sent[queue].size());
    EXPECT_EQ(frame, sent[queue][came[queue]++]);
    ++received;
  }
  const rte_eth_stats stats = port->stats();
  EXPECT_EQ(stats.opackets, kFrames);
  EXPECT_EQ(stats.obytes, bytes);
  EXPECT_EQ(stats.oerrors, 0U);
}

TEST_F(Pmd, FlowsChooseQueuesDropAndMark) {
  open();
  Maker other;
  EXPECT_EQ(arrives(make(other)), (Seen{0, -1}));
  // UDP to port 2000 from 10.0.0.0/24: queue 2 with a mark.
  rte_flow_item_ipv4 ip{}, ip_mask{};
  ip.hdr.src_addr = rte_cpu_to_be_32(0x0a00'0000);
  ip_mask.hdr.src_addr = rte_cpu_to_be_32(0xffff'ff00);
  const auto port_2000 = udp_to(2000), all_bits = udp_to(0xffff);
  const rte_flow_action_queue to_two{2}, to_three{3}, to_one{1};
  const rte_flow_action_mark mark{0xabcdef};
  rte_flow* const marked = port->flow({item(RTE_FLOW_ITEM_TYPE_ETH), item(RTE_FLOW_ITEM_TYPE_IPV4, &ip, &ip_mask),
                                       item(RTE_FLOW_ITEM_TYPE_UDP, &port_2000, &all_bits)},
                                      {{RTE_FLOW_ACTION_TYPE_MARK, &mark}, queue_action(to_two)});
  ASSERT_NE(marked, nullptr) << port->error.message;
  EXPECT_EQ(arrives(make(other)), (Seen{2, 0xabcdef}));
  EXPECT_EQ(arrives(make({.src_ip = 0x0a00'0101})), (Seen{0, -1}));
  EXPECT_EQ(arrives(make({.dst_port = 2001})), (Seen{0, -1}));
  EXPECT_EQ(arrives(make({.protocol = 6})), (Seen{0, -1}));
  EXPECT_EQ(arrives(make({.vlan = 5})), (Seen{0, -1})) << "no tag was asked for";
  // Later ones go behind, of higher priority before.
  rte_flow* const late =
      port->flow({item(RTE_FLOW_ITEM_TYPE_ETH), item(RTE_FLOW_ITEM_TYPE_IPV4)}, {queue_action(to_three)});
  ASSERT_NE(late, nullptr);
  EXPECT_EQ(arrives(make(other)), (Seen{2, 0xabcdef}));
  EXPECT_EQ(arrives(make({.dst_port = 2001})), (Seen{3, -1}));
  ASSERT_EQ(::rte_flow_destroy(port->id(), late, &port->error), 0);
  EXPECT_EQ(arrives(make({.dst_port = 2001})), (Seen{0, -1})) << "it is gone";
  rte_flow* const low = port->flow({item(RTE_FLOW_ITEM_TYPE_ETH)}, {queue_action(to_one)}, 9);
  rte_flow* const none = port->flow({item(RTE_FLOW_ITEM_TYPE_ETH), item(RTE_FLOW_ITEM_TYPE_IPV4),
                                     item(RTE_FLOW_ITEM_TYPE_UDP, &port_2000, &all_bits)},
                                    {{RTE_FLOW_ACTION_TYPE_DROP, nullptr}}, 3);
  ASSERT_NE(low, nullptr);
  ASSERT_NE(none, nullptr);
  EXPECT_EQ(arrives(make(other)), (Seen{2, 0xabcdef}));
  EXPECT_EQ(arrives(make({.src_ip = 0x0a00'0101})), (Seen{-1, -1}));
  EXPECT_EQ(arrives(make({.dst_port = 2001})), (Seen{1, -1}));
  ASSERT_EQ(::rte_flow_destroy(port->id(), marked, &port->error), 0);
  EXPECT_EQ(arrives(make(other)), (Seen{-1, -1}));
  // By tag, by IPv6 and TCP, by MAC address.
  rte_flow_item_vlan vlan{}, vlan_mask{};
  vlan.tci = rte_cpu_to_be_16(5);
  vlan_mask.tci = rte_cpu_to_be_16(0xfff);
  ASSERT_NE(port->flow({item(RTE_FLOW_ITEM_TYPE_ETH), item(RTE_FLOW_ITEM_TYPE_VLAN, &vlan, &vlan_mask)},
                       {queue_action(to_two)}),
            nullptr);
  EXPECT_EQ(arrives(make({.vlan = 5, .ipv6 = true})), (Seen{2, -1}));
  EXPECT_EQ(arrives(make({.vlan = 6, .dst_port = 1})), (Seen{1, -1}));
  rte_flow_item_tcp tcp{}, tcp_mask{};
  tcp.hdr.src_port = rte_cpu_to_be_16(1000);
  tcp_mask.hdr.src_port = 0xffff;
  ASSERT_NE(port->flow({item(RTE_FLOW_ITEM_TYPE_ETH), item(RTE_FLOW_ITEM_TYPE_IPV6),
                        item(RTE_FLOW_ITEM_TYPE_TCP, &tcp, &tcp_mask)},
                       {queue_action(to_three)}),
            nullptr);
  EXPECT_EQ(arrives(make({.ipv6 = true, .protocol = 6})), (Seen{3, -1}));
  EXPECT_EQ(arrives(make({.ipv6 = true})), (Seen{1, -1}));
  ASSERT_EQ(::rte_flow_flush(port->id(), &port->error), 0);
  EXPECT_EQ(arrives(make(other)), (Seen{0, -1}));
}

TEST_F(Pmd, IsolatedItGetsWhatFlowsAskFor) {
  open();
  rte_flow_error error{};
  ASSERT_EQ(::rte_flow_isolate(port->id(), 1, &error), 0) << error.message;
  const auto spec = udp_to(2002), mask = udp_to(0xffff);
  const rte_flow_action_queue two{2}, zero{0};
  ASSERT_NE(port->flow({item(RTE_FLOW_ITEM_TYPE_ETH), item(RTE_FLOW_ITEM_TYPE_IPV4),
                        item(RTE_FLOW_ITEM_TYPE_UDP, &spec, &mask)},
                       {queue_action(two)}),
            nullptr);
  ASSERT_NE(port->flow({item(RTE_FLOW_ITEM_TYPE_ETH), item(RTE_FLOW_ITEM_TYPE_IPV4), item(RTE_FLOW_ITEM_TYPE_TCP)},
                       {queue_action(zero)}),
            nullptr);
  EXPECT_EQ(arrives(make({.dst_port = 2002})), (Seen{2, -1}));
  EXPECT_EQ(arrives(make({.dst_port = 2003})), (Seen{-1, -1}));
  ASSERT_EQ(::rte_flow_isolate(port->id(), 0, &error), 0);
  EXPECT_EQ(arrives(make({.dst_port = 2003})), (Seen{0, -1}));
}

TEST_F(Pmd, RefusesFlowsThatTheCardCannotDo) {
  open();
  const rte_flow_action_queue to_two{2}, to_nine{9};
  const rte_flow_action good = queue_action(to_two);
  const auto refused = [&](const std::vector<rte_flow_item>& pattern, const std::vector<rte_flow_action>& actions) {
    return port->flow(pattern, actions) == nullptr && port->error.message != nullptr;
  };
  rte_flow_item_eth eth{}, eth_mask{};
  eth_mask.src.addr_bytes[0] = 0xff;
  EXPECT_TRUE(refused({item(RTE_FLOW_ITEM_TYPE_ETH, &eth, &eth_mask)}, {good})) << "source MAC address";
  EXPECT_TRUE(refused({item(RTE_FLOW_ITEM_TYPE_ETH, &eth)}, {good})) << "the same, by the default mask";
  rte_flow_item_ipv4 ip{}, ip_mask{};
  ip_mask.hdr.time_to_live = 0xff;
  EXPECT_TRUE(refused({item(RTE_FLOW_ITEM_TYPE_ETH), item(RTE_FLOW_ITEM_TYPE_IPV4, &ip, &ip_mask)}, {good}));
  rte_flow_item_ipv6 six{}, six_mask{};
  six_mask.hdr.dst_addr[15] = 0xff;
  EXPECT_TRUE(refused({item(RTE_FLOW_ITEM_TYPE_ETH), item(RTE_FLOW_ITEM_TYPE_IPV6, &six, &six_mask)}, {good}));
  EXPECT_TRUE(refused({item(RTE_FLOW_ITEM_TYPE_ETH), item(RTE_FLOW_ITEM_TYPE_VXLAN)}, {good}));
  EXPECT_TRUE(refused({item(RTE_FLOW_ITEM_TYPE_ETH), item(RTE_FLOW_ITEM_TYPE_UDP)}, {good})) << "no IP before it";
  rte_flow_item range = item(RTE_FLOW_ITEM_TYPE_ETH, &eth, &eth);
  range.last = &eth;
  EXPECT_TRUE(refused({range}, {good}));
  EXPECT_TRUE(refused({item(RTE_FLOW_ITEM_TYPE_ETH)}, {queue_action(to_nine)}));
  EXPECT_TRUE(refused({item(RTE_FLOW_ITEM_TYPE_ETH)}, {}));
  EXPECT_TRUE(refused({item(RTE_FLOW_ITEM_TYPE_ETH)}, {good, {RTE_FLOW_ACTION_TYPE_DROP, nullptr}}));
  EXPECT_TRUE(refused({item(RTE_FLOW_ITEM_TYPE_ETH)}, {{RTE_FLOW_ACTION_TYPE_COUNT, nullptr}, good}));
  const rte_flow_action_mark wide{1U << 24};
  EXPECT_TRUE(refused({item(RTE_FLOW_ITEM_TYPE_ETH)}, {{RTE_FLOW_ACTION_TYPE_MARK, &wide}, good}));
  rte_flow_attr out{};
  out.egress = 1;
  const rte_flow_item any[] = {item(RTE_FLOW_ITEM_TYPE_ETH), item(RTE_FLOW_ITEM_TYPE_END)};
  const rte_flow_action actions[] = {good, {RTE_FLOW_ACTION_TYPE_END, nullptr}};
  EXPECT_NE(::rte_flow_validate(port->id(), &out, any, actions, &port->error), 0);
  // Sixteen, and no more.
  for (int i = 0; i < 16; ++i) ASSERT_NE(port->flow({item(RTE_FLOW_ITEM_TYPE_ETH)}, {good}), nullptr) << i;
  EXPECT_TRUE(refused({item(RTE_FLOW_ITEM_TYPE_ETH)}, {good}));
  EXPECT_EQ(port->error.type, RTE_FLOW_ERROR_TYPE_HANDLE);
}

TEST_F(Pmd, ClosingForgetsFlowsAndLetsTheNextOneIn) {
  open();
  const rte_flow_action_queue two{2};
  ASSERT_NE(port->flow({item(RTE_FLOW_ITEM_TYPE_ETH)}, {queue_action(two)}), nullptr);
  EXPECT_FALSE(opens("path=" + card.queues())) << "one driver at a time";
  for (int i = 0; i < 3; ++i) {
    port.reset();
    open();
    EXPECT_EQ(arrives(make({})), (Seen{0, -1}));
  }
  // Stopping keeps what was set up.
  ASSERT_EQ(::rte_eth_dev_stop(port->id()), 0);
  ASSERT_EQ(::rte_eth_dev_start(port->id()), 0);
  EXPECT_EQ(arrives(make({})), (Seen{0, -1}));
}

TEST_F(Pmd, LooksAtChecksums) {
  open({.rx_offloads = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM});
  const auto flags = [&](const Frame& frame) {
    EXPECT_TRUE(card.send(frame));
    rte_mbuf* const mbuf = port->wait(0);
    EXPECT_NE(mbuf, nullptr);
    if (mbuf == nullptr) return std::uint64_t{0};
    const std::uint64_t result = mbuf->ol_flags & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
    ::rte_pktmbuf_free(mbuf);
    return result;
  };
  const auto damaged = [](const Maker& maker, std::size_t at) {
    Frame frame = make(maker);
    frame[at] ^= std::byte{0x10};
    return frame;
  };
  constexpr std::uint64_t kIpGood = RTE_MBUF_F_RX_IP_CKSUM_GOOD, kIpBad = RTE_MBUF_F_RX_IP_CKSUM_BAD;
  constexpr std::uint64_t kL4Good = RTE_MBUF_F_RX_L4_CKSUM_GOOD, kL4Bad = RTE_MBUF_F_RX_L4_CKSUM_BAD;
  for (const int vlan : {-1, 9}) {
    for (const std::uint8_t protocol : {std::uint8_t{17}, std::uint8_t{6}}) {
      for (const std::size_t payload : {0U, 31U, 1400U}) {
        const Maker four{.vlan = vlan, .protocol = protocol, .payload = payload};
        const Maker six{.vlan = vlan, .ipv6 = true, .protocol = protocol, .payload = payload};
        EXPECT_EQ(flags(make(four)), kIpGood | kL4Good);
        EXPECT_EQ(flags(damaged(four, make(four).size() - 1)), kIpGood | kL4Bad);
        EXPECT_EQ(flags(damaged(four, ip_at(four) + 8)), kIpBad | kL4Good) << "time to live";
        EXPECT_EQ(flags(make(six)), kL4Good);
        EXPECT_EQ(flags(damaged(six, ip_at(six) + 9)), kL4Bad) << "source address";
      }
    }
  }
  Frame none = make({});
  none[40] = none[41] = std::byte{0};
  EXPECT_EQ(flags(none), kIpGood) << "UDP without a checksum";
}

TEST_F(Pmd, MakesChecksums) {
  open({.tx_offloads = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
                       RTE_ETH_TX_OFFLOAD_MULTI_SEGS});
  for (const bool ipv6 : {false, true}) {
    for (const std::uint8_t protocol : {std::uint8_t{17}, std::uint8_t{6}}) {
      for (const std::size_t payload : {1U, 30U, 1399U}) {
        const Maker maker{.vlan = payload == 30 ? 3 : -1, .ipv6 = ipv6, .protocol = protocol, .payload = payload};
        const Frame right = make(maker);
        Frame frame = right;
        const std::size_t l4 = l4_at(maker) + (protocol == 17 ? 6 : 16);
        frame[l4] = std::byte{0x55};
        if (!ipv6) frame[ip_at(maker) + 11] = std::byte{0x66};
        ASSERT_TRUE(port->send(frame, 0, payload == 1399 ? 700 : 1 << 16, [&](rte_mbuf& mbuf) {
          mbuf.l2_len = ip_at(maker) & 0x7f;
          mbuf.l3_len = (l4_at(maker) - ip_at(maker)) & 0x1ff;
          mbuf.ol_flags |= protocol == 17 ? RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM;
          mbuf.ol_flags |= ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
        }));
        const Frame sent = card.receive();
        EXPECT_EQ(sent, right);
        ASSERT_EQ(sent.size(), right.size());
        EXPECT_EQ(l4_sum(maker, sent), 0xffffU);
      }
    }
  }
  // What the card cannot do is refused before it is sent.
  EXPECT_FALSE(port->send(make({}), 0, 1 << 16, [](rte_mbuf& mbuf) { mbuf.ol_flags |= RTE_MBUF_F_TX_TCP_SEG; }));
  EXPECT_EQ(rte_errno, ENOTSUP);
  EXPECT_FALSE(port->send(make({}), 0, 1 << 16, [](rte_mbuf& mbuf) {
    mbuf.l2_len = 14;
    mbuf.l3_len = 500;
    mbuf.ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
  }));
  EXPECT_EQ(rte_errno, EINVAL);
}

TEST_F(Pmd, AnInterruptWakes) {
  open({.interrupts = true});
  spread(*port, 4);
  std::array<char, 4> names{};  // what an event tells its queue by
  for (std::uint16_t queue = 0; queue < 4; ++queue) {
    ASSERT_EQ(::rte_eth_dev_rx_intr_ctl_q(port->id(), queue, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, &names[queue]),
              0);
  }
  rte_epoll_event event{};
  for (int round = 0; round < 3; ++round) {
    for (std::uint16_t queue = 0; queue < 4; ++queue) {
      const Frame frame = make({.dst_port = static_cast<std::uint16_t>(2000 + queue), .seed = 7});
      ASSERT_EQ(::rte_eth_dev_rx_intr_enable(port->id(), queue), 0);
      ASSERT_EQ(::rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 50), 0) << "nothing came, and it woke";
      ASSERT_TRUE(card.send(frame));
      ASSERT_EQ(::rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, SimCard::kPatienceMs), 1) << "it sleeps on";
      EXPECT_EQ(event.epdata.data, &names[queue]);
      ASSERT_EQ(::rte_eth_dev_rx_intr_disable(port->id(), queue), 0);
      rte_mbuf* mbuf = port->wait(queue);
      ASSERT_NE(mbuf, nullptr);
      EXPECT_EQ(bytes_of(mbuf), frame);
      ::rte_pktmbuf_free(mbuf);
      // A frame that was there before the interrupt was enabled wakes, too.
      ASSERT_TRUE(card.send(frame));
      ASSERT_TRUE(until([&] { return ::rte_eth_rx_queue_count(port->id(), queue) > 0; }));
      ASSERT_EQ(::rte_eth_dev_rx_intr_enable(port->id(), queue), 0);
      ASSERT_EQ(::rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, SimCard::kPatienceMs), 1);
      ASSERT_EQ(::rte_eth_dev_rx_intr_disable(port->id(), queue), 0);
      mbuf = port->wait(queue);
      ASSERT_NE(mbuf, nullptr);
      ::rte_pktmbuf_free(mbuf);
    }
  }
}

TEST_F(Pmd, CountsWhatItMissesAndForgets) {
  open();
  constexpr std::uint64_t kSent = 300, kRoom = 256;
  for (std::uint32_t i = 0; i < kSent; ++i) ASSERT_TRUE(card.send(make({.seed = i})));
  ASSERT_TRUE(until([&] { return port->stats().imissed == kSent - kRoom; })) << port->stats().imissed;
  std::uint32_t next = 0;
  while (next < kRoom) {
    for (rte_mbuf* const mbuf : port->take(0)) {
      EXPECT_EQ(bytes_of(mbuf), make({.seed = next++}));
      ::rte_pktmbuf_free(mbuf);
    }
  }
  EXPECT_EQ(port->stats().ipackets, kRoom);
  ASSERT_EQ(::rte_eth_stats_reset(port->id()), 0);
  EXPECT_EQ(port->stats().imissed + port->stats().ipackets, 0U);
  EXPECT_EQ(arrives(make({})), (Seen{0, -1}));
  EXPECT_EQ(port->stats().ipackets, 2U);
}

TEST_F(Pmd, FiltersByMacAddress) {
  open();
  constexpr std::uint64_t kAll = 0xffff'ffff'ffff, kGroup = 0x0100'5e00'0001;
  EXPECT_EQ(arrives(make({.to = kStranger})), (Seen{-1, -1}));
  EXPECT_EQ(arrives(make({.to = kAll})), (Seen{0, -1}));
  EXPECT_EQ(arrives(make({.to = kGroup})), (Seen{-1, -1}));
  ASSERT_EQ(::rte_eth_allmulticast_enable(port->id()), 0);
  EXPECT_EQ(arrives(make({.to = kGroup})), (Seen{0, -1}));
  ASSERT_EQ(::rte_eth_allmulticast_disable(port->id()), 0);
  ASSERT_EQ(::rte_eth_promiscuous_enable(port->id()), 0);
  EXPECT_EQ(arrives(make({.to = kStranger})), (Seen{0, -1}));
  ASSERT_EQ(::rte_eth_promiscuous_disable(port->id()), 0);
  EXPECT_EQ(arrives(make({.to = kStranger})), (Seen{-1, -1}));
  rte_ether_addr mac{{2, 0, 0, 0, 0, 8}};
  ASSERT_EQ(::rte_eth_dev_default_mac_addr_set(port->id(), &mac), 0);
  ASSERT_TRUE(card.send(make({.to = kStranger})));
  rte_mbuf* const mbuf = port->wait(0);
  ASSERT_NE(mbuf, nullptr);
  EXPECT_EQ(bytes_of(mbuf), make({.to = kStranger}));
  ::rte_pktmbuf_free(mbuf);
}

TEST_F(Pmd, TheMtuBoundsFramesAndLongOnesAreChained) {
  open({.rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER, .buffer_bytes = 1000});
  EXPECT_EQ(arrives(make({.payload = 1472})), (Seen{0, -1})) << "an IP packet of 1500 bytes, in two buffers";
  EXPECT_EQ(arrives(make({.payload = 1477})), (Seen{-1, -1})) << "five bytes more: not even a tag";
  EXPECT_EQ(port->stats().imissed, 1U);
  ASSERT_EQ(::rte_eth_dev_set_mtu(port->id(), 4000), 0);
  EXPECT_EQ(arrives(make({.payload = 3972})), (Seen{0, -1}));
  EXPECT_NE(::rte_eth_dev_set_mtu(port->id(), 9500), 0);
  port.reset();
  EXPECT_THROW(open({.mtu = 4000, .buffer_bytes = 1000}), std::runtime_error) << "buffers too small, and no chains";
}

TEST_F(Pmd, TellsOfItsLink) {
  open();
  rte_eth_link link{};
  ASSERT_EQ(::rte_eth_link_get_nowait(port->id(), &link), 0);
  EXPECT_EQ(link.link_status, RTE_ETH_LINK_UP);
  ASSERT_EQ(::rte_eth_dev_stop(port->id()), 0);
  ASSERT_EQ(::rte_eth_link_get_nowait(port->id(), &link), 0);
  EXPECT_EQ(link.link_status, RTE_ETH_LINK_DOWN);
  ASSERT_EQ(::rte_eth_dev_start(port->id()), 0);
  card.kill();
  ASSERT_TRUE(until(
      [&] { return ::rte_eth_link_get_nowait(port->id(), &link) == 0 && link.link_status == RTE_ETH_LINK_DOWN; }));
  EXPECT_TRUE(port->take(0).empty());
  const rte_flow_action_queue two{2};
  EXPECT_EQ(port->flow({item(RTE_FLOW_ITEM_TYPE_ETH)}, {queue_action(two)}), nullptr);
  EXPECT_NE(::rte_eth_promiscuous_enable(port->id()), 0);
  // There is room for these still; nobody takes them.
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(port->send(make({})));
}

TEST_F(Pmd, ItsLinkIsToldOnceWhenTheCardHasGone) {
  open({.tells_link = true});
  std::atomic<int> told{0};
  const auto count = [](std::uint16_t, rte_eth_event_type, void* counted, void*) {
    ++*static_cast<std::atomic<int>*>(counted);
    return 0;
  };
  ASSERT_EQ(::rte_eth_dev_callback_register(port->id(), RTE_ETH_EVENT_INTR_LSC, count, &told), 0);
  // Requests to the card are answered over the connection that is watched.
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(::rte_eth_promiscuous_enable(port->id()), 0);
    ASSERT_EQ(::rte_eth_promiscuous_disable(port->id()), 0);
  }
  EXPECT_EQ(told, 0);
  card.kill();
  ASSERT_TRUE(until([&] { return told != 0; }));
  rte_eth_link link{};
  ASSERT_EQ(::rte_eth_link_get_nowait(port->id(), &link), 0);
  EXPECT_EQ(link.link_status, RTE_ETH_LINK_DOWN);
  ASSERT_EQ(::rte_eth_dev_stop(port->id()), 0);
  EXPECT_EQ(told, 1);
  ASSERT_EQ(::rte_eth_dev_callback_unregister(port->id(), RTE_ETH_EVENT_INTR_LSC, count, &told), 0);
}

TEST_F(Pmd, ALinkThatIsWatchedStopsAndStartsAgain) {
  open({.tells_link = true});
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(::rte_eth_dev_stop(port->id()), 0);
    ASSERT_EQ(::rte_eth_dev_start(port->id()), 0);
  }
  EXPECT_EQ(arrives(make({})), (Seen{0, -1}));
}

TEST(PmdArguments, AreChecked) {
  EXPECT_FALSE(opens(""));
  EXPECT_FALSE(opens("path=/nonesuch/queues"));
  EXPECT_FALSE(opens("path=" + std::string(200, 'x')));
  const SimCard card;
  EXPECT_FALSE(opens("path=" + card.queues() + ",queues=0"));
  EXPECT_FALSE(opens("path=" + card.queues() + ",queues=17"));
  EXPECT_FALSE(opens("path=" + card.queues() + ",queues=two"));
  EXPECT_FALSE(opens("path=" + card.queues() + ",mac=01:00:5e:00:00:01"));
  EXPECT_FALSE(opens("path=" + card.queues() + ",what=1"));
  EXPECT_TRUE(opens("path=" + card.queues() + ",queues=16"));
}

}  // namespace
}  // namespace slotwire::test
