// What XRT's emulation library and its device say to each other: messages that are right, and messages of somebody
// hostile.
#include "sim/xrt/rpc.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

namespace slotwire::sim::rpc {
namespace {

std::vector<std::byte> bytes(std::initializer_list<unsigned> values) {
  std::vector<std::byte> out;
  for (const unsigned value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

TEST(RpcHeader, IsTwoFixedFields) {
  auto header = bytes({0x09, 5, 0, 0, 0, 0, 0, 0, 0, 0x15, 9, 0, 0, 0});
  const auto read = [&] { return read_header(std::span(header).first<kRequestHeader>()); };
  ASSERT_TRUE(read());
  EXPECT_EQ(read()->length, 5U);
  EXPECT_EQ(read()->call, static_cast<std::uint32_t>(Call::write_register));
  header[0] = std::byte{0x08};
  EXPECT_FALSE(read());
  header[0] = std::byte{0x09};
  header[9] = std::byte{0x16};
  EXPECT_FALSE(read());
  header[9] = std::byte{0x15};
  header[8] = std::byte{0xff};  // longer than any message
  EXPECT_FALSE(read());
}

TEST(RpcReader, ReadsWhatProtobufWrites) {
  // 2: 0x1800010 (varint), 3: 4, 4: four bytes, 9: skipped, 5: fixed 64 bits, 6: fixed 32 bits, 3 again.
  const auto message = bytes({0x10, 0x90, 0x80, 0x80, 0x0c, 0x18, 4, 0x22, 4,    1,    2, 3, 4, 0x4a, 1,    7,
                              0x29, 1,    0,    0,    0,    0,    0, 0,    0x80, 0x35, 2, 0, 0, 0,    0x18, 8});
  const Reader reader(message);
  ASSERT_TRUE(reader.good());
  EXPECT_EQ(reader.number(2), 0x1800010U);
  EXPECT_EQ(reader.number(3), 8U);
  EXPECT_EQ(std::vector<std::byte>(reader.bytes(4).begin(), reader.bytes(4).end()), bytes({1, 2, 3, 4}));
  EXPECT_EQ(reader.number(5), 0x8000000000000001U);
  EXPECT_EQ(reader.number(6), 2U);
  EXPECT_EQ(reader.number(7), 0U);
  EXPECT_TRUE(reader.bytes(7).empty());
  EXPECT_EQ(reader.number(9), 0U);
  EXPECT_TRUE(Reader({}).good());
}

TEST(RpcReader, RefusesWhatIsCutOffOrMalformed) {
  for (const auto& message : {bytes({0x10}), bytes({0x10, 0x80}), bytes({0x22, 5, 1}), bytes({0x29, 1, 2}),
                              bytes({0x35, 1}), bytes({0x00, 1}), bytes({0x13, 1}), bytes({0x80}),
                              bytes({0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}),
                              bytes({0x22, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})}) {
    EXPECT_FALSE(Reader(message).good());
  }
}

TEST(RpcReader, NeverReadsBeyondTheMessage) {
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    // On the heap, with nothing behind: a sanitizer sees a byte too many.
    std::vector<std::byte> message(random() % 24);
    for (auto& byte : message) byte = static_cast<std::byte>(random());
    const Reader reader(message);
    for (std::uint32_t field = 0; field <= Reader::kMaxField; ++field) {
      const auto value = reader.bytes(field);
      if (value.empty()) continue;
      ASSERT_GE(value.data(), message.data());
      ASSERT_LE(value.data() + value.size(), message.data() + message.size());
    }
  }
}

TEST(RpcWriter, AnswersWithAShortHeader) {
  const auto answer = Writer().number(1, 300).bytes(2, bytes({7, 8})).answer();
  EXPECT_EQ(answer, bytes({0x09, 7, 0, 0, 0, 0, 0, 0, 0, 0x08, 0xac, 0x02, 0x12, 2, 7, 8}));
  EXPECT_EQ(request_header(Call::close), bytes({0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x15, 1, 0, 0, 0}));
  const std::span<const std::byte> all(answer);
  const Reader back(all.subspan(kAnswerHeader));
  EXPECT_EQ(back.number(1), 300U);
}

}  // namespace
}  // namespace slotwire::sim::rpc
