// Events of a poller's context beside connections that are always ready.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>

#include "node_fixture.hpp"
#include "slotwire.h"
#include "slotwire.hpp"
#include "slotwire_server.hpp"

namespace slotwire::test {
namespace {

sw_context* open_at(const Node& node) {
  sw_options options;
  SW_INIT(options);
  const std::string socket = node.socket();
  options.socket = socket.c_str();
  sw_context* context = nullptr;
  EXPECT_EQ(sw_open(&options, &context), SW_OK) << sw_last_error();
  return context;
}

sw_connection* accept_soon(sw_service* service) {
  sw_connection* connection = nullptr;
  EXPECT_EQ(sw_accept(service, 20'000, &connection), SW_OK) << sw_last_error();
  return connection;
}

/// How often a thread of this process has gone to sleep so far; none: it is awake.
std::optional<std::uint64_t> sleeps_of(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/status");
  bool asleep = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("State:")) asleep = line.find('S', 6) != std::string::npos;
    if (line.starts_with("voluntary_ctxt_switches:") && asleep) return std::stoull(line.substr(24));
  }
  return std::nullopt;
}

TEST(PollerEvents, AreToldThoughAConnectionIsAlwaysReady) {
  Cluster cluster({});
  cluster.start();
  sw_context* const server = open_at(cluster["left"]);
  sw_context* const client = open_at(cluster["left"]);
  ASSERT_TRUE(server != nullptr && client != nullptr);
  sw_service* service = nullptr;
  ASSERT_EQ(sw_serve(server, "svc", nullptr, &service), SW_OK) << sw_last_error();
  sw_connection* first = nullptr;
  ASSERT_EQ(sw_connect(client, "svc", nullptr, 20'000, &first), SW_OK) << sw_last_error();
  sw_connection* const busy = accept_soon(service);
  sw_poller* poller = nullptr;
  ASSERT_EQ(sw_poller_create(server, &poller), SW_OK);
  ASSERT_EQ(sw_poller_add(poller, busy, SW_READABLE, busy), SW_OK);
  // Never received, so the connection stays ready.
  ASSERT_EQ(sw_send(first, "x", 1, 0), SW_OK);
  sw_connection* second = nullptr;
  ASSERT_EQ(sw_connect(client, "svc", nullptr, 20'000, &second), SW_OK) << sw_last_error();

  // The engine has told both ends; the poller looks at its descriptors once in a bounded number of waits.
  bool told = false;
  for (int i = 0; i < 1000 && !told; ++i) {
    std::array<sw_ready, 4> ready{};
    std::size_t count = 99;
    ASSERT_EQ(sw_poller_wait(poller, ready.data(), ready.size(), 0, &count), SW_OK);
    told = count == 0;
  }
  EXPECT_TRUE(told);
  sw_connection* accepted = nullptr;
  EXPECT_EQ(sw_accept(service, 0, &accepted), SW_OK);
  sw_poller_destroy(poller);
  sw_close(client);
  sw_close(server);
}

TEST(PollerEvents, OfASleepingConnectionAreToldThoughAnotherIsAlwaysReady) {
  Cluster cluster({});
  cluster.start();
  sw_context* const server = open_at(cluster["left"]);
  sw_context* const client = open_at(cluster["left"]);
  ASSERT_TRUE(server != nullptr && client != nullptr);
  sw_service* service = nullptr;
  ASSERT_EQ(sw_serve(server, "svc", nullptr, &service), SW_OK) << sw_last_error();
  sw_poller* poller = nullptr;
  ASSERT_EQ(sw_poller_create(server, &poller), SW_OK);
  std::array<sw_connection*, 2> from{};
  std::array<sw_connection*, 2> to{};  // the busy one and the one that sleeps
  for (std::size_t i = 0; i < to.size(); ++i) {
    ASSERT_EQ(sw_connect(client, "svc", nullptr, 20'000, &from[i]), SW_OK) << sw_last_error();
    to[i] = accept_soon(service);
    ASSERT_EQ(sw_poller_add(poller, to[i], SW_READABLE, to[i]), SW_OK);
  }
  std::array<sw_ready, 4> ready{};
  std::size_t count = 0;
  while (sw_poller_wait(poller, ready.data(), ready.size(), 1, &count) == SW_OK) ASSERT_EQ(count, 0U);
  // Both sleep. The first wakes and, never received, stays ready.
  ASSERT_EQ(sw_send(from[0], "x", 1, 0), SW_OK);
  ASSERT_EQ(sw_poller_wait(poller, ready.data(), ready.size(), 20'000, &count), SW_OK);
  ASSERT_TRUE(count == 1 && ready[0].token == to[0]);
  // Both ends share a ring: when this returns, the other one's descriptor is readable.
  ASSERT_EQ(sw_send(from[1], "y", 1, 0), SW_OK);
  bool told = false;
  for (int i = 0; i < 1000 && !told; ++i) {
    ASSERT_EQ(sw_poller_wait(poller, ready.data(), ready.size(), 0, &count), SW_OK);
    for (std::size_t k = 0; k < count; ++k) told = told || ready[k].token == to[1];
  }
  EXPECT_TRUE(told);
  sw_poller_destroy(poller);
  sw_close(client);
  sw_close(server);
}

TEST(PollerEvents, NothingIsAgainAtOnceAndTimedOutLater) {
  Cluster cluster({});
  cluster.start();
  sw_context* const context = open_at(cluster["left"]);
  ASSERT_NE(context, nullptr);
  sw_poller* poller = nullptr;
  ASSERT_EQ(sw_poller_create(context, &poller), SW_OK);
  std::array<sw_ready, 4> ready{};
  std::size_t count = 99;
  EXPECT_EQ(sw_poller_wait(poller, ready.data(), ready.size(), 0, &count), SW_AGAIN);
  EXPECT_EQ(count, 0U);
  EXPECT_EQ(sw_poller_wait(poller, ready.data(), ready.size(), 1, &count), SW_TIMED_OUT);
  sw_poller_destroy(poller);
  sw_close(context);
}

/// A server whose handler asks another service: what slotwired says meanwhile is handled within that call.
TEST(PollerEvents, OfAServerAreToldThoughItsHandlerWaited) {
  Cluster cluster({});
  cluster.start();
  const ContextOptions at{.socket = cluster["left"].socket()};
  // The other service, played by this thread.
  Result<Context> inner = Context::open(at);
  ASSERT_TRUE(inner) << inner.error().text;
  Result<Service> asked = inner->serve("inner");
  ASSERT_TRUE(asked) << asked.error().text;

  std::atomic<const Server*> running{nullptr};
  std::atomic<pid_t> server_thread{0};
  std::thread serving([&] {
    server_thread = ::gettid();
    std::optional<Connection> to;
    Server* self = nullptr;
    Result<Server> server = Server::open(at, "outer", [&](Request& request) {
      if (!to) to = self->context().connect("inner", std::chrono::milliseconds(kPatience)).value();
      const Result<Message> answer = to->call(1, request.data(), std::chrono::milliseconds(kPatience));
      request.reply(answer ? "good" : "bad");
    });
    if (server) {
      self = &*server;
      running = self;
      (void)server->run();
      to.reset();
    }
  });
  ASSERT_TRUE(eventually([&] { return running.load() != nullptr; }));

  Result<Context> client = Context::open(at);
  ASSERT_TRUE(client) << client.error().text;
  const Deadline patience = std::chrono::milliseconds(kPatience);
  Result<Connection> first = client->connect("outer", patience);
  ASSERT_TRUE(first) << first.error().text;
  Result<Call> one = first->begin_call(1, "x", patience);
  ASSERT_TRUE(one) << one.error().text;
  Result<Connection> from = asked->accept(patience);
  ASSERT_TRUE(from) << from.error().text;
  Result<Message> question = from->receive(patience);
  ASSERT_TRUE(question) << question.error().text;
  // The handler sleeps until its answer is there, and is woken when slotwired tells of another connection.
  std::optional<std::uint64_t> before;
  ASSERT_TRUE(eventually([&] { return (before = sleeps_of(server_thread)).has_value(); }));
  Result<Connection> second = client->connect("outer", patience);
  ASSERT_TRUE(second) << second.error().text;
  Result<Call> other = second->begin_call(1, "y", patience);
  ASSERT_TRUE(other) << other.error().text;
  ASSERT_TRUE(eventually([&] {
    const std::optional<std::uint64_t> now = sleeps_of(server_thread);
    return now && *now > *before;
  }));
  ASSERT_TRUE(from->reply(question->id(), "x", patience));
  EXPECT_TRUE(one->answer(patience));
  Result<Message> next = from->receive(patience);
  EXPECT_TRUE(next) << "the second connection was not accepted: " << next.error().text;
  if (next) {
    EXPECT_TRUE(from->reply(next->id(), "y", patience));
    EXPECT_TRUE(other->answer(patience));
  }
  running.load()->stop();
  serving.join();
}

/// One outcome of sw_start_connect().
int outcome_of(sw_context* context, sw_poller* poller, void*& token, sw_connection*& connection) {
  while (true) {
    const int status = sw_connected(context, &token, &connection);
    if (status != SW_AGAIN) return status;
    std::array<sw_ready, 1> ready{};
    std::size_t count = 0;
    const int waited = sw_poller_wait(poller, ready.data(), ready.size(), 20'000, &count);
    if (waited != SW_OK) return waited;
  }
}

TEST(StartConnect, TellsEachOutcomeWithItsToken) {
  Cluster cluster({});
  cluster.start();
  sw_context* const server = open_at(cluster["left"]);
  sw_context* const client = open_at(cluster["left"]);
  ASSERT_TRUE(server != nullptr && client != nullptr);
  sw_service* service = nullptr;
  ASSERT_EQ(sw_serve(server, "svc", nullptr, &service), SW_OK) << sw_last_error();
  sw_poller* poller = nullptr;
  ASSERT_EQ(sw_poller_create(client, &poller), SW_OK);
  int good = 0;
  int bad = 0;
  ASSERT_EQ(sw_start_connect(client, "svc", nullptr, 20'000, &good), SW_OK) << sw_last_error();
  ASSERT_EQ(sw_start_connect(client, "nobody", nullptr, 20'000, &bad), SW_OK) << sw_last_error();
  for (int i = 0; i < 2; ++i) {
    void* token = nullptr;
    sw_connection* connection = nullptr;
    const int status = outcome_of(client, poller, token, connection);
    if (token == &good) {
      EXPECT_EQ(status, SW_OK);
      ASSERT_NE(connection, nullptr);
      EXPECT_EQ(sw_send(connection, "hello", 5, 0), SW_OK);
    } else {
      EXPECT_EQ(token, &bad);
      EXPECT_EQ(status, SW_NO_SERVICE);
      EXPECT_EQ(connection, nullptr);
    }
  }
  sw_message message;
  SW_INIT(message);
  EXPECT_EQ(sw_receive(accept_soon(service), 20'000, &message), SW_OK);
  sw_poller_destroy(poller);
  sw_close(client);
  sw_close(server);
}

TEST(StartConnect, TellsWhenTheEngineGoesAway) {
  ClusterOptions options;
  options.nodes = {"left", "right"};
  options.services["far"] = {"right"};
  Cluster cluster(options);
  cluster.start();
  sw_context* const client = open_at(cluster["left"]);
  ASSERT_NE(client, nullptr);
  sw_poller* poller = nullptr;
  ASSERT_EQ(sw_poller_create(client, &poller), SW_OK);
  cluster["left"].kill();
  // Whether the request was still taken or not: one answer comes, and it says that the engine is gone.
  int mark = 0;
  const int started = sw_start_connect(client, "far", nullptr, 20'000, &mark);
  if (started == SW_OK) {
    void* token = nullptr;
    sw_connection* connection = nullptr;
    EXPECT_EQ(outcome_of(client, poller, token, connection), SW_ENGINE_GONE);
    EXPECT_EQ(token, &mark);
  } else {
    EXPECT_EQ(started, SW_ENGINE_GONE);
  }
  sw_poller_destroy(poller);
  sw_close(client);
  cluster["left"].start();
}

class InPlace : public ::testing::Test {
 protected:
  void SetUp() override {
    cluster_.start();
    server_ = open_at(cluster_["left"]);
    client_ = open_at(cluster_["left"]);
    sw_service* service = nullptr;
    ASSERT_EQ(sw_serve(server_, "svc", nullptr, &service), SW_OK) << sw_last_error();
    ASSERT_EQ(sw_connect(client_, "svc", nullptr, 20'000, &from_), SW_OK) << sw_last_error();
    to_ = accept_soon(service);
  }
  void TearDown() override {
    sw_close(client_);
    sw_close(server_);
  }
  Cluster cluster_{{}};
  sw_context* server_ = nullptr;
  sw_context* client_ = nullptr;
  sw_connection* from_ = nullptr;
  sw_connection* to_ = nullptr;
};

TEST_F(InPlace, BytesAreTheSameAsThroughReadAndWrite) {
  sw_loan loan;
  SW_INIT(loan);
  ASSERT_EQ(sw_loan_stream(from_, 100, &loan), SW_OK) << sw_last_error();
  ASSERT_GE(loan.length, 100U);
  std::memcpy(loan.data, "abcdef", 6);
  EXPECT_EQ(sw_commit_stream(from_, loan.length + 1), SW_INVALID);
  ASSERT_EQ(sw_commit_stream(from_, 6), SW_OK);
  std::size_t done = 0;
  ASSERT_EQ(sw_write(from_, "ghi", 3, &done), SW_OK);

  const void* data = nullptr;
  std::size_t length = 0;
  ASSERT_EQ(sw_peek_stream(to_, &data, &length), SW_OK);
  EXPECT_EQ(std::string_view(static_cast<const char*>(data), length), "abcdef");
  EXPECT_EQ(sw_consume_stream(to_, 7), SW_INVALID);
  ASSERT_EQ(sw_consume_stream(to_, 2), SW_OK);
  std::array<char, 16> rest{};
  ASSERT_EQ(sw_read(to_, rest.data(), rest.size(), &done), SW_OK);
  EXPECT_EQ(std::string_view(rest.data(), done), "cdefghi");
  EXPECT_EQ(sw_peek_stream(to_, &data, &length), SW_AGAIN);
}

TEST_F(InPlace, AnOrderlyEndIsToldFromAClose) {
  const void* data = nullptr;
  std::size_t length = 1;
  ASSERT_EQ(sw_shutdown(from_), SW_OK);
  ASSERT_EQ(sw_peek_stream(to_, &data, &length), SW_OK);
  EXPECT_EQ(length, 0U);
  // The other direction ends without saying so.
  sw_connection_close(to_);
  ASSERT_EQ(sw_wait(from_, SW_READABLE, 20'000), SW_OK);
  EXPECT_EQ(sw_peek_stream(from_, &data, &length), SW_PEER_CLOSED);
}

TEST_F(InPlace, AFullRingLendsNothingUntilEnoughIsFree) {
  sw_loan loan;
  SW_INIT(loan);
  int status = SW_OK;
  while ((status = sw_loan_stream(from_, 1, &loan)) == SW_OK) ASSERT_EQ(sw_commit_stream(from_, loan.length), SW_OK);
  EXPECT_EQ(status, SW_AGAIN);
  EXPECT_EQ(sw_loan_stream(from_, 1000, &loan), SW_AGAIN);
  EXPECT_EQ(sw_arm(from_, SW_WRITABLE), SW_OK);
  sw_disarm(from_);
  const void* data = nullptr;
  std::size_t length = 0;
  ASSERT_EQ(sw_peek_stream(to_, &data, &length), SW_OK);
  ASSERT_EQ(sw_consume_stream(to_, length), SW_OK);
  ASSERT_EQ(sw_loan_stream(from_, 1000, &loan), SW_OK);
  EXPECT_GE(loan.length, 1000U);
  sw_abandon(from_);
}

}  // namespace
}  // namespace slotwire::test
