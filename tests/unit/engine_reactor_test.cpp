// The engine's event loop: what tells that lines wait comes before requests, however many of these there are.
#include "runtime/engine/host/reactor.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace slotwire::engine {
namespace {

slot::Fd event(unsigned value) {
  return slot::Fd(::eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK));
}

void clear(int fd) {
  std::uint64_t value = 0;
  ASSERT_EQ(::read(fd, &value, sizeof value), static_cast<ssize_t>(sizeof value));
}

void ring(int fd) {
  const std::uint64_t one = 1;
  ASSERT_EQ(::write(fd, &one, sizeof one), static_cast<ssize_t>(sizeof one));
}

/// A request that takes all the time that one call of run() has for handlers.
void work() {
  for (const std::uint64_t begin = monotonic_us(); monotonic_us() - begin <= Reactor::kDispatchUs;) {
  }
}

struct ReactorTest : ::testing::Test {
  ReactorTest() {
    for (slot::Fd& request : requests) {
      request = event(1);
      reactor.add(request.get(), EPOLLIN, [this, fd = request.get()](std::uint32_t) {
        clear(fd);
        order += 'r';
        work();
      });
    }
    reactor.add_urgent(kick.get(), [this] {
      clear(kick.get());
      order += 'k';
    });
  }

  Reactor reactor;
  slot::Fd kick = event(0);
  std::vector<slot::Fd> requests = std::vector<slot::Fd>(8);
  std::string order;
};

TEST_F(ReactorTest, AKickThatComesWithRequestsIsFirst) {
  ring(kick.get());
  EXPECT_TRUE(reactor.run(0));
  EXPECT_EQ(order, "kr");
  EXPECT_TRUE(reactor.has_more());
  EXPECT_GE(reactor.spent_us(), Reactor::kDispatchUs);
}

TEST_F(ReactorTest, AKickThatComesWhileRequestsWaitIsNext) {
  EXPECT_TRUE(reactor.run(0));
  EXPECT_EQ(order, "r");
  ring(kick.get());
  EXPECT_TRUE(reactor.run(0));
  EXPECT_EQ(order, "rkr");
}

TEST_F(ReactorTest, RunUrgentLeavesRequestsAlone) {
  EXPECT_FALSE(reactor.run_urgent(0));
  ring(kick.get());
  EXPECT_TRUE(reactor.run_urgent(0));
  EXPECT_EQ(order, "k");
  EXPECT_FALSE(reactor.woken()) << "a kick is no carrier that has frames";
}

TEST_F(ReactorTest, AWakerWakesAndCallsNothing) {
  const slot::Fd carrier = event(1);
  reactor.add_waker(carrier.get());
  EXPECT_TRUE(reactor.run_urgent(0));
  EXPECT_TRUE(reactor.woken());
  EXPECT_EQ(order, "");
  reactor.remove(carrier.get());
  EXPECT_FALSE(reactor.run_urgent(0));
  EXPECT_FALSE(reactor.woken());
}

TEST_F(ReactorTest, WhatWasRemovedIsNotCalledAnyMore) {
  ring(kick.get());
  reactor.remove(kick.get());
  EXPECT_FALSE(reactor.run_urgent(0));
  EXPECT_TRUE(reactor.run(0));
  EXPECT_EQ(order, "r");
}

TEST_F(ReactorTest, AnUrgentHandlerMayRemoveItself) {
  reactor.remove(kick.get());
  reactor.add_urgent(kick.get(), [this] {
    order += 'x';
    reactor.remove(kick.get());
  });
  ring(kick.get());
  EXPECT_TRUE(reactor.run_urgent(0));
  EXPECT_FALSE(reactor.run_urgent(0));
  EXPECT_EQ(order, "x");
}

}  // namespace
}  // namespace slotwire::engine
