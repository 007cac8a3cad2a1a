// What a client learns of the proxies on its way.
#include <gtest/gtest.h>

#include "http/pair.hpp"

namespace slotwire::http_stream {
namespace {

using Fate = Pair::Fate;

/// A proxy that cuts what is held for longer than `limit_us`.
void hold_limit(Pair& pair, std::uint64_t limit_us, unsigned status) {
  pair.on_request = [&pair, limit_us, status](const Passed& request) {
    const RequestNumber id = request.number;
    pair.at(limit_us, [&pair, id, status] {
      if (status == 0) {
        pair.client.on_failure(id, "closed", pair.now);
      } else {
        pair.client.on_response(id, status, bytes_of("<html>"), pair.now);
      }
    });
    return Fate::pass;
  };
}

TEST(HttpRules, AProxyThatCutsHeldRequestsIsLearnedAndStayedUnder) {
  for (const unsigned status : {502U, 503U, 504U, 408U, 0U}) {
    Pair pair;
    hold_limit(pair, 10 * kSecond, status);
    pair.run(60 * kSecond);
    const Learned learned = pair.client.learned();
    EXPECT_EQ(learned.hold_us, 8 * kSecond) << status << ": " << learned.text();
    EXPECT_EQ(learned.cut_us, 10 * kSecond);
    EXPECT_NE(learned.text().find("cut after 10.0 s"), std::string::npos) << learned.text();
    const std::uint64_t failures = pair.client.counters().failures;
    pair.run(100 * kSecond);
    EXPECT_EQ(pair.client.counters().failures, failures) << "stayed under";
    EXPECT_EQ(pair.client.state(), SessionState::up);
  }
}

TEST(HttpRules, TheHoldTimeIsRaisedAgainEverMoreRarely) {
  Pair pair;
  hold_limit(pair, 10 * kSecond, 504);
  pair.run(3'600 * kSecond);
  EXPECT_LE(pair.client.counters().failures, 12U) << "in an hour";
  EXPECT_GE(pair.client.learned().hold_us, 7 * kSecond);
  pair.on_request = [](const Passed&) { return Fate::pass; };
  pair.run(24 * 3'600 * kSecond);
  EXPECT_EQ(pair.client.learned().hold_us, 45 * kSecond) << "the proxy was replaced by a better one";
}

TEST(HttpRules, TheHoldTimeNeverFallsBelowItsFloor) {
  Pair pair;
  hold_limit(pair, 1'100 * kMillisecond, 504);
  pair.run(30 * kSecond);
  EXPECT_EQ(pair.client.learned().hold_us, kSecond);
  EXPECT_EQ(pair.client.state(), SessionState::up);
}

TEST(HttpRules, AProxyThatLetsNoRequestPassAHeldOneIsFoundByTheProbeAtTheStart) {
  Pair pair;
  pair.serial = true;
  pair.run(20 * kSecond);
  const Learned learned = pair.client.learned();
  EXPECT_TRUE(learned.probed);
  EXPECT_TRUE(learned.serial) << learned.text();
  EXPECT_EQ(learned.hold_us, kSecond);
  EXPECT_EQ(pair.client.state(), SessionState::up);
  ASSERT_TRUE(send(pair.client, "up"));
  ASSERT_TRUE(pair.run(2 * kSecond, [&] { return !pair.received_by_server().empty(); })) << "it waits for a short hold";

  Pair good;
  good.settle();
  EXPECT_TRUE(good.client.learned().probed);
  EXPECT_FALSE(good.client.learned().serial);
}

TEST(HttpRules, AProxyThatLimitsBodiesGetsShorterOnes) {
  Pair pair({}, wide_server());
  pair.settle();
  pair.on_request = [&](const Passed& request) {
    if (request.body.size() <= 25'000) return Fate::pass;
    pair.at(pair.delay_us, [&, id = request.number] { pair.client.on_response(id, 413, {}, pair.now); });
    return Fate::lose;
  };
  for (unsigned i = 0; i < 40; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 8'000)));
  pair.run(20 * kSecond);
  EXPECT_EQ(pair.received_by_server().size(), 40U);
  EXPECT_LE(pair.client.learned().bundle_bytes, 25'000U);
}

TEST(HttpRules, AStatusThatIsNotAnAnswerEndsInAReasonThatNamesIt) {
  ClientOptions options;
  options.give_up_requests = 2;
  Pair pair(options);
  pair.on_request = [&](const Passed& request) {
    pair.at(pair.delay_us, [&, id = request.number] { pair.client.on_response(id, 403, bytes_of("no"), pair.now); });
    return Fate::lose;
  };
  pair.run(20 * kSecond);
  EXPECT_EQ(pair.client.state(), SessionState::closed);
  EXPECT_NE(pair.client.reason().text.find("status 403"), std::string::npos) << pair.client.reason().text;
}

}  // namespace
}  // namespace slotwire::http_stream
