// How long a thread whose looks are system calls looks before it sleeps, on a clock of the test's own.
#include "core/slot/poll_waiter.hpp"

#include <gtest/gtest.h>

#include <random>

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
    waiter.slept(now += 1ms);
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
  std::minstd_rand random(1);
  int yielded = 0;
  for (int wait = 0; wait < 1000; ++wait) {
    const bool soon = random() % 2 == 0;
    if (waiter.next(now += 1ms) == Step::yield) {
      ++yielded;
      if (!soon) {
        EXPECT_EQ(waiter.next(now += 50us), Step::sleep);
      }
    }
    if (soon) {
      waiter.found(now += 10us);
    } else {
      waiter.slept(now += 100us);
    }
  }
  EXPECT_GT(yielded, 900);
}

/// What one that passes calls on sees: a short wait for the answer, then a long one for the next call.
TEST(PollWaiter, YieldsInTheShortOnesOfWaitsThatAreShortAndLongInTurn) {
  PollWaiter waiter({0us, 50us});
  std::chrono::nanoseconds now{};
  int in_short = 0, in_long = 0;
  for (int turn = 0; turn < 100; ++turn) {
    if (waiter.next(now += 1us) == Step::yield) ++in_short;
    waiter.found(now += 20us);
    if (waiter.next(now += 1us) == Step::yield) {
      ++in_long;
      EXPECT_EQ(waiter.next(now += 50us), Step::sleep);
    }
    waiter.slept(now += 100us);
  }
  EXPECT_EQ(in_short, 100);
  EXPECT_LT(in_long, 20);
}

TEST(PollWaiter, YieldsAgainWhenItSleepsForShortTimesOnly) {
  PollWaiter waiter({0us, 50us});
  std::chrono::nanoseconds now{};
  waits_in_vain(waiter, now, 1000);
  int sleeps = 0;
  for (; waiter.next(now += 1us) == Step::sleep && sleeps < 100; ++sleeps) waiter.slept(now += 20us);
  EXPECT_LE(sleeps, 4);
}

TEST(PollWaiter, TriesAgainNowAndThenAndEachTimeLater) {
  PollWaiter waiter({0us, 50us});
  std::chrono::nanoseconds now{};
  waits_in_vain(waiter, now, 1000);
  std::uint32_t pause = WaitHabit::kFirstPause;
  for (int tries = 0; tries < 8; ++tries) {
    std::uint32_t waits = tries == 0 ? 1 : 0;  // the first wait that did not yield is behind us
    while (waiter.next(now += 1ms) == Step::sleep) {
      waiter.slept(now += 1ms);
      ASSERT_LT(++waits, 2 * WaitHabit::kLongestPause);
    }
    EXPECT_EQ(waits + 1, pause);
    EXPECT_EQ(waiter.next(now += 50us), Step::sleep);
    waiter.slept(now += 1ms);
    pause = std::min(pause * 2, WaitHabit::kLongestPause);
  }
}

TEST(PollWaiter, YieldsAgainOnceATryWasFound) {
  PollWaiter waiter({0us, 50us});
  std::chrono::nanoseconds now{};
  waits_in_vain(waiter, now, 1000);
  while (waiter.next(now += 1ms) == Step::sleep) waiter.slept(now += 1ms);
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

/// A process that computes takes whole turns from who yields, while who sleeps is woken at once: short sleeps are no
/// reason to yield again.
TEST(PollWaiter, AProcessorThatIsTakenForLongIsMetInOneWaitInAHundredHoweverShortTheSleepsAre) {
  PollWaiter waiter({0us, 50us});
  std::chrono::nanoseconds now{};
  int met = 0;
  for (int wait = 0; wait < 10'000; ++wait) {
    if (waiter.next(now += 1us) == Step::yield) {
      ++met;
      waiter.found(now += 3ms);
    } else {
      waiter.slept(now += 20us);
    }
  }
  EXPECT_LE(met, 100);
  EXPECT_GT(met, 0);
}

}  // namespace
