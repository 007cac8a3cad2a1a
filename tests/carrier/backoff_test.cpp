#include "core/carriers/backoff.hpp"

#include <gtest/gtest.h>

#include <set>

namespace slotwire::carriers {
namespace {

TEST(CarrierBackoff, DoublesUpToTheLimitWithJitter) {
  Backoff backoff(1000, 50'000, 9);
  for (const std::uint64_t ceiling : {1000U, 2000U, 4000U, 8000U, 16000U, 32000U, 50000U, 50000U, 50000U}) {
    const std::uint64_t delay = backoff.next();
    EXPECT_GE(delay, ceiling / 2);
    EXPECT_LE(delay, ceiling);
  }
  backoff.reset();
  EXPECT_LE(backoff.next(), 1000U);
}

TEST(CarrierBackoff, NeverOverflowsOrPassesTheLimit) {
  const std::uint64_t limit = ~std::uint64_t{0};
  Backoff backoff(1, limit, 1);
  for (int i = 0; i < 200; ++i) EXPECT_GE(backoff.next(), i < 1 ? 1U : 0U);
  EXPECT_GE(backoff.next(), limit / 2);
}

TEST(CarrierBackoff, IsRepeatableAndSpreads) {
  Backoff one(1'000'000, 1'000'000, 5), same(1'000'000, 1'000'000, 5);
  std::set<std::uint64_t> delays;
  for (int i = 0; i < 50; ++i) {
    const std::uint64_t delay = one.next();
    EXPECT_EQ(delay, same.next());
    delays.insert(delay);
  }
  EXPECT_GT(delays.size(), 40U);
}

}  // namespace
}  // namespace slotwire::carriers
