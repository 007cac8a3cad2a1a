// How long a thread that moves lines looks before it sleeps, on a clock of the test's own.
#include "driver/sharded/poll_waiter.hpp"

#include <gtest/gtest.h>

namespace {
using namespace slotwire;
using namespace std::chrono_literals;
using driver::PollWaiter;
using Step = PollWaiter::Step;

TEST(PollWaiter, SpinsByTheClockHoweverLongALookTakes) {
  PollWaiter waiter({2us, 50us});
  EXPECT_EQ(waiter.next(100us), Step::look);
  EXPECT_EQ(waiter.next(101us), Step::look);
  EXPECT_EQ(waiter.next(102us), Step::yield) << "the third look of a microsecond each";
}

TEST(PollWaiter, SleepsWhenNobodyTakesTheProcessor) {
  PollWaiter waiter({0us, 50us});
  EXPECT_EQ(waiter.next(0us), Step::yield);
  EXPECT_EQ(waiter.next(1us), Step::yield);
  EXPECT_EQ(waiter.next(2us), Step::sleep) << "two yields came straight back";
}

TEST(PollWaiter, YieldsAsLongAsSomebodyTakesTheProcessor) {
  PollWaiter waiter({0us, 50us});
  EXPECT_EQ(waiter.next(0us), Step::yield);
  EXPECT_EQ(waiter.next(1us), Step::yield);
  for (std::chrono::nanoseconds now = 11us; now < 50us; now += 10us) EXPECT_EQ(waiter.next(now), Step::yield);
  EXPECT_EQ(waiter.next(51us), Step::sleep) << "the policy's time is over";
}

TEST(PollWaiter, StartsAnewAfterSomethingWasFound) {
  PollWaiter waiter({1us, 50us});
  EXPECT_EQ(waiter.next(0us), Step::look);
  EXPECT_EQ(waiter.next(60us), Step::sleep);
  waiter.reset();
  EXPECT_EQ(waiter.next(61us), Step::look);
  EXPECT_EQ(waiter.next(62us), Step::yield);
  EXPECT_EQ(waiter.next(63us), Step::yield) << "the yields of the wait before do not count";
}

TEST(PollWaiter, SleepsAtOnceWhenToldTo) {
  PollWaiter waiter({0us, 0us});
  EXPECT_EQ(waiter.next(5us), Step::sleep);
  waiter.reset();
  EXPECT_EQ(waiter.next(6us), Step::sleep);
}

}  // namespace
