// slotwire_blocks.hpp as a program uses it, and what its errors say.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "slotwire_blocks.hpp"

namespace {
using namespace slotwire;
using namespace std::chrono_literals;

std::string region_name() {
  return "api-" + std::to_string(::getpid());
}

TEST(BlocksApi, AMessageIsWrittenAndReadInPlace) {
  auto region = Region::open(region_name());
  ASSERT_TRUE(region) << region.error().text;
  auto publisher = region->publish("t");
  ASSERT_TRUE(publisher) << publisher.error().text;
  auto subscriber = region->subscribe("t");
  ASSERT_TRUE(subscriber) << subscriber.error().text;
  ASSERT_TRUE(publisher->wait_for_subscribers(1, 10s));
  EXPECT_EQ(publisher->subscribers(), 1U);
  auto block = publisher->loan(1000, 1s);
  ASSERT_TRUE(block) << block.error().text;
  EXPECT_EQ(block->data().size(), 1000U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block->data().data()) % 64, 0U);
  std::memset(block->data().data(), 'x', 1000);
  ASSERT_TRUE(publisher->publish(std::move(*block), 10, 1s));
  EXPECT_EQ(publisher->publish(std::move(*block), 10, 1s).status(), Status::invalid);
  auto view = subscriber->take(1s);
  ASSERT_TRUE(view) << view.error().text;
  EXPECT_EQ(view->data().size(), 10U);
  EXPECT_EQ(std::memcmp(view->data().data(), "xxxxxxxxxx", 10), 0);
  EXPECT_EQ(view->position(), 0U);
  EXPECT_EQ(view->publisher(), static_cast<std::uint32_t>(::getpid()));
  EXPECT_EQ(subscriber->publishers(), 1U);
  EXPECT_EQ(subscriber->take(Deadline::now()).status(), Status::again);
}

TEST(BlocksApi, BlocksThatAreNotPublishedComeBack) {
  auto region = Region::open(region_name());
  auto publisher = region->publish("t", {.block_bytes = 4096});
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(publisher->loan(4096, Deadline::now()));
  auto first = publisher->loan(4096, Deadline::now());
  ASSERT_TRUE(first);
  EXPECT_EQ(publisher->loan(1, Deadline::now()).status(), Status::again);
  EXPECT_EQ(publisher->loan(4097, Deadline::now()).status(), Status::too_large);
}

TEST(BlocksApi, ErrorsSayWhatToDo) {
  EXPECT_EQ(Region::open("a b").status(), Status::invalid);
  auto region = Region::open(region_name());
  EXPECT_EQ(region->publish("").status(), Status::invalid);
  EXPECT_EQ(region->publish("t", {.entries = 3}).status(), Status::invalid);
  EXPECT_EQ(region->publish("t", {.entries = 4, .history = 4}).status(), Status::invalid);
  EXPECT_NE(region->publish("t", {.entries = 3}).error().text.find("power of two"), std::string::npos);
  auto publisher = region->publish("t", {.entries = 2});
  auto slow = region->subscribe("t", {.overflow = Overflow::fail});
  for (int i = 0; i < 2; ++i) {
    auto block = publisher->loan(8, 1s);
    ASSERT_TRUE(block);
    ASSERT_TRUE(publisher->publish(std::move(*block), 1s));
  }
  auto block = publisher->loan(8, 1s);
  ASSERT_TRUE(block);
  const auto refused = publisher->publish(std::move(*block), 1s);
  EXPECT_EQ(refused.status(), Status::refused);
  EXPECT_NE(refused.error().text.find("process " + std::to_string(::getpid())), std::string::npos)
      << refused.error().text;
}

TEST(BlocksApi, ARegionBelongsToItsThread) {
  auto region = Region::open(region_name());
  Status status = Status::ok;
  std::thread([&] { status = region->subscribe("t").status(); }).join();
  EXPECT_EQ(status, Status::wrong_thread);
}

TEST(BlocksApi, WhoDropsIsToldWhatItLostAndHoldsSixteen) {
  auto region = Region::open(region_name());
  auto publisher = region->publish("t", {.entries = 64});
  auto subscriber = region->subscribe("t", {.overflow = Overflow::drop_oldest});
  std::vector<View> held;
  for (int i = 0; i < 200; ++i) {
    auto block = publisher->loan(8, Deadline::now());
    ASSERT_TRUE(block);
    ASSERT_TRUE(publisher->publish(std::move(*block), Deadline::now()));
  }
  while (auto view = subscriber->take(Deadline::now())) held.push_back(std::move(*view));
  EXPECT_EQ(held.size(), 16U);
  EXPECT_EQ(subscriber->take(Deadline::now()).status(), Status::busy);
  EXPECT_EQ(held.front().position(), subscriber->dropped());
}

TEST(BlocksApi, OnlyBlocksOnLoanArePublished) {
  sw_region* region = nullptr;
  ASSERT_EQ(sw_region_open(region_name().c_str(), &region), SW_OK);
  sw_publisher* publisher = nullptr;
  ASSERT_EQ(sw_publisher_open(region, "t", nullptr, &publisher), SW_OK);
  sw_block block;
  SW_INIT(block);
  ASSERT_EQ(sw_publisher_loan(publisher, 100, 0, &block), SW_OK);
  for (const std::uint32_t place : {block.place + 1, block.place + 2, 0xffffffffU}) {
    sw_block other = block;
    other.place = place;
    EXPECT_EQ(sw_publisher_publish(publisher, &other, 8, 0), SW_INVALID) << place;
  }
  sw_block longer = block;
  longer.length = 1 << 20;
  EXPECT_EQ(sw_publisher_publish(publisher, &longer, 1 << 20, 0), SW_TOO_LARGE);
  EXPECT_EQ(sw_publisher_publish(publisher, &block, 100, 0), SW_OK);
  EXPECT_EQ(sw_publisher_publish(publisher, &block, 100, 0), SW_INVALID);
  EXPECT_NE(std::string(sw_last_error()).find("not on loan"), std::string::npos);
  sw_publisher_abandon(publisher, &block);
  sw_block next;
  SW_INIT(next);
  ASSERT_EQ(sw_publisher_loan(publisher, 100, 0, &next), SW_OK);
  EXPECT_NE(next.place, block.place) << "a block that was published is lent again";
  sw_region_close(region);
}

TEST(BlocksApi, AProcessIsToldWhatItHolds) {
  auto region = Region::open(region_name());
  auto publisher = region->publish("t", {.entries = 8});
  auto careful = region->subscribe("t");
  auto quick = region->subscribe("t", {.overflow = Overflow::drop_oldest});
  EXPECT_EQ(region->holding()->used_blocks, 0U);
  EXPECT_EQ(region->holding()->oldest_publisher, 0U);
  for (const std::size_t bytes : {100U, 200U, 300U}) {
    auto block = publisher->loan(bytes, 1s);
    ASSERT_TRUE(block);
    ASSERT_TRUE(publisher->publish(std::move(*block), 1s));
  }
  auto lent = publisher->loan(1000, 1s);
  ASSERT_TRUE(lent);
  std::vector<View> views;
  for (int i = 0; i < 2; ++i) views.push_back(*careful->take(1s));
  views.push_back(*quick->take(1s));
  const sw_holding all = *region->holding();
  EXPECT_EQ(all.publishers, 1U);
  EXPECT_EQ(all.subscribers, 2U);
  EXPECT_EQ(all.used_blocks, 4U);
  EXPECT_EQ(all.loaned_blocks, 1U);
  EXPECT_GE(all.loaned_bytes, 1000U);
  EXPECT_EQ(all.views, 3U);
  EXPECT_EQ(all.view_bytes, 100U + 200U + 100U);
  EXPECT_EQ(all.oldest_behind, 2U);
  EXPECT_EQ(all.oldest_publisher, static_cast<std::uint32_t>(::getpid()));
  views.erase(views.begin());
  views.pop_back();
  lent = publisher->loan(10, 1s);  // gives the other one back
  EXPECT_EQ(region->holding()->view_bytes, 200U);
  EXPECT_EQ(region->holding()->oldest_behind, 1U);
  EXPECT_EQ(region->holding()->loaned_blocks, 1U);
  EXPECT_LT(region->holding()->loaned_bytes, 1000U);
  views.clear();
  EXPECT_EQ(region->holding()->views, 0U);
  EXPECT_EQ(region->holding()->oldest_publisher, 0U);

  sw_region* c = nullptr;
  ASSERT_EQ(sw_region_open(region_name().c_str(), &c), SW_OK);
  EXPECT_EQ(sw_region_holding(c, nullptr), SW_INVALID);
  EXPECT_EQ(sw_region_holding(nullptr, nullptr), SW_INVALID);
  int status = SW_OK;
  std::thread([&] {
    sw_holding holding;
    SW_INIT(holding);
    status = sw_region_holding(c, &holding);
  }).join();
  EXPECT_EQ(status, SW_WRONG_THREAD);
  sw_region_close(c);
}

TEST(BlocksApi, AnotherThreadDoesNotCloseARegion) {
  sw_region* region = nullptr;
  ASSERT_EQ(sw_region_open(region_name().c_str(), &region), SW_OK);
  std::thread([&] { sw_region_close(region); }).join();
  sw_publisher* publisher = nullptr;
  EXPECT_EQ(sw_publisher_open(region, "t", nullptr, &publisher), SW_OK);
  sw_region_close(region);
}

TEST(BlocksApi, MoreMemoryThanThereIsIsRefused) {
  auto region = Region::open(region_name());
  const auto publisher = region->publish("t", {.block_bytes = std::uint64_t{1} << 35});
  if (publisher) GTEST_SKIP() << "this machine has more than 36 GiB of memory to spare";
  EXPECT_EQ(publisher.status(), Status::no_memory) << publisher.error().text;
}

TEST(BlocksApi, NullIsAnError) {
  EXPECT_EQ(sw_region_open(nullptr, nullptr), SW_INVALID);
  EXPECT_EQ(sw_publisher_open(nullptr, "t", nullptr, nullptr), SW_INVALID);
  EXPECT_EQ(sw_publisher_loan(nullptr, 1, 0, nullptr), SW_INVALID);
  EXPECT_EQ(sw_publisher_publish(nullptr, nullptr, 1, 0), SW_INVALID);
  EXPECT_EQ(sw_subscriber_take(nullptr, 0, nullptr), SW_INVALID);
  EXPECT_EQ(sw_subscriber_fd(nullptr), -1);
  sw_publisher_close(nullptr);
  sw_subscriber_close(nullptr);
  sw_region_close(nullptr);
}

}  // namespace
