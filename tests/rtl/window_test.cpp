// sw_window and sw_window_frames: what words of a shell's window become on the host bus, and frames a line at a time.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "Vrtl_window.h"
#include "Vrtl_window_frames.h"
#include "bench.hpp"
#include "core/regs/regs.hpp"

namespace slotwire::rtl_test {
namespace {

constexpr std::size_t kWords = regs::kLineBytes / 4;

struct Request {
  bool write = false;
  std::uint32_t address = 0;
  Line data{};
  std::uint64_t strobes = 0;
};

std::uint32_t word_of(const Line& line, std::size_t word) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value |= std::uint32_t{line[word * 4 + i]} << (8 * i);
  return value;
}

/// The window with a host bus behind it that answers a line whose words name the line and themselves.
class Window {
 public:
  explicit Window(std::uint64_t seed) : bench_(seed) {
    auto& dut = *bench_.dut;
    dut.req_valid_i = dut.host_req_ready_i = dut.host_rsp_valid_i = dut.irq_i = 0;
    dut.frames_rdata_i = 0x12345678;
    bench_.reset();
  }
  void write(std::uint32_t address, std::uint32_t value, std::uint32_t bytes = 0xf) {
    Line line{};
    for (std::size_t i = 0; i < line.size(); ++i) line[i] = static_cast<std::uint8_t>(value >> (i % 4 * 8));
    put(bench_.dut->req_wdata_i, line);
    bench_.dut->req_wstrb_i = std::uint64_t{bytes} << (address % regs::kLineBytes);
    access(address, true);
  }
  std::uint32_t read(std::uint32_t address) {
    bench_.dut->req_wstrb_i = bench_.random.next();
    access(address, false);
    return word_of(answer_, address % regs::kLineBytes / 4);
  }
  void raise() {
    bench_.dut->irq_i = 1;
    clock();
    bench_.dut->irq_i = 0;
  }
  Vrtl_window& dut() { return *bench_.dut; }
  bool failed() const { return failed_; }

  std::vector<Request> requests;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> frames;  // word and data

 private:
  void clock() {
    auto& dut = *bench_.dut;
    dut.host_req_ready_i = eager_(bench_.random);
    dut.host_rsp_valid_i = reading_ && eager_(bench_.random);
    if (dut.host_rsp_valid_i) {
      Line line{};
      for (std::size_t i = 0; i < line.size(); ++i) {
        line[i] = static_cast<std::uint8_t>((requests.back().address + i / 4) >> (i % 4 * 8));
      }
      put(dut.host_rsp_rdata_i, line);
      dut.host_rsp_err_i = requests.back().address == regs::kCardControl + 0xfc0;
      reading_ = false;
    }
    bench_.settle();
    if (dut.host_req_valid_o && dut.host_req_ready_i) {
      requests.push_back(
          {dut.host_req_write_o != 0, dut.host_req_addr_o, get(dut.host_req_wdata_o), dut.host_req_wstrb_o});
      reading_ = !requests.back().write;
    }
    if (dut.frames_write_o) frames.emplace_back(dut.frames_word_o, dut.frames_wdata_o);
    taken_ = dut.req_valid_i && dut.req_ready_o;
    if (dut.rsp_valid_o) {
      answered_ = true;
      answer_ = get(dut.rsp_rdata_o);
      failed_ = dut.rsp_err_o != 0;
    }
    bench_.tick();
  }
  void access(std::uint32_t address, bool write) {
    auto& dut = *bench_.dut;
    dut.req_valid_i = 1;
    dut.req_write_i = write;
    dut.req_addr_i = address - address % static_cast<std::uint32_t>(regs::kLineBytes);
    dut.req_word_i = static_cast<std::uint8_t>(address % regs::kLineBytes / 4);
    answered_ = taken_ = false;
    for (int clocks = 0; !taken_ && clocks < 1000; ++clocks) clock();
    ASSERT_TRUE(taken_);
    dut.req_valid_i = 0;
    for (int clocks = 0; !write && !answered_ && clocks < 1000; ++clocks) clock();
    ASSERT_TRUE(write || answered_);
    for (int clocks = 0; clocks < 1000 && (dut.host_req_valid_o || clocks < 2); ++clocks) clock();
  }

  Bench<Vrtl_window> bench_;
  Eagerness eager_;
  bool reading_ = false, taken_ = false, answered_ = false, failed_ = false;
  Line answer_{};
};

TEST(Window, MarksAreWordsAndEachIsALineOfItsPage) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Window window(seed);
    sim::Random random(seed);
    for (int i = 0; i < 200; ++i) {
      const std::uint32_t slot = random.below(4096), head = random.below(2), proxy = random.below(2);
      const auto at = static_cast<std::uint32_t>((proxy ? regs::kWindowProxyMarks : regs::kWindowProcessMarks) +
                                                 slot * 8 + head * 4);
      const auto line =
          static_cast<std::uint32_t>((proxy ? regs::kCardProxyPages : regs::kCardProcessPages) +
                                     slot * regs::kPageBytes + (head ? regs::kMarkHead : regs::kMarkTail));
      if (random.chance(500)) {
        const std::uint32_t value = random.bits32();
        window.write(at, value);
        ASSERT_EQ(window.requests.back().address, line);
        ASSERT_TRUE(window.requests.back().write);
        ASSERT_EQ(window.requests.back().strobes, 0xfU);
        ASSERT_EQ(word_of(window.requests.back().data, 0), value);
      } else {
        ASSERT_EQ(window.read(at), line);
        ASSERT_EQ(window.requests.back().address, line);
      }
    }
  }
}

TEST(Window, ARowIsOneWriteOfItsWholeLine) {
  struct Table {
    std::size_t window, card;
    std::uint32_t rows;
  };
  std::uint64_t seed = 1;
  for (const Table& table :
       {Table{regs::kWindowLinkRows, regs::kCardLinkRows, 256}, Table{regs::kWindowSlotRows, regs::kCardSlotRows, 4096},
        Table{regs::kWindowClassifier, regs::kCardClassifier, 64}}) {
    Window window(seed++);
    sim::Random random(7);
    for (int i = 0; i < 100; ++i) {
      const std::uint32_t row = random.below(table.rows);
      const auto at = static_cast<std::uint32_t>(table.window + row * regs::kLineBytes);
      const Line line = random_line(random);
      window.requests.clear();
      for (std::size_t word = 0; word < kWords; ++word) {
        ASSERT_TRUE(window.requests.empty());
        window.write(at + static_cast<std::uint32_t>(4 * word), word_of(line, word));
      }
      ASSERT_EQ(window.requests.size(), 1U);
      ASSERT_EQ(window.requests[0].address, table.card + row * regs::kLineBytes);
      ASSERT_EQ(window.requests[0].strobes, ~std::uint64_t{0});
      ASSERT_EQ(window.requests[0].data, line);
      ASSERT_EQ(window.read(at + 8), window.requests.back().address + 2);
    }
  }
}

TEST(Window, WordsOfAnotherRowAreNotTaken) {
  Window window(3);
  const auto at = static_cast<std::uint32_t>(regs::kWindowSlotRows);
  for (std::uint32_t word = 0; word < 14; ++word) window.write(at + 4 * word, 1);
  window.write(at + 0x1000, 2);  // Word 0 of another row: what was kept is forgotten.
  window.write(at + 60, 3);      // So this row is not whole...
  ASSERT_EQ(window.requests.size(), 1U);
  EXPECT_EQ(window.requests[0].strobes, std::uint64_t{0xf} << 60);
  window.write(at + 0x1000 + 60, 4);  // ... nor is that, once it was taken.
  ASSERT_EQ(window.requests.size(), 2U);
  EXPECT_EQ(window.requests[1].strobes, std::uint64_t{0xf} << 60);
  window.write(at + 4, 5, 0x3);  // Half a word is kept as half a word.
  window.write(at + 60, 6);
  EXPECT_EQ(window.requests[2].strobes, std::uint64_t{0xf} << 60 | 0x30U);
}

TEST(Window, PagesAndMemoryGoThrough) {
  Window window(4);
  EXPECT_EQ(window.read(static_cast<std::uint32_t>(regs::kWindowCapabilities) + 0x404),
            regs::kCardCapabilities + 0x400 + 1);
  window.write(static_cast<std::uint32_t>(regs::kWindowControl + regs::kCtlPending), 9);
  EXPECT_EQ(window.requests.back().address, regs::kCardControl + regs::kCtlPending);
  EXPECT_EQ(window.requests.back().strobes, 0xfU);
  window.read(static_cast<std::uint32_t>(regs::kWindowControl) + 0xfc0);
  EXPECT_TRUE(window.failed());
  window.write(regs::kShellBank, 511);
  window.write(static_cast<std::uint32_t>(regs::kWindowMemory) + 0x7ffc4, 0xabcd, 0x6);
  EXPECT_EQ(window.requests.back().address, regs::kCardMemory + 0x0fffffc0);
  EXPECT_EQ(window.requests.back().strobes, 0x60U);
  window.write(regs::kShellBank, 1);
  EXPECT_EQ(window.read(static_cast<std::uint32_t>(regs::kWindowMemory)), regs::kCardMemory + 0x80000);
}

TEST(Window, TheShellPageIsHere) {
  Window window(5);
  EXPECT_EQ(window.read(regs::kShellMagic), regs::kShellMagicValue);
  EXPECT_EQ(window.read(regs::kShellApCtrl), regs::kShellApCtrlValue);
  window.write(regs::kShellMemoryLow, 0x1234567f);
  window.write(regs::kShellMemoryHigh, 0x9abcdef0);
  EXPECT_EQ(window.dut().memory_base_o, 0x9abcdef012345640U);
  EXPECT_EQ(window.read(regs::kShellMemoryHigh), 0x9abcdef0U);
  window.raise();
  EXPECT_FALSE(window.dut().interrupt_o);
  window.write(regs::kShellGie, 1);
  window.write(regs::kShellIer, 1);
  EXPECT_TRUE(window.dut().interrupt_o);
  EXPECT_EQ(window.read(regs::kShellIsr), 1U);
  window.write(regs::kShellIsr, 1);
  EXPECT_FALSE(window.dut().interrupt_o);
  EXPECT_EQ(window.read(regs::kShellIsr), 0U);
  EXPECT_EQ(window.read(static_cast<std::uint32_t>(regs::kWindowFrames)), 0x12345678U);
  window.write(static_cast<std::uint32_t>(regs::kWindowFrames) + 0xc4, 77);
  ASSERT_EQ(window.frames.size(), 1U);
  EXPECT_EQ(window.frames[0].first, 0xc4U / 4);
  EXPECT_EQ(window.frames[0].second, 77U);
  EXPECT_TRUE(window.requests.empty());
  // Nothing is at the rest of the window's pages.
  for (const std::uint32_t nowhere : {0x40U, 0xf000U, 0x8000U, 0x20100U, 0x30000U}) {
    window.write(nowhere, 1);
    window.read(nowhere);
    EXPECT_TRUE(window.failed()) << nowhere;
  }
  EXPECT_TRUE(window.requests.empty());
}

TEST(WindowFrames, FramesGoALineAtATime) {
  Bench<Vrtl_window_frames> bench(1);
  auto& dut = *bench.dut;
  const auto word = [](std::size_t offset) { return static_cast<std::uint8_t>(offset / 4); };
  const auto write = [&](std::size_t offset, std::uint32_t value) {
    dut.write_i = 1;
    dut.word_i = word(offset);
    dut.wdata_i = value;
    bench.settle();
    bench.tick();
    dut.write_i = 0;
  };
  const auto read = [&](std::size_t offset) {
    dut.word_i = word(offset);
    bench.settle();
    return dut.rdata_o;
  };
  dut.write_i = dut.to_host_tvalid_i = dut.from_host_tready_i = 0;
  dut.to_host_tkeep_i = 1;
  bench.reset();
  EXPECT_EQ(read(regs::kFramesReceive), 0U);
  const Line in = random_line(bench.random);
  put(dut.to_host_tdata_i, in);
  dut.to_host_tvalid_i = dut.to_host_tlast_i = 1;
  dut.to_host_tkeep_i = (1U << 20) - 1;
  bench.settle();
  EXPECT_TRUE(dut.to_host_tready_o);
  bench.tick();
  bench.settle();
  EXPECT_FALSE(dut.to_host_tready_o);  // One line waits.
  EXPECT_EQ(read(regs::kFramesReceive), 0xc0000000U | 20U);
  for (std::size_t i = 0; i < kWords; ++i) EXPECT_EQ(read(regs::kFramesReceiveLine + 4 * i), word_of(in, i));
  dut.to_host_tvalid_i = 0;
  write(regs::kFramesReceive, 0);
  EXPECT_EQ(read(regs::kFramesReceive), 0U);

  const Line out = random_line(bench.random);
  EXPECT_EQ(read(regs::kFramesSend), 0x80000000U);
  for (std::size_t i = 0; i < kWords; ++i) write(regs::kFramesSendLine + 4 * i, word_of(out, i));
  write(regs::kFramesSend, 0);  // No bytes: nothing is sent.
  EXPECT_FALSE(dut.from_host_tvalid_o);
  write(regs::kFramesSend, 64);
  EXPECT_EQ(read(regs::kFramesSend), 0x20000000U);  // A frame is begun, there is no room.
  write(regs::kFramesSendLine, ~word_of(out, 0));   // What waits is not written over.
  write(regs::kFramesSend, 0x40000000U | 1);
  EXPECT_TRUE(dut.from_host_tvalid_o);
  EXPECT_FALSE(dut.from_host_tlast_o);
  EXPECT_EQ(dut.from_host_tkeep_o, ~std::uint64_t{0});
  EXPECT_EQ(get(dut.from_host_tdata_o), out);
  dut.from_host_tready_i = 1;
  bench.tick();
  dut.from_host_tready_i = 0;
  write(regs::kFramesSend, 0x40000000U | 3);
  EXPECT_EQ(read(regs::kFramesSend), 0U);
  EXPECT_TRUE(dut.from_host_tlast_o);
  EXPECT_EQ(dut.from_host_tkeep_o, 7U);
}

}  // namespace
}  // namespace slotwire::rtl_test
