// The content by which the congestion benchmarks see that nothing was lost.
#include "content.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace slotwire::bench {
namespace {

std::vector<std::byte> content(std::size_t size, std::uint64_t number, std::uint64_t offset = 0) {
  std::vector<std::byte> bytes(size);
  fill_content(bytes, number, offset);
  return bytes;
}

TEST(Content, IsTheSameInWhateverPiecesItIsMadeAndRead) {
  const std::vector<std::byte> whole = content(50'000, 7);
  for (const std::size_t piece : {1U, 3U, 8U, 13U, 4096U, 49'999U}) {
    ContentReader reader;
    for (std::size_t at = 0; at < whole.size(); at += piece) {
      const std::size_t size = std::min(piece, whole.size() - at);
      const std::vector<std::byte> made = content(size, 7, at);
      ASSERT_TRUE(std::equal(made.begin(), made.end(), whole.begin() + static_cast<std::ptrdiff_t>(at))) << piece;
      ASSERT_TRUE(reader.check(made)) << piece << " at " << at;
    }
    EXPECT_EQ(reader.bytes(), whole.size());
    EXPECT_EQ(reader.number(), 7U);
  }
}

/// Reads `first` and then `second` as one stream.
bool reads(std::vector<std::byte> first, const std::vector<std::byte>& second) {
  ContentReader reader;
  first.insert(first.end(), second.begin(), second.end());
  return reader.check(first);
}

TEST(Content, ShowsWhatIsMissingWhatComesTwiceAndWhatIsOfAnotherStream) {
  ASSERT_TRUE(reads(content(1408, 3), content(1408, 3, 1408)));
  EXPECT_FALSE(reads(content(1408, 3), content(1408, 3, 2816)));
  EXPECT_FALSE(reads(content(1408, 3), content(1408, 3, 0)));
  EXPECT_FALSE(reads(content(1408, 3), content(1408, 4, 1408)));
  EXPECT_FALSE(reads(content(1408, 3), content(1408, 3, 1409)));
  for (std::size_t at = 8; at < 3000; at += 17) {
    std::vector<std::byte> damaged = content(3000, 3);
    damaged[at] ^= std::byte{0x10};
    ContentReader reader;
    EXPECT_FALSE(reader.check(damaged)) << at;
  }
}

}  // namespace
}  // namespace slotwire::bench
