// Two cards in simulated time, joined by a link that chooses its carrier, over paths that open, close, lose and delay
// at random: every line arrives once, in order, whatever the link goes over.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>

#include "driver_workers_support.hpp"
#include "fake_path.hpp"

namespace slotwire::test {
namespace {

using carriers::LadderCarrier;
using carriers::LadderOptions;
using carriers::Rung;

constexpr std::uint64_t kStepUs = 2'000;
constexpr std::size_t kSlots = 4, kRungs = 3;

/// SLOTWIRE_LADDER_SEEDS=1000 runs the whole campaign.
std::uint64_t seeds() {
  const char* const wanted = std::getenv("SLOTWIRE_LADDER_SEEDS");
  return wanted == nullptr ? 40 : std::strtoull(wanted, nullptr, 10);
}

struct Node {
  explicit Node(std::mt19937_64& random) {
    static constexpr const char* kNames[kRungs] = {"udp", "tcp", "http"};
    std::vector<Rung> rungs;
    for (std::size_t i = 0; i < kRungs; ++i) {
      paths[i] = std::make_unique<FakeCarrier>(i == 0 ? 5 : 20);
      paths[i]->random.seed(random());
      paths[i]->controlled = i == 0;
      rungs.push_back({kNames[i], paths[i].get(), 300'000, i > 0, i > 0 ? 1'000'000U : 0U});
    }
    LadderOptions options;
    options.max_links = 8;
    options.random = [&random](std::span<std::byte> out) {
      for (std::byte& b : out) b = static_cast<std::byte>(random() & 0xFFU);
      return true;
    };
    ladder = std::make_unique<LadderCarrier>("auto", std::move(rungs), options);
    ladder->add_link(kLink, 7);
    driver::CardComposition parts;
    parts.rows = rows;
    parts.soft.links = 8;
    parts.soft.demote_us = 0;
    parts.sessions = 2;
    card = driver::make_card(std::move(parts), listener);
    card->add_session(0, session.bells, session.polled, session.kick.get());
    card->set_route(kLink, driver::OverCarrier{*ladder}, pipeline::LinkParameters{.lines_per_frame = 1000});
    for (std::uint16_t slot = 0; slot < kSlots; ++slot) {
      card->prepare_slot(slot, kLink);
      card->open_slot(slot, driver::test::kOrder, driver::test::kOrder, true);
      card->set_bell(0, slot, slot);
      card->bind(slot, {.link = kLink,
                        .peer_slot = slot,
                        .epoch = 7,
                        .in_order = driver::test::kOrder,
                        .out_order = driver::test::kOrder,
                        .credit = 1U << driver::test::kOrder,
                        .marks = {}});
      ends.push_back(std::make_unique<driver::test::End>(session, slot, card->files(slot), driver::test::kOrder));
    }
  }
  void step(std::uint64_t now) {
    card->on_kick(0);
    for (int i = 0; i < 4 && card->poll(now); ++i) {
    }
  }

  std::vector<regs::SlotRow> rows = std::vector<regs::SlotRow>(kSlots);
  driver::test::Session session;
  driver::test::Listener listener;
  std::unique_ptr<FakeCarrier> paths[kRungs];
  std::unique_ptr<LadderCarrier> ladder;
  std::unique_ptr<driver::Card> card;
  std::vector<std::unique_ptr<driver::test::End>> ends;
};

TEST(LadderLines, EveryLineArrivesOnceWhateverTheLinkGoesOver) {
  std::uint64_t lines = 0, changes = 0, downs = 0;
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed) {
    std::mt19937_64 random(seed);
    std::uint64_t now = 1'000'000;
    Node nodes[2] = {Node(random), Node(random)};
    for (std::size_t i = 0; i < kRungs; ++i) {
      nodes[0].paths[i]->peer = nodes[1].paths[i].get();
      nodes[1].paths[i]->peer = nodes[0].paths[i].get();
    }
    const auto set_up = [&](std::size_t rung, bool up) {
      for (Node& node : nodes) node.paths[rung]->set_up(up, up ? "up" : "refused");
    };
    for (std::size_t i = 0; i < kRungs; ++i) set_up(i, true);
    const auto step = [&] {
      now += kStepUs;
      for (Node& node : nodes) node.step(now);
      for (Node& node : nodes) {
        for (const auto& end : node.ends) end->read();
      }
    };
    for (int i = 0; i < 4'000; ++i) {
      if (random() % 60 == 0) {
        const std::size_t rung = random() % kRungs;
        FakeCarrier& path = *nodes[random() % 2].paths[rung];
        switch (random() % 6) {
          case 0:
            path.passes = !path.passes;
            break;
          case 1:
            nodes[0].paths[rung]->passes = nodes[1].paths[rung]->passes = random() % 2 == 0;
            break;
          case 2:
            path.delay_us = random() % 3 == 0 ? random() % 400'000 : random() % 5'000;
            break;
          case 3:
            path.lost_percent = random() % 3 == 0 ? static_cast<unsigned>(random() % 40) : 0;
            break;
          case 4:
            set_up(rung, random() % 3 != 0);
            break;
          default:
            path.limit = random() % 4 == 0 ? random() % 8 : 1000;
            break;
        }
      }
      for (Node& node : nodes) {
        driver::test::End& end = *node.ends[random() % kSlots];
        if (random() % 2 == 0) end.write(static_cast<std::uint32_t>(1 + random() % 40));
      }
      step();
    }
    // Everything works again: what was written arrives.
    for (std::size_t i = 0; i < kRungs; ++i) {
      set_up(i, true);
      for (Node& node : nodes) {
        node.paths[i]->passes = true;
        node.paths[i]->lost_percent = 0;
        node.paths[i]->delay_us = 0;
        node.paths[i]->limit = 1000;
      }
    }
    for (int i = 0; i < 20'000'000 / static_cast<int>(kStepUs); ++i) step();
    for (int side = 0; side < 2; ++side) {
      for (std::size_t slot = 0; slot < kSlots; ++slot) {
        const driver::test::End& from = *nodes[side].ends[slot];
        const driver::test::End& to = *nodes[1 - side].ends[slot];
        ASSERT_EQ(to.wrong(), 0U) << "seed " << seed;
        ASSERT_EQ(to.lines_read(), from.lines_written()) << "seed " << seed << ", slot " << slot;
        lines += to.lines_read();
      }
      ASSERT_TRUE(nodes[side].listener.faults.empty()) << "seed " << seed;
      ASSERT_EQ(nodes[side].ladder->status(kLink).rung, 0U)
          << "seed " << seed << ": the best path works and is not used";
      changes += nodes[side].ladder->status(kLink).changes;
      for (const auto& [link, up, reason] : nodes[side].listener.links) downs += up ? 0 : 1;
    }
  }
  // A campaign in which nothing changes proves nothing.
  EXPECT_GT(changes, 5 * seeds());
  EXPECT_GT(downs, seeds());
  std::printf("%llu lines, %llu changes of the carrier, %llu times down\n", static_cast<unsigned long long>(lines),
              static_cast<unsigned long long>(changes), static_cast<unsigned long long>(downs));
}

}  // namespace
}  // namespace slotwire::test
