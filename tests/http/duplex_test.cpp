// When a client asks for a duplex connection, and what becomes of the session while there is one, or is none.
#include <gtest/gtest.h>

#include "http/pair.hpp"

namespace slotwire::http_stream {
namespace {

using State = DuplexReport::State;

ClientOptions with_duplex() {
  ClientOptions options = wide_client();
  options.duplex = true;
  return options;
}

/// The connection is made within a round trip.
void connect(Pair& pair, bool alive = true) {
  pair.on_try = [&pair, alive] {
    pair.at(2 * pair.delay_us, [&pair, alive] {
      pair.duplex_alive = alive;
      pair.client.attach_duplex(pair.now);
    });
  };
}

void refuse(Pair& pair) {
  pair.on_try = [&pair] {
    pair.at(pair.delay_us, [&pair] { pair.client.on_duplex_failed("a proxy refuses it", pair.now); });
  };
}

void cut(Pair& pair) {
  pair.duplex_alive = false;
  pair.client.on_duplex_lost(pair.now);
  pair.server.on_duplex_lost(1, pair.now);
}

TEST(HttpDuplex, OneIsAskedForOnceTheServerKnowsTheSessionAndThenCarriesEverything) {
  Pair pair(with_duplex(), wide_server());
  EXPECT_EQ(pair.client.duplex_report().state, State::waiting);
  connect(pair);
  std::uint64_t answers = 0;
  pair.on_try = [&, make = pair.on_try] {
    answers = pair.client.counters().responses;
    make();
  };
  ASSERT_TRUE(pair.run(kSecond, [&] { return pair.client.duplex_attached(); }));
  EXPECT_EQ(pair.tries.size(), 1U);
  EXPECT_EQ(answers, 2U) << "the server does not take it before a request with the key";
  EXPECT_EQ(pair.client.duplex_report().state, State::attached);
  pair.run(kSecond);
  pair.requests.clear();
  for (unsigned i = 0; i < 50; ++i) {
    ASSERT_TRUE(send(pair.client, numbered(i, 3'000)));
    ASSERT_TRUE(send(*pair.session, numbered(i, 3'000)));
  }
  pair.run(kSecond);
  EXPECT_EQ(pair.received_by_server().size(), 50U);
  EXPECT_EQ(pair.received_by_client().size(), 50U);
  pair.run(120 * kSecond);
  EXPECT_TRUE(pair.requests.empty()) << "and none while it is idle";
  EXPECT_TRUE(pair.client.duplex_attached());
}

TEST(HttpDuplex, NoneIsAskedForThatIsNotWanted) {
  Pair pair;
  pair.run(100 * kSecond);
  EXPECT_TRUE(pair.tries.empty());
  EXPECT_EQ(pair.client.duplex_report().state, State::off);
}

TEST(HttpDuplex, OneThatIsRefusedIsTriedAgainEverMoreRarelyWhileRequestsGoOn) {
  Pair pair(with_duplex(), wide_server());
  refuse(pair);
  for (unsigned i = 0; i < 30; ++i) {
    ASSERT_TRUE(send(pair.client, numbered(i, 100)));
    pair.run(500 * kSecond);
  }
  EXPECT_EQ(pair.received_by_server().size(), 30U);
  ASSERT_GE(pair.tries.size(), 12U);
  std::uint64_t delay = 5 * kSecond;
  for (std::size_t i = 1; i < pair.tries.size(); ++i) {
    const std::uint64_t gap = pair.tries[i] - pair.tries[i - 1] - pair.delay_us;
    EXPECT_LE(gap, delay) << i;
    EXPECT_GE(gap, delay / 4 * 3) << i;
    delay = std::min(2 * delay, 1'800 * kSecond);
  }
  const DuplexReport report = pair.client.duplex_report();
  EXPECT_EQ(report.state, State::resting);
  EXPECT_EQ(report.failures.count, pair.tries.size());
  EXPECT_EQ(report.failures.why, "a proxy refuses it");
  EXPECT_GT(report.failures.next_us, pair.now);
}

TEST(HttpDuplex, WhatFailedOnAWayIsRememberedByTheNextSessionOnIt) {
  Pair first(with_duplex());
  refuse(first);
  first.run(60 * kSecond);
  const Learned learned = first.client.learned();
  EXPECT_EQ(learned.duplex.count, first.tries.size());
  ASSERT_GT(learned.duplex.next_us, first.now);
  Pair next(with_duplex());
  Client again(with_duplex(), key_of(2), learned);
  std::swap(next.now, first.now);
  // The same clock, another session: nothing before the time that the first one named.
  std::vector<std::uint64_t> tries;
  while (next.now < learned.duplex.next_us + kSecond) {
    while (auto request = again.next_request(next.now)) {
      const RequestNumber id = request->id;
      next.server.on_request(id, next.from, request->body, next.now);
    }
    while (auto response = next.server.next_response(next.now)) {
      again.on_response(response->id, response->status, response->body, next.now);
    }
    while (next.server.next_event()) continue;
    if (again.next_duplex_try(next.now)) tries.push_back(next.now);
    next.now += 10 * kMillisecond;
    again.tick(next.now);
    next.server.tick(next.now);
  }
  ASSERT_EQ(tries.size(), 1U);
  EXPECT_GE(tries.front(), learned.duplex.next_us);
}

TEST(HttpDuplex, OneOverWhichNothingComesFromTheStartHoldsTheSessionUpForASecond) {
  Pair pair(with_duplex(), wide_server());
  connect(pair, false);
  ASSERT_TRUE(pair.run(kSecond, [&] { return pair.client.duplex_attached(); }));
  const std::uint64_t since = pair.now;
  ASSERT_TRUE(send(pair.client, "up"));
  ASSERT_TRUE(send(*pair.session, "down"));
  std::size_t up = 0, down = 0;
  ASSERT_TRUE(pair.run(3 * kSecond, [&] {
    up += pair.received_by_server().size();
    down += pair.received_by_client().size();
    return up == 1 && down == 1;
  }));
  EXPECT_LE(pair.now - since, kSecond + 100 * kMillisecond);
  EXPECT_FALSE(pair.client.duplex_attached());
  EXPECT_EQ(pair.client.duplex_report().failures.why, "it was made, and nothing came over it");
}

TEST(HttpDuplex, OneThatIsNotMadeInTimeIsGivenUpAndMayBeDropped) {
  Pair pair(with_duplex());
  ASSERT_TRUE(pair.run(kSecond, [&] { return pair.client.duplex_trying(); }));
  EXPECT_EQ(pair.client.duplex_report().state, State::trying);
  const std::uint64_t since = pair.tries.front();
  ASSERT_TRUE(pair.run(11 * kSecond, [&] { return !pair.client.duplex_trying(); }));
  EXPECT_EQ(pair.now - since, 10 * kSecond);
  EXPECT_EQ(pair.client.duplex_report().failures.why, "it was not made in time");
  pair.client.on_duplex_failed("it was dropped", pair.now);
  EXPECT_EQ(pair.client.duplex_report().failures.count, 1U) << "one try fails once";
  EXPECT_EQ(pair.client.state(), SessionState::up);
}

TEST(HttpDuplex, OneThatLivedIsTriedAgainSoonAndOneThatIsCutAtOnceIsNot) {
  Pair pair(with_duplex(), wide_server());
  refuse(pair);
  pair.run(1'000 * kSecond);
  const std::uint32_t before = pair.client.duplex_report().failures.count;
  ASSERT_GE(before, 6U);
  connect(pair);
  ASSERT_TRUE(pair.run(1'900 * kSecond, [&] { return pair.client.duplex_attached(); }));
  pair.run(kSecond);
  cut(pair);
  EXPECT_EQ(pair.client.duplex_report().failures.count, before + 1)
      << "a proxy that cuts at once is no better than one that refuses";
  ASSERT_TRUE(pair.run(1'900 * kSecond, [&] { return pair.client.duplex_attached(); }));
  pair.run(31 * kSecond);
  cut(pair);
  EXPECT_EQ(pair.client.duplex_report().failures.count, 1U);
  const std::uint64_t since = pair.now;
  ASSERT_TRUE(pair.run(10 * kSecond, [&] { return pair.client.duplex_attached(); }));
  EXPECT_LE(pair.now - since, 5'100 * kMillisecond);
}

TEST(HttpDuplex, NoneIsAskedForWhileRequestsFailOrTheSessionEnds) {
  Pair pair(with_duplex());
  refuse(pair);
  pair.run(kSecond);
  ASSERT_EQ(pair.tries.size(), 1U);
  pair.on_request = [](const Passed&) { return Pair::Fate::fail; };
  ASSERT_TRUE(send(pair.client, "x"));
  pair.run(10 * kSecond);
  EXPECT_EQ(pair.client.state(), SessionState::silent);
  EXPECT_EQ(pair.tries.size(), 1U) << "it is due, but nothing else passes either";
  pair.on_request = [](const Passed&) { return Pair::Fate::pass; };
  pair.run(6 * kSecond);
  EXPECT_EQ(pair.tries.size(), 2U);
  pair.client.close({CloseCode::done, "over"});
  pair.run(100 * kSecond);
  EXPECT_EQ(pair.tries.size(), 2U);
}

}  // namespace
}  // namespace slotwire::http_stream
