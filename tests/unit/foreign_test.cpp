// Frames that others made and read (tests/vectors/foreign.py: scapy, text2pcap, tshark) against the software: what is
// ours, what the pipeline makes of it, and what it sends, byte for byte.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/pipeline/ethernet.hpp"
#include "pipeline_support.hpp"

namespace {
using namespace slotwire;
using nlohmann::json;
using pipeline::Microseconds;
using pipeline::Position;
using slotwire::testing::Bytes;
using slotwire::testing::header_of;
using slotwire::testing::Node;

json read_foreign_frames() {
  std::ifstream file(SLOTWIRE_FOREIGN_FRAMES);
  return json::parse(file);
}

Bytes foreign_bytes(const std::string& hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

constexpr std::uint32_t kCardIp = 0x0a00'0001, kPeerIp = 0x0a00'0100;
constexpr Microseconds kAckDelay = 1'000;
constexpr pipeline::Endpoint kPeer{.mac = 0x0253'4c54'5800, .ip = kPeerIp, .port = 7500};

/// The slot that the frames are about, bound as the file says.
class ForeignFrames : public ::testing::Test {
 protected:
  void SetUp() override {
    const json& slot = frames_["slot"];
    slot_ = slot["slot"];
    const std::uint32_t size = 1U << slot["order"].get<unsigned>();
    node_ = std::make_unique<Node>(std::size_t{slot_} + 1);
    node_->bind(slot_, {.link = 0,
                        .peer_slot = slot["peer_slot"],
                        .epoch = slot["epoch"],
                        .in_order = slot["order"],
                        .out_order = slot["order"],
                        .credit = size,
                        .marks = {slot["in"], slot["in"], slot["out"], slot["out"]}});
    node_->frames();
  }
  std::uint64_t dropped(const std::string& counter) {
    for (std::size_t i = 0; i < regs::kCounterCount; ++i) {
      if (regs::name(static_cast<regs::Counter>(i)) == counter) return node_->count(static_cast<regs::Counter>(i));
    }
    ADD_FAILURE() << "there is no counter " << counter;
    return 0;
  }
  /// The only frame that is due, as it goes over the wire.
  Bytes sent() {
    const Bytes link_frame = node_->only_frame();
    Bytes frame(pipeline::kCarrierBytes + link_frame.size());
    frame.resize(wrap(card(0x0253'4c54'5701), kPeer, link_frame, frame));
    return frame;
  }
  static pipeline::Endpoint card(std::uint64_t mac) { return {.mac = mac, .ip = kCardIp, .port = regs::kUdpPort}; }

  json frames_ = read_foreign_frames();
  std::uint16_t slot_ = 0;
  std::unique_ptr<Node> node_;
};

TEST_F(ForeignFrames, AreOursOrTheHostsAndBringTheirLines) {
  unsigned ours = 0;
  for (const json& frame : frames_["to_card"]) {
    SCOPED_TRACE(frame["made_by"].get<std::string>() + ": " + frame["name"].get<std::string>());
    SetUp();
    const Bytes bytes = foreign_bytes(frame["bytes"]);
    const auto datagram = pipeline::unwrap(card(frame["card_mac"]), bytes);
    ASSERT_EQ(datagram.has_value(), frame["ours"].get<bool>());
    if (!datagram) continue;
    ++ours;
    EXPECT_EQ(datagram->from.ip, kPeerIp);
    EXPECT_EQ(datagram->from.port, kPeer.port);
    const Position before = node_->row(slot_).out_tail;
    node_->receive(Bytes(datagram->link_frame.begin(), datagram->link_frame.end()));
    const std::uint32_t lines = node_->row(slot_).out_tail - before;
    EXPECT_EQ(lines, frame["lines"].get<std::uint32_t>());
    if (const std::string counter = frame["dropped"]; !counter.empty()) {
      EXPECT_EQ(dropped(counter), 1U);
    }
    const Bytes read = lines == 0 ? Bytes{} : node_->read(slot_, lines);
    for (std::size_t i = 0; i < read.size(); ++i)
      ASSERT_EQ(read[i], static_cast<std::byte>((before + i / regs::kLineBytes) & 0xff));
  }
  EXPECT_EQ(ours, 10U);
}

TEST_F(ForeignFrames, AreWhatThePipelineSends) {
  const json& expected = frames_["from_card"];
  const Position in = node_->row(slot_).in_tail;
  for (Position at = in; at != in + 3; ++at) {
    std::fill_n(node_->memory(slot_).in.at(at), regs::kLineBytes, static_cast<std::byte>(at & 0xff));
  }
  node_->pipe.doorbell(slot_, expected[0]["in_tail"], node_->row(slot_).out_head, node_->now);
  EXPECT_EQ(sent(), foreign_bytes(expected[0]["bytes"]));
  SetUp();
  const Bytes one_line = foreign_bytes(frames_["to_card"][0]["bytes"]);
  const auto datagram = pipeline::unwrap(card(frames_["to_card"][0]["card_mac"]), one_line);
  ASSERT_TRUE(datagram);
  node_->receive(Bytes(datagram->link_frame.begin(), datagram->link_frame.end()));
  node_->pass(kAckDelay);
  EXPECT_EQ(sent(), foreign_bytes(expected[1]["bytes"]));
}

}  // namespace
