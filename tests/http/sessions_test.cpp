// Many sessions on one server, and strangers.
#include <gtest/gtest.h>

#include "http/pair.hpp"

namespace slotwire::http_stream {
namespace {

TEST(HttpRules, ManyClientsShareOneServerAndANodeIsBoth) {
  ServerOptions options;
  Server server(options, counting_random());
  std::vector<std::unique_ptr<Client>> clients;
  std::map<ExchangeId, std::pair<Client*, RequestNumber>> exchanges;
  for (unsigned i = 0; i < 20; ++i) clients.push_back(std::make_unique<Client>(ClientOptions{}, key_of(i + 1)));
  for (unsigned i = 0; i < 20; ++i) ASSERT_TRUE(send(*clients[i], numbered(i, 10)));
  ExchangeId id = 0;
  std::vector<std::string> texts;
  for (std::uint64_t now = 1; now < 100; ++now) {
    for (auto& client : clients) {
      while (auto request = client->next_request(now)) {
        exchanges[++id] = {client.get(), request->id};
        server.on_request(id, "source", request->body, now);
      }
    }
    while (auto response = server.next_response(now)) {
      const auto [client, number] = exchanges[response->id];
      client->on_response(number, response->status, response->body, now);
    }
    while (const auto event = server.next_event()) {
      while (auto message = server.session(event->session)->receive()) {
        texts.push_back(text_of(*message));
        EXPECT_TRUE(server.session(event->session)->send(*message));
      }
    }
  }
  EXPECT_EQ(texts.size(), 20U);
  for (unsigned i = 0; i < 20; ++i) {
    const auto echo = clients[i]->receive();
    ASSERT_TRUE(echo.has_value());
    EXPECT_EQ(text_of(*echo), numbered(i, 10)) << "each client its own";
  }
}

/// Opens a session and uses its key; says whether the server took it.
bool open_session(Server& server, std::uint32_t n, std::string_view from, std::uint64_t now,
                  std::string* why = nullptr) {
  Key nonce = key_of(1);
  for (std::size_t i = 0; i < 4; ++i) nonce[i] = static_cast<std::byte>(n >> (8 * i));
  ClientOptions options;
  options.probe_hold_us = 0;
  Client client(options, nonce);
  for (int step = 0; step < 2; ++step) {
    const auto request = client.next_request(now);
    if (!request) break;
    server.on_request(n * 2 + static_cast<unsigned>(step), from, request->body, now);
    while (auto response = server.next_response(now)) client.on_response(request->id, 200, response->body, now);
  }
  if (why != nullptr) *why = client.reason().text;
  return client.state() == SessionState::up;
}

TEST(HttpRules, SessionsAreLimitedInTotalAndFromOneSource) {
  ServerOptions options;
  options.max_sessions = 10;
  options.max_sessions_per_source = 4;
  Server server(options, counting_random());
  std::string why;
  for (unsigned i = 0; i < 4; ++i) EXPECT_TRUE(open_session(server, i, "a", 1));
  EXPECT_FALSE(open_session(server, 4, "a", 1, &why));
  EXPECT_EQ(why, "too many sessions from this source");
  for (unsigned i = 10; i < 16; ++i) EXPECT_TRUE(open_session(server, i, std::to_string(i), 1));
  EXPECT_FALSE(open_session(server, 16, "z", 1, &why));
  EXPECT_EQ(why, "too many sessions");
  EXPECT_EQ(server.counters().refused, 2U);
  EXPECT_LE(server.reserved_bytes(), options.total_bytes);
}

TEST(HttpRules, SessionsThatAreOnlyHalfOpenMakePlaceForOthers) {
  ServerOptions options;
  options.max_sessions = 10;
  Server server(options, counting_random());
  for (unsigned i = 0; i < 100; ++i) {
    Client client({}, key_of(i + 2));
    server.on_request(i, std::to_string(i), client.next_request(1)->body, 1);
  }
  EXPECT_EQ(server.sessions(), 10U);
  EXPECT_TRUE(open_session(server, 1'000, "honest", 1));
}

TEST(HttpRules, BufferedBytesAreLimitedInTotal) {
  ServerOptions options;
  options.max_sessions = 8;
  options.session.window_min = 128 << 10;
  options.session.send_bytes = 4 << 20;
  options.total_bytes = 4 << 20;
  Server server(options, counting_random());
  for (unsigned i = 0; i < 8; ++i) ASSERT_TRUE(open_session(server, i, "a", 1));
  std::vector<MessagePipe*> pipes;
  while (const auto event = server.next_event()) pipes.push_back(server.session(event->session));
  ASSERT_EQ(pipes.size(), 8U);
  const std::string block(60'000, 'x');
  for (MessagePipe* pipe : pipes) {
    while (send(*pipe, block)) continue;
    EXPECT_LE(server.reserved_bytes(), options.total_bytes);
    EXPECT_GE(pipe->unacknowledged(), 60'000U) << "each has its own share whatever others do";
  }
}

TEST(HttpRules, TenThousandSessionsThatNeverAskAgainCostBoundedTimeAndMemory) {
  constexpr unsigned kSessions = 10'000;
  ServerOptions options;
  options.max_sessions = kSessions;
  options.max_sessions_per_source = kSessions;
  options.total_bytes = std::size_t{4} << 30U;
  Server server(options, counting_random());
  for (unsigned i = 0; i < kSessions; ++i) ASSERT_TRUE(open_session(server, i, "a", 1'000 + i));
  EXPECT_EQ(server.sessions(), kSessions);
  // Time passes in small steps: each costs what is due, not a look at every session.
  std::uint64_t now = 20'000, ticks = 0, responses = 0, closed = 0;
  while (server.deadline() != kNever) {
    now = std::max(now, server.deadline());
    server.tick(now);
    ++ticks;
    while (server.next_response(now)) ++responses;
    while (const auto event = server.next_event()) {
      if (event->kind != ServerEvent::Kind::closed) continue;
      ++closed;
      server.release(event->session);
    }
    while (server.next_response(now)) ++responses;
  }
  EXPECT_EQ(responses, kSessions) << "the held request of each is answered at the end of its hold time";
  EXPECT_EQ(closed, kSessions);
  EXPECT_LE(ticks, 4U * kSessions);
  EXPECT_EQ(server.sessions(), 0U);
  EXPECT_EQ(server.reserved_bytes(), 0U);
}

TEST(HttpRules, AStrangerThatSendsGarbageIsAnsweredAndCostsNobodyAnything) {
  Server server({}, counting_random());
  for (unsigned i = 0; i < 1'000; ++i) {
    server.on_request(i, "stranger", Bytes(i, std::byte{0x5a}), i);
    const auto response = server.next_response(i);
    ASSERT_TRUE(response.has_value());
    EXPECT_EQ(response->status, 400U);
  }
  EXPECT_EQ(server.sessions(), 0U);
  EXPECT_EQ(server.counters().unreadable, 1'000U);
}

TEST(HttpRules, APeerThatBreaksTheRulesEndsItsOwnSession) {
  Pair pair;
  pair.settle();
  ASSERT_TRUE(send(pair.client, "x"));
  pair.run(20 * kMillisecond);
  Bundle bundle = pair.requests.back().bundle;
  bundle.parts.clear();
  bundle.sequence += 1;
  bundle.next = 1'000'000;  // acknowledges what was never sent
  pair.server.on_request(9'999, pair.from, encode(bundle), pair.now);
  EXPECT_EQ(pair.session->state(), SessionState::closed);
  EXPECT_EQ(pair.session->reason().code, CloseCode::protocol_error);
}

}  // namespace
}  // namespace slotwire::http_stream
