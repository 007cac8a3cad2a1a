// What peers may take over their links: quotas, shares, opens per second, and when it is given back.
#include "runtime/engine/slots/peer_accounts.hpp"

#include <gtest/gtest.h>

#include "unit/engine_rooms.hpp"

namespace slotwire::engine {
namespace {

Config peer_limits(const std::string& more) {
  return parse_config("[node]\nname = \"left\"\n[limits]\n" + more, "test");
}

struct Accounts {
  explicit Accounts(const std::string& more) : config(peer_limits(more)) {}

  /// Takes one at a time, as a user of this node that serves, until it is refused; how many there were.
  std::uint64_t take_slots(const std::string& peer) {
    std::uint64_t taken = 0;
    while (!peers.forbids(peer, PeerResource::slots)) {
      peers.take(peer, PeerResource::slots);
      users.take(0, Resource::slots);
      ++taken;
    }
    return taken;
  }
  std::uint64_t take_opens(const std::string& peer) {
    std::uint64_t taken = 0;
    while (!peers.forbids(peer, PeerResource::pending_opens)) {
      peers.take(peer, PeerResource::pending_opens);
      ++taken;
    }
    return taken;
  }

  Config config;
  UserAccounts users{config, 900};
  PeerAccounts peers{config, users};
};

TEST(PeerAccounts, OnePeerGetsMostOfANodeAndOthersFindSome) {
  Accounts a("slots = 1000\npending_opens = 1000\nreserve = 10\n");
  EXPECT_EQ(a.take_slots("aa"), 600U) << "two thirds of the 900 that are not kept for root";
  EXPECT_GT(a.take_slots("bb"), 100U);
  for (const char* const peer : {"cc", "dd", "ee"}) EXPECT_GT(a.take_slots(peer), 0U) << peer;
  EXPECT_LE(a.peers.total(PeerResource::slots), 900U);
  EXPECT_EQ(a.take_opens("aa"), 600U);
  EXPECT_GT(a.take_opens("bb"), 100U);
}

TEST(PeerAccounts, MemoryInLargePiecesStaysWithinTheShare) {
  Accounts a("slots = 1000\nreserve = 5\n[memory]\nslot_memory = \"16MiB\"\n");
  constexpr std::uint64_t kPiece = std::uint64_t{4} << 20U;  // both rings of a connection with the largest ones
  constexpr uid_t kServer = 1000;
  std::uint64_t taken = 0;
  while (!a.peers.forbids("aa", PeerResource::memory, kPiece)) {
    ASSERT_FALSE(a.users.forbids(kServer, Resource::memory, kPiece));
    a.peers.take("aa", PeerResource::memory, kPiece);
    a.users.take(kServer, Resource::memory, kPiece);
    taken += kPiece;
  }
  EXPECT_EQ(taken, 2 * kPiece) << "a third piece would be four fifths of what is not kept for root";
  constexpr std::uint64_t kSmall = std::uint64_t{128} << 10U;
  EXPECT_FALSE(a.peers.forbids("bb", PeerResource::memory, kSmall));
  EXPECT_FALSE(a.users.forbids(kServer, Resource::memory, kSmall))
      << "the user that serves has a share for other peers";
}

TEST(PeerAccounts, OnePeerDoesNotUseUpTheShareOfTheUserThatServesIt) {
  Accounts a("slots = 1000\n");
  constexpr uid_t kServer = 1000;
  std::uint64_t taken = 0;
  for (; !a.peers.forbids("aa", PeerResource::slots); ++taken) {
    ASSERT_FALSE(a.users.forbids(kServer, Resource::slots)) << "after " << taken;
    a.peers.take("aa", PeerResource::slots);
    a.users.take(kServer, Resource::slots);
  }
  EXPECT_FALSE(a.users.forbids(kServer, Resource::slots, 50)) << "other peers are served";
}

TEST(PeerAccounts, ARefusalNamesTheLimitItsNodeAndWhatToDo) {
  Accounts a("slots_per_peer = 7\nmemory_per_peer = \"64KiB\"\npending_opens_per_peer = 2\n");
  EXPECT_EQ(a.take_slots("aa"), 7U);
  const auto refusal = a.peers.forbids("aa", PeerResource::slots);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->code, "quota");
  EXPECT_EQ(refusal->text,
            "the link to node 'aa' has 7 of its 7 slots of node 'left' in use: close connections, or raise "
            "limits.slots_per_peer there");
  const auto memory = a.peers.forbids("aa", PeerResource::memory, 65537);
  ASSERT_TRUE(memory);
  EXPECT_NE(memory->text.find("limits.memory_per_peer"), std::string::npos) << memory->text;
  EXPECT_FALSE(a.peers.forbids("aa", PeerResource::memory, 65536));
  EXPECT_FALSE(a.peers.forbids("bb", PeerResource::slots));
  a.peers.give("aa", PeerResource::slots);
  EXPECT_FALSE(a.peers.forbids("aa", PeerResource::slots));
  EXPECT_EQ(a.take_opens("aa"), 2U);
  EXPECT_EQ(refusal->text.find("limits.peer_share"), std::string::npos);

  Accounts b("slots = 100\n");
  b.take_slots("aa");
  const auto share = b.peers.forbids("aa", PeerResource::slots);
  ASSERT_TRUE(share);
  EXPECT_NE(share->text.find("limits.peer_share = 2"), std::string::npos) << share->text;
  EXPECT_NE(share->text.find("node 'left'"), std::string::npos) << share->text;
}

TEST(PeerAccounts, OpensHaveASecondsWorthAtOnceAndThenTheirRate) {
  Accounts a("opens_per_peer = 10\n");
  std::uint64_t now = 5'000'000;
  const auto opens = [&](const std::string& peer) {
    int count = 0;
    while (refusal([&] { a.peers.spend_open(peer, now); }).empty()) ++count;
    return count;
  };
  EXPECT_EQ(opens("aa"), 10);
  EXPECT_EQ(refusal([&] { a.peers.spend_open("aa", now); }), "busy");
  EXPECT_EQ(a.peers.refused("aa"), 2U);
  EXPECT_EQ(opens("bb"), 10) << "another peer has its own";
  now += 300'000;
  EXPECT_EQ(opens("aa"), 3);
  now += 3600'000'000;
  EXPECT_EQ(opens("aa"), 10) << "a pause is worth no more than a second";
}

TEST(PeerAccounts, APendingOpenIsGivenBackOnce) {
  Accounts a("");
  {
    PeerAccounts::OpenCharge first(a.peers, "aa");
    PeerAccounts::OpenCharge second = std::move(first);
    EXPECT_EQ(a.peers.held("aa", PeerResource::pending_opens), 1U);
    second = PeerAccounts::OpenCharge(a.peers, "bb");
    EXPECT_EQ(a.peers.held("aa", PeerResource::pending_opens), 0U);
    second.release();
    EXPECT_EQ(a.peers.total(PeerResource::pending_opens), 0U);
  }
  EXPECT_EQ(a.peers.total(PeerResource::pending_opens), 0U);
}

TEST(PeerAccounts, SlotsAreThePeersUntilTheyAreFree) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  const std::uint16_t own = rooms.open(session, Pairing::remote);
  rooms.slots.pair_remote(own, {.link = 0, .slot = 8, .epoch = 1, .first = {}, .node = "right", .process = {}});
  EXPECT_EQ(rooms.accounts.held("right", PeerResource::slots), 0U) << "a process of this node opened it";
  const std::uint16_t slot = rooms.open_for("right", session);
  EXPECT_EQ(rooms.accounts.held("right", PeerResource::slots), 1U);
  EXPECT_EQ(rooms.accounts.held("right", PeerResource::memory), 8192U);
  // It closes its end, again and again: what this node's process has not closed yet is still its.
  rooms.slots.peer_closed(0, {.slot = slot, .from_slot = 3, .epoch = 9, .reason = End::closed});
  EXPECT_EQ(rooms.slots.descriptor(slot).phase, Phase::peer_gone);
  EXPECT_EQ(rooms.accounts.held("right", PeerResource::slots), 1U);
  rooms.slots.begin_close(slot, End::closed);
  EXPECT_EQ(rooms.accounts.held("right", PeerResource::slots), 0U);
  // This node's process closes it, and the peer does not take what is left.
  const std::uint16_t other = rooms.open_for("right", session, 4);
  rooms.peers.reachable = false;
  rooms.sessions.end(session.index, "it ended");
  EXPECT_EQ(rooms.accounts.held("right", PeerResource::slots), 1U);
  rooms.peers.reachable = true;
  rooms.slots.check_draining(rooms.timeline.now_us());
  EXPECT_EQ(rooms.slots.descriptor(other).pairing, Pairing::none);
  EXPECT_EQ(rooms.accounts.held("right", PeerResource::slots), 0U);
  EXPECT_EQ(rooms.accounts.total(PeerResource::memory), 0U);
}

TEST(PeerAccounts, PairsOfOneNodeAreNoPeers) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  const std::uint16_t a = rooms.open(session, Pairing::direct);
  const std::uint16_t b = rooms.slots.open({.session = session.index,
                                            .link = std::nullopt,
                                            .in_order = 6,
                                            .out_order = 6,
                                            .pairing = Pairing::direct,
                                            .service = "orders",
                                            .acceptor = true});
  rooms.slots.pair_here(a, b, Pairing::direct);
  EXPECT_EQ(rooms.accounts.total(PeerResource::slots), 0U);
  rooms.slots.begin_close(a, End::closed);
  rooms.slots.begin_close(b, End::closed);
  EXPECT_EQ(rooms.accounts.total(PeerResource::slots), 0U);
}

TEST(PeerAccounts, AnOpenBeyondThePeersLimitKeepsNothing) {
  Rooms rooms(room_config("[[allow]]\naction = \"connect\"\nservice = \"*\"\nusers = [\"*\"]\n"));
  rooms.config.limits.slots_per_peer = 2;
  Session& session = rooms.attach(100);
  rooms.open_for("right", session, 1);
  rooms.open_for("right", session, 2);
  EXPECT_EQ(refusal([&] { rooms.open_for("right", session, 3); }), "quota");
  EXPECT_EQ(rooms.slots.used(), 2U);
  EXPECT_EQ(rooms.accounts.refused("right"), 1U);
  rooms.open_for("other", session, 3);
  rooms.config.limits.slots_per_peer = 3;  // as a reload does it
  rooms.open_for("right", session, 4);
}

TEST(PeerAccounts, ALaterLifeCountsWhatPeersHadOpened) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  const std::uint16_t bound = rooms.open_for("right", session, 1);
  const std::uint16_t ended = rooms.open_for("right", session, 2);
  rooms.slots.peer_closed(0, {.slot = ended, .from_slot = 2, .epoch = 9, .reason = End::died});
  KeptDescriptors kept = rooms.store.take();
  PeerAccounts accounts{rooms.config, rooms.users};
  const std::unique_ptr<driver::Card> card = software_card(rooms.admin, rooms.listener, 3);
  SlotTable later({rooms.config, rooms.admin, *card, rooms.loop, rooms.store, rooms.sessions, accounts, rooms.peers,
                   rooms.log, [] { return 1U; }, Rooms::kLoopLink});
  for (const std::uint16_t slot : {bound, ended}) {
    ASSERT_TRUE(later.recover(slot, kept.at(KeptTag::of_slot(slot).number()), [](std::uint16_t) { return true; }));
  }
  EXPECT_EQ(accounts.held("right", PeerResource::slots), 2U);
  EXPECT_EQ(accounts.held("right", PeerResource::memory), 2U * 8192);
}

}  // namespace
}  // namespace slotwire::engine
