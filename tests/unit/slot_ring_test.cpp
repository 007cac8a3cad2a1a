// Marks and the two ends of a ring.
#include "core/slot/ring.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace {
using namespace slotwire;
using slot::Consumer;
using slot::Position;
using slot::Producer;
using slot::RingView;

struct Ring {
  explicit Ring(unsigned order, Position start = 0)
      : memory(regs::kLineBytes << order),
        tail(start),
        head(start),
        view{memory.data(), order, false},
        producer(view, tail, head),
        consumer(view, head, tail) {}
  void write(std::uint8_t value) {
    const auto place = producer.reserve(1);
    ASSERT_EQ(place.size(), regs::kLineBytes);
    std::fill(place.begin(), place.end(), static_cast<std::byte>(value));
    producer.commit(1);
  }
  int read() {
    const auto lines = consumer.peek();
    if (lines.empty()) return -1;
    const int value = static_cast<int>(lines.front());
    consumer.release(1);
    return value;
  }
  std::vector<std::byte> memory;
  std::atomic<Position> tail, head;
  RingView view;
  Producer producer;
  Consumer consumer;
};

// The two-state mark device: a ring of one line. Process and proxy each have one mark; what one may do is what the
// other's change allows, and nothing else.
TEST(SlotMarks, ARingOfOneLineIsTheTwoStateMarkDevice) {
  for (const Position start : {Position{0}, Position{0xffff'ffff}}) {
    Position in_tail = start, in_head = start, sent = start;  // input space
    Position out_tail = start, out_head = start;              // output space
    const auto expect = [&](bool writable, bool readable_by_proxy, bool writable_by_proxy, bool readable,
                            const char* when) {
      EXPECT_EQ(slot::process_may_write(in_tail, in_head, 1), writable) << when;
      EXPECT_EQ(slot::proxy_may_read(in_tail, sent), readable_by_proxy) << when;
      EXPECT_EQ(slot::proxy_may_write(out_tail, out_head, 1), writable_by_proxy) << when;
      EXPECT_EQ(slot::process_may_read(out_tail, out_head), readable) << when;
    };
    expect(true, false, true, false, "at the start");
    ++in_tail;  // the process's change makes it not writable, and readable for the proxy
    expect(false, true, true, false, "produced");
    ++sent;  // sent, and not yet known to have arrived
    expect(false, false, true, false, "sent");
    ++in_head;  // the proxy's change makes it writable again
    expect(true, false, true, false, "released");
    ++out_tail;  // the proxy's change makes it not writable for the proxy, and readable
    expect(true, false, false, true, "delivered");
    ++out_head;  // the process's change makes it not readable, and writable for the proxy
    expect(true, false, true, false, "consumed");
  }
}

TEST(SlotRing, ARingOfOneLineAlternates) {
  Ring ring(0, 0xffff'fffe);
  for (std::uint8_t i = 0; i < 10; ++i) {
    EXPECT_EQ(ring.producer.writable(), 1U);
    EXPECT_EQ(ring.consumer.readable(), 0U);
    ring.write(i);
    EXPECT_EQ(ring.producer.writable(), 0U);
    EXPECT_TRUE(ring.producer.reserve(1).empty());
    EXPECT_EQ(ring.consumer.readable(), 1U);
    EXPECT_EQ(ring.read(), i);
    EXPECT_EQ(ring.read(), -1);
  }
  EXPECT_EQ(ring.tail.load(), 8U) << "the mark wrapped";
}

TEST(SlotRing, LinesComeOutInOrderOverTheWrap) {
  Ring ring(3, 0xffff'fff0);
  int next = 0, expected = 0;
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 1 + round % 8 && ring.producer.writable() != 0; ++i)
      ring.write(static_cast<std::uint8_t>(next++));
    for (int i = 0; i < 1 + round % 5; ++i) {
      const int value = ring.read();
      if (value < 0) break;
      ASSERT_EQ(value, expected++ & 0xff);
    }
  }
  EXPECT_GT(expected, 80);
}

TEST(SlotRing, AnUnmirroredRingGivesRunsUpToItsEnd) {
  Ring ring(3, 5);
  EXPECT_EQ(ring.producer.writable(8), 8U);
  EXPECT_EQ(ring.producer.reserve(8).size(), 3 * regs::kLineBytes);
  ring.producer.commit(3);
  EXPECT_EQ(ring.producer.reserve(8).size(), 5 * regs::kLineBytes);
  ring.producer.commit(5);
  EXPECT_EQ(ring.consumer.readable(), 8U);
  EXPECT_EQ(ring.consumer.peek().size(), 3 * regs::kLineBytes);
}

TEST(SlotRing, AnEndTakesUpAtTheMarksAsTheyStand) {
  Ring ring(2, 7);
  ring.write(1);
  ring.write(2);
  Producer producer(ring.view, ring.tail, ring.head);
  Consumer consumer(ring.view, ring.head, ring.tail);
  EXPECT_EQ(producer.writable(4), 2U);
  EXPECT_EQ(producer.outstanding(), 2U);
  EXPECT_EQ(consumer.readable(4), 2U);
}

TEST(SlotRing, AHostileHeadBreaksTheProducerForEver) {
  // Lines 10 and 11 are out, so the head may stand at 10, 11 or 12.
  for (const Position hostile : {Position{9}, Position{13}, Position{10U + 0x8000'0000U}, Position{0xffff'ffff}}) {
    Ring ring(2, 10);
    ring.write(1);
    ring.write(2);
    ring.head.store(hostile);
    EXPECT_EQ(ring.producer.writable(4), 0U) << hostile;
    EXPECT_TRUE(ring.producer.broken()) << hostile;
    ring.head.store(10);
    EXPECT_EQ(ring.producer.writable(4), 0U) << "broken is for good";
    EXPECT_TRUE(ring.producer.reserve(1).empty());
    EXPECT_EQ(ring.producer.outstanding(), 0U);
  }
}

TEST(SlotRing, AHostileTailBreaksTheConsumerForEver) {
  // The consumer stands at 10 and knows of 2 lines in a ring of 4: the tail may stand at 12, 13 or 14.
  for (const Position hostile : {Position{15}, Position{11}, Position{9}, Position{10U + 0x8000'0000U}}) {
    Ring ring(2, 10);
    ring.write(1);
    ring.write(2);
    EXPECT_EQ(ring.consumer.readable(2), 2U);
    ring.tail.store(hostile);
    EXPECT_EQ(ring.consumer.readable(4), 0U) << hostile;
    EXPECT_TRUE(ring.consumer.broken()) << hostile;
    ring.tail.store(12);
    EXPECT_EQ(ring.consumer.readable(4), 0U) << "broken is for good";
    EXPECT_TRUE(ring.consumer.peek().empty());
  }
}

TEST(SlotRing, MarksThatCannotBeBreakAnEndFromTheStart) {
  std::vector<std::byte> memory(regs::kLineBytes << 2);
  const RingView view{memory.data(), 2, false};
  std::atomic<Position> tail{10}, head{5};
  EXPECT_TRUE(Producer(view, tail, head).broken());
  EXPECT_TRUE(Consumer(view, head, tail).broken());
  head = 6;
  EXPECT_FALSE(Producer(view, tail, head).broken());
  EXPECT_EQ(Consumer(view, head, tail).readable(4), 4U);
}

}  // namespace
