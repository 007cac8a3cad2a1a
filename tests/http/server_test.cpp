// What the server does for clients that behave.
#include <gtest/gtest.h>

#include "raw_http.hpp"
#include "site.hpp"
#include "test_certificates.hpp"

namespace slotwire {
namespace {

using test::get;
using test::post;
using test::RawClient;
using test::RawResponse;
using test::Site;

TEST(HttpServer, AnswersAPost) {
  Site site;
  RawClient client(site.port());
  for (const std::string body : {"one", "two", ""}) {
    client.send(post("/s/echo", body));
    const RawResponse response = client.response();
    EXPECT_EQ(response.status, 200U);
    EXPECT_EQ(response.body, body);
    EXPECT_EQ(response.field("Cache-Control"), "no-store, no-transform");
    EXPECT_EQ(response.field("X-Accel-Buffering"), "no");
    EXPECT_EQ(response.field("Content-Type"), "application/octet-stream");
    EXPECT_EQ(response.field("Content-Length"), std::to_string(body.size()));
  }
  EXPECT_EQ(site.counters().accepted, 1U);
}

TEST(HttpServer, TakesALargeBodyInPieces) {
  Site site;
  RawClient client(site.port());
  const std::string body(std::size_t{1} << 20U, 'x');
  const std::string request = post("/s/echo", body);
  client.send(request.substr(0, 1));
  client.send(request.substr(1, 100));
  client.send(request.substr(101));
  EXPECT_EQ(client.response().body, body);
}

TEST(HttpServer, AnswersAHealthCheck) {
  Site site;
  RawClient client(site.port());
  client.send(get("/s"));
  EXPECT_EQ(client.response().status, 200U);
  // Some check with HTTP/1.0; the connection ends then.
  client.send("GET /s HTTP/1.0\r\nHost: test\r\n\r\n");
  EXPECT_EQ(client.response().status, 200U);
  EXPECT_EQ(client.to_end(), "");
  EXPECT_EQ(site.requests(), 0U);
}

TEST(HttpServer, TakesTheAbsoluteForm) {
  Site site;
  RawClient client(site.port());
  client.send(post("http://test/s/echo?x=1", "as a proxy passes it on"));
  EXPECT_EQ(client.response().body, "as a proxy passes it on");
}

TEST(HttpServer, SaysContinue) {
  Site site;
  RawClient client(site.port());
  const std::string request = post("/s/echo", "body", "Expect: 100-continue\r\n");
  client.send(request.substr(0, request.size() - 4));
  EXPECT_EQ(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("body");
  EXPECT_EQ(client.response().body, "body");
}

TEST(HttpServer, AnswersAHeldRequestLater) {
  Site site;
  RawClient first(site.port()), second(site.port());
  first.send(post("/s/hold", ""));
  ASSERT_TRUE(site.wait_held(1));
  second.send(post("/s/echo", "meanwhile"));
  EXPECT_EQ(second.response().body, "meanwhile");
  site.release("late");
  EXPECT_EQ(first.response().body, "late");
  // The connection goes on.
  first.send(post("/s/echo", "again"));
  EXPECT_EQ(first.response().body, "again");
}

TEST(HttpServer, RefusesAHeldRequest) {
  Site site;
  RawClient client(site.port());
  client.send(post("/s/hold", ""));
  ASSERT_TRUE(site.wait_held(1));
  site.refuse_held(503, "no\nroom");
  const RawResponse response = client.response();
  EXPECT_EQ(response.status, 503U);
  EXPECT_EQ(response.body, "no?room\n");
}

TEST(HttpServer, TellsThatTheClientOfAHeldRequestLeft) {
  Site site;
  {
    RawClient client(site.port());
    client.send(post("/s/hold", "x"));
    ASSERT_TRUE(site.wait_held(1));
  }
  EXPECT_TRUE(site.wait_gone(1));
  EXPECT_EQ(site.counters().gone, 1U);
}

TEST(HttpServer, TakesPipelinedRequestsInTurn) {
  Site site;
  RawClient client(site.port());
  client.send(post("/s/hold", "") + post("/s/echo", "b") + post("/s/echo", "c"));
  ASSERT_TRUE(site.wait_held(1));
  EXPECT_EQ(site.requests(), 1U);
  site.release("a");
  EXPECT_EQ(client.response().body, "a");
  EXPECT_EQ(client.response().body, "b");
  EXPECT_EQ(client.response().body, "c");
}

TEST(HttpServer, TakesTheNextRequestThatCameWhileOneWasHeld) {
  Site site;
  RawClient client(site.port());
  client.send(post("/s/hold", ""));
  ASSERT_TRUE(site.wait_held(1));
  client.send(post("/s/echo", "early"));
  site.release("held");
  EXPECT_EQ(client.response().body, "held");
  EXPECT_EQ(client.response().body, "early");
}

TEST(HttpServer, BelievesTrustedProxiesAboutTheSource) {
  Site site([](http::ServerOptions& options) { options.trusted_proxies = {http::Network::parse("127.0.0.0/8")}; });
  RawClient client(site.port());
  client.send(post("/s/echo", "", "X-Forwarded-For: 192.0.2.1, 198.51.100.7\r\n"));
  EXPECT_EQ(client.response().status, 200U);
  EXPECT_EQ(site.sources(), std::vector<std::string>{"198.51.100.7:0"});
}

TEST(HttpServer, BelievesNobodyElseAboutTheSource) {
  Site site;
  RawClient client(site.port());
  client.send(post("/s/echo", "", "X-Forwarded-For: 192.0.2.1\r\n"));
  EXPECT_EQ(client.response().status, 200U);
  EXPECT_EQ(site.sources().front().substr(0, 10), "127.0.0.1:");
}

TEST(HttpServer, EndsWithRequestsHeld) {
  RawClient* leaving = nullptr;
  {
    Site site;
    leaving = new RawClient(site.port());
    leaving->send(post("/s/hold", ""));
    ASSERT_TRUE(site.wait_held(1));
  }
  EXPECT_EQ(leaving->response().status, 0U);
  delete leaving;
}

TEST(HttpServer, NamesAnInvalidCertificate) {
  const test::TestCertificates authority;
  const auto make = [](const std::string& certificate) {
    Site site([&](http::ServerOptions& options) { options.tls = {certificate, "", "", ""}; });
  };
  try {
    make("nonsense");
    FAIL() << "accepted";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("the certificate of the HTTP server"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace slotwire
