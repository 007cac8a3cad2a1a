// sw_slot_mem, its slow stand-in of the simulator, and that behind sw_axi_master and sw_axi_slave: the contract of a
// slot memory port, and the check of parity.
#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "Vrtl_axi_loop.h"
#include "Vrtl_slot_mem2.h"
#include "Vrtl_slot_mem3.h"
#include "Vrtl_slot_mem_delay.h"
#include "bench.hpp"

namespace slotwire::rtl_test {
namespace {

constexpr std::uint32_t kLines = 16;  // As in tests/rtl/CMakeLists.txt.

struct Mem2 {
  using Model = Vrtl_slot_mem2;
  static constexpr std::uint64_t kLatency = 2;
  static constexpr bool kFixed = true;
  static void seed(Model&, std::uint64_t) {}
};
struct Mem3 {
  using Model = Vrtl_slot_mem3;
  static constexpr std::uint64_t kLatency = 3;
  static constexpr bool kFixed = true;
  static void seed(Model&, std::uint64_t) {}
};
struct Delay {
  using Model = Vrtl_slot_mem_delay;
  static constexpr std::uint64_t kLatency = 2;  // At least.
  static constexpr bool kFixed = false;
  static void seed(Model& dut, std::uint64_t seed) { dut.seed_i = static_cast<std::uint32_t>(seed); }
};

struct AxiLoop {
  using Model = Vrtl_axi_loop;
  static constexpr std::uint64_t kLatency = 2;  // At least.
  static constexpr bool kFixed = false;
  static void seed(Model& dut, std::uint64_t seed) {
    dut.seed_i = static_cast<std::uint32_t>(seed);
    dut.refuse_i = dut.stall_data_i = 0;
  }
  static void stall(Model& dut, sim::Random& random) { dut.stall_data_i = random.chance(500); }
};

template <class Block>
class SlotMemory : public testing::Test {};
using Blocks = testing::Types<Mem2, Mem3, Delay, AxiLoop>;
TYPED_TEST_SUITE(SlotMemory, Blocks);

struct Write {
  std::uint32_t addr;
  Line data;
  std::uint64_t strb;
};
/// Every value that a byte of the line may have when the answer comes: bit v of allowed[byte].
struct Read {
  std::uint32_t addr;
  std::uint64_t taken;
  std::vector<Line> allowed;  // The line as it was when the read was taken, and after every write since.
};

void store(Line& line, const Write& write) {
  for (std::size_t i = 0; i < 64; ++i) {
    if ((write.strb >> i & 1) != 0) line[i] = write.data[i];
  }
}

bool byte_allowed(const Read& read, std::size_t i, std::uint8_t value) {
  for (const Line& line : read.allowed) {
    if (line[i] == value) return true;
  }
  return false;
}

TYPED_TEST(SlotMemory, ReadsSeeDoneWrites) {
  std::size_t reads = 0, writes = 0, same_line = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Bench<typename TypeParam::Model> bench(seed);
    auto& dut = *bench.dut;
    TypeParam::seed(dut, seed);
    dut.rd_valid_i = dut.wr_valid_i = dut.inject_err_i = 0;
    bench.reset();
    std::array<Line, kLines> done{};  // What every later read sees.
    std::deque<Write> pending;
    std::deque<Read> outstanding;
    Eagerness reader, writer;
    for (int clock = 0; clock < 4000; ++clock) {
      if constexpr (requires { TypeParam::stall(dut, bench.random); }) TypeParam::stall(dut, bench.random);
      if (!dut.rd_valid_i) {
        dut.rd_valid_i = reader(bench.random);
        dut.rd_addr_i = static_cast<std::uint8_t>(bench.random.below(kLines));
      }
      if (!dut.wr_valid_i) {
        dut.wr_valid_i = writer(bench.random);
        dut.wr_addr_i = static_cast<std::uint8_t>(bench.random.below(kLines));
        put(dut.wr_data_i, random_line(bench.random));
        dut.wr_strb_i = bench.random.chance(500) ? ~0ULL : bench.random.next();
      }
      bench.settle();
      if (dut.wr_done_o) {
        ASSERT_FALSE(pending.empty()) << "a write was done that nobody asked for";
        store(done[pending.front().addr], pending.front());
        pending.pop_front();
        ++writes;
      }
      if (dut.rsp_valid_o) {
        ASSERT_FALSE(outstanding.empty()) << "an answer to nothing";
        const Read& read = outstanding.front();
        ASSERT_GE(bench.now - read.taken, TypeParam::kLatency);
        if (TypeParam::kFixed) {
          ASSERT_EQ(bench.now - read.taken, TypeParam::kLatency);
        }
        ASSERT_FALSE(dut.rsp_err_o);
        const Line line = get(dut.rsp_data_o);
        for (std::size_t i = 0; i < 64; ++i) ASSERT_TRUE(byte_allowed(read, i, line[i])) << "byte " << i;
        same_line += read.allowed.size() > 1;
        outstanding.pop_front();
        ++reads;
      }
      if (dut.rd_valid_i && dut.rd_ready_o) {
        Read read{dut.rd_addr_i, bench.now, {done[dut.rd_addr_i]}};
        Line line = done[dut.rd_addr_i];
        for (const Write& write : pending) {
          if (write.addr != read.addr) continue;
          store(line, write);
          read.allowed.push_back(line);
        }
        outstanding.push_back(read);
      }
      if (dut.wr_valid_i && dut.wr_ready_o) {
        pending.push_back({dut.wr_addr_i, get(dut.wr_data_i), dut.wr_strb_i});
        for (Read& read : outstanding) {
          if (read.addr != dut.wr_addr_i) continue;
          Line line = read.allowed.back();
          store(line, pending.back());
          read.allowed.push_back(line);
        }
      }
      const bool rd_taken = dut.rd_valid_i && dut.rd_ready_o;
      const bool wr_taken = dut.wr_valid_i && dut.wr_ready_o;
      bench.tick();
      if (rd_taken) dut.rd_valid_i = 0;
      if (wr_taken) dut.wr_valid_i = 0;
    }
  }
  EXPECT_GT(reads, 2000U);
  EXPECT_GT(writes, 2000U);
  EXPECT_GT(same_line, 100U);
}

/// One write, to its end. False if it is not done within kWait clocks.
constexpr int kWait = 1000;
template <class B>
bool write_line(B& bench, std::uint8_t addr, const Line& data, std::uint64_t strb, bool inject) {
  auto& dut = *bench.dut;
  dut.wr_valid_i = 1;
  dut.wr_addr_i = addr;
  put(dut.wr_data_i, data);
  dut.wr_strb_i = strb;
  dut.inject_err_i = inject;
  for (int i = 0; i < kWait; ++i) {
    bench.settle();
    const bool taken = dut.wr_valid_i && dut.wr_ready_o, done = dut.wr_done_o;
    bench.tick();
    if (taken) dut.wr_valid_i = 0;
    if (done) return true;
  }
  return false;
}

struct Answer {
  bool came = false, err = false;
  Line data{};
};
template <class B>
Answer read_line(B& bench, std::uint8_t addr) {
  auto& dut = *bench.dut;
  dut.rd_valid_i = 1;
  dut.rd_addr_i = addr;
  Answer answer;
  for (int i = 0; i < kWait && !answer.came; ++i) {
    bench.settle();
    if (dut.rsp_valid_o) answer = {true, dut.rsp_err_o != 0, get(dut.rsp_data_o)};
    const bool taken = dut.rd_valid_i && dut.rd_ready_o;
    bench.tick();
    if (taken) dut.rd_valid_i = 0;
  }
  return answer;
}

/// Every answer of memory that refuses a write comes with wr_done_o, and no other.
TEST(AxiMaster, SaysWhichWritesWereRefused) {
  Bench<Vrtl_axi_loop> bench(5);
  auto& dut = *bench.dut;
  dut.seed_i = 5;
  dut.rd_valid_i = dut.wr_valid_i = dut.inject_err_i = dut.refuse_i = dut.stall_data_i = 0;
  bench.reset();
  for (const bool refused : {false, true, true, false, true}) {
    dut.refuse_i = refused;
    dut.wr_valid_i = 1;
    dut.wr_addr_i = 3;
    put(dut.wr_data_i, random_line(bench.random));
    dut.wr_strb_i = ~0ULL;
    bool done = false;
    for (int i = 0; i < kWait && !done; ++i) {
      bench.settle();
      const bool taken = dut.wr_valid_i && dut.wr_ready_o;
      done = dut.wr_done_o;
      if (done) {
        EXPECT_EQ(dut.wr_err_o != 0, refused);
      }
      bench.tick();
      if (taken) dut.wr_valid_i = 0;
    }
    ASSERT_TRUE(done);
  }
}

TYPED_TEST(SlotMemory, WrongParityIsSeenUntilItIsOverwritten) {
  Bench<typename TypeParam::Model> bench(3);
  auto& dut = *bench.dut;
  TypeParam::seed(dut, 3);
  dut.rd_valid_i = dut.wr_valid_i = dut.inject_err_i = 0;
  bench.reset();
  for (std::uint8_t addr = 0; addr < kLines; ++addr) {
    const Answer answer = read_line(bench, addr);
    ASSERT_TRUE(answer.came);
    ASSERT_FALSE(answer.err) << "memory must start sound";
    ASSERT_EQ(answer.data, Line{});
  }
  const Line data = random_line(bench.random);
  ASSERT_TRUE(write_line(bench, 5, data, ~0ULL, true));
  Answer answer = read_line(bench, 5);
  ASSERT_TRUE(answer.came);
  EXPECT_TRUE(answer.err);
  EXPECT_EQ(answer.data, data);
  EXPECT_FALSE(read_line(bench, 4).err);
  // Other bytes do not mend it, byte 0 does.
  ASSERT_TRUE(write_line(bench, 5, data, ~1ULL, false));
  EXPECT_TRUE(read_line(bench, 5).err);
  ASSERT_TRUE(write_line(bench, 5, data, 1, false));
  answer = read_line(bench, 5);
  EXPECT_FALSE(answer.err);
  EXPECT_EQ(answer.data, data);
}

}  // namespace
}  // namespace slotwire::rtl_test
