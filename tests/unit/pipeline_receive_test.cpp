// What the pipeline takes and what it drops: rules R1, R2, R3 and R5 of docs/protocol.md.
#include <gtest/gtest.h>

#include "pipeline_support.hpp"

namespace {
using namespace slotwire;
using namespace slotwire::testing;
using regs::Counter;
using regs::FrameType;
using regs::SlotState;

constexpr std::uint16_t kA = Pair::kA, kB = Pair::kB;

/// Delivers `frame` to b and expects it to be dropped for `cause` and nothing else to change.
void expect_dropped(Pair& pair, const Bytes& frame, Counter cause, std::uint16_t link = 0) {
  std::vector<std::uint64_t> before;
  for (std::size_t i = 0; i < regs::kCounterCount; ++i) before.push_back(pair.b.count(static_cast<Counter>(i)));
  const regs::SlotRow row = pair.b.row(kB);
  pair.b.receive(frame, link);
  for (std::size_t i = 0; i < regs::kCounterCount; ++i) {
    const auto counter = static_cast<Counter>(i);
    EXPECT_EQ(pair.b.count(counter), before[i] + (counter == cause ? 1 : 0)) << regs::name(counter);
  }
  EXPECT_EQ(std::memcmp(&row, &pair.b.row(kB), sizeof row), 0) << "the row changed";
  EXPECT_FALSE(pair.b.pipe.ready());
}

TEST(PipelineR1, AFrameOfAnEarlierPairingIsDropped) {
  Pair pair;
  Header header = pair.from_a(FrameType::data);
  header.epoch = Pair::kEpoch + 1;
  expect_dropped(pair, make_frame(header, line_content(kA, 0)), Counter::drop_epoch);
}

TEST(PipelineR1, AnUnboundSlotTakesNothing) {
  Pair pair;
  const Bytes frame = make_frame(pair.from_a(FrameType::data), line_content(kA, 0));
  pair.b.pipe.unbind(kB);
  expect_dropped(pair, frame, Counter::drop_unbound);
}

TEST(PipelineR1, ARebindStartsWithNothingOfTheOldPairing) {
  Pair pair;
  pair.a.write(kA, 5);
  pair.settle();
  pair.b.pipe.unbind(kB);
  pair.b.bind(kB, {.link = 0, .peer_slot = kA, .epoch = 9, .in_order = 2, .out_order = 3, .credit = 8, .marks = {}});
  EXPECT_EQ(pair.b.row(kB).out_tail, 0U);
  EXPECT_EQ(pair.b.pipe.stats(kB).rx_lines, 0U);
  EXPECT_FALSE(pair.b.pipe.timers_running());
  pair.b.write(kB, 1);
  const Header header = header_of(pair.b.only_frame());
  EXPECT_EQ(header.epoch, 9);
  EXPECT_EQ(header.seq, 0U);
  EXPECT_EQ(header.credit, 8);
}

TEST(PipelineR1, BindWithoutKnownCreditAsksForItAtOnce) {
  Node node;
  node.bind(0, {.link = 0, .peer_slot = 3, .epoch = 1, .in_order = 4, .out_order = 4, .credit = 0, .marks = {}});
  EXPECT_EQ(header_of(node.only_frame()).type, FrameType::probe);
}

TEST(PipelineR2, EachCheckHasItsCounter) {
  Pair pair;
  const Bytes good = make_frame(pair.from_a(FrameType::data), line_content(kA, 0));
  expect_dropped(pair, Bytes(good.begin(), good.begin() + regs::kHeaderBytes - 1), Counter::drop_short);
  expect_dropped(pair, {}, Counter::drop_short);
  Header header = pair.from_a(FrameType::data);
  header.version = regs::kVersion + 1;
  expect_dropped(pair, make_frame(header, line_content(kA, 0)), Counter::drop_version);
  header = pair.from_a(static_cast<FrameType>(5));
  expect_dropped(pair, make_frame(header), Counter::drop_type);
  expect_dropped(pair, make_frame(pair.from_a(FrameType::data)), Counter::drop_length);
  expect_dropped(pair, make_frame(pair.from_a(FrameType::ack), line_content(kA, 0)), Counter::drop_length);
  Bytes cut = good;
  cut.pop_back();
  expect_dropped(pair, cut, Counter::drop_length);
  Bytes damaged = good;
  damaged.back() ^= std::byte{1};
  expect_dropped(pair, damaged, Counter::drop_crc);
  header = pair.from_a(FrameType::data);
  header.dst_slot = 4;  // the node has slots 0 to 3
  expect_dropped(pair, make_frame(header, line_content(kA, 0)), Counter::drop_slot);
  header.dst_slot = 3;
  expect_dropped(pair, make_frame(header, line_content(kA, 0)), Counter::drop_unbound);
  expect_dropped(pair, good, Counter::drop_link, 1);
  header = pair.from_a(FrameType::data);
  header.src_slot = 0;
  expect_dropped(pair, make_frame(header, line_content(kA, 0)), Counter::drop_peer_slot);
  header = pair.from_a(FrameType::data);
  header.epoch = 0;
  expect_dropped(pair, make_frame(header, line_content(kA, 0)), Counter::drop_epoch);
  header = pair.from_a(FrameType::data);
  header.ack += 1;  // b has sent nothing
  expect_dropped(pair, make_frame(header, line_content(kA, 0)), Counter::drop_position);
}

// A frame that fails every check from the k-th on is counted by the k-th.
TEST(PipelineR2, TheFirstCheckThatFailsCounts) {
  Pair pair;
  Header header = pair.from_a(static_cast<FrameType>(7));
  header.version = 3;
  header.dst_slot = 77;
  header.src_slot = 0;
  header.epoch = 1;
  header.ack += 1000;
  const auto frame = [&](std::size_t payload, bool damage) {
    Bytes bytes = make_frame(header, std::vector<std::byte>(payload, std::byte{1}));
    if (damage) bytes[regs::kHdrCrc] ^= std::byte{1};
    return bytes;
  };
  expect_dropped(pair, frame(63, true), Counter::drop_version, 1);
  header.version = regs::kVersion;
  expect_dropped(pair, frame(63, true), Counter::drop_type, 1);
  header.type = FrameType::data;
  expect_dropped(pair, frame(63, true), Counter::drop_length, 1);
  expect_dropped(pair, frame(64, true), Counter::drop_crc, 1);
  expect_dropped(pair, frame(64, false), Counter::drop_slot, 1);
  header.dst_slot = 3;
  expect_dropped(pair, frame(64, false), Counter::drop_unbound, 1);
  header.dst_slot = kB;
  expect_dropped(pair, frame(64, false), Counter::drop_link, 1);
  expect_dropped(pair, frame(64, false), Counter::drop_peer_slot);
  header.src_slot = kA;
  expect_dropped(pair, frame(64, false), Counter::drop_epoch);
  header.epoch = Pair::kEpoch;
  expect_dropped(pair, frame(64, false), Counter::drop_position);
}

TEST(PipelineR2, FlagsAreIgnored) {
  Pair pair;
  Header header = pair.from_a(FrameType::data);
  header.flags = 0xff;
  pair.b.receive(make_frame(header, line_content(kA, 0)));
  EXPECT_EQ(pair.b.count(Counter::rx_lines), 1U);
}

TEST(PipelineR2, NoByteStringDoesHarm) {
  Pair pair;
  std::mt19937 random(11);
  const regs::SlotRow before = pair.b.row(kB);
  for (int round = 0; round < 20'000; ++round) {
    Bytes frame(random() % 200);
    for (std::byte& byte : frame) byte = static_cast<std::byte>(random() & 0xff);
    if (!frame.empty() && round % 2 == 0) frame[0] = std::byte{0x10};
    pair.b.receive(frame);
  }
  EXPECT_EQ(std::memcmp(&before, &pair.b.row(kB), sizeof before), 0);
  EXPECT_EQ(pair.b.count(Counter::rx_frames), 0U);
}

TEST(PipelineR3, LinesLandWhereTheirNumberSaysOverTheWrapOfPositionsAndOfTheRing) {
  Pair pair(4, 0xffff'fff3);  // the frame crosses position 2^32 and the end of the ring
  pair.a.write(kA, 16);
  pair.settle();
  EXPECT_EQ(pair.b.row(kB).out_tail, 3U);
  EXPECT_EQ(pair.b.read(kB, 16), lines_content(kA, 0xffff'fff3, 16));
}

TEST(PipelineR3, AGapIsNakedOnceUntilItCloses) {
  Pair pair;
  pair.a.pipe.set_link(0, {.lines_per_frame = 1});
  pair.a.write(kA, 4);
  const auto frames = pair.a.frames();
  ASSERT_EQ(frames.size(), 4U);
  pair.b.receive(frames[1]);
  const Header nak = header_of(pair.b.only_frame());
  EXPECT_EQ(nak.type, FrameType::nak);
  EXPECT_EQ(nak.ack, header_of(frames[0]).seq);
  pair.b.receive(frames[2]);
  pair.b.receive(frames[3]);
  EXPECT_TRUE(pair.b.frames().empty()) << "a second NAK for one gap";
  EXPECT_EQ(pair.b.count(Counter::drop_gap), 3U);
  EXPECT_EQ(pair.b.row(kB).out_tail, nak.ack) << "lines after a gap must not be taken";
  pair.b.receive(frames[0]);
  pair.b.receive(frames[2]);
  EXPECT_EQ(header_of(pair.b.only_frame()).type, FrameType::nak) << "the next gap gets its own NAK";
  EXPECT_EQ(pair.b.count(Counter::tx_naks), 2U);
}

TEST(PipelineR3, AGapThatClosedBeforeItsNakLeftIsNotNaked) {
  Pair pair;
  pair.a.pipe.set_link(0, {.lines_per_frame = 2});
  pair.a.write(kA, 4);
  const auto frames = pair.a.frames();
  pair.b.receive(frames[1]);
  pair.b.receive(frames[0]);
  for (const Bytes& frame : pair.b.frames()) EXPECT_NE(header_of(frame).type, FrameType::nak);
}

TEST(PipelineR3, ADuplicateIsAcknowledgedAndNotWritten) {
  Pair pair;
  pair.a.write(kA, 3);
  const Bytes frame = pair.a.only_frame();
  pair.b.receive(frame);
  pair.b.frames();
  pair.b.receive(frame);
  EXPECT_EQ(pair.b.count(Counter::drop_duplicate), 1U);
  EXPECT_EQ(pair.b.count(Counter::rx_lines), 3U);
  const Header answer = header_of(pair.b.only_frame());
  EXPECT_EQ(answer.type, FrameType::ack);
  EXPECT_EQ(answer.ack, header_of(frame).seq + 3);
}

TEST(PipelineR3, OfAnOverlappingFrameOnlyTheNewLinesAreWritten) {
  Pair pair;
  pair.a.write(kA, 5);
  const Bytes frame = pair.a.only_frame();
  Header header = header_of(frame);
  const auto payload = std::span(frame).subspan(regs::kHeaderBytes);
  pair.b.receive(make_frame(header, payload.first(2 * regs::kLineBytes)));
  // The lines that are known come again with other content: what was delivered must not change.
  Bytes other(frame.begin() + regs::kHeaderBytes, frame.end());
  std::fill_n(other.begin(), 2 * regs::kLineBytes, std::byte{0});
  pair.b.receive(make_frame(header, other));
  EXPECT_EQ(pair.b.row(kB).out_tail, header.seq + 5);
  EXPECT_EQ(pair.b.count(Counter::rx_lines), 5U);
  EXPECT_EQ(pair.b.read(kB, 5), lines_content(kA, header.seq, 5));
}

TEST(PipelineR3, AFrameBeyondTheRoomIsDroppedWhole) {
  Pair pair(2);
  Header header = pair.from_a(FrameType::data);
  pair.b.receive(make_frame(header, lines_content(kA, header.seq, 5)));
  EXPECT_EQ(pair.b.count(Counter::drop_overrun), 1U);
  EXPECT_EQ(pair.b.row(kB).out_tail, header.seq);
  const Header answer = header_of(pair.b.only_frame());
  EXPECT_EQ(answer.type, FrameType::ack);
  EXPECT_EQ(answer.credit, 4);
}

TEST(PipelineR5, AnAckReleasesLinesAndOpensTheWindow) {
  Pair pair;
  pair.a.write(kA, 6);
  pair.b.receive(pair.a.frames());
  pair.a.receive(pair.b.only_frame());
  EXPECT_EQ(pair.a.row(kA).in_head, pair.a.row(kA).in_tail);
  EXPECT_EQ(pair.a.row(kA).limit, pair.a.row(kA).in_head + 10);
  EXPECT_FALSE(pair.a.has(kA, regs::kRowTxTimer));
  pipeline::MarkUpdate mark;
  ASSERT_EQ(pair.a.pipe.take_marks({&mark, 1}), 1U);
  EXPECT_EQ(mark.in_head, pair.a.row(kA).in_head);
}

TEST(PipelineR5, AStaleAckTakesNothingBackButItsLinesCount) {
  Pair pair;
  Header old = pair.from_a(FrameType::data);
  pair.b.write(kB, 4);
  pair.settle();
  pair.pass(1000);
  pair.settle();
  const Position released = pair.b.row(kB).in_head;
  const Position limit = pair.b.row(kB).limit;
  EXPECT_NE(released, old.ack);
  pair.b.receive(make_frame(old, line_content(kA, old.seq)));
  EXPECT_EQ(pair.b.row(kB).in_head, released);
  EXPECT_EQ(pair.b.row(kB).limit, limit);
  EXPECT_EQ(pair.b.count(Counter::rx_lines), 1U);
}

TEST(PipelineR5, TheWindowNeverShrinks) {
  Pair pair;
  const Position limit = pair.b.row(kB).limit;
  Header header = pair.from_a(FrameType::ack);
  header.credit = 3;
  pair.b.receive(make_frame(header));
  EXPECT_EQ(pair.b.row(kB).limit, limit);
}

TEST(PipelineR5, AnAckOfLinesBeyondTheOnesThatWereProducedIsDropped) {
  Pair pair;
  pair.b.write(kB, 2);
  pair.b.frames();
  Header header = pair.from_a(FrameType::ack);
  header.ack += 3;
  expect_dropped(pair, make_frame(header), Counter::drop_position);
  header.ack -= 1;
  pair.b.receive(make_frame(header));
  EXPECT_EQ(pair.b.row(kB).in_head, header.ack);
}

TEST(PipelineR2, AFrameFromWhereThePeerCannotBeIsDroppedWhateverItsType) {
  for (const FrameType type : {FrameType::data, FrameType::ack, FrameType::nak, FrameType::probe, FrameType::reset}) {
    Pair pair;
    pair.b.write(kB, 3);
    pair.b.frames();
    const auto lines = type == FrameType::data ? line_content(kA, 0) : Bytes{};
    const Header good = pair.from_a(type);
    const auto moved = [&](std::uint32_t seq, std::uint32_t ack) {
      Header header = good;
      header.seq += seq;
      header.ack += ack;
      return make_frame(header, lines);
    };
    const std::uint32_t ring = pair.size;
    expect_dropped(pair, moved(0, 4), Counter::drop_position);
    expect_dropped(pair, moved(0, 0U - ring - 1), Counter::drop_position);
    expect_dropped(pair, moved(0, 0x8000'0000), Counter::drop_position);
    expect_dropped(pair, moved(ring + 1, 0), Counter::drop_position);
    expect_dropped(pair, moved(0U - ring - 1, 0), Counter::drop_position);
    expect_dropped(pair, moved(0x8000'0000, 0), Counter::drop_position);
    const std::uint64_t dropped = pair.b.count(Counter::drop_position);
    if (type == FrameType::reset) {
      pair.b.receive(moved(0U - ring, 0U - ring));
      EXPECT_EQ(pair.b.state(kB), SlotState::reset);
      continue;
    }
    pair.b.receive(moved(ring, 0U - ring));
    pair.b.receive(moved(0U - ring, 3));
    EXPECT_EQ(pair.b.count(Counter::drop_position), dropped);
    EXPECT_EQ(pair.b.count(Counter::rx_frames), 2U);
  }
}

}  // namespace
