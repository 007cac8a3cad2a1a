// The algorithms of congestion control, against traces of numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/congestion/algorithm.hpp"
#include "core/congestion/breaker.hpp"

namespace slotwire::testing {
namespace {

using congestion::Breaker;
using congestion::Decision;
using congestion::Kind;
using congestion::Limit;
using congestion::Round;
using congestion::State;

constexpr std::uint16_t kFrame = 22;

/// A link whose window is the limit, on a path without loss, in rounds of `rtt_us`.
struct Path {
  explicit Path(Kind kind = Kind::cubic, congestion::Settings settings = {}) {
    settings.kind = kind;
    window = congestion::start(state, settings, kFrame).window;
  }
  Round round(congestion::Microseconds rtt_us) const {
    Round r;
    r.length_us = rtt_us;
    r.frame_lines = kFrame;
    r.rtt_us = r.srtt_us = rtt_us;
    r.least_us = least_us;
    r.acked = r.peak = window;
    r.frames = window / kFrame;
    r.limit = Limit::window;
    return r;
  }
  std::uint32_t decide(const Round& r) {
    const Decision decision = congestion::decide(state, r);
    pace = decision.pace;
    return window = decision.window;
  }
  std::uint32_t grow(congestion::Microseconds rtt_us) { return decide(round(rtt_us)); }
  std::uint32_t lose(congestion::Microseconds rtt_us) {
    Round r = round(rtt_us);
    r.loss = true;
    r.lost_nak = kFrame;
    r.losses = 1;
    return decide(r);
  }

  State state;
  congestion::Microseconds least_us = 20'000;
  std::uint32_t window = 0, pace = 0;
};

TEST(congestion, CubeRootIsThatOfIntegers) {
  for (const std::uint64_t n :
       {0ULL, 1ULL, 2ULL, 7ULL, 8ULL, 9ULL, 26ULL, 27ULL, 999ULL, 1000ULL, 1'000'000'000'000ULL}) {
    const std::uint64_t root = congestion::cube_root(n);
    EXPECT_LE(root * root * root, n);
    EXPECT_GT((root + 1) * (root + 1) * (root + 1), n);
  }
  EXPECT_EQ(congestion::cube_root(~std::uint64_t{0}), 2642245U);
}

TEST(congestion, WindowsBeginAndEndAsInTcp) {
  EXPECT_EQ(congestion::first_window(22), 220U);
  EXPECT_EQ(congestion::least_window(22), 44U);
  EXPECT_EQ(congestion::first_window(1), 10U);
  EXPECT_EQ(congestion::first_window(138), 276U);  // jumbo: two frames
}

TEST(congestion, NamesLeadToAlgorithms) {
  Kind kind = Kind::cubic;
  EXPECT_EQ(congestion::find_algorithm("fixed", kind), &congestion::kFixed);
  EXPECT_EQ(kind, Kind::fixed);
  EXPECT_EQ(congestion::find_algorithm("reno", kind), nullptr);
  EXPECT_EQ(congestion::algorithm(Kind::delay).name, "delay");
}

TEST(congestionCubic, SlowStartDoubles) {
  Path path;
  EXPECT_EQ(path.grow(20'000), 440U);
  EXPECT_EQ(path.grow(20'000), 880U);
  EXPECT_EQ(path.grow(20'000), 1'760U);
  // Twice the window in a round trip.
  EXPECT_EQ(path.pace, (std::uint64_t{1'760} * 2 << congestion::kPaceBits) / 20'000);
}

TEST(congestionCubic, ARoundThatTheApplicationLimitsDoesNotGrow) {
  Path path;
  Round round = path.round(20'000);
  round.limit = Limit::application;
  EXPECT_EQ(path.decide(round), 220U);
  round.limit = Limit::peer;
  EXPECT_EQ(path.decide(round), 220U);
}

TEST(congestionCubic, SlowStartEndsWhenTheRoundTripRises) {
  Path path;
  for (int i = 0; i < 4; ++i) path.grow(20'000);
  EXPECT_EQ(path.window, 3'520U);
  EXPECT_EQ(path.grow(25'000), 3'520U + 3'520U / 4);  // conservative slow start
  for (int i = 0; i < 4; ++i) path.grow(25'000);
  const std::uint32_t last = path.window;
  path.grow(25'000);
  EXPECT_EQ(path.window, last);  // the sixth: out of slow start
  EXPECT_EQ(path.state.threshold, last);
}

TEST(congestionCubic, ARiseThatGoesAwayIsNone) {
  Path path;
  for (int i = 0; i < 3; ++i) path.grow(20'000);
  path.grow(23'000);
  const std::uint32_t before = path.window;
  EXPECT_EQ(path.grow(20'500), 2 * before);
}

TEST(congestionCubic, ALossTakesThreeTenths) {
  Path path;
  for (int i = 0; i < 5; ++i) path.grow(20'000);
  EXPECT_EQ(path.window, 7'040U);
  EXPECT_EQ(path.lose(20'000), 7'040U * 179 / 256);
  EXPECT_EQ(path.pace, ((std::uint64_t{path.window} << congestion::kPaceBits) * 5 / 4) / 20'000);
}

/// RFC 9438: K = cbrt(w_max * 0.3 / 0.4) seconds, in frames.
TEST(congestionCubic, TheWindowIsBackAfterK) {
  Path path;
  path.state.window = path.window = 22'000;  // 1000 frames
  path.lose(100'000);
  EXPECT_EQ(path.window, 22'000U * 179 / 256);
  EXPECT_NEAR(path.state.k_ms, 9'090, 20);  // cbrt(1000 * 0.3008 / 0.4)
  std::uint32_t at_half = 0;
  int rounds = 0;
  while (path.window < 21'990 && rounds < 200) {
    path.grow(100'000);
    if (++rounds == 45) at_half = path.window;
  }
  EXPECT_NEAR(rounds, 80, 3);  // ten lines below the plateau, a second before it
  // Concave: at half of K seven eighths of the way back are made.
  EXPECT_NEAR(at_half, 22'000 - (22'000 - 15'382) / 8, 250);
  // Convex behind the plateau: slow, then fast.
  const std::uint32_t plateau = path.window;
  for (int i = 0; i < 20; ++i) path.grow(100'000);
  const std::uint32_t soon = path.window - plateau;
  for (int i = 0; i < 20; ++i) path.grow(100'000);
  EXPECT_GT(path.window - plateau, 4 * soon);
}

TEST(congestionCubic, IsNeverSlowerThanReno) {
  Path path;
  path.state.window = path.window = 2'200;
  path.lose(1'000);
  const std::uint32_t low = path.window;
  for (int i = 0; i < 100; ++i) path.grow(1'000);
  // A tenth of a second: cubic alone would have moved by a few lines.
  EXPECT_GE(path.window, low + 100 * 11);
}

TEST(congestionCubic, FastConvergenceGivesRoomToOthers) {
  Path path;
  path.state.window = path.window = 20'000;
  path.lose(20'000);
  const std::uint32_t first = path.window;
  path.lose(20'000);
  EXPECT_EQ(path.state.w_max, first * (256 + 179) / 512);
}

TEST(congestionCubic, SilenceLeavesTwoFrames) {
  Path path;
  for (int i = 0; i < 5; ++i) path.grow(20'000);
  Round round = path.round(20'000);
  round.silent = true;
  round.loss = true;
  EXPECT_EQ(path.decide(round), 44U);
  EXPECT_EQ(path.state.threshold, 7'040U * 179 / 256);
  EXPECT_EQ(path.grow(20'000), 88U);  // slow start again
}

TEST(congestionCubic, AReorderingIsUndone) {
  Path path;
  for (int i = 0; i < 5; ++i) path.grow(20'000);
  path.lose(20'000);
  Round round = path.round(20'000);
  round.reordered = true;
  round.recovering = true;
  EXPECT_EQ(path.decide(round), 7'040U);
  EXPECT_EQ(path.state.threshold, congestion::kMaxWindow);
  // Once.
  path.lose(20'000);
  Round lost = path.round(20'000);
  lost.loss = true;
  lost.lost_timeout = 22;
  const std::uint32_t window = path.decide(lost);
  EXPECT_EQ(path.decide(round), window);
}

TEST(congestionCubic, NothingGrowsWhileALossIsBeingRepaired) {
  Path path;
  path.lose(20'000);
  Round round = path.round(20'000);
  round.recovering = true;
  const std::uint32_t window = path.window;
  EXPECT_EQ(path.decide(round), window);
}

TEST(congestionCubic, AMarkCountsAsALossOnceForARoundTrip) {
  Path path;
  path.state.window = path.window = 10'000;
  path.state.threshold = 1;
  const auto mark = [&](std::uint32_t frames) {
    Round round = path.round(20'000);
    round.frames = 1'000;
    round.marked = frames;
    return path.decide(round);
  };
  EXPECT_EQ(mark(1), 10'000U * 179 / 256) << "however few are marked";
  EXPECT_EQ(mark(1'000), 10'000U * 179 / 256) << "the frames of this round were sent before the decrease";
  EXPECT_EQ(mark(1), 10'000U * 179 / 256 * 179 / 256) << "and these behind it";
  path.grow(20'000);
  const std::uint32_t grown = path.window;
  EXPECT_EQ(mark(1), grown * 179 / 256) << "a round without marks lies between";
  path.grow(20'000);
  path.lose(20'000);
  const std::uint32_t lost = path.window;
  EXPECT_EQ(mark(10), lost) << "a loss in the round before was the decrease";
}

TEST(congestionCubic, TheShareOfMarkedFramesIsKnown) {
  Path path;
  path.state.alpha = 0;
  // One frame of ten is marked in each round: alpha goes to a tenth.
  for (int i = 0; i < 200; ++i) {
    Round round = path.round(20'000);
    round.frames = 1'000;
    round.marked = 100;
    path.decide(round);
  }
  EXPECT_NEAR(path.state.alpha, 102, 16);
  // None is: it goes away.
  for (int i = 0; i < 200; ++i) path.grow(20'000);
  EXPECT_LT(path.state.alpha, 16U);
}

TEST(congestionCubic, AnIdleLinkBeginsSmall) {
  Path path;
  for (int i = 0; i < 5; ++i) path.grow(20'000);
  Round round = path.round(20'000);
  round.idle = true;
  round.limit = Limit::application;
  EXPECT_EQ(path.decide(round), 220U);
}

TEST(congestionCubic, StaysWithinItsBounds) {
  Path path;
  for (int i = 0; i < 100'000; ++i) path.grow(1'000);
  EXPECT_EQ(path.window, congestion::kMaxWindow);
  for (int i = 0; i < 200; ++i) path.lose(1'000);
  EXPECT_EQ(path.window, 44U);
}

TEST(congestionCubic, ShortRoundTripsAreNotPaced) {
  Path path;
  path.grow(100);
  EXPECT_EQ(path.pace, 0U);
}

/// Two links share a queue that loses when it is full, in rounds.
TEST(congestionCubic, TwoLinksComeToShareAQueue) {
  Path one, two;
  for (int i = 0; i < 6; ++i) one.grow(20'000);
  constexpr std::uint32_t kRoom = 8'000;
  std::uint64_t sum_one = 0, sum_two = 0;
  for (int i = 0; i < 6'000; ++i) {
    if (one.window + two.window > kRoom) {
      one.lose(20'000);
      two.lose(20'000);
    } else {
      one.grow(20'000);
      two.grow(20'000);
    }
    if (i < 2'000) continue;
    sum_one += one.window;
    sum_two += two.window;
  }
  const double x = static_cast<double>(sum_one), y = static_cast<double>(sum_two);
  EXPECT_GT((x + y) * (x + y) / (2 * (x * x + y * y)), 0.97);
  EXPECT_GT((x + y) / 4'000, 0.75 * kRoom);
}

TEST(congestionDelay, GrowsBelowTheTargetAndShrinksAboveIt) {
  congestion::Settings settings;
  settings.target_delay_us = 1'000;
  Path path(Kind::delay, settings);
  EXPECT_EQ(path.grow(20'000), 440U);
  EXPECT_EQ(path.grow(20'400), 880U);
  // A frame takes half a millisecond at this pace: what is above that is queue.
  EXPECT_EQ(path.grow(21'000), 880U * 2);
  EXPECT_EQ(path.grow(20'800), 880U * 2 + 22);  // above half of the target: slow start is over
  EXPECT_EQ(path.grow(20'100), 880U * 2 + 22 + 22 * 2);
  const std::uint32_t before = path.window;
  path.grow(24'000);
  // 1 - 0.8 * (4 ms - 0.3 ms - 1 ms) / 24 ms.
  EXPECT_NEAR(path.window, before * 0.91, 10);
}

TEST(congestionDelay, StepsGrowWhileThereIsNoQueue) {
  congestion::Settings settings;
  settings.target_delay_us = 1'000;
  Path path(Kind::delay, settings);
  path.state.window = path.state.threshold = path.window = 10'000;
  for (std::uint32_t round = 1, expected = 10'000; round < 100; ++round) {
    expected += 22 * std::min(round, 64U);
    EXPECT_EQ(path.grow(20'000), expected);
  }
  const std::uint32_t before = path.window;
  path.grow(20'900);
  EXPECT_EQ(path.window, before + 22) << "near the target one step is enough";
  path.grow(24'000);
  EXPECT_LT(path.window, before);
  const std::uint32_t after = path.window;
  EXPECT_EQ(path.grow(20'000), after + 22) << "and it begins anew";
}

TEST(congestionDelay, NeverShrinksByMoreThanHalf) {
  congestion::Settings settings;
  settings.target_delay_us = 100;
  Path path(Kind::delay, settings);
  path.state.window = path.window = 10'000;
  path.least_us = 100;
  EXPECT_EQ(path.grow(1'000'000), 5'000U);
}

TEST(congestionDelay, AQueueSettlesAtTheTarget) {
  congestion::Settings settings;
  settings.target_delay_us = 1'000;
  Path path(Kind::delay, settings);
  // 195 lines a millisecond (100 Mb/s), 20 ms.
  constexpr std::uint32_t kPipe = 195 * 20;
  std::uint64_t sum = 0;
  for (int i = 0; i < 2'000; ++i) {
    const std::uint32_t queue = path.window > kPipe ? (path.window - kPipe) * 1'000 / 195 : 0;
    path.grow(20'000 + queue);
    if (i >= 1'000) sum += queue;
  }
  EXPECT_LT(sum / 1'000, 2'000U);
  EXPECT_GT(sum / 1'000, 200U);
}

TEST(congestionDelay, ShrinksThoughTheApplicationIsTheLimit) {
  Path path(Kind::delay);
  path.state.window = path.window = 10'000;
  Round round = path.round(40'000);
  round.limit = Limit::application;
  EXPECT_LT(path.decide(round), 10'000U);
}

TEST(congestionFixed, KeepsItsRate) {
  congestion::Settings settings;
  settings.rate_bits = 512'000'000;  // a line in a microsecond
  Path path(Kind::fixed, settings);
  path.grow(20'000);
  EXPECT_EQ(path.pace, 1U << congestion::kPaceBits);
  EXPECT_EQ(path.window, 2U * 20'000 + 10'000 + 220);
  path.lose(20'000);
  EXPECT_EQ(path.pace, 1U << congestion::kPaceBits);
  EXPECT_EQ(path.window, 2U * 20'000 + 10'000 + 220);
}

TEST(congestionBreaker, TripsAfterLongSilence) {
  Breaker breaker;
  Round round;
  round.silences = 7;
  round.silent_us = 20'000'000;
  EXPECT_EQ(breaker.look(round), "");
  round.silences = 8;
  round.silent_us = 9'999'999;
  EXPECT_EQ(breaker.look(round), "");
  round.silent_us = 10'000'000;
  EXPECT_EQ(breaker.look(round),
            "congestion control: nothing was acknowledged for 10 s, in which lines were sent 8 times");
  EXPECT_EQ(breaker.pause_us(), 1'000'000U);
  EXPECT_EQ(breaker.pause_us(), 2'000'000U);
  for (int i = 0; i < 10; ++i) breaker.pause_us();
  EXPECT_EQ(breaker.pause_us(), 64'000'000U);
}

TEST(congestionBreaker, TripsWhenMostIsLostForLong) {
  Breaker breaker;
  Round round;
  round.length_us = 1'000'000;
  round.frames = 20;
  round.losses = 7;
  for (int i = 0; i < 9; ++i) EXPECT_EQ(breaker.look(round), "") << i;
  Round good = round;
  good.losses = 1;
  EXPECT_EQ(breaker.look(good), "");  // begins anew
  for (int i = 0; i < 9; ++i) EXPECT_EQ(breaker.look(round), "") << i;
  EXPECT_NE(breaker.look(round), "");
}

TEST(congestionBreaker, TimeWithoutLossShortensThePauseAgain) {
  Breaker breaker;
  breaker.pause_us();
  breaker.pause_us();
  Round good;
  good.length_us = 10'000'000;
  good.frames = 100;
  for (int i = 0; i < 7; ++i) breaker.look(good);
  EXPECT_EQ(breaker.pause_us(), 1'000'000U);
}

}  // namespace
}  // namespace slotwire::testing
