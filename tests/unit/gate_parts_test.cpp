// The parts of the gate that wait for nothing: places of callers, the rate of a peer, the resolver, the packets to
// slotwired, and the lists of what it may do.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>

#include "runtime/control/gate_protocol.hpp"
#include "runtime/gate/admission.hpp"
#include "runtime/gate/resolver.hpp"
#include "runtime/gate/token_bucket.hpp"
#include "runtime/sandbox/sandbox.hpp"

namespace slotwire::gate {
namespace {

carriers::Address at(const std::string& text) {
  return carriers::Address::parse(text);
}

TEST(Admission, TheOldestStrangerGoesFirstWhenAllPlacesAreTaken) {
  Admission places({.callers = 2, .per_source = 2});
  EXPECT_FALSE(places.admit(1, at("10.0.0.1:1")));
  EXPECT_FALSE(places.admit(2, at("10.0.0.2:1")));
  const auto gone = places.admit(3, at("10.0.0.3:1"));
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->caller, 1U);
  EXPECT_FALSE(gone->of_source);
  EXPECT_EQ(places.count(), 2U);
  places.leave(2);
  EXPECT_FALSE(places.admit(4, at("10.0.0.1:1")));
}

TEST(Admission, ASourceDisplacesItsOwnOldest) {
  Admission places({.callers = 10, .per_source = 2});
  places.admit(1, at("10.0.0.1:1"));
  places.admit(2, at("10.0.0.2:1"));
  places.admit(3, at("10.0.0.1:2"));
  const auto gone = places.admit(4, at("10.0.0.1:3"));
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->caller, 1U);
  EXPECT_TRUE(gone->of_source);
}

TEST(Admission, AHostHasOneIpv6Prefix) {
  EXPECT_EQ(source_of(at("[2001:db8:1:2::1]:1")), source_of(at("[2001:db8:1:2:ffff::9]:7")));
  EXPECT_NE(source_of(at("[2001:db8:1:2::1]:1")), source_of(at("[2001:db8:1:3::1]:1")));
  EXPECT_NE(source_of(at("10.0.0.1:1")), source_of(at("10.0.0.2:1")));
  EXPECT_EQ(source_of(at("10.0.0.1:1")), source_of(at("10.0.0.1:2")));
}

TEST(Admission, StrangersDoNotDisplaceCallersFromPeers) {
  Admission places({.callers = 2, .per_source = 2});
  places.admit(1, at("10.0.0.9:1"));
  places.know(at("10.0.0.9:7400"));  // one that is here already is a peer's from now on
  for (std::uint64_t caller = 2; caller < 100; ++caller) {
    const auto gone = places.admit(caller, at("10.0.1." + std::to_string(caller) + ":1"));
    EXPECT_TRUE(!gone || gone->caller != 1);
  }
  EXPECT_EQ(places.count(), 3U);
  // Its own are limited all the same.
  EXPECT_FALSE(places.admit(100, at("10.0.0.9:2")));
  EXPECT_EQ(places.admit(101, at("10.0.0.9:3"))->caller, 1U);
}

TEST(TokenBucket, GivesASecondsWorthAtOnceAndThenTheRate) {
  TokenBucket bucket(100, 5'000'000);
  int taken = 0;
  while (bucket.take(5'000'000)) ++taken;
  EXPECT_EQ(taken, 100);
  EXPECT_EQ(bucket.wait_us(5'000'000), 10'000U);
  EXPECT_FALSE(bucket.take(5'009'999));
  EXPECT_TRUE(bucket.take(5'010'000));
  taken = 0;
  while (bucket.take(1'000'000'000)) ++taken;
  EXPECT_EQ(taken, 100) << "what was not used does not add up";
}

TEST(TokenBucket, ALargeTakeIsOwedForASecondAtMost) {
  TokenBucket bucket(100, 0);
  EXPECT_TRUE(bucket.take(0, 150)) << "more than fits, but there is one";
  EXPECT_FALSE(bucket.take(0));
  EXPECT_EQ(bucket.wait_us(0), 510'000U) << "the 50 that are owed, and one";
  EXPECT_FALSE(bucket.take(509'999));
  EXPECT_TRUE(bucket.take(510'000, 1'000'000));
  EXPECT_EQ(bucket.wait_us(510'000), 1'010'000U);
  EXPECT_TRUE(bucket.take(~std::uint64_t{0}, 1)) << "a clock that jumps far overflows nothing";
}

TEST(GatePackets, AreReadAsTheyWereWritten) {
  const control::GatePacket packet{control::GateKind::message, false, 7, 9, "text"};
  const auto read = control::decode_gate(control::encode_gate(packet));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read.value().kind, control::GateKind::message);
  EXPECT_FALSE(read.value().last);
  EXPECT_EQ(read.value().channel, 7U);
  EXPECT_EQ(read.value().value, 9U);
  EXPECT_EQ(read.value().body, "text");
}

TEST(GatePackets, ShortMessagesOfSeveralChannelsGoInOne) {
  control::GateBatch batch;
  EXPECT_TRUE(batch.empty());
  ASSERT_TRUE(batch.add(7, "first"));
  ASSERT_TRUE(batch.add(0xfffffffeU, std::string(1000, 'x')));
  EXPECT_FALSE(batch.add(7, std::string(control::kGateBody - 1000, 'x'))) << "more than a packet has room for";
  ASSERT_TRUE(batch.add(7, "last"));
  const auto read = control::decode_gate(control::encode_gate(batch.take()));
  EXPECT_TRUE(batch.empty());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read.value().kind, control::GateKind::messages);
  const auto messages = control::read_batch(read.value());
  ASSERT_TRUE(messages.ok());
  ASSERT_EQ(messages.value().size(), 3U);
  EXPECT_EQ(messages.value()[0].channel, 7U);
  EXPECT_EQ(messages.value()[0].text, "first");
  EXPECT_EQ(messages.value()[1].channel, 0xfffffffeU);
  EXPECT_EQ(messages.value()[1].text.size(), 1000U);
  EXPECT_EQ(messages.value()[2].text, "last");
}

TEST(GatePackets, ABatchThatIsNotWhatItsLengthsSayIsRefused) {
  control::GatePacket packet{control::GateKind::messages, true, 0, 0, {}};
  const auto good = [&](const std::string& body) {
    packet.body = body;
    return control::read_batch(packet).ok();
  };
  const std::string channel(4, '\1');
  EXPECT_TRUE(good(channel + std::string("\1\0\0\0x", 5)));
  EXPECT_FALSE(good(""));
  EXPECT_FALSE(good(channel + std::string("\1\0\0", 3))) << "it ends within a length";
  EXPECT_FALSE(good(channel + std::string("\0\0\0\0", 4))) << "no message is empty";
  EXPECT_FALSE(good(channel + std::string("\2\0\0\0x", 5))) << "longer than what there is";
  EXPECT_FALSE(good(channel + std::string("\xff\xff\xff\xffx", 5)));
  EXPECT_FALSE(good(channel + std::string("\1\0\0\0xy", 6))) << "bytes are left over";
}

TEST(GatePackets, ThatAreInvalidAreRefused) {
  EXPECT_FALSE(control::decode_gate("").ok());
  EXPECT_FALSE(control::decode_gate(std::string(control::kGateHeader - 1, '\1')).ok());
  EXPECT_FALSE(control::decode_gate(std::string(control::kGateHeader, '\0')).ok());
  EXPECT_FALSE(control::decode_gate(std::string(control::kGateHeader, '\xff')).ok());
  std::string good = control::encode_gate({control::GateKind::notice, true, 0, 0, {}});
  EXPECT_TRUE(control::decode_gate(good).ok());
  EXPECT_FALSE(control::decode_gate(good + std::string(control::kGateBody + 1, 'x')).ok());
  good[0] = static_cast<char>(control::kLastGateKind + 1);
  EXPECT_FALSE(control::decode_gate(good).ok());
  // A body that is not what its kind says.
  control::GatePacket packet{control::GateKind::closed, true, 1, 0, "[]"};
  EXPECT_FALSE(control::gate_body<control::GateClosed>(packet).ok());
  packet.body = R"({"text":7})";
  EXPECT_FALSE(control::gate_body<control::GateClosed>(packet).ok());
}

TEST(Resolver, DoesNotKeepItsCallerWaiting) {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  // Never destroyed, as in the gate.
  auto* const resolver = new Resolver(1, 4, [&](const std::string& host, std::size_t) -> Resolver::Found {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return open; });
    if (host == "bad") return core::Error{"no such host"};
    return std::vector{at("10.0.0.1:0"), at("[::1]:0")};
  });
  std::vector<std::string> answers;
  const auto note = [&](const Resolver::Found& found) {
    answers.push_back(found.ok() ? std::to_string(found.value().size()) : found.error().text);
  };
  resolver->resolve("good", note);
  resolver->resolve("bad", note);
  resolver->resolve("10.1.2.3", note);
  resolver->resolve("fe80::1", note);
  EXPECT_EQ(answers, (std::vector<std::string>{"1", "1"})) << "numeric addresses wait for nothing";
  {
    const std::lock_guard lock(mutex);
    open = true;
  }
  changed.notify_all();
  while (answers.size() < 4) {
    pollfd wait{resolver->fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&wait, 1, 20'000), 1);
    resolver->take();
  }
  EXPECT_EQ(answers[2], "2");
  EXPECT_EQ(answers[3], "no such host");
}

TEST(Resolver, TakesNoMoreNamesThanItsLimit) {
  // Never destroyed, and reachable for the check of leaks.
  static auto* const resolver =
      new Resolver(0, 4, [](const std::string&, std::size_t) -> Resolver::Found { return core::Error{}; });
  std::size_t refused = 0;
  for (std::size_t i = 0; i < Resolver::kMaxWaiting + 3; ++i) {
    resolver->resolve("host", [&](const Resolver::Found& found) { refused += found.ok() ? 0 : 1; });
  }
  EXPECT_EQ(refused, 3U);
}

TEST(Sandbox, ListsOfCallsNameEachOnceAndDoNotContradict) {
  std::set<long> refused;
  for (const sandbox::Call& call : sandbox::refused_calls())
    EXPECT_TRUE(refused.insert(call.number).second) << call.name;
  for (const auto calls : {sandbox::gate_calls(), sandbox::keeper_calls()}) {
    std::set<long> seen;
    for (const sandbox::Call& call : calls) {
      EXPECT_TRUE(seen.insert(call.number).second) << call.name;
      EXPECT_FALSE(refused.contains(call.number)) << call.name;
    }
  }
}

}  // namespace
}  // namespace slotwire::gate
