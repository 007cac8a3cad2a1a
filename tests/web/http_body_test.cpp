// Bodies of HTTP messages: framing told from data, in whatever pieces they come.
#include <gtest/gtest.h>

#include <string>

#include "web/http/body.hpp"
#include "web/http/text.hpp"

namespace slotwire::web::http {
namespace {

struct Outcome {
  std::string data, rest;
  bool done = false, invalid = false;
  bool operator==(const Outcome&) const = default;
};

Outcome read(const Framing& framing, std::string_view text, std::size_t step) {
  BodyReader reader(framing);
  Outcome outcome;
  while (!text.empty() && !reader.done() && !reader.invalid()) {
    std::string_view piece = text.substr(0, step);
    const std::size_t skipped = reader.skip(piece);
    text.remove_prefix(skipped);
    piece.remove_prefix(skipped);
    if (reader.done() || reader.invalid() || piece.empty()) continue;
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), reader.data_left()));
    outcome.data += piece.substr(0, n);
    reader.take(n);
    text.remove_prefix(n);
  }
  outcome.rest = text;
  outcome.done = reader.done();
  outcome.invalid = reader.invalid();
  return outcome;
}

Outcome chunks(std::string_view text) {
  const Framing framing{.kind = BodyKind::chunked};
  const Outcome whole = read(framing, text, text.size());
  for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{5}}) {
    Outcome other = read(framing, text, step);
    other.rest = other.invalid ? whole.rest : other.rest;
    EXPECT_EQ(whole, other) << text << " in steps of " << step;
  }
  return whole;
}

TEST(HttpBody, AKnownLengthEndsExactly) {
  const Framing framing{.kind = BodyKind::length, .length = 5, .has_length = true};
  for (const std::size_t step : {std::size_t{1}, std::size_t{100}})
    EXPECT_EQ(read(framing, "abcdeGET", step), (Outcome{"abcde", "GET", true, false}));
  EXPECT_FALSE(read(framing, "abcd", 3).done);
  EXPECT_TRUE(BodyReader({.kind = BodyKind::length}).done());
  EXPECT_TRUE(BodyReader({.kind = BodyKind::none}).done());
}

TEST(HttpBody, ChunksAreJoined) {
  EXPECT_EQ(chunks("3\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\nGET"), (Outcome{"abc0123456789", "GET", true, false}));
  EXPECT_EQ(chunks("1;a=b;c=\"d e\"\r\nx\r\n0;y\r\nTrailer: v\r\nT2:\r\n\r\n"), (Outcome{"x", "", true, false}));
  EXPECT_EQ(chunks("0\r\n\r\n"), (Outcome{"", "", true, false}));
  EXPECT_FALSE(chunks("3\r\nabc\r\n").done);
  EXPECT_FALSE(chunks("3\r\nabc\r\n0\r\n").done);
}

TEST(HttpBody, ChunksThatCouldBeReadInTwoWaysAreRefused) {
  for (const char* const text : {"\r\nabc",
                                 "3\nabc\r\n0\r\n\r\n",
                                 "3\rabc\r\n",
                                 "3 \r\nabc\r\n",
                                 " 3\r\nabc\r\n",
                                 "0x3\r\nabc",
                                 "-3\r\nabc",
                                 "+3\r\nabc",
                                 "g\r\nabc",
                                 "3\r\nabcd\r\n",
                                 "3\r\nabc\n0\r\n\r\n",
                                 "3\r\nabc0\r\n\r\n",
                                 "3;a\nb\r\nabc\r\n",
                                 "3;a\x01\r\nabc",
                                 "1000000000000000\r\n",
                                 "ffffffffffffffff\r\n",
                                 "0\r\n a: b\r\n\r\n",
                                 "0\r\n\n",
                                 "0\r\nx\r\n\r\n",
                                 "0\r\na b: c\r\n\r\n",
                                 "0\r\na: b\nc: d\r\n\r\n",
                                 "0\r\na: b\r\rc",
                                 "0\r\n\rX",
                                 "3,3\r\nabc",
                                 "3_\r\nabc"}) {
    EXPECT_TRUE(chunks(text).invalid) << text;
  }
}

TEST(HttpBody, ExtensionsAndTrailersAreLimited) {
  const auto extension = [](std::size_t size) { return "1;" + std::string(size, 'a') + "\r\nx\r\n0\r\n\r\n"; };
  EXPECT_TRUE(chunks(extension(BodyReader::kMostExtension)).done);
  EXPECT_TRUE(chunks(extension(BodyReader::kMostExtension + 1)).invalid);
  const auto trailer = [](std::size_t size) { return "0\r\nx:" + std::string(size - 6, 'a') + "\r\n\r\n"; };
  EXPECT_TRUE(chunks(trailer(BodyReader::kMostTrailers)).done);
  EXPECT_TRUE(chunks(trailer(BodyReader::kMostTrailers + 1)).invalid);
}

TEST(HttpBody, TheEndOfTheStreamEndsWhatLastsUntilThen) {
  BodyReader until_end({.kind = BodyKind::until_end});
  EXPECT_GT(until_end.data_left(), 1ULL << 62U);
  until_end.take(1000);
  EXPECT_TRUE(until_end.end_of_stream());
  EXPECT_TRUE(until_end.done());
  BodyReader length({.kind = BodyKind::length, .length = 5});
  EXPECT_FALSE(length.end_of_stream());
  BodyReader chunked({.kind = BodyKind::chunked});
  EXPECT_FALSE(chunked.end_of_stream());
}

TEST(HttpBody, ALineBeforeAChunkIsReadAsItIsWritten) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{255}, std::size_t{65536}, kMostChunk}) {
    const auto line = chunk_line(size);
    BodyReader reader({.kind = BodyKind::chunked});
    EXPECT_EQ(reader.skip(std::string_view(line.data(), line.size())), line.size());
    EXPECT_EQ(reader.data_left(), size);
  }
}

}  // namespace
}  // namespace slotwire::web::http
