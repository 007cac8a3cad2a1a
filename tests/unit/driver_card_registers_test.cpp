// What a driver reads of a card's registers.
#include "driver/relay/card_registers.hpp"

#include <gtest/gtest.h>

#include "driver_model_card.hpp"

namespace slotwire::driver {
using slotwire::test::ModelBus;
using slotwire::test::ModelCard;

namespace {

TEST(CardRegisters, CountersAreReadWhereTheRegistersHaveThem) {
  ModelCard card;
  ModelBus bus(card);
  ASSERT_TRUE(bus.reconnect());
  CardRegisters registers(bus);
  card.counters.front() = 12;
  card.counters.back() = 0x1'0000'0004;
  card.card_counters[static_cast<std::size_t>(regs::CardCounter::host_refused)] = 5;
  card.card_counters[static_cast<std::size_t>(regs::CardCounter::memory_refused)] = 3;
  const auto counters = registers.read_counters();
  ASSERT_TRUE(counters);
  EXPECT_EQ(counters->pipeline, card.counters);
  EXPECT_EQ(counters->card, card.card_counters);
}

}  // namespace
}  // namespace slotwire::driver
