// Records in a mirrored ring.
#include "core/slot/record.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "core/slot/memory.hpp"

namespace {
using namespace slotwire;
using slot::Position;
using slot::RecordHeader;
using slot::RecordKind;

constexpr unsigned kOrder = 6;
constexpr std::size_t kCapacity = (64 * regs::kLineBytes) - slot::kRecordHeaderBytes;

struct Ring {
  explicit Ring(Position start = 0)
      : file(slot::create_sealed_file("test", slot::space_file_bytes(kOrder))),
        space(file.get(), kOrder, slot::Access::read_write),
        tail(start),
        head(start),
        writer(slot::Producer({space.ring(), kOrder, true}, tail, head)),
        reader(slot::Consumer({space.ring(), kOrder, true}, head, tail)) {}
  slot::Fd file;
  slot::Space space;
  std::atomic<Position> tail, head;
  slot::RecordWriter writer;
  slot::RecordReader reader;
};

std::vector<std::byte> payload_of(std::size_t length) {
  std::mt19937 random(static_cast<std::uint32_t>(length));
  std::vector<std::byte> bytes(length);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0xff);
  return bytes;
}

TEST(SlotRecord, EveryLengthUpToTheRingArrivesInOnePiece) {
  Ring ring(0xffff'ff80);  // the counter wraps, and records start at every line of the ring
  for (std::size_t length = 0; length <= kCapacity; ++length) {
    const auto payload = payload_of(length);
    const RecordHeader header{
        .kind = RecordKind::request, .code = 7, .id = static_cast<std::uint32_t>(length), .deadline_us = 9};
    ASSERT_TRUE(ring.writer.write(header, payload)) << length;
    const auto view = ring.reader.peek();
    ASSERT_TRUE(view) << length;
    ASSERT_EQ(view->header.length, length);
    ASSERT_EQ(view->header.id, length);
    ASSERT_EQ(view->header.code, 7);
    ASSERT_EQ(view->lines, (length + 16 + 63) / 64);
    ASSERT_TRUE(std::equal(payload.begin(), payload.end(), view->payload.begin(), view->payload.end())) << length;
    ring.reader.release(*view);
    ASSERT_FALSE(ring.reader.peek());
  }
  EXPECT_EQ(ring.writer.capacity(), kCapacity);
  EXPECT_FALSE(ring.writer.write({}, payload_of(kCapacity + 1))) << "more than the ring ever holds";
}

TEST(SlotRecord, AMessageOf48BytesIsOneLine) {
  EXPECT_EQ(slot::record_lines(0), 1U);
  EXPECT_EQ(slot::record_lines(48), 1U);
  EXPECT_EQ(slot::record_lines(49), 2U);
}

TEST(SlotRecord, WhatDoesNotFitNowIsRefusedAndFitsLater) {
  Ring ring;
  std::size_t written = 0;
  while (ring.writer.write({}, payload_of(200))) ++written;
  EXPECT_EQ(written, 16U);
  EXPECT_EQ(ring.writer.room(), 0U);
  ring.reader.release(*ring.reader.peek());
  EXPECT_EQ(ring.writer.room(), 4 * regs::kLineBytes - slot::kRecordHeaderBytes);
  EXPECT_TRUE(ring.writer.write({}, payload_of(200)));
}

TEST(SlotRecord, AReservedRecordIsNotSeenBeforeItsCommitAndMayShrink) {
  Ring ring;
  const auto place = ring.writer.reserve(300);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->size(), 300U);
  EXPECT_FALSE(ring.reader.peek());
  const auto payload = payload_of(10);
  std::copy(payload.begin(), payload.end(), place->begin());
  ring.writer.commit({.length = 10});
  const auto view = ring.reader.peek();
  ASSERT_TRUE(view);
  EXPECT_EQ(view->lines, 1U);
  EXPECT_TRUE(std::equal(payload.begin(), payload.end(), view->payload.begin(), view->payload.end()));
}

TEST(SlotRecord, ARecordOfWhichLinesAreMissingIsWaitedFor) {
  Ring ring;
  RecordHeader header;
  header.length = 200;  // 4 lines
  std::memcpy(ring.space.ring(), &header, sizeof header);
  for (Position lines = 1; lines < 4; ++lines) {
    ring.tail = lines;
    EXPECT_FALSE(ring.reader.peek());
    EXPECT_FALSE(ring.reader.broken());
  }
  ring.tail = 4;
  EXPECT_TRUE(ring.reader.peek());
}

TEST(SlotRecord, TheReaderKnowsHowFarTheTailMustCome) {
  Ring ring(0xffff'ffff);
  const Position start = ring.head;
  EXPECT_EQ(ring.reader.needs(), start + 1) << "nothing is there: any line is of interest";
  ASSERT_TRUE(ring.writer.write({}, payload_of(5 * regs::kLineBytes)));
  const Position end = ring.tail;
  ring.tail = start + 1;  // as a proxy delivers it: the first line, then the others
  EXPECT_FALSE(ring.reader.peek());
  EXPECT_EQ(ring.reader.needs(), end);
  ring.tail = end - 1;
  EXPECT_EQ(ring.reader.needs(), end);
  ring.tail = end;
  const auto view = ring.reader.peek();
  ASSERT_TRUE(view);
  EXPECT_EQ(ring.reader.needs(view->lines), end + 1) << "behind a record that is held";
  ring.reader.release(*view);
  EXPECT_EQ(ring.reader.needs(), end + 1);
}

TEST(SlotRecord, ARecordThatCannotComeIsNoReasonToSleepOn) {
  Ring ring;
  const RecordHeader header{.length = 0xffff'ffff};
  std::memcpy(ring.space.ring(), &header, sizeof header);
  ring.tail = 1;
  EXPECT_EQ(ring.reader.needs(), 1U);
  EXPECT_EQ(ring.reader.needs(1), 2U);
}

TEST(SlotRecord, HostileHeadersBreakTheReaderForEver) {
  const auto with = [](auto&& change) {
    RecordHeader header;
    change(header);
    return header;
  };
  const RecordHeader cases[] = {
      with([](RecordHeader& h) { h.length = static_cast<std::uint32_t>(kCapacity) + 1; }),
      with([](RecordHeader& h) { h.length = 0xffff'ffff; }),
      with([](RecordHeader& h) { h.kind = static_cast<RecordKind>(0); }),
      with([](RecordHeader& h) { h.kind = static_cast<RecordKind>(8); }),
      with([](RecordHeader& h) { h.kind = static_cast<RecordKind>(255); }),
      with([](RecordHeader& h) { h.flags = 8; }),
      with([](RecordHeader& h) { h.flags = 0xff; }),
      with([](RecordHeader& h) {
        h.kind = RecordKind::error;
        h.flags = slotwire::slot::kWhole | slotwire::slot::kCacheable;
      }),
      with([](RecordHeader& h) {
        h.kind = RecordKind::stream;
        h.flags = slotwire::slot::kWhole | slotwire::slot::kCacheable;
      }),
  };
  for (const RecordHeader& header : cases) {
    Ring ring;
    std::memcpy(ring.space.ring(), &header, sizeof header);
    ring.tail = 64;
    EXPECT_FALSE(ring.reader.peek());
    EXPECT_TRUE(ring.reader.broken());
    const RecordHeader good;
    std::memcpy(ring.space.ring(), &good, sizeof good);
    EXPECT_FALSE(ring.reader.peek()) << "broken is for good";
  }
}

TEST(SlotRecord, RandomRingsNeverLeadOutside) {
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    Ring ring(static_cast<Position>(random()));
    for (std::size_t i = 0; i < 64 * regs::kLineBytes; i += 4) {
      const auto word = static_cast<std::uint32_t>(random()) >> (random() % 32);
      std::memcpy(ring.space.ring() + i, &word, 4);
    }
    ring.tail = ring.head.load() + static_cast<Position>(random() % 65);
    std::uint32_t lines = 0;
    while (const auto view = ring.reader.peek()) {
      ASSERT_GE(view->payload.data(), ring.space.ring());
      ASSERT_LE(view->payload.data() + view->payload.size(), ring.space.ring() + 2 * 64 * regs::kLineBytes);
      lines += view->lines;
      ASSERT_LE(lines, 64U);
      ring.reader.release(*view);
    }
  }
}

}  // namespace
