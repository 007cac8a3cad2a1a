// The network kernel beside the card's on XRT: registers that remember what was written stand for it.
#include "driver/bus/network_kernel.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace slotwire::driver {
namespace {

constexpr std::uint32_t kReset = 0x0004, kRxStatus = 0x0204, kTick = 0x02B0, kBadFcs = 0x06C0;
constexpr std::uint32_t kFecCorrection = 0x1000, kFecEnable = 0x107C;
constexpr std::uint32_t kUp = 0x1, kAligned = 0x2, kManyErrors = 0x10, kRemoteFault = 0x20, kLocalFault = 0x40;

class Registers final : public NetworkRegisters {
 public:
  using Writes = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
  void write_network(std::uint32_t offset, std::uint32_t value) override {
    writes.emplace_back(offset, value);
    if (offset == kTick) {
      words[kBadFcs] = std::exchange(bad_frames, 0);
    } else {
      words[offset] = value;
    }
  }
  std::uint32_t read_network(std::uint32_t offset) override {
    if (offset == kRxStatus && !latched.empty()) {
      const std::uint32_t first = latched.back();
      latched.pop_back();
      return first;
    }
    return words[offset];
  }
  std::map<std::uint32_t, std::uint32_t> words;
  std::vector<std::uint32_t> latched;  ///< what the status answers first
  std::uint32_t bad_frames = 0;
  Writes writes;
};

class NetworkKernelTest : public testing::Test {
 protected:
  std::string news() { return kernel.news().value_or(""); }
  Registers registers;
  NetworkKernel kernel{registers};
};

TEST_F(NetworkKernelTest, ErrorCorrectionIsSwitchedOnThenBothWaysAreReset) {
  kernel.correct_errors(true);
  EXPECT_EQ(registers.writes,
            (Registers::Writes{{kFecEnable, 3}, {kFecCorrection, 7}, {kReset, 0xC0000000}, {kReset, 0}}));
}

TEST_F(NetworkKernelTest, ErrorCorrectionIsSwitchedOff) {
  kernel.correct_errors(true);
  registers.writes.clear();
  kernel.correct_errors(false);
  EXPECT_EQ(registers.writes,
            (Registers::Writes{{kFecEnable, 0}, {kFecCorrection, 0}, {kReset, 0xC0000000}, {kReset, 0}}));
}

TEST_F(NetworkKernelTest, ALinkThatIsAsItShallBeIsNotTakenDown) {
  kernel.correct_errors(true);
  registers.writes.clear();
  kernel.correct_errors(true);
  EXPECT_TRUE(registers.writes.empty());
}

TEST_F(NetworkKernelTest, TheStateIsWhatIsNowAndNotWhatWas) {
  registers.words[kRxStatus] = kUp | kAligned;
  registers.latched = {kLocalFault};
  EXPECT_EQ(kernel.state(), (NetworkState{.up = true, .aligned = true}));
}

TEST_F(NetworkKernelTest, AStateIsToldOnce) {
  kernel.correct_errors(true);
  registers.words[kRxStatus] = kUp | kAligned;
  EXPECT_EQ(news(), "the port is up (FEC rs)");
  EXPECT_EQ(news(), "");
  registers.words[kRxStatus] = kLocalFault;
  EXPECT_EQ(news(),
            "the port is down: there is no signal that it can use; look at the cable, and whether the other end has "
            "FEC rs, too (--fec)");
  EXPECT_EQ(news(), "");
}

TEST_F(NetworkKernelTest, EveryReasonIsNamed) {
  for (const auto& [status, why] :
       std::vector<std::pair<std::uint32_t, std::string>>{{0, "not aligned"},
                                                          {kAligned | kManyErrors, "too many bit errors"},
                                                          {kAligned | kRemoteFault, "the other end reports a fault"},
                                                          {kAligned, "not ready to receive"}}) {
    registers.words[kRxStatus] = status;
    EXPECT_NE(news().find(why), std::string::npos) << why;
  }
}

TEST_F(NetworkKernelTest, DamagedFramesAreToldWithTheirNumber) {
  registers.words[kRxStatus] = kUp | kAligned;
  static_cast<void>(news());
  registers.bad_frames = 7;
  EXPECT_NE(news().find("7 damaged frames came"), std::string::npos);
  EXPECT_EQ(news(), "");
}

}  // namespace
}  // namespace slotwire::driver
