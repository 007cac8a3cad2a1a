// The relay between processes and a card: rows, lines and marks over a host bus, and what comes of those that cannot
// be.
#include "driver/relay/hardware_mover.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "driver_relay_fixture.hpp"

namespace slotwire::driver {
namespace {

using namespace relay_test;

TEST_F(Relay, BindWritesTheRow) {
  start();
  link_up();
  relay_->prepare_slot(2, kCardLink);
  relay_->open_slot(2, kOrder, 5, true);
  EXPECT_EQ(card_.state(2), SlotState::free);
  relay_->bind(2, {.link = kCardLink,
                   .peer_slot = 9,
                   .epoch = 77,
                   .in_order = kOrder,
                   .out_order = 5,
                   .credit = 32,
                   .marks = {.in_tail = 12, .in_head = 10, .out_tail = 8, .out_head = 5}});
  const SlotRow& row = card_.rows[2];
  EXPECT_EQ(card_.state(2), SlotState::bound);
  EXPECT_EQ(row.in_order, kOrder);
  EXPECT_EQ(row.out_order, 5);
  EXPECT_EQ(row.link, kCardLink);
  EXPECT_EQ(row.peer_slot, 9);
  EXPECT_EQ(row.epoch, 77);
  EXPECT_EQ(row.in_tail, 12U);
  EXPECT_EQ(row.in_head, 10U);
  EXPECT_EQ(row.out_tail, 8U);
  EXPECT_EQ(row.out_head, 5U);
  EXPECT_EQ(row.limit, 42U);
  EXPECT_NE(row.in_base, 0U) << "the first line names the card's life";
  EXPECT_EQ(row.in_base % kSize, 0U);
  EXPECT_EQ(row.out_base % 32, 0U);
  relay_->unbind(2);
  EXPECT_EQ(card_.state(2), SlotState::free);
  EXPECT_EQ(card_.rows[2].in_base, 0U);
}

TEST_F(Relay, LinesGoBeforeTheirDoorbell) {
  start();
  link_up();
  bound(1);
  card_.log.clear();
  produce(3, 10);
  relay_->look(1);
  EXPECT_EQ(card_.log, "mt");
  EXPECT_EQ(card_.rows[1].in_tail, 3U);
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(on_card(1, i), line_of(10 + i));
  EXPECT_FALSE(relay_->drained(1));
  card_.release(1, 3);
  poll();
  EXPECT_EQ(shown_head(), 3U);
  EXPECT_TRUE(relay_->drained(1));
  card_.log.clear();
  produce(kSize, 40);  // over the end of the ring
  relay_->look(1);
  EXPECT_EQ(card_.log, "mmt");
  for (unsigned i = 0; i < kSize; ++i) EXPECT_EQ(on_card(1, 3 + i), line_of(40 + i));
  relay_->look(1);
  EXPECT_EQ(card_.log, "mmt") << "nothing moved";
}

TEST_F(Relay, DeliveredLinesAreThereBeforeTheirMark) {
  start();
  link_up();
  bound(1);
  std::uint32_t told = 0;
  card_.on_memory_read = [&] { EXPECT_EQ(shown_tail(), told) << "shown before the lines were copied"; };
  std::vector<Line> lines;
  for (unsigned i = 0; i < 10; ++i) lines.push_back(line_of(100 + i));
  for (int round = 0; round < 3; ++round) {  // the second goes over the end of the ring
    card_.deliver(1, lines);
    EXPECT_TRUE(poll());
    ASSERT_EQ(shown_tail(), told + 10);
    for (unsigned i = 0; i < 10; ++i) EXPECT_EQ(delivered(told + i), lines[i]);
    told += 10;
    own_.marks().head.store(told);
    relay_->look(1);
    EXPECT_EQ(card_.rows[1].out_head, told);
  }
  EXPECT_EQ(relay_->stats(1).rx_lines, 30U);
}

TEST_F(Relay, MarksOfTheCardThatCannotBeAreIgnored) {
  start();
  link_up();
  bound(1);
  produce(2, 1);
  relay_->look(1);
  card_.deliver(1, std::vector<Line>{line_of(9)});
  poll();
  ASSERT_EQ(shown_tail(), 1U);
  const SlotRow sound = card_.rows[1];
  for (const auto& [out_tail, in_head] :
       {std::pair{kSize + 1, 0U}, std::pair{0U, 0U}, std::pair{~0U, 0U}, std::pair{1U, 3U}, std::pair{1U, ~0U},
        std::pair{2U, 3U}, std::pair{0x8000'0000U, 0x8000'0000U}}) {
    card_.rows[1].out_tail = out_tail;
    card_.rows[1].in_head = in_head;
    card_.tell_moved(1);
    poll();
    EXPECT_EQ(shown_tail(), 1U);
    EXPECT_EQ(shown_head(), 0U);
  }
  card_.rows[1] = sound;
  card_.moved = {0x8000'0000U | 7, 0x8000'0000U | 8, 0x8000'ffffU};  // slots that are free or not there
  card_.events = {0x8002'0000U | 7, 0x8002'ffffU};
  card_.interrupts = ~0U;
  poll();
  card_.release(1, 1);
  poll();
  EXPECT_EQ(shown_head(), 1U) << "it goes on with sound ones";
  EXPECT_TRUE(listener_.faults.empty());
}

TEST_F(Relay, MarksOfTheProcessThatCannotBeFaultItsSlotAndNoOther) {
  start();
  link_up();
  bound(2);
  bound(1);
  own_.marks().tail.store(kSize + 1);
  relay_->look(1);
  poll();
  ASSERT_EQ(listener_.faults.size(), 1U);
  EXPECT_EQ(listener_.faults[0], std::pair(std::uint16_t{1}, Fault::in_tail));
  EXPECT_EQ(relay_->row(1).fault, static_cast<std::uint8_t>(Fault::in_tail));
  EXPECT_EQ(card_.state(1), SlotState::faulted);
  EXPECT_EQ(card_.state(2), SlotState::bound);
  map(2);
  own_.marks().head.store(1);  // nothing was delivered
  relay_->look(2);
  poll();
  ASSERT_EQ(listener_.faults.size(), 2U);
  EXPECT_EQ(listener_.faults[1], std::pair(std::uint16_t{2}, Fault::out_head));
}

TEST_F(Relay, ATailWhoseLinesNeverCameIsNeverTaken) {
  start();
  link_up();
  bound(1);
  produce(8, 1);
  relay_->look(1);
  card_.rows[1].in_head = 8;  // the card has room for a ring that the process was not told of
  own_.marks().tail.store(8 + 9);
  relay_->look(1);
  EXPECT_EQ(card_.rows[1].in_tail, 8U) << "lines of whoever had the place before would go out";
  EXPECT_EQ(card_.state(1), SlotState::faulted);
}

TEST_F(Relay, WhatWasDeliveredBeforeTheEndStaysReadable) {
  start();
  link_up();
  bound(1);
  card_.deliver(1, std::vector<Line>{line_of(5), line_of(6)});
  card_.moved.clear();  // the mark moved just after the queue was looked at
  card_.stop(1, SlotState::faulted, Fault::memory_refused);
  poll();
  ASSERT_EQ(listener_.faults.size(), 1U);
  EXPECT_EQ(listener_.faults[0].second, Fault::memory_refused);
  EXPECT_EQ(static_cast<SlotState>(relay_->row(1).state), SlotState::faulted);
  EXPECT_EQ(shown_tail(), 2U);
  EXPECT_EQ(delivered(1), line_of(6));
}

TEST_F(Relay, UnbindingLosesNothingThatThePeerKnowsDelivered) {
  start();
  link_up();
  bound(1);
  card_.deliver(1, std::vector<Line>{line_of(5), line_of(6)});
  relay_->unbind(1);  // the engines were faster than the interrupt
  EXPECT_EQ(shown_tail(), 2U);
  EXPECT_EQ(delivered(0), line_of(5));
  EXPECT_EQ(card_.state(1), SlotState::free);
}

TEST_F(Relay, AnEventOfAnEarlierPairingStopsNothing) {
  start();
  link_up();
  bound(1);
  card_.stop(1, SlotState::faulted, Fault::in_tail);
  relay_->unbind(1);
  relay_->bind(1, binding(kCardLink, 8));
  poll();
  EXPECT_TRUE(listener_.faults.empty());
  EXPECT_EQ(static_cast<SlotState>(relay_->row(1).state), SlotState::bound);
}

TEST_F(Relay, AFaultThatIsNotToldYetIsForgottenWithItsPairing) {
  start();
  link_up();
  bound(1);
  relay_->fault(1, Fault::admin);
  relay_->fault(1, Fault::admin);
  EXPECT_EQ(card_.commands.back(), static_cast<std::uint32_t>(regs::CardCommand::fault) |
                                       static_cast<std::uint32_t>(Fault::admin) << 8 | 1U << 16);
  EXPECT_FALSE(relay_->prepare_sleep());
  relay_->unbind(1);
  poll();
  EXPECT_TRUE(listener_.faults.empty());
  relay_->bind(1, binding(kCardLink, 8));
  relay_->fault(1, Fault::admin);
  poll();
  ASSERT_EQ(listener_.faults.size(), 1U);
}

TEST_F(Relay, MoreNewsThanOnePollTakesIsNotForgotten) {
  start();
  link_up();
  bound(1);
  poll();
  for (int i = 0; i < 100; ++i) card_.tell_moved(7);
  card_.release(1, 0);
  card_.deliver(1, std::vector<Line>{line_of(5)});
  for (int polls = 0; polls < 50 && !relay_->prepare_sleep(); ++polls) poll();
  EXPECT_EQ(shown_tail(), 1U);
}

TEST_F(Relay, AnInterruptThatComesBeforeSleepKeepsItAwake) {
  start();
  link_up();
  bound(1);
  poll();
  poll();
  ASSERT_TRUE(relay_->prepare_sleep());
  card_.deliver(1, std::vector<Line>{line_of(5)});
  EXPECT_FALSE(relay_->prepare_sleep());
  poll();
  EXPECT_EQ(shown_tail(), 1U);
}

TEST_F(Relay, ARowThatTheCardRefusesIsFaulted) {
  start();
  link_up();
  bound(1);
  card_.rows[1].in_order = card_.rows[1].out_order = 0;
  card_.rows[1].link = 3;  // whatever it was before
  card_.stop(1, SlotState::faulted, Fault::memory);
  poll();
  ASSERT_EQ(listener_.faults.size(), 1U);
  EXPECT_EQ(listener_.faults[0], std::pair(std::uint16_t{1}, Fault::memory));
}

TEST_F(Relay, LostEventsAreFoundInTheRows) {
  start();
  link_up();
  bound(1);
  bound(2);
  card_.stop(1, SlotState::reset, Fault::peer_reset);
  card_.events = {0x4000'0000U};
  poll();
  ASSERT_EQ(listener_.faults.size(), 1U);
  EXPECT_EQ(listener_.faults[0], std::pair(std::uint16_t{1}, Fault::peer_reset));
  EXPECT_EQ(static_cast<SlotState>(relay_->row(1).state), SlotState::reset);
}

// ---- an engine that comes after another, a card that was reset

TEST_F(Relay, AnEngineGoesOnWithACardThatWentOn) {
  start();
  link_up();
  bound(1);
  produce(4, 1);
  relay_->look(1);
  card_.release(1, 1);
  card_.deliver(1, std::vector<Line>{line_of(50)});
  produce(2, 5);
  restart(1);
  card_.log.clear();
  relay_->recover(1);
  EXPECT_EQ(card_.log.find('r'), std::string::npos) << "its row goes on";
  EXPECT_EQ(shown_tail(), 1U);
  EXPECT_EQ(shown_head(), 1U);
  EXPECT_EQ(card_.rows[1].in_tail, 6U);
  for (unsigned i = 1; i < 6; ++i) EXPECT_EQ(on_card(1, i), line_of(1 + i));
  poll();
  EXPECT_TRUE(listener_.faults.empty());
}

TEST_F(Relay, WhatWasLostOnItsWayToTheCardGoesAgain) {
  start();
  link_up();
  bound(1);
  card_.deliver(1, std::vector<Line>(kSize, line_of(9)));
  poll();
  own_.marks().head.store(kSize);
  produce(3, 1);
  const SlotRow before = card_.rows[1];
  const auto memory = card_.memory;
  relay_->look(1);
  card_.rows[1] = before;  // written, and the connection broke before the card had it
  card_.memory = memory;
  restart(1);
  relay_->recover(1);
  EXPECT_EQ(card_.rows[1].in_tail, 3U);
  EXPECT_EQ(card_.rows[1].out_head, kSize) << "the peer never hears of its window";
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(on_card(1, i), line_of(1 + i));
}

TEST_F(Relay, AResetCardIsBoundAgainAtItsMarks) {
  start();
  link_up();
  bound(1);
  produce(5, 1);
  relay_->look(1);
  card_.release(1, 2);
  card_.deliver(1, std::vector<Line>{line_of(50)});
  card_.reset();
  card_.there = false;
  poll();
  card_.there = true;
  poll(HardwareMover::kRetryUs);
  EXPECT_EQ(shown_tail(), 1U) << "the peer was told that it was delivered";
  EXPECT_EQ(shown_head(), 2U);
  const SlotRow& row = card_.rows[1];
  EXPECT_EQ(card_.state(1), SlotState::bound);
  EXPECT_EQ(row.in_head, 2U);
  EXPECT_EQ(row.sent, 2U);
  EXPECT_EQ(row.limit, 2U) << "the peer is asked for its window";
  EXPECT_EQ(row.in_tail, 5U);
  EXPECT_EQ(row.out_tail, 1U);
  EXPECT_TRUE(listener_.faults.empty());
}

TEST_F(Relay, MarksOfARowThatIsNotItsOwnAreNotTaken) {
  start();
  link_up();
  bound(1);
  produce(5, 1);
  relay_->look(1);
  SlotRow strange = card_.rows[1];
  strange.epoch = 1234;
  strange.in_head = 3;
  strange.out_tail = 4;
  restart(1);
  card_.rows[1] = strange;
  relay_->recover(1);
  EXPECT_EQ(shown_tail(), 0U);
  EXPECT_EQ(shown_head(), 0U);
  EXPECT_EQ(card_.rows[1].epoch, 7);
  EXPECT_EQ(card_.rows[1].in_head, 0U);
  EXPECT_EQ(card_.rows[1].in_tail, 5U);
}

TEST_F(Relay, AnotherLifesMemoryIsNotTrusted) {
  start();
  link_up();
  bound(1);
  card_.deliver(1, std::vector<Line>{line_of(50)});
  card_.memory.clear();  // another card, or one that lost its memory
  card_.there = false;
  poll();
  card_.there = true;
  poll(HardwareMover::kRetryUs);
  ASSERT_EQ(listener_.faults.size(), 1U);
  EXPECT_EQ(listener_.faults[0], std::pair(std::uint16_t{1}, Fault::memory));
  EXPECT_EQ(card_.state(1), SlotState::free);
  relay_->unbind(1);
  EXPECT_EQ(shown_tail(), 0U) << "garbage was delivered";
  std::uint64_t life = 0;
  std::memcpy(&life, card_.memory[0].data(), sizeof life);
  EXPECT_EQ(life, kLife);
}

TEST_F(Relay, AnotherIncarnationFreesEveryRow) {
  start();
  link_up();
  bound(1);
  relay_.reset();
  rows_.assign(8, {});
  start(kLife + 1);
  EXPECT_EQ(card_.state(1), SlotState::free);
  EXPECT_EQ(card_.enabled, ~0U);
}

TEST_F(Relay, RowsThatCannotBeAreFaultedWithMemory) {
  using Spoil = void (*)(SlotRow&);
  for (const Spoil spoil : std::initializer_list<Spoil>{
           [](SlotRow& row) { row.in_order = 40; }, [](SlotRow& row) { row.out_order = kOrder + 1; },
           [](SlotRow& row) { row.link = 60000; }, [](SlotRow& row) { row.in_tail = row.in_head + kSize + 1; },
           [](SlotRow& row) { row.out_head = row.out_tail + 1; }}) {
    start();
    link_up();
    bound(1);
    spoil(rows_[1]);
    listener_.faults.clear();
    restart(1);
    relay_->recover(1);
    poll();
    ASSERT_EQ(listener_.faults.size(), 1U);
    EXPECT_EQ(listener_.faults[0].second, Fault::memory);
    EXPECT_EQ(card_.state(1), SlotState::free);
    relay_->close_slot(1);
    relay_.reset();
    rows_.assign(8, {});
  }
}

TEST_F(Relay, ASlotThatIsNotAdoptedIsFreedOnTheCard) {
  start();
  link_up();
  bound(1);
  relay_.reset();
  start();
  EXPECT_EQ(card_.state(1), SlotState::bound) << "it may be taken up yet";
  relay_->unbind(1);
  EXPECT_EQ(card_.state(1), SlotState::free);
  EXPECT_EQ(rows_[1].in_base, 0U);
}

TEST_F(Relay, AdoptingChecksThePlace) {
  start();
  link_up();
  bound(1);
  const SlotRow good = rows_[1];
  for (const auto& [in_base, out_base] :
       {std::pair{good.in_base + 1, good.out_base}, std::pair{good.in_base, 0U}, std::pair{good.in_base, good.in_base},
        std::pair{1024U, good.out_base}, std::pair{0xffff'fff0U, good.out_base}}) {
    rows_[1].in_base = in_base;
    rows_[1].out_base = out_base;
    EXPECT_THROW(restart(1), std::invalid_argument) << in_base << " " << out_base;
    EXPECT_FALSE(relay_->files(1).own) << "a slot that was refused must look refused";
    rows_[1] = good;
    relay_->unbind(1);
    EXPECT_TRUE(relay_->files(1).own.get() < 0);
    bound(1);
    rows_[1].in_base = good.in_base;
    rows_[1].out_base = good.out_base;
  }
}

// ---- places

TEST_F(Relay, APlaceIsGivenBackAndUsedAgain) {
  card_.memory_lines = 4 * kSize;  // the first ring's place has the reserved line: three are left, one slot
  start();
  link_up();
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    bound(1);
    if (round % 4 == 1) relay_->unbind(1);
    try {
      relay_->prepare_slot(2, kCardLink);
      relay_->open_slot(2, kOrder, kOrder, true);
      FAIL() << "there is no room for two";
    } catch (const std::runtime_error& error) {
      EXPECT_NE(std::string(error.what()).find("lower memory.ring, or close connections"), std::string::npos)
          << error.what();
    }
    relay_->close_slot(2);
    if (round % 4 == 2) rows_[3].in_base = rows_[1].in_base;  // left by who knows whom
    relay_->close_slot(1);
    EXPECT_EQ(card_.state(1), SlotState::free);
    if (round % 4 == 2) {
      relay_->prepare_slot(3, kCardLink);
      relay_->open_slot(3, kOrder, kOrder, true);
      relay_->close_slot(3);
    }
  }
  try {
    relay_->prepare_slot(2, kCardLink);
    relay_->open_slot(2, 11, kOrder, true);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("64 KiB; lower memory.ring"), std::string::npos) << error.what();
  }
}

TEST_F(Relay, ASlotWithoutAPlaceIsNeverBoundOnTheCard) {
  start();
  link_up();
  relay_->prepare_slot(1, kCardLink);
  relay_->open_slot(1, kOrder, kOrder, false);
  relay_->bind(1, binding());
  poll();
  ASSERT_EQ(listener_.faults.size(), 1U);
  EXPECT_EQ(listener_.faults[0].second, Fault::memory);
  EXPECT_EQ(card_.state(1), SlotState::free);
}

// ---- links

TEST_F(Relay, ALinkThatComesUpIsWrittenBeforeItsCommand) {
  start();
  link_up();
  const regs::LinkRow& row = card_.link_rows[kCardLink];
  EXPECT_EQ(row.up, 1);
  EXPECT_EQ(row.peer_ip, 0x7f000002U);
  EXPECT_EQ(row.peer_port, 7401);
  EXPECT_EQ(row.peer_mac_high, 0x0210abcdU);
  EXPECT_EQ(row.peer_mac_low, 0xef01);
  EXPECT_EQ(row.lines_per_frame, 22);
  EXPECT_EQ(card_.own, (std::array<std::uint32_t, 4>{0x7f000001, 7401, 0x02000000, 9}));
  EXPECT_EQ(card_.commands.back(), static_cast<std::uint32_t>(regs::CardCommand::link_up));
  EXPECT_TRUE(relay_->link_up(kCardLink));
  relay_->clear_route(kCardLink);
  EXPECT_EQ(card_.link_rows[kCardLink].up, 0);
  EXPECT_EQ(card_.commands.back(), static_cast<std::uint32_t>(regs::CardCommand::link_down));
  EXPECT_FALSE(relay_->link_up(kCardLink));
}

TEST_F(Relay, ALinkBeyondTheCardsIsRefused) {
  card_.links = 2;
  start();
  link_up();
  try {
    relay_->set_route(2, OnCard{Address::parse("127.0.0.3:7401")}, {});
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("2 links"), std::string::npos) << error.what();
  }
  EXPECT_FALSE(relay_->link_up(2));
}

TEST_F(Relay, LinksInSoftwareWorkBesideTheCards) {
  start();
  link_up();
  SoftCarrier carrier;
  relay_->set_route(kSoftLink, OverCarrier{carrier}, {});
  poll();
  ASSERT_TRUE(relay_->link_up(kSoftLink));
  relay_->prepare_slot(4, kCardLink);
  relay_->open_slot(4, kOrder, kOrder, true);
  relay_->bind(4, binding(kSoftLink));
  EXPECT_EQ(rows_[4].in_base, 0U) << "it needs no place on the card";
  map(4);
  card_.log.clear();
  produce(3, 1);
  relay_->look(4);
  poll();
  EXPECT_EQ(carrier.payload, 3 * regs::kLineBytes);
  EXPECT_EQ(card_.log, "");
  own_.marks().tail.store(1000);
  relay_->look(4);
  poll();
  ASSERT_EQ(listener_.faults.size(), 1U);
  EXPECT_EQ(listener_.faults[0], std::pair(std::uint16_t{4}, Fault::in_tail));
  relay_->close_slot(4);
  bound(4);
  EXPECT_EQ(card_.state(4), SlotState::bound);
}

TEST_F(Relay, ACardThatGoesAwayAndComesBack) {
  start();
  link_up();
  bound(2);
  bound(1);
  listener_.links.clear();
  card_.there = false;
  poll();
  ASSERT_EQ(listener_.links.size(), 1U);
  EXPECT_EQ(listener_.links[0], std::pair(kCardLink, false));
  EXPECT_NE(listener_.reasons.back(), "");
  EXPECT_FALSE(relay_->link_up(kCardLink));
  produce(2, 1);
  relay_->look(1);
  EXPECT_FALSE(relay_->drained(1)) << "two lines wait for the card";
  relay_->close_slot(2);
  relay_->prepare_slot(3, kCardLink);
  relay_->open_slot(3, kOrder, kOrder, true);  // has the place that slot 2 had
  relay_->bind(3, binding(kCardLink, 99));
  EXPECT_LE(relay_->timer_us(now_), HardwareMover::kRetryUs);
  poll(HardwareMover::kRetryUs);
  EXPECT_EQ(listener_.links.size(), 1U);
  card_.there = true;
  poll(HardwareMover::kRetryUs - 1);
  EXPECT_FALSE(relay_->link_up(kCardLink));
  poll(1);
  EXPECT_TRUE(relay_->link_up(kCardLink));
  ASSERT_EQ(listener_.links.size(), 2U);
  EXPECT_EQ(listener_.links[1], std::pair(kCardLink, true));
  EXPECT_EQ(card_.state(2), SlotState::free) << "it would write into another slot's place";
  EXPECT_EQ(card_.state(3), SlotState::bound);
  EXPECT_EQ(card_.rows[3].epoch, 99);
  EXPECT_EQ(card_.rows[1].in_tail, 2U);
  EXPECT_TRUE(listener_.faults.empty());
}

// Whose links move to software: what the card carried ends and is told, what comes then is served.
TEST_F(Relay, ACardThatStaysAwayIsGivenUp) {
  constexpr std::uint64_t kGiveUpUs = 4 * HardwareMover::kRetryUs;
  start(kLife, kGiveUpUs);
  link_up();
  bound(1);
  SoftCarrier carrier;
  carrier.link = kCardLink;
  card_.there = false;
  poll();
  for (std::uint64_t waited = HardwareMover::kRetryUs; waited < kGiveUpUs; waited += HardwareMover::kRetryUs) {
    poll(HardwareMover::kRetryUs);
    EXPECT_EQ(listener_.asked, 0);
  }
  poll(HardwareMover::kRetryUs);
  poll(HardwareMover::kRetryUs);
  EXPECT_EQ(listener_.asked, 2) << "again, while there is no other way";
  EXPECT_TRUE(listener_.faults.empty());
  listener_.gone = [&] {
    relay_->set_route(kCardLink, OverCarrier{carrier}, {});
    return true;
  };
  poll(HardwareMover::kRetryUs);
  ASSERT_EQ(listener_.faults.size(), 1U);
  EXPECT_EQ(listener_.faults[0], std::pair(std::uint16_t{1}, Fault::memory));
  relay_->close_slot(1);
  poll();
  EXPECT_TRUE(relay_->link_up(kCardLink));
  bound(2);
  EXPECT_EQ(rows_[2].in_base, 0U) << "a place on a card that is gone";
  produce(2, 1);
  relay_->look(2);
  poll();
  EXPECT_EQ(carrier.payload, 2 * regs::kLineBytes);
  card_.there = true;
  poll(HardwareMover::kMostRetryUs);
  EXPECT_EQ(listener_.asked, 3);
  EXPECT_TRUE(relay_->link_up(kCardLink));
  EXPECT_EQ(listener_.faults.size(), 1U);
}

// Under an engine that found no card a slot was in software; the next one has a card for its link.
TEST_F(Relay, ASlotInSoftwareGoesOnOnTheCard) {
  start();
  SoftCarrier carrier;
  carrier.link = kCardLink;
  relay_->set_route(kCardLink, OverCarrier{carrier}, {});
  relay_->prepare_slot(2, kCardLink);
  relay_->open_slot(2, kOrder, kOrder, true);
  relay_->bind(2, binding());
  map(2);
  poll();
  produce(3, 10);
  relay_->look(2);
  poll();
  EXPECT_EQ(carrier.payload, 3 * regs::kLineBytes);
  EXPECT_EQ(rows_[2].in_base, 0U);
  restart(2);
  relay_->recover(2);
  link_up();
  EXPECT_EQ(card_.state(2), SlotState::bound);
  EXPECT_EQ(card_.rows[2].epoch, 7);
  EXPECT_EQ(card_.rows[2].in_tail, 3U) << "nobody acknowledged them";
  EXPECT_EQ(on_card(2, 0), line_of(10));
  EXPECT_EQ(on_card(2, 2), line_of(12));
  EXPECT_TRUE(listener_.faults.empty());
}

TEST_F(Relay, ASlotInSoftwareThatTheCardHasNoRoomForEnds) {
  card_.memory_lines = 64;
  start();
  SoftCarrier carrier;
  relay_->set_route(kCardLink, OverCarrier{carrier}, {});
  for (std::uint16_t slot = 0; slot < 2; ++slot) {
    relay_->prepare_slot(slot, kCardLink);
    relay_->open_slot(slot, kOrder, kOrder, true);
    relay_->bind(slot, binding());
  }
  link_up();
  EXPECT_EQ(card_.state(0), SlotState::bound);
  EXPECT_EQ(card_.state(1), SlotState::free);
  poll();
  ASSERT_EQ(listener_.faults.size(), 1U);
  EXPECT_EQ(listener_.faults[0], std::pair(std::uint16_t{1}, Fault::memory));
}

TEST_F(Relay, AnotherCardInItsPlaceIsNotUsed) {
  start();
  link_up();
  bound(1);
  card_.there = false;
  poll();
  card_.there = true;
  card_.memory_lines = 512;
  for (int tries = 0; tries < 10; ++tries) poll(HardwareMover::kMostRetryUs);
  EXPECT_FALSE(relay_->link_up(kCardLink));
  card_.memory_lines = 1024;
  poll(HardwareMover::kMostRetryUs);
  EXPECT_TRUE(relay_->link_up(kCardLink));
}

TEST_F(Relay, ACardThatDoesNotAnswerIsTriedLessAndLess) {
  start();
  link_up();
  card_.answers = false;
  card_.tell_moved(0);
  poll();
  std::uint64_t last = 0;
  poll(HardwareMover::kRetryUs);
  for (int tries = 0; tries < 10; ++tries) {
    const std::uint64_t wait = relay_->timer_us(now_);
    EXPECT_TRUE(wait == 2 * last || last == 0 || wait == HardwareMover::kMostRetryUs) << wait << " after " << last;
    last = wait;
    poll(wait);
  }
  EXPECT_EQ(last, HardwareMover::kMostRetryUs);
  card_.answers = true;
  poll(last);
  EXPECT_TRUE(relay_->link_up(kCardLink));
}

TEST_F(Relay, ACommandThatDoesNotEndIsTakenUpAgain) {
  start();
  card_.command_busy = true;
  link_up();
  EXPECT_FALSE(relay_->link_up(kCardLink));
  card_.command_busy = false;
  poll(HardwareMover::kRetryUs);
  EXPECT_TRUE(relay_->link_up(kCardLink));
  EXPECT_EQ(card_.commands.back(), static_cast<std::uint32_t>(regs::CardCommand::link_up));
}

TEST_F(Relay, WhatIsNoCardIsRefusedWithAReason) {
  const auto refused = [&](const std::string& word, auto&& spoil) {
    card_ = {};
    spoil(card_);
    try {
      start();
      ADD_FAILURE() << "taken, though " << word;
    } catch (const std::runtime_error& error) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  };
  refused("no Slotwire card", [](auto& card) { card.magic = 0; });
  refused("version", [](auto& card) { card.version = 2; });
  refused("lower limits.slots", [](auto& card) { card.slots = 7; });
  refused("no sense", [](auto& card) { card.slots = 65537; });
  refused("no sense", [](auto& card) { card.links = 0; });
  refused("no sense", [](auto& card) { card.max_order = 16; });
  refused("no sense", [](auto& card) { card.max_order = ~0U; });
  refused("no sense", [](auto& card) { card.memory_lines = 1; });
  refused("no sense", [](auto& card) { card.memory_lines = ~0U; });
  refused("no sense", [](auto& card) { card.frame_lines = 0; });
  refused("no sense", [](auto& card) { card.frame_lines = 1024; });
  refused("no sense", [](auto& card) { card.vectors = 0; });
  refused("away", [](auto& card) { card.there = false; });
  refused("away", [](auto& card) { card.answers = false; });
}

}  // namespace
}  // namespace slotwire::driver
