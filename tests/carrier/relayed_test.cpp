// What a carrier whose connections belong to another process does while that process takes nothing.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <vector>

#include "core/carriers/relayed.hpp"

namespace slotwire::carriers {
namespace {

struct NoSink final : FrameSink {
  bool on_frame(std::uint16_t, std::span<const std::byte>) override { return true; }
  void on_link(std::uint16_t, bool, std::string_view) override {}
};

TEST(Relayed, ALinkHasNoRoomWhileFramesWaitForItsSocket) {
  RelayedOptions options;
  options.max_links = 2;
  RelayedCarrier carrier(options);
  NoSink sink;
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  const Fd other(ends[1]);
  carrier.add_link(1);
  carrier.attach(1, Fd(ends[0]), "a socket pair");
  carrier.poll(0, 64, sink);
  const std::size_t room = carrier.room(1);
  ASSERT_GT(room, 0U);
  const std::vector<std::byte> payload(std::size_t{128} * 64);
  pipeline::TxFrame frame{};
  frame.link = 1;
  frame.payload = payload;
  // Until one is kept here because the socket is full: the rest stays with whoever sends, and is not copied.
  std::size_t sent = 0;
  while (carrier.room(1) != 0 && sent < 10'000) carrier.send(std::span(&frame, 1)), ++sent;
  ASSERT_LT(sent, 10'000U);
  EXPECT_EQ(carrier.counters().tx_dropped, 0U);
  std::array<std::byte, 65'536> place{};
  std::size_t got = 0;
  while (::recv(other.get(), place.data(), place.size(), MSG_DONTWAIT) > 0) ++got;
  EXPECT_EQ(got, sent - 1);
  carrier.poll(0, 64, sink);
  EXPECT_EQ(carrier.room(1), room);
  EXPECT_GT(::recv(other.get(), place.data(), place.size(), MSG_DONTWAIT), 0) << "the one that waited";
}

}  // namespace
}  // namespace slotwire::carriers
