// Slots whose memory is used again: for whom, with what in it, and when it is given back.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/engine/slots/slot_table.hpp"
#include "unit/engine_rooms.hpp"

namespace slotwire::engine {
namespace {

constexpr unsigned kOrder = 6;
const RemoteEnd kFar{.link = 0, .slot = 5, .epoch = 77, .first = {}, .node = "right", .process = {"server", 9, 0}};

struct SpareSlotsTest : testing::Test {
  explicit SpareSlotsTest(const std::string& more = {}) : rooms(room_config(more)) {}

  SlotWish wish(const Session& session, bool acceptor) {
    return {.session = session.index,
            .link = std::nullopt,
            .in_order = kOrder,
            .out_order = kOrder,
            .pairing = Pairing::direct,
            .service = "orders",
            .acceptor = acceptor};
  }
  /// A connection to another node that its process closes after the peer.
  std::uint16_t use(const Session& session, SlotMemory memory = SlotMemory::spare) {
    const std::uint16_t slot = rooms.open(session, Pairing::remote);
    rooms.slots.pair_remote(slot, kFar);
    end(slot, memory);
    return slot;
  }
  void end(std::uint16_t slot, SlotMemory memory = SlotMemory::spare) {
    rooms.slots.peer_ended(slot, End::closed);
    rooms.slots.begin_close(slot, End::closed, memory);
  }
  std::pair<std::uint16_t, std::uint16_t> open_pair(const Session& from, const Session& to) {
    const auto pair = rooms.slots.open_pair(wish(from, false), wish(to, true));
    rooms.slots.pair_here(pair.first, pair.second, Pairing::direct);
    return pair;
  }
  std::vector<int> descriptors(std::uint16_t slot) {
    std::vector<slot::Fd> temporary;
    return rooms.slots.descriptors(slot, temporary);
  }
  /// What the process of a session was told to forget since the last time.
  std::vector<std::uint32_t> forgotten(std::size_t pipe) {
    std::vector<std::uint32_t> slots;
    while (const std::optional<control::Packet> packet = rooms.pipes[pipe]->receive()) {
      auto read = control::decode_from_engine(packet->text);
      const auto* const event = std::get_if<control::Event>(&read.value());
      if (event == nullptr) continue;
      if (const auto* forget = std::get_if<control::Forget>(event))
        slots.insert(slots.end(), forget->slots.begin(), forget->slots.end());
    }
    return slots;
  }
  using Numbers = std::vector<std::uint32_t>;

  Rooms rooms;
};

TEST_F(SpareSlotsTest, MemoryStaysWithItsProcessForTheNextConnection) {
  Session& session = rooms.attach(100);
  const std::uint64_t before = rooms.slots.memory().free_bytes;
  const std::uint16_t slot = use(session);
  EXPECT_EQ(rooms.slots.used(), 0U);
  EXPECT_EQ(rooms.slots.spares(), 1U);
  EXPECT_EQ(session.slot_count, 0U);
  EXPECT_EQ(session.memory, 0U);
  EXPECT_TRUE(rooms.store.has(KeptTag::of_slot(slot).number()));
  EXPECT_EQ(rooms.users.held(::getuid(), Resource::slots), 1U) << "it counts for its user";
  EXPECT_EQ(rooms.slots.memory().free_bytes, before) << "it can be had";
  EXPECT_EQ(rooms.open(session, Pairing::remote), slot);
  EXPECT_EQ(rooms.slots.spares(), 0U);
  EXPECT_EQ(session.slot_count, 1U);
  EXPECT_TRUE(rooms.slots.info(slot).again);
  EXPECT_TRUE(descriptors(slot).empty()) << "its process has them";
  rooms.slots.pair_remote(slot, kFar);
  end(slot, SlotMemory::given_back);
  EXPECT_EQ(rooms.slots.memory().free_bytes, before);
  EXPECT_EQ(rooms.users.held(::getuid(), Resource::slots), 0U);
  EXPECT_FALSE(rooms.store.has(KeptTag::of_slot(slot).number()));
  EXPECT_FALSE(rooms.slots.info(rooms.open(session, Pairing::remote)).again);
}

TEST_F(SpareSlotsTest, NobodyElseGetsItNorRingsOfAnotherSize) {
  Session& session = rooms.attach(100);
  Session& other = rooms.attach(101);
  const std::uint16_t slot = use(session);
  EXPECT_NE(rooms.open(other, Pairing::remote), slot);
  EXPECT_NE(rooms.open(session, Pairing::remote, kOrder + 1), slot);
  EXPECT_NE(rooms.open(session, Pairing::strict), slot);
  EXPECT_EQ(rooms.slots.spares(), 1U);
}

TEST_F(SpareSlotsTest, NothingOfTheLastConnectionIsInItsPages) {
  Session& session = rooms.attach(100);
  const std::uint16_t slot = rooms.open(session, Pairing::remote);
  rooms.slots.pair_remote(slot, kFar);
  const std::vector<slot::Fd> files = std::move(rooms.store.fetch(KeptTag::of_slot(slot).number()).value());
  const slot::Space own(files.at(0).get(), kOrder, slot::Access::read_write);
  const slot::Space other(files.at(2).get(), kOrder, slot::Access::read_write);
  std::memset(static_cast<void*>(&own.marks()), 0x5a, regs::kPageBytes);
  own.marks().tail = 9;
  own.marks().wait = 3;
  end(slot);
  ASSERT_EQ(rooms.slots.spares(), 1U);
  ASSERT_EQ(rooms.open(session, Pairing::remote), slot);
  const std::vector<std::byte> empty(regs::kPageBytes);
  EXPECT_EQ(std::memcmp(&own.marks(), empty.data(), regs::kPageBytes), 0);
  EXPECT_EQ(std::memcmp(&other.marks(), empty.data(), regs::kPageBytes), 0);
  RemoteEnd far = kFar;
  far.first = {.in = 1000, .out = 2000};
  rooms.slots.pair_remote(slot, far);
  EXPECT_EQ(own.marks().tail, 1000U);
  EXPECT_EQ(own.marks().head, 2000U);
  EXPECT_EQ(other.marks().tail, 2000U);
  EXPECT_EQ(other.marks().head, 1000U);
}

TEST_F(SpareSlotsTest, AProcessThatWasNotToldOfItForgetsIt) {
  Session& session = rooms.attach(100);
  const std::uint16_t slot = use(session);
  forgotten(0);
  ASSERT_EQ(rooms.open(session, Pairing::remote), slot);
  rooms.slots.discard(slot);
  EXPECT_EQ(forgotten(0), Numbers{slot});
  EXPECT_EQ(rooms.slots.spares(), 0U);
}

TEST_F(SpareSlotsTest, OneThatWasFaultedIsNotUsedAgain) {
  Session& session = rooms.attach(100);
  const std::uint16_t slot = rooms.open(session, Pairing::remote);
  rooms.slots.pair_remote(slot, kFar);
  rooms.slots.faulted(slot, regs::Fault::in_tail);
  rooms.slots.begin_close(slot, End::closed, SlotMemory::spare);
  rooms.slots.check_draining(0);
  EXPECT_EQ(rooms.slots.spares(), 0U);
  EXPECT_EQ(forgotten(0), Numbers{slot});
}

TEST_F(SpareSlotsTest, OldOnesAreFreedAndTheirProcessTold) {
  Session& session = rooms.attach(100);
  const std::uint16_t slot = use(session);
  const auto time = static_cast<std::uint64_t>(rooms.config.limits.spare_time.count());
  rooms.slots.drop_old_spares(rooms.timeline.now_us() + time - 1);
  EXPECT_EQ(rooms.slots.spares(), 1U);
  EXPECT_EQ(forgotten(0), Numbers{});
  rooms.slots.drop_old_spares(rooms.timeline.now_us() + time);
  EXPECT_EQ(rooms.slots.spares(), 0U);
  EXPECT_EQ(forgotten(0), Numbers{slot});
  EXPECT_FALSE(rooms.store.has(KeptTag::of_slot(slot).number()));
}

TEST_F(SpareSlotsTest, TheyGoWithTheirProcess) {
  Session& session = rooms.attach(100);
  Session& other = rooms.attach(101);
  const std::uint64_t before = rooms.slots.memory().free_bytes;
  use(session);
  const auto [a, b] = open_pair(session, other);
  rooms.slots.begin_close(a, End::closed, SlotMemory::spare);
  rooms.slots.begin_close(b, End::closed, SlotMemory::spare);
  ASSERT_EQ(rooms.slots.spares(), 3U);
  forgotten(1);
  rooms.slots.drop_spares_of(session.index);
  EXPECT_EQ(rooms.slots.spares(), 0U);
  EXPECT_EQ(forgotten(1), Numbers{b}) << "nobody can use it without its partner";
  EXPECT_EQ(rooms.slots.memory().free_bytes, before);
}

TEST_F(SpareSlotsTest, TheyGiveWayToConnectionsThatNeedTheirPlace) {
  Session& session = rooms.attach(100);
  Session& other = rooms.attach(101);
  std::vector<std::uint16_t> slots;
  for (int i = 0; i < 5; ++i) {
    slots.push_back(rooms.open(session, Pairing::remote));
    rooms.slots.pair_remote(slots.back(), kFar);
  }
  for (const std::uint16_t slot : slots) end(slot);
  ASSERT_EQ(rooms.slots.spares(), 5U);
  // Of the node's 8 slots.
  for (int i = 0; i < 4; ++i) rooms.open(other, Pairing::direct);
  EXPECT_EQ(rooms.slots.used(), 4U);
  EXPECT_EQ(rooms.slots.spares(), 0U);
  std::vector<std::uint32_t> told = forgotten(0);
  std::sort(told.begin(), told.end());
  EXPECT_EQ(told, Numbers(slots.begin(), slots.end()));
}

struct FewSpares : SpareSlotsTest {
  FewSpares() : SpareSlotsTest("[wait]\nspin = \"2us\"\n") { rooms.config.limits.spare_slots = 1; }
};

TEST_F(FewSpares, ThereAreNoMoreThanASessionMayHave) {
  Session& session = rooms.attach(100);
  const std::uint16_t first = rooms.open(session, Pairing::remote);
  const std::uint16_t second = rooms.open(session, Pairing::remote);
  for (const std::uint16_t slot : {first, second}) {
    rooms.slots.pair_remote(slot, kFar);
    end(slot);
  }
  EXPECT_EQ(rooms.slots.spares(), 1U);
  EXPECT_EQ(forgotten(0), Numbers{second});
}

TEST_F(SpareSlotsTest, AUserAtItsQuotaGetsItsOwnPlacesBack) {
  constexpr uid_t kAda = 60'001, kBob = 60'002;
  rooms.config.limits.slots_per_user = 2;
  rooms.config.limits.user_share = 100;
  Session& ada = rooms.attach(100, kAda);
  Session& bob = rooms.attach(101, kBob);
  use(bob);
  const std::uint16_t first = rooms.open(ada, Pairing::remote);
  const std::uint16_t second = rooms.open(ada, Pairing::remote);
  for (const std::uint16_t slot : {first, second}) {
    rooms.slots.pair_remote(slot, kFar);
    end(slot);
  }
  ASSERT_GE(rooms.slots.spares(), 2U);
  for (int i = 0; i < 2; ++i) rooms.open(ada, Pairing::direct);
  EXPECT_EQ(rooms.users.held(kAda, Resource::slots), 2U);
  EXPECT_EQ(refusal([&] { rooms.open(ada, Pairing::direct); }), "quota");
  EXPECT_EQ(rooms.users.held(kBob, Resource::slots), 1U) << "a quota of its own takes nothing from others";
}

TEST_F(SpareSlotsTest, ADirectPairIsUsedAgainByTheSameTwoAlone) {
  Session& from = rooms.attach(100);
  Session& to = rooms.attach(101);
  Session& third = rooms.attach(102);
  const auto [a, b] = open_pair(from, to);
  rooms.slots.begin_close(a, End::closed, SlotMemory::spare);
  // The other end has not closed yet, and may read from it.
  const auto [c, d] = open_pair(from, to);
  EXPECT_NE(c, a);
  EXPECT_NE(d, b);
  rooms.slots.begin_close(b, End::closed, SlotMemory::spare);
  EXPECT_EQ(rooms.slots.spares(), 2U);
  const auto [e, f] = open_pair(from, third);
  EXPECT_NE(e, a);
  EXPECT_NE(f, b);
  const auto [g, h] = open_pair(to, from);
  EXPECT_TRUE(g == b && h == a) << "either may connect";
  EXPECT_EQ(rooms.slots.spares(), 0U);
  EXPECT_TRUE(rooms.slots.info(g).again && rooms.slots.info(h).again);
  EXPECT_TRUE(descriptors(g).empty() && descriptors(h).empty());
}

TEST_F(SpareSlotsTest, HalfADirectPairIsNotKept) {
  Session& from = rooms.attach(100);
  Session& to = rooms.attach(101);
  const std::uint64_t before = rooms.slots.memory().free_bytes;
  const auto [a, b] = open_pair(from, to);
  rooms.slots.begin_close(a, End::closed, SlotMemory::spare);
  EXPECT_EQ(rooms.slots.spares(), 1U);
  rooms.slots.begin_close(b, End::closed);
  EXPECT_EQ(rooms.slots.spares(), 0U);
  EXPECT_EQ(forgotten(0), Numbers{a});
  const auto [c, d] = open_pair(from, to);
  rooms.slots.begin_close(c, End::closed);
  rooms.slots.begin_close(d, End::closed, SlotMemory::spare);
  EXPECT_EQ(rooms.slots.spares(), 0U);
  EXPECT_EQ(forgotten(1), Numbers{d});
  EXPECT_EQ(rooms.slots.memory().free_bytes, before);
  EXPECT_EQ(rooms.slots.used(), 0U);
}

TEST_F(SpareSlotsTest, ARestartedSlotwiredKeepsNone) {
  Session& session = rooms.attach(100);
  const std::uint16_t slot = use(session);
  const std::unique_ptr<driver::Card> card = software_card(rooms.admin, rooms.listener, 3);
  SlotTable later({rooms.config, rooms.admin, *card, rooms.loop, rooms.store, rooms.sessions, rooms.accounts,
                   rooms.peers, rooms.log, [] { return 1U; }, Rooms::kLoopLink});
  KeptDescriptors kept = rooms.store.take();
  EXPECT_FALSE(later.recover(slot, kept.at(KeptTag::of_slot(slot).number()), [](std::uint16_t) { return true; }));
  later.finish_recovery();
  EXPECT_EQ(later.descriptor(slot).pairing, Pairing::none);
  EXPECT_EQ(later.spares(), 0U);
}

}  // namespace
}  // namespace slotwire::engine
