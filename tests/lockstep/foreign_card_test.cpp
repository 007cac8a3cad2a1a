// Frames that others made and read (tests/vectors/foreign.py: scapy, text2pcap, tshark) at the port of the RTL card:
// what is the card's, what it makes of it, what goes to the host as it came, and what the card sends, byte for byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "card_fixture.hpp"
#include "sim/card/card_driver.hpp"

namespace {
using namespace slotwire;
using nlohmann::json;
using sim::SimCardDriver;

class ForeignFramesAtACard : public lockstep::Card {
 protected:
  static constexpr std::uint32_t kInBase = 512, kOutBase = 1024;

  void SetUp() override {
    std::ifstream file(SLOTWIRE_FOREIGN_FRAMES);
    frames_ = json::parse(file);
    begin(lockstep::own_endpoint().mac);
  }
  void begin(std::uint64_t mac) {
    power_on({});
    sim::Endpoint own = lockstep::own_endpoint();
    own.mac = mac;
    ASSERT_TRUE(driver->configure(own));
    const json& slot = frames_["slot"];
    slot_ = slot["slot"];
    regs::SlotRow row{};
    row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
    row.in_order = row.out_order = slot["order"];
    row.peer_slot = slot["peer_slot"];
    row.epoch = slot["epoch"];
    row.in_tail = row.in_head = slot["in"];
    row.out_tail = row.out_head = slot["out"];
    row.limit = row.in_head + (1U << row.in_order);
    row.in_base = kInBase;
    row.out_base = kOutBase;
    ASSERT_TRUE(driver->write_row(slot_, row));
    ASSERT_TRUE(driver->rest());
    while (!core->wire_out().empty()) core->wire_out().pop();
  }
  static lockstep::Bytes bytes_of(const json& frame) {
    const std::string hex = frame["bytes"];
    lockstep::Bytes bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
      bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    return bytes;
  }
  std::uint64_t dropped(const std::string& counter) {
    std::array<std::uint64_t, regs::kCounterCount> counters{};
    std::array<std::uint64_t, regs::kCardCounterCount> card{};
    EXPECT_TRUE(driver->read_counters(counters, card)) << driver->error();
    for (std::size_t i = 0; i < counters.size(); ++i) {
      if (regs::name(static_cast<regs::Counter>(i)) == counter) return counters[i];
    }
    ADD_FAILURE() << "there is no counter " << counter;
    return 0;
  }
  void expect_sent(const json& frame) {
    ASSERT_EQ(core->wire_out().size(), 1U);
    EXPECT_TRUE(std::ranges::equal(core->wire_out().front().bytes, bytes_of(frame)));
    core->wire_out().pop();
  }

  json frames_;
  std::uint16_t slot_ = 0;
};

TEST_F(ForeignFramesAtACard, AreTheCardsOrGoToTheHostAsTheyCame) {
  for (const json& frame : frames_["to_card"]) {
    SCOPED_TRACE(frame["made_by"].get<std::string>() + ": " + frame["name"].get<std::string>());
    begin(frame["card_mac"]);
    const lockstep::Bytes bytes = bytes_of(frame);
    core->wire_in().push(bytes);
    ASSERT_TRUE(driver->rest()) << driver->error();
    const bool ours = frame["ours"];
    ASSERT_EQ(core->to_host().size(), ours ? 0U : 1U);
    if (!ours) {
      EXPECT_TRUE(std::ranges::equal(core->to_host().front().bytes, bytes));
    }
    const std::uint32_t before = frames_["slot"]["out"];
    const auto tail = driver->read_word(SimCardDriver::proxy_page(slot_) + static_cast<std::uint32_t>(regs::kOutTail));
    ASSERT_TRUE(tail) << driver->error();
    EXPECT_EQ(*tail - before, frame["lines"].get<std::uint32_t>());
    for (std::uint32_t at = before; at != *tail; ++at) {
      const sim::Line& line = core->memory(kOutBase + (at & 15));
      EXPECT_TRUE(std::ranges::all_of(line, [&](std::byte byte) { return byte == static_cast<std::byte>(at & 0xff); }));
    }
    if (const std::string counter = frame["dropped"]; !counter.empty()) {
      EXPECT_EQ(dropped(counter), 1U);
    }
  }
}

TEST_F(ForeignFramesAtACard, AreWhatTheCardSends) {
  const json& expected = frames_["from_card"];
  const std::uint32_t in = frames_["slot"]["in"], tail = expected[0]["in_tail"];
  for (std::uint32_t at = in; at != tail; ++at)
    core->memory(kInBase + (at & 15)).fill(static_cast<std::byte>(at & 0xff));
  ASSERT_TRUE(driver->doorbell(slot_, false, tail));
  ASSERT_TRUE(driver->rest()) << driver->error();
  expect_sent(expected[0]);
  begin(lockstep::own_endpoint().mac);
  core->wire_in().push(bytes_of(frames_["to_card"][0]));
  ASSERT_TRUE(driver->rest()) << driver->error();
  EXPECT_TRUE(core->wire_out().empty()) << "the acknowledgement waits for a frame to ride on";
  core->set_now_us(1'000);
  ASSERT_TRUE(driver->rest()) << driver->error();
  expect_sent(expected[1]);
}

}  // namespace
