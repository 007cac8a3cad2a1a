// Clients that are slow, greedy or many cost what the limits say and no more.
#include <gtest/gtest.h>

#include <chrono>
#include <list>

#include "raw_http.hpp"
#include "site.hpp"

namespace slotwire {
namespace {

using std::chrono::milliseconds;
using test::get;
using test::post;
using test::RawClient;
using test::Site;

TEST(HttpLimits, HeaderTooLong) {
  Site site;
  RawClient client(site.port());
  client.send("POST /s/echo HTTP/1.1\r\nHost: test\r\nX-Long: " + std::string(9000, 'x'));
  EXPECT_EQ(client.response().status, 431U);
  EXPECT_EQ(site.counters().too_large, 1U);
}

TEST(HttpLimits, LongestHeader) {
  Site site;
  RawClient client(site.port());
  std::string request = post("/s/echo", "");
  request.insert(request.size() - 2, "X: " + std::string(8192 - request.size() - 5, 'x') + "\r\n");
  ASSERT_EQ(request.size(), 8192U);
  client.send(request);
  EXPECT_EQ(client.response().status, 200U);
}

TEST(HttpLimits, HeaderThatNeverEnds) {
  Site site([](http::ServerOptions& options) { options.limits.header_time = milliseconds(100); });
  RawClient client(site.port());
  client.send("POST /s/echo HTTP/1.1\r\nHost: t");
  EXPECT_EQ(client.response().status, 408U);
  client.half_close();
  EXPECT_EQ(client.to_end(), "");
  EXPECT_EQ(site.counters().timed_out, 1U);
}

TEST(HttpLimits, HeaderByteByByte) {
  // Each byte counts for nothing: the time is that of the whole header.
  Site site([](http::ServerOptions& options) {
    options.limits.header_time = milliseconds(200);
    options.limits.header_bytes = std::size_t{1} << 20U;
  });
  RawClient client(site.port());
  const std::string endless = "POST /s/echo HTTP/1.1\r\nHost: test\r\nX: ";
  client.send(endless);
  const auto start = std::chrono::steady_clock::now();
  while (client.send("x") && std::chrono::steady_clock::now() - start < std::chrono::seconds(10)) {
    if (site.counters().timed_out > 0) break;
  }
  EXPECT_EQ(client.response().status, 408U);
}

TEST(HttpLimits, BodyTooLong) {
  Site site([](http::ServerOptions& options) { options.limits.body_bytes = 1000; });
  RawClient client(site.port());
  client.send(post("/s/echo", std::string(1000, 'x')));
  EXPECT_EQ(client.response().status, 200U);
  // The refusal arrives although the body is still being sent.
  client.send(post("/s/echo", std::string(1'000'000, 'x')));
  EXPECT_EQ(client.response().status, 413U);
  EXPECT_EQ(site.counters().bodies_bytes, 0U);
}

TEST(HttpLimits, BodyThatNeverEnds) {
  Site site([](http::ServerOptions& options) { options.limits.body_time = milliseconds(100); });
  RawClient client(site.port());
  client.send("POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nx");
  EXPECT_EQ(client.response().status, 0U);
  EXPECT_EQ(site.counters().timed_out, 1U);
  EXPECT_EQ(site.counters().bodies_bytes, 0U);
  EXPECT_EQ(site.requests(), 0U);
}

TEST(HttpLimits, BodyThatIsCut) {
  Site site;
  {
    RawClient client(site.port());
    client.send("POST /s/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nx");
    client.half_close();
    EXPECT_EQ(client.response().status, 0U);
  }
  EXPECT_EQ(site.requests(), 0U);
  EXPECT_EQ(site.counters().bodies_bytes, 0U);
}

TEST(HttpLimits, BodiesInTotal) {
  Site site([](http::ServerOptions& options) { options.limits.bodies_bytes = 1500; });
  RawClient first(site.port()), second(site.port());
  first.send(post("/s/hold", std::string(1000, 'x')));
  ASSERT_TRUE(site.wait_held(1));
  second.send(post("/s/echo", std::string(1000, 'x')));
  EXPECT_EQ(second.response().status, 503U);
  site.release("");
  EXPECT_EQ(first.response().status, 200U);
  RawClient third(site.port());
  third.send(post("/s/echo", std::string(1000, 'x')));
  EXPECT_EQ(third.response().status, 200U);
}

TEST(HttpLimits, SlowReader) {
  Site site([](http::ServerOptions& options) { options.limits.write_time = milliseconds(200); });
  RawClient client(site.port());
  client.send(post("/s/large", ""));
  EXPECT_TRUE(site.wait_counters([](const auto& c) { return c.timed_out == 1 && c.connections == 0; }));
}

TEST(HttpLimits, ReaderThatTakesAll) {
  Site site;
  RawClient client(site.port());
  client.send(post("/s/large", ""));
  EXPECT_EQ(client.response().body.size(), Site::kLargeBytes);
}

TEST(HttpLimits, IdleConnection) {
  Site site([](http::ServerOptions& options) { options.limits.idle_time = milliseconds(100); });
  RawClient silent(site.port()), once(site.port());
  once.send(post("/s/echo", "x"));
  EXPECT_EQ(once.response().status, 200U);
  EXPECT_EQ(silent.to_end(), "");
  EXPECT_EQ(once.to_end(), "");
}

TEST(HttpLimits, HeldRequestsAreNotIdle) {
  Site site([](http::ServerOptions& options) { options.limits.idle_time = milliseconds(50); });
  RawClient held(site.port()), silent(site.port());
  held.send(post("/s/hold", ""));
  ASSERT_TRUE(site.wait_held(1));
  EXPECT_EQ(silent.to_end(), "");
  site.release("still here");
  EXPECT_EQ(held.response().body, "still here");
}

TEST(HttpLimits, ConnectionsInTotal) {
  Site site([](http::ServerOptions& options) { options.limits.connections = 3; });
  RawClient held(site.port());
  held.send(post("/s/hold", ""));
  ASSERT_TRUE(site.wait_held(1));
  RawClient oldest(site.port()), younger(site.port());
  for (RawClient* const client : {&oldest, &younger}) {
    client->send(post("/s/echo", "x"));
    EXPECT_EQ(client->response().status, 200U);
  }
  // A newcomer takes the place of the one that is idle for longest, not that of the held request.
  RawClient newcomer(site.port());
  newcomer.send(post("/s/echo", "new"));
  EXPECT_EQ(newcomer.response().body, "new");
  EXPECT_EQ(oldest.to_end(), "");
  younger.send(post("/s/echo", "y"));
  EXPECT_EQ(younger.response().body, "y");
  site.release("held");
  EXPECT_EQ(held.response().body, "held");
  EXPECT_EQ(site.counters().evicted, 1U);
}

TEST(HttpLimits, BodiesThatDoNotComeMakeRoom) {
  Site site([](http::ServerOptions& options) { options.limits.connections = 8; });
  std::list<RawClient> stuck;
  for (int i = 0; i < 8; ++i) {
    stuck.emplace_back(site.port());
    stuck.back().send("POST /s/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\nExpect: 100-continue\r\n\r\n");
    ASSERT_EQ(stuck.back().response().status, 100U);
    stuck.back().send("abc");
  }
  for (int i = 0; i < 3; ++i) {
    RawClient newcomer(site.port());
    newcomer.send(post("/s/echo", "new"));
    EXPECT_EQ(newcomer.response().body, "new");
  }
  EXPECT_EQ(stuck.front().to_end(), "") << "the one that began first";
  EXPECT_EQ(site.counters().turned_away, 0U);
}

TEST(HttpLimits, NobodyIsIdle) {
  Site site([](http::ServerOptions& options) { options.limits.connections = 2; });
  RawClient first(site.port()), second(site.port());
  first.send(post("/s/hold", ""));
  second.send(post("/s/hold", ""));
  ASSERT_TRUE(site.wait_held(2));
  RawClient newcomer(site.port());
  EXPECT_EQ(newcomer.to_end(), "");
  EXPECT_EQ(site.counters().turned_away, 1U);
}

TEST(HttpLimits, ConnectionsPerSource) {
  Site site([](http::ServerOptions& options) { options.limits.connections_per_source = 2; });
  RawClient other(site.port(), "127.0.0.2");
  other.send(post("/s/echo", "x"));
  EXPECT_EQ(other.response().status, 200U);
  std::list<RawClient> many;
  for (int i = 0; i < 10; ++i) {
    many.emplace_back(site.port());
    many.back().send(post("/s/echo", "x"));
    EXPECT_EQ(many.back().response().status, 200U);
  }
  EXPECT_EQ(site.counters().evicted, 8U);
  EXPECT_EQ(site.counters().connections, 3U);
  other.send(post("/s/echo", "not evicted"));
  EXPECT_EQ(other.response().body, "not evicted");
}

TEST(HttpLimits, TrustedProxiesHaveNoLimitPerSource) {
  Site site([](http::ServerOptions& options) {
    options.limits.connections_per_source = 2;
    options.trusted_proxies = {http::Network::parse("127.0.0.1")};
  });
  std::list<RawClient> many;
  for (int i = 0; i < 10; ++i) {
    many.emplace_back(site.port());
    many.back().send(get("/s"));
    EXPECT_EQ(many.back().response().status, 200U);
  }
  EXPECT_EQ(site.counters().connections, 10U);
}

TEST(HttpLimits, ManyIdleConnectionsLeaveRoom) {
  Site site([](http::ServerOptions& options) {
    options.limits.connections = 50;
    options.limits.connections_per_source = 50;
  });
  std::list<RawClient> idle;
  for (int i = 0; i < 300; ++i) idle.emplace_back(site.port());
  RawClient honest(site.port());
  honest.send(post("/s/echo", "served"));
  EXPECT_EQ(honest.response().body, "served");
  EXPECT_LE(site.counters().connections, 50U);
}

}  // namespace
}  // namespace slotwire
