// What goes wrong, and the status that says so.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "ends.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

class Failures : public EveryTopology {
 protected:
  Failures()
      : EveryTopology(ClusterOptions{.toml = "[limits]\nslots_per_session = 3\nmemory_per_session = \"512KiB\"\n"}) {}
};
INSTANTIATE_TEST_SUITE_P(Node, Failures, every_topology(), topology_name);

TEST_P(Failures, NobodyServes) {
  Result<Context> context = Context::open({.socket = client_node().socket()});
  ASSERT_TRUE(context);
  const Result<Connection> unknown = context->connect("nobody", kPatience);
  EXPECT_EQ(unknown.status(), Status::no_service) << unknown.error().text;
  EXPECT_NE(unknown.error().text.find("nobody"), std::string::npos);
  const Result<Connection> known =
      context->connect("svc", kPatience);  // the directory names a node, but no process is there
  EXPECT_EQ(known.status(), Status::no_service) << known.error().text;
  EXPECT_EQ(context->connect("Not A Name", kPatience).status(), Status::invalid);
  EXPECT_EQ(context->connect("svc", kPatience, {.in_bytes = 1U << 30}).status(), Status::invalid);
}

TEST_P(Failures, AServiceThatIsNoLongerServedIsUnknown) {
  Result<Context> server = Context::open({.socket = server_node().socket()});
  Result<Context> client = Context::open({.socket = client_node().socket()});
  ASSERT_TRUE(server && client);
  {
    Result<Service> service = server->serve("svc");
    ASSERT_TRUE(service);
    EXPECT_EQ(server->serve("svc").status(), Status::invalid) << "it serves it already";
    EXPECT_EQ(service->accept(30ms).status(), Status::timed_out);
    EXPECT_EQ(service->accept(Deadline::now()).status(), Status::again);
    // Not accepted: closed with the service.
    Result<Connection> connection = client->connect("svc", kPatience, {.in_bytes = 4096, .out_bytes = 4096});
    ASSERT_TRUE(connection) << connection.error().text;
    service->close();
    EXPECT_EQ(connection->receive(kPatience).status(), Status::peer_closed);
  }
  EXPECT_EQ(client->connect("svc", kPatience).status(), Status::no_service);
}

TEST_P(Failures, QuotasAreRefused) {
  Ends e = ends({.in_bytes = 4096, .out_bytes = 4096});
  std::vector<Connection> more;
  for (int i = 0; i < 2; ++i) {
    Result<Connection> connection = e.client_context.connect("svc", kPatience, {.in_bytes = 4096, .out_bytes = 4096});
    ASSERT_TRUE(connection) << connection.error().text;
    more.push_back(*std::move(connection));
  }
  const Result<Connection> slots = e.client_context.connect("svc", kPatience, {.in_bytes = 4096, .out_bytes = 4096});
  EXPECT_EQ(slots.status(), Status::refused) << slots.error().text;
  EXPECT_NE(slots.error().text.find("slots_per_session"), std::string::npos) << slots.error().text;
  more.clear();
  Result<Context> other = Context::open({.socket = client_node().socket()});
  ASSERT_TRUE(other);
  const Result<Connection> memory = other->connect("svc", kPatience, {.in_bytes = 1U << 20, .out_bytes = 1U << 20});
  EXPECT_EQ(memory.status(), Status::refused) << memory.error().text;
  EXPECT_NE(memory.error().text.find("memory_per_session"), std::string::npos) << memory.error().text;
}

TEST_P(Failures, AContextThatClosesInGoodOrderIsNotTakenForDead) {
  Result<Context> server = Context::open({.socket = server_node().socket()});
  ASSERT_TRUE(server);
  Result<Service> service = server->serve("svc");
  ASSERT_TRUE(service);
  // By the C ABI: sw_close() with connections open, and with answers of slotwired that nobody has read.
  sw_options options;
  SW_INIT(options);
  const std::string socket = client_node().socket();
  options.socket = socket.c_str();
  sw_context* context = nullptr;
  ASSERT_EQ(sw_open(&options, &context), SW_OK);
  sw_connect_options rings;
  SW_INIT(rings);
  rings.in_bytes = rings.out_bytes = 4096;
  sw_connection* connections[2] = {};
  for (sw_connection*& connection : connections)
    ASSERT_EQ(sw_connect(context, "svc", &rings, 20'000, &connection), SW_OK) << sw_last_error();
  ASSERT_EQ(sw_send(connections[1], "last words", 10, 1000), SW_OK);
  sw_connection_close(connections[0]);
  Result<Connection> first = service->accept(kPatience);
  Result<Connection> second = service->accept(kPatience);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->receive(kPatience).status(), Status::peer_closed);
  sw_close(context);
  const Result<Message> last = second->receive(kPatience);
  ASSERT_TRUE(last) << last.error().text;
  EXPECT_EQ(last->text(), "last words");
  EXPECT_EQ(second->receive(kPatience).status(), Status::peer_closed);
}

TEST_P(Failures, APeerThatDiedIsToldFromOneThatClosed) {
  const std::string program = SLOTWIRE_NODE_PEER;
  {
    Result<Context> context = Context::open({.socket = server_node().socket()});
    ASSERT_TRUE(context);
    Result<Service> service = context->serve("svc");
    ASSERT_TRUE(service);
    Process victim({program, client_node().socket(), "svc", "connect", "100"});
    Result<Connection> connection = service->accept(kPatience);
    ASSERT_TRUE(connection) << connection.error().text;
    ASSERT_EQ(victim.read_line(), "ready");
    victim.signal(SIGKILL);
    ASSERT_TRUE(victim.wait());
    // Everything that it sent is there, then its end.
    for (int i = 0; i < 100; ++i) {
      const Result<Message> message = connection->receive(kPatience);
      ASSERT_TRUE(message) << i << ": " << message.error().text;
      EXPECT_EQ(message->text(), std::to_string(i));
    }
    const Result<Message> end = connection->receive(kPatience);
    EXPECT_EQ(end.status(), Status::peer_died) << end.error().text;
    EXPECT_EQ(connection->send("x", Deadline::now()).status(), Status::peer_died);
    EXPECT_EQ(connection->wait(Interest::readable, kPatience).status(), Status::ok) << "an end is something to read";
  }
  Process victim({program, server_node().socket(), "svc", "serve", "0"});
  ASSERT_EQ(victim.read_line(), "serving");
  Result<Context> context = Context::open({.socket = client_node().socket()});
  ASSERT_TRUE(context);
  Result<Connection> connection = context->connect("svc", kPatience);
  ASSERT_TRUE(connection) << connection.error().text;
  ASSERT_EQ(victim.read_line(), "ready");
  ASSERT_TRUE(connection->start_call(1, "unanswered", kPatience));
  victim.signal(SIGKILL);
  EXPECT_EQ(connection->receive(kPatience).status(), Status::peer_died);
}

TEST_P(Failures, CallsOfAPeerThatDiesEnd) {
  Process victim({SLOTWIRE_NODE_PEER, server_node().socket(), "svc", "serve", "0"});
  ASSERT_EQ(victim.read_line(), "serving");
  Result<Context> context = Context::open({.socket = client_node().socket()});
  ASSERT_TRUE(context);
  Result<Connection> connection = context->connect("svc", kPatience);
  ASSERT_TRUE(connection) << connection.error().text;
  ASSERT_EQ(victim.read_line(), "ready");
  std::thread killer([&] { victim.signal(SIGKILL); });
  const Result<Message> answer = connection->call(1, "x", Deadline::never());
  killer.join();
  EXPECT_EQ(answer.status(), Status::peer_died) << answer.error().text;
}

TEST(Rules, RefuseWhatTheyDoNotAllow) {
  Cluster cluster({.nodes = {"left", "right"},
                   .services = {{"private", {"right"}}, {"public", {"right"}}},
                   .toml = "[[allow]]\naction = \"serve\"\nservice = \"p*\"\nusers = [\"*\"]\n"
                           "[[allow]]\naction = \"connect\"\nservice = \"public\"\nusers = [\"*\"]\nnodes = [\"*\"]\n"
                           "[[allow]]\naction = \"connect\"\nservice = \"private\"\nusers = [\"*\"]\n"});
  cluster.start();
  Result<Context> server = Context::open({.socket = cluster["right"].socket()});
  Result<Context> client = Context::open({.socket = cluster["left"].socket()});
  ASSERT_TRUE(server && client);
  const Result<Service> other = server->serve("other");
  EXPECT_EQ(other.status(), Status::refused) << "not allowed to serve it";
  Result<Service> open = server->serve("public");
  Result<Service> closed = server->serve("private");
  ASSERT_TRUE(open && closed);
  EXPECT_TRUE(client->connect("public", kPatience));
  const Result<Connection> refused = client->connect("private", kPatience);
  EXPECT_EQ(refused.status(), Status::refused) << refused.error().text;
  EXPECT_EQ(client->connect("other", kPatience).status(), Status::refused);
}

TEST(Engines, ThatAreNotThereAreSaidToBeGone) {
  const Result<Context> context = Context::open({.socket = "/nonexistent/slotwire.sock"});
  EXPECT_EQ(context.status(), Status::engine_gone);
  EXPECT_NE(context.error().text.find("/nonexistent/slotwire.sock"), std::string::npos);
}

TEST(Engines, ThatStopTellTheirProcesses) {
  Cluster cluster({});
  cluster.start();
  {
    Ends e = open_ends(cluster["left"].socket(), cluster["left"].socket());
    cluster["left"].stop();
    // A direct pair goes on without an engine; what needs one says so.
    ASSERT_TRUE(e.client.send("still", kPatience));
    const Result<Message> message = e.server.receive(kPatience);
    ASSERT_TRUE(message) << message.error().text;
    EXPECT_EQ(e.client_context.connect("svc", 100ms).status(), Status::engine_gone);
  }
  EXPECT_EQ(cluster["left"].leftovers(), "");
  EXPECT_EQ(open_slot_memory(), 0U);
}

TEST(Links, ThatAreDownAreSaidToBeAndDeliverWhenTheyAreBack) {
  for (const Carrier carrier : {Carrier::udp, Carrier::tcp}) {
    Cluster cluster({.nodes = {"left", "right"}, .carrier = carrier, .services = {{"svc", {"right"}}}});
    cluster.start();
    Ends e = open_ends(cluster["left"].socket(), cluster["right"].socket());
    ASSERT_TRUE(e.client.send("before", kPatience));
    ASSERT_TRUE(e.server.receive(kPatience));
    cluster["right"].kill();
    // Noticed at the control connection; what is sent from now on waits in the ring.
    ASSERT_TRUE(eventually([&] { return !e.client_context.process() || !e.client.peer()->link_up; }));
    ASSERT_TRUE(e.client.send("meanwhile", kPatience));
    const Result<Message> nothing = e.client.receive(50ms);
    EXPECT_EQ(nothing.status(), Status::link_down) << nothing.error().text;
    EXPECT_EQ(e.client_context.connect("svc", 100ms).status(), Status::link_down);
    cluster["right"].start();
    const Result<Message> message = e.server.receive(kPatience);
    ASSERT_TRUE(message) << message.error().text;
    EXPECT_EQ(message->text(), "meanwhile");
    ASSERT_TRUE(e.server.send("after", kPatience));
    Result<Message> after = e.client.receive(kPatience);
    ASSERT_TRUE(after) << after.error().text;
    EXPECT_EQ(after->text(), "after");
    // The server is known again once its context, which nobody else runs here, has taken up its session.
    Result<Connection> another = e.client_context.connect("svc", kPatience);
    EXPECT_TRUE(eventually([&] {
      if (!another && e.server_context.process()) another = e.client_context.connect("svc", kPatience);
      return static_cast<bool>(another);
    })) << another.error().text;
    EXPECT_TRUE(eventually([&] { return e.client_context.process() && e.client.peer()->link_up; }));
  }
}

TEST(Links, BetweenThreeNodesLeadToTheNodeThatServes) {
  Cluster cluster({.nodes = {"a", "b", "c"}, .services = {{"on-b", {"b"}}, {"on-c", {"c"}}, {"either", {"b", "c"}}}});
  cluster.start();
  ServerThread b(cluster["b"].socket(), "on-b", [](Request& request) { request.reply("b"); });
  ServerThread c(cluster["c"].socket(), "on-c", [](Request& request) { request.reply("c"); });
  for (const char* from : {"a", "b", "c"}) {
    Result<Context> context = Context::open({.socket = cluster[from].socket()});
    ASSERT_TRUE(context);
    for (const char* to : {"b", "c"}) {
      Result<Connection> connection = context->connect(std::string("on-") + to, kPatience);
      ASSERT_TRUE(connection) << from << " to " << to << ": " << connection.error().text;
      const Result<Message> answer = connection->call(1, "", kPatience);
      ASSERT_TRUE(answer) << answer.error().text;
      EXPECT_EQ(answer->text(), to);
      EXPECT_EQ(connection->peer()->node, to);
    }
  }
}

}  // namespace
}  // namespace slotwire::test
