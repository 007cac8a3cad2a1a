#include "core/carriers/tcp.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "harness.hpp"
#include "test_certificates.hpp"

namespace slotwire::test {
namespace {

using carriers::Address;
using carriers::Listener;
using carriers::TcpCarrier;
using carriers::TcpLink;
using carriers::TcpOptions;
using carriers::TcpStream;
using carriers::Token;
using carriers::Welcome;

constexpr std::uint64_t kForever = ~std::uint64_t{0};

Token token(int value) {
  Token result;
  result.fill(static_cast<std::byte>(value));
  return result;
}

TcpOptions options(const std::string& node, bool listen) {
  TcpOptions result;
  result.node = node;
  if (listen) result.listen = Address::parse("127.0.0.1:0");
  result.backoff_min_us = 500;
  result.backoff_max_us = 20'000;
  return result;
}

/// A carrier that waits for node-b on link 0, and hand-made peers against it.
class CarrierTcp : public testing::Test {
 protected:
  void start(TcpOptions acceptor = options("node-a", true)) {
    carrier_ = std::make_unique<TcpCarrier>(acceptor);
    carrier_->add_link({0, "node-b", false, {}, token(1)});
  }
  std::vector<Side> side() { return {{carrier_.get(), &sink_}}; }

  static std::vector<std::byte> greeting(const std::string& node, int value) {
    return carriers::encode_preamble({node, token(value)});
  }
  TcpStream raw() { return TcpStream::connect(carrier_->local_address(), {}, kForever); }
  /// Lets the carrier run, and the raw stream with it, until `done`.
  bool run(TcpStream& stream, const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!done()) {
      pollfd entries[2] = {{carrier_->fd(), POLLIN, 0}, {stream.fd(), POLLIN, 0}};
      if (stream.unsent() != 0 || !stream.is_open()) entries[1].events |= POLLOUT;
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      if (left.count() <= 0 || ::poll(entries, 2, static_cast<int>(left.count())) <= 0) return false;
      if (entries[0].revents != 0) carrier_->poll(now_us(), 64, sink_);
      if (entries[1].revents != 0) stream.drive(0);
    }
    return true;
  }
  /// Waits for the welcome on `stream`.
  std::optional<Welcome> welcome(TcpStream& stream) {
    std::array<std::byte, carriers::kWelcomeBytes> bytes{};
    std::size_t have = 0;
    const bool came = run(stream, [&] {
      have += stream.read(std::span(bytes).subspan(have));
      return have == bytes.size() || stream.is_closed();
    });
    return came && have == bytes.size() ? carriers::decode_welcome(bytes) : std::nullopt;
  }
  bool run_until_closed(TcpStream& stream) {
    std::array<std::byte, 100> scrap;
    return run(stream, [&] {
      while (stream.read(scrap) != 0) {
      }
      return stream.is_closed();
    });
  }

  std::unique_ptr<TcpCarrier> carrier_;
  Recorder sink_;
};

TEST_F(CarrierTcp, AcceptsAGreetingByteByByteAndFramesRightBehindIt) {
  start();
  TcpStream peer = raw();
  auto bytes = greeting("node-b", 1);
  for (const auto byte : bytes) {
    ASSERT_TRUE(peer.write({std::span(&byte, 1)}));
    ASSERT_TRUE(run(peer, [&] { return peer.unsent() == 0; }));
  }
  const std::array frame{std::byte{0}, std::byte{3}, std::byte{7}, std::byte{8}, std::byte{9}};
  ASSERT_TRUE(peer.write({frame}));
  EXPECT_EQ(welcome(peer), Welcome::accepted);
  ASSERT_TRUE(run(peer, [&] { return sink_.count == 1; }));
  EXPECT_EQ(sink_.frames[0][0], (Bytes{std::byte{7}, std::byte{8}, std::byte{9}}));
}

TEST_F(CarrierTcp, RefusesAWrongTokenNodeVersionAndProtocol) {
  start();
  auto version = greeting("node-b", 1);
  version[4] = std::byte{9};
  const std::vector<std::pair<std::vector<std::byte>, std::optional<Welcome>>> cases{
      {greeting("node-b", 2), Welcome::refused}, {greeting("node-c", 1), Welcome::refused},
      {greeting("node-a", 1), Welcome::refused}, {version, Welcome::version},
      {Bytes(40, std::byte{'G'}), std::nullopt},
  };
  for (const auto& [bytes, expected] : cases) {
    TcpStream peer = raw();
    ASSERT_TRUE(peer.write({bytes}));
    EXPECT_EQ(welcome(peer), expected);
    EXPECT_TRUE(run_until_closed(peer));
  }
  EXPECT_EQ(carrier_->counters().rx_unknown_peer, 3U);
  EXPECT_EQ(carrier_->counters().rx_malformed, 2U);
  EXPECT_TRUE(sink_.events.empty());
}

TEST_F(CarrierTcp, ANewConnectionReplacesTheOldOne) {
  start();
  TcpStream first = raw();
  ASSERT_TRUE(first.write({greeting("node-b", 1)}));
  ASSERT_EQ(welcome(first), Welcome::accepted);
  TcpStream second = raw();
  ASSERT_TRUE(second.write({greeting("node-b", 1)}));
  ASSERT_EQ(welcome(second), Welcome::accepted);
  EXPECT_TRUE(run_until_closed(first));
  ASSERT_EQ(sink_.events.size(), 3U);
  EXPECT_TRUE(sink_.events[0].up);
  EXPECT_FALSE(sink_.events[1].up);
  EXPECT_NE(sink_.events[1].reason.find("replaced"), std::string::npos);
  EXPECT_TRUE(sink_.events[2].up);
  EXPECT_GT(carrier_->room(0), 0U);
}

TEST_F(CarrierTcp, AWrongTokenDoesNotReplaceAGoodConnection) {
  start();
  TcpStream good = raw();
  ASSERT_TRUE(good.write({greeting("node-b", 1)}));
  ASSERT_EQ(welcome(good), Welcome::accepted);
  TcpStream bad = raw();
  ASSERT_TRUE(bad.write({greeting("node-b", 2)}));
  ASSERT_EQ(welcome(bad), Welcome::refused);
  EXPECT_EQ(sink_.events.size(), 1U);
  EXPECT_TRUE(sink_.is_up(0));
}

TEST_F(CarrierTcp, AHostileFrameLengthCutsTheLinkAndIsCounted) {
  start();
  TcpStream peer = raw();
  ASSERT_TRUE(peer.write({greeting("node-b", 1)}));
  ASSERT_EQ(welcome(peer), Welcome::accepted);
  const std::array bad{std::byte{0xFF}, std::byte{0xFF}};
  ASSERT_TRUE(peer.write({bad}));
  ASSERT_TRUE(run(peer, [&] { return !sink_.is_up(0); }));
  EXPECT_EQ(carrier_->counters().rx_malformed, 1U);
  EXPECT_NE(sink_.events.back().reason.find("longer than"), std::string::npos) << sink_.events.back().reason;
}

TEST_F(CarrierTcp, SilentStrangersNeitherLockOutNorStay) {
  TcpOptions few = options("node-a", true);
  few.max_pending = 3;
  start(few);
  std::vector<TcpStream> strangers;
  for (int i = 0; i < 6; ++i) {
    strangers.push_back(raw());
    ASSERT_TRUE(run(strangers.back(), [&] { return strangers.back().is_open(); }));
  }
  TcpStream peer = raw();
  ASSERT_TRUE(peer.write({greeting("node-b", 1)}));
  ASSERT_EQ(welcome(peer), Welcome::accepted);
  EXPECT_GE(carrier_->counters().rx_unknown_peer, 3U) << "the oldest gave way";
  // The rest goes when its time is over, and the established link does not.
  carrier_->poll(now_us() + few.handshake_us + 1, 64, sink_);
  EXPECT_EQ(carrier_->counters().rx_unknown_peer, 6U);
  for (auto& stranger : strangers) EXPECT_TRUE(run_until_closed(stranger));
  EXPECT_TRUE(sink_.is_up(0));
}

TEST_F(CarrierTcp, OutOfDescriptorsItPausesAndThenAccepts) {
  start();
  TcpStream peer = raw();
  ASSERT_TRUE(peer.write({greeting("node-b", 1)}));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const carriers::Fd last(::dup(peer.fd()));  // the lowest free number: with the limit right above it no other is left
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(last.get()) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  pollfd listening{carrier_->fd(), POLLIN, 0};
  const int ready = ::poll(&listening, 1, 20'000);
  carrier_->poll(now_us(), 64, sink_);
  const bool spinning = readable(carrier_->fd());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(ready, 1);
  EXPECT_FALSE(spinning) << "a listener that cannot accept keeps fd() readable";
  EXPECT_EQ(welcome(peer), Welcome::accepted);
}

TEST_F(CarrierTcp, DialledLinkTellsWhyItIsDownOnceAndComesUpLater) {
  // A port that nobody listens on, until somebody does.
  Address address;
  {
    const Listener listener(Address::parse("127.0.0.1:0"));
    address = listener.address();
  }
  TcpCarrier dialler(options("node-b", false));
  dialler.add_link({4, "node-a", true, address, token(1)});
  Recorder sink;
  int polls = 0;
  ASSERT_TRUE(pump({{&dialler, &sink}}, [&] { return ++polls > 40; })) << "the timer does not wake fd()";
  ASSERT_EQ(sink.events.size(), 1U) << "the same reason again and again";
  EXPECT_FALSE(sink.events[0].up);
  EXPECT_NE(sink.events[0].reason.find("refused"), std::string::npos) << sink.events[0].reason;

  TcpOptions acceptor = options("node-a", false);
  acceptor.listen = address;
  carrier_ = std::make_unique<TcpCarrier>(acceptor);
  carrier_->add_link({0, "node-b", false, {}, token(1)});
  ASSERT_TRUE(pump({{&dialler, &sink}, {carrier_.get(), &sink_}}, [&] { return sink.is_up(4) && sink_.is_up(0); }));
}

TEST_F(CarrierTcp, DialledLinkSaysThatItWasRefused) {
  start();
  TcpCarrier dialler(options("node-b", false));
  dialler.add_link({0, "node-a", true, carrier_->local_address(), token(9)});
  Recorder sink;
  ASSERT_TRUE(pump({{&dialler, &sink}, {carrier_.get(), &sink_}}, [&] { return !sink.events.empty(); }));
  EXPECT_FALSE(sink.is_up(0));
  EXPECT_NE(sink.events[0].reason.find("has no link to node 'node-b'"), std::string::npos) << sink.events[0].reason;
}

TEST_F(CarrierTcp, DialledLinkGivesUpOnAPeerThatDoesNotAnswer) {
  Listener silent(Address::parse("127.0.0.1:0"));
  TcpOptions dialling = options("node-b", false);
  TcpCarrier dialler(dialling);
  dialler.add_link({0, "node-a", true, silent.address(), token(1)});
  Recorder sink;
  dialler.poll(1000, 64, sink);
  dialler.poll(1000 + dialling.handshake_us - 1, 64, sink);
  EXPECT_TRUE(sink.events.empty());
  dialler.poll(1000 + dialling.handshake_us, 64, sink);
  ASSERT_EQ(sink.events.size(), 1U);
  EXPECT_NE(sink.events[0].reason.find("in time"), std::string::npos) << sink.events[0].reason;
}

TEST_F(CarrierTcp, DialledLinkRefusesAnotherProtocol) {
  Listener other(Address::parse("127.0.0.1:0"));
  TcpCarrier dialler(options("node-b", false));
  dialler.add_link({0, "node-a", true, other.address(), token(1)});
  Recorder sink;
  dialler.poll(now_us(), 64, sink);
  pollfd entry{other.fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&entry, 1, 20'000), 1);
  TcpStream answer = TcpStream::accept(std::move(*other.accept()), {}, kForever);
  const std::string text = "HTTP/1.1 400 Bad Request\r\n\r\n";
  ASSERT_TRUE(answer.write({std::as_bytes(std::span(text))}));
  answer.flush();
  ASSERT_TRUE(pump({{&dialler, &sink}}, [&] { return !sink.events.empty(); }));
  EXPECT_NE(sink.events[0].reason.find("another protocol"), std::string::npos) << sink.events[0].reason;
  EXPECT_EQ(dialler.counters().rx_malformed, 1U);
}

TEST_F(CarrierTcp, KickDialsWithoutWaitingForTheBackOff) {
  start();
  TcpOptions slow = options("node-b", false);
  slow.backoff_min_us = slow.backoff_max_us = 3'600'000'000;  // an hour: only a kick can bring it back in this test
  TcpCarrier dialler(slow);
  dialler.add_link({0, "node-a", true, carrier_->local_address(), token(1)});
  Recorder sink;
  const std::vector<Side> both{{&dialler, &sink}, {carrier_.get(), &sink_}};
  ASSERT_TRUE(pump(both, [&] { return sink.is_up(0) && sink_.is_up(0); }));
  dialler.kick(0);
  ASSERT_TRUE(pump(both, [&] { return sink.events.size() == 3 && sink_.is_up(0); }));
  EXPECT_FALSE(sink.events[1].up);
  EXPECT_TRUE(sink.events[2].up);

  dialler.cut(0);
  ASSERT_TRUE(pump(both, [&] { return !sink.is_up(0) && !sink_.is_up(0); }));
  ASSERT_TRUE(settle(both));
  EXPECT_FALSE(sink.is_up(0));
  dialler.kick(0);
  ASSERT_TRUE(pump(both, [&] { return sink.is_up(0) && sink_.is_up(0); }));
}

TEST_F(CarrierTcp, ACertificateOfAnotherNodeDoesNotOpenALink) {
  TestCertificates certificates;
  TcpOptions acceptor = options("node-a", true);
  acceptor.tls = certificates.context("node-a");
  start(acceptor);
  TcpOptions dialling = options("node-b", false);
  dialling.tls = certificates.context("node-c");  // says that it is node-b, and cannot show it
  TcpCarrier dialler(dialling);
  dialler.add_link({0, "node-a", true, carrier_->local_address(), token(1)});
  Recorder sink;
  ASSERT_TRUE(pump({{&dialler, &sink}, {carrier_.get(), &sink_}}, [&] { return !sink.events.empty(); }));
  EXPECT_FALSE(sink.is_up(0));
  EXPECT_FALSE(sink_.is_up(0));
  EXPECT_GE(carrier_->counters().rx_unknown_peer, 1U);
}

TEST_F(CarrierTcp, ANodeWithoutTlsDoesNotOpenALinkToOneWith) {
  TestCertificates certificates;
  TcpOptions acceptor = options("node-a", true);
  acceptor.tls = certificates.context("node-a");
  start(acceptor);
  TcpCarrier dialler(options("node-b", false));
  dialler.add_link({0, "node-a", true, carrier_->local_address(), token(1)});
  Recorder sink;
  ASSERT_TRUE(pump({{&dialler, &sink}, {carrier_.get(), &sink_}}, [&] { return !sink.events.empty(); }));
  EXPECT_FALSE(sink.is_up(0));
  EXPECT_EQ(carrier_->counters().rx_unknown_peer, 1U);
}

TEST_F(CarrierTcp, WrongSettingsAreRefusedWithTheReason) {
  const auto complaint = [](const std::function<void()>& act) -> std::string {
    try {
      act();
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  start();
  const Address somewhere = Address::parse("127.0.0.1:1");
  EXPECT_NE(complaint([&] { TcpCarrier bad(options("Node A", false)); }).find("node name"), std::string::npos);
  EXPECT_NE(complaint([&] {
              carrier_->add_link({0, "node-b", false, {}, token(3)});
            }).find("already"),
            std::string::npos);
  EXPECT_NE(complaint([&] {
              carrier_->add_link({1, "node-b", false, {}, token(1)});
            }).find("link 0"),
            std::string::npos);
  EXPECT_NE(complaint([&] {
              carrier_->add_link({60000, "node-c", false, {}, token(1)});
            }).find("max_links"),
            std::string::npos);
  EXPECT_NE(complaint([&] {
              carrier_->add_link({1, "node-c", true, {}, token(1)});
            }).find("address"),
            std::string::npos);
  EXPECT_NE(complaint([&] { carrier_->add_link({1, "", true, somewhere, token(1)}); }).find("name"), std::string::npos);
  TcpCarrier deaf(options("node-d", false));
  EXPECT_NE(complaint([&] { deaf.add_link({1, "node-c", false, {}, token(1)}); }).find("listen"), std::string::npos);
}

}  // namespace
}  // namespace slotwire::test
