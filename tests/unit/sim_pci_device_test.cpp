// A simulated card as a PCI function, in front of a host port made of variables.
#include "sim/pci/pci_device.hpp"

#include <gtest/gtest.h>

#include <linux/pci_regs.h>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "sim_model_port.hpp"

namespace slotwire::sim {
namespace {

constexpr std::uint32_t kSlots = 16, kLines = 1024, kVectors = 4;
constexpr auto kRegisters = regs::kPciRegistersBar, kDoorbells = regs::kPciDoorbellsBar, kMemory = regs::kPciMemoryBar;
constexpr std::size_t kMsixControl = PciDevice::kMsixCapability + PCI_MSIX_FLAGS;

std::vector<std::byte> bytes_of(std::uint64_t value, std::size_t width) {
  std::vector<std::byte> bytes(width);
  std::memcpy(bytes.data(), &value, width);
  return bytes;
}

class Sink final : public MessageSink {
 public:
  void message(unsigned vector, std::uint64_t address, std::uint32_t data) override {
    messages.push_back({vector, address, data});
  }
  struct Message {
    unsigned vector;
    std::uint64_t address;
    std::uint32_t data;
    bool operator==(const Message&) const = default;
  };
  std::vector<Message> messages;
};

class Function : public testing::Test {
 protected:
  explicit Function(bool wide = true)
      : device_(port_, {kSlots, 4, kVectors, kLines, wide}, [this] {
          ++resets_;
          port_.asked.clear();
          port_.answers.clear();
        }) {
    device_.set_sink(&sink_);
    device_.config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  }
  void write(unsigned bar, std::uint64_t offset, std::uint64_t value, std::size_t width) {
    device_.write(bar, offset, bytes_of(value, width));
  }
  std::vector<std::byte> read_bytes(unsigned bar, std::uint64_t offset, std::size_t bytes) {
    device_.read(bar, offset, bytes);
    for (int looks = 0; looks < 1000; ++looks) {
      if (auto answer = device_.answer()) return *answer;
      port_.clock();
      device_.poll();
    }
    ADD_FAILURE() << "no answer";
    return {};
  }
  std::uint64_t read(unsigned bar, std::uint64_t offset, std::size_t width) {
    return pci_value(read_bytes(bar, offset, width));
  }
  std::uint64_t refused() { return device_.log().count(PciOp::refused); }
  /// Bytes that the card has at an address.
  std::uint64_t card(std::uint32_t address, std::size_t width) {
    return pci_value(std::span(port_.memory[address & ~63U]).subspan(address % 64, width));
  }

  test::ModelPort port_;
  int resets_ = 0;
  PciDevice device_;
  Sink sink_;
};

class NarrowFunction : public Function {
 protected:
  NarrowFunction() : Function(false) {}
};

TEST_F(Function, SaysWhatItIs) {
  EXPECT_EQ(device_.config_read(PCI_VENDOR_ID, 2), regs::kPciVendor);
  EXPECT_EQ(device_.config_read(PCI_DEVICE_ID, 2), regs::kPciDevice);
  EXPECT_EQ(device_.config_read(PCI_CLASS_REVISION, 4) >> 8, regs::kPciClass);
  EXPECT_EQ(device_.config_read(PCI_HEADER_TYPE, 1), 0U);
  EXPECT_NE(device_.config_read(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST, 0U);
  std::vector<std::uint32_t> capabilities;
  for (std::uint32_t at = device_.config_read(PCI_CAPABILITY_LIST, 1); at != 0; at = device_.config_read(at + 1, 1)) {
    ASSERT_LT(capabilities.size(), 8U) << "the list has no end";
    capabilities.push_back(device_.config_read(at, 1));
  }
  EXPECT_EQ(capabilities, (std::vector<std::uint32_t>{PCI_CAP_ID_EXP, PCI_CAP_ID_MSIX}));
  EXPECT_NE(device_.config_read(PciDevice::kPcieCapability + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR, 0U);
  EXPECT_EQ(device_.config_read(kMsixControl, 2), kVectors - 1);
  EXPECT_EQ(device_.config_read(PciDevice::kMsixCapability + PCI_MSIX_TABLE, 4), regs::kPciMsixTable | kRegisters);
}

TEST_F(Function, RefusesConfigurationAccessesOfTheWrongWidthOrPlace) {
  EXPECT_EQ(device_.config_read(2, 4), ~0U);
  EXPECT_EQ(device_.config_read(0, 3), ~0U);
  EXPECT_EQ(device_.config_read(PciDevice::kConfigBytes, 4), ~0U);
  device_.config_write(PCI_COMMAND + 1, 2, 0);
  EXPECT_EQ(refused(), 4U);
  EXPECT_TRUE(device_.memory_enabled());
  EXPECT_EQ(device_.config_read(PciDevice::kConfigBytes - 4, 4), 0U);
}

TEST_F(NarrowFunction, HasBarsThatAHostSizesPlacesAndLosesOnReset) {
  const std::pair<unsigned, std::uint64_t> bars[] = {
      {kRegisters, regs::kPciRegistersBytes}, {kDoorbells, 2 * kSlots * 4096}, {kMemory, kLines * 64}};
  std::uint32_t base = 0xe000'0000;
  for (const auto& [bar, bytes] : bars) {
    const std::size_t at = PCI_BASE_ADDRESS_0 + 4 * bar;
    device_.config_write(at, 4, ~0U);
    EXPECT_EQ(~(device_.config_read(at, 4) & ~15U) + 1, bytes) << bar;
    EXPECT_EQ(device_.config_read(at, 4) & 15, 0U) << "32 bits, not prefetchable";
    device_.config_write(at, 4, base);
    EXPECT_EQ(device_.decode(base, 4)->bar, bar);
    EXPECT_EQ(device_.decode(base + bytes - 8, 8)->offset, bytes - 8);
    EXPECT_FALSE(device_.decode(base + bytes - 4, 8)) << "reaches beyond";
    base += 0x0100'0000;
  }
  device_.config_write(PCI_BASE_ADDRESS_0 + 4, 4, ~0U);
  EXPECT_EQ(device_.config_read(PCI_BASE_ADDRESS_0 + 4, 4), 0U) << "there is no BAR 1";
  device_.function_reset();
  EXPECT_EQ(resets_, 1);
  for (const auto& [bar, bytes] : bars) EXPECT_EQ(device_.config_read(PCI_BASE_ADDRESS_0 + 4 * bar, 4), 0U);
  EXPECT_FALSE(device_.decode(0xe000'0000, 4));
}

TEST_F(Function, HasSlotMemoryInA64BitPrefetchableBar) {
  const std::size_t at = PCI_BASE_ADDRESS_0 + 4 * kMemory;
  EXPECT_EQ(device_.config_read(at, 4), PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
  device_.config_write(at, 4, ~0U);
  device_.config_write(at + 4, 4, ~0U);
  EXPECT_EQ(device_.config_read(at + 4, 4), ~0U);
  device_.config_write(at, 4, 0x1000'0000);
  device_.config_write(at + 4, 4, 0x38);
  EXPECT_EQ(device_.decode(0x38'1000'0040, 64)->offset, 0x40U);
  EXPECT_FALSE(device_.decode(0x1000'0040, 64));
}

TEST_F(Function, TakesSlotMemoryInAnyWidthAndAlignment) {
  write(kMemory, 0, 0x11, 1);
  write(kMemory, 2, 0x3322, 2);
  write(kMemory, 4, 0x77665544, 4);
  write(kMemory, 8, 0xffeeddccbbaa9988, 8);
  const auto at = static_cast<std::uint32_t>(regs::kCardMemory);
  EXPECT_EQ(card(at, 8), 0x7766554433220011U);
  EXPECT_EQ(read(kMemory, 8, 8), 0xffeeddccbbaa9988U);
  EXPECT_EQ(read(kMemory, 3, 1), 0x33U);
  // As memcpy stores what overlaps: across the border of two lines.
  write(kMemory, 60, 0x0807060504030201, 8);
  EXPECT_EQ(card(at + 60, 4), 0x04030201U);
  EXPECT_EQ(card(at + 64, 4), 0x08070605U);
  EXPECT_EQ(read(kMemory, 60, 8), 0x0807060504030201U);
  EXPECT_EQ(refused(), 0U);
}

TEST_F(Function, TakesBurstsAlsoWhenTheCardHasLittleRoom) {
  std::vector<std::byte> burst(40 * 64);
  for (std::size_t i = 0; i < burst.size(); ++i) burst[i] = static_cast<std::byte>(i * 7);
  port_.room = 3;
  device_.write(kMemory, 128, burst);
  EXPECT_FALSE(device_.ready());
  for (int looks = 0; !device_.ready() && looks < 100; ++looks) {
    port_.clock(3);
    device_.poll();
  }
  ASSERT_TRUE(device_.ready());
  EXPECT_EQ(port_.writes, 40U);
  EXPECT_EQ(read_bytes(kMemory, 128, burst.size()), burst);
  EXPECT_EQ(read_bytes(kMemory, 132, 300), std::vector<std::byte>(burst.begin() + 4, burst.begin() + 304));
}

TEST_F(Function, LetsMarksBeWrittenAloneAndWhole) {
  const std::uint64_t page = 5 * regs::kPageBytes, proxy = (kSlots + 5) * regs::kPageBytes;
  write(kDoorbells, page + regs::kMarkTail, 7, 4);
  write(kDoorbells, page + regs::kMarkHead, 8, 4);
  const auto process = static_cast<std::uint32_t>(regs::kCardProcessPages + page);
  EXPECT_EQ(card(process + regs::kMarkTail, 4), 7U);
  EXPECT_EQ(card(process + regs::kMarkHead, 4), 8U);
  EXPECT_EQ(port_.writes, 2U);
  write(kDoorbells, page + regs::kMarkTail, 9, 8);
  write(kDoorbells, page + regs::kMarkTail, 9, 2);
  write(kDoorbells, page + regs::kMarkTail, 9, 1);
  write(kDoorbells, page + 4, 9, 4);
  write(kDoorbells, page + regs::kMarkWait, 9, 4);
  write(kDoorbells, proxy + regs::kOutTail, 9, 4);
  device_.write(kDoorbells, page, std::vector<std::byte>(64));
  EXPECT_EQ(refused(), 7U);
  EXPECT_EQ(port_.writes, 2U) << "nothing of it reached the card";
  port_.memory[static_cast<std::uint32_t>(regs::kCardProxyPages + 5 * regs::kPageBytes)][0] = std::byte{42};
  EXPECT_EQ(read(kDoorbells, proxy + regs::kOutTail, 4), 42U);
}

TEST_F(Function, AnswersWhatIsNotAllowedWithOnes) {
  EXPECT_EQ(read(kRegisters, 2, 2), 0xffffU);
  EXPECT_EQ(read(kRegisters, 4, 8), ~std::uint64_t{0}) << "not aligned";
  EXPECT_EQ(read(kRegisters, regs::kPciRegistersBytes, 4), 0xffff'ffffU);
  EXPECT_EQ(read(kMemory, kLines * 64 - 4, 8), ~std::uint64_t{0});
  EXPECT_EQ(read(1, 0, 4), 0xffff'ffffU);
  EXPECT_EQ(read(PciDevice::kBars, 0, 4), 0xffff'ffffU);
  write(kRegisters, regs::kCardControl, 1, 1);
  write(kMemory, kLines * 64, 1, 4);
  EXPECT_EQ(refused(), 8U);
  EXPECT_TRUE(port_.memory.empty());
  port_.nothing_from = 0;
  EXPECT_EQ(read(kRegisters, 0x8000, 4), 0xffff'ffffU) << "the card has nothing there";
}

TEST_F(Function, DoesNothingWhileMemoryIsNotEnabled) {
  device_.config_write(PCI_COMMAND, 2, 0);
  EXPECT_EQ(read(kRegisters, 0, 4), 0xffff'ffffU);
  write(kMemory, 0, 1, 4);
  EXPECT_TRUE(port_.memory.empty());
}

TEST_F(Function, LeavesTheRowsThatComeInPiecesToTheShell) {
  const auto row = static_cast<std::uint32_t>(regs::kCardSlotRows + 3 * 64);
  for (unsigned i = 8; i-- > 0;) write(kRegisters, row + 8 * i, 0x0101'0101'0101'0101U * i, 8);
  EXPECT_EQ(port_.writes, 8U);
  for (unsigned i = 0; i < 8; ++i) EXPECT_EQ(card(row + 8 * i, 8), 0x0101'0101'0101'0101U * i);
  EXPECT_EQ(refused(), 0U);
}

TEST_F(Function, SendsInterruptsAsTheMsixTableSays) {
  const std::uint64_t entry = regs::kPciMsixTable + 2 * PCI_MSIX_ENTRY_SIZE;
  EXPECT_EQ(read(kRegisters, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4), 1U) << "masked after power-up";
  write(kRegisters, entry, 0xfee0'1004, 4);
  write(kRegisters, entry + 4, 0, 4);
  write(kRegisters, entry + 8, 0x4041, 8);  // data, and not masked
  EXPECT_EQ(read(kRegisters, entry + 8, 8), 0x4041U);
  device_.raise(0b100);
  EXPECT_TRUE(sink_.messages.empty()) << "MSI-X is not enabled";
  device_.config_write(kMsixControl, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
  EXPECT_TRUE(sink_.messages.empty()) << "what was raised before is not kept";
  device_.raise(0b101);
  EXPECT_TRUE(sink_.messages.empty()) << "all are masked";
  EXPECT_EQ(read(kRegisters, regs::kPciMsixPending, 8), 0b101U);
  device_.config_write(kMsixControl, 2, PCI_MSIX_FLAGS_ENABLE);
  EXPECT_EQ(sink_.messages, (std::vector<Sink::Message>{{2, 0xfee0'1004, 0x4041}}));
  EXPECT_EQ(read(kRegisters, regs::kPciMsixPending, 4), 1U) << "vector 0 is masked";
  write(kRegisters, regs::kPciMsixTable + PCI_MSIX_ENTRY_VECTOR_CTRL, 0, 4);
  EXPECT_EQ(sink_.messages.size(), 2U);
  device_.raise(1U << kVectors);
  EXPECT_EQ(sink_.messages.size(), 2U) << "there is no such vector";
}

TEST_F(Function, ForgetsEverythingInAFunctionReset) {
  device_.set_vector(0, true, 0xfee0'0000, 1);
  device_.read(kMemory, 0, 4);
  device_.config_write(PciDevice::kPcieCapability + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
  EXPECT_EQ(resets_, 1);
  const auto answer = device_.answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(pci_value(*answer), 0xffff'ffffU) << "a function in reset answers nothing";
  EXPECT_FALSE(device_.memory_enabled());
  EXPECT_EQ(device_.config_read(kMsixControl, 2), kVectors - 1);
  device_.raise(1);
  EXPECT_TRUE(sink_.messages.empty());
}

TEST_F(Function, LogsEveryAccess) {
  device_.log().clear_kept();
  write(kMemory, 64, 0x1234, 2);
  read(kMemory, 64, 4);
  write(kDoorbells, 0, 5, 2);
  device_.config_read(0, 2);
  const std::deque<PciTransaction> expected{{PciOp::write, kMemory, 64, 2, 0x1234},
                                            {PciOp::read, kMemory, 64, 4, 0x1234},
                                            {PciOp::refused, kDoorbells, 0, 2, 5},
                                            {PciOp::config_read, PciTransaction::kNoBar, 0, 2, regs::kPciVendor}};
  EXPECT_EQ(device_.log().kept(), expected);
}

TEST(FunctionSizes, MustBePossible) {
  test::ModelPort port;
  EXPECT_THROW(PciDevice(port, {48, 4, 4, 1024, true}, [] {}), std::invalid_argument);
  EXPECT_THROW(PciDevice(port, {8192, 4, 4, 1024, true}, [] {}), std::invalid_argument);
  EXPECT_THROW(PciDevice(port, {16, 4, 0, 1024, true}, [] {}), std::invalid_argument);
  EXPECT_THROW(PciDevice(port, {16, 4, 33, 1024, true}, [] {}), std::invalid_argument);
  EXPECT_THROW(PciDevice(port, {16, 4, 4, 1U << 23, true}, [] {}), std::invalid_argument);
}

}  // namespace
}  // namespace slotwire::sim
