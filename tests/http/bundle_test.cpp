#include "core/http_stream/bundle.hpp"

#include <gtest/gtest.h>

#include <cstdio>

#include "core/pipeline/crc32c.hpp"
#include "http/pair.hpp"

namespace slotwire::http_stream {
namespace {

Bundle example(const Bytes& first, const Bytes& second) {
  Bundle bundle;
  bundle.key = key_of(7);
  bundle.sequence = 9;
  bundle.outstanding = 5;
  bundle.hold_ms = 25'000;
  bundle.round_trip_us = 2'000;
  bundle.wanted = 1;
  bundle.next = 4;
  bundle.ranges = {{6, 2}};
  bundle.credit = 131'072;
  bundle.parts = {{3, false, first}, {4, true, second}};
  return bundle;
}

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  char digits[4];
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::snprintf(digits, sizeof digits, "%02x", std::to_integer<unsigned>(bytes[i]));
    text += digits;
  }
  return text;
}

/// Sets the checksum of a body that a test has changed.
void sign(Bytes& body) {
  for (std::size_t i = 4; i < 8; ++i) body[i] = std::byte{0};
  const std::uint32_t crc = pipeline::crc32c(0, body);
  for (std::size_t i = 0; i < 4; ++i) body[4 + i] = static_cast<std::byte>(crc >> (24 - 8 * i));
}

TEST(HttpBundle, TheWorkedExampleOfTheReferenceIsWhatTheCodeWrites) {
  const Bytes first = bytes_of("Hello"), second = bytes_of("a part");
  EXPECT_EQ(hex(encode(example(first, second))), SLOTWIRE_HTTP_EXAMPLE);
}

TEST(HttpBundle, EverythingThatIsWrittenIsRead) {
  const Bytes first = bytes_of("Hello"), second = bytes_of("a part");
  Bundle bundle = example(first, second);
  bundle.set(kFlagClose);
  bundle.reason = {CloseCode::done, "bye"};
  bundle.end = 12;
  bundle.parts.push_back({20, false, first});
  const Bytes body = encode(bundle);
  const auto decoded = decode(body);
  ASSERT_TRUE(decoded.ok()) << decoded.error().text;
  const Bundle& read = decoded.value();
  EXPECT_EQ(read.key, bundle.key);
  EXPECT_EQ(read.sequence, 9U);
  EXPECT_EQ(read.outstanding, 5U);
  EXPECT_EQ(read.hold_ms, 25'000U);
  EXPECT_EQ(read.round_trip_us, 2'000U);
  EXPECT_EQ(read.wanted, 1U);
  EXPECT_EQ(read.next, 4U);
  EXPECT_EQ(read.ranges, bundle.ranges);
  EXPECT_EQ(read.credit, 131'072U);
  EXPECT_EQ(read.reason, bundle.reason);
  EXPECT_EQ(read.end, 12U);
  ASSERT_EQ(read.parts.size(), 3U);
  EXPECT_EQ(read.parts[1].number, 4U);
  EXPECT_TRUE(read.parts[1].continues);
  EXPECT_EQ(text_of(read.parts[1].bytes), "a part");
  EXPECT_EQ(read.parts[2].number, 20U);
}

TEST(HttpBundle, EveryChangedBitIsNoticed) {
  const Bytes text = bytes_of("some text that is sent");
  const Bytes body = encode(example(text, text));
  for (std::size_t bit = 0; bit < 8 * body.size(); ++bit) {
    Bytes changed = body;
    changed[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(decode(changed).ok()) << "bit " << bit;
  }
}

TEST(HttpBundle, EveryShorterBodyIsRefusedEvenWithARightChecksum) {
  const Bytes text = bytes_of("some text that is sent");
  const Bytes body = encode(example(text, text));
  for (std::size_t length = 0; length < body.size(); ++length) {
    Bytes cut(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(decode(cut).ok()) << length;
    if (length < kHeaderBytes) continue;
    sign(cut);
    EXPECT_FALSE(decode(cut).ok()) << length;
  }
  Bytes longer = body;
  longer.push_back(std::byte{0});
  sign(longer);
  EXPECT_FALSE(decode(longer).ok());
}

TEST(HttpBundle, FieldsThatContradictEachOtherAreRefused) {
  const Bytes text = bytes_of("x");
  const auto refused = [&](auto change) {
    Bundle bundle = example(text, text);
    change(bundle);
    return !decode(encode(bundle)).ok();
  };
  EXPECT_FALSE(refused([](Bundle&) {}));
  EXPECT_TRUE(refused([](Bundle& b) { b.flags = 0x100; }));
  EXPECT_TRUE(refused([](Bundle& b) { b.key = {}; }));
  EXPECT_TRUE(refused([](Bundle& b) { b.sequence = 0; }));
  EXPECT_TRUE(refused([](Bundle& b) { b.outstanding = 4; }));
  EXPECT_TRUE(refused([](Bundle& b) { b.set(kFlagOpen); }));
  EXPECT_TRUE(refused([](Bundle& b) { b.set(kFlagUnknown); }));
  EXPECT_TRUE(refused([](Bundle& b) { b.ranges = {{4, 1}}; })) << "a range that touches what was received";
  EXPECT_TRUE(refused([](Bundle& b) { std::swap(b.parts[0], b.parts[1]); })) << "runs that fall";
  EXPECT_TRUE(refused([](Bundle& b) { b.set(kFlagClose); })) << "an end without a reason";
}

TEST(HttpBundle, LengthsThatAreClaimedCostNothing) {
  // Ranges, runs and parts that are claimed and not there: refused at the first one that is missing.
  Bytes body = encode(example(bytes_of("x"), bytes_of("y")));
  constexpr std::size_t kRanges = 66, kRuns = 67;
  for (const std::size_t at : {kRanges, kRuns}) {
    Bytes changed = body;
    changed[at] = std::byte{0xff};
    sign(changed);
    EXPECT_FALSE(decode(changed).ok());
    changed[at] = std::byte{32};
    sign(changed);
    EXPECT_FALSE(decode(changed).ok());
  }
  EXPECT_FALSE(decode(Bytes(kMaxBundleBytes + 1)).ok());
}

TEST(HttpBundle, RandomBodiesWithARightChecksumAreReadOrRefused) {
  std::uint64_t state = 88'172'645'463'325'252U;
  const auto random = [&] { return state ^= state << 13U, state ^= state >> 7U, state ^= state << 17U; };
  const Bytes text = bytes_of("0123456789");
  const Bytes body = encode(example(text, text));
  for (int i = 0; i < 50'000; ++i) {
    Bytes changed = body;
    for (std::uint64_t n = random() % 4 + 1; n > 0; --n) {
      changed[8 + random() % (changed.size() - 8)] = static_cast<std::byte>(random());
    }
    sign(changed);
    if (const auto decoded = decode(changed); decoded.ok()) {
      for (const PartView& part : decoded.value().parts) EXPECT_LE(part.bytes.size(), changed.size());
    }
  }
}

}  // namespace
}  // namespace slotwire::http_stream
