// One-shot connections: they give their slot and its memory back when their exchange is complete, with the handle and
// the answer still held, and whatever becomes of the process.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "ends.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

constexpr ConnectOptions kOneShot{.one_shot = true};

/// Rings and marks that this process has mapped, of both ends.
std::size_t mapped_slot_memory() {
  std::ifstream maps("/proc/self/maps");
  std::size_t found = 0;
  for (std::string line; std::getline(maps, line);)
    found += line.find("memfd:slotwire-slot") != std::string::npos ? 1U : 0U;
  return found;
}

class OneShot : public EveryTopology {
 protected:
  /// The other ends close as usual, and would leave spare slots.
  OneShot() : EveryTopology({.toml = "[limits]\nspare_slots = 0\n"}) {}
  /// Nothing of a connection is left on either node, nor mapped in this process.
  void expect_all_back() {
    for (Node* node : {&client_node(), &server_node()}) {
      EXPECT_TRUE(eventually([&] {
        const Json status = node->status();
        return status["slots"]["used"] == 0 && status["memory"]["free"] == status["memory"]["total"];
      })) << node->status()["slots"].dump();
    }
    EXPECT_TRUE(eventually([] { return open_slot_memory() == 0 && mapped_slot_memory() == 0; }));
  }
  /// Slots that the client's node has in use.
  int used() { return client_node().status()["slots"]["used"].get<int>(); }
};
INSTANTIATE_TEST_SUITE_P(Node, OneShot, every_topology(), topology_name);

void echo(Request& request) {
  request.reply(request.data());
}

TEST_P(OneShot, ACallGivesTheSlotBackBeforeItsAnswerIsReleased) {
  const ServerThread server(server_node().socket(), "svc", echo);
  Result<Context> context = Context::open({.socket = client_node().socket()});
  ASSERT_TRUE(context);
  Result<Connection> connection = context->connect("svc", kPatience, kOneShot);
  ASSERT_TRUE(connection) << connection.error().text;
  EXPECT_GT(used(), 0);
  EXPECT_GT(mapped_slot_memory(), 0U);
  const std::string question(10'000, 'q');
  const Result<Message> answer = connection->call(1, question, kPatience);
  ASSERT_TRUE(answer) << answer.error().text;
  expect_all_back();
  EXPECT_EQ(answer->text(), question) << "the answer stays";
  EXPECT_EQ(connection->call(1, "again", kPatience).status(), Status::peer_closed);
  EXPECT_EQ(connection->send("again", kPatience).status(), Status::peer_closed);
  EXPECT_EQ(connection->receive(Deadline::now()).status(), Status::peer_closed);
  EXPECT_EQ(connection->stream().peek().status(), Status::peer_closed);
  EXPECT_TRUE(connection->wait(Interest::readable, Deadline::now())) << "an end is something to read";
}

TEST_P(OneShot, AnAnswerThatIsReceivedEndsItToo) {
  const ServerThread server(server_node().socket(), "svc", echo);
  Result<Context> context = Context::open({.socket = client_node().socket()});
  ASSERT_TRUE(context);
  Result<Connection> connection = context->connect("svc", kPatience, kOneShot);
  ASSERT_TRUE(connection);
  ASSERT_TRUE(connection->start_call(1, "question", kPatience));
  const Result<Message> answer = connection->receive(kPatience);
  ASSERT_TRUE(answer) << answer.error().text;
  expect_all_back();
  EXPECT_EQ(answer->text(), "question");
}

TEST_P(OneShot, ACallThatFailsGivesTheSlotBack) {
  {
    Result<Context> server = Context::open({.socket = server_node().socket()});
    ASSERT_TRUE(server);
    Result<Service> service = server->serve("svc");
    ASSERT_TRUE(service);
    Result<Context> context = Context::open({.socket = client_node().socket()});
    ASSERT_TRUE(context);
    Result<Connection> connection = context->connect("svc", kPatience, kOneShot);
    ASSERT_TRUE(connection);
    EXPECT_EQ(connection->call(1, "nobody answers", 10ms).status(), Status::timed_out);
    Result<Connection> accepted = service->accept(kPatience);
    ASSERT_TRUE(accepted);
    ASSERT_TRUE(eventually([&] { return accepted->receive(10ms).status() == Status::peer_closed; }));
    accepted->close();
    expect_all_back();
  }
}

TEST_P(OneShot, AStreamEndsItWhenBothDirectionsHaveEnded) {
  Result<Context> server = Context::open({.socket = server_node().socket()});
  ASSERT_TRUE(server);
  Result<Service> service = server->serve("svc");
  ASSERT_TRUE(service);
  Result<Context> context = Context::open({.socket = client_node().socket()});
  ASSERT_TRUE(context);
  Result<Connection> connection = context->connect("svc", kPatience, kOneShot);
  ASSERT_TRUE(connection);
  Result<Connection> accepted = service->accept(kPatience);
  ASSERT_TRUE(accepted);
  ASSERT_TRUE(connection->stream().write_all("a question", kPatience));
  ASSERT_TRUE(connection->stream().shutdown());
  ASSERT_TRUE(accepted->stream().write_all("an answer", kPatience));
  ASSERT_TRUE(accepted->stream().shutdown());
  std::vector<std::byte> buffer(100);
  EXPECT_EQ(*connection->stream().read_some(buffer, kPatience), 9U);
  EXPECT_EQ(connection->stream().read_some(buffer, kPatience).status(), Status::peer_closed);
  EXPECT_EQ(connection->stream().read_some(buffer, kPatience).status(), Status::peer_closed);
  // What was written before is still delivered.
  EXPECT_EQ(*accepted->stream().read_some(buffer, kPatience), 10U);
  EXPECT_TRUE(eventually([&] { return accepted->send("x", Deadline::now()).status() == Status::peer_closed; }));
  accepted->close();
  expect_all_back();
}

TEST_P(OneShot, ManyHandlesThatAreStillHeldDoNotDisturbNewConnections) {
  const ServerThread server(server_node().socket(), "svc", echo);
  Result<Context> context = Context::open({.socket = client_node().socket()});
  ASSERT_TRUE(context);
  std::vector<Connection> handles;
  std::vector<Message> answers;
  for (int i = 0; i < 50; ++i) {
    Result<Connection> connection = context->connect("svc", kPatience, i % 5 == 4 ? ConnectOptions{} : kOneShot);
    ASSERT_TRUE(connection) << connection.error().text;
    Result<Message> answer = connection->call(1, std::to_string(i), kPatience);
    ASSERT_TRUE(answer) << i << ": " << answer.error().text;
    handles.push_back(*std::move(connection));
    answers.push_back(*std::move(answer));
    // A handle whose place another connection has by now closes nothing but itself.
    if (i % 7 == 6) {
      answers[static_cast<std::size_t>(i - 6)] = {};
      handles[static_cast<std::size_t>(i - 6)].close();
    }
  }
  for (int i = 4; i < 50; i += 5) {
    const auto at = static_cast<std::size_t>(i);
    if (at % 7 == 0) continue;  // closed above
    EXPECT_TRUE(handles[at].call(1, "still here", kPatience)) << i;
  }
  for (int i = 1; i < 50; ++i) {
    if (i % 7 == 0) continue;
    EXPECT_EQ(answers[static_cast<std::size_t>(i)].text(), std::to_string(i));
  }
}

TEST_P(OneShot, AProcessThatIsKilledInTheMiddleLeavesNothing) {
  Result<Context> server = Context::open({.socket = server_node().socket()});
  ASSERT_TRUE(server);
  Result<Service> service = server->serve("svc");
  ASSERT_TRUE(service);
  Process victim({SLOTWIRE_NODE_PEER, client_node().socket(), "svc", "call-once", "0"});
  Result<Connection> accepted = service->accept(kPatience);
  ASSERT_TRUE(accepted) << accepted.error().text;
  std::uint32_t id = 0;
  {
    const Result<Message> request = accepted->receive(kPatience);
    ASSERT_TRUE(request) << request.error().text;
    id = request->id();
  }
  victim.signal(SIGKILL);
  ASSERT_TRUE(victim.wait());
  ASSERT_TRUE(eventually([&] { return accepted->reply(id, "too late", 10ms).status() == Status::peer_died; }));
  accepted->close();
  for (Node* node : {&client_node(), &server_node()})
    EXPECT_TRUE(eventually([&] { return node->status()["slots"]["used"] == 0; }));
}

}  // namespace
}  // namespace slotwire::test
