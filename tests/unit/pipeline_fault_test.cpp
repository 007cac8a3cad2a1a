// Faults, resets and the process's marks: rules R8 and R10 of docs/protocol.md.
#include <gtest/gtest.h>

#include "pipeline_support.hpp"

namespace {
using namespace slotwire;
using namespace slotwire::testing;
using regs::Counter;
using regs::Fault;
using regs::FrameType;
using regs::SlotState;

constexpr std::uint16_t kA = Pair::kA, kB = Pair::kB;

pipeline::SlotEvent only_event(Node& node) {
  pipeline::SlotEvent events[2];
  return node.pipe.take_events(events) == 1 ? events[0] : pipeline::SlotEvent{0xffff, Fault::none};
}

TEST(PipelineR8, AFaultTellsThePeerOnce) {
  Pair pair;
  pair.a.pipe.fault(kA, Fault::admin);
  EXPECT_EQ(pair.a.state(kA), SlotState::faulted);
  EXPECT_EQ(only_event(pair.a).fault, Fault::admin);
  const Bytes reset = pair.a.only_frame();
  EXPECT_EQ(header_of(reset).type, FrameType::reset);
  pair.b.receive(reset);
  EXPECT_EQ(pair.b.state(kB), SlotState::reset);
  EXPECT_EQ(only_event(pair.b).fault, Fault::peer_reset);
  EXPECT_EQ(pair.b.count(Counter::rx_resets), 1U);
  EXPECT_TRUE(pair.b.frames().empty()) << "a reset is not answered";
}

TEST(PipelineR8, AFaultOfAFaultedSlotChangesNothing) {
  Pair pair;
  pair.a.pipe.fault(kA, Fault::admin);
  only_event(pair.a);
  pair.a.frames();
  pair.a.pipe.fault(kA, Fault::memory);
  EXPECT_EQ(pair.a.row(kA).fault, static_cast<std::uint8_t>(Fault::admin));
  EXPECT_TRUE(pair.a.frames().empty());
}

TEST(PipelineR8, WhoStillTalksToAFaultedSlotIsToldAgain) {
  Pair pair;
  pair.b.pipe.fault(kB, Fault::admin);
  pair.b.frames();  // the reset is lost
  pair.a.write(kA, 1);
  pair.b.receive(pair.a.frames());
  EXPECT_EQ(pair.b.count(Counter::drop_faulted), 1U);
  EXPECT_EQ(header_of(pair.b.only_frame()).type, FrameType::reset);
  pair.b.receive(make_frame(pair.from_a(FrameType::reset)));
  EXPECT_TRUE(pair.b.frames().empty()) << "two faulted ends must not answer each other";
}

TEST(PipelineR8, AResetEndIsSilentAndKeepsWhatWasDelivered) {
  Pair pair;
  const Position start = pair.b.row(kB).out_tail;
  pair.a.write(kA, 3);
  pair.b.receive(pair.a.frames());
  pair.b.write(kB, 2);
  pair.b.receive(make_frame(pair.from_a(FrameType::reset)));
  EXPECT_TRUE(pair.b.frames().empty());
  EXPECT_FALSE(pair.b.pipe.timers_running());
  pair.b.receive(make_frame(pair.from_a(FrameType::probe)));
  EXPECT_EQ(pair.b.count(Counter::drop_faulted), 1U);
  EXPECT_TRUE(pair.b.frames().empty());
  EXPECT_EQ(pair.b.read(kB, 3), lines_content(kA, start, 3));
  pipeline::MarkUpdate mark;
  ASSERT_EQ(pair.b.pipe.take_marks({&mark, 1}), 1U) << "the mark of what was delivered is still published";
  EXPECT_EQ(mark.out_tail, start + 3);
}

TEST(PipelineR8, LinesThatMemoryRefusedAreNotAcknowledged) {
  Pair pair;
  const Position start = pair.b.row(kB).out_tail;
  pair.a.write(kA, 2);
  pair.b.receive(pair.a.frames());
  pair.a.write(kA, 3);
  pair.b.receive(pair.a.frames());
  ASSERT_EQ(pair.b.row(kB).out_tail, start + 5);
  pair.b.pipe.lines_refused(kB, start + 2);
  EXPECT_EQ(pair.b.state(kB), SlotState::faulted);
  const auto event = only_event(pair.b);
  EXPECT_EQ(event.slot, kB);
  EXPECT_EQ(event.fault, Fault::memory_refused);
  pipeline::MarkUpdate mark;
  ASSERT_EQ(pair.b.pipe.take_marks({&mark, 1}), 1U);
  EXPECT_EQ(mark.out_tail, start + 2);
  const Bytes reset = pair.b.only_frame();
  EXPECT_EQ(header_of(reset).type, FrameType::reset);
  EXPECT_EQ(header_of(reset).ack, start + 2);
  pair.a.receive(reset);
  EXPECT_EQ(pair.a.state(kA), SlotState::reset);
  EXPECT_EQ(pair.a.row(kA).in_head, start);
}

TEST(PipelineR8, RefusedLinesOfASlotThatIsFreeChangeNothing) {
  Pair pair;
  pair.b.pipe.unbind(kB);
  pair.b.pipe.lines_refused(kB, 7);
  EXPECT_EQ(pair.b.row(kB).out_tail, 0U);
  pipeline::SlotEvent event;
  EXPECT_EQ(pair.b.pipe.take_events({&event, 1}), 0U);
}

TEST(PipelineR8, AResetGoesOutWhenTheLinkComesBack) {
  Pair pair;
  pair.a.pipe.link_down(0);
  pair.a.pipe.fault(kA, Fault::admin);
  EXPECT_TRUE(pair.a.frames().empty());
  pair.a.pipe.link_up(0, pair.a.now);
  EXPECT_EQ(header_of(pair.a.only_frame()).type, FrameType::reset);
}

TEST(PipelineR8, AResetOfAnotherPairingIsIgnored) {
  Pair pair;
  Header header = pair.from_a(FrameType::reset);
  header.epoch = 1;
  pair.b.receive(make_frame(header));
  EXPECT_EQ(pair.b.state(kB), SlotState::bound);
}

struct Marks {
  const char* what;
  std::int64_t in_tail, out_head;  ///< added to the honest marks
  Fault fault;
};

// Slot 0 and slot 1 share a node. Slot 1 has 5 lines unread and 10 lines not acknowledged, in rings of 16.
TEST(PipelineR10, MarksThatCannotBeFaultTheirSlotAndNoOther) {
  const Marks cases[] = {
      {"nothing moved", 0, 0, Fault::none},
      {"a whole ring", 6, 0, Fault::none},
      {"everything read", 0, 5, Fault::none},
      {"one line more than a ring", 7, 0, Fault::in_tail},
      {"a step back", -1, 0, Fault::in_tail},
      {"half the circle", 1LL << 31, 0, Fault::in_tail},
      {"a line that was not delivered", 0, 6, Fault::out_head},
      {"a head that steps back", 0, -1, Fault::out_head},
      {"both", 7, 6, Fault::in_tail},
  };
  for (const Marks& c : cases) {
    Pair pair;
    const std::uint16_t kHonest = 0;
    pair.a.bind(kHonest,
                {.link = 0, .peer_slot = 9, .epoch = 4, .in_order = 4, .out_order = 4, .credit = 16, .marks = {}});
    pair.b.write(kB, 5);
    pair.a.receive(pair.b.frames());
    pair.a.write(kA, 10);
    pair.a.frames();
    const regs::SlotRow honest = pair.a.row(kHonest);
    const regs::SlotRow& row = pair.a.row(kA);
    pair.a.pipe.doorbell(kA, row.in_tail + static_cast<std::uint32_t>(c.in_tail),
                         row.out_head + static_cast<std::uint32_t>(c.out_head), pair.a.now);
    EXPECT_EQ(static_cast<Fault>(row.fault), c.fault) << c.what;
    EXPECT_EQ(pair.a.state(kA), c.fault == Fault::none ? SlotState::bound : SlotState::faulted) << c.what;
    EXPECT_EQ(pair.a.count(Counter::fault_in_tail), c.fault == Fault::in_tail ? 1U : 0U) << c.what;
    EXPECT_EQ(pair.a.count(Counter::fault_out_head), c.fault == Fault::out_head ? 1U : 0U) << c.what;
    EXPECT_EQ(std::memcmp(&honest, &pair.a.row(kHonest), sizeof honest), 0) << c.what;
    pair.a.write(kHonest, 2);
    std::size_t lines = 0;
    for (const Bytes& frame : pair.a.frames()) lines += header_of(frame).src_slot == kHonest ? lines_of(frame) : 0;
    EXPECT_EQ(lines, 2U) << c.what;
  }
}

TEST(PipelineR10, ADoorbellOfASlotThatIsNotBoundIsIgnored) {
  Node node;
  node.pipe.doorbell(0, 77, 77, node.now);
  EXPECT_EQ(node.state(0), SlotState::free);
  EXPECT_FALSE(node.pipe.ready());
}

// Whatever marks two processes write, the pipeline faults or goes on; nothing is read or written outside the rings (the
// sanitizers look) and an honest pair beside them is served.
TEST(PipelineR10, RandomMarksDoNotReachAnHonestNeighbour) {
  Pair pair;
  for (const std::uint16_t slot : {std::uint16_t{0}, std::uint16_t{3}}) {
    pair.a.bind(slot,
                {.link = 0, .peer_slot = slot, .epoch = 7, .in_order = 3, .out_order = 3, .credit = 8, .marks = {}});
    pair.b.bind(slot,
                {.link = 0, .peer_slot = slot, .epoch = 7, .in_order = 3, .out_order = 3, .credit = 8, .marks = {}});
  }
  std::mt19937 random(21);
  Position read = pair.b.row(kB).out_head;
  for (int round = 0; round < 5'000; ++round) {
    for (Node* node : {&pair.a, &pair.b}) {
      const std::uint16_t slot = random() % 2 == 0 ? 0 : 3;
      const regs::SlotRow& row = node->row(slot);
      node->pipe.doorbell(slot, row.in_tail + static_cast<std::uint32_t>(random() % 9),
                          row.out_head + static_cast<std::uint32_t>(random() % 9), node->now);
      if (node->state(slot) != SlotState::bound && round % 16 == 0) {
        node->pipe.unbind(slot);
        node->bind(slot,
                   {.link = 0, .peer_slot = slot, .epoch = 7, .in_order = 3, .out_order = 3, .credit = 8, .marks = {}});
      }
    }
    if (pair.a.row(kA).in_tail - pair.a.row(kA).in_head < pair.size) pair.a.write(kA, 1);
    pair.pass(500);
    pair.settle();
    const std::uint32_t there = pair.b.row(kB).out_tail - pair.b.row(kB).out_head;
    ASSERT_EQ(pair.b.read(kB, there), lines_content(kA, read, there)) << "round " << round;
    read += there;
  }
  EXPECT_GT(pair.a.count(Counter::fault_in_tail) + pair.b.count(Counter::fault_in_tail), 0U);
  EXPECT_EQ(pair.a.state(kA), SlotState::bound);
  EXPECT_EQ(pair.b.state(kB), SlotState::bound);
  EXPECT_GT(pair.b.pipe.stats(kB).rx_lines, 1000U);
}

TEST(PipelineEmpty, APipelineWithoutLinksFreesRows) {
  Node node(2, 0);
  node.pipe.unbind(1);
  EXPECT_EQ(node.state(1), SlotState::free);
}

TEST(PipelineEmpty, TooManySlotsOrLinksAreRefused) {
  std::vector<regs::SlotRow> rows(regs::kMaxSlots + 1);
  EXPECT_THROW(pipeline::Pipeline(rows, 1), std::invalid_argument);
  EXPECT_THROW(pipeline::Pipeline(std::span(rows).first(1), 65536), std::invalid_argument);
}

// Every counter that the pipeline has, provoked.
TEST(PipelineCounters, EachCanBeProvoked) {
  Pair pair;
  pair.a.pipe.set_link(0, {.lines_per_frame = 1});
  pair.b.pipe.set_link(0, {.lines_per_frame = 4});
  Node &a = pair.a, &b = pair.b;
  const auto each = [&](auto&& f) {
    f(a);
    f(b);
  };
  a.write(kA, 3);
  auto frames = a.frames();
  b.receive(frames[0]);
  b.receive(frames[2]);       // drop_gap, tx_naks
  a.receive(b.only_frame());  // rx_naks, tx_lines_again
  pair.settle();
  b.receive(frames[0]);  // drop_duplicate
  pair.settle();
  a.write(kA, 13);
  pair.settle();
  a.write(kA, 2);     // the window is closed
  pair.pass(10'000);  // timeouts, tx_probes
  pair.settle();      // rx_probes, tx_acks, rx_acks
  Header header = pair.from_a(FrameType::data);
  b.receive(make_frame(header, line_content(0, 0)));  // drop_overrun
  b.receive(Bytes(3));
  header.version = 2;
  b.receive(make_frame(header));
  header = pair.from_a(static_cast<FrameType>(15));
  b.receive(make_frame(header));
  header = pair.from_a(FrameType::data);
  b.receive(make_frame(header));
  Bytes damaged = make_frame(pair.from_a(FrameType::probe));
  damaged[3] ^= std::byte{4};
  b.receive(damaged);
  header = pair.from_a(FrameType::probe);
  b.receive(make_frame(header), 1);
  header.dst_slot = 400;
  b.receive(make_frame(header));
  header.dst_slot = 0;
  b.receive(make_frame(header));
  header = pair.from_a(FrameType::probe);
  header.src_slot = 0;
  b.receive(make_frame(header));
  header = pair.from_a(FrameType::probe);
  header.epoch = 0;
  b.receive(make_frame(header));
  header = pair.from_a(FrameType::probe);
  header.ack += 50;
  b.receive(make_frame(header));
  b.pipe.doorbell(kB, b.row(kB).in_tail + 17, b.row(kB).out_head, b.now);  // fault_in_tail
  b.receive(make_frame(pair.from_a(FrameType::probe)));                    // drop_faulted
  a.receive(b.frames());                                                   // tx_resets, rx_resets
  b.bind(0, {.link = 0, .peer_slot = 0, .epoch = 1, .in_order = 0, .out_order = 0, .credit = 1, .marks = {}});
  b.pipe.doorbell(0, 0, 1, b.now);  // fault_out_head
  std::vector<std::uint64_t> total(regs::kCounterCount);
  each([&](Node& node) {
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += node.count(static_cast<Counter>(i));
  });
  for (std::size_t i = 0; i < total.size(); ++i) EXPECT_GT(total[i], 0U) << regs::name(static_cast<Counter>(i));
}

}  // namespace
