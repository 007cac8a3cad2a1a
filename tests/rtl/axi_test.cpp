// sw_axi_slave and sw_axil_slave: what arrives on the host bus, beat by beat, and what goes back to the master.
#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "Vrtl_axi_slave.h"
#include "Vrtl_axil_slave.h"
#include "bench.hpp"

namespace slotwire::rtl_test {
namespace {

constexpr std::uint32_t kIncr = 1;
constexpr std::uint32_t kOkay = 0, kSlverr = 2;

struct Burst {
  std::uint32_t id = 0, addr = 0, len = 0, size = 6, burst = kIncr;
  bool bad() const { return burst != kIncr || size > 6; }
  /// Address of a beat: the first as given, the others aligned to the size.
  std::uint32_t beat_addr(std::uint32_t beat) const { return beat == 0 ? addr : ((addr >> size) + beat) << size; }
};

Burst random_burst(sim::Random& random) {
  Burst burst;
  burst.id = random.below(16);
  burst.addr = random.below(0x10000);
  burst.size = random.chance(500) ? 6 : random.below(8);
  burst.burst = random.chance(900) ? kIncr : random.below(4);
  // No burst crosses a boundary of 4 KiB.
  const std::uint32_t left = (0x1000 - (burst.addr & 0xfff & ~((1U << burst.size) - 1))) >> burst.size;
  const std::uint32_t longest = std::min(left, random.chance(100) ? 256U : 8U);
  burst.len = longest == 0 ? 0 : random.below(longest);
  return burst;
}

struct HostWrite {
  std::uint32_t addr;
  Line data;
  std::uint64_t strb;
  bool last;
};
struct WriteBeat {
  Line data;
  std::uint64_t strb;
  bool last;
};
struct Answer {
  std::uint32_t id;
  bool bad;
};
struct ReadBeat {
  std::uint32_t id;
  bool bad, last;
};
struct HostLine {
  Line data;
  bool err;
  std::uint64_t due;
};

TEST(AxiSlave, EveryBeatBecomesOneRequest) {
  constexpr std::size_t kMaxReads = 8;  // As in tests/rtl/CMakeLists.txt.
  std::size_t writes = 0, reads = 0, refused = 0, errors = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Bench<Vrtl_axi_slave> bench(seed);
    auto& dut = *bench.dut;
    auto& random = bench.random;
    dut.s_axi_awvalid_i = dut.s_axi_wvalid_i = dut.s_axi_bready_i = dut.s_axi_arvalid_i = dut.s_axi_rready_i = 0;
    dut.host_req_ready_i = dut.host_rsp_valid_i = 0;
    bench.reset();
    std::deque<WriteBeat> beats;           // Of bursts whose address was offered or will be; to send on W.
    std::deque<Burst> addresses;           // To send on AW.
    std::deque<HostWrite> host_writes;     // Expected on the host bus.
    std::deque<std::uint32_t> host_reads;  // Expected on the host bus.
    std::deque<Answer> bs;                 // Expected on B.
    std::deque<ReadBeat> rs;               // Expected on R.
    std::deque<HostLine> lines, returned;  // To send as answers; sent, and to be seen on R.
    std::size_t whole_taken = 0;           // Good bursts that the host bus has taken and B has not answered.
    std::array<Eagerness, 6> eager;
    for (int clock = 0; clock < 8000; ++clock) {
      if (addresses.size() + beats.size() < 4) {
        const Burst burst = random_burst(random);
        addresses.push_back(burst);
        bs.push_back({burst.id, burst.bad()});
        for (std::uint32_t beat = 0; beat <= burst.len; ++beat) {
          WriteBeat data{random_line(random), random.next(), beat == burst.len};
          if (!burst.bad()) {
            // The lanes that AXI allows for this beat.
            const std::uint32_t addr = burst.beat_addr(beat), bytes = 1U << burst.size;
            const std::uint32_t low = addr % 64, high = addr / bytes * bytes % 64 + bytes - 1;
            for (std::uint32_t lane = 0; lane < 64; ++lane) {
              if (lane < low || lane > high) data.strb &= ~(1ULL << lane);
            }
            host_writes.push_back({addr / 64 * 64, data.data, data.strb, data.last});
          }
          beats.push_back(data);
        }
      }
      if (!dut.s_axi_awvalid_i && !addresses.empty() && eager[0](random)) {
        dut.s_axi_awvalid_i = 1;
        dut.s_axi_awid_i = static_cast<std::uint8_t>(addresses.front().id);
        dut.s_axi_awaddr_i = static_cast<std::uint16_t>(addresses.front().addr);
        dut.s_axi_awlen_i = static_cast<std::uint8_t>(addresses.front().len);
        dut.s_axi_awsize_i = static_cast<std::uint8_t>(addresses.front().size);
        dut.s_axi_awburst_i = static_cast<std::uint8_t>(addresses.front().burst);
      }
      if (!dut.s_axi_wvalid_i && !beats.empty() && eager[1](random)) {
        dut.s_axi_wvalid_i = 1;
        put(dut.s_axi_wdata_i, beats.front().data);
        dut.s_axi_wstrb_i = beats.front().strb;
        dut.s_axi_wlast_i = beats.front().last;
      }
      if (!dut.s_axi_arvalid_i && eager[2](random)) {
        const Burst burst = random_burst(random);
        dut.s_axi_arvalid_i = 1;
        dut.s_axi_arid_i = static_cast<std::uint8_t>(burst.id);
        dut.s_axi_araddr_i = static_cast<std::uint16_t>(burst.addr);
        dut.s_axi_arlen_i = static_cast<std::uint8_t>(burst.len);
        dut.s_axi_arsize_i = static_cast<std::uint8_t>(burst.size);
        dut.s_axi_arburst_i = static_cast<std::uint8_t>(burst.burst);
        for (std::uint32_t beat = 0; beat <= burst.len; ++beat) {
          rs.push_back({burst.id, burst.bad(), beat == burst.len});
          if (!burst.bad()) host_reads.push_back(burst.beat_addr(beat) / 64 * 64);
        }
      }
      dut.s_axi_bready_i = eager[3](random);
      dut.s_axi_rready_i = eager[4](random);
      dut.host_req_ready_i = eager[5](random);
      dut.host_rsp_valid_i = !lines.empty() && lines.front().due <= bench.now;
      if (dut.host_rsp_valid_i) {
        put(dut.host_rsp_rdata_i, lines.front().data);
        dut.host_rsp_err_i = lines.front().err;
        returned.push_back(lines.front());
        lines.pop_front();
      }
      bench.settle();
      if (dut.host_req_valid_o && dut.host_req_ready_i) {
        if (dut.host_req_write_o) {
          ASSERT_FALSE(host_writes.empty()) << "a write that nobody asked for";
          ASSERT_EQ(dut.host_req_addr_o, host_writes.front().addr);
          ASSERT_EQ(get(dut.host_req_wdata_o), host_writes.front().data);
          ASSERT_EQ(dut.host_req_wstrb_o, host_writes.front().strb);
          whole_taken += host_writes.front().last;
          host_writes.pop_front();
          ++writes;
        } else {
          ASSERT_FALSE(host_reads.empty()) << "a read that nobody asked for";
          ASSERT_EQ(dut.host_req_addr_o, host_reads.front());
          host_reads.pop_front();
          lines.push_back({random_line(random), random.chance(50), bench.now + 1 + random.below(20)});
          ++reads;
        }
      }
      ASSERT_LE(lines.size() + returned.size(), kMaxReads + 2U) << "more reads under way than there is room for";
      if (dut.s_axi_bvalid_o && dut.s_axi_bready_i) {
        ASSERT_FALSE(bs.empty()) << "an answer to nothing";
        ASSERT_EQ(dut.s_axi_bid_o, bs.front().id);
        ASSERT_EQ(dut.s_axi_bresp_o, bs.front().bad ? kSlverr : kOkay);
        if (!bs.front().bad) {
          ASSERT_GT(whole_taken, 0U) << "B before the core has taken the write";
          --whole_taken;
        }
        refused += bs.front().bad;
        bs.pop_front();
      }
      if (dut.s_axi_rvalid_o && dut.s_axi_rready_i) {
        ASSERT_FALSE(rs.empty()) << "a beat of nothing";
        ASSERT_EQ(dut.s_axi_rid_o, rs.front().id);
        ASSERT_EQ(dut.s_axi_rlast_o != 0, rs.front().last);
        if (rs.front().bad) {
          ASSERT_EQ(dut.s_axi_rresp_o, kSlverr);
        } else {
          ASSERT_FALSE(returned.empty()) << "data before the core has answered";
          ASSERT_EQ(dut.s_axi_rresp_o, returned.front().err ? kSlverr : kOkay);
          ASSERT_EQ(get(dut.s_axi_rdata_o), returned.front().data);
          errors += returned.front().err;
          returned.pop_front();
        }
        rs.pop_front();
      }
      const bool aw = dut.s_axi_awvalid_i && dut.s_axi_awready_o, w = dut.s_axi_wvalid_i && dut.s_axi_wready_o;
      const bool ar = dut.s_axi_arvalid_i && dut.s_axi_arready_o;
      bench.tick();
      if (aw) {
        dut.s_axi_awvalid_i = 0;
        addresses.pop_front();
      }
      if (w) {
        dut.s_axi_wvalid_i = 0;
        beats.pop_front();
      }
      if (ar) dut.s_axi_arvalid_i = 0;
    }
  }
  EXPECT_GT(writes, 5000U);
  EXPECT_GT(reads, 5000U);
  EXPECT_GT(refused, 200U);
  EXPECT_GT(errors, 100U);
}

TEST(AxiSlave, TakesABeatInEveryClock) {
  Bench<Vrtl_axi_slave> bench(1);
  auto& dut = *bench.dut;
  dut.s_axi_awvalid_i = dut.s_axi_wvalid_i = dut.s_axi_arvalid_i = dut.host_rsp_valid_i = 0;
  dut.s_axi_bready_i = dut.s_axi_rready_i = dut.host_req_ready_i = 1;
  bench.reset();
  dut.s_axi_awvalid_i = dut.s_axi_wvalid_i = 1;
  dut.s_axi_awaddr_i = 0x100;
  dut.s_axi_awlen_i = 0;
  dut.s_axi_awsize_i = 6;
  dut.s_axi_awburst_i = kIncr;
  dut.s_axi_wstrb_i = ~0ULL;
  dut.s_axi_wlast_i = 1;
  int requests = 0;
  constexpr int kClocks = 200;
  for (int clock = 0; clock < kClocks; ++clock) {
    bench.settle();
    requests += dut.host_req_valid_o;
    bench.tick();
  }
  EXPECT_GE(requests, kClocks - 4);
}

/// Reads and writes that both always wait take turns.
TEST(AxiSlave, ReadsAndWritesTakeTurns) {
  Bench<Vrtl_axi_slave> bench(2);
  auto& dut = *bench.dut;
  dut.s_axi_awvalid_i = dut.s_axi_wvalid_i = dut.s_axi_arvalid_i = dut.host_rsp_valid_i = 0;
  dut.s_axi_bready_i = dut.s_axi_rready_i = dut.host_req_ready_i = 1;
  bench.reset();
  dut.s_axi_awvalid_i = dut.s_axi_wvalid_i = dut.s_axi_arvalid_i = 1;
  dut.s_axi_awaddr_i = dut.s_axi_araddr_i = 0x100;
  dut.s_axi_awlen_i = dut.s_axi_arlen_i = 0;
  dut.s_axi_awsize_i = dut.s_axi_arsize_i = 6;
  dut.s_axi_awburst_i = dut.s_axi_arburst_i = kIncr;
  dut.s_axi_wstrb_i = ~0ULL;
  dut.s_axi_wlast_i = 1;
  int reads = 0, writes = 0;
  bool asked = false;
  for (int clock = 0; clock < 400; ++clock) {
    dut.host_rsp_valid_i = asked;
    bench.settle();
    asked = dut.host_req_valid_o && !dut.host_req_write_o;
    reads += asked;
    writes += dut.host_req_valid_o && dut.host_req_write_o;
    bench.tick();
  }
  EXPECT_GT(reads, 150);
  EXPECT_NEAR(reads, writes, 2);
}

TEST(AxilSlave, ReachesTheRightWordOfTheRightLine) {
  std::size_t writes = 0, reads = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Bench<Vrtl_axil_slave> bench(seed);
    auto& dut = *bench.dut;
    auto& random = bench.random;
    dut.s_axil_awvalid_i = dut.s_axil_wvalid_i = dut.s_axil_bready_i = dut.s_axil_arvalid_i = dut.s_axil_rready_i = 0;
    dut.host_req_ready_i = dut.host_rsp_valid_i = 0;
    bench.reset();
    constexpr std::size_t kMemory = 1024;
    std::array<std::uint8_t, kMemory> memory{}, expected{};  // What the host bus wrote; what the master did.
    std::deque<std::uint32_t> answers;                       // Values that reads must return.
    std::deque<std::uint32_t> under_way;                     // Lines that are being read.
    std::uint64_t due = 0;
    std::array<Eagerness, 6> eager;
    bool writing = false;
    for (int clock = 0; clock < 4000; ++clock) {
      // Reads and writes one at a time, so that the expected value is known; AW and W in any order.
      if (!dut.s_axil_arvalid_i && answers.empty() && !writing) {
        if (random.chance(500)) {
          const std::uint32_t addr = random.below(kMemory) & ~3U;
          dut.s_axil_arvalid_i = 1;
          dut.s_axil_araddr_i = static_cast<std::uint16_t>(addr);
          answers.push_back(
              static_cast<std::uint32_t>(expected[addr] | expected[addr + 1] << 8 | expected[addr + 2] << 16) |
              static_cast<std::uint32_t>(expected[addr + 3]) << 24);
        } else {
          writing = true;
          dut.s_axil_awaddr_i = static_cast<std::uint16_t>(random.below(kMemory) & ~3U);
          dut.s_axil_wdata_i = random.bits32();
          dut.s_axil_wstrb_i = random.bits32() & 0xf;
          dut.s_axil_awvalid_i = random.chance(500);
          dut.s_axil_wvalid_i = !dut.s_axil_awvalid_i;
          for (std::uint32_t i = 0; i < 4; ++i) {
            if ((dut.s_axil_wstrb_i >> i & 1) != 0)
              expected[dut.s_axil_awaddr_i + i] = static_cast<std::uint8_t>(dut.s_axil_wdata_i >> (i * 8));
          }
        }
      } else if (writing && dut.s_axil_awvalid_i != dut.s_axil_wvalid_i && eager[0](random)) {
        dut.s_axil_awvalid_i = dut.s_axil_wvalid_i = 1;
      }
      dut.s_axil_bready_i = eager[1](random);
      dut.s_axil_rready_i = eager[2](random);
      dut.host_req_ready_i = eager[3](random);
      dut.host_rsp_valid_i = !under_way.empty() && due <= bench.now;
      if (dut.host_rsp_valid_i) {
        Line line;
        for (std::uint32_t i = 0; i < 64; ++i) line[i] = memory[under_way.front() + i];
        put(dut.host_rsp_rdata_i, line);
        dut.host_rsp_err_i = 0;
        under_way.pop_front();
      }
      bench.settle();
      if (dut.host_req_valid_o && dut.host_req_ready_i) {
        ASSERT_EQ(dut.host_req_addr_o % 64, 0);
        if (dut.host_req_write_o) {
          const Line line = get(dut.host_req_wdata_o);
          for (std::uint32_t i = 0; i < 64; ++i) {
            if ((dut.host_req_wstrb_o >> i & 1) != 0) memory[dut.host_req_addr_o + i] = line[i];
          }
        } else {
          under_way.push_back(dut.host_req_addr_o);
          due = bench.now + 1 + random.below(10);
        }
      }
      if (dut.s_axil_bvalid_o && dut.s_axil_bready_i) {
        ASSERT_TRUE(writing);
        ASSERT_EQ(memory, expected) << "B before the write was taken, or another word was written";
        writing = false;
        ++writes;
      }
      if (dut.s_axil_rvalid_o && dut.s_axil_rready_i) {
        ASSERT_FALSE(answers.empty());
        ASSERT_EQ(dut.s_axil_rdata_o, answers.front());
        ASSERT_EQ(dut.s_axil_rresp_o, kOkay);
        answers.pop_front();
        ++reads;
      }
      const bool aw = dut.s_axil_awvalid_i && dut.s_axil_awready_o, ar = dut.s_axil_arvalid_i && dut.s_axil_arready_o;
      ASSERT_EQ(aw, dut.s_axil_wvalid_i && dut.s_axil_wready_o);
      bench.tick();
      if (aw) dut.s_axil_awvalid_i = dut.s_axil_wvalid_i = 0;
      if (ar) dut.s_axil_arvalid_i = 0;
    }
  }
  EXPECT_GT(writes, 1000U);
  EXPECT_GT(reads, 1000U);
}

/// A read and a write that both always wait take turns.
TEST(AxilSlave, ReadsAndWritesTakeTurns) {
  Bench<Vrtl_axil_slave> bench(1);
  auto& dut = *bench.dut;
  dut.s_axil_awvalid_i = dut.s_axil_wvalid_i = dut.s_axil_arvalid_i = dut.host_rsp_valid_i = 0;
  dut.s_axil_bready_i = dut.s_axil_rready_i = dut.host_req_ready_i = 1;
  bench.reset();
  dut.s_axil_awvalid_i = dut.s_axil_wvalid_i = dut.s_axil_arvalid_i = 1;
  int reads = 0, writes = 0;
  bool asked = false;
  for (int clock = 0; clock < 400; ++clock) {
    dut.host_rsp_valid_i = asked;
    bench.settle();
    asked = dut.host_req_valid_o && !dut.host_req_write_o;
    reads += dut.s_axil_rvalid_o;
    writes += dut.s_axil_bvalid_o;
    bench.tick();
  }
  EXPECT_GT(reads, 30);
  EXPECT_NEAR(reads, writes, 1);
}

/// What the core cannot answer is an error, and only that; a write waits for its data.
TEST(AxilSlave, TellsErrorsAndWaitsForData) {
  Bench<Vrtl_axil_slave> bench(2);
  auto& dut = *bench.dut;
  dut.s_axil_awvalid_i = dut.s_axil_wvalid_i = dut.s_axil_arvalid_i = dut.host_rsp_valid_i = 0;
  dut.s_axil_bready_i = dut.s_axil_rready_i = dut.host_req_ready_i = 1;
  bench.reset();
  for (const bool error : {true, false, true}) {
    dut.s_axil_arvalid_i = 1;
    bool asked = false, answered = false;
    for (int clock = 0; clock < 20 && !answered; ++clock) {
      dut.host_rsp_valid_i = asked;
      dut.host_rsp_err_i = error;
      bench.settle();
      const bool taken = dut.s_axil_arready_o;
      asked = dut.host_req_valid_o;
      answered = dut.s_axil_rvalid_o;
      if (answered) {
        EXPECT_EQ(dut.s_axil_rresp_o, error ? kSlverr : kOkay);
      }
      bench.tick();
      if (taken) dut.s_axil_arvalid_i = 0;
    }
    ASSERT_TRUE(answered);
  }
  dut.host_rsp_valid_i = 0;
  dut.s_axil_awvalid_i = 1;
  for (int clock = 0; clock < 20; ++clock) {
    bench.settle();
    ASSERT_FALSE(dut.host_req_valid_o) << "a write without its data";
    bench.tick();
  }
}

}  // namespace
}  // namespace slotwire::rtl_test
