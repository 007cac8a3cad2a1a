// The XRT shell: two of them on one wire move lines and the host's own frames, whatever stalls, and every port keeps
// its rules.
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "sim/xrt/shell_window.hpp"
#include "sim/xrt/xrt_shell.hpp"

namespace slotwire::sim {
namespace {

constexpr std::uint64_t kBase = 0x4'0000'1000;  ///< of slot memory: above 4 GiB
constexpr std::uint32_t kMemoryLines = 1U << 17, kInBase = 64, kOutBase = 128;
constexpr std::uint8_t kOrder = 4;
constexpr std::uint32_t kRing = 1U << kOrder;
constexpr std::uint16_t kSlot = 5, kLink = 2;
constexpr std::uint64_t kPatience = 400'000;  ///< clocks for everything in a test to arrive

/// A host with a card behind the shell's window.
class Host {
 public:
  Host(unsigned number, const XrtShellOptions& options)
      : number_(number), shell(options), window_(prepare(shell), kBase), port_(window_, kMemoryLines) {}

  static XrtShell& prepare(XrtShell& shell) {
    shell.reset();
    return shell;
  }
  void write32(std::size_t address, std::uint32_t value) {
    driver::HostPort::Bytes line{};
    std::memcpy(line.data() + address % regs::kLineBytes, &value, sizeof value);
    port_.write(static_cast<std::uint32_t>(address / regs::kLineBytes * regs::kLineBytes), line,
                std::uint64_t{0xf} << address % regs::kLineBytes);
  }
  std::uint32_t read32(std::size_t address) {
    port_.read_words(static_cast<std::uint32_t>(address / regs::kLineBytes * regs::kLineBytes),
                     static_cast<std::uint16_t>(1U << address % regs::kLineBytes / 4));
    const driver::HostPort::Reply reply = port_.take_answer();
    std::uint32_t value = 0;
    std::memcpy(&value, reply.data.data() + address % regs::kLineBytes, sizeof value);
    return reply.error ? 0xdeadbeef : value;
  }
  template <typename Row>
  void write_row(std::size_t address, const Row& row) {
    driver::HostPort::Bytes line{};
    std::memcpy(line.data(), &row, sizeof row);
    port_.write(static_cast<std::uint32_t>(address), line, ~std::uint64_t{0});
  }
  static std::uint32_t ip(unsigned n) { return 0x0a630000U + n; }

  /// Own address, the link to `peer` and one slot over it.
  void configure(unsigned peer) {
    write32(regs::kCardControl + regs::kCtlOwnIp, ip(number_));
    write32(regs::kCardControl + regs::kCtlOwnPort, regs::kUdpPort);
    write32(regs::kCardControl + regs::kCtlOwnMacHigh, 0x02000000);
    write32(regs::kCardControl + regs::kCtlOwnMacLow, number_);
    write32(regs::kCardControl + regs::kCtlEnabled, 1);
    regs::LinkRow link{};
    link.up = 1;
    link.lines_per_frame = 20;
    link.rto_us = 3000;
    link.rto_max_us = 20000;
    link.ack_delay_us = 300;
    link.peer_ip = ip(peer);
    link.peer_port = regs::kUdpPort;
    link.peer_mac_high = 0x02000000;
    link.peer_mac_low = static_cast<std::uint16_t>(peer);
    write_row(regs::kCardLinkRows + kLink * regs::kLineBytes, link);
    regs::SlotRow row{};
    row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
    row.in_order = row.out_order = kOrder;
    row.link = kLink;
    row.peer_slot = kSlot;
    row.epoch = 77;
    row.limit = kRing;
    row.in_base = kInBase;
    row.out_base = kOutBase;
    write_row(regs::kCardSlotRows + kSlot * regs::kLineBytes, row);
    write32(regs::kCardControl + regs::kCtlCommand,
            static_cast<std::uint32_t>(regs::CardCommand::link_up) | std::uint32_t{kLink} << 16);
  }
  /// Produces as many lines as there is room for, of a count that both ends know.
  void produce(std::uint32_t end) {
    const std::uint32_t released = read32(regs::kCardProxyPages + kSlot * regs::kPageBytes + regs::kInHead);
    while (produced != end && produced - released < kRing) {
      driver::HostPort::Bytes line{};
      for (std::size_t i = 0; i < line.size(); ++i) line[i] = byte(number_, produced, i);
      port_.write(static_cast<std::uint32_t>(regs::kCardMemory + (kInBase + produced % kRing) * regs::kLineBytes), line,
                  ~std::uint64_t{0});
      ++produced;
    }
    write32(regs::kCardProcessPages + kSlot * regs::kPageBytes + regs::kInTail, produced);
  }
  /// Takes what was delivered; false: a line is not what the peer wrote.
  bool consume(unsigned peer) {
    const std::uint32_t delivered = read32(regs::kCardProxyPages + kSlot * regs::kPageBytes + regs::kOutTail);
    for (; consumed != delivered; ++consumed) {
      port_.read(static_cast<std::uint32_t>(regs::kCardMemory + (kOutBase + consumed % kRing) * regs::kLineBytes));
      const driver::HostPort::Reply reply = port_.take_answer();
      for (std::size_t i = 0; i < reply.data.size(); ++i) {
        if (reply.data[i] != byte(peer, consumed, i)) return false;
      }
    }
    write32(regs::kCardProcessPages + kSlot * regs::kPageBytes + regs::kOutHead, consumed);
    return true;
  }
  static std::byte byte(unsigned host, std::uint32_t line, std::size_t i) {
    return static_cast<std::byte>(host * 101 + line * 31 + i * 7);
  }
  /// One of the host's own frames, through the page of frames.
  void send_frame(const std::vector<std::byte>& frame) {
    for (std::size_t at = 0; at < frame.size(); at += regs::kLineBytes) {
      const std::size_t n = std::min(frame.size() - at, regs::kLineBytes);
      for (std::size_t i = 0; i < n; i += 4) {
        std::uint32_t value = 0;
        std::memcpy(&value, frame.data() + at + i, std::min<std::size_t>(4, n - i));
        shell.write(static_cast<std::uint32_t>(regs::kWindowFrames + regs::kFramesSendLine + i), value);
      }
      while ((window_.read(static_cast<std::uint32_t>(regs::kWindowFrames + regs::kFramesSend)) >> 31) == 0)
        shell.clock();
      shell.write(static_cast<std::uint32_t>(regs::kWindowFrames + regs::kFramesSend),
                  static_cast<std::uint32_t>(n) | (at + n == frame.size() ? 1U << 30 : 0));
    }
  }
  /// The line of a frame that waits, if one does; true: it was the frame's last.
  bool receive_frame(std::vector<std::byte>& frame) {
    const std::uint32_t state = window_.read(static_cast<std::uint32_t>(regs::kWindowFrames + regs::kFramesReceive));
    if ((state >> 31) == 0) return false;
    for (std::size_t i = 0; i < (state & 0x7f); ++i) {
      const std::uint32_t value =
          window_.read(static_cast<std::uint32_t>(regs::kWindowFrames + regs::kFramesReceiveLine + i / 4 * 4));
      frame.push_back(static_cast<std::byte>(value >> (i % 4 * 8)));
    }
    shell.write(static_cast<std::uint32_t>(regs::kWindowFrames + regs::kFramesReceive), 0);
    return (state >> 30 & 1) != 0;
  }

  std::uint32_t produced = 0, consumed = 0;

 private:
  unsigned number_;

 public:
  XrtShell shell;

 private:
  ShellWindow window_;
  driver::WindowPort port_;
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
  while ((a.consumed != lines || b.consumed != lines) && a.shell.now() < kPatience) {
    a.produce(lines);
    b.produce(lines);
    for (int i = 0; i < 20; ++i) {
      a.shell.clock(10);
      b.shell.clock(10);
      there.carry(a, b);
      back.carry(b, a);
    }
    ASSERT_TRUE(a.consume(2));
    ASSERT_TRUE(b.consume(1));
    ASSERT_EQ(a.shell.violation(), "");
    ASSERT_EQ(b.shell.violation(), "");
  }
  EXPECT_EQ(a.consumed, lines);
  EXPECT_EQ(b.consumed, lines);
  EXPECT_EQ(
      a.read32(regs::kCardCapabilities + regs::kCapCounters + 8 * static_cast<std::size_t>(regs::Counter::drop_crc)),
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
  const Wire wire;
  for (const std::size_t size : {60U, 64U, 65U, 1000U, 1514U}) {
    std::vector<std::byte> sent(size), got;
    for (std::size_t i = 0; i < size; ++i) sent[i] = static_cast<std::byte>(i * 13 + size);
    a.send_frame(sent);
    bool whole = false;
    for (std::uint64_t end = b.shell.now() + kPatience; !whole && b.shell.now() < end;) {
      a.shell.clock(10);
      wire.carry(a, b);
      b.shell.clock(10);
      whole = b.receive_frame(got);
    }
    EXPECT_EQ(got, sent) << size;
  }
  EXPECT_EQ(a.shell.violation(), "");
  EXPECT_EQ(b.shell.violation(), "");
}

TEST(XrtShell, AnInterruptIsALevelUntilItIsCleared) {
  Host a(1, {.seed = 5}), b(2, {.seed = 6});
  a.configure(2);
  b.configure(1);
  b.shell.write(regs::kShellGie, 1);
  b.shell.write(regs::kShellIer, 1);
  const Wire there, back;
  a.produce(3);
  for (std::uint64_t end = b.shell.now() + kPatience; !b.shell.interrupt() && b.shell.now() < end;) {
    a.shell.clock(10);
    b.shell.clock(10);
    there.carry(a, b);
    back.carry(b, a);
  }
  ASSERT_TRUE(b.shell.interrupt());
  EXPECT_EQ(b.read32(regs::kCardControl + regs::kCtlPending), 1U);
  b.shell.write(regs::kShellIsr, 1);
  b.shell.clock();
  EXPECT_FALSE(b.shell.interrupt());
}

TEST(XrtShell, ARowThatIsNotWholeIsRefusedByTheCore) {
  Host a(1, {.seed = 5});
  const auto refused =
      regs::kCardCapabilities + regs::kCapCardCounters + 8 * static_cast<std::size_t>(regs::CardCounter::host_refused);
  const std::uint32_t before = a.read32(refused);
  a.shell.write(static_cast<std::uint32_t>(regs::kWindowSlotRows) + 60, 1);
  a.shell.clock(100);
  EXPECT_EQ(a.read32(refused), before + 1);
}

TEST(XrtShell, ABreachIsSeen) {
  Host a(1, {.seed = 9, .stall_permille = 500}), b(2, {.seed = 10, .stall_permille = 500});
  a.configure(2);
  b.configure(1);
  b.shell.break_memory_writes(true);  // while a beat waits, its data differ from what is taken
  const Wire there, back;
  for (int turns = 0; turns < 200 && b.shell.violation().empty(); ++turns) {
    a.produce(40);
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
