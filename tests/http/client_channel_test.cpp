// The client's end of a WebSocket against our own server, and against servers that do not do what they should.
#include "runtime/http/client_channel.hpp"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <array>
#include <atomic>
#include <fstream>
#include <sstream>
#include <thread>

#include "raw_http.hpp"
#include "site.hpp"
#include "test_certificates.hpp"

namespace slotwire {
namespace {

using http::ChannelOptions;
using http::ClientFailure;
using http::FailureKind;
using std::chrono::milliseconds;
using test::RawClient;
using test::RawListener;
using test::Site;

/// A loop, a client and its channel. Runs until something that the test waits for has happened.
class Channel final : private http::ClientChannelHandler {
 public:
  explicit Channel(const std::string& url, const ChannelOptions& options = {},
                   const std::function<void(http::ClientOptions&)>& adjust = nullptr)
      : client_(loop_, client_options(url, adjust)),
        channel_(
            std::make_unique<http::ClientChannel>(client_, options, static_cast<http::ClientChannelHandler&>(*this))) {}

  /// False: the channel has ended instead.
  bool wait_open() {
    return wait([this] { return open; });
  }
  bool wait_messages(std::size_t count) {
    return wait([this, count] { return messages.size() >= count; });
  }
  bool wait_written() {
    return wait([this] { return channel_->queued() == 0; });
  }
  const ClientFailure& wait_end() {
    wait([] { return false; });
    return end;
  }
  bool send(const std::string& text) { return channel_->send(test::bytes_of(text)); }
  void drop() { channel_.reset(); }
  /// What was left for the loop to do.
  void turn() {
    loop_.post([this] { loop_.stop(); });
    loop_.run();
  }

  bool open = false, ended = false;
  ClientFailure end;
  std::vector<std::string> messages;

 private:
  static http::ClientOptions client_options(const std::string& url,
                                            const std::function<void(http::ClientOptions&)>& adjust) {
    http::ClientOptions options;
    options.url = url;
    options.proxy = "";
    if (adjust) adjust(options);
    return options;
  }
  bool wait(std::function<bool()> what) {
    wanted_ = std::move(what);
    if (!wanted_() && !ended) loop_.run();
    return wanted_();
  }
  void look() {
    if (ended || wanted_()) loop_.stop();
  }
  void on_channel_open() override {
    open = true;
    look();
  }
  void on_channel_message(std::span<const std::byte> message) override {
    messages.push_back(test::text_of(message));
    look();
  }
  void on_channel_room() override { look(); }
  void on_channel_end(const ClientFailure& why) override {
    EXPECT_FALSE(ended) << "it ends once";
    ended = true;
    end = why;
    look();
  }

  http::Loop loop_;
  http::Client client_;
  std::unique_ptr<http::ClientChannel> channel_;
  std::function<bool()> wanted_ = [] { return false; };
};

std::string url_of(std::uint16_t port, const std::string& path = "/s") {
  return "http://127.0.0.1:" + std::to_string(port) + path;
}

ChannelOptions impatient() {
  ChannelOptions options;
  options.open_time = milliseconds(200);
  return options;
}

/// A server that does one thing with its only connection.
class OneDeed {
 public:
  explicit OneDeed(std::function<void(RawClient&)> deed)
      : thread_([this, deed = std::move(deed)] {
          try {
            RawClient client = listener_.accept();
            deed(client);
          } catch (const std::exception&) {
            // The client has left, which is what some tests make it do.
          }
        }) {}
  ~OneDeed() { thread_.join(); }
  std::string url() const { return url_of(listener_.port()); }

 private:
  RawListener listener_;
  std::thread thread_;
};

/// The answer that a request for a WebSocket wants.
std::string accepting(const std::string& head) {
  const std::string field = "Sec-WebSocket-Key: ";
  const std::size_t at = head.find(field) + field.size();
  const std::string key = head.substr(at, head.find('\r', at) - at) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  EVP_Digest(key.data(), key.size(), digest.data(), &length, EVP_sha1(), nullptr);
  std::array<unsigned char, 64> text{};
  const int written = EVP_EncodeBlock(text.data(), digest.data(), static_cast<int>(length));
  return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
         std::string(text.begin(), text.begin() + written) + "\r\n\r\n";
}

void expect_end(const ClientFailure& end, FailureKind kind, const std::string& text) {
  EXPECT_EQ(end.kind, kind) << end.text;
  EXPECT_NE(end.text.find(text), std::string::npos) << end.text;
}

TEST(HttpClientChannel, CarriesMessagesBothWaysInOrder) {
  Site site;
  Channel channel(url_of(site.port()));
  ASSERT_TRUE(channel.wait_open()) << channel.end.text;
  std::vector<std::string> sent;
  for (const std::size_t size : {1U, 125U, 126U, 65'535U, 65'536U, 200'000U, 1'000'000U}) {
    sent.emplace_back(size, static_cast<char>('a' + sent.size()));
    ASSERT_TRUE(channel.send(sent.back()));
  }
  ASSERT_TRUE(channel.wait_messages(sent.size())) << channel.end.text;
  EXPECT_EQ(channel.messages, sent);
  EXPECT_EQ(site.counters().channels, 1U);
  channel.drop();
  EXPECT_TRUE(site.wait_channels_closed(1));
}

TEST(HttpClientChannel, IsMadeOverTlsToo) {
  test::TestCertificates authority;
  const auto read = [](const std::string& file) {
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  };
  const auto files = authority.make("localhost");
  Site site([&](http::ServerOptions& options) {
    options.tls.certificate = read(files.certificate);
    options.tls.key = read(files.key);
  });
  Channel channel("https://localhost:" + std::to_string(site.port()) + "/s", {},
                  [&](http::ClientOptions& options) { options.tls.ca = read(authority.ca()); });
  ASSERT_TRUE(channel.wait_open()) << channel.end.text;
  const std::string large(1'000'000, 'x');
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(channel.send(large));
  ASSERT_TRUE(channel.wait_messages(4)) << channel.end.text;
  EXPECT_EQ(channel.messages.back(), large);

  Channel stranger("https://localhost:" + std::to_string(site.port()) + "/s");
  expect_end(stranger.wait_end(), FailureKind::certificate, "is not accepted");
}

TEST(HttpClientChannel, QueuesNoMoreThanItsLimit) {
  Site site;
  ChannelOptions options;
  options.queue_bytes = 100'000;
  Channel channel(url_of(site.port()), options);
  EXPECT_FALSE(channel.send("too early"));
  ASSERT_TRUE(channel.wait_open()) << channel.end.text;
  EXPECT_TRUE(channel.send(std::string(60'000, 'x')));
  EXPECT_FALSE(channel.send(std::string(60'000, 'x')));
  ASSERT_TRUE(channel.wait_written());
  EXPECT_TRUE(channel.send(std::string(60'000, 'x')));
}

TEST(HttpClientChannel, ARefusalIsToldByItsStatus) {
  Site site;
  Channel channel(url_of(site.port(), "/elsewhere"));
  expect_end(channel.wait_end(), FailureKind::answer, "the upgrade is refused (status 404)");
}

TEST(HttpClientChannel, AnUpgradeThatAProxyTakesOutIsTold) {
  OneDeed plain([](RawClient& client) {
    client.head();
    client.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslotwire\n");
  });
  Channel channel(plain.url());
  expect_end(channel.wait_end(), FailureKind::answer, "(status 200), since a proxy or a web server on the way");
}

TEST(HttpClientChannel, NobodyWhoListensIsTold) {
  std::uint16_t port = 0;
  { port = RawListener().port(); }
  Channel channel(url_of(port));
  expect_end(channel.wait_end(), FailureKind::refused, "refuses the connection");
}

TEST(HttpClientChannel, AnUpgradeThatIsNotAnsweredIsGivenUp) {
  OneDeed silent([](RawClient& client) { client.to_end(); });
  Channel channel(silent.url(), impatient());
  expect_end(channel.wait_end(), FailureKind::timeout, "no answer to the upgrade");
}

TEST(HttpClientChannel, OneOverWhichNothingPassesIsNotOpened) {
  OneDeed deaf([](RawClient& client) {
    client.send(accepting(client.head()));
    client.to_end();
  });
  Channel channel(deaf.url(), impatient());
  expect_end(channel.wait_end(), FailureKind::timeout, "passes nothing");
  EXPECT_FALSE(channel.open);
}

TEST(HttpClientChannel, WhoeverSpeaksBeforeThePingIsAnsweredIsNoServerOfOurs) {
  OneDeed other([](RawClient& client) { client.send(accepting(client.head()) + "\x82\x02hi"); });
  Channel channel(other.url());
  expect_end(channel.wait_end(), FailureKind::answer, "is no server of Slotwire");
  EXPECT_TRUE(channel.messages.empty());
}

TEST(HttpClientChannel, AnAnswerWithoutEndIsBounded) {
  std::atomic<std::size_t> sent = 0;
  {
    OneDeed endless([&](RawClient& client) {
      client.head();
      client.send("HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\n\r\n");
      while (client.send(std::string(4096, 'x'))) sent += 4096;
    });
    Channel channel(endless.url());
    expect_end(channel.wait_end(), FailureKind::reset, "the upgrade is not answered");
  }
  // What the sockets' buffers hold is sent all the same.
  EXPECT_LT(sent, std::size_t{32} << 20U);
}

TEST(HttpClientChannel, ItsEndIsToldOnce) {
  OneDeed leaves([](RawClient& client) {
    client.send(accepting(client.head()));
    // The ping: two bytes, a mask of zeros would be as good, and eight letters.
    const std::string ping = client.read(14);
    std::string pong("\x8a\x08", 2);
    for (std::size_t i = 0; i < 8; ++i) pong += static_cast<char>(ping[6 + i] ^ ping[2 + i % 4]);
    client.send(pong);
  });
  Channel channel(leaves.url());
  ASSERT_TRUE(channel.wait_open()) << channel.end.text;
  expect_end(channel.wait_end(), FailureKind::reset, "ended: ");
}

TEST(HttpClientChannel, MayBeDroppedAtAnyTime) {
  Site site;
  {
    Channel at_once(url_of(site.port()));
    at_once.drop();
    at_once.turn();
    EXPECT_FALSE(at_once.ended);
  }
  Channel open(url_of(site.port()));
  ASSERT_TRUE(open.wait_open());
  ASSERT_TRUE(open.send(std::string(1'000'000, 'x')));
  open.drop();
  open.turn();
  EXPECT_FALSE(open.ended);
  EXPECT_TRUE(site.wait_channels_closed(1));
}

}  // namespace
}  // namespace slotwire
