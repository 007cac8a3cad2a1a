// WebSocket channels, with frames made by hand.
#include <gtest/gtest.h>

#include <chrono>

#include "raw_http.hpp"
#include "site.hpp"

namespace slotwire {
namespace {

using test::get;
using test::RawClient;
using test::RawResponse;
using test::Site;

const std::string kUpgrade =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A frame of a client, masked with zeros.
std::string frame(unsigned opcode, const std::string& payload) {
  std::string bytes(1, static_cast<char>(0x80U | opcode));
  const auto length = static_cast<std::uint64_t>(payload.size());
  const bool two_bytes = length < 65536;
  if (length < 126) {
    bytes += static_cast<char>(0x80U | length);
  } else {
    bytes += static_cast<char>(0x80U | (two_bytes ? 126U : 127U));
    for (int shift = two_bytes ? 8 : 56; shift >= 0; shift -= 8) {
      bytes += static_cast<char>(length >> static_cast<unsigned>(shift));
    }
  }
  return bytes + std::string(4, '\0') + payload;
}

constexpr unsigned kText = 1, kBinary = 2;

/// Opens a channel; returns whether the server accepted it.
bool upgrade(RawClient& client) {
  client.send(get("/s", kUpgrade));
  const std::string head = client.head();
  return head.rfind("HTTP/1.1 101 ", 0) == 0 && head.find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != std::string::npos;
}

TEST(HttpChannel, EchoesMessages) {
  Site site;
  RawClient client(site.port());
  ASSERT_TRUE(upgrade(client));
  client.send(frame(kBinary, "one") + frame(kBinary, ""));
  EXPECT_EQ(client.read(5), std::string("\x82\x03one"));
  EXPECT_EQ(client.read(2), std::string("\x82\x00", 2));
  const std::string large(200'000, 'x');
  client.send(frame(kBinary, large));
  EXPECT_EQ(client.read(10).substr(0, 2), std::string("\x82\x7f"));
  EXPECT_EQ(client.read(large.size()), large);
  EXPECT_EQ(site.counters().channels, 1U);
}

TEST(HttpChannel, TellsTheEnd) {
  Site site;
  {
    RawClient client(site.port());
    ASSERT_TRUE(upgrade(client));
    client.send(frame(kBinary, "x"));
    client.read(3);
  }
  EXPECT_TRUE(site.wait_channels_closed(1));
}

TEST(HttpChannel, TakesNoText) {
  Site site;
  RawClient client(site.port());
  ASSERT_TRUE(upgrade(client));
  client.send(frame(kText, "x"));
  EXPECT_EQ(client.to_end(), "");
  EXPECT_TRUE(site.wait_channels_closed(1));
}

TEST(HttpChannel, TakesNoMessageBeyondItsLimit) {
  Site site([](http::ServerOptions& options) { options.limits.message_bytes = 1000; });
  RawClient client(site.port());
  ASSERT_TRUE(upgrade(client));
  client.send(frame(kBinary, std::string(1001, 'x')));
  EXPECT_TRUE(site.wait_channels_closed(1));
  EXPECT_EQ(site.counters().too_large, 1U);
}

TEST(HttpChannel, EndsWhenNothingComes) {
  Site site([](http::ServerOptions& options) { options.limits.channel_idle_time = std::chrono::milliseconds(200); });
  RawClient client(site.port());
  ASSERT_TRUE(upgrade(client));
  EXPECT_TRUE(site.wait_channels_closed(1));
}

TEST(HttpChannel, EndsWhenItsFirstMessageDoesNotComeAndNotLater) {
  const auto hasty = [](http::ServerOptions& options) {
    options.limits.channel_first_time = std::chrono::milliseconds(1'000);
  };
  Site site(hasty);
  RawClient spoke(site.port());
  ASSERT_TRUE(upgrade(spoke));
  spoke.send(frame(kBinary, "x"));
  spoke.read(3);
  RawClient silent(site.port());
  ASSERT_TRUE(upgrade(silent));
  EXPECT_TRUE(site.wait_channels_closed(1));
  EXPECT_EQ(silent.to_end(), "");
  spoke.send(frame(kBinary, "y"));
  EXPECT_EQ(spoke.read(3), std::string("\x82\x01y"));
  EXPECT_EQ(site.counters().timed_out, 1U);
}

TEST(HttpChannel, TheEndOfOneWhoseClientTakesNothingIsTold) {
  Site site([](http::ServerOptions& options) { options.limits.write_time = std::chrono::milliseconds(200); });
  RawClient client(site.port());
  ASSERT_TRUE(upgrade(client));
  // More than the sockets hold, all of which is echoed, and nothing of that is read.
  const std::string large = frame(kBinary, std::string(1'000'000, 'x'));
  try {
    while (client.send(large)) continue;
  } catch (const std::exception&) {
    // The server reads no more.
  }
  EXPECT_TRUE(site.wait_channels_closed(1));
  EXPECT_EQ(site.counters().timed_out, 1U);
}

TEST(HttpChannel, OtherPath) {
  Site site;
  RawClient client(site.port());
  client.send(get("/other", kUpgrade));
  EXPECT_EQ(client.response().status, 404U);
}

TEST(HttpChannel, UpgradeOfAPost) {
  Site site;
  RawClient client(site.port());
  client.send("POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n" + kUpgrade + "\r\nab");
  const RawResponse response = client.response();
  EXPECT_EQ(response.status, 200U);
  EXPECT_EQ(response.body, "ab");
}

TEST(HttpChannel, BytesBehindTheUpgrade) {
  Site site;
  RawClient client(site.port());
  client.send(get("/s", kUpgrade) + test::post("/s/echo", "smuggled"));
  EXPECT_EQ(client.response().status, 400U);
  EXPECT_EQ(site.requests(), 0U);
}

TEST(HttpChannel, UnmaskedFrame) {
  Site site;
  RawClient client(site.port());
  ASSERT_TRUE(upgrade(client));
  client.send(std::string("\x82\x01x"));
  EXPECT_TRUE(site.wait_channels_closed(1));
}

}  // namespace
}  // namespace slotwire
