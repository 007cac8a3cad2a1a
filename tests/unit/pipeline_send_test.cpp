// What the pipeline sends and when: rules R4, R6, R7 and R9 of docs/protocol.md.
#include <gtest/gtest.h>

#include <map>

#include "pipeline_support.hpp"

namespace {
using namespace slotwire;
using namespace slotwire::testing;
using pipeline::Pipeline;
using regs::Counter;
using regs::FrameType;

constexpr std::uint16_t kA = Pair::kA, kB = Pair::kB;

TEST(PipelineR4, AFrameCarriesNoMoreThanTheWindowTheLinkAndTheRingsEndAllow) {
  Pair pair(4, 0xffff'fff8);
  pair.a.pipe.set_link(0, {.lines_per_frame = 5});
  pair.a.write(kA, 16);
  std::vector<std::size_t> sizes;
  for (const Bytes& frame : pair.a.frames()) sizes.push_back(lines_of(frame));
  // 5, then 3 up to the end of the ring, then from its start.
  EXPECT_EQ(sizes, (std::vector<std::size_t>{5, 3, 5, 3}));
}

TEST(PipelineR4, NakBeforeDataBeforeProbeBeforeAck) {
  Pair pair;
  pair.a.pipe.set_link(0, {.lines_per_frame = 1});
  pair.a.write(kA, 2);
  const auto frames = pair.a.frames();
  pair.b.write(kB, 1);
  pair.b.receive(frames[1]);
  const auto sent = pair.b.frames();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(header_of(sent[0]).type, FrameType::nak);
  EXPECT_EQ(header_of(sent[1]).type, FrameType::data);
}

TEST(PipelineR4, AProbeThatIsDueIsNotLostToANak) {
  Pair pair;
  pair.a.pipe.set_link(0, {.lines_per_frame = 1});
  pair.a.write(kA, 2);
  const auto frames = pair.a.frames();
  pair.b.pipe.unbind(kB);
  const Position at = header_of(frames[0]).seq;
  pair.b.bind(kB, {.link = 0,
                   .peer_slot = kA,
                   .epoch = Pair::kEpoch,
                   .in_order = 4,
                   .out_order = 4,
                   .credit = 0,
                   .marks = {at, at, at, at}});
  pair.b.receive(frames[1]);
  const auto sent = pair.b.frames();
  ASSERT_EQ(sent.size(), 1U + 1U) << "a NAK for the gap and a probe for the unknown window";
  EXPECT_EQ(header_of(sent[0]).type, FrameType::nak);
  EXPECT_EQ(header_of(sent[1]).type, FrameType::probe);
}

TEST(PipelineR4, ReadySlotsTakeTurns) {
  Node node(4, 1);
  node.pipe.set_link(0, {.lines_per_frame = 1});
  for (std::uint16_t slot = 0; slot < 4; ++slot) {
    node.bind(slot,
              {.link = 0, .peer_slot = slot, .epoch = 1, .in_order = 4, .out_order = 4, .credit = 16, .marks = {}});
    node.write(slot, 3);
  }
  std::vector<int> order;
  for (const Bytes& frame : node.frames()) order.push_back(header_of(frame).src_slot);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}));
}

TEST(PipelineR4, ABlockedLinkHoldsItsSlotsAndNoOthers) {
  Node node(4, 2);
  for (std::uint16_t slot = 0; slot < 4; ++slot) {
    node.bind(slot, {.link = static_cast<std::uint16_t>(slot % 2),
                     .peer_slot = slot,
                     .epoch = 1,
                     .in_order = 4,
                     .out_order = 4,
                     .credit = 16,
                     .marks = {}});
    node.write(slot, 1);
  }
  node.pipe.set_blocked(1, true);
  EXPECT_EQ(node.frames().size(), 2U);
  EXPECT_EQ(node.links_used, (std::vector<std::uint16_t>{0, 0}));
  EXPECT_FALSE(node.pipe.ready()) << "parked slots must not keep the pipeline busy";
  node.pipe.set_blocked(1, false);
  EXPECT_EQ(node.frames().size(), 2U);
  EXPECT_EQ(node.links_used, (std::vector<std::uint16_t>{0, 0, 1, 1}));
}

TEST(PipelineR6, AnAcknowledgementRidesOnDataOfTheOtherDirection) {
  Pair pair;
  pair.a.write(kA, 2);
  pair.b.receive(pair.a.frames());
  EXPECT_TRUE(pair.b.frames().empty()) << "less than a quarter of the ring waits";
  pair.b.write(kB, 1);
  const Bytes frame = pair.b.only_frame();
  EXPECT_EQ(header_of(frame).type, FrameType::data);
  EXPECT_EQ(header_of(frame).ack, pair.b.row(kB).out_tail);
  EXPECT_FALSE(pair.b.has(kB, regs::kRowAckTimer));
  pair.b.pass(1000);
  EXPECT_EQ(pair.b.count(Counter::tx_acks), 0U);
}

TEST(PipelineR6, AnAcknowledgementWaitsNoLongerThanItsDelay) {
  Pair pair;
  pair.a.write(kA, 1);
  pair.b.receive(pair.a.frames());
  EXPECT_EQ(pair.b.pass(999), 1U);
  EXPECT_TRUE(pair.b.frames().empty());
  EXPECT_EQ(pair.b.pass(1), Pipeline::kNoTimer);
  EXPECT_EQ(header_of(pair.b.only_frame()).type, FrameType::ack);
}

TEST(PipelineR6, AQuarterOfTheRingIsAcknowledgedAtOnce) {
  for (const unsigned order : {0U, 1U, 2U, 4U, 6U}) {
    Pair pair(order);
    const std::uint32_t quarter = std::max(1U, pair.size / 4);
    for (std::uint32_t i = 1; i <= quarter; ++i) {
      pair.a.write(kA, 1);
      pair.b.receive(pair.a.frames());
      EXPECT_EQ(pair.b.frames().size(), i == quarter ? 1U : 0U) << "ring of " << pair.size << ", line " << i;
    }
  }
}

TEST(PipelineR7, TheSenderStopsAtTheRoomOfItsPeer) {
  Pair pair(2);
  pair.a.write(kA, 4);
  pair.settle();
  pair.a.write(kA, 3);
  EXPECT_TRUE(pair.a.frames().empty());
  pair.b.read(kB, 2);
  pair.settle();
  EXPECT_EQ(pair.a.row(kA).in_head, pair.a.row(kA).in_tail - 1);
  EXPECT_EQ(pair.b.count(Counter::drop_overrun), 0U);
}

TEST(PipelineR7, RoomIsToldOnceAQuarterIsFree) {
  Pair pair(4);
  pair.a.write(kA, 16);
  pair.settle();
  for (int i = 0; i < 3; ++i) pair.b.read(kB, 1);
  EXPECT_TRUE(pair.b.frames().empty());
  pair.b.read(kB, 1);
  const Header update = header_of(pair.b.only_frame());
  EXPECT_EQ(update.type, FrameType::ack);
  EXPECT_EQ(update.credit, 4);
}

TEST(PipelineR7, AnOpenedWindowStartsTheTimerAnew) {
  Pair pair(2);
  pair.a.write(kA, 4);
  pair.settle();
  pair.a.write(kA, 1);
  // The peer's process sleeps for long; probes are answered, the timeout doubles.
  for (int i = 0; i < 6; ++i) {
    pair.pass(1'000'000);
    pair.settle();
  }
  EXPECT_GT(pair.a.row(kA).backoff, 3);
  pair.b.read(kB, 4);
  pair.a.receive(pair.b.frames());
  EXPECT_EQ(lines_of(pair.a.only_frame()), 1U);  // and is lost
  pair.a.pass(10'000);
  EXPECT_EQ(lines_of(pair.a.only_frame()), 1U) << "a lost line must not wait for the timeout of a closed window";
}

TEST(PipelineR9, WhatIsNotAcknowledgedInTimeIsSentAgain) {
  Pair pair;
  pair.a.write(kA, 3);
  const Bytes first = pair.a.only_frame();
  EXPECT_EQ(pair.a.pass(9'999), 1U);
  EXPECT_TRUE(pair.a.frames().empty());
  pair.a.pass(1);
  EXPECT_EQ(pair.a.only_frame(), first);
  EXPECT_EQ(pair.a.count(Counter::timeouts), 1U);
  EXPECT_EQ(pair.a.count(Counter::tx_lines_again), 3U);
}

TEST(PipelineR9, TheTimeoutDoublesUpToItsLimit) {
  Pair pair;
  pair.a.pipe.set_link(0, {.retransmit_us = 10, .retransmit_max_us = 75});
  pair.a.write(kA, 1);
  std::vector<Microseconds> waits{pair.a.pass(0)};
  for (int i = 0; i < 5; ++i) waits.push_back(pair.a.pass(waits.back()));
  EXPECT_EQ(waits, (std::vector<Microseconds>{10, 20, 40, 75, 75, 75}));
  pair.b.receive(pair.a.frames());
  pair.b.pass(1000);
  pair.a.write(kA, 1);
  pair.a.receive(pair.b.frames());
  EXPECT_EQ(pair.a.row(kA).backoff, 0) << "progress starts the timeout anew";
}

TEST(PipelineR9, ANakSendsAgainFromWhereThePeerStands) {
  Pair pair;
  pair.a.pipe.set_link(0, {.lines_per_frame = 1});
  pair.a.write(kA, 3);
  const auto frames = pair.a.frames();
  pair.b.receive(frames[0]);
  pair.b.receive(frames[2]);
  pair.a.receive(pair.b.only_frame());
  EXPECT_EQ(pair.a.row(kA).in_head, header_of(frames[1]).seq);
  const auto again = pair.a.frames();
  ASSERT_EQ(again.size(), 2U);
  EXPECT_EQ(header_of(again[0]).seq, header_of(frames[1]).seq);
  EXPECT_EQ(pair.a.count(Counter::timeouts), 0U);
}

TEST(PipelineR9, AStaleNakChangesNothing) {
  Pair pair;
  pair.b.write(kB, 4);
  Header nak = pair.from_a(FrameType::nak);
  pair.settle();
  pair.pass(1000);
  pair.settle();
  pair.b.write(kB, 2);
  pair.b.frames();
  const Position sent = pair.b.row(kB).sent;
  pair.b.receive(make_frame(nak));
  EXPECT_EQ(pair.b.row(kB).sent, sent);
  EXPECT_TRUE(pair.b.frames().empty());
}

TEST(PipelineR9, AClosedWindowIsProbedAndAProbeIsAnswered) {
  Pair pair(2);
  pair.a.write(kA, 4);
  pair.settle();
  pair.a.write(kA, 1);
  EXPECT_TRUE(pair.a.frames().empty());
  pair.a.pass(10'000);
  const Bytes probe = pair.a.only_frame();
  EXPECT_EQ(header_of(probe).type, FrameType::probe);
  pair.b.read(kB, 4);
  pair.b.frames();  // the window update is lost
  pair.b.receive(probe);
  const Bytes answer = pair.b.only_frame();
  EXPECT_EQ(header_of(answer).type, FrameType::ack);
  pair.a.receive(answer);
  EXPECT_EQ(lines_of(pair.a.only_frame()), 1U);
  EXPECT_EQ(pair.b.count(Counter::rx_probes), 1U);
}

TEST(PipelineR9, ALinkThatComesBackTakesUpAtTheMarks) {
  Pair pair;
  pair.a.write(kA, 6);
  pair.a.frames();
  pair.a.pipe.link_down(0);
  EXPECT_FALSE(pair.a.pipe.timers_running());
  pair.a.write(kA, 2);
  EXPECT_TRUE(pair.a.frames().empty());
  EXPECT_EQ(pair.a.pass(5'000'000), Pipeline::kNoTimer);
  EXPECT_FALSE(pair.a.pipe.timers_running());
  EXPECT_EQ(pair.a.count(Counter::timeouts), 0U);
  pair.a.pipe.link_up(0, pair.a.now);
  const Bytes frame = pair.a.only_frame();
  EXPECT_EQ(lines_of(frame), 8U);
  EXPECT_EQ(header_of(frame).seq, pair.a.row(kA).in_head);
  EXPECT_TRUE(pair.a.has(kA, regs::kRowTxTimer));
}

TEST(PipelineR9, AnAcknowledgementThatALinkWentDownOnIsSentWhenItComesBack) {
  Pair pair;
  pair.a.write(kA, 1);
  pair.b.receive(pair.a.frames());
  pair.b.pipe.link_down(0);
  pair.b.pipe.link_up(0, pair.b.now);
  EXPECT_EQ(header_of(pair.b.only_frame()).type, FrameType::ack);
}

TEST(PipelineR9, ARestartNeedsNothingButTheMarks) {
  Pair pair;
  pair.a.write(kA, 7);
  const auto frames = pair.a.frames();
  pair.b.receive(frames);  // the acknowledgement will be lost
  regs::SlotRow& row = pair.a.rows[kA];
  std::mt19937 random(3);
  row.sent = static_cast<std::uint32_t>(random());
  row.limit = static_cast<std::uint32_t>(random());
  row.told_ack = static_cast<std::uint32_t>(random());
  row.told_limit = static_cast<std::uint32_t>(random());
  row.tx_deadline = static_cast<std::uint32_t>(random());
  row.ack_deadline = static_cast<std::uint32_t>(random());
  row.high = static_cast<std::uint32_t>(random());
  row.flags = 0xff;
  row.backoff = 0xff;
  Pipeline second(pair.a.rows, 2);
  second.recover(kA, pair.a.memory(kA), row.in_tail, row.out_head, pair.a.now);
  second.link_up(0, pair.a.now);
  pipeline::TxFrame out;
  ASSERT_EQ(second.transmit({&out, 1}, pair.a.now), 1U);
  Bytes probe(std::begin(out.header), std::end(out.header));
  EXPECT_EQ(header_of(probe).type, FrameType::probe) << "the window is not among the marks";
  pair.b.frames();
  pair.b.receive(probe);
  second.receive(0, pair.b.only_frame(), pair.a.now);
  EXPECT_EQ(row.in_head, row.in_tail) << "what the peer had is released without being sent again";
  EXPECT_EQ(second.counter(Counter::tx_lines), 0U);
}

TEST(PipelineR9, ARowThatCannotBeIsFaultedWithItsPeerTold) {
  struct Case {
    const char* what;
    void (*spoil)(regs::SlotRow&);
    bool told;
  };
  const Case cases[] = {{"input order", [](regs::SlotRow& row) { row.in_order = 200; }, true},
                        {"output order", [](regs::SlotRow& row) { row.out_order = 64; }, true},
                        {"input marks", [](regs::SlotRow& row) { row.in_tail = row.in_head + 17; }, true},
                        {"output marks", [](regs::SlotRow& row) { row.out_head = row.out_tail + 1; }, true},
                        {"link", [](regs::SlotRow& row) { row.link = 900; }, false}};
  for (const Case& c : cases) {
    Pair pair;
    c.spoil(pair.a.rows[kA]);
    Pipeline second(pair.a.rows, 2);
    second.recover(kA, pair.a.memory(kA), pair.a.row(kA).in_tail, pair.a.row(kA).out_head, 0);
    EXPECT_EQ(pair.a.row(kA).fault, static_cast<std::uint8_t>(regs::Fault::memory)) << c.what;
    pipeline::TxFrame out;
    EXPECT_EQ(second.transmit({&out, 1}, 0), 0U) << c.what << ": the link is still down";
    second.link_up(0, 0);
    ASSERT_EQ(second.transmit({&out, 1}, 0), c.told ? 1U : 0U) << c.what;
    if (c.told) {
      EXPECT_EQ(pipeline::decode(pipeline::ConstHeaderBytes(out.header)).type, FrameType::reset) << c.what;
    }
  }
}

TEST(PipelineR9, ARowThatIsNotBoundIsNotTakenUp) {
  Pair pair;
  pair.a.write(kA, 3);
  pair.a.pipe.fault(kA, regs::Fault::admin);
  Pipeline second(pair.a.rows, 2);
  second.recover(kA, pair.a.memory(kA), pair.a.row(kA).in_tail, pair.a.row(kA).out_head, 0);
  second.link_up(0, 0);
  EXPECT_FALSE(second.timers_running());
}

TEST(PipelineTimers, ASweepLooksAtEachRunningTimerOnce) {
  Node node(200, 1);
  for (std::uint16_t slot = 0; slot < 200; ++slot) {
    node.bind(slot,
              {.link = 0, .peer_slot = slot, .epoch = 1, .in_order = 4, .out_order = 4, .credit = 16, .marks = {}});
    if (slot % 3 == 0) node.write(slot, 1);
  }
  EXPECT_EQ(node.pipe.sweep(node.now, 66), 0U) << "one of 67 was not looked at";
  EXPECT_EQ(node.pipe.sweep(node.now, 67), 10'000U);
  node.now += 10'000;
  // A sweep goes on where the last one stopped.
  for (int i = 0; i < 6; ++i) EXPECT_EQ(node.pipe.sweep(node.now, 10), 0U);
  EXPECT_EQ(node.count(Counter::timeouts), 60U);
  EXPECT_EQ(node.pipe.sweep(node.now, 10), 0U);
  EXPECT_EQ(node.count(Counter::timeouts), 67U);
}

// The first timer that a sweep looks at stops; the sweep must still end with the last one.
TEST(PipelineTimers, ASweepThatStopsItsFirstTimerStillEnds) {
  Node node(8, 1);
  for (const std::uint16_t slot : {std::uint16_t{2}, std::uint16_t{5}}) {
    node.bind(slot,
              {.link = 0, .peer_slot = slot, .epoch = 1, .in_order = 4, .out_order = 4, .credit = 16, .marks = {}});
    Header header{.dst_slot = slot, .src_slot = slot, .epoch = 1, .credit = 16};
    if (slot == 2) node.receive(make_frame(header, line_content(0, 0)));  // its delayed acknowledgement runs
    if (slot == 5) node.write(slot, 1);
  }
  node.now += 1000;
  EXPECT_EQ(node.pipe.sweep(node.now, 1000), 9'000U);
}

TEST(PipelineLinks, FiguresOutOfRangeAreRefused) {
  Node node(1, 1);
  EXPECT_THROW(node.pipe.set_link(1, {}), std::invalid_argument);
  EXPECT_THROW(node.pipe.set_link(0, {.lines_per_frame = 0}), std::invalid_argument);
  EXPECT_THROW(node.pipe.set_link(0, {.lines_per_frame = 1024}), std::invalid_argument);
  EXPECT_THROW(node.pipe.set_link(0, {.retransmit_us = 0}), std::invalid_argument);
  EXPECT_THROW(node.pipe.set_link(0, {.retransmit_us = 2'000'000}), std::invalid_argument);
  EXPECT_THROW(node.pipe.set_link(0, {.retransmit_max_us = 0x8000'0000}), std::invalid_argument);
  EXPECT_THROW(node.pipe.set_link(0, {.ack_delay_us = 0x8000'0000}), std::invalid_argument);
  EXPECT_NO_THROW(node.pipe.set_link(0, {.lines_per_frame = 1023, .retransmit_us = 1, .ack_delay_us = 0}));
}

}  // namespace
