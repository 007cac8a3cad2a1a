// What every carrier must do, whatever it runs over: the tests. Who includes it says for which carriers they are made
// (INSTANTIATE_TEST_SUITE_P).
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <ostream>
#include <string>

#include "harness.hpp"

namespace slotwire::test {

using carriers::Carrier;

inline constexpr std::size_t kLine = regs::kLineBytes;

/// Two carriers (for the loopback: one, seen from both sides) and how to join, part and restart them.
class Pair {
 public:
  virtual ~Pair() = default;
  virtual Carrier& carrier(int side) = 0;
  virtual void join(std::uint16_t link) = 0;
  virtual void part(int side, std::uint16_t link) = 0;
  virtual void restart(int side) = 0;
  /// Sends something that is none of `side`'s links' business, and returns how often it should be counted.
  virtual std::size_t intrude(int side) = 0;
  virtual void cut(int, std::uint16_t) {}
  virtual bool two_sided() const { return true; }
  /// Why restart() cannot be; empty: it can.
  virtual std::string lacks_restart() const { return {}; }
  /// Both sides notice when the other restarts.
  virtual bool connected() const { return false; }
  /// Frames may overtake each other when their destination slots differ modulo this number.
  virtual std::size_t lanes() const { return 1; }
};

struct Factory {
  const char* name;
  std::function<std::unique_ptr<Pair>()> make;
  std::string (*lacks)() = nullptr;  ///< what this host lacks for it; empty: nothing
};

inline void PrintTo(const Factory& factory, std::ostream* out) {
  *out << factory.name;
}

class Conformance : public testing::TestWithParam<Factory> {
 protected:
  void SetUp() override {
    if (GetParam().lacks != nullptr) {
      if (const std::string missing = GetParam().lacks(); !missing.empty()) GTEST_SKIP() << missing;
    }
    pair_ = GetParam().make();
  }

  std::vector<Side> sides() {
    std::vector<Side> result{{&pair_->carrier(0), &sinks_[0]}};
    if (pair_->two_sided()) result.push_back({&pair_->carrier(1), &sinks_[1]});
    return result;
  }
  /// The sink that what `side` sends arrives at.
  Recorder& opposite(int side) { return sinks_[pair_->two_sided() ? 1 - side : 0]; }
  std::vector<int> senders() const { return pair_->two_sided() ? std::vector<int>{0, 1} : std::vector<int>{0}; }

  void join(std::vector<std::uint16_t> links) {
    for (const auto link : links) pair_->join(link);
    ASSERT_TRUE(wait_up(links));
  }
  bool wait_up(const std::vector<std::uint16_t>& links) {
    return pump(sides(), [&] {
      return std::all_of(links.begin(), links.end(), [&](std::uint16_t link) {
        return sinks_[0].is_up(link) && (!pair_->two_sided() || sinks_[1].is_up(link));
      });
    });
  }
  /// Sends all, a few at a time and never more than there is room for, and waits until they are there.
  void send_all(int side, const Frames& frames, std::size_t at_a_time = 48) {
    auto left = frames.list();
    Recorder& sink = opposite(side);
    std::size_t sent = 0;
    while (!left.empty()) {
      std::size_t count = std::min(at_a_time, left.size());
      for (const auto& frame : left.first(count)) count = std::min(count, pair_->carrier(side).room(frame.link));
      ASSERT_GT(count, 0U) << "no room though all that was sent has arrived";
      pair_->carrier(side).send(left.first(count));
      left = left.subspan(count);
      sent += count;
      ASSERT_TRUE(pump(sides(), [&] { return sink.count >= sent; }))
          << "from side " << side << ": " << sink.count << " of " << sent << " arrived";
    }
    EXPECT_EQ(in_lanes(sink.frames), in_lanes(frames.expected));
  }
  /// The frames of each link, lane by lane: what is compared where order counts.
  std::map<std::uint16_t, std::vector<Bytes>> in_lanes(std::map<std::uint16_t, std::vector<Bytes>> frames) const {
    const auto lane = [this](const Bytes& frame) {
      return pipeline::destination_slot(std::span(frame).first<regs::kHeaderBytes>()) % pair_->lanes();
    };
    for (auto& [link, list] : frames) {
      std::stable_sort(list.begin(), list.end(), [&](const Bytes& a, const Bytes& b) { return lane(a) < lane(b); });
    }
    return frames;
  }
  void exchange(const std::vector<std::uint16_t>& links, std::uint64_t seed) {
    for (const int side : senders()) {
      opposite(side).forget_frames();
      Frames frames(seed + static_cast<std::uint64_t>(side));
      for (const auto link : links) frames.add(link, kLine);
      send_all(side, frames);
    }
  }

  std::unique_ptr<Pair> pair_;
  Recorder sinks_[2];
};

TEST_P(Conformance, EverySizeArrivesUnchanged) {
  join({0});
  for (const int side : senders()) {
    opposite(side).forget_frames();
    Frames frames(7);
    for (std::size_t size = 0; size <= kLine * pair_->carrier(side).lines_per_frame(); ++size) frames.add(0, size);
    send_all(side, frames);
    EXPECT_EQ(pair_->carrier(side).counters().tx_dropped, 0U);
  }
}

TEST_P(Conformance, BurstsOfEqualAndOddFramesArriveInOrder) {
  join({0});
  const std::size_t lines = pair_->carrier(0).lines_per_frame();
  for (const int side : senders()) {
    opposite(side).forget_frames();
    Frames frames(11);
    std::mt19937 random(5);
    while (frames.list().size() < 1500) {
      // Runs of full frames with a shorter end, runs of bare headers, and longer after shorter.
      const std::size_t run = 1 + random() % 70;
      const std::size_t size = random() % 3 == 0 ? 0 : kLine * (1 + random() % lines);
      for (std::size_t i = 0; i < run; ++i) frames.add(0, size);
      if (size != 0) frames.add(0, kLine * (random() % (size / kLine)));
    }
    send_all(side, frames, 100);
  }
}

TEST_P(Conformance, LimitedPollsHandOutEverything) {
  join({0});
  Frames frames(13);
  for (int i = 0; i < 60; ++i) frames.add(0, kLine);
  pair_->carrier(0).send(frames.list());
  Recorder& sink = opposite(0);
  // fd() must stay readable as long as anything is left, also what the kernel has handed over already.
  ASSERT_TRUE(pump(
      sides(), [&] { return sink.count >= 60; }, 1));
  EXPECT_EQ(in_lanes(sink.frames), in_lanes(frames.expected));
}

TEST_P(Conformance, FramesForUnknownAndRemovedLinksAreDroppedAndCounted) {
  join({0});
  Frames frames(17);
  frames.add(5, kLine);
  frames.add(0, kLine);
  frames.add(65535, kLine);
  frames.add(0, kLine * 2);
  pair_->carrier(0).send(frames.list());
  Recorder& sink = opposite(0);
  ASSERT_TRUE(pump(sides(), [&] { return sink.count >= 2; }));
  EXPECT_EQ(in_lanes(sink.frames)[0], in_lanes(frames.expected)[0]);
  EXPECT_EQ(sink.frames.size(), 1U);
  EXPECT_EQ(pair_->carrier(0).counters().tx_dropped, 2U);
  EXPECT_EQ(pair_->carrier(0).room(5), 0U);

  pair_->part(0, 0);
  pair_->carrier(0).send(frames.list());
  EXPECT_EQ(pair_->carrier(0).room(0), 0U);
  EXPECT_EQ(pair_->carrier(0).counters().tx_dropped, 6U);
  ASSERT_TRUE(settle(sides()));
  EXPECT_EQ(sink.count, 2U);
}

TEST_P(Conformance, FramesAboveTheLimitAreDroppedAndCounted) {
  join({0});
  const std::size_t lines = pair_->carrier(0).lines_per_frame();
  Frames frames(19);
  frames.add(0, kLine * (lines + 1));
  frames.add(0, kLine * lines);
  pair_->carrier(0).send(frames.list());
  Recorder& sink = opposite(0);
  ASSERT_TRUE(pump(sides(), [&] { return sink.count >= 1; }));
  EXPECT_EQ(sink.frames[0].front(), frames.expected[0].back());
  EXPECT_EQ(pair_->carrier(0).counters().tx_dropped, 1U);
}

TEST_P(Conformance, IdleDescriptorIsNotReadable) {
  join({0});
  exchange({0}, 23);
  ASSERT_TRUE(settle(sides()));
  for (const auto& side : sides()) EXPECT_FALSE(readable(side.carrier->fd()));
}

TEST_P(Conformance, AFrameWakesAnIdleSide) {
  join({0});
  exchange({0}, 61);
  for (int round = 0; round < 3; ++round) {
    for (const int side : senders()) {
      ASSERT_TRUE(settle(sides()));
      opposite(side).forget_frames();
      Frames frames(67);
      frames.add(0, kLine);
      send_all(side, frames);  // obeys the descriptors: whoever is not woken gets nothing
    }
  }
}

TEST_P(Conformance, RestartOfEitherSideIsSurvived) {
  if (const std::string missing = pair_->lacks_restart(); !missing.empty()) GTEST_SKIP() << missing;
  join({0});
  exchange({0}, 29);
  for (const int side : senders()) {
    sinks_[side] = {};
    pair_->restart(side);
    // The other side may still think the link up; it is joined again when both have seen it come up since.
    const Recorder& other = opposite(side);
    const auto ups = [&other] {
      return std::count_if(other.events.begin(), other.events.end(), [](const auto& event) { return event.up; });
    };
    const auto before = ups();
    ASSERT_TRUE(pump(sides(), [&] { return sinks_[side].is_up(0) && (!pair_->connected() || ups() > before); }));
    exchange({0}, 31);
  }
}

TEST_P(Conformance, CountersAddUp) {
  join({0});
  Frames frames(37);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    frames.add(0, kLine * (i % 5));
    bytes += regs::kHeaderBytes + kLine * (i % 5);
  }
  send_all(0, frames);
  const auto& sent = pair_->carrier(0).counters();
  const auto& taken = pair_->carrier(1).counters();
  EXPECT_EQ(sent.tx_frames, 40U);
  EXPECT_EQ(sent.tx_bytes, bytes);
  EXPECT_EQ(taken.rx_frames, 40U);
  EXPECT_EQ(taken.rx_bytes, bytes);
  EXPECT_GE(sent.connects, 1U);
}

/// Carriers between two nodes.
class NetworkConformance : public Conformance {};

TEST_P(NetworkConformance, StrangersAreRejectedAndCounted) {
  join({0});
  for (const int side : senders()) {
    const std::size_t times = pair_->intrude(side);
    ASSERT_TRUE(pump(sides(), [&] { return pair_->carrier(side).counters().rx_unknown_peer >= times; }));
    EXPECT_EQ(pair_->carrier(side).counters().rx_unknown_peer, times);
    EXPECT_EQ(sinks_[side].count, 0U);
  }
  exchange({0}, 41);
}

/// Carriers that join the same two ends by many links.
class ManyLinksConformance : public Conformance {};

TEST_P(ManyLinksConformance, ManyLinksKeepApart) {
  std::vector<std::uint16_t> links(64);
  std::iota(links.begin(), links.end(), std::uint16_t{0});
  join(links);
  for (const int side : senders()) {
    opposite(side).forget_frames();
    Frames frames(43);
    for (std::size_t i = 0; i < 1000; ++i) frames.add(links[i * 29 % links.size()], kLine * (i % 4));
    send_all(side, frames);
  }
}

TEST_P(ManyLinksConformance, RoomIsHonouredAndBlockedLinksWake) {
  join({0, 1});
  Carrier& sender = pair_->carrier(0);
  Recorder& sink = opposite(0);
  const std::size_t lines = sender.lines_per_frame();
  std::vector<Bytes> expected;
  // Nobody reads: the room must end.
  while (const std::size_t room = sender.room(0)) {
    ASSERT_LT(expected.size(), 100'000U) << "room never ends";
    Frames frames(expected.size());
    for (std::size_t i = 0; i < std::min<std::size_t>(room, 16); ++i) frames.add(0, kLine * lines);
    sender.send(frames.list());
    expected.insert(expected.end(), frames.expected[0].begin(), frames.expected[0].end());
    if (pair_->two_sided() && readable(sender.fd())) sender.poll(now_us(), 64, sinks_[0]);
  }
  EXPECT_EQ(sender.counters().tx_dropped, 0U);
  EXPECT_EQ(sender.counters().tx_frames, expected.size());
  if (pair_->two_sided()) {
    EXPECT_GT(sender.room(1), 0U) << "one blocked link blocks another";
    EXPECT_FALSE(readable(sender.fd())) << "blocked, and nothing to do";
  }
  // Now the other side reads; the sender's own descriptor must tell that there is room.
  ASSERT_TRUE(pump(sides(), [&] { return sender.room(0) > 0; }));
  ASSERT_TRUE(pump(sides(), [&] { return sink.count >= expected.size(); })) << sink.count << " of " << expected.size();
  EXPECT_EQ(sink.frames[0], expected);
  EXPECT_EQ(sender.counters().tx_dropped, 0U);
}

/// Carriers with connections.
class ConnectionConformance : public Conformance {};

TEST_P(ConnectionConformance, CutRaisesDownThenUp) {
  join({0, 1});
  for (const int side : senders()) {
    for (auto& sink : sinks_) sink.events.clear();
    pair_->cut(side, 0);
    EXPECT_EQ(pair_->carrier(side).room(0), 0U);
    ASSERT_TRUE(pump(sides(), [&] { return sinks_[0].events.size() >= 2 && sinks_[1].events.size() >= 2; }));
    for (const auto& sink : sinks_) {
      ASSERT_EQ(sink.events.size(), 2U);
      EXPECT_FALSE(sink.events[0].up);
      EXPECT_FALSE(sink.events[0].reason.empty());
      EXPECT_TRUE(sink.events[1].up);
      for (const auto& event : sink.events) EXPECT_EQ(event.link, 0U) << "the other link is none of this";
    }
    exchange({0, 1}, 53);
    EXPECT_GE(pair_->carrier(side).counters().disconnects, 1U);
  }
}

inline std::string name_of(const testing::TestParamInfo<Factory>& info) {
  return info.param.name;
}

}  // namespace slotwire::test
