// The buddy allocator against a plain model, at its limits, and without heap allocation after construction.
#include "core/blocks/buddy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <map>
#include <new>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {
std::atomic<std::uint64_t> heap_allocations{0};
}

// Counts every allocation of this program. Not inlined: the compiler would see free() of what `new` gave.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++heap_allocations;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace slotwire::engine {
using blocks::BuddyAllocator;
using blocks::BuddyError;
using blocks::BuddyStats;
namespace {

constexpr std::uint64_t kBlock = BuddyAllocator::kBlockBytes;

TEST(EngineBuddy, OrderForRoundsUpToPowersOfTwo) {
  EXPECT_EQ(BuddyAllocator::order_for(0), 0U);
  EXPECT_EQ(BuddyAllocator::order_for(1), 0U);
  EXPECT_EQ(BuddyAllocator::order_for(kBlock), 0U);
  EXPECT_EQ(BuddyAllocator::order_for(kBlock + 1), 1U);
  EXPECT_EQ(BuddyAllocator::order_for(3 * kBlock), 2U);
  EXPECT_EQ(BuddyAllocator::order_for(kBlock << BuddyAllocator::kMaxSpaceOrder), BuddyAllocator::kMaxSpaceOrder);
  EXPECT_FALSE(BuddyAllocator::order_for((kBlock << BuddyAllocator::kMaxSpaceOrder) + 1));
  EXPECT_FALSE(BuddyAllocator::order_for(UINT64_MAX));
}

TEST(EngineBuddy, RefusesASpaceThatIsTooLarge) {
  EXPECT_THROW(BuddyAllocator(BuddyAllocator::kMaxSpaceOrder + 1), std::invalid_argument);
}

TEST(EngineBuddy, GivesEveryBlockOnceThenNothingThenJoinsToOne) {
  constexpr unsigned kOrder = 6;
  BuddyAllocator buddy(kOrder);
  std::map<std::uint64_t, int> seen;
  for (unsigned i = 0; i < 1U << kOrder; ++i) {
    const auto offset = buddy.allocate(0);
    ASSERT_TRUE(offset);
    EXPECT_EQ(*offset % kBlock, 0U);
    EXPECT_LT(*offset, buddy.stats().total_bytes);
    EXPECT_EQ(++seen[*offset], 1);
  }
  EXPECT_FALSE(buddy.allocate(0));
  EXPECT_EQ(buddy.stats().free_bytes, 0U);
  EXPECT_EQ(buddy.stats().largest_free_bytes, 0U);
  EXPECT_EQ(buddy.check(), "");
  for (const auto& [offset, count] : seen) EXPECT_EQ(buddy.release(offset), BuddyError::none);
  EXPECT_EQ(buddy.check(), "");
  EXPECT_EQ(buddy.stats().largest_free_bytes, kBlock << kOrder);
  EXPECT_EQ(buddy.allocate(kOrder), 0U);
}

TEST(EngineBuddy, ASpaceOfOneBlockWorks) {
  BuddyAllocator buddy(0);
  EXPECT_EQ(buddy.allocate(0), 0U);
  EXPECT_FALSE(buddy.allocate(0));
  EXPECT_EQ(buddy.release(0), BuddyError::none);
  EXPECT_EQ(buddy.check(), "");
}

TEST(EngineBuddy, RefusesWrongReleasesAndChangesNothing) {
  BuddyAllocator buddy(4);
  const auto offset = buddy.allocate(1);
  ASSERT_TRUE(offset);
  EXPECT_EQ(buddy.release(*offset + kBlock), BuddyError::not_allocated) << "inside the block";
  EXPECT_EQ(buddy.release(*offset + 1), BuddyError::out_of_range);
  EXPECT_EQ(buddy.release(kBlock << 4), BuddyError::out_of_range);
  EXPECT_EQ(buddy.release(UINT64_MAX - kBlock + 1), BuddyError::out_of_range);
  EXPECT_EQ(buddy.order_at(*offset), 1U);
  EXPECT_EQ(buddy.release(*offset), BuddyError::none);
  EXPECT_EQ(buddy.release(*offset), BuddyError::not_allocated) << "twice";
  EXPECT_FALSE(buddy.order_at(*offset));
  EXPECT_FALSE(buddy.allocate(5));
  EXPECT_EQ(buddy.check(), "");
}

TEST(EngineBuddy, FragmentationIsSeen) {
  BuddyAllocator buddy(2);
  EXPECT_EQ(buddy.stats().fragmentation, 0.0);
  std::array<std::uint64_t, 4> blocks{};
  for (auto& block : blocks) block = buddy.allocate(0).value();
  ASSERT_EQ(buddy.release(blocks[0]), BuddyError::none);
  ASSERT_EQ(buddy.release(blocks[2]), BuddyError::none);
  EXPECT_EQ(buddy.stats().free_bytes, 2 * kBlock);
  EXPECT_EQ(buddy.stats().largest_free_bytes, kBlock);
  EXPECT_DOUBLE_EQ(buddy.stats().fragmentation, 0.5);
  EXPECT_FALSE(buddy.allocate(1)) << "two blocks are free but no pair";
}

TEST(EngineBuddy, ClaimRebuildsWhatWasAllocated) {
  constexpr unsigned kOrder = 8;
  BuddyAllocator before(kOrder);
  std::mt19937 random(7);
  std::map<std::uint64_t, unsigned> held;
  while (const auto offset = before.allocate(random() % 4)) held[*offset] = before.order_at(*offset).value();
  for (auto it = held.begin(); it != held.end();) {
    if (random() % 2 == 0) {
      ASSERT_EQ(before.release(it->first), BuddyError::none);
      it = held.erase(it);
    } else {
      ++it;
    }
  }
  BuddyAllocator after(kOrder);
  for (const auto& [offset, order] : held) ASSERT_EQ(after.claim(offset, order), BuddyError::none);
  EXPECT_EQ(after.check(), "");
  EXPECT_EQ(after.stats().free_bytes, before.stats().free_bytes);
  EXPECT_EQ(after.stats().largest_free_bytes, before.stats().largest_free_bytes);
  for (const auto& [offset, order] : held) {
    EXPECT_EQ(after.order_at(offset), order);
    EXPECT_EQ(after.claim(offset, order), BuddyError::not_free);
  }
}

TEST(EngineBuddy, ClaimRefusesWhatIsNoBlock) {
  BuddyAllocator buddy(4);
  EXPECT_EQ(buddy.claim(kBlock, 1), BuddyError::out_of_range) << "not on a multiple of its size";
  EXPECT_EQ(buddy.claim(0, 5), BuddyError::out_of_range);
  EXPECT_EQ(buddy.claim(kBlock << 4, 0), BuddyError::out_of_range);
  EXPECT_EQ(buddy.claim(0, 64), BuddyError::out_of_range);
  ASSERT_EQ(buddy.claim(2 * kBlock, 0), BuddyError::none);
  EXPECT_EQ(buddy.claim(0, 2), BuddyError::not_free) << "a part is allocated";
  EXPECT_EQ(buddy.claim(0, 1), BuddyError::none);
  EXPECT_EQ(buddy.claim(kBlock, 0), BuddyError::not_free) << "inside an allocated block";
  EXPECT_EQ(buddy.check(), "");
}

/// What the allocator should do, block by block.
class Model {
 public:
  explicit Model(unsigned order) : used_(1U << order, false) {}

  bool has_room(unsigned order) const {
    const std::size_t size = 1U << order;
    for (std::size_t begin = 0; begin + size <= used_.size(); begin += size) {
      if (free(begin, size)) return true;
    }
    return false;
  }
  bool free(std::size_t begin, std::size_t size) const {
    for (std::size_t i = begin; i < begin + size; ++i) {
      if (used_[i]) return false;
    }
    return true;
  }
  void set(std::size_t begin, std::size_t size, bool used) {
    for (std::size_t i = begin; i < begin + size; ++i) used_[i] = used;
  }
  std::uint64_t free_blocks() const {
    return static_cast<std::uint64_t>(std::count(used_.begin(), used_.end(), false));
  }

 private:
  std::vector<bool> used_;
};

class EngineBuddyRandom : public testing::TestWithParam<unsigned> {};

TEST_P(EngineBuddyRandom, DoesWhatTheModelDoes) {
  constexpr unsigned kOrder = 7;
  BuddyAllocator buddy(kOrder);
  Model model(kOrder);
  std::mt19937 random(GetParam());
  std::vector<std::pair<std::uint64_t, unsigned>> held;
  for (int step = 0; step < 4000; ++step) {
    const unsigned choice = random() % 8;
    const auto order = static_cast<unsigned>(random() % (kOrder - 1));
    if (choice < 4) {
      const auto offset = buddy.allocate(order);
      ASSERT_EQ(offset.has_value(), model.has_room(order)) << "seed " << GetParam() << " step " << step;
      if (offset) {
        ASSERT_EQ(*offset % (kBlock << order), 0U);
        ASSERT_TRUE(model.free(*offset / kBlock, 1U << order)) << "given twice";
        model.set(*offset / kBlock, 1U << order, true);
        held.emplace_back(*offset, order);
      }
    } else if (choice < 5) {
      const std::uint64_t offset = (random() % (1U << kOrder) & ~((1U << order) - 1)) * kBlock;
      const bool possible = model.free(offset / kBlock, 1U << order);
      ASSERT_EQ(buddy.claim(offset, order), possible ? BuddyError::none : BuddyError::not_free);
      if (possible) {
        model.set(offset / kBlock, 1U << order, true);
        held.emplace_back(offset, order);
      }
    } else if (!held.empty()) {
      std::swap(held[random() % held.size()], held.back());
      ASSERT_EQ(buddy.release(held.back().first), BuddyError::none);
      ASSERT_EQ(buddy.release(held.back().first), BuddyError::not_allocated);
      model.set(held.back().first / kBlock, 1U << held.back().second, false);
      held.pop_back();
    }
    ASSERT_EQ(buddy.check(), "") << "seed " << GetParam() << " step " << step;
    ASSERT_EQ(buddy.stats().free_bytes, model.free_blocks() * kBlock);
    ASSERT_EQ(buddy.stats().allocations, held.size());
  }
  for (const auto& [offset, order] : held) ASSERT_EQ(buddy.release(offset), BuddyError::none);
  EXPECT_EQ(buddy.stats().largest_free_bytes, kBlock << kOrder);
}

INSTANTIATE_TEST_SUITE_P(Seeds, EngineBuddyRandom, testing::Range(1U, 9U));

TEST(EngineBuddy, TakesNothingFromTheHeapOnceBuilt) {
  const auto at_start = heap_allocations.load();
  BuddyAllocator buddy(10);
  const auto built = heap_allocations.load();
  ASSERT_GT(built, at_start) << "the counter does not count";
  std::array<std::uint64_t, 64> held{};
  unsigned count = 0;
  for (auto& offset : held) {
    const auto got = buddy.allocate(count++ % 4);
    if (!got) std::abort();
    offset = *got;
  }
  BuddyError result = BuddyError::none;
  for (const auto offset : held) {
    if (const auto error = buddy.release(offset); error != BuddyError::none) result = error;
  }
  const auto error = buddy.claim(0, 3);
  EXPECT_EQ(heap_allocations.load(), built);
  EXPECT_EQ(result, BuddyError::none);
  EXPECT_EQ(error, BuddyError::none);
}

}  // namespace
}  // namespace slotwire::engine
