// A card of all movers at once: workers, a card of metal (a model of one) and software, with threads as they run.
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "core/carriers/loopback.hpp"
#include "core/slot/waiter.hpp"
#include "driver/relay/hardware_mover.hpp"
#include "driver_model_card.hpp"
#include "driver_workers_support.hpp"
#include "temporary_directory.hpp"

namespace slotwire::driver::test {
namespace {

using carriers::Address;
using regs::Fault;
using regs::SlotRow;
using regs::SlotState;
using slotwire::test::Line;

constexpr std::uint16_t kCardLink = 2;
constexpr std::size_t kSlots = 64;

class Composition : public ::testing::Test {
 protected:
  /// Two workers, the card, and software; all three links are up.
  void start(std::uint64_t give_up_us = 0) {
    directory.write("arp", "head\n127.0.0.2 0x1 0x2 02:10:ab:cd:ef:01 * eth0\n");
    model.slots = kSlots;
    model.rows.resize(kSlots);
    HardwareParts hardware{
        std::make_unique<slotwire::test::ModelBus>(model),
        std::make_unique<CardNeighbours>(Address::parse("127.0.0.1:7401"), MacAddress{2, 0, 0, 0, 0, 9},
                                         (directory.path() / "arp").string(), 4),
        77, give_up_us, 22};
    engine = std::make_unique<Engine>(rows, wire, slot::WaitPolicy{}, std::move(hardware));
    home.add_link(kHomeLink);
    engine->add(session);
    engine->waiting = &ends;
    card().start();
    engine->route(kHomeLink, home);
    engine->route(kWireLink, wire.queue(0));
    card().set_route(kCardLink, OnCard{Address::parse("127.0.0.2:7401")}, {});
    wire.up(kWireLink);
    ASSERT_TRUE(engine->until(
        [&] { return card().link_up(kWireLink) && card().link_up(kHomeLink) && card().link_up(kCardLink); }));
  }
  Card& card() { return engine->card(); }
  End& slot(std::uint16_t slot, std::uint16_t peer, std::uint16_t link, std::size_t local) {
    engine->open(slot, link);
    card().set_bell(0, local, slot);
    engine->bind(slot, peer, link);
    ends[slot] = std::make_unique<End>(session, local, card().files(slot), kOrder);
    return *ends[slot];
  }
  bool moved(End& from, End& to, std::uint32_t lines) {
    std::uint32_t sent = 0, got = 0;
    return engine->until([&] {
      if (sent < lines) sent += from.write(lines - sent);
      got += to.read();
      return got == lines;
    });
  }
  SlotState state(std::uint16_t slot) { return static_cast<SlotState>(card().row(slot).state); }

  slotwire::test::TemporaryDirectory directory;
  slotwire::test::ModelCard model;
  std::vector<SlotRow> rows = std::vector<SlotRow>(kSlots);
  Session session;
  carriers::LoopbackCarrier home;
  QueueWire wire{2};
  std::unique_ptr<Engine> engine;
  Engine::Ends ends;
};

TEST_F(Composition, EachMoverHasTheSlotsOfItsLinks) {
  start();
  End& a = slot(10, 13, kWireLink, 0);
  End& b = slot(13, 10, kWireLink, 64);
  End& c = slot(20, 21, kHomeLink, 128);
  End& d = slot(21, 20, kHomeLink, 129);
  End& on_card = slot(30, 1, kCardLink, 130);
  EXPECT_EQ(model.state(30), SlotState::bound);
  EXPECT_EQ(model.state(10), SlotState::free);
  EXPECT_EQ(rows[20].in_base, 0U) << "a place on the card for a slot within the node";
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(moved(a, b, 50));
    ASSERT_TRUE(moved(d, c, 50));
    const std::uint32_t written = on_card.write(3);
    ASSERT_EQ(written, 3U);
    ASSERT_TRUE(engine->until([&] { return model.rows[30].in_tail == on_card.lines_written(); }));
    model.release(30, written);
    model.deliver(30, std::vector<Line>(1, [&] {
                    Line line;
                    line.fill(static_cast<std::byte>((on_card.lines_read() + 1) * 7));
                    return line;
                  }()));
    ASSERT_TRUE(engine->until([&] { return on_card.read() == 1; }));
    ASSERT_TRUE(moved(b, a, 50));
  }
  EXPECT_EQ(a.wrong() + b.wrong() + c.wrong() + d.wrong() + on_card.wrong(), 0U);
  EXPECT_TRUE(engine->listener.faults.empty());
  EXPECT_EQ(card().workers(), 2U);
  ASSERT_NE(card().info(), nullptr);
  EXPECT_EQ(card().info()->slots, kSlots);
}

// Who opens connections must not be taken for somebody who moves lines: these come before everything else.
TEST_F(Composition, BindingASlotIsNoWorkForTheNextPoll) {
  start();
  ASSERT_TRUE(engine->until([&] { return !card().poll(0); }));
  slot(20, 21, kHomeLink, 128);
  slot(21, 20, kHomeLink, 129);
  EXPECT_FALSE(card().poll(0));
  ASSERT_TRUE(moved(*ends[20], *ends[21], 50)) << "its marks are shown all the same";
}

// As after a restart: the bell of a slot of the card stands in a worker's word, and the other way round.
TEST_F(Composition, BellsReachTheCardsSlotsThroughAWorkersWord) {
  start();
  End& a = slot(10, 13, kWireLink, 0);
  End& on_card = slot(30, 1, kCardLink, 1);
  End& beside = slot(31, 2, kCardLink, 64);
  End& b = slot(13, 10, kWireLink, 65);
  for (int round = 0; round < 50; ++round) {
    ASSERT_EQ(on_card.write(1), 1U);
    ASSERT_TRUE(engine->until([&] { return model.rows[30].in_tail == on_card.lines_written(); })) << round;
    model.release(30, 1);
    ASSERT_EQ(beside.write(1), 1U);
    ASSERT_TRUE(engine->until([&] { return model.rows[31].in_tail == beside.lines_written(); })) << round;
    model.release(31, 1);
    ASSERT_TRUE(moved(a, b, 1)) << round;
    ASSERT_TRUE(moved(b, a, 1)) << round;
  }
}

TEST_F(Composition, WorkersGoOnWhenTheCardIsGivenUp) {
  start(1);
  End& a = slot(10, 13, kWireLink, 0);
  End& b = slot(13, 10, kWireLink, 64);
  slot(30, 1, kCardLink, 128);
  carriers::LoopbackCarrier in_software;
  in_software.add_link(kCardLink);
  engine->listener.gone = [&] {
    card().set_route(kCardLink, OverCarrier{in_software}, {});
    return true;
  };
  model.there = false;
  ASSERT_TRUE(engine->until([&] { return !engine->listener.faults.empty(); }));
  EXPECT_EQ(engine->listener.faults, (std::vector<std::pair<std::uint16_t, Fault>>{{30, Fault::memory}}));
  EXPECT_EQ(state(30), SlotState::faulted);
  EXPECT_TRUE(moved(a, b, 500));
  ASSERT_TRUE(engine->until([&] { return card().link_up(kCardLink); }));
  End& c = slot(40, 41, kCardLink, 129);
  End& d = slot(41, 40, kCardLink, 130);
  EXPECT_TRUE(moved(c, d, 500));
  EXPECT_EQ(rows[40].in_base, 0U) << "a place on a card that is gone";
}

}  // namespace
}  // namespace slotwire::driver::test
