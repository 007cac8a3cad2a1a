#include <gtest/gtest.h>

#include <random>

#include "core/carriers/message_stream.hpp"

namespace slotwire::carriers {
namespace {

std::vector<std::byte> framed(const std::string& message, std::uint32_t length) {
  std::vector<std::byte> bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::byte>(length >> shift));
  const auto body = std::as_bytes(std::span(message));
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

std::vector<std::byte> framed(const std::string& message) {
  return framed(message, static_cast<std::uint32_t>(message.size()));
}

TEST(CarrierMessageParser, FindsMessagesInAnyPieces) {
  std::mt19937 random(23);
  std::vector<std::string> sent;
  std::vector<std::byte> bytes;
  for (int i = 0; i < 200; ++i) {
    sent.emplace_back(1 + random() % 1000, static_cast<char>('a' + i % 26));
    const auto one = framed(sent.back());
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  for (const std::size_t largest : {std::size_t{1}, std::size_t{7}, std::size_t{5000}}) {
    MessageParser parser(1000);
    std::vector<std::string> got;
    std::span<const std::byte> left(bytes);
    while (!left.empty()) {
      left = left.subspan(parser.feed(left.first(std::min(left.size(), 1 + random() % largest))));
      if (auto message = parser.next()) got.push_back(*message);
      ASSERT_FALSE(parser.failed());
    }
    EXPECT_EQ(got, sent);
    EXPECT_FALSE(parser.next());
  }
}

TEST(CarrierMessageParser, TakesNothingMoreUntilAWholeMessageIsFetched) {
  MessageParser parser(100);
  auto bytes = framed("one");
  const std::size_t first = bytes.size();
  const auto second = framed("two");
  bytes.insert(bytes.end(), second.begin(), second.end());
  EXPECT_EQ(parser.feed(bytes), first);
  EXPECT_EQ(parser.feed(second), 0U);
  EXPECT_EQ(parser.next(), "one");
  EXPECT_EQ(parser.feed(second), second.size());
  EXPECT_EQ(parser.next(), "two");
}

TEST(CarrierMessageParser, RefusesHostileLengths) {
  for (const std::uint32_t length : {0U, 101U, 0x7FFFFFFFU, 0xFFFFFFFFU, 0x47455420U /* "GET " */}) {
    MessageParser parser(100);
    EXPECT_EQ(parser.feed(framed("whatever", length)), 4U);
    EXPECT_TRUE(parser.failed());
    EXPECT_EQ(parser.refused_length(), length);
    EXPECT_FALSE(parser.next());
    EXPECT_EQ(parser.feed(framed("fine")), 0U) << "nothing is taken after a failure";
  }
  MessageParser parser(100);
  const std::string longest(100, 'x');
  parser.feed(framed(longest));
  EXPECT_EQ(parser.next(), longest);
}

}  // namespace
}  // namespace slotwire::carriers
