// The OpenNIC shell: two boxes on one wire move lines and the hosts' packets, whatever stalls, and every port keeps its
// rules.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "card_host.hpp"
#include "opennic_shell.hpp"

namespace slotwire::sim {
namespace {

constexpr std::uint32_t kMemoryLines = 1U << 14;  ///< two banks
constexpr std::uint64_t kPatience = 2'000'000;

struct Host {
  Host(unsigned number, std::uint64_t seed, unsigned stalls)
      : shell(seed, stalls), window(shell), card(number, window, kMemoryLines) {}
  OpenNicShell shell;
  OpenNicWindow window;
  CardHost card;
};

void carry(OpenNicShell& from, OpenNicShell& to) {
  for (; !from.wire_out.empty(); from.wire_out.pop()) to.wire_in.push(from.wire_out.front().bytes);
}
void run(Host& a, Host& b, int turns) {
  for (int i = 0; i < turns; ++i) {
    a.shell.clock(10);
    b.shell.clock(10);
    carry(a.shell, b.shell);
    carry(b.shell, a.shell);
  }
}

TEST(OpenNicShell, LinesAndPacketsGoBothWaysWhateverStalls) {
  for (const unsigned stalls : {0U, 200U}) {
    SCOPED_TRACE("stalls " + std::to_string(stalls));
    Host a(1, 1 + stalls, stalls), b(2, 2 + stalls, stalls);
    ASSERT_TRUE(a.shell.up());
    a.card.configure(2);
    b.card.configure(1);
    constexpr std::uint32_t kLines = 120;
    constexpr std::size_t kPackets = 40;
    std::size_t sent = 0, received = 0;
    const auto packet = [](std::size_t n) {
      return std::vector<std::byte>(60 + n * 37 % 1450, static_cast<std::byte>(n));
    };
    while ((a.card.consumed != kLines || b.card.consumed != kLines || received != kPackets) &&
           a.shell.now() < kPatience) {
      a.card.produce(kLines);
      b.card.produce(kLines);
      if (sent < kPackets && a.shell.from_host.push(packet(sent))) ++sent;
      run(a, b, 20);
      ASSERT_TRUE(a.card.consume(2));
      ASSERT_TRUE(b.card.consume(1));
      for (; !b.shell.to_host.empty(); b.shell.to_host.pop(), ++received) {
        const auto got = b.shell.to_host.front().bytes;
        ASSERT_EQ(std::vector<std::byte>(got.begin(), got.end()), packet(received));
      }
      ASSERT_EQ(a.shell.violation(), "");
      ASSERT_EQ(b.shell.violation(), "");
    }
    EXPECT_EQ(a.card.consumed, kLines);
    EXPECT_EQ(b.card.consumed, kLines);
    EXPECT_EQ(received, kPackets);
  }
}

TEST(OpenNicShell, SlotMemoryIsReachedABankAtATime) {
  Host a(1, 7, 100);
  constexpr std::size_t kBank = std::size_t{512} << 10;
  std::vector<std::byte> data(128);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i);
  a.window.write_memory(kBank - 64, data);
  std::vector<std::byte> read(128);
  a.window.read_memory(kBank - 64, read);
  EXPECT_EQ(read, data);
  a.window.write_memory(kBank + 3, std::span<const std::byte>(data).subspan(100, 6));  // parts of words
  for (std::size_t i = 0; i < 6; ++i) data[67 + i] = data[100 + i];
  a.window.read_memory(kBank - 64, read);
  EXPECT_EQ(read, data);
  a.window.read_memory(0, read);
  EXPECT_NE(read, data);
  EXPECT_EQ(a.shell.violation(), "");
}

}  // namespace
}  // namespace slotwire::sim
