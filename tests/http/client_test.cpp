// The client against small real servers: our own, and raw sockets that misbehave.
#include "runtime/http/client.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "raw_http.hpp"
#include "site.hpp"
#include "test_certificates.hpp"

namespace slotwire {
namespace {

using http::ClientFailure;
using http::ClientOptions;
using http::ClientOutcome;
using http::ClientResponse;
using http::FailureKind;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::RawClient;
using test::RawListener;
using test::Site;

std::string url_of(std::uint16_t port, const std::string& path = "/s/echo") {
  return "http://127.0.0.1:" + std::to_string(port) + path;
}

ClientOptions options_for(const std::string& url) {
  ClientOptions options;
  options.url = url;
  options.environment = [](const char*) -> std::optional<std::string> { return std::nullopt; };
  return options;
}

ClientOutcome post_once(const ClientOptions& options, const std::string& body = "x",
                        std::chrono::microseconds time = seconds(20)) {
  http::Loop loop;
  http::Client client(loop, options);
  ClientOutcome outcome = ClientFailure{FailureKind::other, "not called"};
  const auto call = client.post(test::bytes_of(body), time, [&](ClientOutcome&& given) {
    outcome = std::move(given);
    loop.stop();
  });
  loop.run();
  return outcome;
}

const ClientResponse& response_of(const ClientOutcome& outcome) {
  if (const auto* const failure = std::get_if<ClientFailure>(&outcome)) ADD_FAILURE() << failure->text;
  return std::get<ClientResponse>(outcome);
}

void expect_failure(const ClientOutcome& outcome, FailureKind kind, const std::string& text) {
  const auto* const failure = std::get_if<ClientFailure>(&outcome);
  ASSERT_NE(failure, nullptr);
  EXPECT_EQ(failure->kind, kind) << failure->text;
  EXPECT_NE(failure->text.find(text), std::string::npos) << failure->text;
}

/// A server that does one thing with each connection.
class Misbehaving {
 public:
  explicit Misbehaving(std::function<void(RawClient&)> deed)
      : thread_([this, deed = std::move(deed)] {
          try {
            while (!stopping_) {
              RawClient client = listener_.accept();
              if (!stopping_) deed(client);
            }
          } catch (const std::exception&) {
          }
        }) {}
  ~Misbehaving() {
    stopping_ = true;
    { const RawClient last(listener_.port()); }
    thread_.join();
  }
  std::uint16_t port() const { return listener_.port(); }

 private:
  RawListener listener_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

TEST(HttpClient, PostsAndGetsTheAnswer) {
  Site site;
  const ClientOutcome outcome = post_once(options_for(url_of(site.port())), "hello");
  const ClientResponse& response = response_of(outcome);
  EXPECT_EQ(response.status, 200U);
  EXPECT_TRUE(response.binary);
  EXPECT_EQ(test::text_of(response.body), "hello");
}

TEST(HttpClient, PostsLargeAndEmptyBodies) {
  Site site;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1} << 20U}) {
    const std::string body(size, 'x');
    const ClientOutcome outcome = post_once(options_for(url_of(site.port())), body);
    EXPECT_EQ(test::text_of(response_of(outcome).body), body);
  }
}

TEST(HttpClient, UsesConnectionsAgain) {
  Site site;
  http::Loop loop;
  http::Client client(loop, options_for(url_of(site.port())));
  int left = 100;
  http::Client::Call call;
  std::function<void()> next = [&] {
    call = client.post(test::bytes_of("x"), seconds(20), [&](ClientOutcome&& outcome) {
      EXPECT_EQ(response_of(outcome).status, 200U);
      if (--left == 0) return loop.stop();
      loop.post(next);
    });
  };
  next();
  loop.run();
  EXPECT_EQ(site.counters().accepted, 1U);
}

TEST(HttpClient, CancelsACall) {
  Site site;
  http::Loop loop;
  http::Client client(loop, options_for(url_of(site.port(), "/s/hold")));
  auto held = client.post({}, seconds(20), [](ClientOutcome&&) { FAIL(); });
  std::thread other([&] {
    EXPECT_TRUE(site.wait_held(1));
    loop.post([&] { held.cancel(); });
    EXPECT_TRUE(site.wait_gone(1));
    loop.stop();
  });
  loop.run();
  other.join();
}

TEST(HttpClient, EndsWithCallsUnderWay) {
  Site site;
  http::Loop loop;
  {
    http::Client client(loop, options_for(url_of(site.port(), "/s/hold")));
    auto held = client.post({}, seconds(20), [](ClientOutcome&&) { FAIL(); });
    std::thread other([&] {
      EXPECT_TRUE(site.wait_held(1));
      loop.stop();
    });
    loop.run();
    other.join();
  }
  EXPECT_TRUE(site.wait_gone(1));
}

TEST(HttpClient, IsDestroyedWithinAnAnswer) {
  Site site;
  http::Loop loop;
  auto client = std::make_unique<http::Client>(loop, options_for(url_of(site.port())));
  auto call = client->post({}, seconds(20), [&](ClientOutcome&&) {
    client.reset();
    loop.stop();
  });
  loop.run();
  EXPECT_EQ(client, nullptr);
}

TEST(HttpClient, SaysThatNobodyListens) {
  std::uint16_t port = 0;
  {
    const RawListener gone;
    port = gone.port();
  }
  expect_failure(post_once(options_for(url_of(port))), FailureKind::refused, "refuses the connection");
}

TEST(HttpClient, SaysThatTheNameIsUnknown) {
  expect_failure(post_once(options_for("http://name.invalid/s")), FailureKind::resolve, "name.invalid");
}

TEST(HttpClient, SaysThatTheProxysNameIsUnknown) {
  ClientOptions options = options_for("http://127.0.0.1/s");
  options.proxy = "http://proxy.invalid:3128";
  expect_failure(post_once(options), FailureKind::resolve, "proxy.invalid");
}

TEST(HttpClient, SaysThatNoAnswerCame) {
  Site site;
  expect_failure(post_once(options_for(url_of(site.port(), "/s/hold")), "", milliseconds(100)), FailureKind::timeout,
                 "in time");
}

TEST(HttpClient, SaysThatTheConnectionWasClosed) {
  Misbehaving server([](RawClient& client) { client.head(); });
  expect_failure(post_once(options_for(url_of(server.port()))), FailureKind::reset, "without an answer");
}

TEST(HttpClient, SaysThatTheAnswerWasCut) {
  Misbehaving server([](RawClient& client) {
    client.head();
    client.read(1);
    client.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
  });
  expect_failure(post_once(options_for(url_of(server.port()))), FailureKind::reset, "cut short");
}

TEST(HttpClient, TakesNoEndlessHeader) {
  Misbehaving server([](RawClient& client) {
    client.head();
    client.send("HTTP/1.1 200 OK\r\n");
    while (client.send("X-Field: " + std::string(1000, 'x') + "\r\n")) {
    }
  });
  expect_failure(post_once(options_for(url_of(server.port()))), FailureKind::too_large, "header");
}

TEST(HttpClient, TakesNoEndlessBody) {
  Misbehaving server([](RawClient& client) {
    client.head();
    client.send("HTTP/1.1 200 OK\r\n\r\n");
    while (client.send(std::string(65536, 'x'))) {
    }
  });
  expect_failure(post_once(options_for(url_of(server.port()))), FailureKind::too_large, "body");
}

TEST(HttpClient, SaysThatSomethingElseAnswers) {
  Misbehaving server([](RawClient& client) {
    client.head();
    client.send("SSH-2.0-OpenSSH_9.2\r\n");
  });
  expect_failure(post_once(options_for(url_of(server.port()))), FailureKind::answer, "no HTTP/1.1");
}

TEST(HttpClient, ExplainsStatuses) {
  http::Loop loop;
  ClientOptions options = options_for("http://host/s");
  options.proxy = "http://proxy:3128";
  http::Client client(loop, options);
  const auto text = [&](unsigned status) { return client.explain({status, false, {}}).text; };
  EXPECT_NE(text(407).find("the proxy http://proxy:3128 wants a login (status 407); give a user"), std::string::npos);
  EXPECT_NE(text(401).find("wants a login (status 401)"), std::string::npos);
  EXPECT_NE(text(404).find("nothing is served at http://host:80/s"), std::string::npos);
  EXPECT_NE(text(502).find("is it running?"), std::string::npos);
  EXPECT_NE(text(200).find("is no server of Slotwire"), std::string::npos);
}

TEST(HttpClient, SendsTheAbsoluteFormToAProxy) {
  std::promise<std::string> head;
  std::atomic<bool> once{false};
  Misbehaving proxy([&](RawClient& client) {
    if (!once.exchange(true)) head.set_value(client.head());
  });
  ClientOptions options = options_for("http://host.example:8080/s");
  options.environment = [&](const char* name) -> std::optional<std::string> {
    if (std::string(name) == "http_proxy") return "127.0.0.1:" + std::to_string(proxy.port());
    return std::nullopt;
  };
  post_once(options);
  const std::string got = head.get_future().get();
  EXPECT_EQ(got.rfind("POST http://host.example:8080/s HTTP/1.1\r\nHost: host.example:8080\r\n", 0), 0U) << got;
  EXPECT_NE(got.find("Content-Type: application/octet-stream\r\n"), std::string::npos) << got;
  EXPECT_EQ(got.find("Expect"), std::string::npos) << got;
}

TEST(HttpClient, AsksAProxyToConnectForTls) {
  std::promise<std::string> head;
  std::atomic<bool> once{false};
  Misbehaving proxy([&](RawClient& client) {
    const std::string got = client.head();
    if (!once.exchange(true)) head.set_value(got);
    client.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
  });
  ClientOptions options = options_for("https://host.example:8443/s");
  options.proxy = "http://127.0.0.1:" + std::to_string(proxy.port());
  expect_failure(post_once(options), FailureKind::proxy_refused, "status 403 for CONNECT");
  EXPECT_EQ(head.get_future().get().rfind("CONNECT host.example:8443 HTTP/1.1\r\n", 0), 0U);
}

/// A proxy that wants a login. Counts the bytes of bodies of requests without one.
class LoginProxy {
 public:
  explicit LoginProxy(const std::string& challenge)
      : server_([this, challenge](RawClient& client) {
          for (;;) {
            test::RawResponse request;
            request.head = client.head();
            if (request.head.empty()) return;
            const std::string body = client.read(std::strtoul(request.field("Content-Length").c_str(), nullptr, 10));
            const std::string login = request.field("Proxy-Authorization");
            if (login.empty()) refused_bytes += body.size();
            if (login.empty() || (login.rfind("Basic ", 0) == 0 && login != "Basic dXNlcjpwYXNz")) {
              ++refusals;
              client.send("HTTP/1.1 407 No\r\nProxy-Authenticate: " + challenge + "\r\nContent-Length: 0\r\n\r\n");
            } else {
              client.send("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 2\r\n\r\nok");
            }
          }
        }) {}
  ClientOptions options(const std::string& password) const {
    ClientOptions o = options_for("http://host.example/s");
    o.proxy = "http://127.0.0.1:" + std::to_string(server_.port());
    o.proxy_login = {"user", password, false};
    return o;
  }
  std::atomic<std::size_t> refused_bytes{0}, refusals{0};

 private:
  Misbehaving server_;
};

TEST(HttpClient, FindsOutTheProxysLoginBeforeItSendsABody) {
  LoginProxy proxy("Basic realm=\"r\"");
  const ClientOutcome outcome = post_once(proxy.options("pass"), std::string(100'000, 'x'));
  EXPECT_EQ(response_of(outcome).status, 200U);
  EXPECT_EQ(proxy.refused_bytes, 0U);
  EXPECT_EQ(proxy.refusals, 1U);
}

TEST(HttpClient, FindsOutTheProxysDigestLogin) {
  LoginProxy proxy("Digest realm=\"r\", nonce=\"n\", qop=\"auth\"");
  const ClientOutcome outcome = post_once(proxy.options("pass"), std::string(60'000, 'x'));
  EXPECT_EQ(response_of(outcome).status, 200U);
  EXPECT_EQ(proxy.refused_bytes, 0U);
}

TEST(HttpClient, SaysThatTheProxyRefusesTheLogin) {
  LoginProxy proxy("Basic realm=\"r\"");
  const ClientOptions options = proxy.options("wrong");
  const ClientOutcome outcome = post_once(options);
  EXPECT_EQ(response_of(outcome).status, 407U);
  http::Loop loop;
  const http::Client client(loop, options);
  EXPECT_NE(client.explain(response_of(outcome)).text.find("does not accept the one that was given"),
            std::string::npos);
}

TEST(HttpClient, ResolvesByItsHook) {
  Site site;
  http::Loop loop;
  ClientOptions options = options_for("http://name.invalid:" + std::to_string(site.port()) + "/s/echo");
  int asked = 0;
  options.resolve = [&](const std::string& host, http::ResolveAnswer answer) {
    EXPECT_EQ(host, "name.invalid");
    ++asked;
    loop.post([answer = std::move(answer)] {
      answer(std::vector<carriers::Address>{carriers::Address::parse("127.0.0.1:0")});
    });
  };
  http::Client client(loop, options);
  int left = 3;
  std::vector<http::Client::Call> calls;
  calls.reserve(3);
  for (int i = 0; i < 3; ++i) {
    calls.push_back(client.post({}, seconds(20), [&](ClientOutcome&& outcome) {
      EXPECT_EQ(response_of(outcome).status, 200U);
      if (--left == 0) loop.stop();
    }));
  }
  loop.run();
  EXPECT_EQ(asked, 1);
}

TEST(HttpClient, PassesOnWhatTheHookSays) {
  ClientOptions options = options_for("http://name.invalid/s");
  options.resolve = [](const std::string&, const http::ResolveAnswer& answer) { answer(core::Error{"no such name"}); };
  expect_failure(post_once(options), FailureKind::resolve, "no such name");
}

// ---- TLS ----

class Tls : public testing::Test {
 protected:
  static std::string read(const std::string& path) {
    std::string text;
    FILE* const file = std::fopen(path.c_str(), "re");
    std::array<char, 8192> piece{};
    while (const std::size_t n = std::fread(piece.data(), 1, piece.size(), file)) text.append(piece.data(), n);
    std::fclose(file);
    return text;
  }
  static carriers::TlsTexts texts(const carriers::TlsFiles& files, bool with_ca) {
    return {read(files.certificate), read(files.key), with_ca ? read(files.ca) : "", ""};
  }
  static ClientOptions options(const Site& site) {
    return options_for("https://localhost:" + std::to_string(site.port()) + "/s/echo");
  }
  test::TestCertificates authority_;
};

TEST_F(Tls, IsSpokenWithTheRightAuthority) {
  Site site([&](http::ServerOptions& o) { o.tls = texts(authority_.make("localhost"), false); });
  ClientOptions o = options(site);
  o.tls.ca = read(authority_.ca());
  const std::string body(500'000, 'x');
  const ClientOutcome outcome = post_once(o, body);
  EXPECT_EQ(test::text_of(response_of(outcome).body), body);
}

TEST_F(Tls, NamesTheIssuerOfAForeignCertificate) {
  Site site([&](http::ServerOptions& o) { o.tls = texts(authority_.make("localhost"), false); });
  expect_failure(post_once(options(site)), FailureKind::certificate, "CN=test authority");
}

TEST_F(Tls, ChecksTheName) {
  Site site([&](http::ServerOptions& o) { o.tls = texts(authority_.make("elsewhere"), false); });
  ClientOptions o = options(site);
  o.tls.ca = read(authority_.ca());
  expect_failure(post_once(o), FailureKind::certificate, "localhost");
}

TEST_F(Tls, ShowsAClientCertificate) {
  Site site([&](http::ServerOptions& o) { o.tls = texts(authority_.make("localhost"), true); });
  ClientOptions o = options(site);
  o.tls = texts(authority_.make("client"), true);
  const ClientOutcome outcome = post_once(o, "proved");
  EXPECT_EQ(test::text_of(response_of(outcome).body), "proved");
}

TEST_F(Tls, FailsWithoutAClientCertificate) {
  Site site([&](http::ServerOptions& o) { o.tls = texts(authority_.make("localhost"), true); });
  ClientOptions o = options(site);
  o.tls.ca = read(authority_.ca());
  const ClientOutcome outcome = post_once(o);
  EXPECT_TRUE(std::holds_alternative<ClientFailure>(outcome));
  EXPECT_TRUE(site.wait_counters([](const auto& c) { return c.handshakes_failed >= 1; }));
}

TEST_F(Tls, IsRefusedByAPlainServer) {
  Site site;
  ClientOptions o = options(site);
  expect_failure(post_once(o), FailureKind::tls, "TLS with https://localhost");
}

TEST(HttpClient, KnowsWhetherALoginIsGiven) {
  ClientOptions options;
  options.url = "http://server.example/s";
  options.proxy = "";
  EXPECT_FALSE(has_login(options));
  options.proxy = "http://proxy:3128";
  EXPECT_FALSE(has_login(options));
  options.proxy = "http://me:secret@proxy:3128";
  EXPECT_TRUE(has_login(options));
  options.proxy.reset();
  options.environment = [](const char* name) -> std::optional<std::string> {
    if (std::string_view(name) == "http_proxy") return "http://me:secret@proxy:3128";
    return std::nullopt;
  };
  EXPECT_TRUE(has_login(options)) << "of the environment";
  options.proxy = "";
  options.url = "http://me:secret@server.example/s";
  EXPECT_TRUE(has_login(options));
  options.url = "http://server.example/s";
  options.proxy_login.negotiate = true;
  EXPECT_TRUE(has_login(options));
}

}  // namespace
}  // namespace slotwire
