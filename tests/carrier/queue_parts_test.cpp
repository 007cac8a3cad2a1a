// What the queues of a DPDK port share, with threads: the ring, the gate, the waker and the board of links. Needs no
// DPDK, so that the thread sanitizer sees all of it.
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "core/carriers/dpdk/gate.hpp"
#include "core/carriers/dpdk/link_board.hpp"
#include "core/carriers/dpdk/spsc_ring.hpp"

namespace slotwire::test {
namespace {

using carriers::Gate;
using carriers::LinkBoard;
using carriers::LinkNews;
using carriers::SpscRing;
using carriers::Waker;

constexpr int kPatienceMs = 20'000;

bool sleep_on(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, kPatienceMs) == 1;
}

TEST(SpscRing, TakesNoMoreThanItHasRoomFor) {
  SpscRing<int> ring(5);
  EXPECT_EQ(ring.capacity(), 8U);
  int value = 0;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 8; ++i) EXPECT_TRUE(ring.push(i));
    EXPECT_FALSE(ring.push(99));
    for (int i = 0; i < 8; ++i) {
      ASSERT_TRUE(ring.pop(value));
      EXPECT_EQ(value, i);
    }
    EXPECT_FALSE(ring.pop(value));
    EXPECT_TRUE(ring.empty());
  }
}

TEST(SpscRing, AThreadThatSleepsIsWokenForEveryElement) {
  constexpr int kElements = 100'000;
  SpscRing<int> ring(16);
  Waker waker;
  std::thread taker([&] {
    for (int next = 0; next < kElements;) {
      for (int element = 0; ring.pop(element); ++next) ASSERT_EQ(element, next);
      if (next == kElements) break;
      waker.fall_asleep();
      if (ring.empty()) {
        ASSERT_TRUE(sleep_on(waker.fd())) << "not woken for element " << next;
      }
      waker.get_up();
    }
  });
  for (int i = 0; i < kElements;) {
    if (ring.push(i)) {
      ++i;
      waker.ring();
    } else {
      std::this_thread::yield();
    }
  }
  taker.join();
}

TEST(Waker, WhoIsAwakeIsNotRung) {
  Waker waker;
  pollfd entry{waker.fd(), POLLIN, 0};
  waker.ring();
  EXPECT_EQ(::poll(&entry, 1, 0), 0);
  waker.fall_asleep();
  EXPECT_EQ(::poll(&entry, 1, 0), 0);
  waker.ring();
  waker.ring();
  EXPECT_EQ(::poll(&entry, 1, 0), 1);
  waker.get_up();
  EXPECT_EQ(::poll(&entry, 1, 0), 0);
}

TEST(Gate, NobodyIsInsideWhenItIsClosedAndEmpty) {
  constexpr std::size_t kOthers = 3;
  constexpr int kRounds = 2'000;
  Gate gate(kOthers + 1);
  std::unique_ptr<int> port;  // not atomic: the gate alone keeps the threads apart
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> used{0};
  std::vector<std::thread> threads;
  for (std::size_t number = 1; number <= kOthers; ++number) {
    threads.emplace_back([&, number] {
      bool inside = false;
      while (!stop) {
        if (inside && !gate.is_open()) {
          gate.leave(number);
          inside = false;
        }
        if (!inside && gate.is_open()) {
          std::this_thread::yield();  // it may be closed by now
          inside = gate.enter(number);
        }
        if (inside) {
          EXPECT_GE(*port, 0);
          ++used;
        }
      }
      gate.leave(number);
    });
  }
  for (int round = 0; round < kRounds; ++round) {
    port = std::make_unique<int>(round);
    gate.open();
    const std::uint64_t before = used;
    if (round % 100 == 0) {
      while (used == before) std::this_thread::yield();
    }
    gate.close();
    while (!gate.empty()) std::this_thread::yield();
    *port = -1;
    port.reset();
    std::this_thread::yield();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(used, 0U);
}

LinkNews news_of(std::uint32_t serial, LinkNews::State state) {
  LinkNews news;
  news.serial = serial;
  news.state = state;
  news.reason = std::to_string(serial);
  return news;
}

TEST(LinkBoard, OnlyTheLastNewsOfALinkIsTaken) {
  LinkBoard board(2, 3);
  for (std::uint32_t i = 0; i < 10; ++i) board.post(1, 2, news_of(i, LinkNews::State::down));
  board.post(1, 0, news_of(77, LinkNews::State::up));
  EXPECT_TRUE(board.empty(0));
  auto item = board.take(1);
  ASSERT_TRUE(item);
  EXPECT_EQ(item->link, 2);
  EXPECT_EQ(item->news->serial, 9U);
  item = board.take(1);
  ASSERT_TRUE(item);
  EXPECT_EQ(item->link, 0);
  EXPECT_EQ(item->news->serial, 77U);
  EXPECT_FALSE(board.take(1));
  board.post(1, 2, news_of(10, LinkNews::State::none));  // stays in it to the end
}

TEST(LinkBoard, WhatWasPostedLastIsTakenLastByEveryQueue) {
  constexpr std::size_t kQueues = 3, kLinks = 17;
  constexpr std::uint32_t kPosts = 50'000;
  LinkBoard board(kQueues, kLinks);
  std::atomic<bool> posted{false};
  std::vector<std::map<std::uint16_t, std::uint32_t>> seen(kQueues);
  std::vector<std::thread> threads;
  for (std::size_t queue = 0; queue < kQueues; ++queue) {
    threads.emplace_back([&, queue] {
      for (bool last = false; !last;) {
        last = posted;
        while (const auto item = board.take(queue)) {
          ASSERT_NE(item->news, nullptr);
          auto& serial = seen[queue][item->link];
          EXPECT_GE(item->news->serial, serial) << "an older one came later";
          EXPECT_EQ(item->news->reason, std::to_string(item->news->serial));
          serial = item->news->serial;
        }
      }
    });
  }
  std::map<std::uint16_t, std::uint32_t> expected;
  std::mt19937 random(3);
  for (std::uint32_t serial = 1; serial <= kPosts; ++serial) {
    const auto link = static_cast<std::uint16_t>(random() % kLinks);
    for (std::size_t queue = 0; queue < kQueues; ++queue) board.post(queue, link, news_of(serial, LinkNews::State::up));
    expected[link] = serial;
  }
  posted = true;
  for (std::thread& thread : threads) thread.join();
  for (const auto& one : seen) EXPECT_EQ(one, expected);
}

}  // namespace
}  // namespace slotwire::test
