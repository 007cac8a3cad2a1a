// The rules of the message stream over HTTP, one by one, between a client and a server in simulated time.
#include <gtest/gtest.h>

#include <numeric>

#include "core/http_stream/pace.hpp"
#include "http/pair.hpp"

namespace slotwire::http_stream {
namespace {

using Fate = Pair::Fate;

ClientOptions without_probe() {
  ClientOptions options;
  options.probe_hold_us = 0;
  return options;
}

// One request is always outstanding, so that either side may speak first.

TEST(HttpRules, OneRequestIsAlwaysOutstanding) {
  Pair pair;
  pair.settle();
  for (int i = 0; i < 2'000; ++i) {
    pair.run(100 * kMillisecond);
    ASSERT_GE(pair.client.outstanding(), 1U);
  }
  EXPECT_EQ(pair.client.outstanding(), 1U);
  EXPECT_LE(pair.requests.size(), 10U) << "an idle session makes a request in each hold time and no more";
}

TEST(HttpRules, TheServerMaySpeakFirst) {
  Pair pair;
  pair.settle();
  const std::uint64_t start = pair.now;
  ASSERT_TRUE(send(*pair.session, "from the server"));
  ASSERT_TRUE(pair.run(kSecond, [&] { return !pair.received_by_client().empty(); }));
  EXPECT_EQ(pair.now - start, pair.delay_us) << "half a round trip: the held request is answered at once";
}

TEST(HttpRules, TheClientMaySpeakFirst) {
  Pair pair;
  pair.settle();
  const std::uint64_t start = pair.now;
  ASSERT_TRUE(send(pair.client, "from the client"));
  ASSERT_TRUE(pair.run(kSecond, [&] { return !pair.received_by_server().empty(); }));
  EXPECT_EQ(pair.now - start, pair.delay_us);
}

// When the server answers.

TEST(HttpRules, AHeldRequestIsAnsweredAtTheEndOfTheHoldTime) {
  ClientOptions options = without_probe();
  options.hold_us = 7 * kSecond;
  Pair pair(options);
  pair.run(30 * kSecond);
  ASSERT_GE(pair.responses.size(), 4U);
  EXPECT_EQ(pair.responses[1].bundle.delay_us, 7 * kSecond);
  EXPECT_TRUE(pair.responses[1].bundle.parts.empty());
}

TEST(HttpRules, TheServerCapsTheHoldTime) {
  ServerOptions server;
  server.hold_max_us = 3 * kSecond;
  Pair pair(without_probe(), server);
  pair.run(20 * kSecond);
  EXPECT_EQ(pair.responses[1].bundle.delay_us, 3 * kSecond);
}

TEST(HttpRules, ASecondRequestIsAnsweredByTheFirstEvenIfEmptyAndIsHeldInstead) {
  Pair pair;
  pair.settle();
  ASSERT_TRUE(send(pair.client, "second request"));
  pair.run(20 * kMillisecond);
  ASSERT_EQ(pair.requests.size(), 1U);
  ASSERT_EQ(pair.responses.size(), 1U);
  EXPECT_LT(pair.responses[0].number, pair.requests[0].number);
  EXPECT_TRUE(pair.responses[0].bundle.parts.empty());
  EXPECT_EQ(pair.responses[0].bundle.next, 1U) << "it acknowledges what the second one carried";
  EXPECT_EQ(pair.client.outstanding(), 1U) << "the second one is held";
}

TEST(HttpRules, AHeldRequestIsAnsweredAtOnceWhenTheBundleIsFull) {
  Pair pair({}, {}, 50 * kMillisecond);
  pair.settle();
  // A message has just gone, so a small one would gather; a full bundle does not.
  ASSERT_TRUE(send(*pair.session, "small"));
  pair.pump();
  pair.run(150 * kMillisecond);
  const std::uint64_t start = pair.now;
  ASSERT_TRUE(send(*pair.session, "small"));
  pair.pump();
  pair.run(101 * kMillisecond);
  for (unsigned i = 0; i < 10; ++i) ASSERT_TRUE(send(*pair.session, numbered(i, 8'192)));
  pair.pump();
  EXPECT_GE(pair.responses.back().body.size(), 50'000U);
  EXPECT_LE(pair.now - start, 102 * kMillisecond);
}

TEST(HttpRules, MoreThanOneRequestIsHeldByConfiguration) {
  ClientOptions options;
  options.held_requests = 3;
  Pair pair(options);
  pair.settle();
  pair.run(5 * kSecond);
  EXPECT_EQ(pair.client.outstanding(), 3U);
  // Three blocks in close succession, without a round trip between them.
  for (unsigned i = 0; i < 3; ++i) ASSERT_TRUE(send(*pair.session, numbered(i, 60'000)));
  pair.pump();
  EXPECT_EQ(pair.responses.size(), 3U);
  ServerOptions server;
  server.max_held = 1;
  Pair capped(options, server);
  capped.settle();
  ASSERT_TRUE(send(*capped.session, "x"));
  capped.pump();
  EXPECT_EQ(capped.responses.back().bundle.wanted, 0U);
  EXPECT_EQ(capped.client.state(), SessionState::up) << "a server that holds fewer is no error";
}

// When the client sends its next request.

TEST(HttpRules, TheNextRequestGoesOnAFullBundle) {
  Pair pair({}, {}, 100 * kMillisecond);
  pair.settle();
  for (unsigned i = 0; i < 14; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 8'192)));
  pair.pump();
  ASSERT_EQ(pair.requests.size(), 2U) << "two full bundles go at once, without an answer in between";
  for (const Passed& request : pair.requests) {
    EXPECT_LE(request.body.size(), 60'000U);
    EXPECT_GT(request.body.size(), 57'000U);
  }
}

TEST(HttpRules, TheNextRequestGoesOnAResponse) {
  Pair pair({}, {}, 10 * kMillisecond);
  pair.settle();
  ASSERT_TRUE(send(*pair.session, "x"));
  pair.run(11 * kMillisecond);
  ASSERT_EQ(pair.requests.size(), 1U);
  EXPECT_EQ(pair.requests[0].at_us, pair.responses[0].at_us + 10 * kMillisecond);
  EXPECT_EQ(pair.requests[0].bundle.next, 1U);
}

TEST(HttpRules, OnATimeOutEverythingUnacknowledgedIsSentAgainInOrder) {
  Pair pair(wide_client(), wide_server(), 10 * kMillisecond);
  pair.settle();
  bool lose = true;
  pair.on_request = [&](const Passed& request) {
    return lose && !request.bundle.parts.empty() ? Fate::lose : Fate::pass;
  };
  for (unsigned i = 0; i < 21; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 8'192)));
  pair.run(50 * kMillisecond);
  EXPECT_GE(pair.requests.size(), 3U);
  pair.requests.clear();
  lose = false;
  ASSERT_TRUE(pair.run(2 * kSecond, [&] { return !pair.requests.empty(); }));
  pair.run(kSecond);
  std::uint64_t expected = 0;
  for (const Passed& request : pair.requests) {
    for (const PartView& part : request.bundle.parts) EXPECT_EQ(part.number, expected++);
  }
  EXPECT_EQ(expected, 21U);
  const auto texts = pair.received_by_server();
  ASSERT_EQ(texts.size(), 21U);
  for (unsigned i = 0; i < 21; ++i) EXPECT_EQ(texts[i], numbered(i, 8'192));
}

TEST(HttpRules, SmallMessagesGatherByLoadAndRoundTripAndTheFirstOneNeverWaits) {
  ClientOptions options;
  Pair pair(options, {}, 20 * kMillisecond);
  pair.settle();
  ASSERT_TRUE(send(pair.client, "first"));
  pair.pump();
  ASSERT_EQ(pair.requests.size(), 1U);
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(send(pair.client, "next"));
    pair.run(100);
  }
  EXPECT_EQ(pair.requests.size(), 1U) << "an eighth of the round trip, which is 5 ms, has not passed";
  pair.run(2 * kMillisecond);
  EXPECT_EQ(pair.requests.size(), 2U);
  EXPECT_EQ(pair.requests[1].bundle.parts.size(), 40U);
}

TEST(HttpRules, AnAcknowledgementWaitsForWhatTheApplicationAnswers) {
  Pair pair;
  pair.settle();
  constexpr unsigned kCalls = 20;
  for (unsigned i = 0; i < kCalls; ++i) {
    ASSERT_TRUE(send(pair.client, "question"));
    ASSERT_TRUE(pair.run(kSecond, [&] { return !pair.received_by_server().empty(); }));
    pair.run(3 * kMillisecond);  // the application's time
    ASSERT_TRUE(send(*pair.session, "answer"));
    ASSERT_TRUE(pair.run(kSecond, [&] { return !pair.received_by_client().empty(); }));
  }
  EXPECT_EQ(pair.requests.size(), kCalls) << "one request for each call, and its answer brings the next one's";
}

TEST(HttpRules, AnAcknowledgementAloneIsLateByALimitAndNotWhereRequestsAreFew) {
  for (const std::size_t max_requests : {8, 2}) {
    ClientOptions options;
    options.max_requests = max_requests;
    Pair pair(options);
    pair.settle();
    const std::uint64_t sent_us = pair.now;
    ASSERT_TRUE(send(pair.client, "question"));
    ASSERT_TRUE(pair.run(kSecond, [&] { return pair.client.unacknowledged() == 0; }));
    const std::uint64_t round_trip_us = 2 * pair.delay_us, took_us = pair.now - sent_us;
    const std::uint64_t late_us = max_requests == 2 ? round_trip_us / 8 : options.session.acknowledge_us;
    EXPECT_LE(took_us, round_trip_us + late_us) << max_requests;
    EXPECT_GE(took_us, round_trip_us + late_us / 2) << max_requests;
    EXPECT_EQ(pair.client.counters().resent_parts, 0U);
  }
}

TEST(HttpRules, RequestsThatWaitBehindOthersAreNotSentAgainWhileThoseAreAnswered) {
  ClientOptions options;
  constexpr std::uint64_t kOneWay = 100 * kMillisecond, kEach = 60 * kMillisecond;
  Pair pair(options, wide_server(), kOneWay);
  pair.settle();
  pair.on_request = [&](const Passed&) {
    pair.delay_us += kEach;  // a proxy passes them on one after the other
    return Pair::Fate::pass;
  };
  pair.on_response = [&](Passed&) {
    pair.delay_us = kOneWay;
    return Pair::Fate::pass;
  };
  for (unsigned i = 0; i < 7; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 50'000)));
  ASSERT_TRUE(pair.run(10 * kSecond, [&] { return pair.client.unacknowledged() == 0; }));
  EXPECT_EQ(pair.client.counters().resent_parts, 0U);
  EXPECT_TRUE(pair.abandoned.empty());
}

TEST(HttpRules, BundlesAreLimitedInMessagesAndInBytes) {
  ClientOptions options;
  options.session.bundle_messages = 10;
  options.session.bundle_bytes = options.session.bundle_bytes_max = 20'000;
  Pair pair(options, wide_server());
  pair.settle();
  for (unsigned i = 0; i < 100; ++i) ASSERT_TRUE(send(pair.client, "m"));
  pair.run(kSecond);
  for (unsigned i = 0; i < 50; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 3'000)));
  pair.run(kSecond);
  for (const Passed& request : pair.requests) {
    EXPECT_LE(request.bundle.parts.size(), 10U);
    EXPECT_LE(request.body.size(), 20'000U);
  }
  EXPECT_EQ(pair.received_by_server().size(), 150U);
}

TEST(HttpRules, BundlesBecomeShorterWhereTheyWaitForEachOtherAndLongerAgain) {
  Pace pace{SessionOptions{}};
  pace.round_trip(100 * kMillisecond, 1);
  EXPECT_EQ(pace.bundle_bytes(), 60'000U);
  pace.round_trip(2 * kSecond, 10 * kSecond);
  EXPECT_EQ(pace.bundle_bytes(), 30'000U);
  pace.round_trip(2 * kSecond, 20 * kSecond);
  EXPECT_EQ(pace.bundle_bytes(), 15'000U);
  pace.round_trip(110 * kMillisecond, 30 * kSecond);
  pace.round_trip(110 * kMillisecond, 31 * kSecond);
  EXPECT_EQ(pace.bundle_bytes(), 60'000U);
}

TEST(HttpRules, OnALongWayRequestsAreHeldForWhatALargeTransferIsAnsweredWith) {
  // The answers of the application to one burst come one after the other, and need a round trip at most.
  constexpr std::uint64_t kOneWay = 50 * kMillisecond;
  ClientOptions options = wide_client();
  options.max_requests = 64;
  Pair pair(options, wide_server(), kOneWay);
  pair.settle();
  std::uint64_t late = 0;
  for (unsigned round = 0; round < 10; ++round) {
    for (unsigned i = 0; i < 60; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 8'000)));
    ASSERT_TRUE(pair.run(kSecond, [&] { return pair.received_by_server().size() > 50; }));
    const std::uint64_t start = pair.now;
    for (unsigned i = 0; i < 4; ++i) {
      ASSERT_TRUE(send(*pair.session, "answer"));
      pair.run(8 * kMillisecond);
    }
    std::size_t answers = 0;
    ASSERT_TRUE(pair.run(kSecond, [&] { return (answers += pair.received_by_client().size()) == 4; }));
    late = pair.now - start;
  }
  EXPECT_LE(late, 4 * 8 * kMillisecond + kOneWay) << "the last one waits for no further request";
}

TEST(HttpRules, RequestsThatAServerDoesNotHoldAreNotMadeAgainAndAgain) {
  ClientOptions options = wide_client();
  options.max_requests = 64;
  ServerOptions server = wide_server();
  server.max_held = 2;
  Pair pair(options, server, 20 * kMillisecond);
  pair.settle();
  for (unsigned i = 0; i < 100; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 8'000)));
  ASSERT_TRUE(pair.run(10 * kSecond, [&] { return pair.client.unacknowledged() == 0; }));
  pair.run(kSecond);
  pair.requests.clear();
  pair.run(10 * kSecond);
  EXPECT_LE(pair.requests.size(), 5U);
}

TEST(HttpRules, SeveralRequestsAreOnTheirWayAtOnceAndArePutInOrder) {
  Pair pair(wide_client(), wide_server(), 50 * kMillisecond);
  pair.settle();
  // The later the request, the sooner it arrives.
  std::vector<Bytes> bodies;
  pair.on_request = [&](const Passed& request) {
    bodies.push_back(request.body);
    return Fate::lose;
  };
  for (unsigned i = 0; i < 42; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 8'000)));
  pair.pump();
  ASSERT_GE(bodies.size(), 5U);
  ExchangeId id = 1'000;
  for (auto body = bodies.rbegin(); body != bodies.rend(); ++body) {
    pair.server.on_request(++id, pair.from, *body, pair.now);
    if (body == bodies.rbegin()) {
      EXPECT_EQ(pair.session->receive(), std::nullopt) << "what comes early waits for what is missing";
    }
  }
  const auto texts = pair.received_by_server();
  ASSERT_GE(texts.size(), 35U);
  for (unsigned i = 0; i < texts.size(); ++i) EXPECT_EQ(texts[i], numbered(i, 8'000));
}

TEST(HttpRules, ThroughputIsBundlesTimesRequestsForEachRoundTripBothWays) {
  ClientOptions options;
  options.max_requests = 32;
  Pair pair(options, {}, 100 * kMillisecond);
  pair.settle();
  std::size_t up = 0, down = 0;
  const std::uint64_t start = pair.now;
  const std::string block(8'000, 'x');
  const auto all = [&](MessagePipe& from, auto receive, std::size_t& bytes) {
    std::size_t sent = 0;
    const std::uint64_t begin = pair.now;
    pair.run(60 * kSecond, [&] {
      while (sent < 40'000'000 && send(from, block)) sent += block.size();
      for (const std::string& text : receive()) bytes += text.size();
      return bytes >= 40'000'000;
    });
    return static_cast<double>(bytes) / static_cast<double>(pair.now - begin);  // MB/s
  };
  const double up_rate = all(
      pair.client, [&] { return pair.received_by_server(); }, up);
  const double down_rate = all(
      *pair.session, [&] { return pair.received_by_client(); }, down);
  std::printf("at a round trip of 200 ms with 32 requests: up %.1f MB/s, down %.1f MB/s\n", up_rate, down_rate);
  EXPECT_EQ(up, 40'000'000U);
  EXPECT_EQ(down, 40'000'000U);
  // One request of 60,000 bytes at a time would be 0.3 MB/s; 32 of them 9.6. Bodies that become longer, and windows
  // that open at once, make more of it, the start included.
  EXPECT_GT(up_rate, 12.5);
  EXPECT_GT(down_rate, 12.5);
  EXPECT_GT(pair.now, start);
}

// What was received.

TEST(HttpRules, EveryBundleSaysWhatWasReceivedInRangesAndSingleLosses) {
  ClientOptions options = wide_client();
  options.session.bundle_bytes_max = options.session.bundle_bytes;
  Pair pair(options, wide_server(), 50 * kMillisecond);
  pair.settle();
  std::vector<Bytes> bodies;
  pair.on_request = [&](const Passed& request) {
    bodies.push_back(request.body);
    return Fate::lose;
  };
  for (unsigned i = 0; i < 35; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 8'192)));
  pair.pump();
  ASSERT_EQ(bodies.size(), 5U);
  for (const std::size_t i : {1U, 2U, 4U}) pair.server.on_request(100 + i, pair.from, bodies[i], pair.now);
  std::vector<PartRange> ranges;
  std::uint64_t next = 99;
  while (auto response = pair.server.next_response(pair.now)) {
    const Bundle bundle = decode(response->body).value();
    ranges = bundle.ranges;
    next = bundle.next;
  }
  EXPECT_EQ(next, 0U);
  EXPECT_EQ(ranges, (std::vector<PartRange>{{7, 14}, {28, 7}}));
}

TEST(HttpRules, OnlyWhatIsMissingIsSentAgain) {
  Pair pair(wide_client(), wide_server(), 10 * kMillisecond);
  pair.settle();
  unsigned requests = 0;
  pair.on_request = [&](const Passed& request) {
    return !request.bundle.parts.empty() && ++requests == 2 ? Fate::lose : Fate::pass;
  };
  for (unsigned i = 0; i < 35; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 8'192)));
  pair.run(3 * kSecond);
  EXPECT_EQ(pair.received_by_server().size(), 35U);
  EXPECT_EQ(pair.client.counters().resent_parts, 7U) << "the seven parts of the request that was lost";
  EXPECT_EQ(pair.client.unacknowledged(), 0U);
}

TEST(HttpRules, NothingIsRemovedBeforeItIsAcknowledged) {
  Pair pair;
  pair.settle();
  pair.on_response = [](Passed&) { return Fate::lose; };
  ASSERT_TRUE(send(pair.client, "kept"));
  pair.run(100 * kMillisecond);
  EXPECT_EQ(pair.received_by_server().size(), 1U) << "it has arrived";
  EXPECT_EQ(pair.client.unacknowledged(), 4U) << "but the client cannot know";
  ASSERT_TRUE(send(*pair.session, "kept too"));
  pair.run(100 * kMillisecond);
  EXPECT_EQ(pair.session->unacknowledged(), 8U) << "it went in a response that was lost";
  pair.on_response = [](Passed&) { return Fate::pass; };
  pair.run(60 * kSecond);
  EXPECT_EQ(pair.client.unacknowledged(), 0U);
  EXPECT_EQ(pair.session->unacknowledged(), 0U);
  EXPECT_EQ(pair.received_by_client().size(), 1U);
  EXPECT_TRUE(pair.received_by_server().empty()) << "sent again and dropped as a duplicate";
}

TEST(HttpRules, AResponseThatWasLostIsNotLostForTheReceiver) {
  Pair pair;
  pair.settle();
  unsigned responses = 0;
  pair.on_response = [&](Passed&) { return ++responses <= 2 ? Fate::fail : Fate::pass; };
  ASSERT_TRUE(send(*pair.session, "again"));
  pair.run(2 * kSecond);
  EXPECT_EQ(pair.received_by_client(), std::vector<std::string>{"again"});
  EXPECT_GE(pair.server.counters().resent_parts, 1U);
}

TEST(HttpRules, AnUnreadableRequestIsReportedAndSentAgain) {
  Pair pair;
  pair.settle();
  ASSERT_TRUE(send(pair.client, "damaged"));
  std::vector<Bytes> bodies;
  pair.on_request = [&](const Passed& request) {
    bodies.push_back(request.body);
    return Fate::lose;
  };
  pair.pump();
  ASSERT_EQ(bodies.size(), 1U);
  bodies[0].back() ^= std::byte{1};
  pair.server.on_request(77, pair.from, bodies[0], pair.now);
  const auto response = pair.server.next_response(pair.now);
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->status, 400U);
  EXPECT_TRUE(decode(response->body).value().has(kFlagUnreadable));
  pair.on_request = [](const Passed&) { return Fate::pass; };
  pair.client.on_response(pair.requests.back().number, response->status, response->body, pair.now);
  const std::uint64_t start = pair.now;
  ASSERT_TRUE(pair.run(kSecond, [&] { return !pair.received_by_server().empty(); }));
  EXPECT_LT(pair.now - start, 2 * pair.delay_us) << "without waiting for a time-out";
}

TEST(HttpRules, AnUnreadableResponseIsReportedAndSentAgain) {
  Pair pair;
  pair.settle();
  bool damage = true;
  pair.on_response = [&](Passed& response) {
    if (std::exchange(damage, false)) response.body.back() ^= std::byte{1};
    return Fate::pass;
  };
  ASSERT_TRUE(send(*pair.session, "damaged"));
  pair.run(kSecond);
  EXPECT_EQ(pair.received_by_client(), std::vector<std::string>{"damaged"});
  EXPECT_EQ(pair.client.counters().unreadable, 1U);
  EXPECT_EQ(pair.requests[0].bundle.unreadable, 1U) << "the report";
}

TEST(HttpRules, AMessageLongerThanABundleIsCutAndJoined) {
  Pair pair;
  pair.settle();
  const std::string frame = numbered(1, 22 + 1'023 * 64);
  ASSERT_TRUE(send(pair.client, frame));
  ASSERT_TRUE(send(*pair.session, frame));
  pair.run(kSecond);
  EXPECT_EQ(pair.received_by_server(), std::vector<std::string>{frame});
  EXPECT_EQ(pair.received_by_client(), std::vector<std::string>{frame});
  EXPECT_FALSE(send(pair.client, numbered(1, 66'001)));
  EXPECT_FALSE(send(pair.client, ""));
}

// Credit.

TEST(HttpRules, AReceiverThatDoesNotReadStopsItsSenderAndNothingElse) {
  ClientOptions client;
  client.session.send_bytes = 300'000;
  ServerOptions server;
  server.session.window_max = server.session.window_min;
  Pair pair(client, server);
  pair.settle();
  unsigned sent = 0;
  pair.run(20 * kSecond, [&] {
    while (send(pair.client, numbered(sent, 1'000))) ++sent;
    return false;
  });
  EXPECT_LT(sent, 450U) << "a window of 128 KiB and a queue of 300 KB";
  ASSERT_TRUE(send(*pair.session, "the other way"));
  ASSERT_TRUE(pair.run(kSecond, [&] { return !pair.received_by_client().empty(); }));
  std::size_t received = 0;
  ASSERT_TRUE(pair.run(10 * kSecond, [&] { return (received += pair.received_by_server().size()) == sent; }))
      << "reading makes the sender go on at once: " << received << " of " << sent;
}

// Failure.

TEST(HttpRules, GiveUpAfterSoManyUnansweredRequestsIsAFailedConnection) {
  ClientOptions options;
  options.give_up_requests = 4;
  Pair pair(options);
  pair.settle();
  unsigned requests = 0;
  pair.on_request = [&](const Passed&) { return ++requests, Fate::fail; };
  ASSERT_TRUE(send(pair.client, "x"));
  ASSERT_TRUE(pair.run(60 * kSecond, [&] { return pair.client.state() == SessionState::closed; }));
  EXPECT_EQ(pair.client.reason().code, CloseCode::failed);
  EXPECT_NE(pair.client.reason().text.find("4 requests in succession were not answered"), std::string::npos)
      << pair.client.reason().text;
  EXPECT_NE(pair.client.reason().text.find("connection refused"), std::string::npos);
  EXPECT_EQ(requests, 4U);
  EXPECT_FALSE(send(pair.client, "y"));
}

TEST(HttpRules, HeldRequestsDoNotKeepAClientSilentWhoseOtherRequestsFailed) {
  ClientOptions options;
  options.held_requests = 3;
  Pair pair(options);
  pair.settle();
  ASSERT_EQ(pair.client.outstanding(), 3U) << "the server may hold them all, and nothing obliges it to answer one";
  unsigned failed = 0;
  pair.on_request = [&](const Passed&) { return failed < 2 ? (++failed, Fate::fail) : Fate::pass; };
  ASSERT_TRUE(send(pair.client, "x"));
  ASSERT_TRUE(pair.run(kSecond, [&] { return !pair.received_by_server().empty(); }));
  EXPECT_EQ(failed, 2U);
}

TEST(HttpRules, SilenceIsFailureToo) {
  ClientOptions options;
  options.give_up_requests = 3;
  Pair pair(options);
  pair.settle();
  pair.on_request = [](const Passed&) { return Fate::lose; };
  ASSERT_TRUE(send(pair.client, "x"));
  ASSERT_TRUE(pair.run(60 * kSecond, [&] { return pair.client.state() == SessionState::closed; }));
  EXPECT_EQ(pair.client.reason().code, CloseCode::failed);
}

TEST(HttpRules, ASenderKnowsWhatItMaySendInAll) {
  Pair pair(wide_client(), wide_server());
  pair.settle();
  for (MessagePipe* pipe : {static_cast<MessagePipe*>(&pair.client), pair.session}) {
    EXPECT_EQ(pipe->room(), SessionOptions{}.max_message);
    std::size_t sent = 0;
    const std::size_t space = pipe->space();
    EXPECT_GT(space, 10 * SessionOptions{}.max_message);
    while (pipe->space() >= 60'000 && send(*pipe, std::string(60'000, 'x'))) sent += 60'000;
    EXPECT_EQ(pipe->space(), space - sent);
    EXPECT_FALSE(send(*pipe, std::string(60'000, 'x')));
    pipe->close({CloseCode::done, "enough"});
    EXPECT_EQ(pipe->space(), 0U);
  }
}

TEST(HttpRules, AServerThatGivesNoFirstAnswerInTimeIsAFailedConnection) {
  ClientOptions options;
  options.open_us = 5 * kSecond;
  Pair pair(options);
  const std::uint64_t start = pair.now;
  pair.on_request = [](const Passed&) { return Fate::lose; };
  ASSERT_TRUE(pair.run(60 * kSecond, [&] { return pair.client.state() == SessionState::closed; }));
  EXPECT_EQ(pair.now - start, 5 * kSecond);
  EXPECT_EQ(pair.client.reason(), (CloseReason{CloseCode::failed, "the server has not answered in time"}));

  Pair good(options);
  good.run(60 * kSecond);
  EXPECT_EQ(good.client.state(), SessionState::up) << "it holds for the first answer alone";
  good.on_request = [](const Passed&) { return Fate::lose; };
  good.run(20 * kSecond);
  EXPECT_NE(good.client.state(), SessionState::closed);
}

TEST(HttpRules, AServerThatIsNotThereIsAFailedConnection) {
  ClientOptions options;
  options.give_up_requests = 3;
  Pair pair(options);
  pair.on_request = [](const Passed&) { return Fate::fail; };
  ASSERT_TRUE(pair.run(60 * kSecond, [&] { return pair.client.state() == SessionState::closed; }));
  EXPECT_EQ(pair.client.reason().code, CloseCode::failed);
}

TEST(HttpRules, TheServerTimesOutWithoutRequests) {
  Pair pair;
  pair.settle();
  pair.on_request = [](const Passed&) { return Fate::lose; };
  ASSERT_TRUE(send(*pair.session, "x"));  // uses up the held request
  pair.run(20 * kSecond);
  EXPECT_EQ(pair.count(ServerEvent::Kind::silent), 1U);
  EXPECT_EQ(pair.session->state(), SessionState::silent);
  ASSERT_TRUE(pair.run(100 * kSecond, [&] { return pair.count(ServerEvent::Kind::closed) == 1; }));
  EXPECT_EQ(pair.session->reason().code, CloseCode::timed_out);
}

TEST(HttpRules, AHalfDeadSessionResumesByItsKeyFromAnotherAddressWithinTheGraceTime) {
  ClientOptions options;
  options.give_up_requests = 100;
  Pair pair(options);
  pair.settle();
  pair.on_request = [](const Passed&) { return Fate::lose; };
  ASSERT_TRUE(send(pair.client, "up"));
  ASSERT_TRUE(send(*pair.session, "down"));
  pair.run(50 * kSecond);
  EXPECT_EQ(pair.session->state(), SessionState::silent);
  EXPECT_EQ(pair.client.state(), SessionState::silent);
  pair.on_request = [](const Passed&) { return Fate::pass; };
  pair.from = "192.0.2.9";
  pair.run(20 * kSecond);
  EXPECT_EQ(pair.count(ServerEvent::Kind::resumed), 1U);
  EXPECT_EQ(pair.session->state(), SessionState::up);
  EXPECT_EQ(pair.client.state(), SessionState::up);
  EXPECT_EQ(pair.received_by_server(), std::vector<std::string>{"up"});
  EXPECT_EQ(pair.received_by_client(), std::vector<std::string>{"down"});
  EXPECT_EQ(pair.server.source(pair.events[0].session), "192.0.2.9");
}

TEST(HttpRules, AfterTheGraceTimeTheClientIsToldWhatHappened) {
  ClientOptions options;
  options.give_up_requests = 100;
  Pair pair(options);
  pair.settle();
  pair.on_request = [](const Passed&) { return Fate::lose; };
  pair.run(200 * kSecond);
  ASSERT_EQ(pair.count(ServerEvent::Kind::closed), 1U);
  pair.on_request = [](const Passed&) { return Fate::pass; };
  ASSERT_TRUE(pair.run(20 * kSecond, [&] { return pair.client.state() == SessionState::closed; }));
  EXPECT_EQ(pair.client.reason().code, CloseCode::timed_out);
}

TEST(HttpRules, AnUnknownKeyIsAnsweredInTheProtocol) {
  ClientOptions options;
  options.give_up_requests = 100;
  Pair pair(options);
  pair.settle();
  pair.on_request = [](const Passed&) { return Fate::lose; };
  pair.run(200 * kSecond);
  pair.server.release(pair.events[0].session);
  pair.on_request = [](const Passed&) { return Fate::pass; };
  ASSERT_TRUE(pair.run(20 * kSecond, [&] { return pair.client.state() == SessionState::closed; }));
  EXPECT_EQ(pair.client.reason().code, CloseCode::unknown_session);
  EXPECT_EQ(pair.server.counters().unknown, 1U);
  EXPECT_EQ(pair.server.sessions(), 0U);
  EXPECT_EQ(pair.server.reserved_bytes(), 0U);
}

// The end.

TEST(HttpRules, TheClientEndsTheSessionAfterWhatItSent) {
  Pair pair(wide_client(), wide_server());
  pair.settle();
  for (unsigned i = 0; i < 30; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 8'000)));
  pair.client.close({CloseCode::done, "enough"});
  EXPECT_FALSE(send(pair.client, "late"));
  ASSERT_TRUE(pair.run(5 * kSecond, [&] {
    return pair.client.state() == SessionState::closed && pair.session->state() == SessionState::closed;
  }));
  EXPECT_EQ(pair.client.reason(), (CloseReason{CloseCode::done, "enough"}));
  EXPECT_EQ(pair.session->reason(), (CloseReason{CloseCode::done, "enough"}));
  EXPECT_EQ(pair.received_by_server().size(), 30U);
}

TEST(HttpRules, TheServerEndsTheSessionAfterWhatItSent) {
  Pair pair(wide_client(), wide_server());
  pair.settle();
  for (unsigned i = 0; i < 30; ++i) ASSERT_TRUE(send(*pair.session, numbered(i, 8'000)));
  pair.session->close({CloseCode::done, "enough"});
  ASSERT_TRUE(pair.run(5 * kSecond, [&] {
    return pair.client.state() == SessionState::closed && pair.session->state() == SessionState::closed;
  }));
  EXPECT_EQ(pair.client.reason(), (CloseReason{CloseCode::done, "enough"}));
  EXPECT_EQ(pair.session->reason(), (CloseReason{CloseCode::done, "enough"}));
  EXPECT_EQ(pair.received_by_client().size(), 30U);
}

TEST(HttpRules, AnEndThatCannotBeDeliveredIsAnEndAllTheSame) {
  Pair pair;
  pair.settle();
  pair.on_request = [](const Passed&) { return Fate::lose; };
  ASSERT_TRUE(send(pair.client, "x"));
  pair.client.close({CloseCode::done, "enough"});
  const std::uint64_t start = pair.now;
  ASSERT_TRUE(pair.run(60 * kSecond, [&] { return pair.client.state() == SessionState::closed; }));
  EXPECT_LE(pair.now - start, 11 * kSecond);
}

// Requests that arrive twice.

TEST(HttpRules, ARequestThatArrivesTwiceWhileItIsHeldIsHeldOnceAndAnsweredToTheSecondCopy) {
  Pair pair;
  pair.settle();
  std::vector<Bytes> bodies;
  pair.on_request = [&](const Passed& request) {
    bodies.push_back(request.body);
    return Fate::lose;
  };
  ASSERT_TRUE(send(pair.client, "once"));
  pair.pump();
  pair.server.on_request(501, pair.from, bodies[0], pair.now);
  while (pair.server.next_response(pair.now + 10'000)) continue;
  pair.server.on_request(502, pair.from, bodies[0], pair.now + 20'000);
  const auto old = pair.server.next_response(pair.now + 20'000);
  ASSERT_TRUE(old.has_value());
  EXPECT_EQ(old->id, 501U);
  EXPECT_TRUE(decode(old->body).value().parts.empty());
  EXPECT_EQ(pair.received_by_server(), std::vector<std::string>{"once"});
  ASSERT_TRUE(send(*pair.session, "answer"));
  const auto fresh = pair.server.next_response(pair.now + 30'000);
  ASSERT_TRUE(fresh.has_value());
  EXPECT_EQ(fresh->id, 502U);
  EXPECT_EQ(decode(fresh->body).value().parts.size(), 1U);
}

TEST(HttpRules, ARequestThatArrivesAgainAfterItsAnswerGetsTheSameOnceMore) {
  Pair pair;
  pair.settle();
  // libcurl sends a POST again when the connection closes before a byte of the answer.
  std::vector<Bytes> bodies;
  pair.on_request = [&](const Passed& request) {
    bodies.push_back(request.body);
    return Fate::lose;
  };
  ASSERT_TRUE(send(pair.client, "x"));
  pair.pump();
  pair.server.on_request(601, pair.from, bodies[0], pair.now);
  while (pair.server.next_response(pair.now + 10'000)) continue;
  ASSERT_TRUE(send(*pair.session, "answer"));
  while (pair.server.next_response(pair.now + 10'000)) continue;
  pair.server.on_request(602, pair.from, bodies[0], pair.now + 20'000);
  const auto again = pair.server.next_response(pair.now + 20'000);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->id, 602U);
  const Bundle bundle = decode(again->body).value();
  ASSERT_EQ(bundle.parts.size(), 1U);
  EXPECT_EQ(text_of(bundle.parts[0].bytes), "answer");
  EXPECT_EQ(pair.received_by_server(), std::vector<std::string>{"x"}) << "delivered once";
}

TEST(HttpRules, AnOpeningRequestThatArrivesTwiceOpensOneSession) {
  Server server({}, counting_random());
  Client client({}, key_of(3));
  const auto request = client.next_request(1);
  server.on_request(1, "a", request->body, 1);
  server.on_request(2, "a", request->body, 2);
  const auto one = server.next_response(2), two = server.next_response(2);
  EXPECT_EQ(decode(one->body).value().key, decode(two->body).value().key);
  EXPECT_EQ(server.sessions(), 1U);
  EXPECT_FALSE(server.next_event().has_value()) << "nothing is reported before the key was used";
}

TEST(HttpRules, AClientThatLeftGetsNoAnswerAndLosesNothing) {
  Pair pair;
  pair.settle();
  pair.server.on_gone(1'000'000, pair.now);
  std::vector<Bytes> bodies;
  pair.on_request = [&](const Passed& request) {
    bodies.push_back(request.body);
    return Fate::lose;
  };
  ASSERT_TRUE(send(pair.client, "x"));
  pair.pump();
  pair.server.on_request(701, pair.from, bodies[0], pair.now);
  while (pair.server.next_response(pair.now + 10'000)) continue;
  pair.server.on_gone(701, pair.now + 10'000);
  ASSERT_TRUE(send(*pair.session, "kept"));
  EXPECT_FALSE(pair.server.next_response(pair.now + 20'000).has_value());
  pair.on_request = [](const Passed&) { return Fate::pass; };
  pair.run(60 * kSecond);
  EXPECT_EQ(pair.received_by_client(), std::vector<std::string>{"kept"});
}

// Duplex.

TEST(HttpRules, TheSameBundlesGoOverADuplexConnectionAndWhenItIsCutTheSessionGoesOnByRequests) {
  Pair pair(wide_client(), wide_server());
  pair.settle();
  ASSERT_TRUE(pair.client.attach_duplex(pair.now));
  pair.duplex_alive = true;
  pair.run(kSecond);
  EXPECT_EQ(pair.client.outstanding(), 0U) << "held requests were answered";
  pair.requests.clear();
  std::vector<std::string> up, down;
  const auto exchange = [&](unsigned from, unsigned to) {
    for (unsigned i = from; i < to; ++i) {
      ASSERT_TRUE(send(pair.client, numbered(i, 3'000)));
      ASSERT_TRUE(send(*pair.session, numbered(i, 3'000)));
    }
  };
  exchange(0, 50);
  pair.run(kSecond);
  EXPECT_TRUE(pair.requests.empty()) << "no requests while it is attached";
  exchange(50, 100);
  pair.pump();
  pair.duplex_alive = false;  // what is under way is lost
  pair.client.on_duplex_lost(pair.now);
  pair.server.on_duplex_lost(1, pair.now);
  pair.run(5 * kSecond);
  EXPECT_FALSE(pair.requests.empty());
  EXPECT_GE(pair.client.outstanding(), 1U);
  for (const auto& texts : {pair.received_by_server(), pair.received_by_client()}) {
    ASSERT_EQ(texts.size(), 100U);
    for (unsigned i = 0; i < 100; ++i) EXPECT_EQ(texts[i], numbered(i, 3'000));
  }
}

TEST(HttpRules, ADuplexConnectionThatIsSilentIsGivenUp) {
  Pair pair;
  pair.settle();
  ASSERT_TRUE(pair.client.attach_duplex(pair.now));
  pair.duplex_alive = true;
  pair.run(30 * kSecond);
  EXPECT_TRUE(pair.client.duplex_attached()) << "an idle one lives";
  pair.duplex_alive = false;  // and nobody is told
  ASSERT_TRUE(send(pair.client, "up"));
  ASSERT_TRUE(pair.run(21 * kSecond, [&] { return !pair.client.duplex_attached(); }));
  ASSERT_TRUE(pair.run(kSecond, [&] { return !pair.received_by_server().empty(); }));
  pair.run(kSecond);
  EXPECT_EQ(pair.server.next_duplex_end(), std::optional<DuplexId>(1)) << "the server follows";
}

}  // namespace
}  // namespace slotwire::http_stream
