// Traffic that notices whatever is lost, changed, doubled or out of order.
#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>

#include "ends.hpp"

namespace slotwire::test {

/// Runs numbered messages through `count` connections to the service "svc" both ways while `disturb` runs; checks that
/// each arrives once and in order.
inline void check_traffic(const Node& client_node, const Node& server_node, std::size_t count,
                          const std::function<void()>& disturb) {
  Result<Context> client_context = Context::open({.socket = client_node.socket(), .name = "client"});
  Result<Context> server_context = Context::open({.socket = server_node.socket(), .name = "server"});
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
    Result<Connection> made =
        client_context->connect("svc", std::chrono::milliseconds(100), {.in_bytes = 8192, .out_bytes = 8192});
    if (!made) return false;
    another.emplace(*std::move(made));
    return true;
  }));
  ASSERT_TRUE(another->send("new", kPatience));
  // On a busy machine a connect may have been given up after the server had it: that connection comes first, and ends.
  bool received = false;
  while (!received) {
    Result<Connection> accepted = service->accept(kPatience);
    ASSERT_TRUE(accepted) << accepted.error().text;
    received = static_cast<bool>(accepted->receive(kPatience));
  }
}

}  // namespace slotwire::test
