// What slotwired makes of a gate that is hostile.
#include "runtime/engine/peers/gate_network.hpp"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <vector>

#include "core/slot/open_files.hpp"
#include "runtime/control/hex.hpp"
#include "runtime/control/packet_socket.hpp"
#include "sim/engine/sim_loop.hpp"

namespace slotwire::engine {
namespace {

using control::GateKind;
using control::GatePacket;

class FakeGate final : public GateLife {
 public:
  explicit FakeGate(slot::Fd socket) : socket_(std::move(socket)) {}
  pid_t pid() const override { return 1; }
  slot::Fd take_socket() override { return std::move(socket_); }
  std::string end(std::chrono::milliseconds) override { return "ended"; }

 private:
  slot::Fd socket_;
};

class HostileGate : public testing::Test {
 protected:
  static Config config() {
    return parse_config(
        "[node]\nname = \"left\"\nrun_dir = \"/nonexistent\"\n[listen]\nudp = \"127.0.0.1:1\"\n[[link]]\npeer = "
        "\"right\"\ncontrol = \"127.0.0.1:2\"\n",
        "test");
  }
  /// Each life of the gate says at once that it serves.
  std::unique_ptr<GateLife> start() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
    gate = slot::Fd(fds[1]);
    ++starts;
    say({GateKind::ready, true, 0, 0, {}});
    return std::make_unique<FakeGate>(slot::Fd(fds[0]));
  }
  void say(const GatePacket& packet) {
    const std::string bytes = control::encode_gate(packet);
    EXPECT_EQ(::send(gate.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  void pass(std::uint64_t us) {
    timeline.advance(us);
    for (int i = 0; i < 3; ++i) loop.run();
  }
  std::size_t lines() const {
    const std::string text = said.str();
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  Config parsed = config();
  sim::Timeline timeline;
  sim::SimLoop loop{timeline};
  std::ostringstream said;
  NodeLog log{std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_st>(said)), loop};
  slot::Fd gate;
  int starts = 0;
  GateNetwork network{parsed, loop, log, [this](const std::string&) { return start(); }};
};

TEST_F(HostileGate, OneThatServesAndEndsAtOnceIsStartedLessAndLessOften) {
  constexpr int kSeconds = 60;
  for (int i = 0; i < kSeconds * 100; ++i) {
    gate.reset();
    pass(10'000);
  }
  EXPECT_LE(starts, 60);
  EXPECT_GE(starts, 20) << "it is tried again all the same";
  EXPECT_LE(lines(), 20U * 6) << "and the log does not fill up";
}

TEST_F(HostileGate, OneThatHasServedForLongIsStartedAgainAtOnce) {
  for (int life = 1; life < 8; ++life) {
    pass(20'000'000);
    gate.reset();
    pass(1);
    pass(30'000);
    EXPECT_EQ(starts, life + 1);
  }
}

TEST_F(HostileGate, AnswersAReloadThatNobodyAskedForAndIsEnded) {
  say(control::gate_packet(GateKind::reloaded, 0, control::GateText{}));
  pass(1);
  EXPECT_NE(said.str().find("broke its protocol"), std::string::npos) << said.str();
  EXPECT_EQ(said.str().find("reloaded\n"), std::string::npos);
}

TEST_F(HostileGate, PassesNoDescriptorToSlotwired) {
  const std::string bytes = control::encode_gate(control::gate_packet(GateKind::counters, 0, control::GateCounters{}));
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int passed = STDERR_FILENO;
  std::memcpy(CMSG_DATA(header), &passed, sizeof passed);
  const bool refused = ::sendmsg(gate.get(), &message, MSG_NOSIGNAL) < 0;
  const int error = errno;
  std::array<int, 2> other{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, other.data()), 0);
  const slot::Fd first(other[0]), second(other[1]);
  EXPECT_EQ(refused, slot::accept_descriptors(first.get(), false)) << "the kernel refuses it where it can";
  EXPECT_TRUE(!refused || error == EPERM);
  pass(1);
  EXPECT_EQ(said.str().find("was ended") == std::string::npos, refused) << said.str();
}

class Messages : public HostileGate {
 protected:
  Messages() {
    channel = network.dial(parsed.links[0], 1'000'000);
    heard();
  }
  std::vector<GatePacket> heard() {
    std::vector<GatePacket> packets;
    std::vector<char> bytes(control::kGatePacket);
    for (ssize_t n = 0; (n = ::recv(gate.get(), bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0;)
      packets.push_back(control::decode_gate({bytes.data(), static_cast<std::size_t>(n)}).value());
    return packets;
  }
  static constexpr std::uint32_t kFirstDialled = 3;
  std::unique_ptr<ControlChannel> channel;
};

TEST_F(Messages, WhatATurnOfTheLoopSendsGoesInOnePacket) {
  ASSERT_EQ(channel->send("open"), ControlChannel::Sent::sent);
  ASSERT_EQ(channel->send("close"), ControlChannel::Sent::sent);
  EXPECT_TRUE(heard().empty()) << "the gate is not woken for each";
  network.flush();
  const std::vector<GatePacket> packets = heard();
  ASSERT_EQ(packets.size(), 1U);
  const auto messages = control::read_batch(packets[0]);
  ASSERT_TRUE(messages.ok());
  ASSERT_EQ(messages.value().size(), 2U);
  EXPECT_EQ(messages.value()[0].channel, kFirstDialled);
  EXPECT_EQ(messages.value()[0].text, "open");
  EXPECT_EQ(messages.value()[1].text, "close");
}

TEST_F(Messages, OneThatIsLongGoesInPiecesAfterThoseBeforeIt) {
  ASSERT_EQ(channel->send("short"), ControlChannel::Sent::sent);
  ASSERT_EQ(channel->send(std::string(control::kGateBody + 1, 'x')), ControlChannel::Sent::sent);
  ASSERT_EQ(channel->send("after"), ControlChannel::Sent::sent);
  channel.reset();
  std::vector<GateKind> kinds;
  for (const GatePacket& packet : heard()) kinds.push_back(packet.kind);
  EXPECT_EQ(kinds, (std::vector{GateKind::messages, GateKind::message, GateKind::message, GateKind::messages,
                                GateKind::close}));
}

TEST_F(Messages, BytesAreGivenBackWhenTheyAreMany) {
  constexpr std::size_t kBytes = 1000;
  std::size_t taken = 0, given_back = 0, packets = 0;
  while (taken < 2 * control::kGateWindowIn) {
    say({GateKind::message, true, kFirstDialled, 0, std::string(kBytes, 'x')});
    pass(1);
    ASSERT_TRUE(channel->next().has_value());
    taken += kBytes;
    for (const GatePacket& packet : heard()) {
      ASSERT_EQ(packet.kind, GateKind::credit);
      given_back += packet.value;
      ++packets;
    }
    ASSERT_LT(taken - given_back, control::kGateGiveBack) << "less than a whole message fits into the window";
  }
  EXPECT_LE(packets, taken / control::kGateGiveBack);
}

TEST_F(Messages, ABatchIsReadMessageByMessage) {
  control::GateBatch batch;
  ASSERT_TRUE(batch.add(kFirstDialled, "opened"));
  ASSERT_TRUE(batch.add(kFirstDialled + 2, "of nobody"));
  ASSERT_TRUE(batch.add(kFirstDialled, "close"));
  say(batch.take());
  pass(1);
  EXPECT_EQ(channel->next(), "opened");
  EXPECT_EQ(channel->next(), "close");
  EXPECT_EQ(channel->next(), std::nullopt);
  EXPECT_EQ(starts, 1);
}

TEST_F(Messages, AGateThatSendsABrokenBatchIsEnded) {
  say({GateKind::messages, true, 0, 0, std::string(9, '\1')});
  pass(1);
  EXPECT_NE(said.str().find("broke its protocol"), std::string::npos) << said.str();
  EXPECT_TRUE(channel->closed());
}

/// A node whose link can go over HTTP.
class Owner final : public SessionOwner {
 public:
  bool wants_session(std::span<const std::byte> token) const override {
    ++asked;
    return std::equal(token.begin(), token.end(), wanted.begin(), wanted.end());
  }
  void take_session(std::span<const std::byte>, slot::Fd frames, const std::string& what) override {
    socket = std::move(frames);
    way = what;
  }
  void session_trouble(std::span<const std::byte>, const std::string& why) override { trouble = why; }
  void session_way(std::span<const std::byte>, const control::GateSessionWay& travels) override { goes = travels; }

  std::vector<std::byte> wanted = std::vector<std::byte>(control::kTokenBytes, std::byte{7});
  mutable int asked = 0;
  slot::Fd socket;
  std::string way, trouble;
  control::GateSessionWay goes;
};

class Sessions : public HostileGate {
 protected:
  Sessions() {
    network.sessions()->serve_sessions(owner);
    link.peer = "right";
    link.http = {"http://right.example/slotwire"};
    network.sessions()->keep_session(link, owner.wanted);
    heard();
  }
  /// Kinds of packets that the gate has got since the last call, and their descriptors.
  std::vector<GateKind> heard() {
    std::vector<GateKind> kinds;
    control::PacketSocket socket(slot::Fd(::dup(gate.get())), control::kGatePacket, 64);
    control::Packet packet;
    while (socket.receive(packet) == control::PacketChannel::Got::packet) {
      kinds.push_back(control::decode_gate(packet.text).value().kind);
      for (slot::Fd& fd : packet.fds) frames = std::move(fd);
    }
    return kinds;
  }
  void come(std::uint32_t number, std::byte first) {
    std::vector<std::byte> token = owner.wanted;
    token[0] = first;
    say(control::gate_packet(GateKind::session_up, number, control::GateSessionUp{control::hex_text(token), "a way"}));
    pass(1);
  }
  Owner owner;
  LinkConfig link;
  slot::Fd frames;
};

TEST_F(Sessions, FramesOfALinkFlowBetweenTheNodeAndTheGate) {
  come(1, std::byte{7});
  EXPECT_EQ(heard(), std::vector{GateKind::frames});
  ASSERT_TRUE(frames && owner.socket);
  EXPECT_EQ(owner.way, "a way");
  EXPECT_EQ(::send(frames.get(), "frame", 5, MSG_NOSIGNAL), 5);
  std::array<char, 8> got{};
  EXPECT_EQ(::recv(owner.socket.get(), got.data(), got.size(), MSG_DONTWAIT), 5);
}

TEST_F(Sessions, ATokenThatIsGuessedMakesNothing) {
  come(2, std::byte{8});
  EXPECT_EQ(heard(), std::vector{GateKind::refuse_session});
  EXPECT_EQ(owner.asked, 1);
  EXPECT_FALSE(owner.socket);
}

TEST_F(Sessions, ANewGateIsToldOfThemAgain) {
  gate.reset();
  pass(1);
  pass(30'000);
  const std::vector<GateKind> kinds = heard();
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), GateKind::keep_session), 1);
}

TEST_F(Sessions, AGateThatSpeaksOfASessionThatIsNotKeptIsEnded) {
  say(control::gate_packet(GateKind::session_trouble, 3, control::GateText{"made up"}));
  pass(1);
  EXPECT_NE(said.str().find("broke its protocol"), std::string::npos) << said.str();
  EXPECT_EQ(owner.trouble, "");
}

TEST_F(Sessions, AGateThatTakesTheNumberOfAKeptOneForAnotherTokenIsEnded) {
  come(1, std::byte{9});
  EXPECT_NE(said.str().find("broke its protocol"), std::string::npos) << said.str();
  EXPECT_FALSE(owner.socket);
}

TEST_F(Sessions, TroubleReachesTheLink) {
  say(control::gate_packet(GateKind::session_trouble, 1, control::GateText{"the proxy wants a login"}));
  pass(1);
  EXPECT_EQ(owner.trouble, "the proxy wants a login");
}

TEST_F(Sessions, TheWayOfASessionThatAPeerHasBegunReachesTheLink) {
  come(2, std::byte{7});
  control::GateSessionWay way;
  way.websocket = true;
  say(control::gate_packet(GateKind::session_way, 2, way));
  pass(1);
  EXPECT_TRUE(owner.goes.websocket);
  // A newer session of the same link: the older one says nothing of it any more, and is no breach of the protocol.
  come(4, std::byte{7});
  say(control::gate_packet(GateKind::session_way, 4, control::GateSessionWay{}));
  say(control::gate_packet(GateKind::session_way, 2, way));
  pass(1);
  EXPECT_FALSE(owner.goes.websocket);
  EXPECT_EQ(said.str().find("broke its protocol"), std::string::npos) << said.str();
}

TEST_F(Sessions, TheWayThatASessionTakesReachesTheLinkAndOneThatIsMadeUpDoesNot) {
  control::GateSessionWay way;
  way.websocket = true;
  say(control::gate_packet(GateKind::session_way, 1, way));
  pass(1);
  EXPECT_TRUE(owner.goes.websocket);
  way = {false, "a proxy refuses it", 5'000'000};
  say(control::gate_packet(GateKind::session_way, 1, way));
  pass(1);
  EXPECT_FALSE(owner.goes.websocket);
  EXPECT_EQ(owner.goes.why, "a proxy refuses it");
  EXPECT_EQ(owner.goes.retry_us, 5'000'000U);
  say(control::gate_packet(GateKind::session_way, 3, control::GateSessionWay{}));
  pass(1);
  EXPECT_NE(said.str().find("broke its protocol"), std::string::npos) << said.str();
  EXPECT_EQ(owner.goes.why, "a proxy refuses it");
}

TEST_F(Sessions, EachTroubleIsLoggedOnceUntilTheSessionIsUp) {
  const auto logged = [this](const std::string& text) {
    std::size_t count = 0;
    const std::string all = said.str();
    for (std::size_t at = all.find(text); at != std::string::npos; at = all.find(text, at + 1)) ++count;
    return count;
  };
  const auto trouble = [this](const std::string& why) {
    say(control::gate_packet(GateKind::session_trouble, 1, control::GateText{why}));
    pass(1'000'000);
  };
  for (int i = 0; i < 3; ++i) {
    trouble("one refuses");
    trouble("two is silent");
  }
  EXPECT_EQ(logged("one refuses"), 1U) << said.str();
  EXPECT_EQ(logged("two is silent"), 1U) << said.str();
  EXPECT_EQ(owner.trouble, "two is silent");
  come(1, std::byte{7});
  trouble("one refuses");
  EXPECT_EQ(logged("one refuses"), 2U) << said.str();
}

TEST_F(HostileGate, SaysWhereItListens) {
  Config listening = config();
  listening.listen.control = HostPort{"127.0.0.1", 0};
  listening.listen.http = HostPort{"127.0.0.1", 0};
  listening.http.path = "/x";
  const GateNetwork other(listening, loop, log, [this](const std::string&) { return start(); });
  EXPECT_EQ(said.str().find("on 127.0.0.1:0"), std::string::npos) << said.str();
  EXPECT_NE(said.str().find("control connections on 127.0.0.1:"), std::string::npos) << said.str();
  EXPECT_NE(said.str().find("links over HTTP on 127.0.0.1:"), std::string::npos) << said.str();
}

}  // namespace
}  // namespace slotwire::engine
