// A stream that a proxy delivers line by line: what its reader sleeps for, and what it may hold.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "client_support.hpp"
#include "core/slot/memory.hpp"
#include "core/slot/record.hpp"

namespace slotwire::test {
namespace {

class Streaming : public PlayedSession {
 protected:
  void SetUp() override {
    PlayedSession::SetUp();
    use(connect());
  }
  void use(sw_connection* connection) {
    connection_ = connection;
    // The slots of this engine have one file as both spaces: the test is the proxy that writes to it.
    space_ = slot::Space(engine_.slot()[0], FakeEngine::kOrder, slot::Access::read_write);
    ASSERT_EQ(sw_poller_create(context_, &poller_), SW_OK);
    ASSERT_EQ(sw_poller_add(poller_, connection_, SW_READABLE, nullptr), SW_OK);
  }
  void TearDown() override {
    sw_poller_destroy(poller_);
    PlayedSession::TearDown();
  }

  slot::MarkPage& process() { return space_.marks(); }
  slot::Position delivered() { return space_.marks().tail.load(); }
  /// Lays a record of so many bytes, all of them `c`, behind the tail, and delivers its first `lines` lines (0: all).
  /// Returns where it ends.
  slot::Position lay(std::size_t bytes, char c, std::uint32_t lines = 0) {
    const slot::RecordHeader header{.length = static_cast<std::uint32_t>(bytes), .kind = slot::RecordKind::stream};
    const slot::Position at = delivered();
    std::byte* const place = space_.ring() + std::size_t{at & ((1U << FakeEngine::kOrder) - 1)} * regs::kLineBytes;
    std::memcpy(place, &header, sizeof header);
    std::memset(place + sizeof header, c, bytes);
    const slot::Position end = at + static_cast<slot::Position>(slot::record_lines(bytes));
    space_.marks().tail = lines == 0 ? end : at + lines;
    return end;
  }
  /// The same of a text.
  void lay(std::string_view text) {
    const slot::Position at = delivered();
    lay(text.size(), ' ');
    std::byte* const place = space_.ring() + std::size_t{at & ((1U << FakeEngine::kOrder) - 1)} * regs::kLineBytes;
    std::memcpy(place + slot::kRecordHeaderBytes, text.data(), text.size());
  }
  std::string read() {
    std::vector<char> into(8192);
    std::size_t done = 0;
    return sw_read(connection_, into.data(), into.size(), &done) == SW_OK ? std::string(into.data(), done) : "";
  }
  sw_message take(const std::string& expected) {
    sw_message piece;
    SW_INIT(piece);
    EXPECT_EQ(sw_take_stream(connection_, &piece), SW_OK) << sw_last_error();
    EXPECT_EQ(std::string(static_cast<const char*>(piece.data), piece.length), expected);
    return piece;
  }
  slot::Position released() { return process().head.load(); }

  sw_connection* connection_ = nullptr;
  sw_poller* poller_ = nullptr;
  slot::Space space_;
};

TEST_F(Streaming, SleepsUntilTheRecordIsThereAsAWhole) {
  ASSERT_EQ(sw_poller_arm(poller_), SW_OK);
  EXPECT_EQ(process().aim.load(), slot::aim_at(delivered() + 1));
  const slot::Position end = lay(1000, 'a', 3);
  sw_poller_set(poller_, connection_, SW_READABLE);
  ASSERT_EQ(sw_poller_arm(poller_), SW_OK) << "three lines of a record are nothing to read";
  EXPECT_EQ(process().aim.load(), slot::aim_at(end));
  space_.marks().tail = end;
  EXPECT_EQ(read(), std::string(1000, 'a'));
}

TEST_F(Streaming, PiecesStayInPlaceWhileWhatFollowsIsRead) {
  const slot::Position start = delivered();
  const slot::Position first_end = lay(500, 'a');
  lay(600, 'b');
  lay(100, 'c');
  const slot::Position last_end = delivered();
  sw_message first = take(std::string(500, 'a'));
  sw_message second = take(std::string(600, 'b'));
  EXPECT_EQ(read(), std::string(100, 'c'));
  EXPECT_EQ(released(), start) << "what stands before the bytes that were read is still held";
  sw_release(connection_, &second);
  EXPECT_EQ(released(), start);
  EXPECT_EQ(std::string(static_cast<const char*>(first.data), first.length), std::string(500, 'a'));
  sw_release(connection_, &first);
  EXPECT_EQ(released(), last_end);
  EXPECT_NE(first_end, last_end);
  sw_message none;
  SW_INIT(none);
  EXPECT_EQ(sw_take_stream(connection_, &none), SW_AGAIN);
}

TEST_F(Streaming, APieceIsWhatIsLeftOfARecord) {
  lay(1000, 'a');
  char few[10];
  std::size_t done = 0;
  ASSERT_EQ(sw_read(connection_, few, sizeof few, &done), SW_OK);
  sw_message rest = take(std::string(990, 'a'));
  const slot::Position end = lay(200, 'b', 2);
  sw_poller_set(poller_, connection_, SW_READABLE);
  ASSERT_EQ(sw_poller_arm(poller_), SW_OK);
  EXPECT_EQ(process().aim.load(), slot::aim_at(end)) << "behind the piece that is held";
  sw_release(connection_, &rest);
  space_.marks().tail = end;
  EXPECT_EQ(read(), std::string(200, 'b'));
  EXPECT_EQ(released(), end);
}

/// Its service is inspected.
class InspectedStreaming : public Streaming {
 protected:
  void SetUp() override {
    PlayedSession::SetUp();
    use(accept({{"inspect", "http"}, {"inspect_refuses", true}}));
  }
};

TEST_F(InspectedStreaming, LooksAtWhatFollowsAPieceThatIsHeld) {
  const std::string request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  lay(request);
  lay(request);
  lay("+PING\r\n");
  sw_message first = take(request);
  EXPECT_EQ(read(), request);
  EXPECT_EQ(read(), "") << "it is no HTTP";
  sw_message none;
  SW_INIT(none);
  EXPECT_EQ(sw_take_stream(connection_, &none), SW_BROKEN) << sw_last_error();
  sw_release(connection_, &first);
}

TEST_F(Streaming, RunsRoundTheRingWithAPieceInHand) {
  for (int turn = 0; turn < 50; ++turn) {
    lay(700, static_cast<char>('a' + turn % 26));
    sw_message piece = take(std::string(700, static_cast<char>('a' + turn % 26)));
    lay(900, 'z');
    const void* data = nullptr;
    std::size_t length = 0;
    ASSERT_EQ(sw_peek_stream(connection_, &data, &length), SW_OK);
    ASSERT_EQ(length, 900U);
    ASSERT_EQ(sw_consume_stream(connection_, 900), SW_OK);
    sw_release(connection_, &piece);
    ASSERT_EQ(released(), delivered());
  }
}

}  // namespace
}  // namespace slotwire::test
