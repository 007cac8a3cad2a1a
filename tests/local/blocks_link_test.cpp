// What another node's process says of what it wants, as hostile bytes.
#include <gtest/gtest.h>

#include <cstring>

#include "tools/slotwire/blocks_link/wire.hpp"

namespace slotwire::cli::blocks_link {
namespace {

std::span<const std::byte> body(const std::vector<std::byte>& frame) {
  return std::span(frame).subspan(sizeof(FrameHeader));
}

TEST(BlocksLinkWire, AWantComesBack) {
  const auto bytes = frame_of({.topic = "eur", .overflow = blocks::Overflow::fail, .history = 7});
  FrameHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  EXPECT_EQ(header.kind, static_cast<std::uint32_t>(FrameKind::want));
  ASSERT_EQ(header.length, body(bytes).size());
  std::string why;
  const auto want = read_want(body(bytes), why);
  ASSERT_TRUE(want) << why;
  EXPECT_EQ(want->topic, "eur");
  EXPECT_EQ(want->overflow, blocks::Overflow::fail);
  EXPECT_EQ(want->history, 7U);
}

TEST(BlocksLinkWire, WhatIsNoWantIsRefusedAndNamed) {
  const auto valid = frame_of({.topic = "eur", .overflow = blocks::Overflow::block, .history = 0});
  std::string why;
  for (std::size_t length = 0; length < body(valid).size(); ++length)
    EXPECT_FALSE(read_want(body(valid).first(length), why)) << length;
  // Version, overflow and the topic's length, in this order but for history.
  for (const std::size_t at : {0U, 4U, 12U}) {
    auto damaged = valid;
    damaged[sizeof(FrameHeader) + at] = std::byte{9};
    EXPECT_FALSE(read_want(body(damaged), why)) << at;
  }
  auto zero = valid;
  zero.back() = std::byte{0};
  EXPECT_FALSE(read_want(body(zero), why));
  EXPECT_EQ(why, "a topic's name has no zero byte");
  EXPECT_FALSE(read_want(body(frame_of({.topic = "", .overflow = blocks::Overflow::block, .history = 0})), why));
  EXPECT_FALSE(read_want(
      body(frame_of({.topic = std::string(64, 'x'), .overflow = blocks::Overflow::block, .history = 0})), why));
  EXPECT_EQ(why, "a topic's name has 1 to 63 bytes");
}

TEST(BlocksLinkWire, PendingBytesGoInPieces) {
  PendingBytes pending;
  const std::vector<std::byte> bytes(10);
  pending.add(bytes);
  pending.sent(4);
  EXPECT_EQ(pending.rest().size(), 6U);
  pending.add(bytes);
  EXPECT_EQ(pending.rest().size(), 16U);
  pending.sent(16);
  EXPECT_TRUE(pending.rest().empty());
}

}  // namespace
}  // namespace slotwire::cli::blocks_link
