// CRC-32C against the vectors of RFC 3720 (B.4), against the bit-by-bit definition, and its versions against each
// other.
#include "core/pipeline/crc32c.hpp"

#include <algorithm>
#include <ostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace {
using namespace slotwire;
using Bytes = std::vector<std::byte>;

struct Version {
  std::string_view name;
  std::uint32_t (*crc)(std::uint32_t, std::span<const std::byte>);
};
// Without it the address of the function would be printed into the test's name.
void PrintTo(const Version& version, std::ostream* out) {
  *out << version.name;
}

/// The definition, one bit at a time.
std::uint32_t by_definition(std::span<const std::byte> bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
    }
  }
  return ~crc;
}

Bytes random_bytes(std::mt19937& random, std::size_t size) {
  Bytes bytes(size);
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(random() & 0xff);
  }
  return bytes;
}

class Crc32c : public testing::TestWithParam<Version> {
 protected:
  void SetUp() override {
    if (GetParam().name == "sse42" && !pipeline::crc32c_has_sse42()) {
      GTEST_SKIP() << "this processor has no SSE4.2; the portable version is tested";
    }
  }
  static std::uint32_t crc(std::span<const std::byte> bytes, std::uint32_t running = 0) {
    return GetParam().crc(running, bytes);
  }
};

TEST_P(Crc32c, VectorsOfRfc3720) {
  Bytes bytes(32, std::byte{0});
  EXPECT_EQ(crc(bytes), 0x8a9136aaU);
  bytes.assign(32, std::byte{0xff});
  EXPECT_EQ(crc(bytes), 0x62a8ab43U);
  for (std::size_t n = 0; n < 32; ++n) {
    bytes[n] = static_cast<std::byte>(n);
  }
  EXPECT_EQ(crc(bytes), 0x46dd794eU);
  for (std::size_t n = 0; n < 32; ++n) {
    bytes[n] = static_cast<std::byte>(31 - n);
  }
  EXPECT_EQ(crc(bytes), 0x113fdb5cU);
  // The SCSI Read (10) command that closes the list.
  const unsigned char command[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
                                     0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                                     0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0};
  EXPECT_EQ(crc(std::as_bytes(std::span(command))), 0xd9963a56U);
}

TEST_P(Crc32c, CheckValue) {
  const std::string_view digits = "123456789";
  EXPECT_EQ(crc(std::as_bytes(std::span(digits))), 0xe3069283U);
}

TEST_P(Crc32c, NothingChangesNothing) {
  EXPECT_EQ(crc({}), 0U);
  EXPECT_EQ(crc({}, 0x12345678), 0x12345678U);
}

TEST_P(Crc32c, EqualsTheDefinitionAtEveryLengthAndAlignment) {
  std::mt19937 random(1);
  const Bytes bytes = random_bytes(random, 2000);
  // Lengths around every change of method: 8, 3 lines, 21 lines, 22 lines and more.
  for (const std::size_t around : {0U, 8U, 192U, 384U, 1344U, 1408U, 1536U, 1900U}) {
    for (std::size_t size = around < 9 ? 0 : around - 9; size < around + 9; ++size) {
      for (std::size_t from = 0; from < 8; ++from) {
        const auto part = std::span(bytes).subspan(from, size);
        ASSERT_EQ(crc(part), by_definition(part)) << size << " bytes at " << from;
      }
    }
  }
}

TEST_P(Crc32c, PiecesGiveTheCrcOfTheWhole) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    const Bytes bytes = random_bytes(random, random() % 9000);
    std::uint32_t running = 0;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t piece = std::min<std::size_t>(bytes.size() - at, 1 + random() % 3000);
      running = crc(std::span(bytes).subspan(at, piece), running);
      at += piece;
    }
    ASSERT_EQ(running, crc(bytes)) << bytes.size() << " bytes in round " << round;
  }
}

TEST_P(Crc32c, EqualsThePortableVersionOnRandomRuns) {
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    const Bytes bytes = random_bytes(random, random() % 9000);
    const auto running = static_cast<std::uint32_t>(random());
    ASSERT_EQ(crc(bytes, running), pipeline::crc32c_portable(running, bytes)) << bytes.size() << " bytes";
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, Crc32c,
                         testing::Values(Version{"portable", &pipeline::crc32c_portable},
                                         Version{"sse42", &pipeline::crc32c_sse42},
                                         Version{"chosen", &pipeline::crc32c}),
                         [](const auto& version) { return std::string(version.param.name); });

}  // namespace
