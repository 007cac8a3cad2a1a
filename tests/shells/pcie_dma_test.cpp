// Output rings and proxy marks in host memory: two PCIe cards on one wire write into the memory of their hosts, each
// slot's into its own pages; what is refused faults its slot and is never acknowledged; and nothing arrives in pages
// that were taken back, by the driver or by a reset.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "pcie_hosts.hpp"

namespace slotwire::sim {
namespace {

constexpr std::uint64_t kRingsAt = 0x12'3450'0000, kMarksAt = 0xfff0'0000, kRingStride = 0x10'0000,
                        kMarksStride = 0x2000;
constexpr std::uint32_t kInputs = 1024, kInputStride = 256;  ///< lines of slot memory
constexpr std::uint8_t kMostOrder = 8;
constexpr std::array<std::uint16_t, 2> kSlots2{7, 8};
constexpr std::array<std::uint16_t, 3> kSlots3{7, 8, 9};

std::byte byte_of(unsigned host, std::uint16_t slot, std::uint32_t line, std::size_t i) {
  return static_cast<std::byte>(host * 101 + slot * 17U + line * 31 + i * 7);
}

/// A host whose slots have their output rings in its own memory, one page or more each, with nothing mapped in between.
class DmaHost : public Host {
 public:
  struct Slot {
    std::uint8_t order = 0;
    bool dma = true;  ///< else its output ring is on the card, and nobody looks
    std::uint32_t produced = 0, seen = 0, told = 0;
  };

  DmaHost(unsigned number, unsigned peer, const PcieShellOptions& options)
      : Host(number, options), number_(number), peer_(peer) {
    card.configure(peer);
    shell.memory().written = [this](std::uint64_t at) { look(at); };
  }

  static std::uint64_t ring_at(std::uint16_t slot) { return kRingsAt + slot * kRingStride; }
  static std::uint64_t marks_at(std::uint16_t slot) { return kMarksAt + slot * kMarksStride; }
  static std::size_t ring_bytes(std::uint8_t order) {
    return std::max<std::size_t>(std::size_t{regs::kLineBytes} << order, regs::kPageBytes);
  }
  static regs::DmaRow dma_row(std::uint16_t slot, std::uint8_t order) {
    regs::DmaRow row{};
    row.valid = 1;
    row.order = order;
    row.ring_low = static_cast<std::uint32_t>(ring_at(slot));
    row.ring_high = static_cast<std::uint32_t>(ring_at(slot) >> 32);
    row.marks_low = static_cast<std::uint32_t>(marks_at(slot));
    row.marks_high = static_cast<std::uint32_t>(marks_at(slot) >> 32);
    return row;
  }
  void write_dma_row(std::uint16_t slot, const regs::DmaRow& row) {
    card.write_row(regs::kCardDmaRows + slot * regs::kLineBytes, row);
  }
  std::uint64_t ask_dma_row(std::uint16_t slot) {
    return shell.bridge().read(regs::kPciRegistersBar, regs::kCardDmaRows + slot * regs::kLineBytes,
                               sizeof(regs::DmaRow));
  }
  static regs::DmaRow as_dma_row(const Bridge::Completion& completion) {
    regs::DmaRow row{};
    EXPECT_EQ(completion.status, Bridge::Status::ok);
    std::memcpy(&row, completion.data.data(), std::min(sizeof row, completion.data.size()));
    return row;
  }
  regs::DmaRow read_dma_row(std::uint16_t slot) { return as_dma_row(wait(ask_dma_row(slot))); }

  void map(std::uint16_t slot, std::uint8_t order) {
    shell.memory().map(ring_at(slot), ring_bytes(order));
    shell.memory().map(marks_at(slot), regs::kPageBytes);
  }
  void unmap(std::uint16_t slot, std::uint8_t order) {
    shell.memory().unmap(ring_at(slot), ring_bytes(order));
    shell.memory().unmap(marks_at(slot), regs::kPageBytes);
  }
  void bind(std::uint16_t slot, std::uint8_t order, bool dma = true) {
    regs::SlotRow row{};
    row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
    row.in_order = row.out_order = order;
    row.link = CardHost::kLink;
    row.peer_slot = slot;
    row.epoch = 300;
    row.limit = 1U << order;
    row.in_base = kInputs + slot * kInputStride;
    row.out_base = dma ? regs::kRowBaseDma : 1024;
    card.write_row(regs::kCardSlotRows + slot * regs::kLineBytes, row);
    slots[slot] = {.order = order, .dma = dma};
  }
  /// Pages, DMA row and slot row.
  void open(std::uint16_t slot, std::uint8_t order) {
    map(slot, order);
    write_dma_row(slot, dma_row(slot, order));
    bind(slot, order);
  }
  void unbind(std::uint16_t slot) {
    regs::SlotRow row{};
    row.state = static_cast<std::uint8_t>(regs::SlotState::free);
    card.write_row(regs::kCardSlotRows + slot * regs::kLineBytes, row);
  }
  std::uint32_t memory_head(std::uint16_t slot) { return shell.memory().word(marks_at(slot) + regs::kMarkHead); }
  std::uint32_t card_mark(std::uint16_t slot, std::size_t mark) {
    return card.read32(regs::kCardProxyPages + slot * regs::kPageBytes + mark);
  }
  /// Up to line `end`, as far as there is room by what is in the host's memory.
  void produce(std::uint16_t slot, std::uint32_t end) {
    Slot& s = slots.at(slot);
    const std::uint32_t released = s.dma ? memory_head(slot) : card_mark(slot, regs::kInHead);
    ASSERT_LE(s.produced - released, 1U << s.order) << "IN_HEAD of slot " << slot;
    const std::uint32_t before = s.produced;
    for (; s.produced != end && s.produced - released < 1U << s.order; ++s.produced) {
      std::vector<std::byte> line(regs::kLineBytes);
      for (std::size_t i = 0; i < line.size(); ++i) line[i] = byte_of(number_, slot, s.produced, i);
      const std::uint32_t at = kInputs + slot * kInputStride + (s.produced & ((1U << s.order) - 1));
      shell.bridge().write(regs::kPciMemoryBar, std::uint64_t{at} * regs::kLineBytes, line);
    }
    if (s.produced != before) doorbell(slot, regs::kInTail, s.produced);
  }
  /// Takes what was seen in the host's memory.
  void consume(std::uint16_t slot) {
    Slot& s = slots.at(slot);
    if (s.dma && s.told != s.seen) doorbell(slot, regs::kOutHead, s.told = s.seen);
  }
  void doorbell(std::uint16_t slot, std::size_t mark, std::uint32_t value) {
    card.write32(regs::kCardProcessPages + slot * regs::kPageBytes + mark, value);
  }
  bool faulted(std::uint16_t slot, regs::Fault fault) {
    const regs::SlotRow r = row(slot);
    return r.state == static_cast<std::uint8_t>(regs::SlotState::faulted) &&
           r.fault == static_cast<std::uint8_t>(fault);
  }

  std::map<std::uint16_t, Slot> slots;
  std::string wrong;  ///< what was seen in memory first that must not be

 private:
  /// A mark's lines are there when the mark is.
  void look(std::uint64_t at) {
    for (auto& [number, slot] : slots) {
      if (!slot.dma || at != marks_at(number) + regs::kMarkTail) continue;
      const std::uint32_t tail = shell.memory().word(at);
      const auto of = " of slot " + std::to_string(number) + " is " + std::to_string(tail);
      if (tail - slot.told > 1U << slot.order) return note("OUT_TAIL" + of);
      for (; slot.seen != tail; ++slot.seen) {
        const auto line = shell.memory().line(ring_at(number) +
                                              (slot.seen & ((1U << slot.order) - 1)) * std::uint64_t{regs::kLineBytes});
        for (std::size_t i = 0; i < line.size(); ++i) {
          if (line[i] != byte_of(peer_, number, slot.seen, i))
            return note("line " + std::to_string(slot.seen) + " is not there when OUT_TAIL" + of);
        }
      }
    }
  }
  void note(const std::string& what) {
    if (wrong.empty()) wrong = what;
  }

  unsigned number_, peer_;
};

void expect_well(DmaHost& host) {
  EXPECT_EQ(host.shell.violation(), "");
  EXPECT_EQ(host.wrong, "");
  EXPECT_EQ(host.shell.memory().iommu_faults(), 0U) << "a write beyond what is mapped";
}

/// All slots of both exchange lines up to `lines`.
void exchange_all(DmaHost& a, DmaHost& b, std::uint32_t lines, std::uint64_t patience = kPatience / 4) {
  const auto done = [&] {
    for (DmaHost* const host : {&a, &b}) {
      for (const auto& [number, slot] : host->slots) {
        if (slot.dma && (slot.seen != lines || host->memory_head(number) != lines)) return false;
      }
    }
    return true;
  };
  for (const std::uint64_t end = a.shell.now() + patience; !done() && a.shell.now() < end;) {
    for (DmaHost* const host : {&a, &b}) {
      for (const auto& entry : host->slots) {
        ASSERT_NO_FATAL_FAILURE(host->produce(entry.first, lines));
        host->consume(entry.first);
      }
    }
    run(a, b, 100);
    ASSERT_EQ(a.wrong + b.wrong, "");
    ASSERT_EQ(a.shell.violation() + b.shell.violation(), "");
  }
  ASSERT_TRUE(done()) << "lines or marks are missing";
}

PcieShellOptions options_of(std::uint64_t seed) {
  return {.seed = seed, .stall_permille = seed % 2 == 0 ? 300U : 0U, .answer_clocks = seed % 3 == 0 ? 120U : 12U};
}

TEST(PcieDma, LinesAndMarksComeToHostMemory) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    DmaHost a(1, 2, options_of(seed)), b(2, 1, options_of(seed + 100));
    EXPECT_EQ(a.card.read32(regs::kCardCapabilities + regs::kCapDma), 1U);
    for (const auto& [slot, order] : {std::pair<std::uint16_t, std::uint8_t>{7, 4}, {8, kMostOrder}, {9, 2}}) {
      a.open(slot, order);
      b.open(slot, order);
      b.shell.memory().fill(DmaHost::marks_at(slot), std::byte{0x5a});
    }
    ASSERT_NO_FATAL_FAILURE(exchange_all(a, b, 300));
    expect_well(a);
    expect_well(b);
    run(a, b, 2000);
    EXPECT_EQ(b.counter(regs::CardCounter::dma_lines), 3U * 300);
    EXPECT_EQ(b.counter(regs::CardCounter::dma_refused), 0U);
    EXPECT_EQ(b.counter(regs::CardCounter::dma_marks) + 3 * 300U, b.shell.memory().writes());
    for (const auto& entry : b.slots) {
      for (std::uint64_t at = 0; at < regs::kPageBytes; at += sizeof(std::uint32_t)) {
        if (at != regs::kMarkTail && at != regs::kMarkHead) {
          ASSERT_EQ(b.shell.memory().word(DmaHost::marks_at(entry.first) + at), 0x5a5a5a5aU) << at;
        }
      }
    }
  }
}

// Lines of the one wait behind those of the other, and none is done before it is there.
TEST(PcieDma, RingsOnTheCardAndInHostMemorySideBySide) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    auto options = options_of(seed);
    options.answer_clocks = 90;
    DmaHost a(1, 2, options), b(2, 1, {.seed = seed + 50, .answer_clocks = 70});
    for (const std::uint16_t slot : kSlots2) {
      a.open(slot, 5);
      b.open(slot, 5);
    }
    for (std::uint32_t lines = 40; lines <= 200; lines += 40) {
      a.card.produce(lines);
      b.card.produce(lines);
      ASSERT_NO_FATAL_FAILURE(exchange_all(a, b, lines));
      for (unsigned i = 0; i < 40 && (a.card.consumed != lines || b.card.consumed != lines); ++i) {
        a.card.produce(lines);
        b.card.produce(lines);
        run(a, b, 1000);
        ASSERT_TRUE(a.card.consume(2));
        ASSERT_TRUE(b.card.consume(1));
      }
    }
    EXPECT_EQ(a.card.consumed, 200U);
    EXPECT_EQ(b.card.consumed, 200U);
    expect_well(a);
    expect_well(b);
  }
}

TEST(PcieDma, MarksOfAllSlotsWaitForABusThatTakesNothing) {
  DmaHost a(1, 2, {.seed = 5}), b(2, 1, {.seed = 6, .answer_clocks = 5});
  for (std::uint16_t slot = 6; slot < 26; ++slot) {
    a.open(slot, 4);
    b.open(slot, 4);
  }
  run(a, b, 2000);
  // b sends, so that its marks are IN_HEAD alone, and its bus takes none of them.
  b.shell.memory().hold = true;
  const std::uint64_t before = b.shell.memory().writes();
  for (std::uint16_t slot = 6; slot < 26; ++slot) b.produce(slot, 8);
  run(a, b, 20'000);
  for (std::uint16_t slot = 6; slot < 26; ++slot) {
    a.consume(slot);
    EXPECT_EQ(b.card_mark(slot, regs::kInHead), 8U) << "the card waits for the bus";
    b.slots[slot].produced += 4;  // lines of before
    b.doorbell(slot, regs::kInTail, 12);
  }
  run(a, b, 20'000);
  for (std::uint16_t slot = 6; slot < 26; ++slot) {
    EXPECT_EQ(b.card_mark(slot, regs::kInHead), 12U);
    EXPECT_EQ(b.memory_head(slot), 0U);
  }
  b.shell.memory().hold = false;
  run(a, b, 5000);
  for (std::uint16_t slot = 6; slot < 26; ++slot) EXPECT_EQ(b.memory_head(slot), 12U) << slot;
  EXPECT_LT(b.shell.memory().writes() - before, 20U + 5U)
      << "the newest mark alone, but for those that were on the way";
  EXPECT_EQ(b.shell.violation(), "");
}

TEST(PcieDma, RowsThatAreWrongAreRefusedAndCounted) {
  DmaHost a(1, 2, {.seed = 7});
  auto row = DmaHost::dma_row(9, 4);
  a.write_dma_row(9, row);
  const auto read = a.read_dma_row(9);
  EXPECT_EQ(std::memcmp(&read, &row, sizeof row), 0);
  EXPECT_EQ(a.read_dma_row(8).valid, 0U);
  EXPECT_EQ(a.counter(regs::CardCounter::host_refused), 0U);
  std::uint64_t refused = 0;
  const auto refuses = [&](std::uint16_t slot, const regs::DmaRow& wrong) {
    a.write_dma_row(slot, wrong);
    EXPECT_EQ(a.counter(regs::CardCounter::host_refused), ++refused);
  };
  row.ring_low += 64;
  refuses(9, row);
  row = DmaHost::dma_row(9, 4);
  row.marks_low += 0x800;
  refuses(9, row);
  refuses(9, DmaHost::dma_row(9, kMostOrder + 1));
  refuses(PcieShell::kSlots, DmaHost::dma_row(9, 4));  // behind the table
  EXPECT_EQ(a.wait(a.ask_dma_row(PcieShell::kSlots)).status, Bridge::Status::aborted);
  ++refused;
  EXPECT_EQ(std::memcmp(&read, &(row = DmaHost::dma_row(9, 4)), sizeof row), 0);
  // A piece of a row does nothing.
  const std::vector<std::byte> none(8);
  a.shell.bridge().write(regs::kPciRegistersBar, regs::kCardDmaRows + 9 * regs::kLineBytes, none);
  EXPECT_EQ(a.read_dma_row(9).valid, 1U);
  // All of them are one.
  row = DmaHost::dma_row(9, 3);
  std::vector<std::byte> bytes(regs::kLineBytes);
  std::memcpy(bytes.data(), &row, sizeof row);
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    a.shell.bridge().write(regs::kPciRegistersBar, regs::kCardDmaRows + 9 * regs::kLineBytes + at,
                           std::span(bytes).subspan(at, 8));
  }
  EXPECT_EQ(a.read_dma_row(9).order, 3U);
  EXPECT_EQ(a.counter(regs::CardCounter::host_refused), refused);
  EXPECT_EQ(a.shell.violation(), "");
}

/// A slot of b that a sends lines to, which b's card must refuse.
class Refusals : public ::testing::Test {
 protected:
  static constexpr std::uint16_t kSlot = 12, kOther = 13;
  Refusals() : a(1, 2, {.seed = 8}), b(2, 1, {.seed = 9, .stall_permille = 100, .answer_clocks = 30}) {
    a.open(kSlot, 4);
    a.open(kOther, 4);
    b.open(kOther, 4);
  }
  /// The slot faults, its lines are not acknowledged, and the other one goes on.
  void refused(std::uint32_t acknowledged, regs::Fault fault = regs::Fault::memory_refused) {
    run(a, b, 30'000);
    EXPECT_TRUE(b.faulted(kSlot, fault));
    EXPECT_EQ(a.card_mark(kSlot, regs::kInHead), acknowledged);
    EXPECT_GT(b.counter(regs::CardCounter::dma_refused), 0U);
    b.slots.erase(kSlot);
    a.slots.erase(kSlot);
    ASSERT_NO_FATAL_FAILURE(exchange_all(a, b, 50));
    expect_well(a);
    expect_well(b);
  }
  DmaHost a, b;
};

TEST_F(Refusals, ASlotWithoutARowWritesNothing) {
  const std::vector<std::byte> before = b.read(regs::kPciMemoryBar, 0, 4096).data;
  b.bind(kSlot, 4);
  b.map(kSlot, 4);
  a.produce(kSlot, 3);
  run(a, b, 10'000);
  const auto line = b.shell.memory().line(DmaHost::ring_at(kSlot));
  EXPECT_TRUE(std::all_of(line.begin(), line.end(), [](std::byte byte) { return byte == std::byte{0}; }));
  EXPECT_EQ(b.card_mark(kSlot, regs::kOutTail), 0U);
  EXPECT_EQ(b.read(regs::kPciMemoryBar, 0, 4096).data, before) << "a line for host memory went to slot memory";
  refused(0);
}

TEST_F(Refusals, ALineBeyondTheRingOfItsRowIsRefused) {
  b.map(kSlot, 2);
  b.shell.memory().map(DmaHost::ring_at(kSlot), regs::kPageBytes);
  b.write_dma_row(kSlot, DmaHost::dma_row(kSlot, 2));
  b.bind(kSlot, 4);
  for (std::uint32_t line = 1; line <= 4; ++line) {
    a.produce(kSlot, line);
    run(a, b, 3000);
  }
  EXPECT_EQ(a.card_mark(kSlot, regs::kInHead), 4U);
  EXPECT_FALSE(b.faulted(kSlot, regs::Fault::memory_refused));
  a.produce(kSlot, 5);
  run(a, b, 10'000);
  const auto line = b.shell.memory().line(DmaHost::ring_at(kSlot) + 4 * regs::kLineBytes);
  EXPECT_TRUE(std::all_of(line.begin(), line.end(), [](std::byte byte) { return byte == std::byte{0}; }));
  refused(4);
}

TEST_F(Refusals, ALineThatTheBridgeRefusesIsNotAcknowledged) {
  b.open(kSlot, 4);
  b.shell.memory().refuses = [](std::uint64_t at) { return at == DmaHost::ring_at(kSlot) + 3 * regs::kLineBytes; };
  for (std::uint32_t line = 1; line <= 5; ++line) {
    a.produce(kSlot, line);
    run(a, b, 3000);
  }
  refused(3);
}

TEST_F(Refusals, AMarkThatTheBridgeRefusesFaultsItsSlot) {
  b.open(kSlot, 4);
  run(a, b, 2000);
  b.shell.memory().refuses = [](std::uint64_t at) { return at == DmaHost::marks_at(kSlot) + regs::kMarkTail; };
  a.produce(kSlot, 2);
  run(a, b, 10'000);
  EXPECT_EQ(b.counter(regs::CardCounter::memory_refused), 0U);
  EXPECT_EQ(b.slots[kSlot].seen, 0U);
  // The lines are there and acknowledged, but the process cannot see that.
  refused(2, regs::Fault::memory);
}

// What becomes of a card whose driver was killed: it may not write any more, then it is reset, and the next driver
// binds its slots where their marks stand.
TEST_F(Refusals, AFunctionThatMayNotWriteAndIsResetLosesNothing) {
  b.open(kSlot, 4);
  run(a, b, 2000);
  a.produce(kSlot, 3);
  run(a, b, 3000);
  b.consume(kSlot);
  ASSERT_EQ(a.card_mark(kSlot, regs::kInHead), 3U);
  b.shell.memory().refuses = [](std::uint64_t) { return true; };
  a.produce(kSlot, 6);
  run(a, b, 400);
  EXPECT_FALSE(b.faulted(kSlot, regs::Fault::memory_refused));
  b.shell.bridge().function_reset();
  for (unsigned i = 0; i < 4000 && b.shell.bridge().resetting(); ++i) run(a, b, 10);
  ASSERT_FALSE(b.shell.bridge().resetting());
  b.shell.memory().refuses = nullptr;
  EXPECT_EQ(b.card_mark(kSlot, regs::kOutTail), 3U);
  EXPECT_EQ(a.card_mark(kSlot, regs::kInHead), 3U);
  EXPECT_EQ(b.counter(regs::CardCounter::memory_refused), 0U);
  b.card.configure(1);
  b.write_dma_row(kSlot, DmaHost::dma_row(kSlot, 4));
  regs::SlotRow row = b.row(kSlot);
  EXPECT_EQ(row.state, static_cast<std::uint8_t>(regs::SlotState::free));
  row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
  row.out_tail = row.out_head = row.told_ack = 3;
  row.sent = row.high = row.limit = row.in_tail = row.in_head;
  row.flags = 0;
  b.card.write_row(regs::kCardSlotRows + kSlot * regs::kLineBytes, row);
  a.slots.erase(kOther);
  b.slots.erase(kOther);
  ASSERT_NO_FATAL_FAILURE(exchange_all(a, b, 50));
  expect_well(a);
  expect_well(b);
}

// The driver takes a slot's pages back under load. When it has read the row it gives them away.
TEST(PcieDma, NothingIsWrittenAfterARowWasTakenBack) {
  for (std::uint64_t seed = 1; seed <= 16; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    auto options = options_of(seed);
    options.answer_clocks = 200;
    DmaHost a(1, 2, {.seed = seed}), b(2, 1, options);
    for (const std::uint16_t slot : kSlots3) {
      a.open(slot, 5);
      b.open(slot, 5);
    }
    for (const std::uint16_t slot : kSlots3) {
      a.produce(slot, 32);
      b.produce(slot, 32);
    }
    run(a, b, random.between(20, 900));
    // Half of the time without its slot's row, as no driver does it: then the slot faults.
    if (seed % 2 != 0) b.unbind(8);
    b.write_dma_row(8, {});
    const std::uint64_t tag = b.ask_dma_row(8);
    EXPECT_EQ(DmaHost::as_dma_row(b.wait(tag)).valid, 0U);
    b.unmap(8, 5);
    b.slots.erase(8);
    a.slots.erase(8);
    ASSERT_NO_FATAL_FAILURE(exchange_all(a, b, 64));
    run(a, b, 2000);
    expect_well(a);
    expect_well(b);
    // Somebody else has the slot and the pages: nothing of before is there.
    b.unbind(8);
    a.unbind(8);
    a.unmap(8, 5);
    a.open(8, 5);
    b.open(8, 5);
    a.slots[8].seen = a.slots[8].told = 0;
    ASSERT_NO_FATAL_FAILURE(exchange_all(a, b, 64));
    expect_well(b);
  }
}

// A mark that waited for the bus when its slot's row was taken back must not go where the slot's next row says.
TEST(PcieDma, AMarkThatWaitsDoesNotGoToTheNextOwner) {
  constexpr std::uint16_t kFirst = 6, kLast = 59;
  constexpr std::uint64_t kOtherMarks = kMarksAt + 0x10'0000;
  DmaHost a(1, 2, {.seed = 3}),
      b(2, 1, {.seed = 4, .stall_permille = 900, .answer_clocks = 200, .least_answer_clocks = 200});
  for (std::uint16_t slot = kFirst; slot <= kLast; ++slot) {
    a.open(slot, 2);
    b.open(slot, 2);
  }
  run(a, b, 60'000);
  b.shell.memory().hold = true;
  for (std::uint16_t slot = kFirst; slot <= kLast; ++slot) b.produce(slot, 2);
  // The last slot whose mark moves is the last in the queue.
  std::vector<std::uint16_t> moving;
  for (std::uint16_t slot = kFirst; slot <= kLast; ++slot) moving.push_back(slot);
  std::uint16_t last = kLast;
  for (unsigned i = 0; i < 2000 && !moving.empty(); ++i) {
    run(a, b, 10);
    std::erase_if(moving, [&](std::uint16_t slot) {
      const bool moved = b.card_mark(slot, regs::kInHead) == 2;
      if (moved) last = slot;
      return moved;
    });
  }
  ASSERT_TRUE(moving.empty());
  b.unbind(last);
  b.write_dma_row(last, {});
  const std::uint64_t tag = b.ask_dma_row(last);
  run(a, b, 2000);
  EXPECT_FALSE(b.shell.bridge().completed(tag)) << "marks wait for the bus";
  unsigned strays = 0;
  b.shell.memory().written = [&strays](std::uint64_t at) {
    strays += at / regs::kPageBytes == kOtherMarks / regs::kPageBytes;
  };
  b.shell.memory().hold = false;
  b.shell.memory().map(kOtherMarks, regs::kPageBytes);
  EXPECT_EQ(DmaHost::as_dma_row(b.wait(tag)).valid, 0U);
  for (const auto& entry : b.slots) {
    if (entry.first == last) continue;
    EXPECT_EQ(b.memory_head(entry.first), 2U) << "the row was read before marks that waited";
  }
  regs::DmaRow next = DmaHost::dma_row(last, 2);
  next.marks_low = static_cast<std::uint32_t>(kOtherMarks);
  b.write_dma_row(last, next);
  run(a, b, 60'000);
  EXPECT_EQ(strays, 0U) << "a mark of before was written where the next owner's are";
  EXPECT_EQ(b.shell.violation(), "");
}

TEST(PcieDma, AFunctionIsResetUnderLoad) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    auto options = options_of(seed);
    options.answer_clocks = 400;
    DmaHost a(1, 2, {.seed = seed}), b(2, 1, options);
    for (const std::uint16_t slot : kSlots3) {
      a.open(slot, 5);
      b.open(slot, 5);
      a.produce(slot, 32);
      b.produce(slot, 32);
    }
    run(a, b, random.between(20, 900));
    b.shell.bridge().function_reset();
    for (unsigned i = 0; i < 4000 && b.shell.bridge().resetting(); ++i) run(a, b, 10);
    ASSERT_FALSE(b.shell.bridge().resetting());
    EXPECT_TRUE(b.shell.memory().answered()) << "the reset ended before its writes";
    b.shell.memory().deliver();
    for (const std::uint16_t slot : kSlots3) {
      b.unmap(slot, 5);
      EXPECT_EQ(b.read_dma_row(slot).valid, 0U);
    }
    run(a, b, 5000);
    expect_well(b);
    // A driver begins anew.
    for (const std::uint16_t slot : kSlots3) a.unbind(slot);
    b.slots.clear();
    a.slots.clear();
    b.card.configure(1);
    a.open(20, 4);
    b.open(20, 4);
    ASSERT_NO_FATAL_FAILURE(exchange_all(a, b, 40));
    expect_well(a);
    expect_well(b);
  }
}

TEST(PcieDma, TheBridgeIsResetUnderLoad) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    DmaHost a(1, 2, {.seed = seed}), b(2, 1, options_of(seed));
    a.open(7, 5);
    b.open(7, 5);
    a.produce(7, 32);
    run(a, b, random.between(20, 600));
    b.shell.bridge().bus_reset(true);
    run(a, b, 50);
    b.shell.bridge().bus_reset(false);
    run(a, b, 200);
    b.shell.memory().deliver();
    b.unmap(7, 5);
    b.slots.clear();
    a.unbind(7);
    a.slots.clear();
    b.card.configure(1);
    a.open(20, 4);
    b.open(20, 4);
    ASSERT_NO_FATAL_FAILURE(exchange_all(a, b, 40));
    expect_well(a);
    expect_well(b);
  }
}

TEST(PcieDma, AnInterruptComesBehindItsMarks) {
  // Two slots of two vectors, whose interrupts come at the same time.
  constexpr std::array<std::uint16_t, 2> kSlots{11, 12};
  const auto message_of = [](std::uint16_t slot) { return Bridge::Message{kMessageAt, slot}; };
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    auto options = options_of(seed);
    options.answer_clocks = 300;
    DmaHost a(1, 2, {.seed = seed}), b(2, 1, options);
    auto& bridge = b.shell.bridge();
    for (const std::uint16_t slot : kSlots) {
      a.open(slot, 4);
      b.open(slot, 4);
      bridge.set_vector(slot % Bridge::kVectors, message_of(slot), false);
    }
    run(a, b, 2000);
    bridge.enable_msix(true);
    b.card.write32(regs::kCardControl + regs::kCtlPending, ~0U);
    b.card.write32(regs::kCardControl + regs::kCtlEnabled, 0xff);
    run(a, b, 2000);
    for (std::uint32_t line = 1; line <= 8; ++line) {
      b.card.write32(regs::kCardControl + regs::kCtlPending, ~0U);
      run(a, b, 500);
      bridge.messages.clear();
      for (const std::uint16_t slot : kSlots) a.produce(slot, line);
      for (const std::uint16_t slot : kSlots) {
        const auto came = [&] {
          return std::find(bridge.messages.begin(), bridge.messages.end(), message_of(slot)) != bridge.messages.end();
        };
        for (unsigned i = 0; i < 2000 && !came(); ++i) run(a, b, 10);
        ASSERT_TRUE(came()) << "no message for slot " << slot;
        ASSERT_EQ(b.slots[slot].seen, line) << "the process is woken and sees nothing";
        b.consume(slot);
      }
    }
    expect_well(b);
  }
}

}  // namespace
}  // namespace slotwire::sim
