// Congestion control in the pipeline: what a link may send, whose turn it is, what is measured, how losses are found.
#include <gtest/gtest.h>

#include <set>

#include "pipeline_support.hpp"

namespace slotwire::testing {
namespace {

using congestion::Decision;
using congestion::Limit;
using congestion::Round;

constexpr std::uint16_t kFrame = 4;  // lines

/// Two nodes with many slots over one controlled link; slot i of a is paired with slot i of b.
struct Link {
  explicit Link(std::size_t slots, unsigned order = 6, bool controlled = true) : a(slots), b(slots) {
    const pipeline::LinkParameters figures{.lines_per_frame = kFrame, .controlled = controlled};
    for (Node* node : {&a, &b}) {
      node->pipe.set_link(0, figures);
      node->pipe.link_up(0, node->now);
    }
    for (std::uint16_t slot = 0; slot < slots; ++slot) {
      const pipeline::Binding binding{.link = 0,
                                      .peer_slot = slot,
                                      .epoch = 7,
                                      .in_order = order,
                                      .out_order = order,
                                      .credit = 1U << order,
                                      .marks = {}};
      a.bind(slot, binding);
      b.bind(slot, binding);
    }
  }
  void pass(Microseconds us) {
    a.pass(us);
    b.pass(us);
  }
  void window(std::uint32_t lines, std::uint32_t pace = 0) { a.pipe.set_window(0, {lines, pace}, a.now); }
  std::uint32_t inflight() const {
    EXPECT_EQ(a.pipe.flow(0).inflight(), a.pipe.inflight_of_slots(0));
    return a.pipe.flow(0).inflight();
  }
  std::uint16_t slot_of(const Bytes& frame) const { return header_of(frame).src_slot; }
  /// One round trip that takes `us`, with everything that a has: frames go there, answers come back.
  void round_trip(Microseconds us) {
    const auto frames = a.frames();
    pass(us / 2);
    b.receive(frames);
    const auto answers = b.frames();
    pass(us - us / 2);
    a.receive(answers);
  }
  Round take_round() {
    EXPECT_EQ(a.pipe.round_over(), 0U);
    return a.pipe.take_round(0, a.now);
  }

  Node a, b;
};

TEST(pipelineControl, ALinkThatIsNotControlledSendsAsItDid) {
  Link link(2, 6, false);
  link.window(kFrame);
  link.a.write(0, 60);
  const auto frames = link.a.frames();
  EXPECT_EQ(frames.size(), 15U);
  for (const Bytes& frame : frames) EXPECT_EQ(header_of(frame).flags, 0);
  EXPECT_EQ(link.inflight(), 60U);
  EXPECT_EQ(link.a.pipe.round_over(), pipeline::Pipeline::kNoLink);
}

TEST(pipelineControl, DataLeaveWithinTheWindowAndAcknowledgementsAlways) {
  Link link(2);
  link.window(2 * kFrame);
  link.a.write(0, 40);
  EXPECT_EQ(link.a.frames().size(), 2U);
  EXPECT_EQ(link.inflight(), 2U * kFrame);
  EXPECT_FALSE(link.a.pipe.ready());
  // A probe of the peer is answered though no line may leave.
  Header probe;
  probe.type = regs::FrameType::probe;
  probe.epoch = 7;
  probe.credit = 64;
  link.a.receive(make_frame(probe));
  const Bytes ack = link.a.only_frame();
  EXPECT_EQ(header_of(ack).type, regs::FrameType::ack);
  EXPECT_EQ(header_of(ack).flags, regs::kHdrAnswer);
  link.window(5 * kFrame);
  EXPECT_EQ(link.a.frames().size(), 3U);
  EXPECT_EQ(link.inflight(), 5U * kFrame);
}

TEST(pipelineControl, OneFrameLeavesHoweverSmallTheWindow) {
  Link link(2);
  link.window(1);
  link.a.write(0, 10);
  link.a.write(1, 10);
  EXPECT_EQ(link.a.frames().size(), 1U);
  EXPECT_EQ(link.inflight(), kFrame);
}

TEST(pipelineControl, AFrameLargerThanTheRestOfTheWindowWaits) {
  Link link(2);
  link.window(2 * kFrame - 1);
  link.a.write(0, 40);
  EXPECT_EQ(link.a.frames().size(), 1U);
}

TEST(pipelineControl, SlotsTakeTurnsAndNoneIsWokenInVain) {
  constexpr std::uint16_t kSlots = 50;
  Link link(kSlots);
  link.window(2 * kFrame);
  for (std::uint16_t slot = 0; slot < kSlots; ++slot) link.a.write(slot, 40);
  std::vector<unsigned> sent(kSlots, 0);
  for (unsigned turn = 0; turn < 5U * kSlots / 2; ++turn) {
    const auto frames = link.a.frames();
    EXPECT_EQ(frames.size(), 2U) << "turn " << turn;
    EXPECT_LE(link.inflight(), 2U * kFrame);
    for (const Bytes& frame : frames) ++sent[link.slot_of(frame)];
    link.b.receive(frames);
    link.b.pass(1'000);
    for (std::uint16_t slot = 0; slot < kSlots; ++slot) link.b.read(slot, 0);
    link.a.receive(link.b.frames());
    EXPECT_FALSE(link.a.pipe.stalled(0, link.a.now));
    // Who consumes nothing more lets the peer's ring be the limit; here rings are larger than what is sent.
  }
  for (std::uint16_t slot = 0; slot < kSlots; ++slot) EXPECT_EQ(sent[slot], 5U) << "slot " << slot;
}

TEST(pipelineControl, ASlotThatComesLaterDoesNotTakeATurnThatIsAnothers) {
  Link link(4);
  link.window(kFrame);
  link.a.write(0, 40);
  link.a.write(1, 40);
  ASSERT_EQ(link.a.frames().size(), 1U);
  link.a.write(2, 4);
  EXPECT_TRUE(link.a.frames().empty());
  std::vector<std::uint16_t> order;
  for (int i = 0; i < 4; ++i) {
    Header ack;
    ack.type = regs::FrameType::ack;
    ack.epoch = 7;
    ack.credit = 64;
    const std::uint16_t last = order.empty() ? std::uint16_t{0} : order.back();
    ack.dst_slot = ack.src_slot = last;
    ack.ack = link.a.row(last).sent;
    link.a.receive(make_frame(ack));
    const auto frames = link.a.frames();
    ASSERT_EQ(frames.size(), 1U);
    order.push_back(link.slot_of(frames.front()));
  }
  EXPECT_EQ(order, (std::vector<std::uint16_t>{1, 2, 0, 1}));
}

TEST(pipelineControl, ASlotThatWaitsForTheLinkDoesNotTimeOut) {
  Link link(2);
  link.window(kFrame);
  link.a.write(0, 4);
  link.a.write(1, 4);
  ASSERT_EQ(link.a.frames().size(), 1U);
  // Slot 0 keeps the window; its timer runs out after a second, slot 1 has nothing to time out.
  link.a.pass(999'000);
  EXPECT_EQ(link.a.count(regs::Counter::timeouts), 0U);
  link.a.pass(1'000);
  EXPECT_EQ(link.a.count(regs::Counter::timeouts), 1U);
  EXPECT_EQ(link.a.row(1).backoff, 0U);
  EXPECT_FALSE(link.a.has(1, regs::kRowProbeNow));
  EXPECT_EQ(link.inflight(), 0U + 0U);
}

TEST(pipelineControl, TheTimerOfASlotStartsWhenItsLinesLeave) {
  Link link(2);
  link.window(kFrame);
  link.a.write(0, 4);
  link.a.write(1, 4);
  const auto first = link.a.frames();
  link.a.pass(900'000);
  link.b.receive(first);
  link.b.pass(1'000);
  link.a.receive(link.b.frames());
  ASSERT_EQ(link.a.frames().size(), 1U);
  EXPECT_EQ(link.a.row(1).tx_deadline, link.a.now + link.a.pipe.flow(0).timeout_us());
}

TEST(pipelineControl, InFlightIsExactThroughStopsAndUnbinding) {
  Link link(4);
  link.window(1000);
  for (std::uint16_t slot = 0; slot < 4; ++slot) link.a.write(slot, 10);
  link.a.frames();
  EXPECT_EQ(link.inflight(), 40U);
  link.a.pipe.fault(0, regs::Fault::in_tail);
  EXPECT_EQ(link.inflight(), 30U);
  link.a.pipe.unbind(1);
  EXPECT_EQ(link.inflight(), 20U);
  Header nak;
  nak.type = regs::FrameType::nak;
  nak.epoch = 7;
  nak.dst_slot = nak.src_slot = 2;
  nak.ack = 4;
  nak.credit = 64;
  link.a.receive(make_frame(nak));
  EXPECT_EQ(link.inflight(), 10U);
  link.a.pipe.link_down(0);
  EXPECT_EQ(link.inflight(), 10U);
  link.a.pipe.link_up(0, link.a.now);
  EXPECT_EQ(link.inflight(), 0U);
  link.a.pipe.unbind(0);  // stopped before: it has left already
  EXPECT_EQ(link.inflight(), 0U);
}

TEST(pipelineControl, ASlotThatStopsGivesItsTurnAway) {
  Link link(3);
  link.window(kFrame);
  for (std::uint16_t slot = 0; slot < 3; ++slot) link.a.write(slot, 4);
  const auto first = link.a.frames();
  ASSERT_EQ(first.size(), 1U);
  link.b.receive(first);
  link.b.pass(1'000);
  link.a.receive(link.b.frames());
  link.a.pipe.unbind(1);  // it was next
  const auto next = link.a.frames();
  ASSERT_EQ(next.size(), 1U);
  EXPECT_EQ(link.slot_of(next.front()), 2);
}

TEST(pipelineControl, APaceSpacesFramesAfterABurst) {
  Link link(1, 10);
  // A line in four microseconds: the burst is four frames, and what 128 us bring is more.
  link.window(10'000, 1U << (congestion::kPaceBits - 2));
  link.a.write(0, 600);
  EXPECT_EQ(link.a.frames().size(), 8U);
  EXPECT_FALSE(link.a.pipe.ready());
  EXPECT_TRUE(link.a.pipe.paced());
  link.a.now += 15;
  EXPECT_TRUE(link.a.frames().empty());
  link.a.now += 1;
  EXPECT_EQ(link.a.frames().size(), 1U);
  link.a.now += 80;
  EXPECT_EQ(link.a.frames().size(), 5U);
  link.a.now += 1'000'000;  // no more than the bucket holds is saved
  EXPECT_EQ(link.a.frames().size(), 8U);
  EXPECT_EQ(link.inflight(), 22U * kFrame);
  // At a lower pace four frames are the burst.
  link.window(10'000, 1U << (congestion::kPaceBits - 6));
  link.a.now += 1'000'000;
  EXPECT_EQ(link.a.frames().size(), 4U);
}

TEST(pipelineControl, ATimedFrameAsksAndItsAnswerIsTheRoundTrip) {
  Link link(2);
  link.a.write(0, 4);
  const auto frames = link.a.frames();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(header_of(frames[0]).flags, regs::kHdrAsk);
  link.pass(300);
  link.b.receive(frames);
  const Bytes ack = link.b.only_frame();  // at once, though less than a quarter of the ring came
  EXPECT_EQ(header_of(ack).type, regs::FrameType::ack);
  EXPECT_EQ(header_of(ack).flags, regs::kHdrAnswer);
  link.pass(200);
  link.a.receive(ack);
  EXPECT_EQ(link.a.pipe.flow(0).report().srtt_us, 500U);
  // A little later little is in flight: no answer is asked for.
  link.a.write(0, 4);
  EXPECT_EQ(header_of(link.a.only_frame()).flags, 0);
}

TEST(pipelineControl, TheTimeoutFollowsTheRoundTrip) {
  Link link(1, 10);
  EXPECT_EQ(link.a.pipe.flow(0).timeout_us(), 1'000'000U);
  link.window(10'000);
  for (int i = 0; i < 60; ++i) {
    link.a.write(0, 4);
    link.a.now += 10'000;  // asks only so often
    link.b.now += 10'000;
    link.round_trip(150'000);
    link.b.read(0, 4);
    link.pass(1'000);
  }
  // 2 srtt + 4 var, and the peer's delay; the variation has decayed.
  const auto report = link.a.pipe.flow(0).report();
  EXPECT_EQ(report.srtt_us, 150'000U);
  EXPECT_EQ(report.least_us, 150'000U);
  EXPECT_GE(report.timeout_us, 301'000U);
  EXPECT_LE(report.timeout_us, 304'000U);
}

TEST(pipelineControl, WhatWasSentTwiceIsNotTimed) {
  Link link(1);
  link.a.write(0, 4);
  const auto lost = link.a.frames();
  ASSERT_EQ(header_of(lost[0]).flags, regs::kHdrAsk);
  link.a.pass(1'000'000);
  const auto again = link.a.frames();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(header_of(again[0]).flags, 0);  // Karn: whose answer it would be nobody knows
  link.b.receive(again);
  link.b.pass(1'000);
  link.a.receive(link.b.frames());
  EXPECT_EQ(link.a.pipe.flow(0).report().srtt_us, 0U);
}

TEST(pipelineControl, AnAcknowledgementWithoutTheAnswerIsNoSampleOnceThePeerAnswers) {
  Link link(1);
  link.a.write(0, 4);
  link.round_trip(1'000);
  ASSERT_EQ(link.a.pipe.flow(0).report().srtt_us, 1'000U);
  link.pass(20'000);
  link.a.write(0, 4);
  const auto frames = link.a.frames();
  ASSERT_EQ(header_of(frames[0]).flags, regs::kHdrAsk);
  link.b.receive(frames);
  link.b.frames();  // the answer is lost
  link.pass(9'000);
  Header ack;
  ack.type = regs::FrameType::ack;
  ack.epoch = 7;
  ack.ack = 8;
  ack.credit = 64;
  link.a.receive(make_frame(ack));
  EXPECT_EQ(link.a.pipe.flow(0).report().srtt_us, 1'000U);
}

TEST(pipelineControl, MarksAreToldOnceAndCounted) {
  Link link(1);
  link.b.pipe.on_marked(0, 70);
  link.a.write(0, 4);
  link.b.receive(link.a.frames());
  const Bytes first = link.b.only_frame();
  EXPECT_EQ(header_of(first).flags >> regs::kHdrMarkedShift, 63);
  link.a.receive(first);
  EXPECT_EQ(link.a.pipe.flow(0).report().marked, 63U);
  link.a.write(0, 40);
  link.b.receive(link.a.frames());
  link.b.pass(1'000);
  const Bytes second = link.b.only_frame();
  EXPECT_EQ(header_of(second).flags >> regs::kHdrMarkedShift, 7);
}

TEST(pipelineControl, ARoundEndsWhenWhatWasInFlightHasLeftIt) {
  Link link(1, 10);
  link.window(8 * kFrame);
  link.a.write(0, 500);
  link.round_trip(2'000);
  link.pass(1'000);
  link.a.receive(link.b.frames());
  const Round round = link.take_round();
  EXPECT_EQ(round.acked, 8U * kFrame);
  EXPECT_EQ(round.peak, 8U * kFrame);
  EXPECT_EQ(round.limit, Limit::window);
  EXPECT_EQ(round.frames, 8U);
  EXPECT_EQ(round.rtt_us, 2'000U);
  EXPECT_FALSE(round.loss);
}

TEST(pipelineControl, ALossEndsTheRoundAtOnceAndCountsOnce) {
  Link link(1, 10);
  link.window(8 * kFrame);
  link.a.write(0, 500);
  auto frames = link.a.frames();
  ASSERT_EQ(frames.size(), 8U);
  frames.erase(frames.begin() + 2);
  link.b.receive(frames);
  link.pass(1'000);
  link.a.receive(link.b.frames());
  const Round round = link.take_round();
  EXPECT_TRUE(round.loss);
  EXPECT_EQ(round.lost_nak, 6U * kFrame);
  EXPECT_EQ(round.losses, 1U);
  // A second loss among the lines that were in flight then is the same event.
  frames = link.a.frames();
  frames.erase(frames.begin() + 1);
  link.b.receive(frames);
  link.pass(1'000);
  link.a.receive(link.b.frames());
  const Round second = link.a.pipe.take_round(0, link.a.now);
  EXPECT_FALSE(second.loss);
  EXPECT_TRUE(second.recovering);
  EXPECT_EQ(second.losses, 1U);
}

/// Many slots, one frame each: nobody sends a NAK.
TEST(pipelineControl, ASlotIsLostWhenLaterFramesOfTheLinkArrived) {
  Link link(8);
  link.window(1'000);
  link.a.write(0, 1);
  link.round_trip(10'000);  // a first round trip, so that timeouts are known
  ASSERT_NE(link.a.pipe.flow(0).report().srtt_us, 0U);
  link.a.write(1, 1);
  ASSERT_EQ(link.a.frames().size(), 1U);  // lost
  link.pass(16'000);
  link.a.write(2, 1);
  link.round_trip(10'000);
  link.pass(1'000);
  link.a.receive(link.b.frames());
  link.a.pass(500);
  const auto again = link.a.frames();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(link.slot_of(again[0]), 1);
  EXPECT_EQ(link.a.pipe.flow(0).report().lost_link, 1U);
  EXPECT_EQ(link.a.count(regs::Counter::timeouts), 0U);
}

TEST(pipelineControl, WhatIsSlightlyLateIsNotLost) {
  Link link(8);
  link.window(1'000);
  link.a.write(0, 1);
  link.round_trip(10'000);
  link.a.write(1, 1);
  const auto late = link.a.frames();
  link.pass(3'000);  // less than an eighth of the round trip and two of the peer's delays
  link.a.write(2, 1);
  link.round_trip(10'000);
  link.pass(1'000);
  link.a.receive(link.b.frames());
  link.a.pass(500);
  EXPECT_TRUE(link.a.frames().empty());
  EXPECT_EQ(link.a.pipe.flow(0).report().lost_link, 0U);
}

/// The peer had it, and was busy: the decrease is undone, and the link is patient from then on.
TEST(pipelineControl, AnAcknowledgementThatTookLongerIsNoLoss) {
  Link link(8);
  link.window(1'000);
  link.a.write(0, 1);
  link.round_trip(10'000);
  link.a.write(1, 1);
  link.b.receive(link.a.frames());
  link.pass(1'000);
  const auto late = link.b.frames();
  ASSERT_FALSE(late.empty());
  link.pass(16'000);
  link.a.write(2, 1);
  link.round_trip(10'000);
  link.pass(1'000);
  link.a.receive(link.b.frames());
  link.a.pass(500);
  ASSERT_EQ(link.a.pipe.flow(0).report().lost_link, 1U);
  link.a.receive(late);
  EXPECT_EQ(link.a.pipe.flow(0).report().wrong, 1U);
  EXPECT_TRUE(link.a.pipe.take_round(0, link.a.now).reordered);
  for (const Bytes& frame : link.a.frames()) EXPECT_NE(header_of(frame).type, regs::FrameType::data) << "sent again";
}

TEST(pipelineControl, ATailThatIsLostIsProbedForAndFound) {
  Link link(2);
  link.window(1'000);
  link.a.write(0, 1);
  link.round_trip(50'000);
  link.a.write(1, 1);
  ASSERT_EQ(link.a.frames().size(), 1U);  // lost, and nothing comes after it
  link.pass(101'000);
  EXPECT_TRUE(link.a.frames().empty());
  link.pass(1'000);
  const auto probe = link.a.frames();
  ASSERT_EQ(probe.size(), 1U);
  EXPECT_EQ(header_of(probe[0]).type, regs::FrameType::probe);
  EXPECT_EQ(link.a.count(regs::Counter::timeouts), 0U);
  link.pass(25'000);
  link.b.receive(probe);
  const auto answer = link.b.frames();
  link.pass(25'000);
  link.a.receive(answer);
  link.a.pass(1);
  const auto again = link.a.frames();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(lines_of(again[0]), 1U);
  EXPECT_EQ(link.a.pipe.flow(0).report().lost_link, 1U);
  EXPECT_EQ(link.a.pipe.flow(0).report().tail_probes, 1U);
}

TEST(pipelineControl, ReorderingIsToldApartFromLoss) {
  Link link(1, 10);
  link.window(1'000);
  link.a.write(0, 4);
  link.round_trip(20'000);
  link.a.pipe.take_round(0, link.a.now);
  link.a.write(0, 8);
  const auto frames = link.a.frames();
  ASSERT_EQ(frames.size(), 2U);
  link.pass(10'000);
  link.b.receive(frames[1]);
  const auto nak = link.b.frames();
  link.b.receive(frames[0]);
  link.pass(1'000);
  const auto ack = link.b.frames();
  ASSERT_EQ(ack.size(), 1U);
  link.pass(9'000);
  link.a.receive(nak);
  EXPECT_TRUE(link.take_round().loss);
  link.a.frames();
  link.a.pass(1'000);
  link.a.receive(ack);
  EXPECT_TRUE(link.take_round().reordered);
}

TEST(pipelineControl, SilenceOfTheWholeLinkIsToldApartFromOneSlots) {
  Link link(2, 10);
  link.window(1'000);
  link.a.write(0, 4);
  link.round_trip(10'000);
  link.a.pipe.take_round(0, link.a.now);
  link.a.write(0, 4);
  link.a.frames();  // lost
  const Microseconds timeout = link.a.pipe.flow(0).timeout_us();
  link.a.pass(timeout);
  const Round round = link.take_round();
  EXPECT_TRUE(round.silent);
  EXPECT_EQ(round.silences, 1U);
  EXPECT_EQ(round.lost_timeout, 4U);
}

TEST(pipelineControl, ALinkThatWasIdleBeginsSmall) {
  Link link(1, 10);
  link.window(100'000);
  link.a.write(0, 4);
  link.round_trip(1'000);
  EXPECT_EQ(link.a.pipe.flow(0).report().window, 100'000U);
  link.pass(201'000);
  link.a.write(0, 400);
  link.a.frames();
  EXPECT_EQ(link.inflight(), congestion::first_window(kFrame));
}

TEST(pipelineControl, EveryLineArrivesOverALinkThatLoses) {
  constexpr std::uint16_t kSlots = 20;
  Link link(kSlots);
  link.window(5 * kFrame);
  std::mt19937 random(1);
  std::vector<std::uint32_t> left(kSlots, 200), read(kSlots, 0);
  std::vector<std::uint32_t> written(kSlots, 0);
  for (int step = 0; step < 40'000; ++step) {
    for (std::uint16_t slot = 0; slot < kSlots; ++slot) {
      const std::uint32_t used = written[slot] - link.a.row(slot).in_head;
      const std::uint32_t n = std::min(left[slot], 64 - used);
      if (n != 0) {
        link.a.write(slot, n);
        written[slot] += n;
        left[slot] -= n;
      }
      const std::uint32_t there = link.b.row(slot).out_tail - read[slot];
      ASSERT_EQ(link.b.read(slot, there), lines_content(slot, read[slot], there));
      read[slot] += there;
    }
    for (const Bytes& frame : link.a.frames(random() % 8)) {
      if (random() % 10 != 0) link.b.receive(frame);
    }
    for (const Bytes& frame : link.b.frames()) {
      if (random() % 10 != 0) link.a.receive(frame);
    }
    ASSERT_LE(link.inflight(), 5U * kFrame);
    ASSERT_FALSE(link.a.pipe.stalled(0, link.a.now));
    while (link.a.pipe.round_over() != pipeline::Pipeline::kNoLink) link.a.pipe.take_round(0, link.a.now);
    link.pass(static_cast<Microseconds>(random() % 2'000));
    if (std::all_of(read.begin(), read.end(), [](std::uint32_t n) { return n == 200; })) return;
  }
  FAIL() << "not everything arrived";
}

}  // namespace
}  // namespace slotwire::testing
