#include "runtime/engine/host/time_budget.hpp"

#include <gtest/gtest.h>

namespace slotwire::engine {
namespace {

TEST(TimeBudget, AllowsItsPartInTheLongRun) {
  TimeBudget budget(5, 200'000);
  std::uint64_t now = 1'000'000, worked = 0;
  constexpr std::uint64_t kEnd = 11'000'000;
  while (now < kEnd) {
    if (const std::uint64_t wait = budget.wait_us(now); wait != 0) {
      now += wait;
      continue;
    }
    now += 300;
    worked += 300;
    budget.spend(300, now);
  }
  EXPECT_LE(worked, 200'000U + 2'000'000U + 1000U);
  EXPECT_GE(worked, 2'000'000U);
}

TEST(TimeBudget, WhatTookVeryLongIsNotHeldAgainstItForEver) {
  TimeBudget budget(5, 200'000);
  budget.spend(60'000'000, 1);
  EXPECT_LE(budget.wait_us(1), 5U * 200'001U);
  EXPECT_EQ(budget.wait_us(2'000'000), 0U);
}

TEST(TimeBudget, SmallStepsOfTheClockAreNotLost) {
  TimeBudget budget(5, 10);
  budget.spend(10, 0);
  std::uint64_t now = 0;
  while (budget.wait_us(now) != 0) ++now;
  EXPECT_EQ(now, 5U);
}

}  // namespace
}  // namespace slotwire::engine
