// Answers in a row, and the health of services on other nodes.
#include <gtest/gtest.h>

#include "runtime/engine/services/health_count.hpp"

namespace slotwire::engine {
namespace {

constexpr HealthConfig kRules{.interval = std::chrono::seconds(1), .fall = 3, .rise = 2, .services = 8};

TEST(HealthCount, FallsAfterBadAnswersInARowAndRisesAfterGoodOnes) {
  HealthCount count;
  EXPECT_FALSE(count.note(true, kRules));
  for (const bool good : {false, false, true, false, false}) EXPECT_FALSE(count.note(good, kRules));
  EXPECT_FALSE(count.failing()) << "a good answer between bad ones starts the count anew";
  EXPECT_TRUE(count.note(false, kRules));
  EXPECT_TRUE(count.failing());
  for (const bool good : {true, false, false, true}) EXPECT_FALSE(count.note(good, kRules));
  EXPECT_TRUE(count.failing());
  EXPECT_TRUE(count.note(true, kRules));
  EXPECT_FALSE(count.failing());
}

TEST(HealthCount, OneAnswerIsEnoughWhereTheRulesSaySo) {
  constexpr HealthConfig kAtOnce{.interval = std::chrono::seconds(1), .fall = 1, .rise = 1, .services = 8};
  HealthCount count;
  EXPECT_TRUE(count.note(false, kAtOnce));
  EXPECT_FALSE(count.note(false, kAtOnce));
  EXPECT_TRUE(count.note(true, kAtOnce));
}

}  // namespace
}  // namespace slotwire::engine
