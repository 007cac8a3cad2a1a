// A list in every order in which its publisher and its subscribers can meet: no block is written while somebody holds
// it, whoever blocks gets every message from its admission on, and nobody waits for ever. What is run is list.hpp
// itself, over atomics that are scheduled.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "core/blocks/list.hpp"
#include "interleavings.hpp"

namespace {
using namespace slotwire::blocks;
using slotwire::test::Interleavings;
using slotwire::test::ScheduledAtomic;
using slotwire::test::Scheduler;

struct Scheduled {
  static constexpr std::size_t kHolds = 2;
  template <typename T>
  using Atomic = ScheduledAtomic<T>;
  static void fence() {}
};

constexpr std::size_t kEntries = 2;
constexpr std::size_t kBlocks = 4;
/// A party that looks more often than this gets nowhere.
constexpr int kMaxLooks = 60;

/// What can be left out of the protocol to see that the search finds it.
struct Fault {
  bool holds_unseen = false;     ///< the publisher does not look at holds
  bool retires_blindly = false;  ///< the publisher retires without asking what is needed
  bool admits_early = false;     ///< the publisher says that it waits for a subscriber before it does
};

struct World {
  ListMarks<Scheduled> marks;
  std::array<Entry<Scheduled>, kEntries> entries;
  std::array<Cursor<Scheduled>, 2> cursors;
  ScheduledAtomic<std::uint64_t> generation;
  std::array<Position, kBlocks> blocks{};  ///< what stands in each block
  bool damaged = false;                    ///< a block changed under somebody who held it
  bool missed = false;                     ///< somebody who blocks did not get a message
  std::array<Position, 2> next{};          ///< of the subscribers, for waiting
};

using Writer = ListWriter<Scheduled>;
using Reader = ListReader<Scheduled>;

/// Publishes `count` messages with what blocks there are.
void publisher(World& w, const Fault& fault, int count, std::vector<Cursor<Scheduled>*> known, bool drops) {
  Writer writer(w.marks, w.entries);
  std::vector<BlockPlace> free{0, 1, 2, 3};
  if (!known.empty()) writer.admit(known, 1);  // it has joined: see joined()
  const auto look_for_readers = [&] {
    if (!known.empty() || w.generation.load() == 0) return;
    known = {&w.cursors[0]};
    if (fault.admits_early) {
      writer.admit({}, 1);
    } else {
      writer.admit(known, 1);
    }
  };
  for (int i = 0; i < count; ++i) {
    look_for_readers();
    for (int looks = 0; writer.full() || free.empty(); ++looks) {
      if (looks == kMaxLooks) {
        w.missed = true;
        return;
      }
      Position limit = fault.retires_blindly ? writer.oldest() + 1 : writer.needed(false);
      if (drops) limit = std::min(limit, writer.oldest() + 1);
      if (limit == writer.oldest() && writer.full()) {
        const Position oldest = writer.oldest();
        Scheduler::wait([&w, oldest] { return w.cursors[0].released.value() > oldest; });
        continue;
      }
      if (limit == writer.oldest()) {  // every block is held
        Scheduler::wait([&w] { return w.cursors[0].holds[0].value() == 0 || w.cursors[0].holds[1].value() == 0; });
      }
      if (fault.holds_unseen) writer.admit({}, 1);
      writer.retire(limit, look_for_readers, [&](BlockPlace place) { free.push_back(place); });
    }
    const BlockPlace place = free.front();
    free.erase(free.begin());
    w.blocks[place] = ~Position{0};
    Scheduler::step();
    w.blocks[place] = writer.tail();
    writer.append(place, 1);
  }
}

void subscriber(World& w, std::size_t cursor, Overflow overflow, bool joins_late, Position until) {
  Reader reader(w.marks, w.entries, w.cursors[cursor], overflow, 1, 1);
  if (joins_late) w.generation.store(1);
  bool was_waited_for = false;
  for (int looks = 0; reader.next() < until; ++looks) {
    if (looks == kMaxLooks) {
      w.missed = true;
      return;
    }
    const Position before = reader.next();
    const auto dropped = reader.dropped();
    Taken taken;
    if (reader.take(taken) != Reader::Look::taken) {
      if (was_waited_for && reader.next() != before) w.missed = true;
      const Position next = reader.next();
      if (next >= until) return;
      Scheduler::wait([&w, next] { return w.marks.tail.value() > next; });
      continue;
    }
    if (was_waited_for && (taken.position != before || reader.dropped() != dropped)) w.missed = true;
    was_waited_for = !taken.hold;
    Scheduler::step();
    if (w.blocks[taken.place] != taken.position) w.damaged = true;
    Scheduler::step();
    if (w.blocks[taken.place] != taken.position) w.damaged = true;
    reader.release(taken);
  }
}

/// As ListReader leaves a cursor before the directory says that there is a subscription.
void joined(World& w, Overflow overflow) {
  w.cursors[0].overflow.value() = static_cast<std::uint32_t>(overflow);
}

struct Outcome {
  Interleavings search;
  bool damaged = false;
  bool missed = false;
  bool good() const { return !search.stuck && !damaged && !missed; }
};

Outcome run(const std::function<std::vector<Scheduler::Body>(World&)>& bodies, std::size_t preemptions) {
  Outcome outcome;
  World w;
  outcome.search = Scheduler::search(
      [&] {
        outcome.damaged |= w.damaged;
        outcome.missed |= w.missed;
        w = World{};
        return bodies(w);
      },
      preemptions);
  outcome.damaged |= w.damaged;
  outcome.missed |= w.missed;
  return outcome;
}

Outcome one_that_blocks(const Fault& fault, std::size_t preemptions) {
  return run(
      [&](World& w) -> std::vector<Scheduler::Body> {
        joined(w, Overflow::block);
        return {[&] { publisher(w, fault, 4, {&w.cursors[0]}, false); },
                [&] { subscriber(w, 0, Overflow::block, false, 4); }};
      },
      preemptions);
}

Outcome one_that_drops(const Fault& fault, std::size_t preemptions) {
  return run(
      [&](World& w) -> std::vector<Scheduler::Body> {
        joined(w, Overflow::drop_oldest);
        return {[&] { publisher(w, fault, 6, {&w.cursors[0]}, true); },
                [&] { subscriber(w, 0, Overflow::drop_oldest, false, 6); }};
      },
      preemptions);
}

Outcome one_that_joins(const Fault& fault, std::size_t preemptions) {
  return run(
      [&](World& w) -> std::vector<Scheduler::Body> {
        return {[&] { publisher(w, fault, 5, {}, false); }, [&] { subscriber(w, 0, Overflow::block, true, 5); }};
      },
      preemptions);
}

TEST(BlockListInterleaving, OneThatBlocksGetsEverythingUndamaged) {
  const Outcome outcome = one_that_blocks({}, 2);
  EXPECT_TRUE(outcome.good()) << outcome.search.stuck << outcome.damaged << outcome.missed;
  EXPECT_GT(outcome.search.runs, 900U);
}

TEST(BlockListInterleaving, OneThatDropsNeverHoldsABlockThatIsWritten) {
  const Outcome outcome = one_that_drops({}, 2);
  EXPECT_TRUE(outcome.good()) << outcome.search.stuck << outcome.damaged << outcome.missed;
  EXPECT_GT(outcome.search.runs, 900U);
}

TEST(BlockListInterleaving, OneThatJoinsMissesNothingOnceItIsWaitedFor) {
  const Outcome outcome = one_that_joins({}, 2);
  EXPECT_TRUE(outcome.good()) << outcome.search.stuck << outcome.damaged << outcome.missed;
  EXPECT_GT(outcome.search.runs, 900U);
}

TEST(BlockListInterleaving, FaultsAreFound) {
  EXPECT_FALSE(one_that_blocks({.retires_blindly = true}, 2).good());
  EXPECT_TRUE(one_that_drops({.holds_unseen = true}, 2).damaged);
  EXPECT_TRUE(one_that_joins({.admits_early = true}, 2).damaged || one_that_joins({.admits_early = true}, 3).missed);
}

}  // namespace
