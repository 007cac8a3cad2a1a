// sw_frame_fifo, sw_frame_merge and sw_frame_guard: whole frames, in order, dropped whole or not at all.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "Vrtl_frame_drop.h"
#include "Vrtl_frame_guard.h"
#include "Vrtl_frame_hold.h"
#include "Vrtl_frame_merge.h"
#include "bench.hpp"

namespace slotwire::rtl_test {
namespace {

constexpr std::size_t kDepth = 16;  // As in tests/rtl/CMakeLists.txt.

struct Beat {
  Line data{};
  std::uint64_t keep = 0;
  bool last = false, bad = false;
  bool operator==(const Beat&) const = default;
};
using Frame = std::vector<Beat>;

Frame random_frame(sim::Random& random, std::size_t longest, unsigned bad_permille) {
  Frame frame(1 + random.below(static_cast<std::uint32_t>(longest)));
  for (Beat& beat : frame) {
    beat.data = random_line(random);
    beat.keep = ~0ULL;
  }
  frame.back().last = true;
  frame.back().keep = ~0ULL >> random.below(64);
  if (random.chance(bad_permille)) frame[random.below(static_cast<std::uint32_t>(frame.size()))].bad = true;
  return frame;
}

template <class Model>
struct Dropper {
  using Dut = Model;
  static constexpr bool kDrops = std::is_same_v<Model, Vrtl_frame_drop>;
};
template <class Kind>
class FrameFifo : public testing::Test {};
using Kinds = testing::Types<Dropper<Vrtl_frame_drop>, Dropper<Vrtl_frame_hold>>;
TYPED_TEST_SUITE(FrameFifo, Kinds);

TYPED_TEST(FrameFifo, WholeFramesOnly) {
  std::size_t moved = 0, dropped_for_room = 0, dropped_bad = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Bench<typename TypeParam::Dut> bench(seed);
    auto& dut = *bench.dut;
    dut.s_tvalid_i = dut.s_tuser_i = dut.m_tready_i = 0;
    bench.reset();
    std::deque<Beat> expected;  // Of frames that are whole and kept.
    Frame incoming = random_frame(bench.random, kDepth + 4, 100);
    std::size_t place = 0, most = 0, decided_most = 0;  // Beats inside, at most, while the frame came in.
    bool ended = false;                                 // A frame ended in the last clock: drop_o tells now.
    Frame decided;
    Eagerness writer, reader;
    for (int clock = 0; clock < 6000; ++clock) {
      if (!dut.s_tvalid_i && writer(bench.random)) dut.s_tvalid_i = 1;
      const Beat& beat = incoming[place];
      put(dut.s_tdata_i, beat.data);
      dut.s_tkeep_i = beat.keep;
      dut.s_tlast_i = beat.last;
      dut.s_tuser_i = beat.bad;
      dut.m_tready_i = reader(bench.random);
      bench.settle();
      if (TypeParam::kDrops) {
        ASSERT_TRUE(dut.s_tready_o);
      }
      if (ended) {
        bool bad = false;
        for (const Beat& b : decided) bad = bad || b.bad;
        if (dut.drop_o) {
          dropped_bad += bad;
          dropped_for_room += !bad;
          if (!TypeParam::kDrops && !bad) {
            ASSERT_GT(decided.size(), kDepth) << "a frame was dropped that could have waited";
          }
          if (!bad) {
            ASSERT_GE(decided_most, kDepth) << "a frame was dropped though there was room";
          }
        } else {
          ASSERT_FALSE(bad) << "a bad frame was kept";
          ASSERT_LE(decided.size(), kDepth);
          expected.insert(expected.end(), decided.begin(), decided.end());
        }
      } else {
        ASSERT_FALSE(dut.drop_o);
      }
      ended = false;
      if (dut.m_tvalid_o && dut.m_tready_i) {
        ASSERT_FALSE(expected.empty()) << "a beat of a frame that is not whole";
        ASSERT_EQ(get(dut.m_tdata_o), expected.front().data);
        ASSERT_EQ(dut.m_tkeep_o, expected.front().keep);
        ASSERT_EQ(dut.m_tlast_o != 0, expected.front().last);
        moved += expected.front().last;
        expected.pop_front();
      }
      const bool taken = dut.s_tvalid_i && dut.s_tready_o;
      if (taken) most = std::max(most, expected.size() + place);
      bench.tick();
      if (taken) {
        dut.s_tvalid_i = 0;
        if (++place == incoming.size()) {
          ended = true;
          decided = incoming;
          decided_most = most;
          most = 0;
          incoming = random_frame(bench.random, bench.random.chance(200) ? kDepth + 4 : 3, 100);
          place = 0;
        }
      }
    }
  }
  EXPECT_GT(moved, 2000U);
  EXPECT_GT(dropped_for_room, 50U);
  EXPECT_GT(dropped_bad, 200U);
}

TYPED_TEST(FrameFifo, LeavesThreeClocksAfterItsLastBeatAndWithoutPause) {
  Bench<typename TypeParam::Dut> bench(1);
  auto& dut = *bench.dut;
  dut.s_tvalid_i = dut.s_tuser_i = 0;
  dut.m_tready_i = 1;
  bench.reset();
  constexpr std::uint64_t kBeats = 12;
  for (std::uint64_t clock = 0; clock < 40; ++clock) {
    dut.s_tvalid_i = clock < kBeats;
    dut.s_tlast_i = clock == kBeats - 1;
    bench.settle();
    const std::uint64_t first = kBeats - 1 + 3;
    ASSERT_EQ(dut.m_tvalid_o != 0, clock >= first && clock < first + kBeats) << "clock " << clock;
    bench.tick();
  }
}

struct MergePort {
  std::deque<Frame> expected;  // Not yet out.
  Frame frame;
  std::size_t place = 0;
};

TEST(FrameMerge, MixesNothingAndTakesTurns) {
  std::size_t moved = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Bench<Vrtl_frame_merge> bench(seed);
    auto& dut = *bench.dut;
    dut.s0_tvalid_i = dut.s1_tvalid_i = dut.m_tready_i = 0;
    bench.reset();
    std::array<MergePort, 2> ports;
    for (MergePort& port : ports) port.frame = random_frame(bench.random, 5, 0);
    std::array<Eagerness, 2> writer;
    Eagerness reader;
    int from = -1;  // The frame at the output is of this input.
    std::size_t out_place = 0;
    for (int clock = 0; clock < 5000; ++clock) {
      if (!dut.s0_tvalid_i) dut.s0_tvalid_i = writer[0](bench.random);
      if (!dut.s1_tvalid_i) dut.s1_tvalid_i = writer[1](bench.random);
      const Beat& beat0 = ports[0].frame[ports[0].place];
      const Beat& beat1 = ports[1].frame[ports[1].place];
      put(dut.s0_tdata_i, beat0.data);
      put(dut.s1_tdata_i, beat1.data);
      dut.s0_tkeep_i = beat0.keep;
      dut.s1_tkeep_i = beat1.keep;
      dut.s0_tlast_i = beat0.last;
      dut.s1_tlast_i = beat1.last;
      dut.m_tready_i = reader(bench.random);
      bench.settle();
      if (dut.m_tvalid_o && dut.m_tready_i) {
        const Line data = get(dut.m_tdata_o);
        if (from < 0) {
          for (int p = 0; p < 2; ++p) {
            const auto& expected = ports[static_cast<std::size_t>(p)].expected;
            if (!expected.empty() && expected.front()[0].data == data) from = p;
          }
          ASSERT_GE(from, 0) << "a frame from nowhere";
          out_place = 0;
        }
        Frame& frame = ports[static_cast<std::size_t>(from)].expected.front();
        const Beat& beat = frame[out_place++];
        ASSERT_EQ(data, beat.data);
        ASSERT_EQ(dut.m_tkeep_o, beat.keep);
        ASSERT_EQ(dut.m_tlast_o != 0, beat.last);
        if (beat.last) {
          ports[static_cast<std::size_t>(from)].expected.pop_front();
          from = -1;
          ++moved;
        }
      }
      const std::array<bool, 2> taken{dut.s0_tvalid_i && dut.s0_tready_o, dut.s1_tvalid_i && dut.s1_tready_o};
      bench.tick();
      for (std::size_t p = 0; p < 2; ++p) {
        if (!taken[p]) continue;
        MergePort& port = ports[p];
        (p == 0 ? dut.s0_tvalid_i : dut.s1_tvalid_i) = 0;
        if (port.place == 0) port.expected.push_back(port.frame);
        if (++port.place == port.frame.size()) {
          port.frame = random_frame(bench.random, 5, 0);
          port.place = 0;
        }
      }
    }
  }
  EXPECT_GT(moved, 5000U);
}

TEST(FrameMerge, TwoBusyInputsGetHalfEachWithoutPause) {
  Bench<Vrtl_frame_merge> bench(1);
  auto& dut = *bench.dut;
  dut.s0_tvalid_i = dut.s1_tvalid_i = dut.s0_tlast_i = dut.s1_tlast_i = dut.m_tready_i = 1;
  bench.reset();
  std::array<int, 2> taken{};
  constexpr int kClocks = 1000;
  for (int clock = 0; clock < kClocks; ++clock) {
    bench.settle();
    taken[0] += dut.s0_tready_o;
    taken[1] += dut.s1_tready_o;
    bench.tick();
  }
  EXPECT_EQ(taken[0], kClocks / 2);
  EXPECT_EQ(taken[1], kClocks / 2);
}

/// One side of sw_frame_guard is gone now and then, for some clocks.
class Gone {
 public:
  bool operator()(sim::Random& random) {
    if (left_ != 0) return --left_ != 0;
    if (random.chance(15)) left_ = 1 + random.below(8);
    return left_ != 0;
  }

 private:
  unsigned left_ = 4;  // Both are at first.
};

TEST(FrameGuard, GivesWholeFramesWhicheverSideIsReset) {
  unsigned ended = 0, skipped = 0, whole = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    VerilatedContext context;
    context.randReset(2);
    context.randSeed(static_cast<int>(seed));
    Vrtl_frame_guard dut{&context};
    sim::Random random(seed);
    Gone source_gone, sink_gone;
    Eagerness writer, reader;
    Frame frame = random_frame(random, 6, 100);
    std::size_t place = 0, given = 0;  // Beats of the frame that were taken; of a frame that the sink has of it.
    bool missed = false;               // The sink missed a part of the frame.
    const auto next_frame = [&] {
      frame = random_frame(random, 6, 100);
      place = 0;
      missed = false;
    };
    dut.clk_i = dut.s_tvalid_i = 0;
    for (int clock = 0; clock < 6000; ++clock) {
      const bool no_source = source_gone(random), no_sink = sink_gone(random);
      if (no_source) {
        next_frame();
        dut.s_tvalid_i = 0;
      } else if (!dut.s_tvalid_i && writer(random)) {
        dut.s_tvalid_i = 1;
      }
      if (no_sink) {
        given = 0;
        missed = missed || place != 0;
      }
      const Beat& beat = frame[place];
      put(dut.s_tdata_i, beat.data);
      dut.s_tkeep_i = beat.keep;
      dut.s_tlast_i = beat.last;
      dut.s_tuser_i = beat.bad;
      dut.src_gone_i = no_source;
      dut.dst_gone_i = no_sink;
      dut.m_tready_i = reader(random);
      dut.eval();
      const bool takes = dut.s_tvalid_i && dut.s_tready_o, gives = dut.m_tvalid_o && dut.m_tready_i;
      ASSERT_FALSE(no_sink && dut.m_tvalid_o);
      ASSERT_FALSE(no_source && takes);
      if (gives && !takes) {  // The end of a frame whose source went.
        ASSERT_TRUE(dut.m_tlast_o && dut.m_tuser_o && dut.m_tkeep_o != 0);
        ASSERT_NE(given, 0U) << "an end without a frame";
        given = 0;
        ++ended;
      } else if (gives) {
        ASSERT_EQ(given, place) << "beats of two frames, or the rest of one";
        ASSERT_EQ((Beat{get(dut.m_tdata_o), dut.m_tkeep_o, dut.m_tlast_o != 0, dut.m_tuser_o != 0}), beat);
        given = beat.last ? 0 : given + 1;
        whole += beat.last;
      } else if (takes) {
        ASSERT_TRUE(no_sink || missed) << "a beat was lost";
        missed = true;
        ++skipped;
      }
      dut.clk_i = 1;
      dut.eval();
      dut.clk_i = 0;
      dut.eval();
      if (!takes) continue;
      dut.s_tvalid_i = 0;
      if (++place == frame.size()) next_frame();
    }
    dut.final();
  }
  EXPECT_GT(ended, 100U);
  EXPECT_GT(skipped, 100U);
  EXPECT_GT(whole, 1000U);
}

}  // namespace
}  // namespace slotwire::rtl_test
