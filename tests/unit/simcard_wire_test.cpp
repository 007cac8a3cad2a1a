// What comes over a wire of the simulated card that is a socket or a file, and what it makes of frames that cannot be.
#include "sim/simcard/wire.hpp"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <stdexcept>
#include <vector>

#include "core/slot/memory.hpp"
#include "temporary_directory.hpp"

namespace slotwire::sim {
namespace {

class Wires : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (directory_.path() / name).string(); }
  /// A capture file with these words (header and records) and bytes after them.
  void capture(const std::vector<std::uint32_t>& words, std::size_t bytes) const {
    directory_.write("in.pcap", std::string(reinterpret_cast<const char*>(words.data()), words.size() * 4) +
                                    std::string(bytes, 'x'));
  }
  test::TemporaryDirectory directory_;
  std::array<std::byte, Wire::kMaxFrame> room_{};
};

const std::vector<std::uint32_t> kHeader{0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};

TEST_F(Wires, FramesPassBetweenTwoCardsAndLongOnesDoNot) {
  const auto listening = make_wire("listen:" + path("wire"));
  EXPECT_EQ(listening->receive(room_), 0U);
  const slot::Fd other(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path("wire").copy(at.sun_path, sizeof at.sun_path - 1);
  ASSERT_EQ(::connect(other.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  const std::vector<std::byte> frame(Wire::kMaxFrame + 1);
  ASSERT_EQ(::send(other.get(), frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()));
  ASSERT_EQ(::send(other.get(), frame.data(), 60, 0), 60);
  ASSERT_EQ(::send(other.get(), frame.data(), Wire::kMaxFrame, 0), static_cast<ssize_t>(Wire::kMaxFrame));
  EXPECT_EQ(listening->receive(room_), 0U) << "a piece of a frame is no frame";
  EXPECT_EQ(listening->receive(room_), 60U);
  EXPECT_EQ(listening->receive(room_), Wire::kMaxFrame);
  EXPECT_FALSE(listening->ended());
}

TEST_F(Wires, ACaptureThatEndsInAFrameEndsBeforeIt) {
  std::vector<std::uint32_t> words = kHeader;
  words.insert(words.end(), {0, 0, 64, 64});
  capture(words, 63);
  const auto wire = make_wire("pcap:" + path("in.pcap"));
  EXPECT_EQ(wire->receive(room_), 0U);
  EXPECT_TRUE(wire->ended());
  capture(words, 64);
  const auto whole = make_wire("pcap:" + path("in.pcap"));
  EXPECT_EQ(whole->receive(room_), 64U);
  EXPECT_FALSE(whole->ended());
  EXPECT_EQ(whole->receive(room_), 0U);
  EXPECT_TRUE(whole->ended());
}

TEST_F(Wires, ACaptureWithALengthThatCannotBeEnds) {
  std::vector<std::uint32_t> words = kHeader;
  words.insert(words.end(), {0, 0, 0xffff'ffff, 64});
  capture(words, 64);
  const auto wire = make_wire("pcap:" + path("in.pcap"));
  EXPECT_EQ(wire->receive(room_), 0U);
  EXPECT_EQ(wire->receive(room_), 0U);
  EXPECT_TRUE(wire->ended());
}

TEST_F(Wires, WhatIsNoWireIsRefused) {
  directory_.write("file", "mine");
  for (const std::string& text :
       {std::string(), std::string("tap"), std::string("tap:"), std::string("tap:a-name-that-is-too-long"),
        std::string("veth:@x"), std::string("what:x"), "connect:" + path("none"), "listen:" + path("file"),
        "pcap:" + path("file"), "pcap:" + path("none"), "listen:" + std::string(200, 'x')}) {
    EXPECT_THROW(make_wire(text), std::runtime_error) << text;
  }
  EXPECT_EQ(directory_.read("file"), "mine");
  EXPECT_NE(make_wire("none"), nullptr);
}

}  // namespace
}  // namespace slotwire::sim
