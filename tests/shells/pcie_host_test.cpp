// The host's side of the PCIe card's shell in front of a card that answers slowly, refuses, or hangs.
#include "sim/pci/pcie_host_port.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "core/regs/regs.hpp"

namespace slotwire::sim {
namespace {

constexpr std::uint64_t kResetClocks = 6000;  ///< that a reset of the function takes at most: 4096 to drain, and a few
constexpr std::uint64_t kTimeoutClocks = 31'000;  ///< in which the bridge answers a read that the card does not

/// A card's host port that keeps what it is asked.
class StubbornCard final : public AccessPort {
 public:
  bool write(std::uint32_t address, const Bytes& /*data*/, std::uint64_t strobes) override {
    if (full) return false;
    writes.emplace_back(address, strobes);
    return true;
  }
  bool read(std::uint32_t address) override {
    if (full) return false;
    reads.push_back(address);
    return true;
  }
  bool answered() const override { return answers && !reads.empty(); }
  Reply take_answer() override {
    reads.pop_front();
    return {};
  }

  bool full = false, answers = true;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> writes;
  std::deque<std::uint32_t> reads;
};

class PcieHost : public testing::Test {
 protected:
  bool clock_until(const auto& done, std::uint64_t most) {
    for (std::uint64_t i = 0; i < most; ++i) {
      if (done()) return true;
      port_.clock();
    }
    return done();
  }

  StubbornCard card_;
  unsigned resets_ = 0;
  PcieHostPort port_{card_, 1, [this] {
                       ++resets_;
                       card_.reads.clear();
                     }};
};

TEST_F(PcieHost, ARowInPiecesReachesTheCardAsOneWrite) {
  resets_ = 0;
  const auto at = static_cast<std::uint32_t>(regs::kCardSlotRows);
  for (unsigned i = 0; i < 8; ++i) port_.write(at, {}, std::uint64_t{0xff} << 8 * i);
  EXPECT_TRUE(clock_until([&] { return port_.idle(); }, 1000));
  EXPECT_EQ(card_.writes, (std::vector<std::pair<std::uint32_t, std::uint64_t>>{{at, ~std::uint64_t{0}}}));
  EXPECT_EQ(port_.violation(), "");
}

TEST_F(PcieHost, AReadThatTheCardDoesNotAnswerEndsInTime) {
  card_.answers = false;
  ASSERT_TRUE(port_.read(0));
  EXPECT_FALSE(clock_until([&] { return port_.answered(); }, 10'000));
  ASSERT_TRUE(clock_until([&] { return port_.answered(); }, kTimeoutClocks));
  EXPECT_TRUE(port_.take_answer().error);
  EXPECT_EQ(port_.violation(), "");
}

// The core is reset all the same, and what it did not answer is answered by the shell, so that the bridge is free
// again.
TEST_F(PcieHost, AFunctionIsResetThoughItsCoreHangs) {
  resets_ = 0;
  card_.answers = false;
  for (std::uint32_t i = 0; i < 5; ++i) ASSERT_TRUE(port_.read(i * 64));
  EXPECT_FALSE(clock_until([&] { return port_.answered(); }, 500));
  card_.full = true;
  port_.write(static_cast<std::uint32_t>(regs::kCardMemory), {}, 1);
  clock_until([] { return false; }, 50);
  port_.function_reset();
  EXPECT_TRUE(clock_until([&] { return !port_.resetting(); }, kResetClocks));
  EXPECT_EQ(resets_, 1U);
  card_.full = false;
  card_.answers = true;
  EXPECT_TRUE(clock_until([&] { return port_.idle(); }, 1000)) << "reads of before have no end";
  ASSERT_TRUE(port_.read(64));
  ASSERT_TRUE(clock_until([&] { return port_.answered(); }, 1000));
  EXPECT_FALSE(port_.take_answer().error);
  EXPECT_TRUE(card_.writes.empty()) << "a write of before the reset";
  EXPECT_EQ(port_.violation(), "");
}

TEST_F(PcieHost, InterruptsAreAskedForOnceEach) {
  port_.interrupt(0b1010);
  EXPECT_FALSE(port_.idle());
  EXPECT_TRUE(clock_until([&] { return port_.idle(); }, 1000));
  EXPECT_EQ(port_.take_messages(), 0b1010U);
  EXPECT_EQ(port_.take_messages(), 0U);
}

}  // namespace
}  // namespace slotwire::sim
