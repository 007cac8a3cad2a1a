#include "core/carriers/tcp_stream.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "core/carriers/message_stream.hpp"
#include "test_certificates.hpp"

namespace slotwire::test {
namespace {

using carriers::Address;
using carriers::Fd;
using carriers::Listener;
using carriers::MessageStream;
using carriers::SendResult;
using carriers::TcpStream;
using carriers::TcpStreamOptions;
using carriers::TcpStreamState;
using carriers::TlsContext;

constexpr std::chrono::seconds kPatience{20};
constexpr std::uint64_t kDeadline = 1'000'000;  // of a clock that only the tests move

/// Drives streams when their descriptors are ready for what they ask for, at a time that stands still, until `done`.
bool drive(const std::vector<TcpStream*>& streams, const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!done()) {
    std::vector<pollfd> entries;
    for (const TcpStream* stream : streams) {
      const std::uint32_t events = stream->events();
      const int wanted = ((events & EPOLLIN) != 0 ? POLLIN : 0) | ((events & EPOLLOUT) != 0 ? POLLOUT : 0);
      entries.push_back({stream->fd(), static_cast<short>(wanted), 0});
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0 || ::poll(entries.data(), entries.size(), static_cast<int>(left.count())) <= 0) return false;
    for (std::size_t i = 0; i < streams.size(); ++i) {
      if (entries[i].revents != 0) streams[i]->drive(0);
    }
  }
  return true;
}

Fd wait_accept(Listener& listener) {
  pollfd entry{listener.fd(), POLLIN, 0};
  const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience);
  if (::poll(&entry, 1, static_cast<int>(patience.count())) != 1) return Fd();
  auto fd = listener.accept();
  return fd ? std::move(*fd) : Fd();
}

std::vector<std::byte> random_bytes(std::size_t size) {
  std::mt19937 random(static_cast<unsigned>(size));
  std::vector<std::byte> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random() & 0xFFU);
  return bytes;
}

class CarrierTcpStream : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (!GetParam()) return;
    certificates_ = std::make_unique<TestCertificates>();
    client_tls_ = certificates_->context("node-a");
    server_tls_ = certificates_->context("node-b");
  }
  TcpStreamOptions options(const std::shared_ptr<const TlsContext>& tls, const std::string& peer = {}) const {
    TcpStreamOptions result;
    result.tls = tls;
    result.peer_name = peer;
    return result;
  }
  void connect(const TcpStreamOptions& client, const TcpStreamOptions& server) {
    client_ = TcpStream::connect(listener_.address(), client, kDeadline);
    server_ = TcpStream::accept(wait_accept(listener_), server, kDeadline);
  }
  void connect() {
    connect(options(client_tls_, "node-b"), options(server_tls_));
    ASSERT_TRUE(drive({&client_, &server_}, [&] { return client_.is_open() && server_.is_open(); }))
        << client_.reason() << server_.reason();
  }
  /// Reads from `stream` into `got` whatever there is.
  static void take(TcpStream& stream, std::vector<std::byte>& got) {
    std::array<std::byte, 3000> buffer;
    while (const std::size_t count = stream.read(buffer)) got.insert(got.end(), buffer.begin(), buffer.begin() + count);
  }

  std::unique_ptr<TestCertificates> certificates_;
  std::shared_ptr<const TlsContext> client_tls_, server_tls_;
  Listener listener_{Address::parse("127.0.0.1:0")};
  TcpStream client_, server_;
};

TEST_P(CarrierTcpStream, CarriesManyBytesBothWaysAtOnce) {
  connect();
  const auto there = random_bytes(3'000'001), back = random_bytes(2'000'003);
  std::vector<std::byte> got_there, got_back;
  std::size_t sent_there = 0, sent_back = 0;
  const auto push = [](TcpStream& stream, const std::vector<std::byte>& bytes, std::size_t& sent) {
    const std::size_t count = std::min({stream.space(), bytes.size() - sent, std::size_t{300'000}});
    ASSERT_TRUE(stream.write({std::span(bytes).subspan(sent, count)}));
    sent += count;
    stream.flush();
  };
  ASSERT_TRUE(drive({&client_, &server_},
                    [&] {
                      // What is taken at once raises no event, so this goes on while it gets anywhere.
                      for (std::size_t before = ~std::size_t{0}; before != got_there.size() + got_back.size();) {
                        before = got_there.size() + got_back.size();
                        push(client_, there, sent_there);
                        push(server_, back, sent_back);
                        take(server_, got_there);
                        take(client_, got_back);
                      }

                      return got_there.size() == there.size() && got_back.size() == back.size();
                    }))
      << client_.reason() << server_.reason();
  EXPECT_TRUE(got_there == there);
  EXPECT_TRUE(got_back == back);
}

TEST_P(CarrierTcpStream, OutputIsBoundedAndAllOrNothing) {
  TcpStreamOptions small = options(client_tls_);
  small.output_limit = 1000;
  connect(small, options(server_tls_));
  const auto bytes = random_bytes(600);
  EXPECT_TRUE(client_.write({bytes})) << "before it is open";
  EXPECT_FALSE(client_.write({bytes}));
  EXPECT_EQ(client_.unsent(), 600U);
  EXPECT_EQ(client_.space(), 400U);
  std::vector<std::byte> got;
  ASSERT_TRUE(drive({&client_, &server_}, [&] {
    take(server_, got);
    return got.size() == bytes.size();
  }));
  EXPECT_EQ(got, bytes);
  EXPECT_EQ(client_.space(), 1000U);
}

TEST_P(CarrierTcpStream, FinishDeliversEverythingFirst) {
  connect();
  const auto bytes = random_bytes(1'500'000);
  ASSERT_TRUE(client_.write({bytes}));
  client_.finish("that was all", kDeadline);
  EXPECT_FALSE(client_.write({bytes})) << "written after finish()";
  std::vector<std::byte> got;
  ASSERT_TRUE(drive({&client_, &server_}, [&] {
    take(server_, got);
    return server_.is_closed();
  }));
  EXPECT_TRUE(got == bytes);
  EXPECT_EQ(server_.reason(), "the peer closed the connection");
  client_.drive(0);
  EXPECT_TRUE(client_.is_closed());
  EXPECT_EQ(client_.reason(), "that was all");
}

TEST_P(CarrierTcpStream, FinishEndsAtItsDeadlineThoughThePeerDoesNotClose) {
  connect();
  client_.finish("bye", 500);
  client_.drive(499);
  EXPECT_EQ(client_.state(), TcpStreamState::finishing);
  EXPECT_EQ(client_.deadline_us(), 500U);
  client_.drive(500);
  EXPECT_TRUE(client_.is_closed());
  EXPECT_EQ(client_.reason(), "bye");
}

TEST_P(CarrierTcpStream, APeerThatGoesAwayClosesIt) {
  connect();
  server_.close("gone");
  std::vector<std::byte> got;
  ASSERT_TRUE(drive({&client_}, [&] {
    take(client_, got);
    return client_.is_closed();
  }));
  EXPECT_EQ(client_.reason(), "the peer closed the connection");
  EXPECT_EQ(client_.fd(), -1);
  EXPECT_EQ(client_.events(), 0U);
  EXPECT_FALSE(client_.write({got}));
  EXPECT_EQ(client_.read(got), 0U);
}

TEST_P(CarrierTcpStream, WritingToAPeerThatIsGoneRaisesNoSignal) {
  connect();
  const auto bytes = random_bytes(100'000);
  server_ = TcpStream();  // no orderly end: the descriptor just closes
  ASSERT_TRUE(drive({&client_}, [&] {
    client_.write({std::span(bytes).first(std::min(bytes.size(), client_.space()))});
    client_.flush();
    return client_.is_closed();
  }));
  EXPECT_NE(client_.reason().find("broke"), std::string::npos) << client_.reason();
}

TEST_P(CarrierTcpStream, MessagesGoBothWays) {
  connect();
  MessageStream client(std::move(client_), 100'000), server(std::move(server_), 100'000);
  std::vector<std::string> sent, got;
  for (std::size_t i = 0; i < 60; ++i) {
    sent.emplace_back(1 + i * i * 27, static_cast<char>('a' + i % 26));
    ASSERT_EQ(client.send(sent.back()), SendResult::sent);
  }
  ASSERT_TRUE(drive({&client.stream(), &server.stream()}, [&] {
    while (auto message = server.next()) got.push_back(*message);
    return got.size() == sent.size();
  }));
  EXPECT_EQ(got, sent);
  ASSERT_EQ(server.send("answer"), SendResult::sent);
  std::optional<std::string> answer;
  ASSERT_TRUE(drive({&client.stream(), &server.stream()}, [&] { return (answer = client.next()).has_value(); }));
  EXPECT_EQ(answer, "answer");
}

TEST_P(CarrierTcpStream, QueuedMessagesGoOutTogether) {
  connect();
  MessageStream client(std::move(client_), 1000), server(std::move(server_), 1000);
  ASSERT_EQ(client.queue("one"), SendResult::sent);
  ASSERT_EQ(client.queue("two"), SendResult::sent);
  EXPECT_EQ(client.stream().unsent(), 2 * (4 + 3U));
  client.flush();
  EXPECT_EQ(client.stream().unsent(), 0U);
  std::vector<std::string> got;
  ASSERT_TRUE(drive({&client.stream(), &server.stream()}, [&] {
    while (auto message = server.next()) got.push_back(*message);
    return got.size() == 2;
  }));
  EXPECT_EQ(got, (std::vector<std::string>{"one", "two"}));
}

TEST_P(CarrierTcpStream, MessagesOutsideTheLimitsAreNotSent) {
  TcpStreamOptions small = options(client_tls_);
  small.output_limit = 300;
  connect(small, options(server_tls_));
  MessageStream client(std::move(client_), 200);
  EXPECT_EQ(client.send(""), SendResult::too_long);
  EXPECT_EQ(client.send(std::string(201, 'x')), SendResult::too_long);
  EXPECT_EQ(client.send(std::string(200, 'x')), SendResult::sent);
  EXPECT_EQ(client.send(std::string(200, 'x')), SendResult::no_room) << "nobody drove the stream";
  client.stream().close("enough");
  EXPECT_EQ(client.send("x"), SendResult::closed);
}

TEST_P(CarrierTcpStream, AHostileLengthIsRefusedAndThePeerCanBeToldWhy) {
  for (const std::byte first : {std::byte{0x00}, std::byte{0xFF}}) {
    connect();
    const std::array prefix{first, first, first, first, std::byte{'x'}};
    MessageStream server(std::move(server_), 1000);
    ASSERT_TRUE(client_.write({prefix}));
    client_.flush();
    ASSERT_TRUE(drive({&client_, &server.stream()}, [&] {
      EXPECT_FALSE(server.next());
      return !server.refused().empty();
    }));
    EXPECT_NE(server.refused().find("allowed are 1 to 1000"), std::string::npos) << server.refused();
    EXPECT_FALSE(server.refused_tls());
    EXPECT_EQ(server.send("why"), SendResult::sent);
    std::array<std::byte, 16> got{};
    std::size_t n = 0;
    ASSERT_TRUE(drive({&client_, &server.stream()}, [&] { return (n = client_.read(got)) != 0; }));
    EXPECT_EQ(n, 7U);
  }
}

INSTANTIATE_TEST_SUITE_P(Streams, CarrierTcpStream, testing::Bool(),
                         [](const auto& info) { return info.param ? "tls" : "plain"; });

class CarrierTls : public CarrierTcpStream {};

TEST_P(CarrierTls, ANameThatIsNotThePeersIsRefused) {
  connect(options(client_tls_, "node-c"), options(server_tls_));
  ASSERT_TRUE(drive({&client_, &server_}, [&] { return client_.is_closed(); }));
  EXPECT_NE(client_.reason().find("name 'node-c'"), std::string::npos) << client_.reason();
}

TEST_P(CarrierTls, TheServerChecksTheClientsNameToo) {
  connect(options(client_tls_, "node-b"), options(server_tls_, "node-x"));
  ASSERT_TRUE(drive({&client_, &server_}, [&] { return server_.is_closed(); }));
  EXPECT_NE(server_.reason().find("name 'node-x'"), std::string::npos) << server_.reason();
}

TEST_P(CarrierTls, BothSidesKnowWhoThePeerIs) {
  connect();
  EXPECT_TRUE(client_.peer_is("node-b"));
  EXPECT_TRUE(server_.peer_is("node-a"));
  EXPECT_FALSE(server_.peer_is("node-b"));
  EXPECT_FALSE(server_.peer_is("node"));
  EXPECT_FALSE(server_.peer_is(""));
}

TEST_P(CarrierTls, AnotherAuthorityIsRefused) {
  TestCertificates others;
  connect(options(others.context("node-a")), options(server_tls_));
  ASSERT_TRUE(drive({&client_, &server_}, [&] { return client_.is_closed(); }));
  EXPECT_NE(client_.reason().find("signed by the CA"), std::string::npos) << client_.reason();
  EXPECT_FALSE(server_.is_open());
}

TEST_P(CarrierTls, ARefusalSaysWhatToDoAboutTheCertificate) {
  using Flaw = TestCertificates::Flaw;
  for (const auto& [flaw, advice] :
       {std::pair{Flaw::expired, "that is valid today"}, std::pair{Flaw::not_yet_valid, "set the clock"},
        std::pair{Flaw::for_servers_alone, "extended key usage"}}) {
    connect(options(certificates_->context("node-a", flaw), "node-b"), options(server_tls_));
    std::vector<std::byte> none;
    ASSERT_TRUE(drive({&client_, &server_}, [&] {
      take(client_, none);  // the server's refusal comes after the client's part of the handshake
      return client_.is_closed() && server_.is_closed();
    }));
    EXPECT_NE(server_.reason().find(advice), std::string::npos) << server_.reason();
    EXPECT_NE(client_.reason().find("the peer's log says why"), std::string::npos) << client_.reason();
  }
}

TEST_P(CarrierTls, AClientWithoutTlsIsRefused) {
  connect(options(nullptr), options(server_tls_));
  const auto bytes = random_bytes(200);
  ASSERT_TRUE(client_.write({bytes}));
  ASSERT_TRUE(drive({&client_, &server_}, [&] { return server_.is_closed(); }));
  EXPECT_EQ(server_.reason().rfind("TLS: ", 0), 0U) << server_.reason();
}

TEST_P(CarrierTls, ASilentPeerIsGivenUpAtTheDeadline) {
  connect(options(nullptr), options(server_tls_));
  server_.drive(kDeadline - 1);
  EXPECT_EQ(server_.state(), TcpStreamState::handshaking);
  EXPECT_EQ(server_.deadline_us(), kDeadline);
  server_.drive(kDeadline);
  EXPECT_TRUE(server_.is_closed());
  EXPECT_NE(server_.reason().find("handshake was not finished in time"), std::string::npos) << server_.reason();
}

TEST_P(CarrierTls, FilesThatCannotBeUsedAreNamed) {
  const auto good = certificates_->make("node-d");
  const auto other = certificates_->make("node-e");
  const auto complaint = [](const carriers::TlsFiles& files) -> std::string {
    try {
      TlsContext context(files);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(complaint(good), "");
  auto files = good;
  files.certificate += ".missing";
  EXPECT_NE(complaint(files).find(files.certificate), std::string::npos);
  files = good;
  files.key = other.key;  // belongs to another certificate
  EXPECT_NE(complaint(files).find(other.key), std::string::npos);
  files = good;
  files.ca = good.key;  // a PEM file without a certificate
  EXPECT_NE(complaint(files).find("CA '" + good.key), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Streams, CarrierTls, testing::Values(true), [](const auto&) { return "tls"; });

TEST(CarrierStreamConnect, RefusalSaysWhoRefused) {
  Address address;
  {
    const Listener listener(Address::parse("127.0.0.1:0"));
    address = listener.address();
  }
  TcpStream stream = TcpStream::connect(address, {}, kDeadline);
  if (!stream.is_closed()) {
    ASSERT_TRUE(drive({&stream}, [&] { return stream.is_closed(); }));
  }
  EXPECT_NE(stream.reason().find(address.to_string()), std::string::npos) << stream.reason();
  EXPECT_NE(stream.reason().find("refused"), std::string::npos) << stream.reason();
}

TEST(CarrierStreamConnect, NoAddressIsSaid) {
  const TcpStream stream = TcpStream::connect(Address(), {}, kDeadline);
  EXPECT_TRUE(stream.is_closed());
  EXPECT_NE(stream.reason().find("configure"), std::string::npos);
}

TEST(CarrierStreamConnect, AListenerWithNobodyWaitingSaysSo) {
  Listener listener(Address::parse("127.0.0.1:0"));
  EXPECT_FALSE(listener.accept());
  EXPECT_EQ(listener.error(), EAGAIN);
}

}  // namespace
}  // namespace slotwire::test
