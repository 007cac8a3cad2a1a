// sw_skid, sw_fifo and sw_fifo_ram: what goes in comes out, once, in order, and in time.
#include <gtest/gtest.h>

#include <deque>

#include "Vrtl_fifo.h"
#include "Vrtl_fifo_past.h"
#include "Vrtl_fifo_ram.h"
#include "Vrtl_skid.h"
#include "bench.hpp"

namespace slotwire::rtl_test {
namespace {

struct Skid {
  using Model = Vrtl_skid;
  static constexpr std::size_t kHolds = 2;
  static constexpr std::uint64_t kLatency = 1;
  static std::uint32_t count(const Model&, std::size_t expected) { return static_cast<std::uint32_t>(expected); }
};
struct Fifo {
  using Model = Vrtl_fifo;
  static constexpr std::size_t kHolds = 8;
  static constexpr std::uint64_t kLatency = 1;
  static std::uint32_t count(const Model& dut, std::size_t) { return dut.count_o; }
};
struct FifoRam {
  using Model = Vrtl_fifo_ram;
  static constexpr std::size_t kHolds = 64;
  static constexpr std::uint64_t kLatency = 3;
  static std::uint32_t count(const Model& dut, std::size_t) { return dut.count_o; }
};

struct FifoPastRam {
  using Model = Vrtl_fifo_past;
  static constexpr std::size_t kHolds = 64;
  static constexpr std::uint64_t kLatency = 1;
  static std::uint32_t count(const Model& dut, std::size_t) { return dut.count_o; }
};

template <class Block>
class FifoBlock : public testing::Test {};
using Blocks = testing::Types<Skid, Fifo, FifoRam, FifoPastRam>;
TYPED_TEST_SUITE(FifoBlock, Blocks);

TYPED_TEST(FifoBlock, KeepsEveryWordInOrder) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Bench<typename TypeParam::Model> bench(seed);
    auto& dut = *bench.dut;
    dut.wvalid_i = dut.rready_i = 0;
    bench.reset();
    std::deque<std::uint32_t> expected;
    Eagerness writer, reader;
    bool offered = false, was_full = false;
    bool held = false;
    std::uint32_t held_data = 0;
    std::size_t moved = 0;
    for (int clock = 0; clock < 5000; ++clock) {
      // A word that was offered stays until it is taken.
      if (!offered) {
        offered = writer(bench.random);
        dut.wdata_i = bench.random.bits32();
      }
      dut.wvalid_i = offered;
      dut.rready_i = reader(bench.random);
      bench.settle();
      ASSERT_EQ(TypeParam::count(dut, expected.size()), expected.size());
      if (held) {
        ASSERT_TRUE(dut.rvalid_o) << "a word was taken back";
        ASSERT_EQ(dut.rdata_o, held_data) << "a word changed while it waited";
      }
      was_full = was_full || !dut.wready_o;
      held = dut.rvalid_o && !dut.rready_i;
      held_data = dut.rdata_o;
      if (dut.rvalid_o && dut.rready_i) {
        ASSERT_FALSE(expected.empty()) << "a word from nowhere";
        ASSERT_EQ(dut.rdata_o, expected.front());
        expected.pop_front();
        ++moved;
      }
      if (dut.wvalid_i && dut.wready_o) {
        expected.push_back(dut.wdata_i);
        offered = false;
      }
      ASSERT_LE(expected.size(), TypeParam::kHolds);
      bench.tick();
    }
    EXPECT_GT(moved, 500U);
    EXPECT_TRUE(was_full);
  }
}

TYPED_TEST(FifoBlock, HoldsWhatItSays) {
  Bench<typename TypeParam::Model> bench(1);
  auto& dut = *bench.dut;
  dut.wvalid_i = dut.rready_i = 0;
  bench.reset();
  dut.wvalid_i = 1;
  std::size_t taken = 0;
  for (std::size_t clock = 0; clock < TypeParam::kHolds + 8; ++clock) {
    bench.settle();
    taken += dut.wready_o;
    bench.tick();
  }
  EXPECT_EQ(taken, TypeParam::kHolds);
}

TYPED_TEST(FifoBlock, LatencyAndFullThroughput) {
  Bench<typename TypeParam::Model> bench(1);
  auto& dut = *bench.dut;
  dut.wvalid_i = dut.rready_i = 0;
  bench.reset();
  dut.rready_i = 1;
  dut.wvalid_i = 1;
  constexpr std::uint64_t kClocks = 300;
  for (std::uint64_t clock = 0; clock < kClocks; ++clock) {
    dut.wdata_i = static_cast<std::uint32_t>(clock);
    bench.settle();
    ASSERT_TRUE(dut.wready_o) << "clock " << clock;
    ASSERT_EQ(dut.rvalid_o, clock >= TypeParam::kLatency) << "clock " << clock;
    if (dut.rvalid_o) {
      ASSERT_EQ(dut.rdata_o, clock - TypeParam::kLatency);
    }
    bench.tick();
  }
}

}  // namespace
}  // namespace slotwire::rtl_test
