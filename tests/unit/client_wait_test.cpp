// What a wait costs when what it waits for comes while it spins.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>
#include <vector>

#include "client_support.hpp"
#include "core/slot/memory.hpp"
#include "core/slot/record.hpp"
#include "runtime/client/context.hpp"

namespace {

int clock_readings = 0;

}  // namespace

/// In the place of the C library's, for std::chrono too: counts.
extern "C" int clock_gettime(clockid_t clock, timespec* out) noexcept {
  ++clock_readings;
  return static_cast<int>(::syscall(SYS_clock_gettime, clock, out));
}

namespace slotwire::test {
namespace {

using Waiting = PlayedSession;

TEST_F(Waiting, TakesWhatComesWhileItSpinsWithoutReadingTheClock) {
  sw_connection* const connection = connect();
  // The slots of this engine have one file as both spaces: the test is the proxy that writes to it.
  slot::Space space(engine_.slot()[0], FakeEngine::kOrder, slot::Access::read_write);
  const slot::RingView ring{.ring = space.ring(), .order = FakeEngine::kOrder, .mirrored = true};
  slot::RecordWriter peer(slot::Producer(ring, space.marks().tail, space.marks().head));
  ASSERT_NE(std::chrono::steady_clock::now().time_since_epoch().count(), 0);
  ASSERT_NE(clock_readings, 0) << "this test does not see who reads the clock";

  int looks = 0;
  const client::Failure waited = connection->end->wait(SW_READABLE, client::Deadline(-1), [&] {
    if (looks++ == 0) {
      EXPECT_TRUE(peer.write({.kind = slot::RecordKind::message}, {}));
      clock_readings = 0;
      return false;  // as if it had come just after this look
    }
    return true;
  });
  EXPECT_EQ(waited.status, SW_OK);
  EXPECT_EQ(looks, 2);
  EXPECT_EQ(clock_readings, 0);

  sw_message message;
  SW_INIT(message);
  ASSERT_EQ(sw_receive(connection, 0, &message), SW_OK) << sw_last_error();
  sw_release(connection, &message);
}

TEST_F(Waiting, EndsWhenAMarkMovesAndNothingIsComplete) {
  sw_connection* const connection = connect();
  slot::Space space(engine_.slot()[0], FakeEngine::kOrder, slot::Access::read_write);
  // The header of a record of three lines, and every time that the wait looks, one more reason to look again: the mark
  // moves, but not far enough.
  const slot::RecordHeader header{.length = 128, .kind = slot::RecordKind::message};
  std::memcpy(space.ring() + std::size_t{space.marks().tail & ((1U << FakeEngine::kOrder) - 1)} * regs::kLineBytes,
              &header, sizeof header);
  int looks = 0;
  const client::Failure waited = connection->end->wait(SW_READABLE, client::Deadline(20), [&] {
    if (looks++ < 2) ++space.marks().tail;
    return false;
  });
  EXPECT_EQ(waited.status, SW_TIMED_OUT);
  EXPECT_GT(looks, 2);
}

}  // namespace
}  // namespace slotwire::test
