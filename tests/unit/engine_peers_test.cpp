// What peers may say and when: every message in every state of a control connection, and handlers that throw.
#include "runtime/engine/peers/peer_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <stdexcept>

#include "unit/engine_rooms.hpp"

namespace slotwire::engine {
namespace {

/// A transport that moves nothing.
class QuietTransport final : public Transport {
 public:
  std::string_view name() const override { return "quiet"; }
  void use_card(NodeCard&, std::span<const LinkInfo>) override {}
  void fill_hello(const LinkInfo&, const carriers::Address&, control::PeerHello&) override {}
  void route(const LinkInfo& link, const control::PeerHello&, const carriers::Address&) override {
    routes.push_back(link.udp);
  }
  void shut_out(std::uint16_t) override { ++shut; }
  void report(nlohmann::json&) override {}

  std::vector<carriers::Address> routes;
  int shut = 0;
};

std::unique_ptr<Transport> open_quiet(const TransportContext&) {
  return std::make_unique<QuietTransport>();
}
constinit const TransportKind kQuiet = {.name = "quiet", .open = open_quiet};

/// The other end of a channel, in the test's hands.
struct Wire {
  std::vector<control::PeerMessage> told;
  std::deque<std::string> said;
  std::function<void()> ready;
  bool there = false;
  std::string ended;
  bool revoked = false;

  void tell() {
    const std::function<void()> call = ready;  // it may destroy the channel, which clears `ready`
    if (call) call();
  }
  void say(const std::string& text) {
    said.push_back(text);
    tell();
  }
  void say(const control::PeerMessage& message) { say(control::encode_peer(message)); }
  /// The error that it was told; empty: none.
  std::string error() const {
    for (const control::PeerMessage& message : told) {
      if (const auto* const error = std::get_if<control::PeerError>(&message)) return error->text;
    }
    return {};
  }
  template <class M>
  std::size_t count() const {
    return static_cast<std::size_t>(std::count_if(
        told.begin(), told.end(), [](const auto& message) { return std::holds_alternative<M>(message); }));
  }
};

class WireChannel final : public ControlChannel {
 public:
  explicit WireChannel(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) { wire_->there = true; }
  ~WireChannel() override {
    wire_->there = false;
    wire_->ready = nullptr;
  }
  WireChannel(const WireChannel&) = delete;
  WireChannel& operator=(const WireChannel&) = delete;
  Sent send(std::string_view message) override {
    wire_->told.push_back(control::decode_peer(message).value());
    return Sent::sent;
  }
  std::optional<std::string> next() override {
    if (wire_->said.empty()) return std::nullopt;
    std::string text = std::move(wire_->said.front());
    wire_->said.pop_front();
    return text;
  }
  bool closed() const override { return !wire_->ended.empty() && wire_->said.empty(); }
  std::string reason() const override { return wire_->ended; }
  bool revoked() const override { return wire_->revoked; }
  void on_ready(std::function<void()> ready) override { wire_->ready = std::move(ready); }

 private:
  std::shared_ptr<Wire> wire_;
};

class WireNetwork final : public ControlNetwork {
 public:
  void listen(OnCaller on_caller) override { call = std::move(on_caller); }
  std::unique_ptr<ControlChannel> dial(const LinkConfig&, std::uint64_t) override {
    dialled = std::make_shared<Wire>();
    return std::make_unique<WireChannel>(dialled);
  }
  void resolve(const std::string& host, OnAddresses found) override { asked.emplace_back(host, std::move(found)); }
  std::string_view protection() const override { return ""; }

  OnCaller call;
  std::shared_ptr<Wire> dialled;
  std::vector<std::pair<std::string, OnAddresses>> asked;
};

struct Opens final : OpenHandler {
  std::function<void()> act = [] {};
  int calls = 0;
  void on_open(const Peer&, const control::Open&) override { called(); }
  void on_opened(const Peer&, const control::Opened&) override { called(); }
  void on_refused(const Peer&, const control::Refused&) override { called(); }
  void on_peer_lost(const Peer&, const std::string&) override {}
  void called() {
    ++calls;
    act();
  }
};

/// Node `left`, which `aa` dials and which dials `zz`. Data of `zz` go to a name.
class Peers : public testing::Test {
 protected:
  static Config config() {
    static const bool added = (add_transport_kind(kQuiet), true);
    EXPECT_TRUE(added);
    return room_config(
        "[listen]\ncontrol = \"127.0.0.1:1\"\n"
        "[[link]]\npeer = \"aa\"\ncarrier = \"quiet\"\n"
        "[[link]]\npeer = \"zz\"\ncontrol = \"127.0.0.1:2\"\nudp = \"zz.example:3\"\ncarrier = \"quiet\"\n");
  }
  Peers() {
    peers.use(rooms.slots, opens);
    peers.start();
  }
  /// Time as the engine sees it: with a tick four times a second, and one at the end.
  void pass(std::uint64_t us) {
    constexpr std::uint64_t kTick = 250'000;
    for (; us > kTick; us -= kTick) {
      rooms.timeline.advance(kTick);
      peers.tick();
    }
    rooms.timeline.advance(us);
    peers.tick();
  }
  static control::PeerHello hello(const std::string& node) {
    control::PeerHello message;
    message.node = node;
    message.incarnation = 1;
    return message;
  }
  /// `aa` connects, late enough not to be turned away; its hellos are exchanged.
  std::shared_ptr<Wire> connect(const std::string& node = "aa") {
    wait_until_taken(node);
    return connect_now(node);
  }
  void wait_until_taken(const std::string& node) {
    const Peer* const peer = peers.find(node);
    if (peer == nullptr || rooms.timeline.now_us() >= peer->not_before_us) return;
    rooms.timeline.advance(peer->not_before_us - rooms.timeline.now_us());
  }
  std::shared_ptr<Wire> connect_now(const std::string& node = "aa", const std::string& from = "127.0.0.1:9") {
    auto wire = std::make_shared<Wire>();
    network.call(std::make_unique<WireChannel>(wire), hello(node), carriers::Address::parse(from));
    return wire;
  }
  QuietTransport& quiet() { return static_cast<QuietTransport&>(*transports.find("quiet")); }

  Rooms rooms{config()};
  WireNetwork network;
  Opens opens;
  TransportSet transports{TransportContext{rooms.config, rooms.loop, rooms.log, nullptr, 1}};
  PeerTable peers{PeerParts{rooms.config, rooms.admin, rooms.loop, rooms.log, transports, network}};
};

struct Case {
  control::PeerMessage message;
  const char* up;  ///< what is wrong with it on a connection that is up; empty: nothing
};

std::vector<Case> every_message() {
  control::Key key;
  key.suite = "aes-128-gcm";
  return {{control::Sync{}, ""},
          {control::Open{}, ""},
          {control::Opened{}, ""},
          {control::Refused{}, ""},
          {control::PeerClose{.slot = 7, .from_slot = 1, .epoch = 1, .reason = End::died}, ""},
          {key, "a key for a link without encryption"},
          {control::KeyTaken{}, "an answer to a key that was not offered"},
          {control::Ping{}, ""},
          {control::Pong{}, ""}};
}

TEST_F(Peers, EveryMessageHasAnAnswerInEveryState) {
  for (const Case& c : every_message()) {
    const std::string name = control::encode_peer(c.message);
    // Up.
    const auto wire = connect();
    EXPECT_EQ(wire->count<control::PeerHello>(), 1U);
    wire->say(c.message);
    EXPECT_EQ(wire->there, *c.up == '\0') << name;
    EXPECT_NE(wire->error().find(c.up), std::string::npos) << name << ": " << wire->error();
    EXPECT_EQ(wire->error().empty(), *c.up == '\0') << name;
    // Dialled, before its hello.
    const std::shared_ptr<Wire> dialled = network.dialled;
    dialled->say(c.message);
    EXPECT_FALSE(dialled->there) << name;
    EXPECT_NE(dialled->error().find("did not begin with a hello"), std::string::npos) << name;
    rooms.timeline.advance(3'000'000);
    rooms.loop.run();
    ASSERT_NE(network.dialled, dialled) << "it dials again";
  }
  EXPECT_EQ(opens.calls, 3);
}

TEST_F(Peers, HelloErrorAndUnknownMessagesHaveTheirStates) {
  auto wire = connect();
  wire->say(R"({"type":"of a later release"})");
  EXPECT_TRUE(wire->there);
  wire->say(control::Ping{});
  EXPECT_EQ(wire->count<control::Pong>(), 1U);
  wire->say(hello("other"));
  EXPECT_FALSE(wire->there);
  EXPECT_NE(wire->error().find("hello twice"), std::string::npos);
  wire = connect();
  wire->say(control::PeerError{"enough"});
  EXPECT_FALSE(wire->there);
  EXPECT_EQ(wire->error(), "") << "an error is not answered by one";
  wire = connect();
  wire->say("{");
  EXPECT_NE(wire->error().find("cannot be understood"), std::string::npos);
  // Who is nobody's peer, or is dialled itself.
  EXPECT_NE(connect("stranger")->error().find("no [[link]]"), std::string::npos);
  EXPECT_NE(connect("zz")->error().find("dials this link itself"), std::string::npos);
  // A dialled node that is another one.
  const std::shared_ptr<Wire> dialled = network.dialled;
  dialled->say(hello("aa"));
  EXPECT_FALSE(dialled->there);
  EXPECT_NE(dialled->error().find("is 'aa', not 'zz'"), std::string::npos);
}

TEST_F(Peers, OneThatEndsItsConnectionsAsSoonAsTheyBeginIsTurnedAwayForAWhile) {
  const auto early_end = [&] {
    auto wire = connect();
    EXPECT_TRUE(wire->there);
    wire->say(hello("aa"));
    EXPECT_NE(wire->error().find("hello twice"), std::string::npos);
    return peers.find("aa")->not_before_us - rooms.timeline.now_us();
  };
  std::uint64_t expected = 25'000;
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(early_end(), expected) << i;
    const auto soon = connect_now();
    EXPECT_FALSE(soon->there);
    EXPECT_NE(soon->error().find("ended as soon as it had begun (it said hello twice); the next is taken in "),
              std::string::npos)
        << soon->error();
    EXPECT_EQ(soon->count<control::PeerHello>(), 0U);
    expected = std::min<std::uint64_t>(expected * 2, 1'000'000);
  }
  // One that is up for a second begins anew, and may be replaced at once.
  auto wire = connect();
  pass(1'000'000);
  const auto next = connect_now();
  EXPECT_FALSE(wire->there);
  EXPECT_TRUE(next->there);
  EXPECT_EQ(next->error(), "");
  EXPECT_EQ(early_end(), 50'000U) << "the one that replaced it ended early, and so did this one";
  // While one is held off, what is up stays up.
  const auto up = connect();
  const auto replacing = connect_now();
  EXPECT_FALSE(up->there) << "the first replacement is taken";
  EXPECT_NE(connect_now()->error(), "");
  EXPECT_TRUE(replacing->there);
}

TEST_F(Peers, AStrangerThatClaimsItsNameDoesNotKeepAPeerOut) {
  const std::string stranger = "127.0.0.66:5", peer = "127.0.0.1:9";
  int taken = 0;
  auto true_one = connect_now("aa", peer);
  for (int i = 0; i < 200; ++i) {
    const auto false_one = connect_now("aa", stranger);
    if (false_one->there) {
      ++taken;
      EXPECT_FALSE(true_one->there) << "the newest is the one";
      if (i % 2 == 0) false_one->say(hello("aa"));  // which ends it
      true_one = connect_now("aa", peer);
    }
    EXPECT_TRUE(true_one->there) << i << ": " << true_one->error();
    rooms.timeline.advance(10'000);
  }
  EXPECT_GE(taken, 2);
  EXPECT_LE(taken, 110) << "the stranger is held off where it broke the rules";
}

TEST_F(Peers, WhatNamesASlotThatThereIsNotOrComesTwiceEndsTheConnection) {
  const auto slots = static_cast<std::uint16_t>(rooms.slots.count());
  const auto last = static_cast<std::uint16_t>(slots - 1);
  const auto error_for = [&](const std::vector<control::PeerMessage>& messages) {
    const auto wire = connect();
    for (const control::PeerMessage& message : messages) wire->say(message);
    EXPECT_EQ(wire->there, wire->error().empty());
    return wire->error();
  };
  const std::string none = "names slot " + std::to_string(slots);
  EXPECT_NE(error_for({control::PeerClose{.slot = slots, .from_slot = 1, .epoch = 1}}).find(none), std::string::npos);
  EXPECT_NE(error_for({control::PeerClose{.slot = -2, .from_slot = 1, .epoch = 1}}).find("names slot -2"),
            std::string::npos);
  EXPECT_NE(error_for({control::SlotHealth{.slot = slots}}).find(none), std::string::npos);
  EXPECT_NE(error_for({control::Sync{.pairs = {{slots, 1, 1}}, .last = true}}).find(none), std::string::npos);
  EXPECT_NE(error_for({control::Sync{}, control::Sync{}}).find("a second 'sync'"), std::string::npos);
  control::PeerHello wrong = hello("aa");
  wrong.ports = {7401, 0};
  wait_until_taken("aa");
  const auto wire = std::make_shared<Wire>();
  network.call(std::make_unique<WireChannel>(wire), wrong, carriers::Address::parse("127.0.0.1:9"));
  EXPECT_NE(wire->error().find("port 0 in 'ports'"), std::string::npos) << wire->error();
  // What may have crossed the end of a pairing, and a sync in several messages, are nobody's mistake.
  EXPECT_EQ(error_for({control::PeerClose{.slot = last, .from_slot = 1, .epoch = 1},
                       control::PeerClose{.slot = control::PeerClose::kUnknownSlot, .from_slot = 1, .epoch = 1},
                       control::SlotHealth{.slot = last}, control::Sync{.pairs = {{last, 1, 1}}, .last = false},
                       control::Sync{}}),
            "");
}

TEST_F(Peers, AHandlerThatThrowsCostsItsOwnConnection) {
  const auto other = network.dialled;
  other->say(hello("zz"));
  ASSERT_TRUE(other->there);
  const std::vector<std::function<void()>> throwing = {[] { throw std::runtime_error("a fault"); }, [] { throw 7; },
                                                       [] {
                                                         throw Refusal{"bad_request", "what it may not"};
                                                       },
                                                       [] { throw std::bad_alloc(); }};
  for (const auto& act : throwing) {
    const auto wire = connect();
    opens.act = act;
    wire->say(control::Open{});
    EXPECT_FALSE(wire->there);
    EXPECT_NE(wire->error(), "");
    opens.act = [] {};
  }
  EXPECT_EQ(peers.find("aa")->refused, throwing.size());
  EXPECT_TRUE(other->there);
  other->say(control::Ping{});
  EXPECT_EQ(other->count<control::Pong>(), 1U);
}

TEST_F(Peers, OneThatSendsWithoutPauseLetsOthersHaveTheirTurn) {
  const auto wire = connect();
  for (int i = 0; i < 1000; ++i) wire->said.push_back(control::encode_peer(control::Ping{}));
  wire->say(control::Ping{});
  EXPECT_LE(wire->count<control::Pong>(), 16U);
  // However often it is told of, one turn is one turn.
  for (int i = 0; i < 10; ++i) wire->tell();
  const std::size_t before = wire->count<control::Pong>();
  rooms.loop.run();
  EXPECT_GT(wire->count<control::Pong>(), before);
}

TEST_F(Peers, NamesOfDataAddressesAreLookedUpAtEachHello) {
  network.dialled->say(hello("zz"));
  ASSERT_EQ(network.asked.size(), 1U);
  EXPECT_EQ(network.asked[0].first, "zz.example");
  EXPECT_TRUE(quiet().routes.empty());
  network.asked[0].second(Error{"no such host"});
  EXPECT_TRUE(network.dialled->there) << "it is looked up again";
  rooms.timeline.advance(2'000'000);
  rooms.loop.run();
  ASSERT_EQ(network.asked.size(), 2U);
  network.asked[1].second(std::vector{carriers::Address::parse("10.0.0.7:0")});
  ASSERT_EQ(quiet().routes.size(), 1U);
  EXPECT_EQ(quiet().routes[0].to_string(), "10.0.0.7:3");
  // An answer to an earlier question is of no use any more.
  network.asked[0].second(std::vector{carriers::Address::parse("10.0.0.8:0")});
  EXPECT_EQ(quiet().routes.size(), 1U);
  // And again with the next connection.
  network.dialled->ended = "the connection broke";
  network.dialled->tell();
  rooms.timeline.advance(3'000'000);
  rooms.loop.run();
  network.dialled->say(hello("zz"));
  ASSERT_EQ(network.asked.size(), 3U);
}

TEST_F(Peers, ConnectionsOfALinkThatStaysDownEndAndTheirSlotsComeBack) {
  const std::uint16_t link = peers.find("aa")->link.index;
  Session& session = rooms.attach(100);
  const auto wait = [&](std::uint64_t us) { pass(us); };
  rooms.config.limits.link_down = std::chrono::seconds(2);
  constexpr std::uint64_t patience = 2'000'000;  // shorter than the silence that ends a control connection
  auto wire = connect();
  peers.carrier_changed(link, true, "");
  const std::uint16_t slot = rooms.open_for("aa", session);
  const std::uint16_t draining = rooms.open_for("aa", session, 4);
  for (int i = 0; i < 3; ++i) {
    wire->say(control::Ping{});
    wait(patience);
  }
  EXPECT_EQ(rooms.slots.descriptor(slot).phase, Phase::open) << "the link was up";
  // The carrier alone is down: the peer can be told.
  wire = connect();
  peers.carrier_changed(link, false, "its frames do not come");
  wait(patience / 2);
  peers.carrier_changed(link, true, "");
  peers.carrier_changed(link, false, "they do not come again");
  wire = connect();
  wait(patience / 2 + 1);
  EXPECT_EQ(rooms.slots.descriptor(slot).phase, Phase::open) << "it was up in between";
  rooms.peers.reachable = false;
  rooms.slots.begin_close(draining, End::closed);
  rooms.peers.reachable = true;
  while (rooms.pipes[0]->receive()) continue;  // what was told of the link
  wire = connect();
  wait(patience / 2 + 1);
  EXPECT_EQ(rooms.slots.descriptor(slot).phase, Phase::peer_gone);
  EXPECT_EQ(rooms.slots.descriptor(draining).pairing, Pairing::none) << "nobody waits for it any more";
  std::optional<control::Closed> closed;
  while (const std::optional<control::Packet> packet = rooms.pipes[0]->receive()) {
    const auto read = control::decode_from_engine(packet->text);
    const auto& event = std::get<control::Event>(read.value());
    if (std::holds_alternative<control::Closed>(event)) closed = std::get<control::Closed>(event);
  }
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->reason, End::lost);
  EXPECT_NE(closed->text.find("limits.link_down = 2s"), std::string::npos) << closed->text;
  // SlotTable tells through the recording fake here; both pairings of the peer end there, too.
  ASSERT_EQ(rooms.peers.told.size(), 2U);
  EXPECT_EQ(rooms.peers.told[0].second.reason, End::lost);
  rooms.slots.begin_close(slot, End::closed);
  EXPECT_EQ(rooms.accounts.held("aa", PeerResource::slots), 0U);
  // What is opened while it is down lasts no longer.
  const std::uint16_t late = rooms.open_for("aa", session, 5);
  wait(1);
  EXPECT_EQ(rooms.slots.descriptor(late).phase, Phase::peer_gone);
}

TEST_F(Peers, ConnectionsOfALinkThatNeverCameUpSinceTheStartEndToo) {
  Session& session = rooms.attach(100);
  const std::uint16_t slot = rooms.open_for("aa", session);  // as an earlier life left it
  const auto patience = static_cast<std::uint64_t>(rooms.config.limits.link_down.count());
  pass(patience);
  EXPECT_EQ(rooms.slots.descriptor(slot).phase, Phase::open);
  rooms.timeline.advance(1);
  rooms.config.limits.link_down = {};
  peers.tick();
  EXPECT_EQ(rooms.slots.descriptor(slot).phase, Phase::open) << "0: for ever";
  rooms.config.limits.link_down = std::chrono::microseconds(patience);
  peers.tick();
  EXPECT_EQ(rooms.slots.descriptor(slot).phase, Phase::peer_gone);
}

TEST_F(Peers, APeerIsPingedOnceASecond) {
  const auto wire = connect();
  for (int second = 0; second < 10; ++second) {
    wire->say(control::Pong{});
    pass(1'000'000);
  }
  EXPECT_TRUE(wire->there);
  EXPECT_EQ(wire->count<control::Ping>(), 10U);
}

TEST_F(Peers, TimeInWhichThisNodeStoodStillIsNoSilenceAndNoTimeDown) {
  rooms.config.limits.link_down = std::chrono::seconds(2);
  const std::uint16_t link = peers.find("aa")->link.index;
  Session& session = rooms.attach(100);
  const auto wire = connect();
  peers.carrier_changed(link, true, "");
  const std::uint16_t slot = rooms.open_for("aa", session);
  pass(1'000'000);
  constexpr std::uint64_t stopped = 60'000'000;
  rooms.timeline.advance(stopped);
  peers.tick();
  EXPECT_TRUE(wire->there) << "what it said meanwhile was not read yet";
  peers.carrier_changed(link, false, "its frames do not come");
  pass(1'000'000);
  wire->say(control::Ping{});
  rooms.timeline.advance(stopped);
  peers.tick();
  EXPECT_EQ(rooms.slots.descriptor(slot).phase, Phase::open) << "down for one second that was seen";
  pass(1'500'000);
  EXPECT_EQ(rooms.slots.descriptor(slot).phase, Phase::peer_gone);
  pass(3'500'000);
  EXPECT_FALSE(wire->there) << "silent while this node looked";
}

TEST_F(Peers, OneWhoseCertificateDoesNotHoldAnyMoreIsShutOut) {
  const auto wire = connect();
  wire->ended = "its certificate does not hold any more: certificate revoked";
  wire->revoked = true;
  wire->tell();
  EXPECT_FALSE(wire->there);
  EXPECT_EQ(quiet().shut, 1);
}

}  // namespace
}  // namespace slotwire::engine
