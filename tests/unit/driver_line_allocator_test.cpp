// Places for rings in a card's memory: aligned, never given out twice, and whole again when all are back.
#include "driver/relay/line_allocator.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace slotwire::driver {
namespace {

struct Block {
  std::uint32_t first;
  unsigned order;
};

/// Which lines are given out, line by line.
class Lines {
 public:
  Lines(std::uint32_t lines, std::uint32_t reserved) : taken_(lines, false) {
    std::fill_n(taken_.begin(), std::min(lines, reserved), true);
  }
  void take(const Block& block) {
    const std::uint32_t size = std::uint32_t{1} << block.order;
    ASSERT_EQ(block.first % size, 0U);
    ASSERT_LE(std::uint64_t{block.first} + size, taken_.size());
    for (std::uint32_t line = block.first; line < block.first + size; ++line) {
      ASSERT_FALSE(taken_[line]) << "line " << line << " was given out twice";
      taken_[line] = true;
    }
  }
  void give(const Block& block) { std::fill_n(taken_.begin() + block.first, std::size_t{1} << block.order, false); }
  bool is_free(const Block& block) const {
    const std::uint64_t end = block.first + (std::uint64_t{1} << block.order);
    if (end > taken_.size()) return false;
    return std::none_of(taken_.begin() + block.first, taken_.begin() + static_cast<std::ptrdiff_t>(end),
                        [](bool taken) { return taken; });
  }
  /// Is there an aligned free block of this size.
  bool any_free(unsigned order) const {
    for (std::uint32_t first = 0; first < taken_.size(); first += std::uint32_t{1} << order) {
      if (is_free({first, order})) return true;
    }
    return false;
  }
  std::uint32_t free_lines() const {
    return static_cast<std::uint32_t>(std::count(taken_.begin(), taken_.end(), false));
  }

 private:
  std::vector<bool> taken_;
};

class RandomUse : public testing::TestWithParam<std::pair<std::uint32_t, std::uint32_t>> {};

TEST_P(RandomUse, AgreesWithABitmapAndEndsAsItBegan) {
  const auto [lines, reserved] = GetParam();
  for (const unsigned seed : {1U, 2U, 3U}) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    LineAllocator allocator(lines, reserved);
    Lines model(lines, reserved);
    std::vector<Block> held;
    ASSERT_EQ(allocator.free_lines(), model.free_lines());
    for (int step = 0; step < 3000 && !HasFatalFailure(); ++step) {
      const unsigned order = static_cast<unsigned>(random() % 8);
      const unsigned what = static_cast<unsigned>(random() % 5);
      if (what < 2) {
        const auto first = allocator.take(order);
        ASSERT_EQ(first.has_value(), model.any_free(order)) << "order " << order;
        if (first) {
          model.take({*first, order});
          held.push_back({*first, order});
        }
      } else if (what == 2) {
        const Block wanted{static_cast<std::uint32_t>(random() % (lines + 8)), order};
        const bool aligned = wanted.first % (std::uint32_t{1} << order) == 0;
        const bool possible = aligned && model.is_free(wanted);
        ASSERT_EQ(allocator.take_at(wanted.first, order), possible) << wanted.first << " order " << order;
        if (possible) {
          model.take(wanted);
          held.push_back(wanted);
        }
      } else if (!held.empty()) {
        const std::size_t which = random() % held.size();
        allocator.give(held[which].first, held[which].order);
        model.give(held[which]);
        held[which] = held.back();
        held.pop_back();
      }
      ASSERT_EQ(allocator.free_lines(), model.free_lines());
    }
    for (const Block& block : held) allocator.give(block.first, block.order);
    // Whole again: it gives what a new one gives, from the largest block down.
    LineAllocator fresh(lines, reserved);
    EXPECT_EQ(allocator.free_lines(), lines - reserved);
    for (unsigned size = 32; size-- > 0;) {
      for (;;) {
        const auto expected = fresh.take(size);
        ASSERT_EQ(allocator.take(size), expected) << "order " << size;
        if (!expected) break;
      }
    }
    EXPECT_EQ(allocator.free_lines(), 0U);
  }
}
INSTANTIATE_TEST_SUITE_P(Sizes, RandomUse,
                         testing::Values(std::pair{1024U, 1U}, std::pair{1024U, 0U}, std::pair{1000U, 1U},
                                         std::pair{777U, 13U}, std::pair{2U, 1U}));

TEST(LineAllocator, NeverGivesAReservedLine) {
  LineAllocator allocator(64, 3);
  EXPECT_FALSE(allocator.take_at(0, 0));
  EXPECT_FALSE(allocator.take_at(2, 0));
  EXPECT_FALSE(allocator.take_at(2, 1));
  EXPECT_FALSE(allocator.take_at(0, 5));
  EXPECT_TRUE(allocator.take_at(3, 0));
  allocator.give(3, 0);  // its buddy is reserved: nothing may come together with it
  EXPECT_FALSE(allocator.take_at(2, 1));
  EXPECT_FALSE(allocator.take(6));
  EXPECT_EQ(allocator.free_lines(), 61U);
}

TEST(LineAllocator, AnExhaustedOneRefusesAndRecovers) {
  LineAllocator allocator(16, 0);
  ASSERT_EQ(allocator.take(4), 0U);
  EXPECT_EQ(allocator.free_lines(), 0U);
  EXPECT_FALSE(allocator.take(0));
  EXPECT_FALSE(allocator.take_at(4, 0));
  allocator.give(0, 4);
  EXPECT_TRUE(allocator.take_at(8, 3));
}

TEST(LineAllocator, ValuesThatCannotBeHaveNoEffect) {
  LineAllocator allocator(256, 1);
  for (const unsigned order : {9U, 31U, 32U, 33U, 63U, 64U, ~0U}) {
    SCOPED_TRACE(order);
    EXPECT_FALSE(allocator.take(order));
    EXPECT_FALSE(allocator.take_at(0, order));
    EXPECT_FALSE(allocator.take_at(256, order));
  }
  for (const std::uint32_t first : {256U, 257U, 0x8000'0000U, ~0U}) {
    SCOPED_TRACE(first);
    for (unsigned order = 0; order < 32; ++order) EXPECT_FALSE(allocator.take_at(first, order));
  }
  allocator.give(0, 32);
  allocator.give(0, ~0U);
  EXPECT_EQ(allocator.free_lines(), 255U);
}

TEST(LineAllocator, TakesTheLargestAndTheSmallestMemory) {
  LineAllocator all(~std::uint32_t{0}, 1);
  EXPECT_EQ(all.free_lines(), ~std::uint32_t{0} - 1);
  EXPECT_TRUE(all.take_at(0x4000'0000, 30));
  EXPECT_TRUE(all.take_at(~std::uint32_t{0} - 1, 0));
  EXPECT_FALSE(all.take_at(~std::uint32_t{0}, 0));
  for (const auto& [lines, reserved] : {std::pair{0U, 0U}, std::pair{1U, 1U}, std::pair{1U, 9U}}) {
    LineAllocator none(lines, reserved);
    EXPECT_EQ(none.free_lines(), 0U);
    EXPECT_FALSE(none.take(0));
  }
}

}  // namespace
}  // namespace slotwire::driver
