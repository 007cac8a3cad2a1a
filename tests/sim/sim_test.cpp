// The simulator itself: it catches what is broken, replays exactly, and really does what it claims to do.
#include <gtest/gtest.h>

#include <algorithm>

#include "sim/world.hpp"

namespace {
using namespace slotwire;
using regs::Counter;

class Broken : public testing::TestWithParam<std::size_t> {};

TEST_P(Broken, IsCaughtWithinAFewSeeds) {
  const sim::Break& broken = sim::breaks()[GetParam()];
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const sim::Result result = sim::run({.seed = seed, .broken = &broken});
    if (!result.violation) continue;
    EXPECT_FALSE(result.violation->what.empty());
    EXPECT_FALSE(result.violation->events.empty());
    // What was found can be looked at again.
    const sim::Result again = sim::run({.seed = seed, .broken = &broken});
    ASSERT_TRUE(again.violation);
    EXPECT_EQ(again.violation->step, result.violation->step);
    EXPECT_EQ(again.violation->what, result.violation->what);
    return;
  }
  ADD_FAILURE() << "a proxy that " << broken.text << " was not caught in 20 seeds";
}

INSTANTIATE_TEST_SUITE_P(Simulator, Broken, testing::Range(std::size_t{0}, sim::breaks().size()), [](const auto& info) {
  std::string name(sim::breaks()[info.param].name);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(Simulator, OneSeedIsOneRun) {
  for (std::uint64_t seed = 5; seed < 8; ++seed) {
    const sim::Result first = sim::run({.seed = seed});
    const sim::Result second = sim::run({.seed = seed});
    EXPECT_EQ(first.hash, second.hash) << "seed " << seed;
    EXPECT_EQ(first.steps, second.steps);
    EXPECT_EQ(first.simulated_us, second.simulated_us);
    EXPECT_EQ(first.counters, second.counters);
  }
  EXPECT_NE(sim::run({.seed = 5}).hash, sim::run({.seed = 6}).hash);
}

// A campaign in which nothing goes wrong proves nothing.
TEST(Simulator, ACampaignHoldsAndProvokesEverything) {
  sim::Result sum;
  std::size_t wrapped = 0;
  for (std::uint64_t seed = 1000; seed < 1100; ++seed) {
    const sim::Result result = sim::run({.seed = seed});
    ASSERT_FALSE(result.violation) << "seed " << seed << ": " << result.violation->what;
    for (std::size_t i = 0; i < sum.counters.size(); ++i) sum.counters[i] += result.counters[i];
    sum.restarts += result.restarts;
    sum.takeovers += result.takeovers;
    sum.rebinds += result.rebinds;
    sum.link_cuts += result.link_cuts;
    sum.blocks += result.blocks;
    sum.faults += result.faults;
    sum.network.lost += result.network.lost;
    sum.network.duplicated += result.network.duplicated;
    sum.network.reordered += result.network.reordered;
    sum.network.corrupted += result.network.corrupted;
    wrapped += result.lines_read != 0 ? 1 : 0;
  }
  EXPECT_GT(wrapped, 90U) << "runs in which a process read something";
  for (const auto count : {sum.restarts, sum.takeovers, sum.rebinds, sum.link_cuts, sum.blocks, sum.faults,
                           sum.network.lost, sum.network.duplicated, sum.network.reordered, sum.network.corrupted}) {
    EXPECT_GT(count, 50U);
  }
  for (std::size_t i = 0; i < sum.counters.size(); ++i) {
    const auto counter = static_cast<Counter>(i);
    // An honest peer never sends more than there is room for, nor acknowledges what was not produced.
    const bool never = counter == Counter::drop_overrun;
    EXPECT_EQ(sum.counters[i] == 0, never) << regs::name(counter) << ": " << sum.counters[i];
  }
}

}  // namespace
