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
    if (!share.is_due(now, busy)) continue;
    share.looked(now, now + look_us);
    now += look_us;
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
  share.looked(1'000, 9'000'000);
  bool due = false;
  for (std::uint64_t now = 9'000'000; now <= 9'000'000 + ControlShare::kLongestPauseUs; now += 10) {
    due = share.is_due(now, true);
  }
  EXPECT_TRUE(due);
}

TEST(ControlShare, QuickLooksComeAfterManyPollsOrSomeTime) {
  ControlShare share;
  share.looked(1'000, 1'001);
  EXPECT_FALSE(share.is_due(1'010, true));
  EXPECT_TRUE(share.is_due(1'000 + ControlShare::kLookUs, true));
  share.looked(2'000, 2'001);
  std::uint32_t polls = 1;
  while (!share.is_due(2'010, true)) ++polls;
  EXPECT_EQ(polls, ControlShare::kPollsPerLook);
}

}  // namespace
}  // namespace slotwire::engine
