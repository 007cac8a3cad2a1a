// The cache header of a record, as a hostile peer may write it.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "runtime/client/cache_use.hpp"

namespace slotwire::client {
namespace {

using slot::RecordKind;

std::vector<std::byte> payload_of(const CacheHeader& header, std::size_t following) {
  std::vector<std::byte> payload(sizeof header + following, std::byte{'k'});
  std::memcpy(payload.data(), &header, sizeof header);
  return payload;
}

TEST(CacheNote, IsTakenFromTheFrontOfAPayload) {
  const auto payload = payload_of({.ttl_ms = 5, .key_length = 3, .tag = 9}, 10);
  const auto note = CacheNote::of(RecordKind::reply, payload);
  ASSERT_TRUE(note);
  EXPECT_EQ(note->header.ttl_ms, 5U);
  EXPECT_EQ(note->header.tag, 9U);
  EXPECT_EQ(note->key.size(), 3U);
  EXPECT_EQ(note->key.data(), payload.data() + sizeof(CacheHeader));
  EXPECT_EQ(note->bytes, sizeof(CacheHeader) + 3);
  EXPECT_TRUE(CacheNote::of(RecordKind::reply, payload_of({.key_length = 1024}, 1024)));
  EXPECT_TRUE(CacheNote::of(RecordKind::message, payload_of({.word = CacheWord::tell_me}, 0)));
}

TEST(CacheNote, ADamagedOneIsRefused) {
  EXPECT_FALSE(CacheNote::of(RecordKind::reply, {}));
  EXPECT_FALSE(CacheNote::of(RecordKind::reply, std::vector<std::byte>(sizeof(CacheHeader) - 1)));
  EXPECT_FALSE(CacheNote::of(RecordKind::reply, payload_of({.key_length = 11}, 10)))
      << "the key ends after the payload";
  EXPECT_FALSE(CacheNote::of(RecordKind::reply, payload_of({.key_length = 1025}, 2000)));
  EXPECT_FALSE(CacheNote::of(RecordKind::reply, payload_of({.reserved = 1}, 0)));
  EXPECT_FALSE(CacheNote::of(RecordKind::reply, payload_of({.word = CacheWord::forget_all}, 0)));
  EXPECT_FALSE(CacheNote::of(RecordKind::message, payload_of({.word = CacheWord::keep}, 0)));
  EXPECT_FALSE(CacheNote::of(RecordKind::message, payload_of({.word = static_cast<CacheWord>(5)}, 0)));
}

TEST(CacheNote, AnyBytesAreRefusedOrStayInside) {
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> payload(random() % 64);
    for (std::byte& byte : payload) byte = static_cast<std::byte>(random() % (round % 2 == 0 ? 256 : 8));
    for (const RecordKind kind : {RecordKind::reply, RecordKind::message}) {
      const auto note = CacheNote::of(kind, payload);
      if (!note) continue;
      EXPECT_LE(note->bytes, payload.size());
      EXPECT_EQ(note->key.data() + note->key.size(), payload.data() + note->bytes);
    }
  }
}

}  // namespace
}  // namespace slotwire::client
