// The library for executing servers, driven step by step beside its clients in one thread.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "node_fixture.hpp"
#include "slotwire_web.hpp"

namespace slotwire::test {
namespace {

using web::Abort;
using web::ExchangePtr;

constexpr const char* kService = "web";

/// What a client has received so far.
struct Client {
  Connection connection;
  std::string text{};
  bool ended = false;

  void send(std::string_view bytes) {
    const Result<void> sent = connection.stream().write_all(bytes, std::chrono::milliseconds(kPatience));
    EXPECT_TRUE(sent) << sent.error().text;
  }
  void look() {
    std::array<std::byte, 4096> piece;
    while (!ended) {
      const Result<std::size_t> done = connection.stream().read(piece);
      if (done.status() == Status::again) return;
      ended = !done;
      if (done) text.append(reinterpret_cast<const char*>(piece.data()), *done);
    }
  }
  /// The body of one response with a length has come, and nothing else is asked for.
  bool has_response() const {
    const std::size_t end = text.find("\r\n\r\n");
    const std::size_t length = text.find("content-length: ");
    if (end == std::string::npos || length == std::string::npos) return false;
    return text.size() - end - 4 >= std::stoul(text.substr(length + 16));
  }
  std::string status() const { return text.substr(0, text.find("\r\n")); }
};

class WebServer : public ::testing::Test {
 protected:
  void SetUp() override {
    cluster_.start();
    for (const char* node : {"left", "right"}) {
      Result<Context> opened = Context::open({.socket = cluster_[node].socket(), .name = "client"});
      ASSERT_TRUE(opened) << opened.error().text;
      contexts_.emplace(node, *std::move(opened));
    }
  }
  void TearDown() override {
    clients_.clear();
    server_.reset();
    contexts_.clear();
  }
  void open(web::Handler handler, web::ServerOptions options = {}) {
    Result<web::Server> opened = web::Server::open({.socket = cluster_["right"].socket(), .name = "server"}, kService,
                                                   std::move(handler), std::move(options));
    ASSERT_TRUE(opened) << opened.error().text;
    server_.emplace(*std::move(opened));
  }
  Client& connect(const std::string& node = "right") {
    Result<Connection> made = contexts_.at(node).connect(kService, std::chrono::milliseconds(kPatience));
    if (!made) throw std::runtime_error(made.error().text);
    clients_.push_back(std::make_unique<Client>(Client{*std::move(made)}));
    return *clients_.back();
  }
  void step() {
    const Result<bool> did = server_->step();
    EXPECT_TRUE(did) << did.error().text;
    for (auto& [node, context] : contexts_) (void)context.process();
    for (const auto& client : clients_) client->look();
  }
  /// Lets the server go on until it holds.
  bool soon(const std::function<bool()>& holds) {
    return eventually([&] {
      step();
      return holds();
    });
  }
  std::string status_of(Client& client, std::string_view request) {
    client.text.clear();
    client.send(request);
    EXPECT_TRUE(soon([&] { return client.has_response() || client.ended; }));
    return client.status();
  }

  Cluster cluster_{{.nodes = {"left", "right"}, .services = {{kService, {"right"}}}}};
  std::map<std::string, Context> contexts_;
  std::optional<web::Server> server_;
  std::vector<std::unique_ptr<Client>> clients_;
};

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::string_view kHalf = "GET / HTTP/1.1\r\nHo";
constexpr std::string_view kOtherHalf = "st: h\r\n\r\n";
constexpr const char* kGood = "HTTP/1.1 200 OK";

void say_good(const ExchangePtr& x) {
  x->respond(200, {}, "good");
}

TEST_F(WebServer, IsNotRunFromWithinItsOwnCallbacks) {
  std::vector<Status> nested;
  open([&](const ExchangePtr& x) {
    nested.push_back(server_->step().status());
    nested.push_back(server_->run().status());
    say_good(x);
  });
  // Both are ready at one time; whichever has its turn first must leave the other one be.
  Client& one = connect();
  Client& other = connect();
  ASSERT_TRUE(soon([&] { return server_->connections() == 2; }));
  one.send(kGet);
  other.connection.close();
  clients_.pop_back();
  EXPECT_TRUE(soon([&] { return one.has_response() && server_->connections() == 1; }));
  EXPECT_EQ(nested, (std::vector<Status>{Status::invalid, Status::invalid}));
  EXPECT_EQ(status_of(one, kGet), kGood) << "the server goes on";
}

TEST_F(WebServer, GivesUpAHeadThatDoesNotArriveInTime) {
  web::ServerOptions options;
  options.head_time = std::chrono::milliseconds(1);
  open(say_good, options);
  Client& slow = connect();
  Client& idle = connect();
  EXPECT_EQ(status_of(slow, kHalf), "HTTP/1.1 408 Request Timeout");
  EXPECT_NE(slow.text.find("connection: close"), std::string::npos) << slow.text;
  EXPECT_TRUE(soon([&] { return slow.ended; }));
  EXPECT_EQ(server_->heads_given_up(), 0U);
  // The time runs from the first byte.
  EXPECT_EQ(status_of(idle, kGet), kGood);
}

TEST_F(WebServer, TakesBodiesUpToItsLimitWhetherTheirLengthIsSaidOrNot) {
  web::ServerOptions options;
  options.max_body = 4;
  std::vector<Abort> aborts;
  open(
      [&](const ExchangePtr& x) {
        x->on_abort([&](Abort why) { aborts.push_back(why); });
        x->collect_body(100, [x](const Result<std::string>& body) { x->respond(200, {}, body ? *body : "none"); });
      },
      options);
  constexpr std::string_view kPost = "POST / HTTP/1.1\r\nHost: h\r\n";
  const auto post = [&](std::string_view rest) { return status_of(connect(), std::string(kPost) + std::string(rest)); };
  EXPECT_EQ(post("Content-Length: 4\r\n\r\nabcd"), kGood);
  EXPECT_EQ(post("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"), kGood);
  EXPECT_TRUE(aborts.empty());
  EXPECT_EQ(post("Content-Length: 5\r\n\r\nabcde"), "HTTP/1.1 413 Payload Too Large");
  EXPECT_TRUE(aborts.empty()) << "the handler is not called for it";
  EXPECT_EQ(post("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"),
            "HTTP/1.1 413 Payload Too Large");
  EXPECT_EQ(aborts, std::vector<Abort>{Abort::invalid});
}

TEST_F(WebServer, KeepsNoLongerResponseThanItsLimit) {
  web::ServerOptions options;
  options.max_unsent = std::size_t{1} << 20U;
  std::vector<Status> said;
  open(
      [&](const ExchangePtr& x) {
        const std::string body(options.max_unsent + 1, 'x');
        said.push_back(x->respond(200, {}, body));
        EXPECT_FALSE(x->is_started()) << "another answer is still possible";
        EXPECT_NE(x->problem().find("max_unsent"), std::string::npos) << x->problem();
        said.push_back(x->respond(200, {}, std::string_view(body).substr(1)));
      },
      options);
  Client& client = connect();
  EXPECT_EQ(status_of(client, kGet), kGood);
  EXPECT_EQ(said, (std::vector<Status>{Status::too_large, Status::ok}));
  EXPECT_EQ(client.text.size() - client.text.find("\r\n\r\n") - 4, options.max_unsent);
}

TEST_F(WebServer, EndsTheOldestOfTooManyUnfinishedHeadsOfAUser) {
  std::vector<std::string> problems;
  web::ServerOptions options;
  options.max_unfinished_heads = 2;
  options.on_finished = [&](const web::Finished& finished) {
    if (!finished.problem.empty()) problems.emplace_back(finished.problem);
  };
  open(say_good, options);
  // The same user, but another node's.
  Client& stranger = connect("left");
  stranger.send(kHalf);
  ASSERT_TRUE(soon([&] { return server_->connections() == 1; }));
  std::vector<Client*> own;
  for (std::size_t i = 1; i <= 3; ++i) {
    own.push_back(&connect());
    own.back()->send(kHalf);
    // Each has been looked at before the next one begins, which would be the oldest else.
    ASSERT_TRUE(soon([&] { return server_->connections() == i + 1 || i == 3; }));
    ASSERT_FALSE(own.back()->ended);
  }
  EXPECT_TRUE(soon([&] { return own[0]->ended; }));
  EXPECT_EQ(own[0]->status(), "HTTP/1.1 408 Request Timeout");
  EXPECT_NE(own[0]->text.find("max_unfinished_heads"), std::string::npos) << own[0]->text;
  EXPECT_TRUE(soon([&] { return server_->connections() == 3; })) << "its place is free";
  for (Client* client : {own[1], own[2], &stranger}) EXPECT_EQ(status_of(*client, kOtherHalf), kGood);
  EXPECT_EQ(server_->heads_given_up(), 1U);
  EXPECT_EQ(problems.size(), 1U);
  // Heads that were finished do not count.
  for (Client* client : {own[1], own[2]}) EXPECT_EQ(status_of(*client, kGet), kGood);
}

TEST_F(WebServer, ClosesAnIdleConnectionWhosePlaceIsNeeded) {
  web::ServerOptions options;
  options.max_connections = 1;
  options.linger_time = std::chrono::milliseconds(1);
  open(say_good, options);
  Client& idle = connect();
  EXPECT_EQ(status_of(idle, kGet), kGood);
  idle.text.clear();
  Client& next = connect();
  EXPECT_EQ(status_of(next, kGet), kGood) << "the idle one was not closed, though it did not do what it was asked to";
  EXPECT_TRUE(soon([&] { return idle.ended; }));
  EXPECT_NE(idle.text.find("100 Continue"), std::string::npos) << "it was not asked: " << idle.text;
}

}  // namespace
}  // namespace slotwire::test
