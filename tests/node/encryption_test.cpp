// Encrypted links of two nodes, with somebody in the middle who sees every datagram and does what he likes with them.
#include <gtest/gtest.h>

#include <poll.h>

#include <algorithm>

#include "core/carriers/message_stream.hpp"
#include "relay.hpp"
#include "traffic.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

class Encryption : public ::testing::Test {
 protected:
  void make(std::uint32_t rekey_frames = 300, const std::string& suite = "aes-256-gcm") {
    ClusterOptions options;
    options.nodes = {"left", "right"};
    options.services["svc"] = {"right"};
    options.carrier = Carrier::encrypted_udp;
    options.encryption = suite;
    options.rekey_frames = rekey_frames;
    cluster_ = std::make_unique<Cluster>(options);
    relay_ = std::make_unique<Relay>(left().address(), right().address());
    cluster_->options().udp_to = {{"left", relay_->address_for(0)}, {"right", relay_->address_for(1)}};
  }
  void TearDown() override {
    if (!relay_) return;
    EXPECT_EQ(relay_->clear(), 0U) << "something crossed the network in the clear";
    EXPECT_EQ(relay_->repeated(), 0U) << "a key's sequence was used twice";
  }
  Node& left() { return (*cluster_)["left"]; }
  Node& right() { return (*cluster_)["right"]; }
  Node& node(int side) { return side == 0 ? left() : right(); }
  static Json link(const Node& node) { return node.status()["links"][0]; }
  static std::uint64_t count(const Node& node, const char* what) { return link(node)["keys"][what]; }
  /// Until it holds; the node may be away meanwhile.
  bool until(const std::function<bool()>& holds) { return eventually(holds); }
  bool up() { return link(left())["up"].get<bool>() && link(right())["up"].get<bool>(); }

  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Relay> relay_;
};

TEST_F(Encryption, KeysChangeUnderLoadAndNothingIsLost) {
  make(300);
  cluster_->start();
  ASSERT_TRUE(until([&] { return up(); }));
  check_traffic(left(), right(), 8, [&] {
    EXPECT_TRUE(until([&] { return count(left(), "tx_keys") >= 30 && count(right(), "tx_keys") >= 30; }));
  });
  for (int side = 0; side < 2; ++side) {
    const Json keys = link(node(side))["keys"];
    for (const char* drop : {"forged", "replayed", "too_old", "no_key", "clear", "too_short", "not_sealed"}) {
      EXPECT_EQ(keys[drop], 0) << node(side).name() << " " << drop;
    }
    EXPECT_GT(keys["opened"].get<std::uint64_t>(), 0U);
  }
  EXPECT_GE(relay_->keys(), 60U);
  std::printf("%zu keys, %llu + %llu datagrams\n", relay_->keys(),
              static_cast<unsigned long long>(relay_->forwarded(0)),
              static_cast<unsigned long long>(relay_->forwarded(1)));
}

TEST_F(Encryption, TrafficSurvivesLossDoublingAndChange) {
  make(500, "aes-128-gcm");
  cluster_->start();
  ASSERT_TRUE(until([&] { return up(); }));
  relay_->lose = 50;
  relay_->twice = 50;
  relay_->change = 20;
  check_traffic(left(), right(), 4, [&] {
    EXPECT_TRUE(until([&] {
      return relay_->lost() > 200 && relay_->doubled() > 200 && relay_->changed() > 100 && count(left(), "tx_keys") > 3;
    }));
  });
  relay_->lose = relay_->twice = relay_->change = 0;
  std::uint64_t refused = 0, replayed = 0;
  for (int side = 0; side < 2; ++side) {
    const Json keys = link(node(side))["keys"];
    // Which check finds a changed bit depends on where it is.
    refused += keys["forged"].get<std::uint64_t>() + keys["no_key"].get<std::uint64_t>() +
               keys["clear"].get<std::uint64_t>() + keys["too_old"].get<std::uint64_t>();
    replayed += keys["replayed"].get<std::uint64_t>();
    EXPECT_GT(keys["forged"].get<std::uint64_t>(), 0U);
  }
  // A changed one is always refused; a sequence that was changed to one that came counts as a replay.
  EXPECT_GE(refused + replayed, relay_->changed());
  EXPECT_GE(replayed, relay_->doubled() / 2);
  const Json counters = left().status()["counters"];
  EXPECT_EQ(counters["drop_crc"], 0) << "a changed frame reached the pipeline";
  EXPECT_EQ(right().status()["counters"]["drop_crc"], 0);
}

TEST_F(Encryption, NeitherKilledNodeRepeatsANonceNorTakesWhatWasRecorded) {
  make(300);
  cluster_->start();
  ASSERT_TRUE(until([&] { return up(); }));
  relay_->lose = 20;
  check_traffic(left(), right(), 4, [&] {
    for (int i = 0; i < 3; ++i) {
      for (int side = 0; side < 2; ++side) {
        const std::uint64_t before = relay_->forwarded(side);
        EXPECT_TRUE(until([&] { return relay_->forwarded(side) > before + 200; }));
        node(side).kill();
        node(side).start();
        // Everything that the relay remembers, at once, to the one who remembers nothing.
        for (const auto& datagram : relay_->kept(side)) relay_->inject(side, datagram);
      }
    }
  });
  relay_->lose = 0;
  ASSERT_TRUE(until([&] { return up(); }));
  for (int side = 0; side < 2; ++side) {
    // Once more in peace: not one of them is opened.
    const Json before = link(node(side))["keys"];
    auto recorded = relay_->kept(side);
    ASSERT_FALSE(recorded.empty());
    recorded.resize(std::min<std::size_t>(recorded.size(), 100));  // what a socket holds, whatever its buffer
    for (const auto& datagram : recorded) relay_->inject(side, datagram);
    ASSERT_TRUE(until([&] {
      const Json now = link(node(side))["keys"];
      const auto grown = [&](const char* what) {
        return now[what].get<std::uint64_t>() - before[what].get<std::uint64_t>();
      };
      return grown("no_key") + grown("replayed") + grown("too_old") >= recorded.size();
    })) << before.dump()
        << link(node(side))["keys"].dump();
    EXPECT_EQ(count(node(side), "forged"), 0U);
  }
}

TEST_F(Encryption, FramesInTheClearAreNotTaken) {
  make();
  cluster_->start();
  ASSERT_TRUE(until([&] { return up(); }));
  // A reset for slot 0 and a probe, whole and right: the vectors of docs/protocol.md.
  for (const std::string hex :
       {"14000000000000000000000000000000000094c8fc71", "1300fffffffeffff01020304050607088000c406a11e"}) {
    Relay::Bytes frame;
    for (std::size_t i = 0; i < hex.size(); i += 2)
      frame.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    relay_->inject(1, frame);
  }
  relay_->inject(1, Relay::Bytes(70, std::byte{0xe1}));
  ASSERT_TRUE(until([&] { return count(right(), "clear") == 2 && count(right(), "too_short") == 1; }));
  const Json counters = right().status()["counters"];
  for (const auto& [name, value] : counters.items()) {
    if (name.starts_with("drop_")) {
      EXPECT_EQ(value, 0) << name << ": the pipeline saw it";
    }
  }
  ASSERT_TRUE(up());
  check_traffic(left(), right(), 2, [&] { EXPECT_TRUE(until([&] { return count(left(), "tx_keys") >= 3; })); });
}

TEST_F(Encryption, APeerWithoutItIsRefusedAndTold) {
  make();
  for (const std::string other : {"none", "aes-128-gcm"}) {
    cluster_->options().encryption_of["right"] = other;
    cluster_->start();
    for (int side = 0; side < 2; ++side) {
      ASSERT_TRUE(until([&] {
        return link(node(side))["reason"].get<std::string>().find("set the same encryption") != std::string::npos;
      })) << link(node(side)).dump();
      EXPECT_FALSE(link(node(side))["up"].get<bool>());
      EXPECT_FALSE(link(node(side))["carrier_up"].get<bool>());
      const std::string log = node(side).log();
      EXPECT_NE(log.find("\"" + other + "\""), std::string::npos);
      EXPECT_NE(log.find("\"aes-256-gcm\""), std::string::npos);
    }
    cluster_->stop();
  }
  EXPECT_EQ(relay_->forwarded(0) + relay_->forwarded(1), 0U);
  cluster_->options().encryption_of.clear();
  cluster_->start();
  EXPECT_TRUE(until([&] { return up(); }));
}

TEST_F(Encryption, ALinkThatWasEncryptedDoesNotComeBackWithout) {
  make();
  cluster_->start();
  ASSERT_TRUE(until([&] { return up(); }));
  {
    Result<Context> context = Context::open({.socket = right().socket()});
    ASSERT_TRUE(context);
    Result<Service> service = context->serve("svc");
    ASSERT_TRUE(service);
    Result<Context> client_context = Context::open({.socket = left().socket()});
    ASSERT_TRUE(client_context);
    Result<Connection> client = client_context->connect("svc", kPatience);
    ASSERT_TRUE(client) << client.error().text;
    right().kill();
    cluster_->options().encryption_of["right"] = "none";
    right().start();
    ASSERT_TRUE(until([&] {
      return link(left())["reason"].get<std::string>().find("set the same encryption") != std::string::npos;
    }));
    // The left node has lines for it, and the right one slots that it took over; neither speaks in the clear
    // (TearDown).
    (void)client->send("secret", Deadline::now());
    EXPECT_FALSE(link(left())["up"].get<bool>());
    EXPECT_FALSE(link(right())["carrier_up"].get<bool>());
    right().kill();
    cluster_->options().encryption_of.clear();
    right().start();
    ASSERT_TRUE(until([&] { return up(); }));
    Result<Connection> server = service->accept(kPatience);
    ASSERT_TRUE(server) << server.error().text;
    Result<Message> message = server->receive(kPatience);
    while (message.status() == Status::link_down || message.status() == Status::engine_gone)
      message = server->receive(kPatience);
    ASSERT_TRUE(message) << message.error().text;
    EXPECT_EQ(message->text(), "secret");
  }
}

TEST_F(Encryption, LinesGoOnWithoutTheControlConnection) {
  // While the dialler's peer is stopped no key can change, and the old one serves on.
  make(300);
  cluster_->start();
  ASSERT_TRUE(until([&] { return up(); }));
  check_traffic(left(), right(), 2, [&] {
    for (int i = 0; i < 5; ++i) {
      const std::uint64_t keys = count(right(), "tx_keys");
      EXPECT_TRUE(left().request({{"op", "cut"}, {"link", "right"}})["ok"].get<bool>());
      EXPECT_TRUE(until([&] { return up() && count(right(), "tx_keys") > keys; })) << "new connections bring new keys";
    }
  });
  EXPECT_EQ(count(left(), "forged") + count(right(), "forged"), 0U);
}

/// A node of the right name and certificate that says what it likes on its control connection.
class Impostor {
 public:
  Impostor(Cluster& cluster, const std::string& name, const Node& node) {
    carriers::TcpStreamOptions options;
    options.tls = std::make_shared<carriers::TlsContext>(cluster.certificate(name));
    options.peer_name = node.name();
    stream_ = std::make_unique<carriers::MessageStream>(
        carriers::TcpStream::connect(carriers::Address::parse(node.address() + ":7400"), options, ~std::uint64_t{0}),
        std::size_t{1} << 20U);
    say({{"type", "hello"},
         {"version", 1},
         {"node", name},
         {"incarnation", "1"},
         {"udp_port", 7401},
         {"token", ""},
         {"encryption", "aes-256-gcm"}});
  }
  void say(const Json& message) { stream_->send(message.dump()); }
  /// The next message of a type; none: the node hung up.
  std::optional<Json> hear(const std::string& type) {
    while (!stream_->stream().is_closed()) {
      pollfd wait{stream_->stream().fd(), static_cast<short>(stream_->stream().events()), 0};
      if (::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) != 1)
        throw std::runtime_error("the node neither answers nor hangs up");
      stream_->drive(0);
      while (const auto text = stream_->next()) {
        Json message = Json::parse(*text);
        if (message["type"] == type) return message;
      }
    }
    return std::nullopt;
  }

 private:
  std::unique_ptr<carriers::MessageStream> stream_;
};

TEST_F(Encryption, KeysThatBreakTheRulesEndTheConnectionAndNothingElse) {
  make();
  right().start();
  const std::string secret(64, '1'), salt(24, '2');
  const auto key = [&](std::uint32_t id) {
    return Json{{"type", "key"}, {"key", id}, {"suite", "aes-256-gcm"}, {"secret", secret}, {"salt", salt}};
  };
  {
    Impostor good(*cluster_, "left", right());
    const auto offered = good.hear("key");
    ASSERT_TRUE(offered);
    EXPECT_EQ((*offered)["suite"], "aes-256-gcm");
    EXPECT_EQ((*offered)["secret"].get<std::string>().size(), 64U);
    EXPECT_EQ((*offered)["salt"].get<std::string>().size(), 24U);
    EXPECT_FALSE(link(right())["carrier_up"].get<bool>()) << "it has not taken the key";
    good.say(key(5));
    EXPECT_EQ((*good.hear("key_taken"))["key"], 5);
    good.say({{"type", "key_taken"}, {"key", (*offered)["key"]}});
    EXPECT_TRUE(until([&] { return link(right())["carrier_up"].get<bool>(); }));
    good.say(key(6));
    EXPECT_EQ((*good.hear("key_taken"))["key"], 6);
    good.say(key(7));  // has to wait
    good.say(key(8));
    EXPECT_FALSE(good.hear("key_taken")) << "two keys wait";
  }
  std::vector<Json> wrong;
  const auto changed = [&](const char* field, const Json& value) {
    wrong.push_back(key(1));
    wrong.back()[field] = value;
  };
  changed("suite", "aes-128-gcm");
  changed("suite", "none");
  changed("suite", 3);
  changed("secret", secret.substr(2));
  changed("secret", secret + "00");
  changed("secret", "x" + secret.substr(1));
  changed("secret", Json::array());
  changed("salt", salt.substr(1));
  changed("key", -1);
  changed("key", std::uint64_t{1} << 32U);
  wrong.push_back({{"type", "key"}});
  wrong.push_back({{"type", "key_taken"}, {"key", 1}});
  wrong.push_back({{"type", "key_taken"}});
  for (const Json& message : wrong) {
    // It is turned away for a while after each connection that ended early.
    std::optional<Impostor> connected;
    ASSERT_TRUE(until([&] {
      connected.emplace(*cluster_, "left", right());
      return connected->hear("key").has_value();
    }));
    Impostor& impostor = *connected;
    impostor.say(message);
    EXPECT_FALSE(impostor.hear("key_taken")) << message.dump();
  }
  EXPECT_EQ(right().log().find(secret), std::string::npos) << "a key is in the log";
  // Nor does it speak with a node whose certificate names another.
  Impostor other(*cluster_, "middle", right());
  EXPECT_FALSE(other.hear("key"));
  left().start();
  ASSERT_TRUE(until([&] { return up(); }));
  check_traffic(left(), right(), 2, [&] { EXPECT_TRUE(until([&] { return count(left(), "tx_keys") >= 3; })); });
}

}  // namespace
}  // namespace slotwire::test
