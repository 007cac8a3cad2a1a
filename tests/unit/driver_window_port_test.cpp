// A card behind a window of registers: what reaches the window, and in which order.
#include "driver/bus/window_port.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace slotwire::driver {
namespace {

constexpr std::uint32_t kMemoryLines = 4096;
constexpr std::uint64_t kAll = ~std::uint64_t{0};

class ModelWindow final : public WindowDevice {
 public:
  void write(std::uint32_t offset, std::uint32_t value) override {
    log += "w" + std::to_string(offset) + " ";
    registers[offset] = value;
  }
  std::uint32_t read(std::uint32_t offset) override {
    log += "r" + std::to_string(offset) + " ";
    if (on_read) on_read(offset);
    return registers[offset];
  }
  void write_memory(std::size_t offset, std::span<const std::byte> data) override {
    log += "W" + std::to_string(offset) + "+" + std::to_string(data.size()) + " ";
    std::memcpy(memory.data() + offset, data.data(), data.size());
  }
  void read_memory(std::size_t offset, std::span<std::byte> data) override {
    log += "R" + std::to_string(offset) + "+" + std::to_string(data.size()) + " ";
    std::memcpy(data.data(), memory.data() + offset, data.size());
  }
  std::string take_log() { return std::exchange(log, {}); }

  std::map<std::uint32_t, std::uint32_t> registers;
  std::vector<std::byte> memory = std::vector<std::byte>(kMemoryLines * regs::kLineBytes);
  std::string log;
  std::function<void(std::uint32_t)> on_read;
};

AccessPort::Bytes line_of(std::uint8_t value) {
  AccessPort::Bytes line;
  line.fill(std::byte{value});
  return line;
}
std::uint32_t word(const AccessPort::Reply& reply, std::size_t n) {
  std::uint32_t value = 0;
  std::memcpy(&value, reply.data.data() + 4 * n, sizeof value);
  return value;
}
constexpr auto card(std::size_t address) {
  return static_cast<std::uint32_t>(address);
}

class WindowPortTest : public testing::Test {
 protected:
  ModelWindow window;
  WindowPort port{window, kMemoryLines};
};

TEST(WindowOffset, EveryPlaceOfTheCardHasOneInTheWindow) {
  EXPECT_EQ(window_offset(card(regs::kCardCapabilities) + 0x404), regs::kWindowCapabilities + 0x404);
  EXPECT_EQ(window_offset(card(regs::kCardControl + regs::kCtlModeration)),
            regs::kWindowControl + regs::kCtlModeration);
  EXPECT_EQ(window_offset(card(regs::kCardSlotRows) + 4095 * 64 + 60), regs::kWindowSlotRows + 4095 * 64 + 60);
  EXPECT_EQ(window_offset(card(regs::kCardSlotRows) + 4096 * 64), std::nullopt);
  EXPECT_EQ(window_offset(card(regs::kCardLinkRows) + 255 * 64), regs::kWindowLinkRows + 255 * 64);
  EXPECT_EQ(window_offset(card(regs::kCardLinkRows) + 256 * 64), std::nullopt);
  EXPECT_EQ(window_offset(card(regs::kCardProcessPages) + 3 * 4096 + card(regs::kMarkHead)),
            regs::kWindowProcessMarks + 28);
  EXPECT_EQ(window_offset(card(regs::kCardProxyPages) + 4095 * 4096), regs::kWindowProxyMarks + 4095 * 8);
  EXPECT_EQ(window_offset(card(regs::kCardProxyPages) + 4), std::nullopt);
  EXPECT_EQ(window_offset(card(regs::kCardMemory)), std::nullopt);
}

TEST_F(WindowPortTest, LinesThatFollowOneAnotherAreWrittenTogetherAndBeforeTheDoorbell) {
  for (std::uint8_t n = 0; n < 3; ++n) port.write(card(regs::kCardMemory) + 640 + n * 64U, line_of(n), kAll);
  port.write(card(regs::kCardMemory), line_of(9), 0xf0);  // a part of a line
  EXPECT_EQ(window.take_log(), "W640+192 ");
  port.write(card(regs::kCardProcessPages) + 4096, line_of(7), 0xf);
  EXPECT_EQ(window.take_log(), "W4+4 w" + std::to_string(regs::kWindowProcessMarks + 8) + " ");
  EXPECT_EQ(window.memory[704], std::byte{1});
  EXPECT_EQ(window.memory[8], std::byte{0});
  port.write(card(regs::kCardMemory), line_of(1), kAll);
  EXPECT_EQ(window.take_log(), "");
  port.flush();
  EXPECT_EQ(window.take_log(), "W0+64 ");
}

TEST_F(WindowPortTest, ARunOfLinesHasALimit) {
  const std::size_t lines = 2 * WindowPort::kMaxRun / 64;
  for (std::size_t n = 0; n < lines; ++n) port.write(card(regs::kCardMemory + n * 64), line_of(1), kAll);
  port.flush();
  EXPECT_EQ(window.take_log(), "W0+65536 W65536+65536 ");
}

TEST_F(WindowPortTest, ReadsSeeTheWritesBeforeThemAndNotThoseAfter) {
  port.write(card(regs::kCardMemory), line_of(1), kAll);
  ASSERT_TRUE(port.read(card(regs::kCardMemory)));
  ASSERT_TRUE(port.read(card(regs::kCardMemory) + 64));
  port.write(card(regs::kCardMemory), line_of(2), kAll);
  EXPECT_EQ(window.take_log(), "W0+64 R0+128 ");
  ASSERT_TRUE(port.answered());
  EXPECT_EQ(port.take_answer().data, line_of(1));
  EXPECT_EQ(port.take_answer().data, line_of(0));
  EXPECT_FALSE(port.answered());
}

TEST_F(WindowPortTest, OnlyWordsThatAreWantedAreRead) {
  window.registers[static_cast<std::uint32_t>(regs::kWindowControl + regs::kCtlMoved)] = 77;
  ASSERT_TRUE(port.read_words(card(regs::kCardControl + regs::kCtlMoved), 1));
  const AccessPort::Reply reply = port.take_answer();
  EXPECT_FALSE(reply.error);
  EXPECT_EQ(word(reply, 0), 77U);
  EXPECT_EQ(window.take_log(), "r" + std::to_string(regs::kWindowControl + regs::kCtlMoved) + " ");
  // A page of marks has one word in each of its first two lines.
  window.registers[static_cast<std::uint32_t>(regs::kWindowProxyMarks + 12)] = 5;
  ASSERT_TRUE(port.read(card(regs::kCardProxyPages) + 4096 + 64));
  EXPECT_EQ(word(port.take_answer(), 0), 5U);
}

TEST_F(WindowPortTest, WhereNothingIsAReadSaysSo) {
  ASSERT_TRUE(port.read(card(regs::kCardMemory) + kMemoryLines * 64));
  EXPECT_TRUE(port.take_answer().error);
  ASSERT_TRUE(port.read(0x3000));
  EXPECT_TRUE(port.take_answer().error);
  port.write(0x3000, line_of(1), kAll);
  EXPECT_EQ(window.take_log(), "");
}

TEST_F(WindowPortTest, ARowsLastWordIsWrittenLast) {
  port.write(card(regs::kCardSlotRows) + 64, line_of(3), kAll);
  std::string expected;
  for (std::size_t n = 0; n < 16; ++n) expected += "w" + std::to_string(regs::kWindowSlotRows + 64 + 4 * n) + " ";
  EXPECT_EQ(window.take_log(), expected);
}

TEST_F(WindowPortTest, BothHalvesOfACounterAreOfOneMoment) {
  const auto at = static_cast<std::uint32_t>(regs::kWindowCapabilities + regs::kCapCounters);
  window.registers[at] = 0xffffffff;
  bool carried = false;
  window.on_read = [&](std::uint32_t offset) {
    if (offset != at || carried) return;
    carried = true;
    window.registers[at] = 0;  // it counts on between the reads of its halves
    window.registers[at + 4] = 1;
  };
  ASSERT_TRUE(port.read_words(card(regs::kCardCapabilities + regs::kCapCounters), 3));
  const AccessPort::Reply reply = port.take_answer();
  EXPECT_EQ(word(reply, 0), 0U);
  EXPECT_EQ(word(reply, 1), 1U);
}

TEST_F(WindowPortTest, ReadsThatWaitHaveALimit) {
  for (std::size_t n = 0; n < WindowPort::kMaxReads; ++n) ASSERT_TRUE(port.read(card(regs::kCardMemory)));
  EXPECT_FALSE(port.read(card(regs::kCardMemory)));
  port.take_answer();
  EXPECT_TRUE(port.read(card(regs::kCardMemory)));
}

/// A card with two ports: registers at one, slot memory at the other, each with a latency of its own for every access,
/// as a kernel's AXI4-Lite port and a memory that is mapped through the card's window have. Writes are posted; those to
/// one port keep their order. A read of memory waits for the writes before it.
class TwoPorts final : public WindowDevice {
 public:
  explicit TwoPorts(unsigned seed) : random_(seed) {}
  void write(std::uint32_t offset, std::uint32_t value) override {
    post(registers_, [this, offset, value] {
      if (offset == regs::kWindowProcessMarks) rung(value);
    });
  }
  std::uint32_t read(std::uint32_t /*offset*/) override { return 0; }
  void write_memory(std::size_t offset, std::span<const std::byte> data) override {
    post(memory_, [this, offset, bytes = std::vector<std::byte>(data.begin(), data.end())] {
      std::copy(bytes.begin(), bytes.end(), lines.begin() + static_cast<std::ptrdiff_t>(offset));
    });
    last_ = offset;
  }
  void read_memory(std::size_t offset, std::span<std::byte> data) override {
    while (!memory_.empty()) step();
    std::copy_n(lines.begin() + static_cast<std::ptrdiff_t>(offset), data.size(), data.begin());
  }
  void settle_memory() override {
    if (!settles) return;
    std::byte byte{};
    read_memory(last_, {&byte, 1});
  }
  void drain() {
    while (!memory_.empty() || !registers_.empty()) step();
  }

  bool settles = true;
  std::vector<std::byte> lines = std::vector<std::byte>(kMemoryLines * regs::kLineBytes);
  unsigned rings = 0, stale = 0;

 private:
  struct Posted {
    unsigned due = 0;
    std::function<void()> happens;
  };
  void post(std::deque<Posted>& port, std::function<void()> happens) {
    const unsigned due = now_ + 1 + static_cast<unsigned>(random_() % 50);
    port.push_back({port.empty() ? due : std::max(due, port.back().due), std::move(happens)});
    step();
  }
  void step() {
    ++now_;
    for (std::deque<Posted>* port : {&registers_, &memory_}) {
      while (!port->empty() && port->front().due <= now_) {
        port->front().happens();
        port->pop_front();
      }
    }
  }
  /// The card reads the lines before the mark: line n holds n + 1 in every byte.
  void rung(std::uint32_t mark) {
    ++rings;
    for (std::size_t line = 0; line < mark; ++line) {
      for (const std::size_t byte : {std::size_t{0}, regs::kLineBytes - 1}) {
        if (lines[line * regs::kLineBytes + byte] != std::byte(line + 1)) {
          ++stale;
          return;
        }
      }
    }
  }

  std::minstd_rand random_;
  std::deque<Posted> registers_, memory_;
  unsigned now_ = 0;
  std::size_t last_ = 0;
};

unsigned stale_bells(bool settles, unsigned seed) {
  TwoPorts device(seed);
  device.settles = settles;
  WindowPort port(device, kMemoryLines);
  std::minstd_rand random(seed);
  std::uint32_t line = 0;
  constexpr std::uint32_t kLines = 200;
  while (line < kLines) {
    for (auto n = 1 + random() % 5; n != 0 && line < kLines; --n, ++line) {
      port.write(card(regs::kCardMemory) + line * 64, line_of(static_cast<std::uint8_t>(line + 1)), kAll);
    }
    // The lines may be on their way long before their bell.
    if (random() % 2 == 0) port.flush();
    AccessPort::Bytes mark{};
    std::memcpy(mark.data(), &line, sizeof line);
    port.write(card(regs::kCardProcessPages), mark, 0xf);
  }
  device.drain();
  EXPECT_GT(device.rings, 30U);
  return device.stale;
}

TEST(WindowPortOrder, LinesAreInMemoryBeforeTheirBellWhateverEachPortTakes) {
  for (unsigned seed = 1; seed <= 50; ++seed) EXPECT_EQ(stale_bells(true, seed), 0U) << "seed " << seed;
}

TEST(WindowPortOrder, WithoutReadingBackTheyAreNot) {
  unsigned stale = 0;
  for (unsigned seed = 1; seed <= 50; ++seed) stale += stale_bells(false, seed);
  EXPECT_GT(stale, 0U);
}

}  // namespace
}  // namespace slotwire::driver
