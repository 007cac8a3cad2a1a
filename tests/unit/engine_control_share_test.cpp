// How much of the engine's thread control may take while lines flow.
#include "runtime/engine/host/control_share.hpp"

#include <gtest/gtest.h>

namespace slotwire::engine {
namespace {

/// A thread whose polls take a microsecond each, and whose looks at the reactor take `look_us`, for a second. Returns
/// the microseconds that went into looks.
std::uint64_t control_time(std::uint64_t look_us, bool busy) {
  ControlShare share;
  std::uint64_t now = 1, looking = 0;
  constexpr std::uint64_t kSecond = 1'000'000;
  while (now < kSecond) {
    now += 1;
    if (share.due(now, busy) != ControlShare::Look::all) continue;
    now += look_us;
    share.looked(now, look_us);
    looking += look_us;
  }
  return looking;
}

TEST(ControlShare, TakesAQuarterAtMostWhileLinesFlow) {
  for (const std::uint64_t look_us : {20U, 100U, 300U}) {
    EXPECT_LE(control_time(look_us, true), 290'000U) << look_us;
    EXPECT_GE(control_time(look_us, true), 190'000U) << look_us;
  }
}

TEST(ControlShare, IsNotHeldBackWithoutLines) {
  EXPECT_GE(control_time(300, false), 800'000U);
}

TEST(ControlShare, ALookThatTookVeryLongIsNotHeldAgainstItForLong) {
  ControlShare share;
  share.looked(9'000'000, 8'999'000);
  bool due = false;
  for (std::uint64_t now = 9'000'000; now <= 9'000'000 + ControlShare::kLongestPauseUs; now += 10) {
    due = share.due(now, true) == ControlShare::Look::all;
  }
  EXPECT_TRUE(due);
}

/// A caller with one call under way: the thread is idle for most of the time and would sleep at once.
TEST(ControlShare, IsHeldBackInASleepBetweenTwoFramesToo) {
  ControlShare share;
  EXPECT_EQ(share.pause_us(500), 0U) << "nothing was looked at yet";
  share.looked(1'000, 200);
  EXPECT_EQ(share.pause_us(1'010), 0U) << "no lines flow";
  EXPECT_EQ(share.due(1'010, true), ControlShare::Look::urgent) << "kicks do not wait for the end of the pause";
  share.glanced(1'010);
  EXPECT_EQ(share.due(1'020, false), ControlShare::Look::none);
  EXPECT_EQ(share.pause_us(1'020), 580U);
  EXPECT_EQ(share.pause_us(1'599), 1U);
  EXPECT_EQ(share.pause_us(1'600), 0U);
  share.looked(1'700, 100);
  EXPECT_EQ(share.pause_us(1'701), 0U) << "no lines since that look";
}

TEST(ControlShare, QuickLooksComeAfterManyPollsOrSomeTime) {
  ControlShare share;
  share.looked(1'001, 1);
  EXPECT_EQ(share.due(1'010, true), ControlShare::Look::none);
  EXPECT_EQ(share.due(1'000 + ControlShare::kLookUs, true), ControlShare::Look::all);
  share.looked(2'001, 1);
  std::uint32_t polls = 1;
  while (share.due(2'010, true) == ControlShare::Look::none) ++polls;
  EXPECT_EQ(polls, ControlShare::kPollsPerLook);
}

}  // namespace
}  // namespace slotwire::engine
