// One list, step by step in one thread: order, room, subscribers that are overtaken, and what a stranger writes.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <vector>

#include "core/blocks/list.hpp"

namespace {
using namespace slotwire::blocks;
using Look = ListReader<>::Look;

constexpr std::size_t kEntries = 8;

struct World {
  ListMarks<> marks{};
  std::array<Entry<>, kEntries> entries{};
  std::array<Cursor<>, 3> cursors{};
  ListWriter<> writer{marks, entries};
  std::vector<Cursor<>*> joined;
  std::uint64_t generation = 0;
  std::vector<BlockPlace> freed;

  ListReader<> join(std::size_t cursor, Overflow overflow, Position history = 0, bool admit = true) {
    ListReader<> reader(marks, entries, cursors[cursor], overflow, history, ++generation);
    joined.push_back(&cursors[cursor]);
    if (admit) writer.admit(joined, generation);
    return reader;
  }
  void publish(int count) {
    for (int i = 0; i < count; ++i) writer.append(static_cast<BlockPlace>(100 + writer.tail()), writer.tail());
  }
  void retire(Position limit) {
    freed.clear();
    writer.retire(
        limit, [] {}, [&](BlockPlace place) { freed.push_back(place); });
  }
};

/// Takes one message that must be there.
Taken must_take(ListReader<>& reader) {
  Taken taken;
  EXPECT_EQ(reader.take(taken), Look::taken);
  return taken;
}

TEST(BlockList, MessagesComeInOrderWithTheirPlaceAndLength) {
  World w;
  auto reader = w.join(0, Overflow::block);
  Taken taken;
  EXPECT_EQ(reader.take(taken), Look::nothing_there);
  for (Position round = 0; round < 3; ++round) {
    w.publish(kEntries);
    EXPECT_TRUE(w.writer.full());
    for (Position i = 0; i < kEntries; ++i) {
      taken = must_take(reader);
      EXPECT_EQ(taken.position, (round * kEntries) + i);
      EXPECT_EQ(taken.place, 100 + taken.position);
      EXPECT_EQ(taken.length, taken.position);
      EXPECT_TRUE(reader.release(taken));
    }
    w.retire(w.writer.needed(false));
    EXPECT_EQ(w.freed.size(), kEntries);
  }
}

TEST(BlockList, ASubscriberThatBlocksKeepsWhatItHasNotReleasedInAnyOrder) {
  World w;
  auto reader = w.join(0, Overflow::block);
  w.publish(4);
  std::vector<Taken> taken(4);
  for (Taken& one : taken) one = must_take(reader);
  EXPECT_EQ(w.writer.needed(false), 0U);
  EXPECT_FALSE(reader.release(taken[2]));
  EXPECT_FALSE(reader.release(taken[1]));
  EXPECT_EQ(w.writer.needed(false), 0U);
  EXPECT_TRUE(reader.release(taken[0]));
  EXPECT_EQ(w.writer.needed(false), 3U);
  w.retire(3);
  EXPECT_EQ(w.freed, (std::vector<BlockPlace>{100, 101, 102}));
  EXPECT_TRUE(reader.release(taken[3]));
  EXPECT_EQ(w.writer.needed(false), 4U);
}

TEST(BlockList, TheSlowestSubscriberThatBlocksCounts) {
  World w;
  auto fast = w.join(0, Overflow::block);
  auto slow = w.join(1, Overflow::block);
  w.publish(2);
  fast.release(must_take(fast));
  fast.release(must_take(fast));
  EXPECT_EQ(w.writer.needed(false), 0U);
  slow.release(must_take(slow));
  EXPECT_EQ(w.writer.needed(false), 1U);
  w.cursors[1].overflow.store(static_cast<std::uint32_t>(Overflow::none));  // it died
  w.writer.admit({&w.cursors[0]}, ++w.generation);
  EXPECT_EQ(w.writer.needed(false), 2U);
}

/// Another reader has come for it, as a slotwired that was restarted does, and the publisher has not looked yet.
TEST(BlockList, WhoHasLeftCountsUntilThePublisherHasLookedAgain) {
  World w;
  auto reader = w.join(0, Overflow::block);
  w.publish(4);
  EXPECT_TRUE(reader.release(must_take(reader)));
  auto next = ListReader<>(w.marks, w.entries, w.cursors[1], Overflow::block, 0, ++w.generation, reader.next());
  w.cursors[0].overflow.store(static_cast<std::uint32_t>(Overflow::none));
  EXPECT_EQ(w.writer.needed(true), 1U);
  w.retire(w.writer.needed(true));
  w.writer.admit({&w.cursors[1]}, w.generation);
  EXPECT_EQ(must_take(next).position, 1U);
  w.cursors[1].overflow.store(static_cast<std::uint32_t>(Overflow::none));
  w.writer.admit({}, ++w.generation);
  EXPECT_EQ(w.writer.needed(true), 4U);
}

/// So whoever comes for it, should it die, finds the message in the list.
TEST(BlockList, WhoBlocksNeedsWhatItHoldsBeforeItIsAdmitted) {
  World w;
  auto reader = w.join(0, Overflow::block, 0, false);
  w.publish(3);
  std::vector<Taken> taken(2);
  for (Taken& one : taken) one = must_take(reader);
  EXPECT_EQ(w.cursors[0].released.load(), 0U);
  w.writer.admit(w.joined, w.generation);
  EXPECT_EQ(w.writer.needed(true), 0U);
  EXPECT_TRUE(reader.is_waited_for());
  EXPECT_EQ(w.writer.needed(true), 0U);
  reader.release(taken[1]);
  EXPECT_EQ(w.writer.needed(true), 0U);
  reader.release(taken[0]);
  EXPECT_EQ(w.writer.needed(true), 2U);
  EXPECT_EQ(reader.oldest_held(), std::nullopt);
}

TEST(BlockList, WhoHoldsOneMessageForLongBeforeItIsAdmittedReleasesTheOthers) {
  World w;
  auto reader = w.join(0, Overflow::block, 0, false);
  w.publish(1);
  const Taken first = must_take(reader);
  for (Position i = 1; i != 3 * kEntries; ++i) {
    w.retire(w.writer.tail());
    w.publish(1);
    reader.release(must_take(reader));
  }
  w.writer.admit(w.joined, w.generation);
  EXPECT_TRUE(reader.is_waited_for());
  EXPECT_EQ(w.writer.needed(true), 3 * kEntries);
  reader.release(first);
  w.publish(1);
  reader.release(must_take(reader));
  EXPECT_EQ(w.writer.needed(true), (3 * kEntries) + 1);
}

TEST(BlockList, WhoIsOvertakenBeforeItIsAdmittedGoesOnWithTheOldest) {
  World w;
  auto reader = w.join(0, Overflow::block, 0, false);
  w.publish(kEntries);
  const Taken first = must_take(reader);
  w.writer.retire(
      4, [&] { w.writer.admit(w.joined, w.generation); }, [](BlockPlace) {});
  const Taken second = must_take(reader);
  EXPECT_EQ(second.position, 4U);
  EXPECT_EQ(reader.dropped(), 3U);
  EXPECT_EQ(reader.oldest_held(), 0U);
  EXPECT_TRUE(reader.release(first));
  EXPECT_EQ(w.writer.needed(true), 4U);
  reader.release(second);
  EXPECT_EQ(w.writer.needed(true), 5U);
}

TEST(BlockList, ASubscriberThatDropsIsOvertakenButKeepsWhatItHolds) {
  World w;
  auto reader = w.join(0, Overflow::drop_oldest);
  w.publish(kEntries);
  const Taken held = must_take(reader);
  EXPECT_EQ(w.writer.needed(false), kEntries);
  EXPECT_EQ(w.writer.needed(true), 1U);
  w.retire(5);
  EXPECT_EQ(w.freed, (std::vector<BlockPlace>{101, 102, 103, 104}));
  EXPECT_EQ(w.writer.limbo(), 1U);
  w.publish(5);
  EXPECT_EQ(must_take(reader).position, 5U);
  EXPECT_EQ(reader.dropped(), 4U);
  EXPECT_TRUE(reader.release(held));
  w.retire(5);
  EXPECT_EQ(w.freed, (std::vector<BlockPlace>{100}));
  EXPECT_EQ(w.writer.limbo(), 0U);
}

TEST(BlockList, AHoldIsOfOneMessageHoweverFarTheListHasGone) {
  World w;
  auto reader = w.join(0, Overflow::drop_oldest);
  w.publish(1);
  const Taken held = must_take(reader);
  for (int round = 0; round < 100; ++round) {
    w.retire(w.writer.tail());
    EXPECT_LE(w.writer.limbo(), 1U);
    w.publish(kEntries);
  }
  EXPECT_EQ(held.place, 100U);
  const Taken next = must_take(reader);
  EXPECT_EQ(next.position, w.writer.oldest());
  EXPECT_EQ(reader.dropped(), w.writer.oldest() - 1);
}

TEST(BlockList, WhoDropsHoldsSoManyAtOnce) {
  World w;
  auto reader = w.join(0, Overflow::drop_oldest);
  std::vector<Taken> held;
  for (std::size_t i = 0; i < kMaxHolds; ++i) {
    w.retire(w.writer.tail());
    w.publish(1);
    held.push_back(must_take(reader));
  }
  w.retire(w.writer.tail());
  EXPECT_EQ(w.writer.limbo(), kMaxHolds);
  w.publish(1);
  Taken taken;
  EXPECT_EQ(reader.take(taken), Look::holds_too_many);
  reader.release(held[3]);
  EXPECT_EQ(reader.take(taken), Look::taken);
  EXPECT_EQ(taken.hold, 3U);
}

TEST(BlockList, HistoryBeginsSoManyMessagesBeforeTheTail) {
  World w;
  w.publish(6);
  EXPECT_EQ(must_take(*std::make_unique<ListReader<>>(w.join(0, Overflow::block, 2))).position, 4U);
  EXPECT_EQ(must_take(*std::make_unique<ListReader<>>(w.join(1, Overflow::drop_oldest, 100))).position, 0U);
  auto late = w.join(2, Overflow::block);
  Taken taken;
  EXPECT_EQ(late.take(taken), Look::nothing_there);
}

TEST(BlockList, WhoBlocksIsWaitedForOnlyOnceItIsAdmitted) {
  World w;
  auto reader = w.join(0, Overflow::block, 0, false);
  w.publish(kEntries);
  EXPECT_FALSE(reader.is_waited_for());
  const Taken held = must_take(reader);
  EXPECT_TRUE(held.hold);
  EXPECT_EQ(w.writer.needed(false), kEntries);  // the publisher knows nobody
  w.retire(4);
  EXPECT_EQ(w.writer.limbo(), 0U) << "a hold that the publisher does not know of";
}

TEST(BlockList, AdmissionMovesOnWithWhatIsLeft) {
  World w;
  auto reader = w.join(0, Overflow::block, 0, false);
  w.publish(kEntries);
  w.retire(4);
  w.writer.admit(w.joined, w.generation);
  EXPECT_EQ(w.writer.needed(false), 4U);
  EXPECT_TRUE(reader.is_waited_for());
  EXPECT_EQ(reader.dropped(), 4U);
  const Taken first = must_take(reader);
  EXPECT_EQ(first.position, 4U);
  EXPECT_FALSE(first.hold);
  EXPECT_EQ(w.writer.needed(false), 4U);
}

TEST(BlockList, WhatASubscriberWritesHoldsNothingOutsideTheList) {
  World w;
  w.publish(kEntries);
  w.retire(3);
  w.cursors[0].overflow.store(static_cast<std::uint32_t>(Overflow::block));
  w.writer.admit({&w.cursors[0]}, 1);
  for (const Position released : {Position{0}, Position{2}, ~Position{0}, Position{1} << 63}) {
    w.cursors[0].released.store(released);
    EXPECT_GE(w.writer.needed(false), w.writer.oldest());
    EXPECT_LE(w.writer.needed(false), w.writer.tail());
  }
  // Holds of everything: no more than there are places for them.
  for (std::size_t i = 0; i < kMaxHolds; ++i) w.cursors[0].holds[i].store(i + 1);
  w.retire(w.writer.tail());
  EXPECT_LE(w.writer.limbo(), kMaxHolds);
}

}  // namespace
