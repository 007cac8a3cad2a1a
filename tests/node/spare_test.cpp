// Connections over memory that earlier ones of the same processes had.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "ends.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

constexpr int kConnections = 30;

/// The files of slot memory that this process has mapped now, by inode.
std::set<std::string> mapped_files() {
  std::set<std::string> inodes;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:slotwire-slot") == std::string::npos) continue;
    std::istringstream fields(line);
    std::string range, access, offset, device, inode;
    fields >> range >> access >> offset >> device >> inode;
    inodes.insert(inode);
  }
  return inodes;
}

class Spare : public EveryTopology {
 protected:
  void wait_for_no_slots() {
    for (Node* node : {&client_node(), &server_node()})
      EXPECT_TRUE(eventually([&] { return node->status()["slots"]["used"] == 0; }));
  }
  int spares(const Node& node) { return node.status()["slots"]["spare"].get<int>(); }
};
INSTANTIATE_TEST_SUITE_P(Node, Spare, every_topology(), topology_name);

void echo(Request& request) {
  request.reply(request.data());
}

TEST_P(Spare, ConnectionsOneAfterAnotherHaveTheSameMemory) {
  const ServerThread server(server_node().socket(), "svc", echo);
  Result<Context> context = Context::open({.socket = client_node().socket()});
  ASSERT_TRUE(context);
  std::set<std::string> seen;
  for (int i = 0; i < kConnections; ++i) {
    Result<Connection> connection = context->connect("svc", kPatience);
    ASSERT_TRUE(connection) << connection.error().text;
    const std::string question(static_cast<std::size_t>(5000 + (i * 100)), static_cast<char>('a' + (i % 26)));
    {
      const Result<Message> answer = connection->call(1, question, kPatience);
      ASSERT_TRUE(answer) << answer.error().text;
      EXPECT_EQ(answer->text(), question);
    }
    seen.merge(mapped_files());
    connection->close();
    wait_for_no_slots();
  }
  constexpr std::size_t kFilesOfBothEnds = 4;
  if (GetParam().strict) {
    EXPECT_EQ(spares(client_node()), 0);
  } else {
    EXPECT_LE(seen.size(), kFilesOfBothEnds) << "each connection had new memory";
    EXPECT_GE(spares(client_node()), 1);
  }
}

TEST_P(Spare, NothingThatWasLeftUnreadReachesTheNextConnection) {
  Result<Context> clients = Context::open({.socket = client_node().socket()});
  Result<Context> servers = Context::open({.socket = server_node().socket()});
  ASSERT_TRUE(clients && servers);
  Result<Service> service = servers->serve("svc");
  ASSERT_TRUE(service);
  for (int i = 0; i < kConnections; ++i) {
    Result<Connection> client = clients->connect("svc", kPatience);
    ASSERT_TRUE(client) << client.error().text;
    Result<Connection> server = service->accept(kPatience);
    ASSERT_TRUE(server);
    EXPECT_EQ(server->receive(Deadline::now()).status(), Status::again) << "round " << i;
    EXPECT_EQ(client->receive(Deadline::now()).status(), Status::again) << "round " << i;
    const std::string hello = "hello " + std::to_string(i);
    ASSERT_TRUE(client->send(hello, kPatience));
    ASSERT_TRUE(server->send(hello, kPatience));
    for (Connection* end : {&*client, &*server}) {
      const Result<Message> got = end->receive(kPatience);
      ASSERT_TRUE(got) << got.error().text;
      EXPECT_EQ(got->text(), hello);
    }
    // Different amounts, so that the marks stand somewhere else each time.
    for (int more = 0; more <= i; ++more) {
      ASSERT_TRUE(client->send("left unread by the server", kPatience));
      ASSERT_TRUE(server->send("left unread by the client", kPatience));
    }
    (i % 2 == 0 ? *client : *server).close();
    (i % 2 == 0 ? *server : *client).close();
    wait_for_no_slots();
  }
}

TEST_P(Spare, SleepersOfTheNextConnectionAreWoken) {
  const ServerThread server(server_node().socket(), "svc", echo);
  // Without spinning: each call sleeps and is woken.
  Result<Context> context = Context::open({.socket = client_node().socket(), .spin = 1us, .yield = 1us});
  ASSERT_TRUE(context);
  for (int i = 0; i < kConnections; ++i) {
    Result<Connection> connection = context->connect("svc", kPatience);
    ASSERT_TRUE(connection) << connection.error().text;
    for (int call = 0; call < 3; ++call) ASSERT_TRUE(connection->call(1, "x", kPatience));
    connection->close();
    wait_for_no_slots();
  }
}

TEST_P(Spare, ADescriptorThatTheProgramHasIsNotUsedAgain) {
  Ends ends = open_ends(client_node().socket(), server_node().socket());
  EXPECT_GE(ends.client.fd(), 0);
  EXPECT_GE(ends.server.fd(), 0);
  ends.client.close();
  ends.server.close();
  wait_for_no_slots();
  EXPECT_EQ(spares(client_node()) + spares(server_node()), 0);
  EXPECT_TRUE(mapped_files().empty());
}

TEST_P(Spare, ARestartedEngineKnowsOfNoneAndConnectionsGoOn) {
  const ServerThread server(server_node().socket(), "svc", echo);
  Result<Context> context = Context::open({.socket = client_node().socket()});
  ASSERT_TRUE(context);
  const auto calls = [&] {
    Result<Connection> connection = context->connect("svc", kPatience);
    return connection && connection->call(1, "x", kPatience);
  };
  ASSERT_TRUE(calls());
  wait_for_no_slots();
  for (Node* node : {&client_node(), &server_node()}) {
    node->kill();
    node->start();
    EXPECT_EQ(spares(*node), 0);
    if (node == &server_node()) break;  // it is one and the same
  }
  EXPECT_TRUE(eventually(calls)) << "the server may come back after the client";
  wait_for_no_slots();
}

}  // namespace
}  // namespace slotwire::test
