// The pcapng file byte by byte, and the packets that frames are wrapped in.
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "capture_support.hpp"
#include "tools/pcapng.hpp"

namespace {
using namespace slotwire;
using testing_support::TemporaryDirectory;
using tools::Direction;
using tools::PcapngWriter;

struct Block {
  std::uint32_t type = 0;
  std::string body;
};

std::uint32_t word_at(const std::string& bytes, std::size_t at) {
  std::uint32_t value = 0;
  EXPECT_LE(at + sizeof value, bytes.size());
  if (at + sizeof value <= bytes.size()) {
    std::memcpy(&value, bytes.data() + at, sizeof value);
  }
  return value;
}

/// Takes a file apart and checks that its blocks are whole.
std::vector<Block> read_blocks(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<Block> blocks;
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::uint32_t length = word_at(bytes, at + 4);
    if (length < 12 || length % 4 != 0 || length > bytes.size() - at) {
      ADD_FAILURE() << "block at " << at << " has length " << length << " in a file of " << bytes.size();
      break;
    }
    EXPECT_EQ(word_at(bytes, at + length - 4), length) << "block at " << at;
    blocks.push_back({word_at(bytes, at), bytes.substr(at + 8, length - 12)});
    at += length;
  }
  return blocks;
}

/// The value of an option in a block, from the byte `at` of its body on.
std::string option(const Block& block, std::size_t at, std::uint16_t wanted) {
  while (at + 4 <= block.body.size()) {
    const std::uint32_t head = word_at(block.body, at);
    const std::size_t size = head >> 16;
    if ((head & 0xffff) == wanted) {
      return block.body.substr(at + 4, size);
    }
    at += 4 + (size + 3) / 4 * 4;
  }
  return "(no such option)";
}

std::vector<std::byte> some_bytes(std::size_t size) {
  return std::vector<std::byte>(size, std::byte{0xab});
}

TEST(captureFile, HoldsSectionInterfacesAndPackets) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "a.pcapng";
  {
    PcapngWriter writer(path, "slotwire test");
    EXPECT_EQ(writer.add_interface("to-b"), 0U);
    EXPECT_EQ(writer.add_interface("to-sea"), 1U);
    for (std::size_t size = 60; size < 64; ++size) {
      EXPECT_FALSE(writer.write(1, 0x0123456789abcdef, Direction::outbound, some_bytes(size)));
    }
    EXPECT_FALSE(writer.write(0, 1, Direction::inbound, some_bytes(1)));
    EXPECT_FALSE(writer.flush());
  }
  const auto blocks = read_blocks(path);
  ASSERT_EQ(blocks.size(), 8U);
  EXPECT_EQ(blocks[0].type, 0x0a0d0d0aU);
  EXPECT_EQ(word_at(blocks[0].body, 0), 0x1a2b3c4dU);
  EXPECT_EQ(option(blocks[0], 16, 4), "slotwire test");
  EXPECT_EQ(blocks[1].type, 1U);
  EXPECT_EQ(word_at(blocks[1].body, 0), 1U) << "Ethernet";
  EXPECT_EQ(option(blocks[1], 8, 2), "to-b");
  EXPECT_EQ(option(blocks[1], 8, 9), "\x09");
  EXPECT_EQ(option(blocks[2], 8, 2), "to-sea");
  for (std::size_t n = 3; n < 7; ++n) {
    const std::size_t size = 60 + n - 3;
    EXPECT_EQ(blocks[n].type, 6U);
    EXPECT_EQ(word_at(blocks[n].body, 0), 1U);
    EXPECT_EQ(word_at(blocks[n].body, 4), 0x01234567U);
    EXPECT_EQ(word_at(blocks[n].body, 8), 0x89abcdefU);
    EXPECT_EQ(word_at(blocks[n].body, 12), size);
    EXPECT_EQ(word_at(blocks[n].body, 16), size);
    EXPECT_EQ(blocks[n].body.substr(20, size), std::string(size, '\xab'));
    EXPECT_EQ(option(blocks[n], 20 + (size + 3) / 4 * 4, 2), std::string("\x02\0\0\0", 4));
  }
  EXPECT_EQ(option(blocks[7], 24, 2), std::string("\x01\0\0\0", 4));
}

TEST(captureFile, ManyPacketsPassThroughTheBufferInOrder) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "many.pcapng";
  const std::size_t packets = 5 * PcapngWriter::kBufferBytes / 1500;
  {
    PcapngWriter writer(path, "test");
    writer.add_interface("a");
    for (std::size_t n = 0; n < packets; ++n) {
      ASSERT_FALSE(writer.write(0, n, Direction::inbound, some_bytes(1500)));
    }
  }
  const auto blocks = read_blocks(path);
  ASSERT_EQ(blocks.size(), packets + 2);
  for (std::size_t n = 0; n < packets; ++n) {
    ASSERT_EQ(word_at(blocks[n + 2].body, 8), n);
  }
}

TEST(captureFile, OnlyItsOwnerMayReadIt) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "private.pcapng";
  const PcapngWriter writer(path, "test");
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 077, 0U);
}

TEST(captureFile, RefusesWhatItCannotWriteAndGoesOn) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "refuse.pcapng";
  {
    PcapngWriter writer(path, "test");
    EXPECT_EQ(writer.write(0, 0, Direction::inbound, some_bytes(60)), std::errc::invalid_argument);
    EXPECT_THROW(writer.add_interface(""), std::invalid_argument);
    EXPECT_THROW(writer.add_interface(std::string(PcapngWriter::kMaxNameBytes + 1, 'x')), std::invalid_argument);
    writer.add_interface(std::string(PcapngWriter::kMaxNameBytes, 'x'));
    EXPECT_EQ(writer.write(0, 0, Direction::inbound, some_bytes(PcapngWriter::kMaxPacketBytes + 1)),
              std::errc::message_size);
    EXPECT_FALSE(writer.write(0, 0, Direction::inbound, some_bytes(PcapngWriter::kMaxPacketBytes)));
    for (std::size_t n = 1; n < PcapngWriter::kMaxInterfaces; ++n) {
      writer.add_interface("x");
    }
    EXPECT_THROW(writer.add_interface("x"), std::length_error);
  }
  EXPECT_EQ(read_blocks(path).size(), 1 + PcapngWriter::kMaxInterfaces + 1);
}

TEST(captureFile, ErrorsSayWhatAndWhere) {
  try {
    const PcapngWriter writer("/nowhere/at/all.pcapng", "test");
    FAIL() << "a file was created in a directory that is not there";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
    EXPECT_NE(std::string(error.what()).find("/nowhere/at/all.pcapng"), std::string::npos);
  }
}

TEST(captureFile, AFullDiskIsReportedAndStaysReported) {
  if (::access("/dev/full", W_OK) != 0) {
    GTEST_SKIP() << "there is no /dev/full on this machine";
  }
  PcapngWriter writer("/dev/full", "test");
  writer.add_interface("a");
  EXPECT_FALSE(writer.write(0, 0, Direction::inbound, some_bytes(60))) << "still in the buffer";
  EXPECT_EQ(writer.flush(), std::errc::no_space_on_device);
  EXPECT_EQ(writer.write(0, 0, Direction::inbound, some_bytes(60)), std::errc::no_space_on_device);
  EXPECT_EQ(writer.flush(), std::errc::no_space_on_device);
}

TEST(captureWrap, MakesAnEthernetIpv4UdpPacket) {
  std::vector<std::byte> packet = some_bytes(3);
  ASSERT_TRUE(tools::wrap_frame({0x0a000001, 1234}, {0x0a0000fe, 7401}, some_bytes(22), some_bytes(128), packet));
  ASSERT_EQ(packet.size(), 14U + 20 + 8 + 22 + 128);
  const auto short_at = [&](std::size_t at) {
    return (std::to_integer<unsigned>(packet[at]) << 8) | std::to_integer<unsigned>(packet[at + 1]);
  };
  EXPECT_EQ(short_at(12), 0x0800U);
  EXPECT_EQ(short_at(16), 20U + 8 + 22 + 128) << "IPv4 length";
  EXPECT_EQ(short_at(38), 8U + 22 + 128) << "UDP length";
  EXPECT_EQ(short_at(34), 1234U);
  EXPECT_EQ(short_at(36), 7401U);
  EXPECT_EQ(short_at(40), 0U) << "UDP checksum";
  // A receiver's check: the sum over the IPv4 header, checksum included, is all ones.
  unsigned sum = 0;
  for (std::size_t at = 14; at < 34; at += 2) {
    sum += short_at(at);
  }
  EXPECT_EQ((sum & 0xffff) + (sum >> 16), 0xffffU);
}

TEST(captureWrap, TakesFramesUpToTheLengthOfIpv4) {
  std::vector<std::byte> packet;
  EXPECT_TRUE(tools::wrap_frame({}, {}, some_bytes(22), some_bytes(tools::kMaxCaptureFrameBytes - 22), packet));
  EXPECT_EQ(packet.size(), PcapngWriter::kMaxPacketBytes);
  EXPECT_FALSE(tools::wrap_frame({}, {}, some_bytes(22), some_bytes(tools::kMaxCaptureFrameBytes - 21), packet));
  EXPECT_TRUE(packet.empty());
  EXPECT_TRUE(tools::wrap_frame({}, {}, {}, {}, packet));
  EXPECT_EQ(packet.size(), 42U);
}

}  // namespace
