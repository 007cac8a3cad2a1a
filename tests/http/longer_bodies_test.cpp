// HS41: bodies become longer where longer ones pass, and are tried ever more rarely where they do not.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "http/pair.hpp"

namespace slotwire::http_stream {
namespace {

using Fate = Pair::Fate;

TEST(HttpRules, BundlesBecomeLongerWhileSeveralWaitAndLongerOnesPass) {
  for (const bool up : {true, false}) {
    Pair pair(wide_client(4'000'000), wide_server(4'000'000));
    pair.settle();
    MessagePipe& from = up ? static_cast<MessagePipe&>(pair.client) : *pair.session;
    for (unsigned i = 0; i < 400; ++i) ASSERT_TRUE(send(from, numbered(i, 8'000)));
    ASSERT_TRUE(pair.run(10 * kSecond, [&] { return from.unacknowledged() == 0; }));
    std::size_t longest = 0;
    for (const Passed& bundle : up ? pair.requests : pair.responses) {
      EXPECT_LE(bundle.body.size(), SessionOptions{}.bundle_bytes_max);
      EXPECT_LE(bundle.body.size(), 2 * std::max<std::size_t>(longest, 60'000)) << "by doubling";
      longest = std::max(longest, bundle.body.size());
    }
    EXPECT_GT(longest, 200'000U);
    EXPECT_EQ((up ? pair.received_by_server() : pair.received_by_client()).size(), 400U);
  }
}

TEST(HttpRules, FewMessagesMakeNoLongerBundles) {
  Pair pair(wide_client(), wide_server());
  pair.settle();
  for (unsigned round = 0; round < 20; ++round) {
    for (unsigned i = 0; i < 14; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 8'000)));
    pair.run(kSecond);
  }
  for (const Passed& request : pair.requests) EXPECT_LE(request.body.size(), 60'000U);
}

TEST(HttpRules, LongerBundlesThatFailAreTriedEverMoreRarely) {
  // Some proxies hang on bodies of 64 KiB and more, and say nothing.
  Pair pair(wide_client(), wide_server());
  pair.settle();
  std::vector<std::uint64_t> lost;
  pair.on_request = [&](const Passed& request) {
    if (request.body.size() <= 64'000) return Fate::pass;
    lost.push_back(pair.now);
    return Fate::lose;
  };
  std::size_t received = 0;
  const std::uint64_t start = pair.now;
  while (pair.now < start + 100 * kSecond) {
    for (unsigned i = 0; i < 60; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 8'000)));
    ASSERT_TRUE(pair.run(10 * kSecond, [&] { return pair.client.unacknowledged() == 0; }));
    received += pair.received_by_server().size();
  }
  EXPECT_GT(received, 10'000U) << "all others pass";
  EXPECT_EQ(pair.client.state(), SessionState::up);
  ASSERT_GE(lost.size(), 3U);
  EXPECT_LE(lost.size(), 5U) << "after 10, 20 and 40 s";
  EXPECT_GE(lost[1] - lost[0], 10 * kSecond);
  EXPECT_GE(lost[2] - lost[1], 20 * kSecond);
}

TEST(HttpRules, LongerAnswersThatAreLostAreTriedEverMoreRarely) {
  Pair pair(wide_client(), wide_server());
  pair.settle();
  std::vector<std::uint64_t> lost;
  pair.on_response = [&](Passed& response) {
    if (response.body.size() <= 64'000) return Fate::pass;
    lost.push_back(pair.now);
    return Fate::fail;
  };
  const std::uint64_t start = pair.now;
  while (pair.now < start + 100 * kSecond) {
    for (unsigned i = 0; i < 60; ++i) ASSERT_TRUE(send(*pair.session, numbered(i, 8'000)));
    ASSERT_TRUE(pair.run(10 * kSecond, [&] { return pair.session->unacknowledged() == 0; }));
    pair.received_by_client();
  }
  EXPECT_EQ(pair.client.state(), SessionState::up);
  ASSERT_GE(lost.size(), 3U);
  EXPECT_LE(lost.size(), 5U);
  EXPECT_GE(lost[2] - lost[1], 20 * kSecond);
}

TEST(HttpRules, ABodyThatWasTooLargeForAProxyIsNotTriedAgain) {
  Pair pair(wide_client(), wide_server());
  pair.settle();
  std::size_t refused = 0;
  pair.on_request = [&](const Passed& request) {
    if (request.body.size() <= 100'000) return Fate::pass;
    ++refused;
    pair.at(pair.delay_us, [&, id = request.number] { pair.client.on_response(id, 413, {}, pair.now); });
    return Fate::lose;
  };
  for (unsigned round = 0; round < 400; ++round) {
    for (unsigned i = 0; i < 60; ++i) ASSERT_TRUE(send(pair.client, numbered(i, 8'000)));
    ASSERT_TRUE(pair.run(10 * kSecond, [&] { return pair.client.unacknowledged() == 0; }));
    pair.run(kSecond);
    pair.received_by_server();
  }
  EXPECT_EQ(refused, 1U);
  EXPECT_GE(pair.client.learned().bundle_bytes, 50'000U);
}

TEST(HttpRules, APeerThatTakesNoLongerBodiesGetsNone) {
  // As those of before that announce 60,000 bytes.
  for (const bool up : {true, false}) {
    ClientOptions client = wide_client();
    ServerOptions server = wide_server();
    (up ? server.session : client.session).bundle_bytes_max = 60'000;
    Pair pair(client, server);
    pair.settle();
    MessagePipe& from = up ? static_cast<MessagePipe&>(pair.client) : *pair.session;
    for (unsigned i = 0; i < 100; ++i) ASSERT_TRUE(send(from, numbered(i, 8'000)));
    ASSERT_TRUE(pair.run(10 * kSecond, [&] { return from.unacknowledged() == 0; }));
    for (const Passed& bundle : up ? pair.requests : pair.responses) EXPECT_LE(bundle.body.size(), 60'000U);
  }
}

}  // namespace
}  // namespace slotwire::http_stream
