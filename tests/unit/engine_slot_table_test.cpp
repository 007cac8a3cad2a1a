// The life of slots: opening, pairing, draining, ending, and what each costs and gives back.
#include "runtime/engine/slots/slot_table.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <functional>

#include "unit/engine_rooms.hpp"

namespace slotwire::engine {
namespace {

const RemoteEnd kPeer{.link = 0, .slot = 5, .epoch = 77, .first = {}, .node = "right", .process = {"server", 9, 0}};

TEST(SlotTable, OpensAndGivesBackEverything) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  const std::uint64_t before = rooms.slots.memory().free_bytes;
  const std::uint16_t slot = rooms.open(session, Pairing::remote);
  EXPECT_TRUE(rooms.slots.is_opening(slot));
  EXPECT_EQ(session.slot_count, 1U);
  EXPECT_EQ(session.memory, 2U * 64 * 64);
  EXPECT_EQ(rooms.slots.used(), 1U);
  EXPECT_TRUE(rooms.store.has(KeptTag::of_slot(slot).number()));
  EXPECT_LT(rooms.slots.memory().free_bytes, before);
  rooms.slots.discard(slot);
  EXPECT_EQ(session.slot_count, 0U);
  EXPECT_EQ(session.memory, 0U);
  EXPECT_EQ(rooms.slots.used(), 0U);
  EXPECT_FALSE(rooms.store.has(KeptTag::of_slot(slot).number()));
  EXPECT_EQ(rooms.slots.memory().free_bytes, before);
}

TEST(SlotTable, ANumberThatWasFreedIsTheLastToBeUsedAgain) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  std::vector<std::uint16_t> numbers;
  for (std::size_t i = 0; i < rooms.slots.count(); ++i) {
    numbers.push_back(rooms.open(session, Pairing::remote));
    rooms.slots.discard(numbers.back());
  }
  std::sort(numbers.begin(), numbers.end());
  EXPECT_EQ(std::unique(numbers.begin(), numbers.end()), numbers.end()) << "a number came twice in one turn";
}

TEST(SlotTable, RefusesBeyondEachLimitAndKeepsNothing) {
  Rooms rooms;
  Session& first = rooms.attach(100);
  for (int i = 0; i < 5; ++i) rooms.open(first, Pairing::direct);
  EXPECT_EQ(refusal([&] { rooms.open(first, Pairing::direct); }), "quota");
  Session& second = rooms.attach(101);
  for (int i = 0; i < 3; ++i) rooms.open(second, Pairing::direct);
  EXPECT_EQ(refusal([&] { rooms.open(second, Pairing::direct); }), "no_memory") << "all slots of the node are in use";
  EXPECT_EQ(rooms.slots.used(), 8U);
  EXPECT_EQ(second.slot_count, 3U);
}

TEST(SlotTable, RefusesWhatSlotMemoryCannotHold) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  // 256 KiB in all: two slots of 64 KiB each way, and not a third.
  rooms.open(session, Pairing::remote, 10);
  rooms.open(session, Pairing::remote, 10);
  const std::uint64_t free = rooms.slots.memory().free_bytes;
  EXPECT_NE(refusal([&] { rooms.open(session, Pairing::remote, 10); }), "");
  EXPECT_EQ(rooms.slots.memory().free_bytes, free) << "half of a slot that could not be had was kept";
  EXPECT_EQ(rooms.slots.used(), 2U);
}

TEST(SlotTable, ARemoteSlotTellsItsPeerWhenItIsDrained) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  const std::uint16_t slot = rooms.open(session, Pairing::remote);
  rooms.slots.pair_remote(slot, kPeer);
  ASSERT_EQ(rooms.slots.pairs_of(0).size(), 1U);
  EXPECT_EQ(rooms.slots.pairs_of(0)[0].receiver_slot, 5);
  EXPECT_EQ(rooms.slots.pairs_of(0)[0].epoch, 77);
  EXPECT_TRUE(rooms.slots.pairs_of(1).empty());

  rooms.peers.reachable = false;
  rooms.slots.begin_close(slot, End::closed);
  EXPECT_EQ(rooms.slots.draining(), 1U);
  rooms.slots.check_draining(rooms.timeline.now_us());
  EXPECT_TRUE(rooms.peers.told.empty()) << "it cannot be told now, so it is not given up";
  EXPECT_EQ(rooms.slots.used(), 1U);

  rooms.peers.reachable = true;
  rooms.slots.check_draining(rooms.timeline.now_us());
  ASSERT_EQ(rooms.peers.told.size(), 1U);
  EXPECT_EQ(rooms.peers.told[0].second.slot, 5);
  EXPECT_EQ(rooms.peers.told[0].second.from_slot, slot);
  EXPECT_EQ(rooms.peers.told[0].second.epoch, 77);
  EXPECT_EQ(rooms.peers.told[0].second.reason, End::closed);
  EXPECT_EQ(rooms.slots.used(), 0U);
  EXPECT_TRUE(rooms.slots.pairs_of(0).empty());
}

TEST(SlotTable, ASlotThatDoesNotDrainIsGivenUpAfterLinger) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  const std::uint16_t slot = rooms.open(session, Pairing::remote);
  rooms.slots.pair_remote(slot, kPeer);
  rooms.peers.reachable = false;
  rooms.slots.begin_close(slot, End::closed);
  rooms.slots.check_draining(rooms.timeline.now_us() + 1'000'000);
  EXPECT_EQ(rooms.slots.used(), 1U);
  rooms.slots.check_draining(rooms.timeline.now_us() + 1'000'001);
  EXPECT_EQ(rooms.slots.used(), 0U);
}

TEST(SlotTable, ThePeersEndIsToldOnceAndTheSlotStaysReadable) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  const std::uint16_t slot = rooms.open(session, Pairing::remote);
  rooms.slots.pair_remote(slot, kPeer);
  rooms.slots.peer_closed(0, {.slot = slot, .from_slot = 6, .epoch = 77, .reason = End::closed});
  rooms.slots.peer_closed(0, {.slot = slot, .from_slot = 5, .epoch = 78, .reason = End::closed});
  rooms.slots.peer_closed(1, {.slot = slot, .from_slot = 5, .epoch = 77, .reason = End::closed});
  EXPECT_EQ(rooms.slots.descriptor(slot).phase, Phase::open) << "another pairing's close closed it";
  rooms.slots.peer_closed(0, {.slot = -1, .from_slot = 5, .epoch = 77, .reason = End::died});
  EXPECT_EQ(rooms.slots.descriptor(slot).phase, Phase::peer_gone);
  const auto closed = rooms.event<control::Closed>(*rooms.pipes[0]);
  EXPECT_EQ(closed.reason, End::died);
  rooms.slots.peer_closed(0, {.slot = slot, .from_slot = 5, .epoch = 77, .reason = End::died});
  EXPECT_FALSE(rooms.pipes[0]->receive()) << "it was told twice";
  EXPECT_EQ(rooms.slots.used(), 1U) << "the process may still read";
  rooms.slots.begin_close(slot, End::closed);
  EXPECT_EQ(rooms.slots.used(), 0U);
  EXPECT_TRUE(rooms.peers.told.empty()) << "a peer that has ended is told nothing";
}

TEST(SlotTable, ASyncEndsWhatThePeerDoesNotHave) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  const std::uint16_t kept = rooms.open(session, Pairing::remote);
  const std::uint16_t gone = rooms.open(session, Pairing::remote);
  rooms.slots.pair_remote(kept, kPeer);
  rooms.slots.pair_remote(gone, {.link = 0, .slot = 6, .epoch = 78, .first = {}, .node = "right", .process = {}});
  rooms.slots.keep_only(0, [&](std::uint16_t slot, std::uint16_t epoch) { return slot == kept && epoch == 77; });
  EXPECT_EQ(rooms.slots.descriptor(kept).phase, Phase::open);
  EXPECT_EQ(rooms.slots.descriptor(gone).phase, Phase::peer_gone);
  rooms.slots.link_lost(0, "it started anew");
  EXPECT_EQ(rooms.slots.descriptor(kept).end, End::lost);
}

TEST(SlotTable, APairOfThisNodeEndsTogether) {
  Rooms rooms;
  Session& a = rooms.attach(100);
  Session& b = rooms.attach(101);
  const std::uint16_t one = rooms.open(a, Pairing::direct);
  const std::uint16_t two = rooms.open(b, Pairing::direct);
  rooms.slots.pair_here(one, two, Pairing::direct);
  EXPECT_EQ(rooms.slots.info(one).peer.pid, 101U);
  EXPECT_TRUE(rooms.slots.info(one).direct);
  std::vector<slot::Fd> temporary;
  EXPECT_EQ(rooms.slots.descriptors(one, temporary).size(), 4U);
  rooms.slots.begin_close(one, End::died);
  EXPECT_EQ(rooms.slots.used(), 1U);
  EXPECT_EQ(rooms.event<control::Closed>(*rooms.pipes[1]).reason, End::died);
  rooms.slots.begin_close(two, End::closed);
  EXPECT_EQ(rooms.slots.used(), 0U);
}

TEST(SlotTable, ASlotThatIsOpeningTellsWhoeverOpensIt) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  const std::uint16_t slot = rooms.open(session, Pairing::remote);
  std::vector<std::pair<std::uint16_t, End>> abandoned;
  rooms.slots.on_abandoned([&](std::uint16_t which, End end) { abandoned.emplace_back(which, end); });
  rooms.sessions.end(session.index, "the test ends it");
  ASSERT_EQ(abandoned.size(), 1U);
  EXPECT_EQ(abandoned[0].first, slot);
  EXPECT_EQ(abandoned[0].second, End::died);
  EXPECT_EQ(rooms.slots.used(), 0U);
}

TEST(SlotTable, AFaultedSlotEndsOnBothSidesAndAloneHere) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  const std::uint16_t bad = rooms.open(session, Pairing::remote);
  const std::uint16_t good = rooms.open(session, Pairing::remote);
  rooms.slots.pair_remote(bad, kPeer);
  rooms.slots.pair_remote(good, {.link = 0, .slot = 6, .epoch = 78, .first = {}, .node = "right", .process = {}});
  rooms.slots.faulted(bad, regs::Fault::in_tail);
  ASSERT_EQ(rooms.peers.told.size(), 1U);
  EXPECT_EQ(rooms.peers.told[0].second.reason, End::peer_fault);
  const auto closed = rooms.event<control::Closed>(*rooms.pipes[0]);
  EXPECT_EQ(closed.reason, End::fault);
  EXPECT_NE(closed.text.find("IN_TAIL"), std::string::npos) << closed.text;
  EXPECT_EQ(rooms.slots.descriptor(good).phase, Phase::open);
}

TEST(SlotTable, DoesNotTakeUpAWakeUpOfAnEarlierRelease) {
  Rooms rooms;
  Session& session = rooms.attach(100);
  const std::uint16_t first = rooms.open(session, Pairing::direct);
  const std::uint16_t second = rooms.open(session, Pairing::direct);
  rooms.slots.pair_here(first, second, Pairing::direct);
  KeptDescriptors kept = rooms.store.take();
  const std::unique_ptr<driver::Card> card = software_card(rooms.admin, rooms.listener, 3);
  SlotTable later({rooms.config, rooms.admin, *card, rooms.loop, rooms.store, rooms.sessions, rooms.accounts,
                   rooms.peers, rooms.log, [] { return 1U; }, Rooms::kLoopLink});
  const auto has_link = [](std::uint16_t) { return true; };
  std::vector<slot::Fd>& old = kept.at(KeptTag::of_slot(first).number());
  old[1] = slot::Fd(::eventfd(0, EFD_CLOEXEC));
  EXPECT_FALSE(later.recover(first, old, has_link));
  EXPECT_TRUE(later.recover(second, kept.at(KeptTag::of_slot(second).number()), has_link));
}

/// A later life of the slots of `rooms`.
struct Later {
  explicit Later(Rooms& rooms)
      : kept(rooms.store.take()),
        card(software_card(rooms.admin, rooms.listener, 3)),
        slots({rooms.config, rooms.admin, *card, rooms.loop, rooms.store, rooms.sessions, rooms.accounts, rooms.peers,
               rooms.log, [] { return 1U; }, Rooms::kLoopLink}) {}
  bool recover(std::uint16_t slot) {
    return slots.recover(slot, kept.at(KeptTag::of_slot(slot).number()), [](std::uint16_t) { return true; });
  }

  KeptDescriptors kept;
  std::unique_ptr<driver::Card> card;
  SlotTable slots;
};

TEST(SlotTable, WhatDoesNotFitTogetherIsNotTakenOver) {
  using Change = std::function<void(SlotDescriptor&, regs::SlotRow&)>;
  const std::vector<std::pair<const char*, Change>> changes = {
      {"a ring larger than its memory", [](SlotDescriptor&, regs::SlotRow& row) { row.in_order = 15; }},
      {"a ring smaller than its memory", [](SlotDescriptor&, regs::SlotRow& row) { row.out_order = 0; }},
      {"the link of pairs within the node", [](SlotDescriptor&, regs::SlotRow& row) { row.link = Rooms::kLoopLink; }},
      {"no phase", [](SlotDescriptor& d, regs::SlotRow&) { d.phase = static_cast<Phase>(9); }},
      {"no reason", [](SlotDescriptor& d, regs::SlotRow&) { d.end = static_cast<End>(99); }},
      {"a partner beyond all slots", [](SlotDescriptor& d, regs::SlotRow&) {
         d.has_partner = 1;
         d.partner = 60'000;
       }}};
  for (const auto& [what, change] : changes) {
    Rooms rooms;
    const std::uint16_t slot = rooms.open(rooms.attach(100), Pairing::remote);
    rooms.slots.pair_remote(slot, kPeer);
    Later later(rooms);
    change(rooms.admin.slots()[slot], rooms.admin.rows()[slot]);
    EXPECT_FALSE(later.recover(slot)) << what;
    later.slots.finish_recovery();
    EXPECT_EQ(later.slots.used(), 0U) << what;
    EXPECT_EQ(later.slots.descriptor(slot).pairing, Pairing::none) << what;
  }
}

TEST(SlotTable, AnEndWhoseOtherEndWasNotTakenOverHasNoPartner) {
  for (const Pairing pairing : {Pairing::direct, Pairing::strict}) {
    Rooms rooms;
    Session& session = rooms.attach(100);
    const std::uint16_t first = rooms.open(session, pairing);
    const std::uint16_t second = rooms.open(session, pairing);
    rooms.slots.pair_here(first, second, pairing);
    Later later(rooms);
    EXPECT_TRUE(later.recover(second));
    later.slots.finish_recovery();
    later.slots.check_draining(rooms.loop.now_us());
    EXPECT_EQ(later.slots.used(), 0U) << "its process has ended, and nobody is at the other end";
    EXPECT_EQ(later.slots.descriptor(second).pairing, Pairing::none);
  }
}

TEST(LinkSlots, AddsAndRemovesInAnyOrder) {
  LinkSlots slots(8);
  for (std::uint16_t slot = 0; slot < 4; ++slot) slots.add(1, slot);
  slots.add(0, 4);
  slots.remove(1);
  slots.remove(3);
  slots.remove(3);
  slots.remove(7);
  std::vector<std::uint16_t> left(slots.of(1).begin(), slots.of(1).end());
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::uint16_t>{0, 2}));
  EXPECT_EQ(slots.of(0).size(), 1U);
  EXPECT_TRUE(slots.of(9).empty());
  slots.add(0, 1);
  EXPECT_EQ(slots.of(0).size(), 2U);
}

}  // namespace
}  // namespace slotwire::engine
