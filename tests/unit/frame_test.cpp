// The link header on the wire and the CRC of a frame.
#include "core/pipeline/frame.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "core/pipeline/crc32c.hpp"

namespace {
using namespace slotwire;
using pipeline::Header;
using HeaderArray = std::array<std::byte, regs::kHeaderBytes>;

HeaderArray encoded(const Header& header) {
  HeaderArray bytes;
  pipeline::encode(header, bytes);
  return bytes;
}

Header random_header(std::mt19937& random) {
  Header header;
  header.version = random() & 0xf;
  header.type = static_cast<regs::FrameType>(random() & 0xf);
  header.flags = random() & 0xff;
  header.dst_slot = random() & 0xffff;
  header.src_slot = random() & 0xffff;
  header.epoch = random() & 0xffff;
  header.seq = static_cast<std::uint32_t>(random());
  header.ack = static_cast<std::uint32_t>(random());
  header.credit = random() & 0xffff;
  header.crc = static_cast<std::uint32_t>(random());
  return header;
}

TEST(Frame, HeaderIsBigEndianInTheDocumentedOrder) {
  const Header header{.version = 1,
                      .type = regs::FrameType::nak,
                      .flags = 0xa5,
                      .dst_slot = 0x0102,
                      .src_slot = 0x0304,
                      .epoch = 0x0506,
                      .seq = 0x0708090a,
                      .ack = 0x0b0c0d0e,
                      .credit = 0x0f10,
                      .crc = 0x11121314};
  const unsigned char expected[regs::kHeaderBytes] = {0x12, 0xa5, 1,  2,  3,  4,  5,  6,  7,  8,  9,
                                                      10,   11,   12, 13, 14, 15, 16, 17, 18, 19, 20};
  EXPECT_EQ(std::memcmp(encoded(header).data(), expected, sizeof expected), 0);
}

TEST(Frame, DecodeUndoesEncode) {
  std::mt19937 random(4);
  for (int round = 0; round < 1000; ++round) {
    const Header header = random_header(random);
    ASSERT_EQ(pipeline::decode(encoded(header)), header) << "round " << round;
  }
}

TEST(Frame, EncodeUndoesDecodeForAnyBytes) {
  std::mt19937 random(5);
  for (int round = 0; round < 1000; ++round) {
    HeaderArray bytes;
    for (std::byte& byte : bytes) {
      byte = static_cast<std::byte>(random() & 0xff);
    }
    ASSERT_EQ(encoded(pipeline::decode(bytes)), bytes) << "round " << round;
  }
}

TEST(Frame, TooLargeVersionAndTypeDoNotSpillIntoEachOther) {
  Header header;
  header.version = 0xf2;
  header.type = static_cast<regs::FrameType>(0xf3);
  const Header read = pipeline::decode(encoded(header));
  EXPECT_EQ(read.version, 2);
  EXPECT_EQ(static_cast<unsigned>(read.type), 3U);
}

TEST(Frame, CrcTakesItsOwnFieldAsZero) {
  std::mt19937 random(6);
  Header header = random_header(random);
  const std::vector<std::byte> payload(128, std::byte{0x5a});
  const std::uint32_t crc = pipeline::frame_crc(encoded(header), payload);

  header.crc = ~header.crc;
  EXPECT_EQ(pipeline::frame_crc(encoded(header), payload), crc);

  header.crc = 0;
  const HeaderArray zeroed = encoded(header);
  std::vector<std::byte> whole(zeroed.size() + payload.size());
  std::copy(payload.begin(), payload.end(), std::copy(zeroed.begin(), zeroed.end(), whole.begin()));
  EXPECT_EQ(pipeline::crc32c(0, whole), crc);
}

TEST(Frame, CrcNoticesEveryFlippedBit) {
  std::mt19937 random(7);
  Header header = random_header(random);
  HeaderArray bytes = encoded(header);
  std::vector<std::byte> payload(64);
  for (std::byte& byte : payload) {
    byte = static_cast<std::byte>(random() & 0xff);
  }
  const std::uint32_t crc = pipeline::frame_crc(bytes, payload);
  const auto expect_noticed = [&](std::span<std::byte> where, std::size_t size, const char* what) {
    for (std::size_t bit = 0; bit < 8 * size; ++bit) {
      const auto flip = static_cast<std::byte>(1U << (bit % 8));
      where[bit / 8] ^= flip;
      EXPECT_NE(pipeline::frame_crc(bytes, payload), crc) << what << " bit " << bit;
      where[bit / 8] ^= flip;
    }
  };
  expect_noticed(bytes, regs::kHdrCrc, "header");
  expect_noticed(payload, payload.size(), "payload");
}

}  // namespace
