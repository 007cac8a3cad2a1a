// The publisher's own allocator: blocks never overlap, all memory comes back.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <stdexcept>
#include <vector>

#include "core/blocks/pool.hpp"

namespace {
using slotwire::blocks::BlockPlace;
using slotwire::blocks::BlockPool;
using slotwire::blocks::kPlaceBytes;

TEST(BlockPool, SizesAreChecked) {
  EXPECT_THROW(BlockPool(BlockPool::kUnitBytes - 1), std::invalid_argument);
  EXPECT_THROW(BlockPool(BlockPool::kMaxBytes + 1), std::invalid_argument);
  EXPECT_EQ(BlockPool(BlockPool::kUnitBytes).bytes(), BlockPool::kUnitBytes);
  EXPECT_EQ(BlockPool(5000).bytes(), 4096U);
}

TEST(BlockPool, ALargeBlockIsFoundAgainInPiecesThatWereKeptInStock) {
  BlockPool pool(4096);
  EXPECT_FALSE(pool.allocate(4097));
  std::vector<BlockPlace> small;
  while (const auto place = pool.allocate(1)) small.push_back(*place);
  EXPECT_EQ(small.size(), 4096 / BlockPool::kUnitBytes);
  EXPECT_FALSE(pool.allocate(1));
  for (const BlockPlace place : small) pool.free(place);
  EXPECT_EQ(pool.allocated_blocks(), 0U);
  const auto whole = pool.allocate(4096);
  ASSERT_TRUE(whole);
  EXPECT_EQ(pool.size_of(*whole), 4096U);
}

TEST(BlockPool, TheBlockThatWasFreedLastComesFirst) {
  BlockPool pool(1 << 16);
  const auto first = pool.allocate(1000);
  const auto second = pool.allocate(1000);
  pool.free(*first);
  pool.free(*second);
  EXPECT_EQ(pool.allocate(1000), second);
  EXPECT_EQ(pool.allocate(513), first);
}

TEST(BlockPool, BlocksNeverOverlap) {
  constexpr std::size_t kBytes = 1 << 18;
  BlockPool pool(kBytes);
  std::mt19937 random(7);
  std::map<std::size_t, std::size_t> taken;  // first byte to the byte after the last
  std::size_t refused = 0;
  for (int step = 0; step < 100'000; ++step) {
    if (random() % 2 == 0 || taken.empty()) {
      const std::size_t size = (std::size_t{1} << (random() % 15)) + (random() % 100);
      const auto place = pool.allocate(size);
      if (!place) {
        ++refused;
        continue;
      }
      const std::size_t from = *place * kPlaceBytes;
      const std::size_t to = from + pool.size_of(*place);
      ASSERT_GE(pool.size_of(*place), size);
      ASSERT_LE(to, kBytes);
      const auto next = taken.lower_bound(from);
      ASSERT_TRUE(next == taken.end() || to <= next->first);
      ASSERT_TRUE(next == taken.begin() || from >= std::prev(next)->second);
      taken[from] = to;
    } else {
      auto victim = taken.begin();
      std::advance(victim, static_cast<std::ptrdiff_t>(random() % taken.size()));
      pool.free(static_cast<BlockPlace>(victim->first / kPlaceBytes));
      taken.erase(victim);
    }
    ASSERT_EQ(pool.allocated_blocks(), taken.size());
  }
  EXPECT_GT(refused, 0U);
}

}  // namespace
