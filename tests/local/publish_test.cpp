// Publishing and subscribing between real processes: nothing lost, nothing damaged, whoever dies.
#include <algorithm>
#include <memory>
#include <vector>

#include "region_fixture.hpp"

namespace slotwire::blocks::test {
namespace {

using Look = Subscriber::Look;

TEST_F(RegionTest, MessagesArriveInOrderWhereTheyLie) {
  Region region(name_);
  Publisher publisher(region, "t", {});
  Subscriber subscriber(region, "t", {});
  for (std::uint64_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(publish_number(publisher, i, 64 + (i * 8 % 4096)), Room::yes);
    Subscriber::View view;
    ASSERT_EQ(subscriber.take(at_once(), view), Look::taken);
    EXPECT_EQ(number_in(view), i);
    EXPECT_EQ(view.data.size(), 64 + (i * 8 % 4096));
    EXPECT_EQ(view.publisher, static_cast<std::uint32_t>(::getpid()));
    subscriber.release(view);
  }
  Subscriber::View view;
  EXPECT_EQ(subscriber.take(at_once(), view), Look::nothing_there);
  EXPECT_LE(publisher.used_blocks(), 64U);
}

TEST_F(RegionTest, APublisherThatGoesHidesNoOther) {
  Region region(name_);
  Publisher stays(region, "t", {});
  auto goes = std::make_unique<Publisher>(region, "t", PublisherOptions{});
  Subscriber subscriber(region, "t", {});
  EXPECT_EQ(stays.subscribers(), 1U);
  EXPECT_EQ(publish_number(stays, 7), Room::yes);
  goes.reset();
  Subscriber::View view;
  ASSERT_EQ(subscriber.take(at_once(), view), Look::taken);
  EXPECT_EQ(number_in(view), 7U);
  subscriber.release(view);
}

TEST_F(RegionTest, ASubscriberThatCannotBeOpenedLeavesNothing) {
  constexpr std::size_t kPublishers = 5;
  Region region(name_);
  std::vector<std::unique_ptr<Publisher>> publishers;
  for (std::size_t i = 0; i < kPublishers; ++i) {
    publishers.push_back(std::make_unique<Publisher>(region, "t", PublisherOptions{.block_bytes = 4096, .entries = 2}));
  }
  // The last one finds cursors for some of the publishers, and none for the others.
  std::vector<std::unique_ptr<Subscriber>> subscribers;
  for (std::size_t i = 0; i < kMaxCursors / kPublishers; ++i)
    subscribers.push_back(std::make_unique<Subscriber>(region, "t", SubscriberOptions{}));
  EXPECT_THROW(Subscriber(region, "t", {}), std::runtime_error);
  const auto in_use = [](const auto& entries) {
    return static_cast<std::size_t>(
        std::count_if(entries.begin(), entries.end(), [](const auto& entry) { return entry.state.load() != 0; }));
  };
  EXPECT_EQ(in_use(region.memory().subscriptions), subscribers.size());
  EXPECT_EQ(in_use(region.memory().cursors), subscribers.size() * kPublishers);
}

TEST_F(RegionTest, OtherTopicsAreNotHeard) {
  Region region(name_);
  Publisher publisher(region, "a", {});
  Subscriber subscriber(region, "b", {});
  EXPECT_EQ(publish_number(publisher, 1), Room::yes);
  EXPECT_EQ(publisher.subscribers(), 0U);
  Subscriber::View view;
  EXPECT_EQ(subscriber.take(at_once(), view), Look::nothing_there);
}

TEST_F(RegionTest, APublisherWaitsForWhoBlocksAndIsWoken) {
  constexpr std::uint64_t kMessages = 20'000;
  const std::string name = name_;
  Process reader([&](Process& self) {
    Region region(name);
    Subscriber subscriber(region, "t",
                          {.wait = {.spin = std::chrono::nanoseconds(0), .yield = std::chrono::nanoseconds(0)}});
    self.say();
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      Subscriber::View view;
      if (subscriber.take(eventually(), view) != Look::taken || number_in(view) != i) return 1;
      subscriber.release(view);
    }
    return subscriber.dropped() == 0 ? 0 : 2;
  });
  Region region(name_);
  Publisher publisher(region, "t",
                      {.block_bytes = 65536,
                       .entries = 16,
                       .wait = {.spin = std::chrono::nanoseconds(0), .yield = std::chrono::nanoseconds(0)}});
  ASSERT_EQ(reader.hear(), '.');
  ASSERT_TRUE(publisher.wait_for_subscribers(1, eventually()));
  for (std::uint64_t i = 0; i < kMessages; ++i) ASSERT_EQ(publish_number(publisher, i, 1024), Room::yes) << i;
  EXPECT_EQ(reader.wait(), 0);
}

TEST_F(RegionTest, ManyPublishersAndManySubscribers) {
  constexpr std::uint64_t kMessages = 5'000;
  constexpr std::size_t kPublishers = 3;
  constexpr std::size_t kSubscribers = 3;
  const std::string name = name_;
  std::vector<std::unique_ptr<Process>> readers;
  for (std::size_t s = 0; s < kSubscribers; ++s) {
    readers.push_back(std::make_unique<Process>([&](Process& self) {
      Region region(name);
      Subscriber subscriber(region, "t", {});
      self.say();
      std::map<std::uint32_t, std::uint64_t> next;
      for (std::uint64_t i = 0; i < kPublishers * kMessages; ++i) {
        Subscriber::View view;
        if (subscriber.take(eventually(), view) != Look::taken) return 1;
        if (number_in(view) != next[view.publisher]++) return 2;
        subscriber.release(view);
      }
      return 0;
    }));
  }
  for (const auto& reader : readers) ASSERT_EQ(reader->hear(), '.');
  std::vector<std::unique_ptr<Process>> writers;
  for (std::size_t p = 0; p < kPublishers; ++p) {
    writers.push_back(std::make_unique<Process>([&](Process&) {
      Region region(name);
      Publisher publisher(region, "t", {.entries = 32});
      if (!publisher.wait_for_subscribers(kSubscribers, eventually())) return 1;
      for (std::uint64_t i = 0; i < kMessages; ++i) {
        if (publish_number(publisher, i, 64) != Room::yes) return 2;
      }
      return 0;
    }));
  }
  for (const auto& writer : writers) EXPECT_EQ(writer->wait(), 0);
  for (const auto& reader : readers) EXPECT_EQ(reader->wait(), 0);
}

TEST_F(RegionTest, WhoDropsLosesTheOldestAndIsTold) {
  Region region(name_);
  Publisher publisher(region, "t", {.block_bytes = 4096, .entries = 8});
  Subscriber subscriber(region, "t", {.overflow = Overflow::drop_oldest});
  std::vector<Subscriber::View> held(2);
  for (std::uint64_t i = 0; i < 100; ++i) {
    ASSERT_EQ(publish_number(publisher, i, 128, at_once()), Room::yes) << i;
    if (i < 2) {
      ASSERT_EQ(subscriber.take(at_once(), held[i]), Look::taken);
    }
  }
  EXPECT_EQ(number_in(held[0]), 0U);
  EXPECT_EQ(number_in(held[1]), 1U);
  Subscriber::View view;
  ASSERT_EQ(subscriber.take(at_once(), view), Look::taken);
  EXPECT_EQ(number_in(view), subscriber.dropped() + 2);
  EXPECT_GE(subscriber.dropped(), 90U);
  subscriber.release(view);
  for (const auto& one : held) subscriber.release(one);
}

TEST_F(RegionTest, WhoFailsMakesThePublisherFailAtOnce) {
  Region region(name_);
  Publisher publisher(region, "t", {.entries = 4});
  Subscriber subscriber(region, "t", {.overflow = Overflow::fail});
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_EQ(publish_number(publisher, i), Room::yes);
  EXPECT_EQ(publish_number(publisher, 4), Room::refused);
  EXPECT_EQ(publisher.slow_subscriber(), static_cast<std::uint32_t>(::getpid()));
  Subscriber::View view;
  ASSERT_EQ(subscriber.take(at_once(), view), Look::taken);
  subscriber.release(view);
  EXPECT_EQ(publish_number(publisher, 4), Room::yes);
}

TEST_F(RegionTest, HistoryIsKeptForWhoComesLater) {
  Region region(name_);
  Publisher publisher(region, "t", {.entries = 16, .history = 5});
  for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_EQ(publish_number(publisher, i), Room::yes);
  Subscriber all(region, "t", {.history = 5});
  Subscriber some(region, "t", {.history = 2});
  Subscriber::View view;
  for (std::uint64_t i = 995; i < 1000; ++i) {
    ASSERT_EQ(all.take(at_once(), view), Look::taken);
    EXPECT_EQ(number_in(view), i);
    all.release(view);
  }
  ASSERT_EQ(some.take(at_once(), view), Look::taken);
  EXPECT_EQ(number_in(view), 998U);
  some.release(view);
}

TEST_F(RegionTest, WhatIsTooLargeIsSaid) {
  Region region(name_);
  Publisher publisher(region, "t", {.block_bytes = 65536});
  Publisher::Loan loan;
  EXPECT_EQ(publisher.loan(65537, at_once(), loan), Room::too_large);
  ASSERT_EQ(publisher.loan(65536, at_once(), loan), Room::yes);
  EXPECT_EQ(publisher.publish(loan, 65537, at_once()), Room::too_large);
  Publisher::Loan second;
  EXPECT_EQ(publisher.loan(1, at_once(), second), Room::not_now);
  publisher.abandon(loan);
  EXPECT_EQ(publisher.loan(1, at_once(), second), Room::yes);
  publisher.abandon(second);
}

TEST_F(RegionTest, ASubscriberThatDiesHoldsNothingUp) {
  const std::string name = name_;
  Process reader([&](Process& self) {
    Region region(name);
    Subscriber subscriber(region, "t", {});
    self.say();
    Subscriber::View view;
    if (subscriber.take(eventually(), view) != Look::taken) return 1;
    self.say();
    self.hear();  // it is killed with the message in hand
    return 0;
  });
  Region region(name_);
  Publisher publisher(region, "t", {.entries = 4});
  ASSERT_EQ(reader.hear(), '.');
  ASSERT_TRUE(publisher.wait_for_subscribers(1, eventually()));
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_EQ(publish_number(publisher, i), Room::yes);
  ASSERT_EQ(reader.hear(), '.');
  EXPECT_EQ(publish_number(publisher, 4, 8, at_once()), Room::not_now);
  reader.kill();
  for (std::uint64_t i = 4; i < 100; ++i) ASSERT_EQ(publish_number(publisher, i), Room::yes);
  EXPECT_EQ(publisher.subscribers(), 0U);
  EXPECT_LE(publisher.used_blocks(), 4U);
}

TEST_F(RegionTest, WhatAPublisherPublishedBeforeItDiedArrives) {
  const std::string name = name_;
  Region region(name_);
  Subscriber subscriber(region, "t", {});
  Process writer([&](Process& self) {
    Region own(name);
    Publisher publisher(own, "t", {});
    if (!publisher.wait_for_subscribers(1, eventually())) return 1;
    for (std::uint64_t i = 0; i < 100; ++i) {
      if (publish_number(publisher, i, 4096) != Room::yes) return 2;
    }
    self.say();
    self.hear();
    return 0;
  });
  Subscriber::View first;
  ASSERT_EQ(subscriber.take(eventually(), first), Look::taken);
  ASSERT_EQ(writer.hear(), '.');
  writer.kill();
  for (std::uint64_t i = 1; i < 100; ++i) {
    Subscriber::View view;
    ASSERT_EQ(subscriber.take(eventually(), view), Look::taken);
    EXPECT_EQ(number_in(view), i);
    subscriber.release(view);
  }
  EXPECT_EQ(number_in(first), 0U);
  Subscriber::View none;
  EXPECT_EQ(subscriber.take(at_once(), none), Look::nothing_there);
  EXPECT_EQ(subscriber.publishers(), 0U);
  subscriber.release(first);
}

TEST_F(RegionTest, ASubscriberCannotWriteIntoAMessage) {
  Region region(name_);
  Publisher publisher(region, "t", {});
  Subscriber subscriber(region, "t", {});
  ASSERT_EQ(publish_number(publisher, 7), Room::yes);
  Subscriber::View view;
  ASSERT_EQ(subscriber.take(at_once(), view), Look::taken);
  EXPECT_DEATH(*const_cast<volatile std::byte*>(view.data.data()) = std::byte{1},
               "");  // a signal, which a sanitizer turns into an exit
  subscriber.release(view);
}

TEST_F(RegionTest, WhoSubscribedFirstGetsEverythingThoughItLooksLate) {
  Region region(name_);
  Subscriber blocks(region, "t", {});
  Subscriber drops(region, "t", {.overflow = Overflow::drop_oldest});
  Publisher publisher(region, "t", {.entries = 4});
  EXPECT_EQ(publisher.subscribers(), 0U) << "they have not mapped its memory yet";
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_EQ(publish_number(publisher, i), Room::yes);
  EXPECT_EQ(publish_number(publisher, 4, 8, at_once()), Room::not_now);
  Subscriber::View view;
  for (std::uint64_t i = 0; i < 4; ++i) {
    ASSERT_EQ(blocks.take(at_once(), view), Look::taken);
    EXPECT_EQ(number_in(view), i);
    blocks.release(view);
  }
  EXPECT_EQ(blocks.dropped(), 0U);
  EXPECT_EQ(publisher.subscribers(), 1U);
  ASSERT_EQ(publish_number(publisher, 4), Room::yes);
  ASSERT_EQ(drops.take(at_once(), view), Look::taken);
  EXPECT_EQ(number_in(view), drops.dropped());
  drops.release(view);
}

TEST_F(RegionTest, APublisherThatGoesBeforeAnybodyLooksLeavesNoCursor) {
  Region region(name_);
  Subscriber subscriber(region, "t", {});
  for (int i = 0; i < 3000; ++i) Publisher(region, "t", {.block_bytes = 4096});
  Subscriber::View view;
  EXPECT_EQ(subscriber.take(at_once(), view), Look::nothing_there);
}

TEST_F(RegionTest, AnEventLoopIsWokenForAMessage) {
  const std::string name = name_;
  Process writer([&](Process& self) {
    Region region(name);
    Publisher publisher(region, "t", {});
    if (!publisher.wait_for_subscribers(1, eventually())) return 1;
    for (std::uint64_t i = 0; i < 100; ++i) {
      if (self.hear() != '.' || publish_number(publisher, i) != Room::yes) return 2;
    }
    self.hear();
    return 0;
  });
  Region region(name_);
  Subscriber subscriber(region, "t", {});
  std::uint64_t next = 0;
  while (next < 100) {
    if (subscriber.arm()) {
      if (subscriber.publishers() == 1) writer.say();
      pollfd ready{subscriber.fd(), POLLIN, 0};
      ASSERT_EQ(::poll(&ready, 1, 60'000), 1);
    }
    subscriber.disarm();
    Subscriber::View view;
    while (subscriber.take(at_once(), view) == Look::taken) {
      ASSERT_EQ(number_in(view), next++);
      subscriber.release(view);
    }
  }
}

}  // namespace
}  // namespace slotwire::blocks::test
