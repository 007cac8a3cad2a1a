// slotwired is killed, carriers are cut, under traffic: processes go on, nothing is lost and nothing comes twice.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "raw_client.hpp"
#include "traffic.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

class Restarts : public EveryTopology {
 protected:
  void check_traffic(std::size_t count, const std::function<void()>& disturb) {
    test::check_traffic(client_node(), server_node(), count, disturb);
  }
};
INSTANTIATE_TEST_SUITE_P(Node, Restarts, every_topology(), topology_name);

class LinkedRestarts : public Restarts {};
INSTANTIATE_TEST_SUITE_P(Node, LinkedRestarts, every_link(), topology_name);

TEST_P(Restarts, OfTheServersEngineLoseNothing) {
  check_traffic(8, [&] {
    for (int i = 0; i < 3; ++i) {
      server_node().kill();
      server_node().start();
    }
  });
  EXPECT_TRUE(server_node().status()["recovered"].get<bool>());
}

TEST_P(LinkedRestarts, OfBothEnginesAtOnceLoseNothing) {
  check_traffic(8, [&] {
    for (int i = 0; i < 3; ++i) {
      client_node().kill();
      server_node().kill();
      server_node().start();
      client_node().start();
    }
  });
}

TEST_P(LinkedRestarts, OfCutCarriersLoseNothing) {
  check_traffic(8, [&] {
    for (int i = 0; i < 5; ++i) {
      const std::string peer = server_node().name();
      EXPECT_TRUE(eventually([&] { return client_node().status()["links"][0]["up"].get<bool>(); }));
      EXPECT_TRUE(client_node().request({{"op", "cut"}, {"link", peer}})["ok"].get<bool>());
    }
    EXPECT_TRUE(eventually([&] { return client_node().status()["links"][0]["up"].get<bool>(); }));
  });
}

TEST_P(Restarts, AreNoticedByAProcessThatSleeps) {
  Ends e = ends();
  std::thread restarter([&] {
    server_node().kill();
    server_node().start();
    ASSERT_TRUE(e.client_context.adopt());
    ASSERT_TRUE(e.client.send("good morning", kPatience));
  });
  const Result<Message> message = e.server.receive(2 * kPatience);
  restarter.join();
  ASSERT_TRUE(e.client_context.adopt());
  ASSERT_TRUE(message) << message.error().text;
  EXPECT_EQ(message->text(), "good morning");
}

TEST_P(Restarts, TellOfAPeerThatDiedMeanwhile) {
  Result<Context> context = Context::open({.socket = server_node().socket()});
  ASSERT_TRUE(context);
  Result<Service> service = context->serve("svc");
  ASSERT_TRUE(service);
  Process victim({SLOTWIRE_NODE_PEER, client_node().socket(), "svc", "connect", "10"});
  Result<Connection> connection = service->accept(kPatience);
  ASSERT_TRUE(connection) << connection.error().text;
  ASSERT_EQ(victim.read_line(), "ready");
  client_node().kill();
  victim.signal(SIGKILL);
  ASSERT_TRUE(victim.wait());
  client_node().start();
  for (int i = 0; i < 10; ++i) {
    const Result<Message> message = connection->receive(kPatience);
    ASSERT_TRUE(message) << message.error().text;
    EXPECT_EQ(message->text(), std::to_string(i));
  }
  Result<Message> end = connection->receive(kPatience);
  while (end.status() == Status::link_down || end.status() == Status::engine_gone) end = connection->receive(kPatience);
  EXPECT_EQ(end.status(), Status::peer_died) << end.error().text;
}

TEST_P(LinkedRestarts, TellOfALinkThatWentDownMeanwhile) {
  Ends e = ends();
  ASSERT_TRUE(e.client.peer()->link_up);
  client_node().kill();
  server_node().kill();
  // This life of the client's engine never sees the link up, so nothing but the resumption can tell of it.
  client_node().start();
  EXPECT_TRUE(eventually([&] {
    (void)e.client_context.process();
    return !e.client.peer()->link_up;
  }));
  EXPECT_EQ(e.client.receive(1ms).status(), Status::link_down);
  server_node().start();
  EXPECT_TRUE(eventually([&] {
    (void)e.client_context.process();
    return e.client.peer()->link_up;
  }));
  ASSERT_TRUE(e.client.send("after", kPatience));
  const Result<Message> message = e.server.receive(kPatience);
  ASSERT_TRUE(message) << message.error().text;
  EXPECT_EQ(message->text(), "after");
}

TEST_P(Restarts, ThatKeptNothingAreToldAsLost) {
  // Its memory is gone: without recovery a new life starts anew.
  Ends e = ends();
  server_node().kill();
  server_node().start_without_recovery();
  const Result<Message> server = e.server.receive(kPatience);
  EXPECT_EQ(server.status(), Status::lost) << server.error().text;
  Result<Message> client = e.client.receive(kPatience);
  while (client.status() == Status::link_down || client.status() == Status::engine_gone)
    client = e.client.receive(kPatience);
  EXPECT_EQ(client.status(), Status::lost) << client.error().text;
  // Both can go on with new connections.
  Result<Connection> another = e.client_context.connect("svc", kPatience);
  ASSERT_TRUE(another) << another.error().text;
  Result<Connection> accepted = e.service.accept(kPatience);
  ASSERT_TRUE(accepted) << accepted.error().text;
  ASSERT_TRUE(another->send("new", kPatience));
  EXPECT_TRUE(accepted->receive(kPatience));
}

TEST_P(Restarts, AreWhatAContextInTheBackgroundTakesTheFirstStartFor) {
  client_node().kill();
  sw_options options;
  SW_INIT(options);
  const std::string socket = client_node().socket();
  options.socket = socket.c_str();
  options.background = 1;
  sw_context* context = nullptr;
  ASSERT_EQ(sw_open(&options, &context), SW_OK) << sw_last_error();
  EXPECT_EQ(sw_start_connect(context, "svc", nullptr, 1000, nullptr), SW_ENGINE_GONE);
  EXPECT_STREQ(sw_context_node(context), "");
  client_node().start();
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(sw_context_process(context), SW_OK);
    return client_node().name() == sw_context_node(context);
  }));
  Ends e = ends();
  int token = 0;
  ASSERT_EQ(sw_start_connect(context, "svc", nullptr, 20000, &token), SW_OK) << sw_last_error();
  const Result<Connection> accepted = e.service.accept(kPatience);
  ASSERT_TRUE(accepted) << accepted.error().text;
  sw_connection* connection = nullptr;
  void* came = nullptr;
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(sw_context_process(context), SW_OK);
    return sw_connected(context, &came, &connection) == SW_OK;
  }));
  EXPECT_EQ(came, &token);
  sw_connection_close(connection);
  sw_close(context);
}

// A process that is back says what it serves in messages of its own, one by one.
TEST_P(Restarts, LetNobodyMissAServiceThatIsNotAnnouncedYet) {
  RawClient first(server_node().socket());
  const Json hello = first.ask({{"op", "hello"}, {"version", 2}, {"probes", true}});
  ASSERT_TRUE(hello.contains("session")) << hello.dump();
  ASSERT_TRUE(first.ask({{"op", "serve"}, {"service", "late"}})["ok"].get<bool>());
  server_node().kill();
  server_node().start();
  RawClient again(server_node().socket()), caller(server_node().socket());
  ASSERT_TRUE(caller.ask({{"op", "hello"}, {"version", 2}})["ok"].get<bool>());
  const auto connect = [&] { return caller.ask({{"op", "connect"}, {"service", "late"}})["error"]["code"]; };
  EXPECT_EQ(connect(), "restarting") << "it is not back";
  ASSERT_TRUE(again
                  .ask({{"op", "resume"},
                        {"version", 2},
                        {"session", hello["session"]},
                        {"token", hello["token"]},
                        {"slots", Json::array()},
                        {"probes", true}})["ok"]
                  .get<bool>());
  EXPECT_EQ(connect(), "restarting") << "it is back, and has not said what it serves";
  const std::optional<control::Packet> probe = again.receive();
  ASSERT_TRUE(probe);
  const Json event = Json::parse(probe->text);
  ASSERT_EQ(event["ev"], "probe") << event.dump();
  ASSERT_TRUE(again.send(Json{{"op", "alive"}, {"probe", event["probe"]}}.dump()));
  ASSERT_TRUE(again.ask({{"op", "status"}}).contains("node"));
  EXPECT_EQ(connect(), "no_service") << "it has said all that it serves";
}

TEST_P(Restarts, AreNotNeededByAnIdleNode) {
  // An idle node sleeps: it wakes for its own timers (a tick each 250 ms, pings), not to poll.
  Ends e = ends();
  ASSERT_TRUE(e.client.send("x", kPatience));
  ASSERT_TRUE(e.server.receive(kPatience));
  const auto cpu_ticks = [](pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text((std::istreambuf_iterator<char>(file)), {});
    std::istringstream fields(text.substr(text.rfind(')') + 2));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    long user = 0;
    long system = 0;
    fields >> user >> system;
    return user + system;
  };
  const Json before = client_node().status();
  const long ticks = cpu_ticks(client_node().pid());
  EXPECT_EQ(e.server.receive(1000ms).status(), Status::timed_out);
  const Json after = client_node().status();
  const auto sleeps = after["sleeps"].get<std::uint64_t>() - before["sleeps"].get<std::uint64_t>();
  RecordProperty("cpu_ticks_in_one_idle_second", static_cast<int>(cpu_ticks(client_node().pid()) - ticks));
  RecordProperty("sleeps_in_one_idle_second", static_cast<int>(sleeps));
  std::printf("idle for 1 s: %ld ticks of CPU, %llu sleeps\n", cpu_ticks(client_node().pid()) - ticks,
              static_cast<unsigned long long>(sleeps));
  EXPECT_GE(sleeps, 1U) << "it never slept";
  EXPECT_LE(sleeps, 100U) << "it woke again and again";
}

}  // namespace
}  // namespace slotwire::test
