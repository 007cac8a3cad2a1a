// ARP as a port of its own needs it.
#include "core/carriers/neighbours.hpp"

#include <gtest/gtest.h>

#include <random>

namespace slotwire::test {
namespace {

using carriers::ArpFrame;
using carriers::Neighbours;
using carriers::NetworkPlace;
using Taken = Neighbours::Taken;

constexpr NetworkPlace kHere{.mac = 0x0200'0000'0001, .ip = 0x0a01'0001, .prefix = 24, .gateway = 0x0a01'00fe};
constexpr NetworkPlace kThere{.mac = 0x0200'0000'0002, .ip = 0x0a01'0002, .prefix = 24, .gateway = 0};
constexpr std::uint64_t kSoon = Neighbours::kAskUs, kLater = Neighbours::kRefreshUs;

TEST(Neighbours, AskedAndAnsweredBothKnowEachOther) {
  Neighbours here(kHere, 4), there(kThere, 4);
  const auto peer = here.watch(kThere.ip);
  const auto back = there.watch(kHere.ip);
  ASSERT_TRUE(peer && back);
  ArpFrame request{}, answer{}, none{};
  EXPECT_EQ(here.mac(*peer), 0U);
  EXPECT_EQ(here.deadline_us(), 0U);
  ASSERT_TRUE(here.ask(1000, request));
  EXPECT_FALSE(here.ask(1000, none)) << "once is enough for now";
  EXPECT_EQ(there.take(request, 1000, answer), Taken::answer);
  EXPECT_EQ(there.mac(*back), kHere.mac) << "who asks is known";
  EXPECT_EQ(here.take(answer, 1001, none), Taken::learnt);
  EXPECT_EQ(here.mac(*peer), kThere.mac);
  EXPECT_EQ(here.take(answer, 1002, none), Taken::nothing) << "nothing new";
  EXPECT_EQ(here.deadline_us(), 1002 + kLater);
}

TEST(Neighbours, SilentOnesAreAskedAgainLessAndLess) {
  Neighbours here(kHere, 4);
  const auto peer = here.watch(kThere.ip);
  ArpFrame request{};
  std::uint64_t now = 1, last = 0;
  for (unsigned i = 0; i < 200; ++i) {
    ASSERT_TRUE(here.ask(now, request));
    const std::uint64_t pause = *here.deadline_us() - now;
    if (i < Neighbours::kSilentAfter) {
      EXPECT_EQ(pause, kSoon);
    }
    EXPECT_GE(pause, last);
    EXPECT_LE(pause, 2 * kLater);
    EXPECT_EQ(here.silent(*peer), i + 1 >= Neighbours::kSilentAfter);
    EXPECT_FALSE(here.ask(now + pause - 1, request));
    last = pause;
    now += pause;
  }
  EXPECT_GE(last, kLater);
}

TEST(Neighbours, AMovedAddressIsLearntAndAStrangersIsNot) {
  Neighbours here(kHere, 1);
  const auto peer = here.watch(kThere.ip);
  EXPECT_FALSE(here.watch(0x0a01'0003)) << "the limit is one";
  EXPECT_EQ(here.watch(kThere.ip), peer) << "the same address is no second one";
  for (const std::uint64_t mac : {0x0200'0000'0002, 0x0200'0000'0003}) {
    NetworkPlace moved = kThere;
    moved.mac = mac;
    Neighbours there(moved, 4);
    there.watch(0x0a01'0009);  // a request for somebody else that all see
    ArpFrame request{}, none{};
    ASSERT_TRUE(there.ask(1, request));
    EXPECT_EQ(here.take(request, 5, none), Taken::learnt);
    EXPECT_EQ(here.mac(*peer), mac);
  }
  NetworkPlace stranger = kThere;
  stranger.ip = 0x0a01'0007;
  Neighbours strange(stranger, 1);
  strange.watch(0x0a01'0009);
  ArpFrame request{}, none{};
  ASSERT_TRUE(strange.ask(1, request));
  EXPECT_EQ(here.take(request, 5, none), Taken::nothing);
  here.unwatch(*peer);
  here.unwatch(*peer);
  EXPECT_FALSE(here.deadline_us()) << "nobody is watched";
}

TEST(Neighbours, OnANewWireAllAreAskedAnew) {
  Neighbours here(kHere, 1), there(kThere, 1);
  const auto peer = here.watch(kThere.ip);
  there.watch(kHere.ip);
  ArpFrame request{}, answer{};
  ASSERT_TRUE(there.ask(1, request));
  EXPECT_EQ(here.take(request, 5, answer), Taken::answer);
  EXPECT_FALSE(here.ask(6, request)) << "it has just been heard of";
  EXPECT_EQ(here.mac(*peer), kThere.mac);
  here.forget(7);
  EXPECT_EQ(here.deadline_us(), 7U);
  EXPECT_EQ(here.mac(*peer), 0U);
  EXPECT_TRUE(here.ask(7, request));
  EXPECT_FALSE(here.ask(7, request));
}

TEST(Neighbours, AnotherHostWithOurAddressIsAConflict) {
  Neighbours here(kHere, 1);
  NetworkPlace thief = kHere;
  thief.mac = 0x0200'0000'0009;
  Neighbours there(thief, 1);
  there.watch(kThere.ip);
  ArpFrame request{}, none{};
  ASSERT_TRUE(there.ask(1, request));
  EXPECT_EQ(here.take(request, 5, none), Taken::conflict);
}

TEST(Neighbours, OnlyHostsOfTheNetworkAndThoseBehindTheGatewayAreReached) {
  const Neighbours here(kHere, 1);
  EXPECT_EQ(here.next_hop(kThere.ip), kThere.ip);
  EXPECT_EQ(here.next_hop(0x0b00'0001), kHere.gateway);
  for (const std::uint32_t none : {kHere.ip, 0x0a01'0000U, 0x0a01'00ffU, 0x7f00'0001U, 0xe000'0001U, 0xffff'ffffU, 0U})
    EXPECT_FALSE(here.next_hop(none)) << none;
  EXPECT_FALSE(Neighbours(kThere, 1).next_hop(0x0b00'0001)) << "no gateway";
  NetworkPlace pair = kHere;
  pair.prefix = 31;
  EXPECT_EQ(Neighbours(pair, 1).next_hop(0x0a01'0000), 0x0a01'0000U);
  pair.prefix = 32;
  EXPECT_EQ(Neighbours(pair, 1).next_hop(kThere.ip), kHere.gateway);
}

TEST(Neighbours, DamagedFramesTeachNothing) {
  Neighbours there(kThere, 1);
  there.watch(kHere.ip);
  ArpFrame good{}, answer{};
  ASSERT_TRUE(there.ask(1, good));
  for (std::size_t size = 0; size < 42; ++size) {
    Neighbours here(kHere, 1);
    const auto peer = here.watch(kThere.ip);
    EXPECT_EQ(here.take(std::span(good).first(size), 5, answer), size < 14 ? Taken::not_arp : Taken::malformed);
    EXPECT_EQ(here.mac(*peer), 0U);
  }
  // Each byte of what is checked, changed: the kind, the operation, the sender's address beside the frame's source.
  for (const std::size_t at : {6U, 11U, 14U, 15U, 16U, 17U, 18U, 19U, 20U, 21U, 22U, 27U}) {
    Neighbours here(kHere, 1);
    const auto peer = here.watch(kThere.ip);
    ArpFrame bad = good;
    bad[at] ^= std::byte{0x10};
    EXPECT_EQ(here.take(bad, 5, answer), Taken::malformed) << "byte " << at;
    EXPECT_EQ(here.mac(*peer), 0U);
  }
  // A group's address is nobody's.
  Neighbours here(kHere, 1);
  const auto peer = here.watch(kThere.ip);
  ArpFrame bad = good;
  bad[6] = bad[22] = std::byte{0x03};
  EXPECT_EQ(here.take(bad, 5, answer), Taken::malformed);
  std::mt19937 random(3);
  for (int i = 0; i < 20'000; ++i) {
    bad = good;
    for (auto& byte : std::span(bad).subspan(14)) byte = static_cast<std::byte>(random() & 0xffU);
    here.take(std::span(bad).first(random() % (bad.size() + 1)), 5, answer);
    ASSERT_EQ(here.mac(*peer), 0U);
  }
}

}  // namespace
}  // namespace slotwire::test
