// How long a thread whose looks are system calls looks before it sleeps, on a clock of the test's own.
#include "core/slot/poll_waiter.hpp"

#include <gtest/gtest.h>

namespace {
using namespace slotwire;
using namespace std::chrono_literals;
using slot::PollWaiter;
using slot::WaitHabit;
using Step = PollWaiter::Step;

TEST(PollWaiter, SpinsByTheClockHoweverLongALookTakes) {
  PollWaiter waiter({2us, 50us});
  EXPECT_EQ(waiter.next(100us), Step::look);
  EXPECT_EQ(waiter.next(101us), Step::look);
  EXPECT_EQ(waiter.next(102us), Step::yield) << "the third look of a microsecond each";
}

TEST(PollWaiter, YieldsForTheTimeOfThePolicy) {
  PollWaiter waiter({0us, 50us});
  for (std::chrono::nanoseconds now = 0us; now < 50us; now += 1us) EXPECT_EQ(waiter.next(now), Step::yield);
  EXPECT_EQ(waiter.next(50us), Step::sleep);
}

TEST(PollWaiter, StartsAnewAfterSomethingWasFound) {
  PollWaiter waiter({1us, 50us});
  EXPECT_EQ(waiter.next(0us), Step::look);
  EXPECT_EQ(waiter.next(60us), Step::sleep);
  waiter.found(61us);
  EXPECT_EQ(waiter.next(61us), Step::look);
  EXPECT_EQ(waiter.next(62us), Step::yield);
}

TEST(PollWaiter, SleepsAtOnceWhenToldTo) {
  PollWaiter waiter({0us, 0us});
  EXPECT_EQ(waiter.next(5us), Step::sleep);
  waiter.found(5us);
  EXPECT_EQ(waiter.next(6us), Step::sleep);
}

/// Waits that yield for 50 us and then sleep, until one does not yield. Returns how many did.
int waits_in_vain(PollWaiter& waiter, std::chrono::nanoseconds& now, int most) {
  for (int waits = 0; waits < most; ++waits) {
    const bool yields = waiter.next(now += 1ms) == Step::yield;
    if (yields) {
      EXPECT_EQ(waiter.next(now += 50us), Step::sleep);
    }
    waiter.slept();
    if (!yields) return waits;
  }
  return most;
}

TEST(PollWaiter, GivesYieldingUpWhenItBringsNothing) {
  PollWaiter waiter({0us, 50us});
  std::chrono::nanoseconds now{};
  EXPECT_EQ(waits_in_vain(waiter, now, 1000), 8);
}

TEST(PollWaiter, GoesOnYieldingWhileOneWaitInTwoIsFound) {
  PollWaiter waiter({0us, 50us});
  std::chrono::nanoseconds now{};
  for (int wait = 0; wait < 1000; ++wait) {
    ASSERT_EQ(waiter.next(now += 1ms), Step::yield) << "wait " << wait;
    if (wait % 2 == 0) {
      waiter.found(now += 10us);
    } else {
      EXPECT_EQ(waiter.next(now += 50us), Step::sleep);
      waiter.slept();
    }
  }
}

TEST(PollWaiter, TriesAgainNowAndThenAndEachTimeLater) {
  PollWaiter waiter({0us, 50us});
  std::chrono::nanoseconds now{};
  waits_in_vain(waiter, now, 1000);
  std::uint32_t pause = WaitHabit::kFirstPause;
  for (int tries = 0; tries < 8; ++tries) {
    std::uint32_t waits = tries == 0 ? 1 : 0;  // the first wait that did not yield is behind us
    while (waiter.next(now += 1ms) == Step::sleep) {
      waiter.slept();
      ASSERT_LT(++waits, 2 * WaitHabit::kLongestPause);
    }
    EXPECT_EQ(waits + 1, pause);
    EXPECT_EQ(waiter.next(now += 50us), Step::sleep);
    waiter.slept();
    pause = std::min(pause * 2, WaitHabit::kLongestPause);
  }
}

TEST(PollWaiter, YieldsAgainOnceATryWasFound) {
  PollWaiter waiter({0us, 50us});
  std::chrono::nanoseconds now{};
  waits_in_vain(waiter, now, 1000);
  while (waiter.next(now += 1ms) == Step::sleep) waiter.slept();
  waiter.found(now += 10us);
  EXPECT_EQ(waiter.next(now += 1ms), Step::yield);
}

TEST(PollWaiter, AProcessorThatIsTakenForLongIsALossEvenIfTheWaitIsFound) {
  PollWaiter waiter({0us, 50us});
  std::chrono::nanoseconds now{};
  int waits = 0;
  for (; waiter.next(now += 10ms) == Step::yield && waits < 100; ++waits) {
    waiter.found(now += 3ms);  // the yield gave somebody a whole turn
  }
  EXPECT_LE(waits, 4);
}

}  // namespace
