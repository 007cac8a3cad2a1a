// The PCIe card behind its bridge: two of them on one wire move lines, whatever stalls; what the host may do and may
// not; rows in pieces; interrupts; and resets of the function, the slot and the MAC in the middle of everything.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pcie_hosts.hpp"

namespace slotwire::sim {
namespace {

void exchange(Host& a, Host& b, unsigned lose_every, std::uint32_t lines) {
  const Wire there{lose_every, 0}, back{lose_every, 0};
  const std::uint64_t end = a.shell.now() + kPatience;
  while ((a.card.consumed != lines || b.card.consumed != lines) && a.shell.now() < end) {
    a.card.produce(lines);
    b.card.produce(lines);
    run(a, b, 200, there, back);
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

void exchange(const PcieShellOptions& options, unsigned lose_every, std::uint32_t lines) {
  PcieShellOptions other = options;
  other.seed += 1000;
  Host a(1, options), b(2, other);
  a.card.configure(2);
  b.card.configure(1);
  exchange(a, b, lose_every, lines);
}

TEST(PcieShell, SaysWhatItIs) {
  Host a(1, {.seed = 1});
  EXPECT_EQ(a.card.read32(regs::kCardCapabilities + regs::kCapMagic), regs::kCapMagicValue);
  EXPECT_EQ(a.card.read32(regs::kCardCapabilities + regs::kCapSlots), PcieShell::kSlots);
  EXPECT_EQ(a.card.read32(regs::kCardCapabilities + regs::kCapVectors), Bridge::kVectors);
  EXPECT_EQ(a.shell.violation(), "");
}

TEST(PcieShell, LinesGoBothWays) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    exchange({.seed = seed}, 0, 200);
  }
}

TEST(PcieShell, LinesGoBothWaysWhateverStalls) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    exchange({.seed = seed, .stall_permille = 300, .fragments = true}, 0, 120);
  }
}

TEST(PcieShell, LostFramesComeAgain) {
  exchange({.seed = 3, .stall_permille = 50}, 7, 120);
}

// Stores of any bytes in any pieces, as a processor's write-combining buffers make them; a read sees all that came
// before.
TEST(PcieShell, MemoryTakesAnyBytesAndAReadSeesTheWritesBeforeIt) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Host a(1, {.seed = seed, .stall_permille = 200, .fragments = true});
    Random random(seed);
    constexpr std::size_t kBytes = 16384;
    std::vector<std::byte> expected(kBytes);
    a.shell.bridge().write(regs::kPciMemoryBar, 0, expected);
    for (unsigned step = 0; step < 200; ++step) {
      const std::size_t at = random.below(kBytes), page_left = 4096 - at % 4096;
      if (random.chance(600)) {
        const auto data = pattern(std::min<std::size_t>(random.between(1, 900), kBytes - at), step);
        std::copy(data.begin(), data.end(), expected.begin() + static_cast<std::ptrdiff_t>(at));
        a.shell.bridge().write(regs::kPciMemoryBar, at, data);
      } else if (random.chance(500)) {
        std::array<std::byte, regs::kLineBytes> line{};
        line.fill(static_cast<std::byte>(step));
        const std::uint64_t enables = random.next();
        for (std::size_t i = 0; i < line.size(); ++i) {
          if ((enables >> i & 1) != 0) expected[at / 64 * 64 + i] = line[i];
        }
        a.shell.bridge().write(regs::kPciMemoryBar, at, line, enables);
      } else {
        const std::size_t bytes = random.below(static_cast<std::uint32_t>(std::min<std::size_t>(page_left, 512)) + 1);
        const auto from = expected.begin() + static_cast<std::ptrdiff_t>(at);
        const auto completion = a.read(regs::kPciMemoryBar, at, bytes);
        ASSERT_EQ(completion.status, Bridge::Status::ok);
        ASSERT_EQ(completion.data, std::vector<std::byte>(from, from + static_cast<std::ptrdiff_t>(bytes)))
            << "step " << step;
      }
    }
    ASSERT_EQ(a.shell.violation(), "");
    EXPECT_EQ(a.shell.bridge().refused_writes(), 0U);
  }
}

TEST(PcieShell, ADoorbellFollowsItsLines) {
  Host a(1, {.seed = 11, .stall_permille = 400, .fragments = true}), b(2, {.seed = 12});
  a.card.configure(2);
  b.card.configure(1);
  // All of it is posted, without a read in between: the lines of a whole ring, and their doorbell.
  const auto lines = pattern(CardHost::kRing * regs::kLineBytes, 5);
  a.shell.bridge().write(regs::kPciMemoryBar, CardHost::kInBase * regs::kLineBytes, lines);
  a.card.write32(regs::kCardProcessPages + CardHost::kSlot * regs::kPageBytes + regs::kInTail, CardHost::kRing);
  std::vector<std::byte> came;
  for (std::uint64_t end = b.shell.now() + kPatience; b.shell.now() < end;) {
    run(a, b, 100);
    const std::uint32_t tail =
        b.card.read32(regs::kCardProxyPages + CardHost::kSlot * regs::kPageBytes + regs::kOutTail);
    if (tail == CardHost::kRing) break;
  }
  came = b.read(regs::kPciMemoryBar, CardHost::kOutBase * regs::kLineBytes, lines.size()).data;
  EXPECT_EQ(came, lines);
  EXPECT_EQ(a.shell.violation(), "");
  EXPECT_EQ(b.shell.violation(), "");
}

TEST(PcieShell, WhatIsNotThereIsRefusedAndCounted) {
  Host a(1, {.seed = 21, .stall_permille = 100});
  const std::uint64_t pages = std::uint64_t{PcieShell::kSlots} * regs::kPageBytes;
  const std::uint64_t before = a.counter(regs::CardCounter::host_refused);
  const std::pair<unsigned, std::uint64_t> holes[] = {
      {regs::kPciRegistersBar, 0x8000},                                                      // between the pages
      {regs::kPciRegistersBar, regs::kCardSlotRows + PcieShell::kSlots * regs::kLineBytes},  // behind the slot table
      {regs::kPciDoorbellsBar, 2 * pages},
      {regs::kPciMemoryBar, std::uint64_t{PcieShell::kMemoryLines} * regs::kLineBytes},
  };
  std::uint64_t refused = before;
  for (const auto& [bar, offset] : holes) {
    SCOPED_TRACE(std::to_string(bar) + " " + std::to_string(offset));
    const auto completion = a.read(bar, offset, 4);
    EXPECT_EQ(completion.status, Bridge::Status::aborted);
    EXPECT_EQ(completion.data, std::vector<std::byte>(4, std::byte{0xff}));
    a.shell.bridge().write(bar, offset, pattern(4, 1));
    refused += 2;
    EXPECT_EQ(a.counter(regs::CardCounter::host_refused), refused);
  }
  // Marks are written alone and whole, and never the proxy's.
  a.shell.bridge().write(regs::kPciDoorbellsBar, pages + regs::kMarkTail, pattern(4, 1));
  a.shell.bridge().write(regs::kPciDoorbellsBar, regs::kMarkTail + 4, pattern(4, 1));
  a.shell.bridge().write(regs::kPciDoorbellsBar, regs::kMarkTail, pattern(2, 1));
  EXPECT_EQ(a.counter(regs::CardCounter::host_refused), refused + 3);
  EXPECT_EQ(a.counter(regs::CardCounter::doorbells), 0U);
  EXPECT_EQ(a.shell.violation(), "");
}

/// A row that binds `slot` to nothing that is there: no frames come of it.
regs::SlotRow some_row(std::uint16_t peer) {
  regs::SlotRow row{};
  row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
  row.in_order = row.out_order = CardHost::kOrder;
  row.link = CardHost::kLink;
  row.peer_slot = peer;
  row.epoch = 9;
  row.limit = CardHost::kRing;
  row.in_base = CardHost::kInBase;
  row.out_base = CardHost::kOutBase;
  return row;
}

std::vector<std::byte> bytes_of(const regs::SlotRow& row) {
  std::vector<std::byte> bytes(regs::kLineBytes);
  std::memcpy(bytes.data(), &row, sizeof row);
  return bytes;
}

TEST(PcieShell, ARowIsWrittenWhenAllOfItsPiecesAreThere) {
  Host a(1, {.seed = 31, .stall_permille = 200});
  a.card.configure(2);
  const auto bytes = bytes_of(some_row(3));
  constexpr std::uint64_t kAt = regs::kCardSlotRows + 7 * regs::kLineBytes;
  const std::array<std::size_t, 8> order{3, 0, 7, 1, 6, 2, 5, 4};
  for (std::size_t i = 0; i < order.size(); ++i) {
    EXPECT_EQ(a.row(7).state, static_cast<std::uint8_t>(regs::SlotState::free)) << i;
    a.shell.bridge().write(regs::kPciRegistersBar, kAt + order[i] * 8, std::span(bytes).subspan(order[i] * 8, 8));
  }
  EXPECT_EQ(a.row(7).state, static_cast<std::uint8_t>(regs::SlotState::bound));
  EXPECT_EQ(a.row(7).peer_slot, 3U);
  EXPECT_EQ(a.counter(regs::CardCounter::host_refused), 0U);
  // Each row begins anew.
  const auto none = bytes_of({});
  a.shell.bridge().write(regs::kPciRegistersBar, kAt, std::span(none).first(32));
  EXPECT_EQ(a.row(7).state, static_cast<std::uint8_t>(regs::SlotState::bound));
  a.shell.bridge().write(regs::kPciRegistersBar, kAt + 32, std::span(none).subspan(32));
  EXPECT_EQ(a.row(7).state, static_cast<std::uint8_t>(regs::SlotState::free));
  EXPECT_EQ(a.shell.violation(), "");
}

TEST(PcieShell, ARowThatIsNotWholeWhenAnotherOneComesIsRefused) {
  Host a(1, {.seed = 32});
  a.card.configure(2);
  const auto bytes = bytes_of(some_row(3));
  constexpr std::uint64_t kAt = regs::kCardSlotRows + 7 * regs::kLineBytes;
  a.shell.bridge().write(regs::kPciRegistersBar, kAt, std::span(bytes).first(40));
  // A rule's pieces are kept apart from a slot's.
  a.shell.bridge().write(regs::kPciRegistersBar, regs::kCardClassifier, std::span(bytes).first(8));
  EXPECT_EQ(a.counter(regs::CardCounter::host_refused), 0U);
  a.shell.bridge().write(regs::kPciRegistersBar, kAt + regs::kLineBytes, bytes);
  EXPECT_EQ(a.counter(regs::CardCounter::host_refused), 1U);
  EXPECT_EQ(a.row(8).state, static_cast<std::uint8_t>(regs::SlotState::bound));
  // The rest of the first one is no row.
  a.shell.bridge().write(regs::kPciRegistersBar, kAt + 40, std::span(bytes).subspan(40));
  EXPECT_EQ(a.row(7).state, static_cast<std::uint8_t>(regs::SlotState::free));
  // What is left of a link's row never becomes one, though the core needs the first half of it only.
  a.shell.bridge().write(regs::kPciRegistersBar, regs::kCardLinkRows, pattern(32, 1));
  a.shell.bridge().write(regs::kPciRegistersBar, regs::kCardLinkRows + regs::kLineBytes, std::span(bytes).first(8));
  const auto link = a.read(regs::kPciRegistersBar, regs::kCardLinkRows, 32);
  EXPECT_EQ(link.data, std::vector<std::byte>(32));
  EXPECT_EQ(a.shell.violation(), "");
}

TEST(PcieShell, InterruptsBecomeMessages) {
  Host a(1, {.seed = 41}), b(2, {.seed = 42});
  a.card.configure(2);
  b.card.configure(1);
  constexpr unsigned kVector = CardHost::kSlot % Bridge::kVectors;
  const Bridge::Message message{kMessageAt + kVector * 16, 7};
  b.card.write32(regs::kCardControl + regs::kCtlEnabled, 1U << kVector);
  auto& bridge = b.shell.bridge();
  const auto lines = [&](std::uint32_t count) {
    a.card.produce(a.card.produced + count);
    run(a, b, 4000);
    ASSERT_TRUE(b.card.consume(1));
    run(a, b, 4000);
  };
  const auto clear = [&] { b.card.write32(regs::kCardControl + regs::kCtlPending, 1U << kVector); };
  // Off: asked for again and again, and sent when it is on.
  lines(1);
  run(a, b, 20'000);
  EXPECT_GT(bridge.failed_requests, 1U);
  EXPECT_LT(bridge.failed_requests, 20U) << "no request waits for the next try";
  EXPECT_TRUE(bridge.messages.empty());
  bridge.set_vector(kVector, message, true);
  bridge.enable_msix(true);
  run(a, b, 10'000);
  EXPECT_EQ(bridge.pending(), 1U << kVector);
  EXPECT_TRUE(bridge.messages.empty()) << "masked";
  bridge.set_vector(kVector, message, false);
  EXPECT_EQ(bridge.messages, std::vector<Bridge::Message>{message});
  // One interrupt until it is cleared.
  lines(1);
  EXPECT_EQ(bridge.messages.size(), 1U);
  clear();
  lines(1);
  EXPECT_EQ(bridge.messages, (std::vector<Bridge::Message>{message, message}));
  EXPECT_EQ(b.shell.violation(), "");
}

/// A card that was reset is as after power-up, but for its memory and marks, and works.
void begins_anew(Host& a, Host& b) {
  run(a, b, 3000);
  EXPECT_EQ(a.row(CardHost::kSlot).state, static_cast<std::uint8_t>(regs::SlotState::free));
  EXPECT_EQ(a.card.read32(regs::kCardControl + regs::kCtlOwnIp), 0U);
  EXPECT_EQ(a.counter(regs::CardCounter::doorbells), 0U);
  // Whole frames of the other host, and nothing else, reached the hosts.
  for (Host* const host : {&a, &b}) {
    for (; !host->shell.to_host.empty(); host->shell.to_host.pop()) {
      const auto frame = host->shell.to_host.front().bytes;
      // The other card's frames are not this one's while it has no address.
      EXPECT_TRUE(is_link_frame(frame) || (host == &a ? b : a).sent(frame))
          << "a frame of " << frame.size() << " bytes";
    }
  }
  // The peer begins anew as well, and both from where the reset card's marks stand: that is recovery's task elsewhere.
  b.shell.bridge().function_reset();
  run(a, b, 6000);
  EXPECT_FALSE(b.shell.bridge().resetting());
  a.card.configure(2);
  b.card.configure(1);
  a.card.produced = a.card.consumed = b.card.produced = b.card.consumed = 0;
  exchange(a, b, 0, 60);
}

// At any moment of traffic that fills every queue: what the host waits for is answered, the card says that it is done,
// old writes have no effect, and the wire carries whole frames only.
TEST(PcieShell, AFunctionIsResetInTheMiddleOfEverything) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Host a(1, {.seed = seed, .stall_permille = seed % 2 == 0 ? 300U : 0U, .fragments = seed % 3 == 0}),
        b(2, {.seed = seed + 100});
    a.card.configure(2);
    b.card.configure(1);
    a.card.produce(CardHost::kRing);
    b.card.produce(CardHost::kRing);
    run(a, b, random.below(400));
    for (unsigned i = 0; i < 6; ++i) {
      a.send(pattern(random.between(60, 1514), i));
      b.send(pattern(random.between(60, 1514), i));
    }
    auto& bridge = a.shell.bridge();
    // Bursts, reads behind them, a doorbell and a row: some of it is on the AXI port when the reset comes, and more
    // behind.
    std::vector<std::uint64_t> tags;
    for (unsigned i = 0; i < 12; ++i) {
      bridge.write(regs::kPciMemoryBar, 65536 + i * 512, pattern(512, i));
      tags.push_back(bridge.read(regs::kPciMemoryBar, 65536 + i * 512, 512));
      if (i == 6)
        bridge.write(regs::kPciRegistersBar, regs::kCardSlotRows + 9 * regs::kLineBytes, bytes_of(some_row(4)));
    }
    const auto half = bytes_of(some_row(4));
    bridge.write(regs::kPciRegistersBar, regs::kCardSlotRows + 10 * regs::kLineBytes, std::span(half).first(32));
    for (unsigned i = 0; i < 4; ++i) a.send(pattern(random.between(1000, 1514), i));
    run(a, b, random.below(seed % 4 == 0 ? 2000U : 120U));
    bridge.function_reset();
    for (const std::uint64_t tag : tags) EXPECT_TRUE(bridge.completed(tag));
    EXPECT_EQ(bridge.read(regs::kPciRegistersBar, 0, 4), tags.back() + 1);
    EXPECT_EQ(a.wait(tags.back() + 1).status, Bridge::Status::unsupported) << "until the reset is done";
    for (std::uint64_t i = 0; bridge.resetting() && i < Bridge::kFlrClocks; i += 10) run(a, b, 10);
    EXPECT_FALSE(bridge.resetting());
    EXPECT_EQ(a.row(9).state, static_cast<std::uint8_t>(regs::SlotState::free)) << "a row from before the reset";
    bridge.write(regs::kPciRegistersBar, regs::kCardSlotRows + 10 * regs::kLineBytes + 32, std::span(half).subspan(32));
    EXPECT_EQ(a.row(10).state, static_cast<std::uint8_t>(regs::SlotState::free)) << "half of it is from before";
    begins_anew(a, b);
    EXPECT_EQ(a.shell.violation(), "");
    EXPECT_EQ(b.shell.violation(), "");
  }
}

// What the bridge had begun when the function was reset comes late, and binds nothing any more.
TEST(PcieShell, ARowThatComesLateAfterAResetOfTheFunctionIsDropped) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Host a(1, {.seed = seed, .stall_permille = 900});
    auto& bridge = a.shell.bridge();
    for (std::uint16_t slot = 20; slot < 28; ++slot) {
      bridge.write(regs::kPciRegistersBar, regs::kCardSlotRows + slot * regs::kLineBytes, bytes_of(some_row(4)));
    }
    a.shell.clock(60);
    bridge.function_reset();
    while (bridge.resetting()) a.shell.clock(1);
    for (std::uint16_t slot = 20; slot < 28; ++slot) {
      EXPECT_EQ(a.row(slot).state, static_cast<std::uint8_t>(regs::SlotState::free)) << slot;
    }
    EXPECT_EQ(a.shell.violation(), "");
  }
}

TEST(PcieShell, ASlotIsResetWithinABurst) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Host a(1, {.seed = seed, .stall_permille = seed % 2 == 0 ? 400U : 100U}), b(2, {.seed = seed + 100});
    a.card.configure(2);
    b.card.configure(1);
    a.card.produce(CardHost::kRing);
    for (unsigned i = 0; i < 6; ++i) {
      a.send(pattern(random.between(60, 1514), i));
      b.send(pattern(random.between(60, 1514), i));
    }
    run(a, b, random.below(300));
    for (unsigned i = 0; i < 8; ++i) a.shell.bridge().write(regs::kPciMemoryBar, 65536 + i * 512, pattern(512, i));
    const std::uint64_t tag = a.shell.bridge().read(regs::kPciMemoryBar, 65536, 512);
    run(a, b, random.below(90));
    a.shell.bridge().bus_reset(true);
    EXPECT_TRUE(a.shell.bridge().completed(tag));
    run(a, b, 50);
    a.shell.bridge().bus_reset(false);
    begins_anew(a, b);
    EXPECT_EQ(a.shell.violation(), "");
  }
}

// The MAC's reset cuts frames both ways, and nothing else: what was lost comes again.
TEST(PcieShell, AMacThatIsResetLosesFramesAndNothingElse) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Host a(1, {.seed = seed, .stall_permille = 200}), b(2, {.seed = seed + 100, .stall_permille = 200});
    a.card.configure(2);
    b.card.configure(1);
    for (unsigned resets = 0; resets < 4; ++resets) {
      a.card.produce(30);
      b.card.produce(30);
      for (unsigned i = 0; i < 4; ++i) {
        a.send(pattern(random.between(60, 1514), i));
        b.send(pattern(random.between(60, 1514), i));
      }
      run(a, b, random.between(1, 300));
      a.shell.mac_reset(true);
      run(a, b, random.between(20, 60));
      a.shell.mac_reset(false);
      run(a, b, 100);
    }
    exchange(a, b, 0, 60);
    for (Host* const host : {&a, &b}) {
      for (; !host->shell.to_host.empty(); host->shell.to_host.pop()) {
        EXPECT_TRUE((host == &a ? b : a).sent(host->shell.to_host.front().bytes));
      }
    }
  }
}

TEST(PcieShell, TheHostsOwnFramesPassAndShortOnesArePadded) {
  Host a(1, {.seed = 51, .stall_permille = 200}), b(2, {.seed = 52, .stall_permille = 200});
  a.card.configure(2);
  b.card.configure(1);
  for (const std::size_t size : {14U, 42U, 59U, 60U, 61U, 64U, 65U, 1000U, 1514U}) {
    const auto sent = pattern(size, static_cast<unsigned>(size));
    a.send(sent);
    for (std::uint64_t end = b.shell.now() + kPatience; b.shell.to_host.empty() && b.shell.now() < end;) run(a, b, 100);
    ASSERT_FALSE(b.shell.to_host.empty()) << size;
    auto padded = sent;
    padded.resize(std::max(size, PcieShell::kLeastFrame));
    const auto frame = b.shell.to_host.front().bytes;
    EXPECT_EQ(std::vector<std::byte>(frame.begin(), frame.end()), padded);
    b.shell.to_host.pop();
  }
  // One with a wrong check sequence does not reach the host.
  ASSERT_TRUE(b.shell.wire_in.push(pattern(200, 1), true));
  ASSERT_TRUE(b.shell.wire_in.push(pattern(300, 2)));
  run(a, b, 3000);
  ASSERT_EQ(b.shell.to_host.size(), 1U);
  EXPECT_EQ(b.shell.to_host.front().bytes.size(), 300U);
  EXPECT_EQ(a.shell.violation(), "");
  EXPECT_EQ(b.shell.violation(), "");
}

}  // namespace
}  // namespace slotwire::sim
