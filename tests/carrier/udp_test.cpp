#include "core/carriers/udp.hpp"

#include <gtest/gtest.h>
#include <linux/udp.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <thread>

#include "harness.hpp"

namespace slotwire::test {
namespace {

using carriers::Address;
using carriers::Fd;
using carriers::UdpCarrier;
using carriers::UdpOptions;

constexpr std::size_t kLine = regs::kLineBytes;

UdpOptions options(bool offloads = true, const char* bind = "127.0.0.1:0") {
  UdpOptions result;
  result.bind = Address::parse(bind);
  result.gso = result.gro = offloads;
  return result;
}

bool has(const UdpCarrier& carrier, const std::string& feature) {
  return (" " + carrier.features() + " ").find(" " + feature + " ") != std::string::npos;
}

/// A bare socket that plays a peer.
struct Peer {
  Fd socket = carriers::bound_socket(Address::parse("127.0.0.1:0"), SOCK_DGRAM);
  Address address = Address::bound_to(socket.get());
  void send(const Address& to, const Bytes& bytes) const {
    ASSERT_EQ(::sendto(socket.get(), bytes.data(), bytes.size(), 0, to.data(), to.size()),
              static_cast<ssize_t>(bytes.size()));
  }
};

TEST(CarrierUdp, FeaturesCanBeForcedOff) {
  const UdpCarrier off(options(false));
  EXPECT_FALSE(has(off, "gso"));
  EXPECT_FALSE(has(off, "gro"));
  EXPECT_TRUE(has(off, "zero-checksum"));
  const UdpCarrier on(options(true));
  RecordProperty("features", on.features());
  EXPECT_FALSE(has(on, "gso") && has(on, "zero-checksum")) << "the kernel cuts no runs without checksums";
}

TEST(CarrierUdp, LinesPerFrameFollowTheMtu) {
  const auto lines = [](std::size_t mtu, const char* bind) {
    UdpOptions with = options(true, bind);
    with.mtu = mtu;
    return UdpCarrier(with).lines_per_frame();
  };
  EXPECT_EQ(lines(1500, "127.0.0.1:0"), 22U);
  EXPECT_EQ(lines(9000, "127.0.0.1:0"), 139U);
  EXPECT_EQ(lines(20 + 8 + 22 + 64, "127.0.0.1:0"), 1U);
  EXPECT_THROW(lines(20 + 8 + 22 + 63, "127.0.0.1:0"), std::invalid_argument);
  EXPECT_THROW(lines(65536, "127.0.0.1:0"), std::invalid_argument);
}

/// Sends frames of one size from `peer` in one piece, with the traffic class `ecn`.
void send_marked(const Peer& peer, const Address& to, const Bytes& bytes, std::uint16_t segment, int ecn) {
  const bool four = to.family() == AF_INET;
  ASSERT_TRUE(
      carriers::set_option(peer.socket.get(), four ? IPPROTO_IP : IPPROTO_IPV6, four ? IP_TOS : IPV6_TCLASS, ecn));
  ASSERT_TRUE(carriers::set_option(peer.socket.get(), IPPROTO_UDP, UDP_SEGMENT, segment));
  peer.send(to, bytes);
}

TEST(CarrierUdp, CongestionMarksAreToldForEveryFrame) {
  for (const bool offloads : {false, true}) {
    for (const char* bind : {"127.0.0.1:0", "[::1]:0"}) {
      UdpCarrier carrier(options(offloads, bind));
      if (!has(carrier, "ecn")) GTEST_SKIP() << "this kernel tells no traffic class";
      Peer peer;
      peer.socket = carriers::bound_socket(Address::parse(bind), SOCK_DGRAM);
      peer.address = Address::bound_to(peer.socket.get());
      Recorder sink;
      carrier.add_link(3, peer.address);
      carrier.poll(now_us(), 1, sink);
      const Address to = carrier.local_address();
      constexpr std::uint16_t kSize = regs::kHeaderBytes + kLine;
      send_marked(peer, to, Bytes(5 * kSize), kSize, 3);  // CE
      send_marked(peer, to, Bytes(4 * kSize), kSize, 2);  // ECT(0)
      send_marked(peer, to, Bytes(2 * kSize), kSize, 0);
      send_marked(peer, to, Bytes(kSize), kSize, 3);
      EXPECT_TRUE(pump({{&carrier, &sink}}, [&] { return sink.count == 12; }));
      EXPECT_EQ(sink.marked[3], 6U) << bind << (offloads ? " with" : " without") << " offloads";
    }
  }
}

TEST(CarrierUdp, FramesSayThatTheyMayBeMarked) {
  for (const bool ecn : {false, true}) {
    UdpOptions with = options();
    with.ecn = ecn;
    UdpCarrier carrier(with);
    EXPECT_EQ(has(carrier, "ecn"), ecn);
    const Peer peer;
    ASSERT_TRUE(carriers::set_option(peer.socket.get(), IPPROTO_IP, IP_RECVTOS, 1));
    Recorder sink;
    carrier.add_link(0, peer.address);
    carrier.poll(now_us(), 1, sink);
    Frames frames;
    frames.add(0, kLine);
    carrier.send(frames.list());
    std::array<std::byte, 2048> bytes{};
    alignas(cmsghdr) std::array<std::byte, 64> control{};
    iovec piece{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    pollfd waits{peer.socket.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&waits, 1, 20'000), 1);
    ASSERT_GT(::recvmsg(peer.socket.get(), &message, 0), 0);
    int tos = -1;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) tos = static_cast<int>(*CMSG_DATA(c)) & 3;
    }
    EXPECT_EQ(tos, ecn ? 2 : 0);
  }
}

TEST(CarrierUdp, RunsAreHandedToTheKernelInOnePieceAndCutRight) {
  UdpCarrier carrier(options());
  if (!has(carrier, "gso")) GTEST_SKIP() << "this kernel has no UDP_SEGMENT";
  const Peer peer;
  if (!carriers::set_option(peer.socket.get(), IPPROTO_UDP, UDP_GRO, 1)) GTEST_SKIP() << "this kernel has no UDP_GRO";
  Recorder sink;
  carrier.add_link(0, peer.address);
  carrier.poll(now_us(), 1, sink);
  Frames frames;
  for (int i = 0; i < 10; ++i) frames.add(0, 4 * kLine);
  frames.add(0, kLine);  // the shorter last of the run
  frames.add(0, 2 * kLine);
  carrier.send(frames.list());
  EXPECT_EQ(carrier.counters().tx_calls, 1U);
  EXPECT_EQ(carrier.counters().tx_frames, 12U);
  // A receiver that takes runs whole sees how they were handed over.
  std::vector<std::byte> buffer(65536);
  std::vector<std::size_t> runs;
  Bytes all;
  for (int i = 0; i < 2; ++i) {
    pollfd entry{peer.socket.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&entry, 1, 20'000), 1);
    const ssize_t got = ::recv(peer.socket.get(), buffer.data(), buffer.size(), 0);
    ASSERT_GT(got, 0);
    runs.push_back(static_cast<std::size_t>(got));
    all.insert(all.end(), buffer.begin(), buffer.begin() + got);
  }
  EXPECT_EQ(runs, (std::vector<std::size_t>{10 * (22 + 4 * kLine) + 22 + kLine, 22 + 2 * kLine}));
  Bytes expected;
  for (const auto& frame : frames.expected[0]) expected.insert(expected.end(), frame.begin(), frame.end());
  EXPECT_EQ(all, expected);
}

TEST(CarrierUdp, RunsFromTheKernelAreCutIntoFrames) {
  UdpCarrier sender(options());
  UdpOptions taking = options();
  UdpCarrier receiver(taking);
  if (!has(sender, "gso") || !has(receiver, "gro")) GTEST_SKIP() << "this kernel has no UDP_SEGMENT or UDP_GRO";
  Recorder sent, taken;
  sender.add_link(0, receiver.local_address());
  receiver.add_link(9, sender.local_address());
  sender.poll(now_us(), 1, sent);
  Frames frames;
  for (int i = 0; i < 40; ++i) frames.add(0, 8 * kLine);
  frames.add(0, 3 * kLine);
  sender.send(frames.list());
  ASSERT_TRUE(pump({{&receiver, &taken}}, [&] { return taken.count >= 41; }));
  EXPECT_EQ(taken.frames[9], frames.expected[0]);
  EXPECT_LT(receiver.counters().rx_calls, 41U);
}

class CarrierUdpBothWays : public testing::TestWithParam<bool> {};

TEST_P(CarrierUdpBothWays, ManyPeersKeepApart) {
  constexpr std::uint16_t kPeers = 24;
  UdpCarrier hub(options(GetParam()));
  Recorder hub_sink;
  std::vector<std::unique_ptr<UdpCarrier>> peers;
  std::vector<Recorder> sinks(kPeers);
  std::vector<Side> sides{{&hub, &hub_sink}};
  Frames out(5);
  for (std::uint16_t i = 0; i < kPeers; ++i) {
    peers.push_back(std::make_unique<UdpCarrier>(options(GetParam())));
    peers[i]->add_link(7, hub.local_address());
    hub.add_link(static_cast<std::uint16_t>(100 + i), peers[i]->local_address());
    sides.push_back({peers[i].get(), &sinks[i]});
  }
  ASSERT_TRUE(settle(sides));
  for (std::size_t i = 0; i < 400; ++i) out.add(static_cast<std::uint16_t>(100 + i * 5 / 3 % kPeers), kLine * (i % 3));
  hub.send(out.list());
  const auto arrived = [&] {
    std::size_t count = 0;
    for (const auto& sink : sinks) count += sink.count;
    return count;
  };
  ASSERT_TRUE(pump(sides, [&] { return arrived() == 400; })) << arrived();
  for (std::uint16_t i = 0; i < kPeers; ++i) {
    EXPECT_EQ(sinks[i].frames[7], out.expected[static_cast<std::uint16_t>(100 + i)]) << i;
  }
  // And back: each answers on its link, the hub knows which.
  std::map<std::uint16_t, std::vector<Bytes>> expected;
  for (std::uint16_t i = 0; i < kPeers; ++i) {
    Frames back(100U + i);
    for (int k = 0; k < 5; ++k) back.add(7, kLine);
    peers[i]->send(back.list());
    expected[static_cast<std::uint16_t>(100 + i)] = back.expected[7];
  }
  ASSERT_TRUE(pump(sides, [&] { return hub_sink.count == 5U * kPeers; }));
  EXPECT_EQ(hub_sink.frames, expected);
}

TEST_P(CarrierUdpBothWays, LongDatagramsAreMalformedShortOnesAreTheSinksBusiness) {
  UdpCarrier carrier(options(GetParam()));
  const Peer peer;
  carrier.add_link(3, peer.address);
  Recorder sink;
  const std::size_t limit = 22 + kLine * carrier.lines_per_frame();
  peer.send(carrier.local_address(), Bytes(limit + 1));
  peer.send(carrier.local_address(), Bytes(60'000));
  peer.send(carrier.local_address(), Bytes(limit));
  peer.send(carrier.local_address(), Bytes(1));
  peer.send(carrier.local_address(), Bytes(0));
  ASSERT_TRUE(pump({{&carrier, &sink}}, [&] { return sink.count == 3; }));
  EXPECT_EQ(sink.frames[3], (std::vector<Bytes>{Bytes(limit), Bytes(1), Bytes(0)}));
  EXPECT_EQ(carrier.counters().rx_malformed, 2U);
}

TEST_P(CarrierUdpBothWays, APeerThatIsGoneCostsNothingElse) {
  UdpCarrier carrier(options(GetParam()));
  Recorder sink, other_sink;
  UdpCarrier other(options(GetParam()));
  Address gone;
  {
    const Peer peer;
    gone = peer.address;
  }
  carrier.add_link(0, gone);
  carrier.add_link(1, other.local_address());
  other.add_link(0, carrier.local_address());
  const std::vector<Side> sides{{&carrier, &sink}, {&other, &other_sink}};
  ASSERT_TRUE(settle(sides));
  for (std::size_t round = 1; round <= 5; ++round) {
    Frames frames(round);
    for (int i = 0; i < 4; ++i) {
      frames.add(0, kLine);
      frames.add(1, kLine);
    }
    carrier.send(frames.list());
    ASSERT_TRUE(pump(sides, [&] { return other_sink.count == 4 * round; }));
  }
  EXPECT_TRUE(sink.is_up(0));
  EXPECT_TRUE(sink.is_up(1));
}

TEST_P(CarrierUdpBothWays, AFloodFromStrangersDoesNotHoldPoll) {
  UdpCarrier carrier(options(GetParam()));
  const Peer friendly, stranger;
  carrier.add_link(0, friendly.address);
  Recorder sink;
  carrier.poll(now_us(), 1, sink);
  for (int i = 0; i < 300; ++i) stranger.send(carrier.local_address(), Bytes(22));
  EXPECT_EQ(carrier.poll(now_us(), 50, sink), 0U);
  EXPECT_LE(carrier.counters().rx_unknown_peer, 50U);
  friendly.send(carrier.local_address(), Bytes(22));
  ASSERT_TRUE(pump({{&carrier, &sink}}, [&] { return sink.count == 1; }));
  EXPECT_EQ(carrier.counters().rx_unknown_peer, 300U);
}

INSTANTIATE_TEST_SUITE_P(Offloads, CarrierUdpBothWays, testing::Bool(),
                         [](const auto& info) { return info.param ? "on" : "off"; });

TEST(CarrierUdp, WrongLinksAreRefusedWithTheReason) {
  UdpCarrier carrier(options());
  const auto complaint = [&](std::uint16_t link, const char* peer) -> std::string {
    try {
      carrier.add_link(link, Address::parse(peer));
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(complaint(1, "127.0.0.1:7401"), "");
  EXPECT_NE(complaint(1, "127.0.0.1:7402").find("there already"), std::string::npos);
  EXPECT_NE(complaint(2, "127.0.0.1:7401").find("another link"), std::string::npos);
  EXPECT_NE(complaint(2, "[::1]:7401").find("family"), std::string::npos);
  EXPECT_NE(complaint(2, "127.0.0.1:0").find("port"), std::string::npos);
  EXPECT_NE(complaint(1024, "127.0.0.1:7403").find("max_links"), std::string::npos);
  carrier.remove_link(1);
  EXPECT_EQ(complaint(2, "127.0.0.1:7401"), "") << "the address is free again";
}

/// In a network of its own whose neighbour does not answer: packets wait for its hardware address and fill the socket's
/// buffer, until the test says what the address is. Returns what went wrong, empty for nothing, "skip: ..." for a skip.
std::string block_and_wake() {
  if (::unshare(CLONE_NEWNET) != 0) return "skip: no network namespace can be made here (needs root)";
  const auto run = [](const char* command) { return std::system(command) == 0; };
  if (!run(
          "ip link set lo up && ip link add sw0 type veth peer name sw1 && ip link set sw0 up && ip link set sw1 up && "
          "ip addr add 10.9.0.1/24 dev sw0 && echo 1000 >/proc/sys/net/ipv4/neigh/sw0/mcast_solicit")) {
    return "skip: the ip command cannot make a pair of veth devices here";
  }
  UdpOptions small = options(true, "10.9.0.1:0");
  small.socket_buffer = 16384;
  UdpCarrier carrier(small);
  Recorder sink;
  carrier.add_link(0, Address::parse("10.9.0.2:7401"));
  carrier.poll(now_us(), 64, sink);
  Frames frames;
  for (int i = 0; i < 40; ++i) frames.add(0, kLine * carrier.lines_per_frame());
  std::size_t sent = 0;
  for (; carrier.room(0) != 0; ++sent) {
    if (sent == 40) return "40 frames did not fill a buffer of 16 KiB";
    carrier.send(frames.list().subspan(sent, 1));
  }
  if (carrier.counters().tx_dropped != 0) return "the frame that did not fit was dropped";
  if (carrier.counters().tx_frames + 1 != sent) return "not exactly one frame was kept";
  if (readable(carrier.fd())) return "readable though blocked";
  carrier.send(frames.list().subspan(sent, 1));
  if (carrier.counters().tx_dropped != 0) return "a frame within the output limit was dropped";
  if (!run("ip neigh replace 10.9.0.2 lladdr 02:00:00:00:00:02 nud permanent dev sw0")) return "skip: ip neigh failed";
  if (!pump({{&carrier, &sink}}, [&] { return carrier.room(0) != 0; })) return "never woke";
  if (carrier.counters().tx_frames != sent + 1) return "what was kept was not sent";
  if (carrier.counters().tx_dropped != 0) return "something was dropped";
  if (!settle({{&carrier, &sink}}) || readable(carrier.fd())) return "readable though idle";
  return "";
}

/// In a network of its own whose packets are smaller than the carrier's: the kernel refuses runs, not single frames.
std::string small_path() {
  if (::unshare(CLONE_NEWNET) != 0) return "skip: no network namespace can be made here (needs root)";
  if (std::system("ip link set lo mtu 1000 up") != 0) return "skip: the ip command cannot set up an interface here";
  UdpCarrier sender(options()), receiver(options());
  if (!has(sender, "gso")) return "skip: this kernel has no UDP_SEGMENT";
  Recorder sent, taken;
  sender.add_link(0, receiver.local_address());
  receiver.add_link(0, sender.local_address());
  const std::vector<Side> sides{{&sender, &sent}, {&receiver, &taken}};
  if (!settle(sides)) return "does not come to rest";
  Frames frames;
  for (int i = 0; i < 30; ++i) frames.add(0, kLine * sender.lines_per_frame());
  sender.send(frames.list());
  if (sender.counters().tx_dropped != 0) return "frames were dropped where runs are refused";
  if (sender.counters().tx_calls < 2) return "the kernel took the run: this tests nothing";
  if (!pump(sides, [&] { return taken.count == 30; })) return "frames were lost";
  return taken.frames == frames.expected ? "" : "frames were changed";
}

/// Runs `act` in a thread of its own: a namespace that it makes is the thread's and ends with it.
void in_own_network(std::string (*act)()) {
  std::string result;
  std::thread([&result, act] {
    try {
      result = act();
    } catch (const std::exception& error) {
      result = error.what();
    }
  }).join();
  if (result.starts_with("skip: ")) GTEST_SKIP() << result.substr(6);
  EXPECT_EQ(result, "");
}

TEST(CarrierUdp, BlockedSocketKeepsFramesAndWakes) {
  in_own_network(block_and_wake);
}

TEST(CarrierUdp, RunsThatThePathRefusesGoOneByOne) {
  in_own_network(small_path);
}

}  // namespace
}  // namespace slotwire::test
