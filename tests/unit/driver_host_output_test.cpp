// Output spaces in host memory: what a card is given, in which order it is taken back, and what becomes of a slot whose
// output space cannot be there.
#include "driver/relay/host_output.hpp"

#include <gtest/gtest.h>

#include <poll.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/slot/waiter.hpp"
#include "driver_relay_fixture.hpp"

namespace slotwire::driver {
namespace {

using namespace relay_test;

class InHost : public Relay {
 protected:
  InHost() { card_.dma = true; }
  ~InHost() override {
    EXPECT_EQ(card_.violation, "");
    EXPECT_EQ(card_.lost, 0U) << "lines were written to where nothing is mapped";
  }
  void started(bool host_output = true) {
    start(kLife, 0, host_output);
    link_up();
    card_.log.clear();
  }
  OutputPlace place(std::uint16_t slot) const { return relay_->output(slot).value(); }
  void deliver(unsigned first, unsigned count = 1) {
    std::vector<Line> lines;
    for (unsigned i = 0; i < count; ++i) lines.push_back(line_of(first + i));
    card_.deliver(1, lines);
  }
  bool woken() {
    pollfd waits{relay_->files(1).wake.get(), POLLIN, 0};
    return ::poll(&waits, 1, 0) == 1;
  }
  /// The bus breaks off, and the card is there again; as a reset leaves it, unless `kept`.
  void away(bool kept = false) {
    if (!kept) card_.reset();
    card_.there = false;
    poll();
    card_.there = true;
    poll(HardwareMover::kRetryUs);
  }
};

TEST_F(InHost, LinesAndMarksComeToTheProcessWithoutTheEngine) {
  started();
  bound(1);
  EXPECT_EQ(card_.rows[1].out_base, regs::kRowBaseDma);
  EXPECT_EQ(card_.dma_rows[1].valid, 1U);
  EXPECT_EQ(card_.dma_rows[1].order, kOrder);
  EXPECT_EQ(card_.log, "Mdr") << "mapped, then the DMA row, then the row";
  EXPECT_EQ(place(1).mapped, slot::space_file_bytes(kOrder));
  card_.on_memory_read = [] { ADD_FAILURE() << "lines were read from the card"; };
  deliver(10, 3);
  EXPECT_EQ(shown_tail(), 3U) << "the engine has done nothing yet";
  EXPECT_EQ(delivered(2), line_of(12));
  EXPECT_TRUE(poll());
  EXPECT_EQ(relay_->row(1).out_tail, 3U);
  EXPECT_EQ(relay_->stats(1).rx_lines, 3U);
  // What the process has read is room for the card.
  own_.marks().head.store(3);
  relay_->look(1);
  EXPECT_EQ(card_.rows[1].out_head, 3U);
  // What the peer released is room for the process.
  produce(5, 1);
  relay_->look(1);
  card_.release(1, 4);
  EXPECT_EQ(shown_head(), 4U);
  poll();
  EXPECT_EQ(relay_->row(1).in_head, 4U);
  EXPECT_FALSE(relay_->drained(1));
  card_.release(1, 1);
  poll();
  EXPECT_TRUE(relay_->drained(1));
}

TEST_F(InHost, EachSlotHasPagesOfItsOwn) {
  started();
  bound(1);
  bound(2);
  const std::uint64_t first = card_.mapped.begin()->first, second = card_.mapped.rbegin()->first;
  ASSERT_EQ(card_.mapped.size(), 2U);
  EXPECT_GE(second - first, regs::kPageBytes + (std::uint64_t{regs::kLineBytes} << regs::kMaxRingOrder));
  EXPECT_NE(card_.dma_rows[1].marks_low, card_.dma_rows[2].marks_low);
  EXPECT_EQ(relay_->host_memory()->slots, 2U);
  EXPECT_EQ(relay_->host_memory()->bytes, 2 * slot::space_file_bytes(kOrder));
  relay_->close_slot(1);
  relay_->close_slot(2);
  EXPECT_EQ(relay_->host_memory()->bytes, 0U);
  EXPECT_TRUE(card_.mapped.empty());
}

TEST_F(InHost, AProcessMayBeAheadOfTheEngine) {
  started();
  bound(1);
  deliver(10, 3);
  own_.marks().head.store(2);
  relay_->look(1);
  EXPECT_EQ(card_.rows[1].out_head, 2U) << "it read what the card delivered";
  produce(kSize, 1);
  relay_->look(1);
  card_.release(1, 4);
  produce(4, 100);
  relay_->look(1);
  EXPECT_EQ(card_.rows[1].in_tail, kSize + 4) << "it wrote where the card had made room";
  poll();
  EXPECT_EQ(card_.state(1), SlotState::bound);
  EXPECT_TRUE(listener_.faults.empty());
  own_.marks().head.store(4);
  relay_->look(1);
  EXPECT_EQ(card_.state(1), SlotState::faulted) << "one more than there is";
}

TEST_F(InHost, ASleepingProcessIsWokenForAMarkThatIsLate) {
  // The card says that a mark moved before it has written it.
  card_.late = true;
  started();
  bound(1);
  own_.marks().wait.store(slot::kWaitReadable | 4);
  deliver(10);
  EXPECT_EQ(shown_tail(), 0U);
  poll();
  EXPECT_EQ(shown_tail(), 1U);
  EXPECT_EQ(relay_->row(1).out_tail, 1U);
  EXPECT_TRUE(woken());
}

TEST_F(InHost, AProcessIsWokenForWhatItWaitsForAlone) {
  started();
  bound(1);
  produce(2, 1);
  relay_->look(1);
  own_.marks().wait.store(slot::kWaitReadable | 4);
  card_.release(1, 1);
  poll();
  EXPECT_FALSE(woken());
  own_.marks().aim.store(3);
  deliver(10, 2);
  poll();
  EXPECT_FALSE(woken()) << "two lines of three";
  deliver(12);
  poll();
  EXPECT_TRUE(woken());
}

TEST_F(InHost, PagesAreTakenBackBeforeTheyAreUnmapped) {
  started();
  bound(1);
  deliver(10, 2);
  card_.log.clear();
  relay_->unbind(1);
  EXPECT_EQ(card_.log, "DrdD") << "the last marks, the row freed, the DMA row taken back, and an answer";
  EXPECT_EQ(shown_tail(), 2U) << "what was acknowledged stays readable";
  EXPECT_EQ(card_.mapped.size(), 1U) << "until it is closed";
  EXPECT_EQ(card_.dma_rows[1].valid, 0U);
  card_.log.clear();
  relay_->close_slot(1);
  EXPECT_EQ(card_.log, "U");
  bound(1);
  card_.log.clear();
  relay_->close_slot(1);
  EXPECT_EQ(card_.log, "rdDU");
}

TEST_F(InHost, WhatCannotBeThereIsOnTheCardWithTheReason) {
  struct Case {
    const char* why;
    void (*make)(test::ModelCard&);
  };
  const Case cases[] = {
      {"register DMA says 0", [](test::ModelCard& card) { card.dma = false; }},
      {"no IOMMU here", [](test::ModelCard& card) { card.dma_obstacle = "no IOMMU here"; }},
      {"card.host_output is false", [](test::ModelCard&) {}},
      {"locked memory", [](test::ModelCard& card) { card.map_obstacle = "the limit of locked memory"; }},
      {"of its 4KiB", [](test::ModelCard&) {}}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.why);
    card_ = {};
    card_.dma = true;
    rows_.assign(rows_.size(), {});
    relay_.reset();
    one.make(card_);
    started(std::string(one.why).find("host_output") == std::string::npos);
    relay_->prepare_slot(1, kCardLink);
    if (std::string(one.why) == "of its 4KiB") relay_->keep_output_on_card(1, "a user has 4KiB of its 4KiB");
    relay_->open_slot(1, kOrder, kOrder, true);
    relay_->bind(1, binding());
    map(1);
    EXPECT_EQ(place(1).mapped, 0U);
    EXPECT_NE(std::string(place(1).why).find(one.why), std::string::npos) << place(1).why;
    EXPECT_NE(card_.rows[1].out_base, regs::kRowBaseDma);
    EXPECT_EQ(card_.log.find_first_of("MdD"), std::string::npos);
    deliver(10, 2);
    EXPECT_EQ(shown_tail(), 0U);
    poll();
    EXPECT_EQ(shown_tail(), 2U);
    EXPECT_EQ(delivered(1), line_of(11));
    // The reason was that slot's, and is not its next one's.
    relay_->close_slot(1);
    if (std::string(one.why) == "of its 4KiB") {
      bound(1);
      EXPECT_NE(place(1).mapped, 0U);
    }
  }
}

TEST_F(InHost, ASlotThatHasNoPlaceAtAllHasNothingMapped) {
  card_.memory_lines = 1 + kSize / 2;
  started();
  relay_->prepare_slot(1, kCardLink);
  EXPECT_THROW(relay_->open_slot(1, kOrder, kOrder, true), std::runtime_error);
  EXPECT_TRUE(card_.mapped.empty());
  EXPECT_EQ(relay_->host_memory()->slots, 0U);
}

TEST_F(InHost, OutputSpacesTakeNoMemoryOfTheCard) {
  card_.memory_lines = 2 * kSize;  // one ring fits, at a multiple of its size
  started();
  bound(1);
  EXPECT_EQ(card_.state(1), SlotState::bound);
}

TEST_F(InHost, AResetCardGoesOnInTheSamePages) {
  started();
  bound(1);
  deliver(10, 2);
  card_.late = true;  // acknowledged and shown, and the mark was lost with the reset
  deliver(12);
  ASSERT_EQ(shown_tail(), 2U);
  away();
  EXPECT_EQ(shown_tail(), 3U) << "the peer was told that it was delivered";
  EXPECT_EQ(delivered(2), line_of(12));
  EXPECT_EQ(card_.state(1), SlotState::bound);
  EXPECT_EQ(card_.rows[1].out_base, regs::kRowBaseDma);
  EXPECT_EQ(card_.rows[1].out_tail, 3U);
  EXPECT_EQ(card_.mapped.size(), 1U);
  card_.late = false;
  deliver(13);
  EXPECT_EQ(shown_tail(), 4U);
  EXPECT_TRUE(listener_.faults.empty());
}

TEST_F(InHost, ASlotWhosePagesCannotBeMappedAgainGoesOnOnTheCard) {
  started();
  bound(1);
  deliver(10, 2);
  card_.map_obstacle = "the limit of locked memory is reached";
  listener_.outputs.clear();
  away();
  EXPECT_EQ(listener_.outputs, (std::vector<std::uint16_t>{1}));
  EXPECT_EQ(place(1).mapped, 0U);
  EXPECT_EQ(place(1).why, "the limit of locked memory is reached");
  EXPECT_NE(card_.rows[1].out_base, regs::kRowBaseDma);
  EXPECT_EQ(card_.rows[1].out_tail, 2U);
  EXPECT_EQ(delivered(0), line_of(10)) << "what had come was overwritten";
  EXPECT_EQ(delivered(1), line_of(11)) << "what had come was overwritten";
  deliver(12, 2);
  poll();
  EXPECT_EQ(shown_tail(), 4U);
  EXPECT_EQ(delivered(3), line_of(13));
  EXPECT_TRUE(listener_.faults.empty());
  relay_->close_slot(1);
}

TEST_F(InHost, ASlotThatFindsNoPlaceAtAllEnds) {
  card_.memory_lines = 2 * kSize;
  started();
  bound(1);
  card_.map_obstacle = "the limit of locked memory is reached";
  away();
  ASSERT_EQ(listener_.faults.size(), 1U);
  EXPECT_EQ(listener_.faults[0], std::pair(std::uint16_t{1}, Fault::memory));
  EXPECT_NE(card_.state(1), SlotState::bound);
  relay_->close_slot(1);
}

TEST_F(InHost, TheNextEngineGoesOnInTheSamePages) {
  started();
  bound(1);
  deliver(10, 2);
  produce(3, 1);
  relay_->look(1);
  card_.reset();  // the kernel resets a function that nobody has open
  restart(1);
  EXPECT_EQ(card_.mapped.size(), 1U);
  relay_->recover(1);
  link_up();
  map(1);
  EXPECT_EQ(shown_tail(), 2U);
  EXPECT_EQ(card_.state(1), SlotState::bound);
  EXPECT_EQ(card_.rows[1].out_base, regs::kRowBaseDma);
  EXPECT_EQ(card_.rows[1].in_tail, 3U);
  EXPECT_NE(place(1).mapped, 0U);
  deliver(12);
  EXPECT_EQ(shown_tail(), 3U);
  EXPECT_EQ(delivered(2), line_of(12));
  EXPECT_EQ(delivered(0), line_of(10));
}

TEST_F(InHost, TheNextEngineWakesForWhatTheLastOneDidNotSee) {
  started();
  bound(1);
  own_.marks().wait.store(slot::kWaitReadable | 4);
  deliver(10);
  ASSERT_EQ(shown_tail(), 1U);
  ASSERT_FALSE(woken()) << "the engine has done nothing yet, and ends";
  card_.reset();
  restart(1);
  relay_->recover(1);
  EXPECT_TRUE(woken());
}

TEST_F(InHost, TheNextEngineDoesNotRelyOnRowsOfTheLast) {
  started();
  bound(1);
  deliver(10, 2);
  restart(1);  // the card was not reset, and goes on for pages that are not mapped any more
  card_.log.clear();
  relay_->recover(1);
  EXPECT_EQ(card_.log.substr(0, 3), "rdr") << "freed, then given pages, then bound";
  EXPECT_EQ(card_.state(1), SlotState::bound);
  map(1);
  deliver(12);
  EXPECT_EQ(shown_tail(), 3U);
}

TEST_F(InHost, TheNextEngineMayHaveToLeaveASlotOnTheCard) {
  started();
  bound(1);
  deliver(10, 2);
  card_.reset();
  card_.dma_obstacle = "no IOMMU here";
  restart(1);
  EXPECT_EQ(place(1).why, "no IOMMU here");
  relay_->recover(1);
  map(1);
  EXPECT_EQ(shown_tail(), 2U);
  EXPECT_EQ(delivered(1), line_of(11));
  EXPECT_EQ(card_.state(1), SlotState::bound);
  deliver(12);
  poll();
  EXPECT_EQ(delivered(2), line_of(12));
}

TEST_F(InHost, WhatAnEarlierEngineHadOnTheCardStaysThere) {
  started(false);
  bound(1);
  deliver(10);
  restart(1);
  EXPECT_NE(std::string(place(1).why).find("an earlier slotwired"), std::string::npos);
  relay_->recover(1);
  map(1);
  EXPECT_EQ(shown_tail(), 1U);
  EXPECT_NE(card_.rows[1].out_base, regs::kRowBaseDma);
  EXPECT_TRUE(card_.mapped.empty());
}

TEST_F(InHost, WhoScribblesOverItsOwnMarksHarmsItsSlotAlone) {
  started();
  bound(1);
  bound(2);  // own_ and other_ are this one's
  slot::Space scribbled(relay_->files(1).other.get(), kOrder, slot::Access::read_write);
  for (const std::uint32_t tail : {kSize + 1, 1U << 31, ~0U}) {
    scribbled.marks().tail.store(tail);
    card_.tell_moved(1);
    scribbled.marks().tail.store(tail);
    scribbled.marks().head.store(tail);
    poll();
    EXPECT_EQ(relay_->row(1).out_tail, 0U) << tail;
    EXPECT_EQ(relay_->row(1).in_head, 0U) << tail;
  }
  card_.deliver(2, std::vector<Line>{line_of(10)});
  poll();
  EXPECT_EQ(shown_tail(), 1U);
  EXPECT_EQ(relay_->row(2).out_tail, 1U);
  EXPECT_TRUE(listener_.faults.empty());
  relay_->close_slot(1);
}

TEST_F(InHost, PagesOfACardThatIsAwayAreUnmappedAllTheSame) {
  started();
  bound(1);
  card_.there = false;
  poll();
  relay_->close_slot(1);
  EXPECT_TRUE(card_.mapped.empty());
  EXPECT_EQ(relay_->host_memory()->bytes, 0U);
}

TEST_F(InHost, DescriptorsAreKeptForABusThatMapsFiles) {
  card_.maps_files = true;
  started();
  bound(1);
  static_cast<void>(relay_->take_space_files(1));
  EXPECT_TRUE(relay_->files(1).other);
}

}  // namespace
}  // namespace slotwire::driver
