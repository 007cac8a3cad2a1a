// The XRT shell: two of them on one wire move lines and the host's own frames, whatever stalls, and every port keeps
// its rules.
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "card_host.hpp"
#include "driver/bus/window_frames.hpp"
#include "sim/xrt/shell_window.hpp"
#include "sim/xrt/xrt_shell.hpp"

namespace slotwire::sim {
namespace {

constexpr std::uint64_t kBase = 0x4'0000'1000;  ///< of slot memory: above 4 GiB
constexpr std::uint32_t kMemoryLines = 1U << 17;
constexpr std::uint64_t kPatience = 400'000;  ///< clocks for everything in a test to arrive

XrtShell& reset(XrtShell& shell) {
  shell.reset();
  return shell;
}

class Host {
 public:
  Host(unsigned number, const XrtShellOptions& options)
      : shell(options), window(reset(shell), kBase), card(number, window, kMemoryLines) {}
  void configure(unsigned peer) { card.configure(peer); }

  XrtShell shell;
  ShellWindow window;
  CardHost card;
};

struct Wire {
  void carry(Host& from, Host& to) const {
    while (!from.shell.wire_out().empty()) {
      ++count;
      if (lose_every == 0 || count % lose_every != 0) to.shell.wire_in().push(from.shell.wire_out().front().bytes);
      from.shell.wire_out().pop();
    }
  }
  unsigned lose_every = 0;
  mutable unsigned count = 0;
};

void exchange(const XrtShellOptions& options, unsigned lose_every, std::uint32_t lines) {
  XrtShellOptions other = options;
  other.seed += 1000;
  Host a(1, options), b(2, other);
  a.configure(2);
  b.configure(1);
  const Wire there{lose_every, 0}, back{lose_every, 0};
  while ((a.card.consumed != lines || b.card.consumed != lines) && a.shell.now() < kPatience) {
    a.card.produce(lines);
    b.card.produce(lines);
    for (int i = 0; i < 20; ++i) {
      a.shell.clock(10);
      b.shell.clock(10);
      there.carry(a, b);
      back.carry(b, a);
    }
    ASSERT_TRUE(a.card.consume(2));
    ASSERT_TRUE(b.card.consume(1));
    ASSERT_EQ(a.shell.violation(), "");
    ASSERT_EQ(b.shell.violation(), "");
  }
  EXPECT_EQ(a.card.consumed, lines);
  EXPECT_EQ(b.card.consumed, lines);
  EXPECT_EQ(a.card.read32(regs::kCardCapabilities + regs::kCapCounters +
                          8 * static_cast<std::size_t>(regs::Counter::drop_crc)),
            0U);
}

TEST(XrtShell, LinesGoBothWays) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    exchange({.seed = seed}, 0, 300);
  }
}

TEST(XrtShell, LinesGoBothWaysWhateverStalls) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    exchange({.seed = seed, .memory_latency = 60, .random_latency = true, .stall_permille = 300}, 0, 200);
  }
}

TEST(XrtShell, LostFramesComeAgain) {
  exchange({.seed = 3, .memory_latency = 20, .random_latency = true, .stall_permille = 50}, 7, 200);
}

TEST(XrtShell, TheHostsOwnFramesGoThroughTheWindow) {
  Host a(1, {.seed = 1}), b(2, {.seed = 2, .stall_permille = 300});
  a.configure(2);
  b.configure(1);
  driver::WindowFrames from(a.window), to(b.window);
  const Wire wire;
  for (const std::size_t size : {60U, 64U, 65U, 1000U, 1514U}) {
    std::vector<std::byte> sent(size), got;
    for (std::size_t i = 0; i < size; ++i) sent[i] = static_cast<std::byte>(i * 13 + size);
    EXPECT_TRUE(from.send(sent));
    for (std::uint64_t end = b.shell.now() + kPatience; got.empty() && b.shell.now() < end;) {
      a.shell.clock(10);
      wire.carry(a, b);
      b.shell.clock(10);
      const auto frame = to.receive();
      got.assign(frame.begin(), frame.end());
    }
    EXPECT_EQ(got, sent) << size;
  }
  EXPECT_FALSE(from.send({}));
  EXPECT_FALSE(from.send(std::vector<std::byte>(driver::WindowFrames::kMaxFrame + 1)));
  EXPECT_EQ(a.shell.violation(), "");
  EXPECT_EQ(b.shell.violation(), "");
}

TEST(XrtShell, AFrameThatAnEarlierProcessBeganHarmsNoOther) {
  Host a(1, {.seed = 1}), b(2, {.seed = 2});
  a.configure(2);
  b.configure(1);
  // Half a frame is sent by a process that dies then; the other end fetches half of one and dies as well.
  driver::WindowFrames peer(b.window);
  const std::vector<std::byte> frame(200, std::byte{0x11}), other(300, std::byte{0x22});
  ASSERT_TRUE(peer.send(frame));
  const Wire there, back;
  const auto run = [&] {
    for (int i = 0; i < 200; ++i) {
      a.shell.clock(10);
      b.shell.clock(10);
      there.carry(a, b);
      back.carry(b, a);
    }
  };
  run();
  a.shell.write(static_cast<std::uint32_t>(regs::kWindowFrames + regs::kFramesReceive), 0);
  a.shell.write(static_cast<std::uint32_t>(regs::kWindowFrames + regs::kFramesSend), 64);
  driver::WindowFrames next(a.window);
  ASSERT_TRUE(next.send(other));
  ASSERT_TRUE(peer.send(other));
  run();
  const auto came = next.receive();
  EXPECT_EQ(std::vector<std::byte>(came.begin(), came.end()), other);
  const auto cut = peer.receive();
  EXPECT_EQ(cut.size(), 65U);  // what was begun, and its end
  const auto whole = peer.receive();
  EXPECT_EQ(std::vector<std::byte>(whole.begin(), whole.end()), other);
}

TEST(XrtShell, AnInterruptIsALevelUntilItIsCleared) {
  Host a(1, {.seed = 5}), b(2, {.seed = 6});
  a.configure(2);
  b.configure(1);
  b.shell.write(regs::kShellGie, 1);
  b.shell.write(regs::kShellIer, 1);
  const Wire there, back;
  a.card.produce(3);
  for (std::uint64_t end = b.shell.now() + kPatience; !b.shell.interrupt() && b.shell.now() < end;) {
    a.shell.clock(10);
    b.shell.clock(10);
    there.carry(a, b);
    back.carry(b, a);
  }
  ASSERT_TRUE(b.shell.interrupt());
  EXPECT_EQ(b.card.read32(regs::kCardControl + regs::kCtlPending), 1U);
  b.shell.write(regs::kShellIsr, 1);
  b.shell.clock();
  EXPECT_FALSE(b.shell.interrupt());
}

TEST(XrtShell, ARowThatIsNotWholeIsRefusedByTheCore) {
  Host a(1, {.seed = 5});
  const auto refused =
      regs::kCardCapabilities + regs::kCapCardCounters + 8 * static_cast<std::size_t>(regs::CardCounter::host_refused);
  const std::uint32_t before = a.card.read32(refused);
  a.shell.write(static_cast<std::uint32_t>(regs::kWindowSlotRows) + 60, 1);
  a.shell.clock(100);
  EXPECT_EQ(a.card.read32(refused), before + 1);
}

TEST(XrtShell, ABreachIsSeen) {
  Host a(1, {.seed = 9, .stall_permille = 500}), b(2, {.seed = 10, .stall_permille = 500});
  a.configure(2);
  b.configure(1);
  b.shell.break_memory_writes(true);  // while a beat waits, its data differ from what is taken
  const Wire there, back;
  for (int turns = 0; turns < 200 && b.shell.violation().empty(); ++turns) {
    a.card.produce(40);
    for (int i = 0; i < 20; ++i) {
      a.shell.clock(10);
      b.shell.clock(10);
      there.carry(a, b);
      back.carry(b, a);
    }
  }
  EXPECT_NE(b.shell.violation().find("m_axi_memory W: what was offered changed"), std::string::npos)
      << b.shell.violation();
}

}  // namespace
}  // namespace slotwire::sim
