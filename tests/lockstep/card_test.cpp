// The simulated card by itself: what a driver sees that lockstep does not look at.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "card_fixture.hpp"
#include "core/pipeline/frame.hpp"
#include "sim/card/card_driver.hpp"
#include "sim/lockstep/program.hpp"

namespace {
using namespace slotwire;
using lockstep::Card;
using sim::Line;
using sim::SimCardDriver;

lockstep::Bytes one_line(std::uint16_t slot, std::uint32_t seq) {
  lockstep::Bytes bytes;
  build_frame(lockstep::FrameIn{.dst_slot = slot, .src_slot = 2, .seq = seq, .credit = 16, .lines = 1}, bytes);
  return bytes;
}

TEST_F(Card, SaysWhatItIs) {
  const auto c = driver->probe();
  ASSERT_TRUE(c) << driver->error();
  EXPECT_EQ(c->slots, 16U);
  EXPECT_EQ(c->links, 16U);
  EXPECT_EQ(c->max_ring_order, 10U);
  EXPECT_EQ(c->memory_lines, 65536U);
  EXPECT_EQ(c->max_frame_lines, 32U);
  EXPECT_EQ(c->vectors, 4U);
  EXPECT_EQ(c->rules, 16U);
}

TEST_F(Card, SlotMemoryTakesBytes) {
  Line line;
  lockstep::fill_line(line.data(), 1, 2);
  ASSERT_TRUE(driver->write_line(SimCardDriver::memory_address(77), line));
  Line part{};
  part[9] = std::byte{0xab};
  ASSERT_TRUE(driver->write_line(SimCardDriver::memory_address(77), part, std::uint64_t{1} << 9));
  ASSERT_TRUE(driver->rest());
  line[9] = std::byte{0xab};
  const auto read = driver->read_line(SimCardDriver::memory_address(77));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, line);
}

// A read comes after the writes before it, however long memory takes.
TEST_F(Card, AReadSeesTheWritesBeforeIt) {
  for (const bool random : {false, true}) {
    power_on({.random_memory = random, .memory_latency = random ? 40U : 4U, .stall_permille = random ? 200U : 0U});
    for (std::uint32_t step = 0; step < 200; ++step) {
      Line line;
      lockstep::fill_line(line.data(), step, 3);
      const std::uint32_t address = SimCardDriver::memory_address(step % 3);
      ASSERT_TRUE(driver->write_line(address, line));
      const auto read = driver->read_line(address);
      ASSERT_TRUE(read);
      ASSERT_EQ(*read, line) << "step " << step;
    }
  }
}

// Proxy marks read after a slot was bound are those of the new pairing, not of the one before.
TEST_F(Card, AReadOfMarksSeesTheBindingBeforeIt) {
  const auto tail = static_cast<std::uint32_t>(regs::kOutTail), head = static_cast<std::uint32_t>(regs::kInHead);
  for (std::uint32_t step = 1; step <= 50; ++step) {
    for (const std::uint16_t slot : {std::uint16_t{3}, std::uint16_t{4}}) {
      regs::SlotRow row{};
      row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
      row.in_order = row.out_order = 4;
      row.peer_slot = 2;
      row.in_base = 2048U * slot;
      row.out_base = row.in_base + 1024;
      row.in_tail = row.in_head = row.sent = row.high = step;
      row.limit = step + 16;
      row.out_tail = row.out_head = row.told_ack = 1000 * step;
      ASSERT_TRUE(driver->write_row(slot, row));
      ASSERT_EQ(driver->read_word(SimCardDriver::proxy_page(slot) + tail), 1000 * step);
      ASSERT_EQ(driver->read_word(SimCardDriver::proxy_page(slot) + head), step);
      row.state = static_cast<std::uint8_t>(regs::SlotState::free);
      ASSERT_TRUE(driver->write_row(slot, row));
    }
  }
}

// Every write to where there is nothing, or of a wrong size, is counted and without effect.
TEST_F(Card, RefusesWhatItHasNot) {
  const Line line{};
  const std::uint32_t nowhere[] = {
      static_cast<std::uint32_t>(regs::kCardCapabilities),  // read-only
      SimCardDriver::row_address(16),                       // beyond the table
      SimCardDriver::link_address(16),
      SimCardDriver::process_page(16),
      SimCardDriver::proxy_page(3),  // read-only
      SimCardDriver::process_page(3) + static_cast<std::uint32_t>(regs::kMarkWait),
      SimCardDriver::memory_address(65536),
      static_cast<std::uint32_t>(regs::kCardClassifier + 16 * regs::kLineBytes),  // beyond the rules
      0x0300'0000U,
  };
  std::uint64_t refused = counter(regs::CardCounter::host_refused);
  for (const std::uint32_t address : nowhere) {
    ASSERT_TRUE(driver->write_line(address, line));
    ASSERT_TRUE(driver->rest());
    EXPECT_EQ(counter(regs::CardCounter::host_refused), ++refused) << std::hex << address;
  }
  ASSERT_TRUE(driver->write_line(SimCardDriver::row_address(3), line, 0xffff));  // half a row
  ASSERT_TRUE(driver->write_line(SimCardDriver::link_address(3), line, 0xffff));
  ASSERT_TRUE(driver->write_line(SimCardDriver::process_page(3), line, 0x3));                        // half a mark
  ASSERT_TRUE(driver->write_line(static_cast<std::uint32_t>(regs::kCardClassifier), line, 0xffff));  // half a rule
  ASSERT_TRUE(driver->rest());
  EXPECT_EQ(counter(regs::CardCounter::host_refused), refused + 4);
  EXPECT_EQ(driver->read_row(3)->state, 0);
  ASSERT_TRUE(driver->error().empty());
  EXPECT_FALSE(driver->read_line(0x0300'0000U));
  EXPECT_NE(driver->error().find("refuses"), std::string::npos);
}

// What the rules of the classifier say stands beside each frame for the host; what no rule knows goes on as it always
// did.
TEST_F(Card, TheClassifierTellsTheHostsFramesApart) {
  const auto arrives = [&](std::uint8_t last_byte) {
    lockstep::Bytes frame(200, std::byte{0x5a});
    frame[12] = std::byte{0x88}, frame[13] = std::byte{0xb5}, frame[5] = static_cast<std::byte>(last_byte);
    EXPECT_TRUE(core->wire_in().push(frame));
    EXPECT_TRUE(driver->rest()) << driver->error();
    std::optional<std::uint64_t> verdict;
    if (!core->to_host().empty()) {
      const sim::FrameQueue::Frame seen = core->to_host().front();
      EXPECT_TRUE(std::equal(frame.begin(), frame.end(), seen.bytes.begin(), seen.bytes.end()));
      verdict = seen.verdict;
      core->to_host().pop();
    }
    EXPECT_TRUE(core->to_host().empty());
    return verdict;
  };
  EXPECT_EQ(arrives(1), 0U);
  regs::ClassifierRule rule{};
  rule.action = static_cast<std::uint8_t>(regs::ClassifierAction::queue);
  rule.dst_mac_low_mask = 0xff;
  rule.dst_mac_low = 1;
  rule.host_queue = 3;
  rule.marks = 1;
  rule.mark = 0xabcdef;
  ASSERT_TRUE(driver->write_rule(15, rule));
  rule.action = static_cast<std::uint8_t>(regs::ClassifierAction::drop);
  rule.dst_mac_low = 2;
  ASSERT_TRUE(driver->write_rule(4, rule));
  EXPECT_EQ(arrives(1), std::uint64_t{1} << 32 | std::uint64_t{0xabcdef} << 8 | 3U);
  EXPECT_EQ(arrives(2), std::nullopt);
  EXPECT_EQ(arrives(3), 0U);
  ASSERT_TRUE(driver->write_default_rule(regs::ClassifierAction::queue, 7));
  EXPECT_EQ(arrives(3), 7U);
  ASSERT_TRUE(driver->write_default_rule(regs::ClassifierAction::drop));
  EXPECT_EQ(arrives(3), std::nullopt);
  EXPECT_EQ(counter(regs::CardCounter::drop_by_rule), 2U);
  EXPECT_EQ(counter(regs::CardCounter::drop_to_host), 0U);
  EXPECT_EQ(counter(regs::CardCounter::pass_to_host), 4U);
  core->reset();
  EXPECT_EQ(arrives(2), 0U) << "a reset forgets the rules";
}

TEST_F(Card, RaisesAnInterruptWhenMarksMove) {
  bind(5);
  ASSERT_TRUE(driver->rest());
  while (driver->pop_moved()) {
  }
  const auto pending = static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlPending);
  const auto enabled = static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlEnabled);
  ASSERT_TRUE(driver->write_word(pending, ~0U));
  ASSERT_TRUE(driver->rest());
  const std::uint32_t before = core->interrupts();
  lockstep::FrameIn frame{.dst_slot = 5, .src_slot = 2, .credit = 16, .lines = 1};
  lockstep::Bytes bytes;
  build_frame(frame, bytes);
  core->wire_in().push(bytes);
  ASSERT_TRUE(driver->rest());
  // Pending, but not enabled.
  EXPECT_EQ(core->interrupts(), before);
  EXPECT_EQ(driver->read_word(pending), 1U << (5 % 4));
  EXPECT_EQ(driver->pop_moved(), 5);
  EXPECT_FALSE(driver->pop_moved());
  ASSERT_TRUE(driver->write_word(enabled, 0xf));
  ASSERT_TRUE(driver->rest());
  EXPECT_EQ(core->interrupts(), before + 1);
  // Once, until it is cleared.
  frame.seq = 1;
  build_frame(frame, bytes);
  core->wire_in().push(bytes);
  ASSERT_TRUE(driver->rest());
  EXPECT_EQ(core->interrupts(), before + 1);
}

// A vector that was raised is not raised again before the moderation's microseconds are over, and then at once.
TEST_F(Card, InterruptsKeepTheirDistance) {
  constexpr std::uint32_t kDistanceUs = 100;
  bind(5);
  const auto pending = static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlPending);
  const auto moved = [&](std::uint32_t seq) {
    core->wire_in().push(one_line(5, seq));
    ASSERT_TRUE(driver->rest());
    ASSERT_TRUE(driver->pop_moved());
  };
  const auto clear = [&] {
    ASSERT_TRUE(driver->write_word(pending, ~0U));
    ASSERT_TRUE(driver->rest());
  };
  while (driver->pop_moved()) {
  }
  clear();
  std::uint32_t now = 1'000'000;
  core->set_now_us(now);
  ASSERT_TRUE(driver->write_word(static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlModeration), kDistanceUs));
  ASSERT_TRUE(driver->write_word(static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlEnabled), 0xf));
  const std::uint32_t before = core->interrupts();
  moved(0);
  EXPECT_EQ(core->interrupts(), before + 1);
  clear();
  core->set_now_us(now + kDistanceUs - 1);
  moved(1);
  EXPECT_EQ(core->interrupts(), before + 1);
  EXPECT_EQ(driver->read_word(pending), 1U << (5 % 4));
  now += kDistanceUs;
  core->set_now_us(now);
  driver->clock(4);
  EXPECT_EQ(core->interrupts(), before + 2);
  clear();
  core->set_now_us(now + 10 * kDistanceUs);
  driver->clock(100);
  EXPECT_EQ(core->interrupts(), before + 2) << "nothing moved";
  moved(2);
  EXPECT_EQ(core->interrupts(), before + 3);
}

// A host that takes nothing loses frames of its own, whole ones, each counted; slots do not notice.
TEST_F(Card, AHostThatTakesNothingHoldsUpNobody) {
  constexpr std::uint32_t kFrames = 80;
  bind(5);
  ASSERT_TRUE(driver->rest());
  const lockstep::Bytes stuffing(64, std::byte{1});
  while (core->to_host().push(stuffing)) {
  }
  std::vector<lockstep::Bytes> sent(kFrames);
  for (std::uint32_t i = 0; i < kFrames; ++i) {
    sent[i] = one_line(5, 0);
    sent[i][0] = std::byte{0x06};  // another station's
    sent[i].resize(1400, static_cast<std::byte>(i));
    ASSERT_TRUE(core->wire_in().push(sent[i]));
    if (i < 16) {
      ASSERT_TRUE(core->wire_in().push(one_line(5, i)));
    }
  }
  driver->clock(20'000);
  EXPECT_TRUE(core->wire_in().empty());
  EXPECT_EQ(driver->read_word(SimCardDriver::proxy_page(5) + static_cast<std::uint32_t>(regs::kOutTail)), 16U);
  const std::uint64_t dropped = counter(regs::CardCounter::drop_to_host);
  EXPECT_GT(dropped, 0U);
  for (std::size_t n = core->to_host().size(); n != 0; --n) core->to_host().pop();
  ASSERT_TRUE(driver->rest());
  EXPECT_EQ(core->to_host().size(), kFrames - dropped);
  std::size_t next = 0;
  for (; !core->to_host().empty(); core->to_host().pop()) {
    const auto bytes = core->to_host().front().bytes;
    while (next < sent.size() && !std::ranges::equal(bytes, sent[next])) ++next;
    ASSERT_LT(next, sent.size()) << "a frame that was not sent, or out of order";
    ++next;
  }
  EXPECT_EQ(counter(regs::CardCounter::drop_to_host), dropped);
  // And all of those that come now.
  for (const auto& frame : sent) {
    ASSERT_TRUE(core->wire_in().push(frame));
    ASSERT_TRUE(driver->rest());
    ASSERT_FALSE(core->to_host().empty());
    EXPECT_TRUE(std::ranges::equal(core->to_host().front().bytes, frame));
    core->to_host().pop();
  }
}

// When the card has another address, frames to the one before are the host's.
TEST_F(Card, TakesFramesToTheAddressThatItHas) {
  bind(5);
  ASSERT_TRUE(driver->rest());
  const auto tail = [&] {
    return driver->read_word(SimCardDriver::proxy_page(5) + static_cast<std::uint32_t>(regs::kOutTail));
  };
  core->wire_in().push(one_line(5, 0));
  ASSERT_TRUE(driver->rest());
  EXPECT_EQ(tail(), 1U);
  sim::Endpoint other = lockstep::own_endpoint();
  other.mac ^= 0x10;
  other.ip ^= 1;
  other.port ^= 1;
  ASSERT_TRUE(driver->configure(other));
  ASSERT_TRUE(driver->rest());
  core->wire_in().push(one_line(5, 1));
  ASSERT_TRUE(driver->rest());
  EXPECT_EQ(tail(), 1U);
  ASSERT_EQ(core->to_host().size(), 1U);
  EXPECT_TRUE(std::ranges::equal(core->to_host().front().bytes, one_line(5, 1)));
  ASSERT_TRUE(driver->configure(lockstep::own_endpoint()));
  ASSERT_TRUE(driver->rest());
  core->wire_in().push(one_line(5, 1));
  ASSERT_TRUE(driver->rest());
  EXPECT_EQ(tail(), 2U);
  EXPECT_EQ(core->to_host().size(), 1U);
}

// After a reset rows are made free one after the other. Marks and rows that come at once wait for that: otherwise they
// would meet rows from before, or be undone.
TEST_F(Card, NothingTakesEffectBeforeAResetHasPassed) {
  for (const std::uint16_t slot : lockstep::numbers(16)) bind(slot);
  ASSERT_TRUE(driver->rest());
  core->reset();
  sim::Line mark{};
  mark[0] = std::byte{200};  // more than a ring beyond IN_HEAD
  for (std::uint16_t slot = 15; slot > 7; --slot) {
    ASSERT_TRUE(
        core->host_write(SimCardDriver::process_page(slot) + static_cast<std::uint32_t>(regs::kInTail), mark, 0xf));
  }
  ASSERT_TRUE(driver->rest()) << driver->error();
  EXPECT_FALSE(driver->pop_event()) << "a mark met a row from before the reset";
  for (const std::uint16_t slot : lockstep::numbers(16)) {
    EXPECT_EQ(driver->read_row(slot)->state, static_cast<std::uint8_t>(regs::SlotState::free));
    EXPECT_EQ(driver->read_row(slot)->in_tail, 0U);
  }
}

TEST_F(Card, ARowThatIsWrittenRightAfterAResetStays) {
  core->reset();
  bind(15);
  ASSERT_TRUE(driver->rest()) << driver->error();
  EXPECT_EQ(driver->read_row(15)->state, static_cast<std::uint8_t>(regs::SlotState::bound));
}

// A line that memory does not take: its slot stops by that name, OUT_TAIL ends where its frame begins, and nothing from
// there on is acknowledged, not even by an acknowledgement that is due at once. Memory is slow, so that there is time
// to decide on one.
TEST_F(Card, ALineThatMemoryRefusesIsNeitherShownNorAcknowledged) {
  power_on({.memory_latency = 60});
  bind(5);
  bind(6);
  const auto data = [](std::uint16_t slot, std::uint32_t seq, std::uint16_t lines) {
    lockstep::Bytes bytes;
    build_frame(lockstep::FrameIn{.dst_slot = slot, .src_slot = 2, .seq = seq, .credit = 16, .lines = lines}, bytes);
    return bytes;
  };
  core->wire_in().push(data(5, 0, 4));
  core->wire_in().push(data(6, 0, 4));
  ASSERT_TRUE(driver->rest()) << driver->error();
  const auto sent = [this](std::uint16_t slot) {
    std::vector<pipeline::Header> headers;
    for (; !core->wire_out().empty(); core->wire_out().pop()) {
      const auto datagram = sim::unwrap(lockstep::peer_endpoint(0), core->wire_out().front().bytes);
      const pipeline::Header h = pipeline::decode(datagram->link_frame.first<regs::kHeaderBytes>());
      if (h.src_slot == slot) headers.push_back(h);
    }
    return headers;
  };
  sent(5);
  core->refuse_write(2048U * 5 + 1024, 16, 2);
  core->wire_in().push(data(5, 4, 4));  // its second line is refused
  core->wire_in().push(data(5, 8, 4));
  core->wire_in().push(data(6, 4, 4));
  ASSERT_TRUE(driver->rest()) << driver->error();
  EXPECT_TRUE(core->violation().empty()) << core->violation();
  EXPECT_EQ(core->writes_refused(), 1U);
  EXPECT_EQ(driver->read_row(5)->state, static_cast<std::uint8_t>(regs::SlotState::faulted));
  EXPECT_EQ(driver->read_row(5)->fault, static_cast<std::uint8_t>(regs::Fault::memory_refused));
  EXPECT_EQ(driver->read_row(5)->out_tail, 4U);
  EXPECT_EQ(driver->read_word(SimCardDriver::proxy_page(5) + static_cast<std::uint32_t>(regs::kOutTail)), 4U);
  EXPECT_EQ(driver->read_word(SimCardDriver::proxy_page(6) + static_cast<std::uint32_t>(regs::kOutTail)), 8U);
  EXPECT_EQ(driver->read_row(6)->state, static_cast<std::uint8_t>(regs::SlotState::bound));
  const auto event = driver->pop_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->slot, 5);
  EXPECT_EQ(event->fault, regs::Fault::memory_refused);
  EXPECT_FALSE(driver->pop_event());
  EXPECT_EQ(counter(regs::CardCounter::memory_refused), 1U);
  const auto frames = sent(5);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].type, regs::FrameType::reset);
  EXPECT_EQ(frames[0].ack, 4U);
  // Bound anew, it is a slot as any other.
  ASSERT_TRUE(driver->write_row(5, {}));
  bind(5);
  ASSERT_TRUE(driver->rest()) << driver->error();
  core->wire_in().push(data(5, 0, 4));
  ASSERT_TRUE(driver->rest()) << driver->error();
  EXPECT_EQ(driver->read_word(SimCardDriver::proxy_page(5) + static_cast<std::uint32_t>(regs::kOutTail)), 4U);
  const auto again = sent(5);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].type, regs::FrameType::ack);
}

// All of memory refuses: every slot stops, each is told of once, and the card comes to rest.
TEST_F(Card, AMemoryThatRefusesEverythingStopsEverySlot) {
  power_on({.memory_latency = 200});
  for (const std::uint16_t slot : lockstep::numbers(16)) bind(slot);
  core->refuse_all(true);
  for (std::uint32_t seq = 0; seq < 4; ++seq) {
    for (const std::uint16_t slot : lockstep::numbers(16)) core->wire_in().push(one_line(slot, seq));
  }
  ASSERT_TRUE(driver->rest()) << driver->error();
  unsigned events = 0;
  for (auto event = driver->pop_event(); event; event = driver->pop_event(), ++events) {
    EXPECT_EQ(event->fault, regs::Fault::memory_refused);
  }
  EXPECT_EQ(events, 16U);
  for (const std::uint16_t slot : lockstep::numbers(16)) EXPECT_EQ(driver->read_row(slot)->out_tail, 0U);
}

// A line that memory cannot give stops its slot, is never sent, and touches no other slot.
TEST_F(Card, ALineWithWrongParityFaultsItsSlotAlone) {
  bind(5);
  bind(6);
  for (std::uint32_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(driver->write_line(SimCardDriver::memory_address(2048 * 5 + i), {}));
    ASSERT_TRUE(driver->write_line(SimCardDriver::memory_address(2048 * 6 + i), {}));
  }
  ASSERT_TRUE(driver->rest());
  core->break_line(2048 * 5 + 1);
  ASSERT_TRUE(driver->doorbell(5, false, 3));
  ASSERT_TRUE(driver->doorbell(6, false, 3));
  ASSERT_TRUE(driver->rest()) << driver->error();
  EXPECT_EQ(driver->read_row(5)->state, static_cast<std::uint8_t>(regs::SlotState::faulted));
  EXPECT_EQ(driver->read_row(5)->fault, static_cast<std::uint8_t>(regs::Fault::memory));
  EXPECT_EQ(driver->read_row(6)->state, static_cast<std::uint8_t>(regs::SlotState::bound));
  const auto event = driver->pop_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->slot, 5);
  EXPECT_EQ(event->fault, regs::Fault::memory);
  EXPECT_FALSE(driver->pop_event());
  EXPECT_GE(counter(regs::CardCounter::memory_errors), 1U);
  unsigned data = 0, resets = 0;
  for (; !core->wire_out().empty(); core->wire_out().pop()) {
    const auto datagram = sim::unwrap(lockstep::peer_endpoint(0), core->wire_out().front().bytes);
    ASSERT_TRUE(datagram);
    const pipeline::Header h = pipeline::decode(datagram->link_frame.first<regs::kHeaderBytes>());
    if (h.src_slot == 6) {
      EXPECT_EQ(h.type, regs::FrameType::data);
      ++data;
    } else {
      EXPECT_EQ(h.type, regs::FrameType::reset);
      ++resets;
    }
  }
  EXPECT_EQ(data, 1U);
  EXPECT_EQ(resets, 1U);
}

TEST_F(Card, SameSeedSameClocks) {
  const auto clocks = [&](std::uint64_t seed) {
    power_on({.seed = seed, .random_memory = true, .memory_latency = 50, .stall_permille = 300});
    bind(1);
    for (std::uint32_t i = 0; i < 10; ++i) driver->write_line(SimCardDriver::memory_address(2048 + i), {});
    driver->doorbell(1, false, 10);
    EXPECT_TRUE(driver->rest());
    return core->wire_out().empty() ? 0 : core->wire_out().front().last_clock;
  };
  const std::uint64_t first = clocks(1);
  EXPECT_NE(first, 0U);
  EXPECT_EQ(clocks(1), first);
  EXPECT_NE(clocks(2), first);
}

/// When what was last seen at the ports; 0: not yet.
class Clocks final : public sim::PortWatcher {
 public:
  void host_request(std::uint64_t clock, bool write, std::uint32_t /*address*/, const Line& /*data*/) override {
    (write ? wrote : read) = clock;
  }
  void wire_beat(std::uint64_t clock, bool out, bool first, bool last, const Line& /*data*/) override {
    if (out && first) began = clock;
    if (!out && last) ended = clock;
  }
  void memory_write(std::uint64_t clock, std::uint32_t /*line*/) override {
    if (lines++ == 0) first_line = clock;
    last_line = clock;
  }
  void out_tail(std::uint64_t clock) override { shown = clock; }
  std::uint64_t wrote = 0, read = 0, began = 0, ended = 0, shown = 0, first_line = 0, last_line = 0, lines = 0;
};

// What docs/card.md says of clocks, with a memory that takes 3.
TEST_F(Card, KeepsItsClocks) {
  power_on({.memory_latency = 3});
  constexpr std::uint16_t kSlots = 16;
  for (const std::uint16_t slot : lockstep::numbers(kSlots)) bind(slot);
  Clocks clocks;
  core->watch(&clocks);
  ASSERT_TRUE(driver->rest());
  ASSERT_TRUE(driver->doorbell(5, false, 1));
  ASSERT_TRUE(driver->rest()) << driver->error();
  EXPECT_EQ(clocks.began - clocks.wrote, 11U);
  core->wire_in().push(one_line(5, 0));
  ASSERT_TRUE(driver->rest());
  EXPECT_EQ(clocks.shown - clocks.ended, 11U);  // 3 of them until the write is done
  // Frames slot by slot: the wire's two beats each, whatever the sweep over timers does beside.
  constexpr std::uint32_t kRounds = 8;
  clocks.lines = 0;
  for (std::uint32_t round = 0; round < kRounds; ++round) {
    for (const std::uint16_t slot : lockstep::numbers(kSlots)) {
      core->wire_in().push(one_line(slot, slot == 5 ? round + 1 : round));
    }
  }
  ASSERT_TRUE(driver->rest());
  ASSERT_EQ(clocks.lines, std::uint64_t{kRounds} * kSlots);
  EXPECT_EQ(clocks.last_line - clocks.first_line, 2 * (clocks.lines - 1));
  core->watch(nullptr);
}

// What is told of OUT_TAIL is what the host reads: the old one in the clock before, the new one in that clock.
TEST_F(Card, TellsWhenOutTailCanBeRead) {
  // A read of the mark taken in the given clock of the same run, and when the mark moved.
  const auto mark_at = [&](std::uint64_t clock) {
    power_on({});
    bind(5);
    Clocks clocks;
    core->watch(&clocks);
    EXPECT_TRUE(driver->rest());
    core->wire_in().push(one_line(5, 0));
    while (core->now() < clock) driver->clock();
    if (clock != 0) {
      EXPECT_TRUE(core->host_read(SimCardDriver::proxy_page(5) + static_cast<std::uint32_t>(regs::kOutTail)));
    }
    EXPECT_TRUE(driver->rest());
    core->watch(nullptr);
    std::uint32_t mark = 0;
    if (clock != 0) {
      EXPECT_EQ(clocks.read, clock);
      const sim::SimCore::Answer answer = core->take_answer();
      std::memcpy(&mark, answer.data.data(), sizeof mark);
    }
    return std::pair(clocks.shown, mark);
  };
  const std::uint64_t shown = mark_at(0).first;
  ASSERT_NE(shown, 0U);
  EXPECT_EQ(mark_at(shown - 1), std::pair(shown, 0U));
  EXPECT_EQ(mark_at(shown), std::pair(shown, 1U));
}

}  // namespace
