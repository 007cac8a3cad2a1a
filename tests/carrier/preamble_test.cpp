#include "core/carriers/preamble.hpp"

#include <gtest/gtest.h>

#include <random>

namespace slotwire::carriers {
namespace {

using State = PreambleReader::State;

/// Feeds as much as the reader wants, at most `piece` bytes at a time. Returns the state and how much was taken.
std::pair<State, std::size_t> feed(PreambleReader& reader, std::span<const std::byte> bytes, std::size_t piece) {
  std::size_t taken = 0;
  State state = State::more;
  while (state == State::more && taken < bytes.size()) {
    const auto wanted = reader.wanted();
    const std::size_t count = std::min({wanted.size(), piece, bytes.size() - taken});
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(taken), count, wanted.begin());
    taken += count;
    state = reader.filled(count);
  }
  return {state, taken};
}

Preamble sample(std::size_t name_length) {
  Preamble preamble{std::string(name_length, 'n'), {}};
  for (std::size_t i = 0; i < preamble.token.size(); ++i) preamble.token[i] = static_cast<std::byte>(i * 7);
  return preamble;
}

TEST(CarrierPreamble, ComesBackFromAnyPiecesAndLeavesTheRest) {
  for (const std::size_t length : {std::size_t{1}, std::size_t{9}, kMaxName}) {
    const Preamble sent = sample(length);
    auto bytes = encode_preamble(sent);
    const std::size_t size = bytes.size();
    bytes.resize(size + 50, std::byte{0xAA});
    for (std::size_t piece = 1; piece < 100; ++piece) {
      PreambleReader reader;
      const auto [state, taken] = feed(reader, bytes, piece);
      ASSERT_EQ(state, State::done);
      ASSERT_EQ(taken, size);
      ASSERT_EQ(reader.preamble().node, sent.node);
      ASSERT_EQ(reader.preamble().token, sent.token);
    }
  }
}

TEST(CarrierPreamble, RefusesWhatIsNone) {
  const auto state_after = [](std::size_t at, int value) {
    auto bytes = encode_preamble(sample(5));
    bytes[at] = static_cast<std::byte>(value);
    PreambleReader reader;
    return feed(reader, bytes, bytes.size()).first;
  };
  for (std::size_t at = 0; at < 4; ++at) EXPECT_EQ(state_after(at, 'x'), State::bad_magic);
  EXPECT_EQ(state_after(4, kPreambleVersion + 1), State::bad_version);
  EXPECT_EQ(state_after(5, 0), State::bad_name);
  EXPECT_EQ(state_after(5, kMaxName + 1), State::bad_name);
  EXPECT_EQ(state_after(5, 255), State::bad_name);
  for (const int value : {0x00, 0x2F, 0x2E, 0x41, 0x0A, 0xC3})
    EXPECT_EQ(state_after(8, value), State::bad_name) << value;
}

TEST(CarrierPreamble, WelcomeIsCheckedToo) {
  for (const auto status : {Welcome::accepted, Welcome::refused, Welcome::version}) {
    EXPECT_EQ(decode_welcome(encode_welcome(status)), status);
  }
  auto bytes = encode_welcome(Welcome::accepted);
  bytes[5] = std::byte{99};
  EXPECT_EQ(decode_welcome(bytes), Welcome::refused);
  bytes[4] = std::byte{9};
  EXPECT_EQ(decode_welcome(bytes), Welcome::version);
  bytes[0] = std::byte{'H'};
  EXPECT_EQ(decode_welcome(bytes), std::nullopt);
}

TEST(CarrierFrameReader, CutsAnyPiecesIntoTheSameFrames) {
  std::mt19937 random(17);
  std::vector<std::vector<std::byte>> sent;
  std::vector<std::byte> bytes;
  for (int i = 0; i < 400; ++i) {
    const std::size_t size = i % 50 == 0 ? FrameReader::kMaxFrame : random() % 3000;
    sent.emplace_back(size, static_cast<std::byte>(i));
    bytes.push_back(static_cast<std::byte>(size >> 8U));
    bytes.push_back(static_cast<std::byte>(size & 0xFFU));
    bytes.insert(bytes.end(), sent.back().begin(), sent.back().end());
  }
  for (const std::size_t largest : {std::size_t{1000}, std::size_t{70'000}, std::size_t{1'000'000}}) {
    FrameReader reader;
    std::size_t taken = 0, seen = 0;
    for (;;) {
      while (const auto frame = reader.next()) {
        ASSERT_LT(seen, sent.size());
        ASSERT_TRUE(std::equal(frame->begin(), frame->end(), sent[seen].begin(), sent[seen].end())) << seen;
        ++seen;
      }
      ASSERT_FALSE(reader.failed());
      if (taken == bytes.size()) break;
      const auto wanted = reader.wanted();
      ASSERT_FALSE(wanted.empty());
      const std::size_t count = std::min({wanted.size(), 1 + random() % largest, bytes.size() - taken});
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(taken), count, wanted.begin());
      reader.filled(count);
      taken += count;
    }
    EXPECT_EQ(seen, sent.size());
  }
}

TEST(CarrierFrameReader, RefusesALengthAboveTheLargestFrame) {
  for (const std::size_t length : {FrameReader::kMaxFrame + 1, std::size_t{65535}}) {
    FrameReader reader;
    const auto wanted = reader.wanted();
    wanted[0] = static_cast<std::byte>(length >> 8U);
    wanted[1] = static_cast<std::byte>(length & 0xFFU);
    reader.filled(2);
    EXPECT_FALSE(reader.next());
    EXPECT_TRUE(reader.failed());
    reader.clear();
    EXPECT_FALSE(reader.failed());
  }
}

}  // namespace
}  // namespace slotwire::carriers
