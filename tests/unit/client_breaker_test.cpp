// Circuit breaking: what each limit lets through.
#include "slotwire_breaker.hpp"

#include <gtest/gtest.h>

namespace slotwire {
namespace {

using Limit = Breaker::Limit;

TEST(Breaker, WithoutLimitsEverythingMayBeginAndNothingWait) {
  Breaker breaker({});
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(breaker.may_begin(i % 2 == 1), Limit::none);
    breaker.begin(i % 2 == 1);
  }
  EXPECT_TRUE(breaker.may_have_another(1'000'000));
  EXPECT_EQ(breaker.may_wait(0), Limit::waiting);
}

TEST(Breaker, RequestsUnderWayAreLimited) {
  Breaker breaker({.requests = 2});
  breaker.begin(false);
  EXPECT_EQ(breaker.may_begin(false), Limit::none);
  breaker.begin(true);
  EXPECT_EQ(breaker.may_begin(false), Limit::requests);
  breaker.end(true);
  EXPECT_EQ(breaker.may_begin(true), Limit::none);
}

TEST(Breaker, RetriesAreAShareOfTheRequests) {
  Breaker breaker({.retries_percent = 20, .least_retries = 1});
  EXPECT_EQ(breaker.may_begin(true), Limit::none) << "one is always allowed";
  breaker.begin(true);
  EXPECT_EQ(breaker.may_begin(true), Limit::retries);
  EXPECT_EQ(breaker.may_begin(false), Limit::none) << "first tries are not";
  for (int i = 0; i < 8; ++i) breaker.begin(false);
  EXPECT_EQ(breaker.may_begin(true), Limit::none) << "of ten requests two may be retries";
  breaker.begin(true);
  EXPECT_EQ(breaker.may_begin(true), Limit::retries);
  breaker.end(true);
  EXPECT_EQ(breaker.retries(), 1U);
  EXPECT_EQ(breaker.requests(), 9U);
}

TEST(Breaker, OthersMayCountToo) {
  Breaker breaker({.requests = 10, .retries_percent = 50, .least_retries = 1});
  EXPECT_EQ(breaker.may_begin(false, 9, 0), Breaker::Limit::none);
  EXPECT_EQ(breaker.may_begin(false, 10, 0), Breaker::Limit::requests);
  EXPECT_EQ(breaker.may_begin(true, 7, 3), Breaker::Limit::none) << "half of eight";
  EXPECT_EQ(breaker.may_begin(true, 7, 4), Breaker::Limit::retries);
  EXPECT_EQ(breaker.may_begin(true), Breaker::Limit::none) << "what this one counted is nothing";
}

TEST(Breaker, ProcessesAndThoseThatWait) {
  Breaker breaker({.process_requests = 3, .waiting = 2});
  EXPECT_TRUE(breaker.may_have_another(2));
  EXPECT_FALSE(breaker.may_have_another(3));
  EXPECT_EQ(breaker.may_wait(1), Limit::none);
  EXPECT_EQ(breaker.may_wait(2), Limit::waiting);
  breaker.count(Limit::waiting);
  breaker.count(Limit::waiting);
  EXPECT_EQ(breaker.refused(Limit::waiting), 2U);
  EXPECT_EQ(breaker.refused(Limit::retries), 0U);
  EXPECT_STREQ(Breaker::name(Limit::process), "process");
}

}  // namespace
}  // namespace slotwire
