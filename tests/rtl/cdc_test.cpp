// sw_axis_cdc (and sw_async_fifo in it), sw_sync_pulse and sw_reset_sync under clocks of any ratio and phase.
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>

#include "Vrtl_axis_cdc.h"
#include "Vrtl_reset_sync.h"
#include "Vrtl_sync_pulse.h"
#include "bench.hpp"

namespace slotwire::rtl_test {
namespace {

/// Two clocks as periods in picoseconds with jitter; next() says whose rising edge comes.
class TwoClocks {
 public:
  TwoClocks(sim::Random& random, std::uint64_t period0, std::uint64_t period1)
      : random_(random), period_{period0, period1}, next_{random.below(1000), random.below(1000)} {}
  std::size_t next() {
    const std::size_t which = next_[0] <= next_[1] ? 0 : 1;
    next_[which] +=
        period_[which] - period_[which] / 20 + random_.below(static_cast<std::uint32_t>(period_[which] / 10));
    return which;
  }

 private:
  sim::Random& random_;
  std::array<std::uint64_t, 2> period_, next_;
};

constexpr std::array<std::array<std::uint64_t, 2>, 5> kPeriods{
    {{4000, 4000}, {4000, 3103}, {1000, 9000}, {9000, 1000}, {3103, 4000}}};

TEST(AxisCdc, KeepsEveryBeatInOrder) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const auto& period = kPeriods[seed % kPeriods.size()];
    SCOPED_TRACE("seed " + std::to_string(seed));
    sim::Random random(seed);
    VerilatedContext context;
    context.randReset(2);
    context.randSeed(static_cast<int>(seed));
    Vrtl_axis_cdc dut(&context);
    TwoClocks clocks(random, period[0], period[1]);
    dut.s_clk_i = dut.m_clk_i = dut.s_rst_ni = dut.m_rst_ni = dut.s_tvalid_i = dut.m_tready_i = 0;
    dut.eval();
    struct Beat {
      std::uint32_t data;
      std::uint8_t keep, last, user;
      bool operator==(const Beat&) const = default;
    };
    std::deque<Beat> inside;
    Eagerness writer, reader;
    std::size_t moved = 0;
    bool held = false;
    for (int edge = 0; edge < 20000; ++edge) {
      if (edge == 100) dut.s_rst_ni = 1;
      if (edge == 100 + static_cast<int>(seed)) dut.m_rst_ni = 1;
      const std::size_t side = clocks.next();
      dut.eval();
      if (side == 0) {
        const bool taken = dut.s_rst_ni && dut.s_tvalid_i && dut.s_tready_o;
        if (taken) inside.push_back({dut.s_tdata_i, dut.s_tkeep_i, dut.s_tlast_i, dut.s_tuser_i});
        dut.s_clk_i = 1;
        dut.eval();
        dut.s_clk_i = 0;
        if (taken || !dut.s_tvalid_i) {
          dut.s_tvalid_i = dut.s_rst_ni && dut.m_rst_ni && writer(random);
          dut.s_tdata_i = random.bits32();
          dut.s_tkeep_i = random.bits32() & 0xf;
          dut.s_tlast_i = random.below(2) != 0;
          dut.s_tuser_i = random.below(2) != 0;
        }
      } else {
        if (dut.m_rst_ni && held) {
          ASSERT_TRUE(dut.m_tvalid_o) << "a beat was taken back";
        }
        held = dut.m_rst_ni && dut.m_tvalid_o && !dut.m_tready_i;
        if (dut.m_rst_ni && dut.m_tvalid_o && dut.m_tready_i) {
          ASSERT_FALSE(inside.empty()) << "a beat from nowhere";
          const Beat beat{dut.m_tdata_o, dut.m_tkeep_o, dut.m_tlast_o, dut.m_tuser_o};
          ASSERT_EQ(beat, inside.front());
          inside.pop_front();
          ++moved;
        }
        dut.m_clk_i = 1;
        dut.eval();
        dut.m_clk_i = 0;
        dut.m_tready_i = reader(random);
      }
    }
    EXPECT_GT(moved, 500U);
    EXPECT_LE(inside.size(), 8U + 2U);  // The FIFO's depth and the register slice behind it.
    dut.final();
  }
}

TEST(SyncPulse, OneOutForOneIn) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const auto& period = kPeriods[seed % kPeriods.size()];
    SCOPED_TRACE("seed " + std::to_string(seed));
    sim::Random random(seed);
    VerilatedContext context;
    context.randReset(2);
    context.randSeed(static_cast<int>(seed));
    Vrtl_sync_pulse dut(&context);
    TwoClocks clocks(random, period[0], period[1]);
    dut.src_clk_i = dut.dst_clk_i = dut.src_rst_ni = dut.dst_rst_ni = dut.pulse_i = 0;
    dut.eval();
    int in = 0, out = 0, quiet = 0;
    for (int edge = 0; edge < 20000; ++edge) {
      if (edge == 100) dut.src_rst_ni = dut.dst_rst_ni = 1;
      if (clocks.next() == 0) {
        dut.eval();
        in += dut.src_rst_ni && dut.pulse_i;
        if (dut.pulse_i) quiet = 0;
        dut.src_clk_i = 1;
        dut.eval();
        dut.src_clk_i = 0;
        // 4 clocks of the destination and more since the last pulse; none at the end, so that all arrive.
        dut.pulse_i = edge > 200 && edge < 19000 && quiet > 4 && random.chance(300);
        dut.eval();
      } else {
        dut.eval();
        out += dut.dst_rst_ni && dut.pulse_o;
        ++quiet;
        dut.dst_clk_i = 1;
        dut.eval();
        dut.dst_clk_i = 0;
        dut.eval();
      }
    }
    EXPECT_GT(in, 100);
    EXPECT_EQ(in, out);
    dut.final();
  }
}

TEST(ResetSync, FallsAtOnceAndRisesWithTheClock) {
  VerilatedContext context;
  context.randReset(2);
  context.randSeed(7);
  Vrtl_reset_sync dut(&context);
  const auto tick = [&dut] {
    dut.clk_i = 1;
    dut.eval();
    dut.clk_i = 0;
    dut.eval();
  };
  dut.clk_i = 0;
  dut.rst_ni = 1;
  dut.eval();
  for (int i = 0; i < 8; ++i) tick();
  EXPECT_TRUE(dut.rst_no);
  dut.rst_ni = 0;
  dut.eval();  // No clock.
  EXPECT_FALSE(dut.rst_no);
  dut.rst_ni = 1;
  dut.eval();
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(dut.rst_no) << "clock " << i;
    tick();
  }
  EXPECT_TRUE(dut.rst_no);
  dut.final();
}

}  // namespace
}  // namespace slotwire::rtl_test
