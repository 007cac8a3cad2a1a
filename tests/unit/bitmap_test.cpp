// The set of slot numbers against std::set.
#include "core/pipeline/bitmap.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace {
using slotwire::pipeline::Bitmap;

std::size_t next_of(const std::set<std::size_t>& set, std::size_t from, bool wrap) {
  const auto found = set.lower_bound(from);
  if (found != set.end()) return *found;
  return wrap && !set.empty() ? *set.begin() : Bitmap::kNone;
}

TEST(Bitmap, AgreesWithAStdSet) {
  std::mt19937 random(1);
  for (const std::size_t size : {1, 2, 63, 64, 65, 4095, 4096, 4097, 65536, 262144}) {
    Bitmap bitmap(size);
    std::set<std::size_t> set;
    for (int step = 0; step < 4'000; ++step) {
      // Dense and sparse, near and far: members cluster round a few places.
      const std::size_t i = (random() % 2 == 0 ? random() % 8 + (random() % 4) * (size / 4) : random()) % size;
      switch (random() % 4) {
        case 0:
        case 1:
          bitmap.set(i);
          set.insert(i);
          break;
        default:
          bitmap.clear(i);
          set.erase(i);
          break;
      }
      const std::size_t from = random() % size;
      ASSERT_EQ(bitmap.test(i), set.count(i) == 1) << size;
      ASSERT_EQ(bitmap.any(), !set.empty()) << size;
      ASSERT_EQ(bitmap.at_or_after(from), next_of(set, from, false)) << size << " from " << from;
      ASSERT_EQ(bitmap.next(from), next_of(set, from, true)) << size << " from " << from;
    }
  }
}

TEST(Bitmap, AnEmptySetHasNoMember) {
  const Bitmap none(0);
  EXPECT_FALSE(none.any());
  EXPECT_EQ(none.next(0), Bitmap::kNone);
  EXPECT_EQ(Bitmap(100).at_or_after(5000), Bitmap::kNone) << "past the end";
}

TEST(Bitmap, TakeAllMovesEveryMember) {
  std::mt19937 random(2);
  for (const std::size_t size : {1, 100, 5000, 65536}) {
    Bitmap into(size), from(size);
    std::set<std::size_t> both;
    for (int i = 0; i < 200; ++i) {
      const std::size_t a = random() % size, b = random() % size;
      into.set(a);
      from.set(b);
      both.insert({a, b});
    }
    into.take_all(from);
    EXPECT_FALSE(from.any());
    std::set<std::size_t> found;
    for (std::size_t i = into.at_or_after(0); i != Bitmap::kNone; i = into.at_or_after(i + 1)) found.insert(i);
    EXPECT_EQ(found, both) << size;
    for (const std::size_t i : both) into.clear(i);
    EXPECT_FALSE(into.any());
  }
}

}  // namespace
