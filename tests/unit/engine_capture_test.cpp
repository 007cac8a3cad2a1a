// Who may capture, and when a capture ends by itself.
#include "runtime/engine/status/capture.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>

#include "core/slot/memory.hpp"
#include "unit/engine_rooms.hpp"

namespace slotwire::engine {
namespace {

struct Captures : testing::Test {
  /// A capture for `uid` that the test reads; its end is reader.
  void start(std::uint32_t uid) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    slot::Fd ours(ends[0]);
    capture.start(slot::Fd(ends[1]), std::nullopt, 0, {.uid = uid, .pid = 7});
    reader = std::move(ours);
  }
  void frame() { shown_to->on_frame(true, 0, header, {}); }
  /// Frames until the reader's socket takes no more.
  void fill() {
    auto& tap = dynamic_cast<CaptureTap&>(*shown_to);
    for (const std::uint64_t before = tap.dropped(); tap.dropped() == before;) frame();
  }
  std::size_t read_all() {
    std::array<std::byte, 256> record{};
    std::size_t count = 0;
    while (::recv(reader.get(), record.data(), record.size(), MSG_DONTWAIT) > 0) ++count;
    return count;
  }

  static constexpr std::uint64_t kSecond = 1'000'000;
  Rooms rooms;
  slot::Fd reader;
  std::array<std::byte, 64> header{};
  driver::FrameTap* shown_to = nullptr;
  Capture capture{[this](driver::FrameTap* tap) { shown_to = tap; }, rooms.log};
};

TEST_F(Captures, OneWhoseReaderTakesNothingEnds) {
  start(1000);
  capture.tick(kSecond);
  fill();
  std::uint64_t now = 2 * kSecond;
  capture.tick(now);  // the first look that sees it
  for (const std::uint64_t end = now + Capture::kPatienceUs; now < end; now += kSecond) {
    frame();
    capture.tick(now);
    ASSERT_NE(shown_to, nullptr) << now;
  }
  capture.tick(now + 1);
  EXPECT_EQ(shown_to, nullptr);
  EXPECT_GT(read_all(), 0U) << "what was there before can still be read";
  // Another thread closes what may block.
  pollfd ended{reader.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&ended, 1, 30'000), 1) << "and then it ends";
  EXPECT_NE(ended.revents & POLLHUP, 0);
}

TEST_F(Captures, OneWhoseReaderIsSlowGoesOn) {
  start(1000);
  std::uint64_t now = kSecond;
  for (int i = 0; i < 10; ++i) {
    fill();
    capture.tick(now += Capture::kPatienceUs / 2);
    ASSERT_GT(read_all(), 0U);
    frame();
    capture.tick(now += Capture::kPatienceUs / 2);
    ASSERT_NE(shown_to, nullptr) << i;
  }
}

TEST_F(Captures, OneWithoutFramesGoesOn) {
  start(1000);
  fill();
  read_all();
  for (std::uint64_t now = kSecond; now < 100 * kSecond; now += kSecond) capture.tick(now);
  EXPECT_NE(shown_to, nullptr);
}

TEST_F(Captures, OneWhoseReaderHasGoneEndsAtOnce) {
  start(1000);
  reader.reset();
  capture.tick(kSecond);
  EXPECT_EQ(shown_to, nullptr);
}

TEST_F(Captures, AnotherIsRefusedUnlessRootAsks) {
  start(1000);
  const driver::FrameTap* const first = shown_to;
  EXPECT_THROW(start(1001), control::Refusal);
  EXPECT_EQ(shown_to, first);
  start(0);
  EXPECT_NE(shown_to, nullptr);
  EXPECT_THROW(start(0), control::Refusal) << "of root's own";
}

}  // namespace
}  // namespace slotwire::engine
