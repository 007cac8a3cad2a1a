// A message list under the memory model of C++. What is run is list.hpp itself; the contents of blocks are plain data,
// so a publisher that writes a block which a subscriber may still read is found, on whatever processor that would be.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <vector>

#include "core/blocks/list.hpp"
#include "relacy_atomics.hpp"

namespace {
using namespace slotwire::blocks;
using slotwire::test::relacy_fence;
using slotwire::test::RelacyAtomic;
using slotwire::test::search_with_relacy;
using slotwire::test::Searched;

/// What is left out or relaxed, to see that the search finds it.
enum class Fault : std::uint8_t {
  none,
  place_stored,
  place_loaded,
  released_stored,
  holds_stored,
  holds_loaded,
  no_fence,
  no_second_look,  ///< at who has joined, in retire()
};

Fault fault = Fault::none;  ///< of the search that runs

struct RelacyAtomics {
  static constexpr std::size_t kHolds = 1;
  template <typename T>
  using Atomic = RelacyAtomic<T>;
  static void fence() {
    if (fault != Fault::no_fence) relacy_fence();
  }
};

constexpr std::size_t kEntries = 2;
constexpr std::size_t kBlocks = 3;

constexpr std::uint64_t length_of(Position position) {
  return 100 + position;
}

/// A publisher and a subscriber: kOverflow of the subscriber; kJoins: it comes while the publisher publishes.
template <Overflow kOverflow, bool kJoins, int kMessages, int kTakes>
struct Case : rl::test_suite<Case<kOverflow, kJoins, kMessages, kTakes>, 2> {
  using Atomics = RelacyAtomics;

  ListMarks<Atomics> marks;
  std::array<Entry<Atomics>, kEntries> entries;
  Cursor<Atomics> cursor;
  RelacyAtomic<std::uint64_t> generation;
  std::array<rl::var<Position>, kBlocks> blocks;

  void before() {
    for (auto& entry : entries) {
      entry.place.weak_stores = fault == Fault::place_stored;
      entry.place.weak_loads = fault == Fault::place_loaded;
    }
    cursor.released.weak_stores = fault == Fault::released_stored;
    for (auto& hold : cursor.holds) {
      hold.weak_stores = fault == Fault::holds_stored;
      hold.weak_loads = fault == Fault::holds_loaded;
    }
    // As the directory shows it to the publisher.
    if (!kJoins) cursor.overflow.store(static_cast<std::uint32_t>(kOverflow));
  }
  void thread(unsigned index) { index == 0 ? publish() : subscribe(); }

  void publish() {
    ListWriter<Atomics> writer(marks, entries);
    std::vector<BlockPlace> free{0, 1, 2};
    bool admitted = !kJoins;
    if (admitted) writer.admit({&cursor}, 1);
    const auto look_for_readers = [&] {
      if (admitted || generation.load(std::memory_order_acquire) == 0) return;
      writer.admit({&cursor}, 1);
      admitted = true;
    };
    for (int i = 0; i < kMessages; ++i) {
      look_for_readers();
      if (writer.full() || free.empty()) {
        // By one message, though more could go: so that the last one is used again at once.
        const Position limit = std::min(writer.needed(false), writer.oldest() + 1);
        const auto look_again = [&] {
          if (fault != Fault::no_second_look) look_for_readers();
        };
        writer.retire(limit, look_again, [&](BlockPlace place) { free.push_back(place); });
        if (writer.full() || free.empty()) continue;
      }
      const BlockPlace place = free.back();
      free.pop_back();
      blocks[place](RL_INFO) = writer.tail();
      writer.append(place, length_of(writer.tail()));
    }
  }
  void subscribe() {
    ListReader<Atomics> reader(marks, entries, cursor, kOverflow, 2, 1);
    if (kJoins) generation.store(1, std::memory_order_release);
    Position next = 0;
    for (int i = 0; i < kTakes; ++i) {
      const bool was_waited_for = reader.is_waited_for();
      next = reader.next();
      Taken taken;
      if (reader.take(taken) != ListReader<Atomics>::Look::taken) continue;
      RL_ASSERT(taken.position >= next);
      if (was_waited_for) RL_ASSERT(taken.position == next);
      RL_ASSERT(taken.length == length_of(taken.position));
      RL_ASSERT(taken.place < kBlocks);
      const Position content = blocks[taken.place](RL_INFO);
      RL_ASSERT(content == taken.position);
      reader.release(taken);
    }
  }
};

using Blocks = Case<Overflow::block, false, 4, 2>;
using Drops = Case<Overflow::drop_oldest, false, 4, 2>;
using Joins = Case<Overflow::block, true, 4, 2>;

constexpr unsigned kSwitches = 3;

template <typename Suite>
std::string fault_of(Fault seeded) {
  fault = seeded;
  const Searched searched = search_with_relacy<Suite>(kSwitches);
  fault = Fault::none;
  return searched.fault;
}

template <typename Suite>
void expect_no_fault(std::uint64_t runs) {
  const Searched searched = search_with_relacy<Suite>(kSwitches);
  EXPECT_EQ(searched.fault, "");
  EXPECT_GT(searched.runs, runs);
  std::printf("%ju runs\n", static_cast<std::uintmax_t>(searched.runs));
}

TEST(BlockListRelacy, OneThatBlocks) {
  expect_no_fault<Blocks>(100'000);
}
TEST(BlockListRelacy, OneThatDrops) {
  expect_no_fault<Drops>(50'000);
}
TEST(BlockListRelacy, OneThatJoins) {
  expect_no_fault<Joins>(100'000);
}

TEST(BlockListRelacy, FaultsAreFound) {
  for (const Fault each : {Fault::place_stored, Fault::place_loaded, Fault::holds_stored, Fault::holds_loaded}) {
    EXPECT_NE(fault_of<Drops>(each), "") << static_cast<int>(each);
  }
  EXPECT_NE(fault_of<Blocks>(Fault::released_stored), "");
  EXPECT_NE(fault_of<Joins>(Fault::no_fence), "");
  EXPECT_NE(fault_of<Joins>(Fault::no_second_look), "");
}

}  // namespace
