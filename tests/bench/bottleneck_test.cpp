// The bottleneck of the congestion benchmarks, in time that the test makes.
#include "bottleneck.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>

namespace slotwire::bench {
namespace {

using namespace std::chrono_literals;
using Frame = std::vector<std::byte>;

constexpr std::size_t kFrameBytes = 1514;  // 1538 on the wire
constexpr unsigned kEct0 = 2, kEct1 = 1, kCe = 3;

unsigned sum_of_words(std::span<const std::byte> bytes) {
  unsigned sum = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2)
    sum += (std::to_integer<unsigned>(bytes[i]) << 8U) | std::to_integer<unsigned>(bytes[i + 1]);
  while (sum > 0xffff) sum = (sum & 0xffffU) + (sum >> 16U);
  return sum;
}

std::span<const std::byte> header(const Frame& frame) {
  return std::span(frame).subspan(14, 20);
}

/// An Ethernet frame with an IPv4 packet and a right checksum. `salt` makes headers differ.
Frame ipv4(unsigned ecn, std::size_t size = kFrameBytes, unsigned salt = 0) {
  Frame frame(size);
  frame[12] = std::byte{0x08};
  frame[14] = std::byte{0x45};
  frame[15] = static_cast<std::byte>(ecn | ((salt & 0x3fU) << 2U));
  frame[18] = static_cast<std::byte>(salt >> 8U);
  frame[19] = static_cast<std::byte>(salt);
  frame[22] = std::byte{64};
  frame[23] = std::byte{17};
  const unsigned checksum = ~sum_of_words(header(frame)) & 0xffffU;
  frame[24] = static_cast<std::byte>(checksum >> 8U);
  frame[25] = static_cast<std::byte>(checksum);
  return frame;
}

PathOptions options(double megabits, std::uint64_t queue_bytes) {
  PathOptions made;
  made.megabits = megabits;
  made.queue_bytes = queue_bytes;
  return made;
}

/// Offers a frame every `gap` for `time`, and takes what leaves meanwhile; when each frame left.
std::vector<Path::Time> drive(Path& path, Path::Time gap, Path::Time time, const Frame& frame) {
  std::vector<Path::Time> left;
  for (Path::Time now{0}; now < time; now += gap) {
    while (const auto packet = path.take(now)) left.push_back(packet->leaves);
    path.offer(now, frame);
  }
  return left;
}

TEST(Bottleneck, PassesItsRateWhateverComesIn) {
  for (const double megabits : {10.0, 100.0, 300.0}) {
    Path path(options(megabits, 50'000), 0s);
    // Twice the rate.
    const Path::Time gap(static_cast<std::int64_t>(1538 * 8 / megabits * 1000 / 2));
    const std::vector<Path::Time> left = drive(path, gap, 2s, ipv4(0));
    ASSERT_GT(left.size(), 1000U);
    const double seconds = std::chrono::duration<double>(left.back() - left.front()).count();
    const double passed = static_cast<double>(left.size() - 1) * 1538 * 8 / seconds / 1e6;
    EXPECT_NEAR(passed / megabits, 1, 0.001) << megabits;
  }
}

TEST(Bottleneck, CountsWhatCameWhatPassedAndWhatTheQueueDropped) {
  Path path(options(100, 50'000), 0s);
  const std::vector<Path::Time> left = drive(path, 61'520ns, 1s, ipv4(0));
  const PathCounts counts = path.report(1s);
  const std::uint64_t offered = 16'255;
  EXPECT_EQ(counts.packets + counts.dropped_queue, offered);
  EXPECT_EQ(counts.packets, left.size() + path.held());
  EXPECT_EQ(counts.bytes, counts.packets * 1538);
  EXPECT_NEAR(static_cast<double>(counts.dropped_queue), static_cast<double>(offered) / 2, 40);
  EXPECT_EQ(counts.dropped_random, 0U);
  EXPECT_EQ(counts.over, 1s);
  // They start anew.
  EXPECT_EQ(path.report(1s).packets, 0U);
}

TEST(Bottleneck, ALoneFrameTakesItsTransmissionAndTheDelay) {
  PathOptions with_delay = options(10, 50'000);
  with_delay.delay = 20ms;
  Path path(with_delay, 5s);
  ASSERT_TRUE(path.offer(7s, ipv4(0)));
  // 1538 bytes at 10 Mb/s.
  const Path::Time due = 7s + 20ms + 1'230'400ns;
  EXPECT_EQ(path.next(), due);
  EXPECT_FALSE(path.take(due - 1ns));
  const auto packet = path.take(due);
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->leaves, due);
  EXPECT_EQ(packet->frame, ipv4(0));
  EXPECT_EQ(path.next(), std::nullopt);
}

TEST(Bottleneck, DoesNotReorderAndTheQueueIsFilledToItsLimitAndNoFurther) {
  Path path(options(10, 16 * 1538), 0s);
  std::size_t accepted = 0;
  for (unsigned i = 0; i < 100; ++i) accepted += path.offer(0s, ipv4(0, kFrameBytes, i)) ? 1 : 0;
  EXPECT_EQ(accepted, 16U);
  EXPECT_EQ(path.queueing(0s), 16 * 1'230'400ns);
  // A smaller frame has room where a large one has none.
  EXPECT_FALSE(path.offer(100us, ipv4(0)));
  EXPECT_TRUE(path.offer(100us, ipv4(0, 60)));
  for (unsigned i = 0; i < 16; ++i) {
    const auto packet = path.take(1s);
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->frame, ipv4(0, kFrameBytes, i));
  }
}

TEST(Bottleneck, LosesTheStatedShareAtRandomAndTheSameFramesForASeed) {
  PathOptions lossy = options(1000, 100'000);
  lossy.loss = 0.02;
  lossy.seed = 7;
  const auto survivors = [&](const PathOptions& chosen) {
    Path path(chosen, 0s);
    std::vector<bool> passed;
    for (int i = 0; i < 100'000; ++i) passed.push_back(path.offer(i * 20us, ipv4(0, 60)));
    EXPECT_EQ(path.report(2s).dropped_queue, 0U);
    return passed;
  };
  const std::vector<bool> first = survivors(lossy);
  const auto lost = std::count(first.begin(), first.end(), false);
  EXPECT_NEAR(static_cast<double>(lost), 2000, 200);
  EXPECT_EQ(first, survivors(lossy));
  lossy.seed = 8;
  EXPECT_NE(first, survivors(lossy));
}

TEST(Bottleneck, MarksWhatWaitsBehindMoreThanTheThresholdAndTheChecksumStaysRight) {
  PathOptions marking = options(10, 100'000);
  marking.ce_bytes = 3 * 1538;
  Path path(marking, 0s);
  for (unsigned i = 0; i < 8; ++i) ASSERT_TRUE(path.offer(0s, ipv4(i % 2 == 0 ? kEct0 : kEct1, kFrameBytes, i)));
  EXPECT_EQ(path.report(0s).marked, 4U);  // 4 of the 8 came to more than 3 frames
  for (unsigned i = 0; i < 8; ++i) {
    const auto packet = path.take(1s);
    ASSERT_TRUE(packet);
    EXPECT_EQ(std::to_integer<unsigned>(packet->frame[15]) & 3U, i < 4 ? (i % 2 == 0 ? kEct0 : kEct1) : kCe) << i;
    EXPECT_EQ(sum_of_words(header(packet->frame)), 0xffffU) << i;
  }
}

TEST(Bottleneck, MarkingMendsTheChecksumOfEveryHeaderAndLeavesOthersAlone) {
  for (unsigned salt = 0; salt < 0x10000; ++salt) {
    Frame frame = ipv4(salt % 2 == 0 ? kEct0 : kEct1, 60, salt);
    ASSERT_TRUE(mark_congestion(frame));
    ASSERT_EQ(sum_of_words(header(frame)), 0xffffU) << salt;
  }
  for (Frame frame : {ipv4(0), ipv4(kCe), Frame(60), Frame(20)}) {
    const Frame before = frame;
    EXPECT_FALSE(mark_congestion(frame));
    EXPECT_EQ(frame, before);
  }
  EXPECT_TRUE(is_ipv4(ipv4(0, 60)));
  EXPECT_FALSE(is_ipv4(Frame(60)));
  EXPECT_FALSE(is_ipv4(ipv4(0, 33)));
}

TEST(Bottleneck, MeanQueueingIsThatOfTheTriangleThatABurstMakes) {
  Path path(options(10, 100'000), 0s);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(path.offer(100ms, ipv4(0)));
  // A wait of 12.304 ms falls to 0; over a second.
  const PathCounts counts = path.report(1s);
  EXPECT_NEAR(std::chrono::duration<double>(counts.mean_queueing).count(), 0.012304 * 0.012304 / 2, 1e-8);
  EXPECT_EQ(counts.largest_queueing, 9 * 1'230'400ns);
  EXPECT_EQ(path.report(2s).mean_queueing, 0ns);
}

TEST(Bottleneck, CountsFramesThatAreSentLate) {
  Path path(options(10, 100'000), 0s);
  path.offer(0s, ipv4(0));
  path.offer(0s, ipv4(0));
  ASSERT_TRUE(path.take(1'230'400ns + 500us));
  ASSERT_TRUE(path.take((2 * 1'230'400ns) + 3ms));
  const PathCounts counts = path.report(1s);
  EXPECT_EQ(counts.late, 1U);
  EXPECT_EQ(counts.largest_lateness, 3ms);
}

TEST(Bottleneck, RefusesOptionsOutOfRange) {
  const auto refused = [](auto change) {
    PathOptions changed = options(100, 100'000);
    change(changed);
    EXPECT_TRUE(complaint(changed));
    EXPECT_THROW(Path(changed, 0s), std::invalid_argument);
  };
  EXPECT_FALSE(complaint(options(100, 100'000)));
  refused([](PathOptions& o) { o.megabits = 0; });
  refused([](PathOptions& o) { o.megabits = -1; });
  refused([](PathOptions& o) { o.megabits = std::numeric_limits<double>::quiet_NaN(); });
  refused([](PathOptions& o) { o.megabits = 1e9; });
  refused([](PathOptions& o) { o.delay = -1ns; });
  refused([](PathOptions& o) { o.delay = 11s; });
  refused([](PathOptions& o) { o.queue_bytes = 1538; });
  refused([](PathOptions& o) { o.queue_bytes = PathOptions::kMostQueue + 1; });
  refused([](PathOptions& o) { o.ce_bytes = 100'000; });
  refused([](PathOptions& o) { o.loss = 1; });
  refused([](PathOptions& o) { o.loss = -0.1; });
}

}  // namespace
}  // namespace slotwire::bench
