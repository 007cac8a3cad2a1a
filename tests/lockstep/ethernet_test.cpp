// Link frames in Ethernet, IPv4 and UDP.
#include "sim/card/ethernet.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace {
using namespace slotwire::sim;

constexpr Endpoint kHere{.mac = 0x0200'0000'0001, .ip = 0xc0a8'0001, .port = 7401};
constexpr Endpoint kThere{.mac = 0x0200'0000'0002, .ip = 0xc0a8'0002, .port = 7402};

std::vector<std::byte> wrapped(std::size_t bytes) {
  const std::vector<std::byte> link(bytes, std::byte{0xa5});
  std::vector<std::byte> frame(std::max(kMinEthernetBytes, kCarrierBytes + bytes), std::byte{0xff});
  frame.resize(wrap(kThere, kHere, link, frame));
  return frame;
}

TEST(Ethernet, HasTheHeadersThatTheProtocolPageFixes) {
  const auto frame = wrapped(22);
  ASSERT_EQ(frame.size(), 64U);
  const std::vector<int> expected{2,    0,    0,    0,    0, 1,  2,    0, 0,  0,  0,    2,    8,   0,  // Ethernet
                                  0x45, 0,    0,    50,   0, 0,  0x40, 0, 64, 17, 0xb9, 0x67, 192, 168,
                                  0,    2,    192,  168,  0, 1,             // IPv4
                                  0x1c, 0xea, 0x1c, 0xe9, 0, 30, 0,    0};  // UDP
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(std::to_integer<int>(frame[i]), expected[i]) << "byte " << i;
  EXPECT_EQ(ipv4_checksum(std::span<const std::byte>(frame).subspan(kEthernetBytes, kIpv4Bytes)), 0);
}

TEST(Ethernet, PaddingOfShortFramesIsNotTheirs) {
  for (const std::size_t bytes : {0U, 1U, 17U, 18U, 22U, 86U, 2070U}) {
    const auto frame = wrapped(bytes);
    EXPECT_GE(frame.size(), kMinEthernetBytes);
    const auto datagram = unwrap(kHere, frame);
    ASSERT_TRUE(datagram) << bytes;
    EXPECT_EQ(datagram->link_frame.size(), bytes);
    EXPECT_EQ(datagram->length, bytes);
    EXPECT_EQ(datagram->from, kThere);
    EXPECT_TRUE(std::all_of(datagram->link_frame.begin(), datagram->link_frame.end(),
                            [](std::byte b) { return b == std::byte{0xa5}; }));
  }
}

TEST(Ethernet, WhatIsAddressedToOthersIsNotOurs) {
  const auto good = wrapped(86);
  ASSERT_TRUE(unwrap(kHere, good));
  // A byte of: the address, the type, version, length, more fragments, protocol, destination address and port.
  for (const std::size_t at : {0U, 5U, 12U, 14U, 17U, 20U, 23U, 30U, 33U, 36U, 37U}) {
    auto other = good;
    other[at] ^= std::byte{0x20};
    EXPECT_FALSE(unwrap(kHere, other)) << "byte " << at;
  }
  EXPECT_FALSE(unwrap(kHere, std::span<const std::byte>(good).first(kCarrierBytes - 1)));
}

TEST(Ethernet, AFrameThatWasCutSaysSo) {
  const auto good = wrapped(86);
  const auto datagram = unwrap(kHere, std::span<const std::byte>(good).first(100));
  ASSERT_TRUE(datagram);
  EXPECT_EQ(datagram->length, 86U);
  EXPECT_EQ(datagram->link_frame.size(), 100 - kCarrierBytes);
}

}  // namespace
