// A simulated card with one link that is up, for tests that drive its ports.
#pragma once
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>

#include "sim/card/card_driver.hpp"
#include "sim/lockstep/program.hpp"

namespace slotwire::lockstep {

class Card : public testing::Test {
 protected:
  void SetUp() override { power_on({}); }
  void power_on(sim::SimCoreOptions options) {
    options.kind = sim::find_card(16, false, false);
    ASSERT_NE(options.kind, nullptr);
    driver.reset();
    core = std::make_unique<sim::SimCore>(options);
    driver = std::make_unique<sim::SimCardDriver>(*core);
    core->reset();
    ASSERT_TRUE(driver->configure(own_endpoint()));
    regs::LinkRow link{};
    link.lines_per_frame = 22;
    link.rto_us = 10'000;
    link.rto_max_us = 1'000'000;
    link.ack_delay_us = 1'000;
    link.peer_ip = peer_endpoint(0).ip;
    link.peer_port = peer_endpoint(0).port;
    link.peer_mac_high = static_cast<std::uint32_t>(peer_endpoint(0).mac >> 16);
    link.peer_mac_low = static_cast<std::uint16_t>(peer_endpoint(0).mac & 0xffff);
    link.up = 1;
    ASSERT_TRUE(driver->write_link(0, link));
    ASSERT_TRUE(driver->command(regs::CardCommand::link_up, 0));
  }
  void bind(std::uint16_t slot, unsigned order = 4) {
    regs::SlotRow row{};
    row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
    row.in_order = row.out_order = static_cast<std::uint8_t>(order);
    row.peer_slot = 2;
    row.limit = 1U << order;
    row.in_base = 2048U * slot;
    row.out_base = row.in_base + 1024;
    ASSERT_TRUE(driver->write_row(slot, row));
  }
  std::uint64_t counter(regs::CardCounter which) {
    std::array<std::uint64_t, regs::kCounterCount> counters{};
    std::array<std::uint64_t, regs::kCardCounterCount> card{};
    EXPECT_TRUE(driver->read_counters(counters, card)) << driver->error();
    return card[static_cast<std::size_t>(which)];
  }

  std::unique_ptr<sim::SimCore> core;
  std::unique_ptr<sim::SimCardDriver> driver;
};

}  // namespace slotwire::lockstep
