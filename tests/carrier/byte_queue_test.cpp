#include "core/carriers/byte_queue.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace slotwire::carriers {
namespace {

TEST(CarrierByteQueue, BehavesLikeADeque) {
  std::mt19937 random(3);
  for (const std::size_t limit : {std::size_t{1}, std::size_t{100}, std::size_t{5000}, std::size_t{20000}}) {
    ByteQueue queue(limit);
    std::deque<std::byte> model;
    for (int step = 0; step < 3000; ++step) {
      if (random() % 2 == 0) {
        std::vector<std::byte> a(random() % (limit + 2)), b(random() % 40);
        for (auto& byte : a) byte = static_cast<std::byte>(random() & 0xFFU);
        for (auto& byte : b) byte = static_cast<std::byte>(random() & 0xFFU);
        const bool fits = a.size() + b.size() <= limit - model.size();
        ASSERT_EQ(queue.append({a, b}), fits);
        if (fits) {
          model.insert(model.end(), a.begin(), a.end());
          model.insert(model.end(), b.begin(), b.end());
        }
      } else {
        const auto front = queue.front();
        ASSERT_EQ(front.empty(), model.empty());
        ASSERT_TRUE(std::equal(front.begin(), front.end(), model.begin()));
        const std::size_t count = front.empty() ? 0 : random() % (front.size() + 1);
        queue.pop(count);
        model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(count));
      }
      ASSERT_EQ(queue.size(), model.size());
      ASSERT_EQ(queue.space(), limit - model.size());
    }
  }
}

TEST(CarrierByteQueue, RefusesPartsWhoseSumIsTooMuch) {
  ByteQueue queue(10);
  const std::vector<std::byte> six(6);
  EXPECT_FALSE(queue.append({six, six}));
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(queue.append({six}));
  EXPECT_FALSE(queue.append({six}));
  EXPECT_EQ(queue.size(), 6U);
}

}  // namespace
}  // namespace slotwire::carriers
