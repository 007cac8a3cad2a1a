// Cards in software whose link is under congestion control, in simulated time: the mover decides, wakes for the pace,
// and takes a link down that delivers nothing.
#include <gtest/gtest.h>

#include <memory>

#include "driver_workers_support.hpp"
#include "fake_path.hpp"

namespace slotwire::test {
namespace {

constexpr std::uint64_t kStepUs = 50;

struct Node {
  explicit Node(bool controlled) : path(22) {
    path.controlled = controlled;
    driver::CardComposition parts;
    parts.rows = rows;
    parts.soft.links = 8;
    parts.soft.demote_us = 0;
    parts.sessions = 2;
    card = driver::make_card(std::move(parts), listener);
    card->add_session(0, session.bells, session.polled, session.kick.get());
    card->set_route(kLink, driver::OverCarrier{path}, pipeline::LinkParameters{});
    card->prepare_slot(0, kLink);
    card->open_slot(0, kOrder, kOrder, true);
    card->set_bell(0, 0, 0);
    card->bind(0, {.link = kLink,
                   .peer_slot = 0,
                   .epoch = 7,
                   .in_order = kOrder,
                   .out_order = kOrder,
                   .credit = 1U << kOrder,
                   .marks = {}});
    end = std::make_unique<driver::test::End>(session, 0, card->files(0), kOrder);
  }
  void step(std::uint64_t now) {
    card->on_kick(0);
    card->poll(now);
  }
  driver::LinkFlowStatus flow() { return card->flow(kLink).value(); }

  static constexpr unsigned kOrder = 14;
  std::vector<regs::SlotRow> rows = std::vector<regs::SlotRow>(1);
  driver::test::Session session;
  driver::test::Listener listener;
  FakeCarrier path;
  std::unique_ptr<driver::Card> card;
  std::unique_ptr<driver::test::End> end;
};

struct Pair {
  explicit Pair(bool controlled = true) : a(controlled), b(controlled) {
    a.path.peer = &b.path;
    b.path.peer = &a.path;
    for (Node* node : {&a, &b}) {
      node->path.set_up(true);
      node->path.limit = 100'000;
    }
    run(kStepUs);
  }
  void run(std::uint64_t us) {
    for (const std::uint64_t until = now + us; now < until; now += kStepUs) {
      a.step(now);
      b.step(now);
      b.end->read();
    }
  }
  Node a, b;
  std::uint64_t now = 1'000'000;
};

TEST(CarrierControl, ALinkOverACarrierThatNeedsNoneIsNotControlled) {
  Pair pair(false);
  EXPECT_FALSE(pair.a.card->flow(kLink).has_value());
  pair.a.end->write(2'000);
  pair.a.step(pair.now);
  EXPECT_EQ(pair.a.path.sent, 91U);
}

TEST(CarrierControl, BeginsWithTenFramesAndGrows) {
  Pair pair;
  pair.a.path.delay_us = pair.b.path.delay_us = 5'000;
  EXPECT_EQ(pair.a.flow().flow.window, 220U);
  EXPECT_EQ(pair.a.flow().algorithm, "cubic");
  pair.a.end->write(16'000);
  pair.run(1'000);
  EXPECT_EQ(pair.a.path.sent, 10U);
  EXPECT_EQ(pair.a.flow().flow.inflight, 220U);
  pair.run(200'000);
  EXPECT_GT(pair.a.flow().flow.window, 880U);
  EXPECT_NEAR(pair.a.flow().flow.srtt_us, 10'000, 500);
  EXPECT_EQ(pair.b.end->lines_read(), 16'000U);
  EXPECT_EQ(pair.b.end->wrong(), 0U);
}

TEST(CarrierControl, WakesForThePace) {
  Pair pair;
  pair.a.path.delay_us = pair.b.path.delay_us = 5'000;
  pair.a.end->write(16'000);
  while (pair.a.flow().flow.pace == 0) pair.run(kStepUs);
  pair.run(1'000);
  // Frames wait for tokens, in the middle of a round trip.
  EXPECT_LE(pair.a.card->timer_us(pair.now), 50U);
  EXPECT_TRUE(pair.a.card->prepare_sleep());
}

TEST(CarrierControl, ALinkThatDeliversNothingIsTakenDownAndTriedAgain) {
  Pair pair;
  pair.a.end->write(100);
  pair.run(50'000);
  EXPECT_EQ(pair.b.end->lines_read(), 100U);
  pair.a.listener.links.clear();
  pair.a.path.passes = pair.b.path.passes = false;
  pair.a.end->write(1'000);
  pair.run(9'000'000);
  EXPECT_TRUE(pair.a.listener.links.empty());
  pair.run(4'000'000);
  ASSERT_GE(pair.a.listener.links.size(), 1U);
  const auto& [link, up, reason] = pair.a.listener.links.front();
  EXPECT_FALSE(up);
  EXPECT_NE(reason.find("congestion control: nothing was acknowledged for 1"), std::string::npos) << reason;
  EXPECT_NE(reason.find("tried again after 1 s"), std::string::npos) << reason;
  EXPECT_FALSE(pair.a.card->link_up(kLink) && pair.a.listener.links.size() == 1);
  // Nothing is sent while it is down, and nothing is lost.
  pair.a.path.passes = pair.b.path.passes = true;
  pair.run(20'000'000);
  EXPECT_TRUE(pair.a.card->link_up(kLink));
  EXPECT_EQ(pair.b.end->lines_read(), 1'100U);
  EXPECT_EQ(pair.b.end->wrong(), 0U);
  EXPECT_GE(pair.a.flow().trips, 1U);
}

TEST(CarrierControl, ALinkThatIsDownAnywayIsNotBroughtUpAgain) {
  Pair pair;
  pair.a.end->write(100);
  pair.run(50'000);
  pair.a.path.passes = pair.b.path.passes = false;
  pair.a.end->write(1'000);
  while (pair.a.card->link_up(kLink)) pair.run(10'000);
  pair.a.path.set_up(false);
  pair.run(kStepUs);
  pair.a.listener.links.clear();
  pair.run(3'000'000);
  EXPECT_FALSE(pair.a.card->link_up(kLink));
  EXPECT_TRUE(pair.a.listener.links.empty());
}

}  // namespace
}  // namespace slotwire::test
