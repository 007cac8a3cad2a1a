// A card whose wire is full in both directions, and whose host writes as fast as its bus takes it: what waits must go
// on once its own condition is met, however much arrives meanwhile.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "card_fixture.hpp"
#include "core/pipeline/frame.hpp"
#include "sim/card/card_driver.hpp"
#include "sim/lockstep/program.hpp"

namespace {
using namespace slotwire;
using sim::SimCardDriver;

constexpr std::uint16_t kSlots = 16;
constexpr unsigned kOrder = 10;
constexpr std::uint32_t kRingLines = 1U << kOrder;
constexpr std::uint32_t kFrameLines = 22;        // of the fixture's link
constexpr std::uint32_t kBeyondCounters = 250;   // arrivals, up to nearly the circle of the RTL's 8-bit counters
constexpr std::uint64_t kClocksToSettle = 5000;  // several times what all that a test starts takes on the wire

class LineRate : public lockstep::Card {
 protected:
  void start() {
    power_on({});
    for (const std::uint16_t slot : lockstep::numbers(kSlots)) bind(slot, kOrder);
    ASSERT_TRUE(driver->rest()) << driver->error();
  }
  static lockstep::FrameIn frame(std::uint16_t slot, std::uint32_t seq) {
    return {.dst_slot = slot, .src_slot = 2, .seq = seq, .credit = kRingLines, .lines = 1};
  }
  void arrives(const lockstep::FrameIn& frame) {
    build_frame(frame, bytes_);
    while (core->wire_in().full()) driver->clock();
    ASSERT_TRUE(core->wire_in().push(bytes_));
  }
  std::uint32_t delivered(std::uint16_t slot) {
    const auto tail = driver->read_word(SimCardDriver::proxy_page(slot) + static_cast<std::uint32_t>(regs::kOutTail));
    EXPECT_TRUE(tail) << driver->error();
    return tail.value_or(0);
  }
  /// Data frames that the card sent since the last call.
  std::uint32_t data_frames_sent() {
    std::uint32_t frames = 0;
    for (; !core->wire_out().empty(); core->wire_out().pop()) {
      const auto datagram = sim::unwrap(lockstep::peer_endpoint(0), core->wire_out().front().bytes);
      if (!datagram) continue;  // the host's
      const auto header = pipeline::decode(datagram->link_frame.first<regs::kHeaderBytes>());
      if (header.type == regs::FrameType::data) ++frames;
    }
    return frames;
  }

 private:
  lockstep::Bytes bytes_;
};

/// What comes in while frames wait for the wire.
struct Arrivals {
  regs::FrameType type = regs::FrameType::data;
  std::uint16_t epoch = 0, lines = 0;
  bool delivers = false;
};

// More frames are to be sent than the card holds between its rules and the wire, which the host's own frames use as
// well.
class FramesThatWait : public LineRate {
 protected:
  static constexpr std::uint16_t kSenders = kSlots / 2;
  static constexpr std::uint32_t kFramesEach = 4;

  void leave_whatever_arrives(const Arrivals& a) {
    const lockstep::Bytes of_host(3000, std::byte{0x5a});
    for (std::uint32_t n = 100; n <= kBeyondCounters && !HasFailure(); n += 10) {
      SCOPED_TRACE(std::to_string(n) + " frames arrived");
      start();
      for (std::uint32_t i = 0; i < kFramesEach * kSenders; ++i) ASSERT_TRUE(core->from_host().push(of_host));
      for (const std::uint16_t slot : lockstep::numbers(kSenders)) {
        ASSERT_TRUE(driver->doorbell(slot, false, kFramesEach * kFrameLines));
      }
      driver->clock(64);
      for (std::uint32_t i = 0; i < n; ++i) {
        auto f = frame(static_cast<std::uint16_t>(kSenders + i % kSenders), a.lines == 0 ? 0 : i / kSenders);
        f.type = static_cast<std::uint8_t>(a.type);
        f.epoch = a.epoch;
        f.lines = a.lines;
        arrives(f);
      }
      driver->clock(kClocksToSettle);
      EXPECT_EQ(data_frames_sent(), kFramesEach * kSenders);
      std::uint32_t lines = 0;
      for (std::uint16_t slot = kSenders; slot < kSlots; ++slot) lines += delivered(slot);
      EXPECT_EQ(lines, a.delivers ? n : 0);
      EXPECT_TRUE(HasFailure() || driver->rest()) << driver->error();
    }
  }
};

TEST_F(FramesThatWait, LeaveWhateverLinesArrive) {
  leave_whatever_arrives({.lines = 1, .delivers = true});
}
TEST_F(FramesThatWait, LeaveWhateverAcknowledgementsArrive) {
  leave_whatever_arrives({.type = regs::FrameType::ack});
}
TEST_F(FramesThatWait, LeaveWhateverArrivesOfAnotherEpoch) {
  leave_whatever_arrives({.epoch = 7, .lines = 1});
}

/// How many of the clocks between the first and the last beat have one, each way.
class Beats final : public sim::PortWatcher {
 public:
  struct Way {
    std::uint64_t first = 0, last = 0, beats = 0, widest_gap = 0;
  };
  void wire_beat(std::uint64_t clock, bool out, bool /*first*/, bool /*last*/, const sim::Line& /*data*/) override {
    Way& way = out ? this->out : in;
    if (way.beats++ == 0) {
      way.first = clock;
    } else {
      way.widest_gap = std::max(way.widest_gap, clock - way.last);
    }
    way.last = clock;
  }
  Way in, out;
};

// Every slot sends a ring in the longest frames while a ring comes in for it in the shortest ones: no beat is lost
// either way.
TEST_F(LineRate, BothDirectionsUseEveryBeat) {
  start();
  Beats beats;
  core->watch(&beats);
  constexpr std::uint32_t kFramesEach = (kRingLines + kFrameLines - 1) / kFrameLines;
  constexpr std::uint64_t kBeatsOut = std::uint64_t{kSlots} * (kRingLines + kFramesEach);
  constexpr std::uint64_t kBeatsIn = std::uint64_t{kSlots} * kRingLines * 2;
  std::uint32_t sent = 0;
  driver->each_clock([&] {
    if (core->wire_out().size() > 16) sent += data_frames_sent();
  });
  for (const std::uint16_t slot : lockstep::numbers(kSlots)) ASSERT_TRUE(driver->doorbell(slot, false, kRingLines));
  std::uint64_t out_of_frames = 0;
  for (std::uint32_t seq = 0; seq < kRingLines; ++seq) {
    for (const std::uint16_t slot : lockstep::numbers(kSlots)) arrives(frame(slot, seq));
    if (out_of_frames == 0 && beats.out.beats >= kBeatsOut - kRingLines) {
      out_of_frames = core->now();
      EXPECT_EQ(beats.out.widest_gap, 1U);
    }
  }
  driver->clock(kClocksToSettle);
  sent += data_frames_sent();
  EXPECT_NE(out_of_frames, 0U) << "the card sent slower than it received";
  EXPECT_EQ(sent, kSlots * kFramesEach);
  EXPECT_EQ(beats.in.beats, kBeatsIn);
  EXPECT_EQ(beats.in.last - beats.in.first + 1, kBeatsIn);
  for (const std::uint16_t slot : lockstep::numbers(kSlots)) EXPECT_EQ(delivered(slot), kRingLines);
  core->watch(nullptr);
  driver->each_clock({});
  ASSERT_TRUE(driver->rest()) << driver->error();
}

// Doorbells of one slot wait behind each other and behind the frames that come in for it. Meanwhile the host writes
// lines.
TEST_F(LineRate, DoorbellsThatWaitTakeEffectWhateverTheHostWrites) {
  constexpr std::uint16_t kSlot = 3;
  constexpr std::uint32_t kDoorbells = 16;
  constexpr std::uint32_t kElsewhere = 2048 * kSlots;
  for (std::uint32_t n = 100; n <= kBeyondCounters; n += 10) {
    SCOPED_TRACE(std::to_string(n) + " lines written");
    start();
    auto acknowledgement = frame(kSlot, 0);
    acknowledgement.type = static_cast<std::uint8_t>(regs::FrameType::ack);
    acknowledgement.lines = 0;
    for (std::uint32_t i = 0; i < sim::FrameQueue::kCapacity; ++i) arrives(acknowledgement);
    driver->clock(64);
    for (std::uint32_t i = 1; i <= kDoorbells; ++i) ASSERT_TRUE(driver->doorbell(kSlot, false, i));
    for (std::uint32_t i = 0; i < n; ++i) {
      ASSERT_TRUE(driver->write_line(SimCardDriver::memory_address(kElsewhere + i), {}));
    }
    driver->clock(kClocksToSettle);
    const auto row = driver->read_row(kSlot);
    ASSERT_TRUE(row) << driver->error();
    EXPECT_EQ(row->in_tail, kDoorbells);
    if (HasFailure()) return;
    ASSERT_TRUE(driver->rest()) << driver->error();
  }
}

}  // namespace
