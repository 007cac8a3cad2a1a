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

}  // namespace
}  // namespace slotwire::test
