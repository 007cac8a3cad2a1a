// slotwired is killed, carriers are cut, under traffic: processes go on, nothing is lost and nothing comes twice.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <sstream>

#include "ends.hpp"

namespace slotwire::test {
namespace {

using namespace std::chrono_literals;

class Restarts : public EveryTopology {
 protected:
  /// Runs numbered messages through `count` connections both ways while `disturb` runs; checks that each arrives once
  /// and in order.
  void check_traffic(std::size_t count, const std::function<void()>& disturb) {
    Result<Context> client_context = Context::open({.socket = client_node().socket(), .name = "client"});
    Result<Context> server_context = Context::open({.socket = server_node().socket(), .name = "server"});
    ASSERT_TRUE(client_context && server_context);
    Result<Service> service = server_context->serve("svc");
    ASSERT_TRUE(service) << service.error().text;
    struct Way {
      std::uint64_t sent = 0, received = 0;
    };
    struct Pair {
      Connection client, server;
      Way there{}, back{};
    };
    std::vector<Pair> pairs;
    for (std::size_t i = 0; i < count; ++i) {
      Result<Connection> client = client_context->connect("svc", kPatience, {.in_bytes = 8192, .out_bytes = 8192});
      ASSERT_TRUE(client) << client.error().text;
      Result<Connection> server = service->accept(kPatience);
      ASSERT_TRUE(server) << server.error().text;
      pairs.push_back({*std::move(client), *std::move(server)});
    }
    std::atomic<bool> stop{false};
    std::thread disturber([&] {
      disturb();
      stop = true;
    });
    const auto deadline = std::chrono::steady_clock::now() + 3 * kPatience;
    std::string wrong;
    const auto send = [&](Connection& from, Way& way) {
      const std::uint64_t number = way.sent;
      const std::vector<std::byte> rest = pattern(8 + (number % 200), number);
      std::vector<std::byte> bytes(rest);
      std::memcpy(bytes.data(), &number, sizeof number);
      const Result<void> sent = from.send(bytes, Deadline::now());
      if (sent)
        ++way.sent;
      else if (sent.status() != Status::again)
        wrong = "send: " + sent.error().text;
    };
    const auto receive = [&](Connection& to, Way& way) {
      while (wrong.empty()) {
        const Result<Message> message = to.receive(Deadline::now());
        if (message.status() == Status::again) return;
        if (!message) {
          wrong = "receive: " + message.error().text;
          return;
        }
        std::uint64_t number = 0;
        std::memcpy(&number, message->data().data(), std::min(message->size(), sizeof number));
        if (number != way.received || message->size() != 8 + (number % 200)) {
          wrong = "message " + std::to_string(number) + " instead of " + std::to_string(way.received);
          return;
        }
        ++way.received;
      }
    };
    bool done = false;
    while (!done && wrong.empty() && std::chrono::steady_clock::now() < deadline) {
      done = stop;
      for (Pair& pair : pairs) {
        if (!stop) {
          send(pair.client, pair.there);
          send(pair.server, pair.back);
        }
        receive(pair.server, pair.there);
        receive(pair.client, pair.back);
        done = done && pair.there.sent == pair.there.received && pair.back.sent == pair.back.received;
      }
      // Both processes hear of the engine's end and come back to it.
      (void)client_context->process();
      (void)server_context->process();
    }
    disturber.join();
    EXPECT_EQ(wrong, "");
    std::uint64_t total = 0;
    for (const Pair& pair : pairs) {
      EXPECT_EQ(pair.there.received, pair.there.sent);
      EXPECT_EQ(pair.back.received, pair.back.sent);
      total += pair.there.sent + pair.back.sent;
    }
    EXPECT_GT(total, 10 * count) << "hardly any traffic";
    // And everything works as before.
    std::optional<Connection> another;
    ASSERT_TRUE(eventually([&] {
      (void)server_context->process();  // this thread is the server too
      Result<Connection> made = client_context->connect("svc", 100ms, {.in_bytes = 8192, .out_bytes = 8192});
      if (made) another.emplace(*std::move(made));
      return made.ok();
    }));
    ASSERT_TRUE(another->send("new", kPatience));
    Result<Connection> accepted = service->accept(kPatience);
    ASSERT_TRUE(accepted) << accepted.error().text;
    EXPECT_TRUE(accepted->receive(kPatience));
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
