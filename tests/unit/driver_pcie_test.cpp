// The bus to a card that is a PCI function: which accesses it makes, in which order, and what it notices.
#include "driver/bus/pcie/pcie_bus.hpp"

#include <gtest/gtest.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "driver/bus/pcie/mapped_bars.hpp"
#include "driver/bus/pcie/stores.hpp"
#include "driver/bus/pcie/sysfs_function.hpp"
#include "driver/bus/pcie/vfio_function.hpp"
#include "driver_fake_pci.hpp"

namespace slotwire::driver {
namespace {

using Calls = std::vector<std::string>;

class Bus : public testing::Test {
 protected:
  void connect() {
    ASSERT_TRUE(bus_.reconnect()) << bus_.broken();
    pci_.calls.clear();
  }
  bool read32(std::size_t address) {
    std::uint32_t value = 0;
    return bus_.read(address, std::as_writable_bytes(std::span(&value, 1)));
  }
  /// The descriptor says that there is something to take.
  bool waits() const {
    pollfd ready{bus_.fd(), POLLIN, 0};
    return ::poll(&ready, 1, 0) == 1;
  }
  test::FakePci pci_;
  PcieBus bus_{pci_.owned()};
  const std::vector<std::byte> line_ = std::vector<std::byte>(regs::kLineBytes);
};

TEST_F(Bus, EnablesTheFunctionAndItsInterrupts) {
  EXPECT_FALSE(bus_.broken().empty()) << "not connected yet";
  ASSERT_TRUE(bus_.reconnect());
  EXPECT_EQ(bus_.broken(), "");
  EXPECT_EQ(pci_.command, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  EXPECT_EQ(pci_.calls, (Calls{"open", "r 0 0 64", "interrupts 4"})) << "and does not reset a card that it never had";
}

TEST_F(Bus, FindsCardAddressesInBars) {
  connect();
  bus_.write32(regs::kCardControl + regs::kCtlMoved, 0);
  bus_.write(regs::kCardSlotRows + 3 * 64, line_);
  bus_.write32(regs::kCardProcessPages + 5 * regs::kPageBytes + regs::kMarkHead, 1);
  bus_.write(regs::kCardMemory + 128, line_);
  EXPECT_TRUE(read32(regs::kCardProxyPages + 15 * regs::kPageBytes + regs::kInHead));
  EXPECT_EQ(pci_.calls, (Calls{"w 0 4288 4", "w 0 1048768 64", "w 2 20544 4", "w 4 128 64", "fence",
                               "r 2 " + std::to_string((16 + 15) * 4096 + 64) + " 4"}));
  pci_.calls.clear();
  // Where there is nothing of the card: other slots' pages, behind the memory, the MSI-X table.
  EXPECT_FALSE(read32(regs::kCardProxyPages + 16 * regs::kPageBytes));
  EXPECT_FALSE(read32(regs::kCardProcessPages + 16 * regs::kPageBytes));
  EXPECT_FALSE(read32(regs::kCardMemory + test::kFakeLines * 64));
  EXPECT_FALSE(read32(regs::kPciMsixTable));
  bus_.write32(regs::kPciMsixTable, 0);
  bus_.write(regs::kCardMemory + (test::kFakeLines - 1) * 64, std::vector<std::byte>(128));
  EXPECT_EQ(pci_.calls, Calls{});
  EXPECT_EQ(bus_.broken(), "");
}

TEST_F(Bus, FencesLinesBeforeWhatTellsOfThem) {
  connect();
  const std::size_t doorbell = regs::kCardProcessPages + regs::kMarkTail;
  bus_.write(regs::kCardMemory, line_);
  bus_.write(regs::kCardMemory + 64, line_);
  bus_.write32(doorbell, 2);
  bus_.write32(doorbell, 3);
  bus_.write(regs::kCardMemory, line_);
  bus_.flush();
  bus_.flush();
  bus_.write(regs::kCardMemory, line_);
  EXPECT_TRUE(read32(regs::kCardMemory + 64));
  EXPECT_EQ(pci_.calls, (Calls{"w 4 0 64", "w 4 64 64", "fence", "w 2 0 4", "w 2 0 4",  //
                               "w 4 0 64", "fence", "flush", "flush",                   //
                               "w 4 0 64", "fence", "r 4 64 4"}));
}

TEST_F(Bus, NoticesACardThatIsGoneByTheOnesThatItReads) {
  connect();
  std::fill(pci_.bars[4].begin(), pci_.bars[4].begin() + 64, std::byte{0xff});
  EXPECT_TRUE(read32(regs::kCardMemory)) << "ones may be what is there";
  EXPECT_EQ(bus_.broken(), "");
  pci_.powered = false;
  EXPECT_FALSE(read32(regs::kCardMemory + 64));
  EXPECT_NE(bus_.broken().find("registers read as ones"), std::string::npos) << bus_.broken();
  EXPECT_EQ(bus_.fd(), -1);
  pci_.calls.clear();
  bus_.write32(regs::kCardControl, 1);
  bus_.flush();
  EXPECT_FALSE(read32(0));
  EXPECT_EQ(pci_.calls, Calls{}) << "nothing is asked of a card that is gone";
  EXPECT_FALSE(bus_.reconnect());
  EXPECT_NE(bus_.broken().find("read as ones"), std::string::npos) << bus_.broken();
}

TEST_F(Bus, NoticesThatTheCardWentInTheMiddleOfARead) {
  connect();
  std::vector<std::byte> line(64);
  pci_.in_the_middle = [this](std::span<std::byte> data) {
    std::memset(data.data() + 32, 0xff, 32);
    pci_.powered = false;
  };
  EXPECT_FALSE(bus_.read(regs::kCardMemory, line));
  EXPECT_NE(bus_.broken(), "");
}

TEST_F(Bus, NoticesThatTheCardCameBackFromAResetInTheMiddleOfARead) {
  connect();
  bus_.write32(regs::kCardControl + regs::kCtlEnabled, ~0U);
  std::vector<std::byte> line(64);
  pci_.in_the_middle = [this](std::span<std::byte> data) {
    std::memset(data.data(), 0xff, 8);
    std::memset(pci_.bars[0].data() + regs::kCardControl + regs::kCtlEnabled, 0, 4);
  };
  EXPECT_FALSE(bus_.read(regs::kCardMemory, line));
  EXPECT_NE(bus_.broken().find("reset by someone else"), std::string::npos) << bus_.broken();
}

TEST_F(Bus, LooksNowAndThenWhetherTheCardIsThere) {
  connect();
  EXPECT_EQ(bus_.take_interrupts(), 0U);
  pci_.powered = false;
  pollfd ready{bus_.fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&ready, 1, 20 * static_cast<int>(PcieBus::kLivenessMs)), 1);
  EXPECT_EQ(bus_.take_interrupts(), 0U);
  EXPECT_NE(bus_.broken(), "");
}

TEST_F(Bus, NoticesThatSomeoneElseResetTheCard) {
  connect();
  bus_.write32(regs::kCardControl + regs::kCtlEnabled, ~0U);
  pollfd ready{bus_.fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&ready, 1, 20 * static_cast<int>(PcieBus::kLivenessMs)), 1);
  bus_.take_interrupts();
  EXPECT_EQ(bus_.broken(), "");
  std::memset(pci_.bars[0].data() + regs::kCardControl + regs::kCtlEnabled, 0, 4);
  ASSERT_EQ(::poll(&ready, 1, 20 * static_cast<int>(PcieBus::kLivenessMs)), 1);
  bus_.take_interrupts();
  EXPECT_NE(bus_.broken().find("reset by someone else"), std::string::npos) << bus_.broken();
}

TEST_F(Bus, ResetsAFunctionThatItHadBefore) {
  connect();
  ASSERT_TRUE(bus_.reconnect());
  EXPECT_EQ(pci_.calls, (Calls{"open", "reset", "r 0 0 64", "interrupts 4"}));
  pci_.resets = false;
  EXPECT_FALSE(bus_.reconnect());
  EXPECT_EQ(bus_.broken(), "the fake cannot be reset");
}

TEST_F(Bus, TakesInterrupts) {
  connect();
  EXPECT_FALSE(waits());
  ASSERT_EQ(::eventfd_write(pci_.eventfds[2], 3), 0);
  ASSERT_EQ(::eventfd_write(pci_.eventfds[0], 1), 0);
  EXPECT_TRUE(waits());
  EXPECT_EQ(bus_.take_interrupts(), 0b101U);
  EXPECT_EQ(bus_.take_interrupts(), 0U);
  EXPECT_FALSE(waits());
}

TEST_F(Bus, AsksAFunctionWithoutInterrupts) {
  pci_.vectors = 0;
  const std::uint32_t pending = 0b11;
  std::memcpy(pci_.bars[0].data() + regs::kCardControl + regs::kCtlPending, &pending, sizeof pending);
  connect();
  pollfd ready{bus_.fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&ready, 1, 20'000), 1);
  EXPECT_EQ(bus_.take_interrupts(), 0b11U);
}

TEST_F(Bus, HearsThatTheFunctionWentAway) {
  const slot::Fd event(::eventfd(0, EFD_CLOEXEC));
  pci_.fd = event.get();
  connect();
  ASSERT_EQ(::eventfd_write(event.get(), 1), 0);
  EXPECT_TRUE(waits());
  bus_.take_interrupts();
  EXPECT_EQ(bus_.broken(), "the fake went away");
}

TEST_F(Bus, RefusesWhatIsNoCard) {
  const auto refused = [this](const std::string& why) {
    EXPECT_FALSE(bus_.reconnect());
    EXPECT_NE(bus_.broken().find(why), std::string::npos) << bus_.broken();
  };
  pci_.there = false;
  refused("the fake is away");
  pci_.there = true;
  pci_.ids = 0x12345678;
  refused("no Slotwire card");
  pci_.ids = ~0U;
  refused("ids read as ones");
  pci_.ids = regs::kPciVendor | std::uint32_t{regs::kPciDevice} << 16;
  auto page = test::fake_capabilities();
  page[0] = 0x1234;
  pci_.set_capabilities(page);
  refused("says something else");
  page = test::fake_capabilities();
  page[regs::kCapSlots / 4] = 2 * test::kFakeSlots;
  pci_.set_capabilities(page);
  refused("BARs are smaller");
  page = test::fake_capabilities();
  page[regs::kCapMemoryLines / 4] = ~0U;
  pci_.set_capabilities(page);
  refused("BARs are smaller");
  pci_.set_capabilities(test::fake_capabilities());
  pci_.bars[regs::kPciMemoryBar].clear();
  refused("BARs are not those");
}

// ---- stores

/// Makes the stores and says which.
class RecordedStores final : public Stores {
 public:
  void line(std::byte* to, const std::byte* from) override {
    log += 'L';
    std::memcpy(to, from, regs::kLineBytes);
  }
  void word8(std::byte* to, std::uint64_t value) override {
    log += '8';
    std::memcpy(to, &value, sizeof value);
  }
  void word4(std::byte* to, std::uint32_t value) override {
    log += '4';
    std::memcpy(to, &value, sizeof value);
  }
  void fence() override { log += 'F'; }
  std::string_view name() const override { return "recorded"; }
  std::string log;
};

slot::Mapping pages(std::size_t bytes) {
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return {static_cast<std::byte*>(at), bytes};
}

TEST(Mapped, WritesLinesWholeAndTheRestInAlignedWords) {
  RecordedStores stores;
  MappedBars bars(stores);
  bars.set(4, pages(4096), true);
  std::vector<std::byte> data(4096);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 5 + 1);
  bars.write(4, 64, std::span(data).first(192));
  EXPECT_EQ(std::exchange(stores.log, ""), "LLL");
  bars.write(4, 52, std::span(data).first(12 + 64 + 20));  // up to a line, a line, and beyond
  EXPECT_EQ(std::exchange(stores.log, ""), "48L884");
  std::vector<std::byte> back(96);
  ASSERT_TRUE(bars.read(4, 52, back));
  EXPECT_TRUE(std::equal(back.begin(), back.end(), data.begin()));
  bars.fence();
  bars.fence();
  EXPECT_EQ(std::exchange(stores.log, ""), "F") << "one fence is enough";
  bars.write(4, 4096 - 64, std::span(data).first(128));
  bars.write(4, 2, std::span(data).first(4));
  bars.write(5, 0, std::span(data).first(4));
  EXPECT_EQ(stores.log, "") << "outside, not aligned, no such BAR";
  EXPECT_FALSE(bars.read(4, 4096, back));
}

TEST(Mapped, FencesLinesInUncachedMemoryAtOnce) {
  RecordedStores stores;
  MappedBars bars(stores);
  bars.set(0, pages(4096), false);
  const std::vector<std::byte> row(64);
  bars.write(0, 128, row);
  bars.write(0, 0, std::span(row).first(4));
  bars.fence();
  EXPECT_EQ(stores.log, "LF4") << "nothing is left to fence: uncached stores keep their order";
}

TEST(StoresOfThisCpu, WriteWhatTheyAreGiven) {
  std::string kinds;
  for (const StoreKind kind : {StoreKind::words, StoreKind::avx512, StoreKind::movdir64b}) {
    if (!cpu_has(kind)) continue;
    Stores& stores = stores_of(kind);
    kinds += std::string(stores.name()) + "; ";
    const slot::Mapping memory = pages(4096);
    std::array<std::byte, 65> data{};
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i + 100);
    stores.line(memory.data() + 128, data.data() + 1);  // from anywhere
    stores.word8(memory.data() + 256, 0x1122334455667788);
    stores.word4(memory.data() + 264, 0x99aabbcc);
    stores.fence();
    EXPECT_EQ(std::memcmp(memory.data() + 128, data.data() + 1, 64), 0) << stores.name();
    EXPECT_EQ(*reinterpret_cast<std::uint64_t*>(memory.data() + 256), 0x1122334455667788U);
    EXPECT_EQ(*reinterpret_cast<std::uint32_t*>(memory.data() + 264), 0x99aabbccU);
    EXPECT_EQ(memory.data()[127], std::byte{0});
    EXPECT_EQ(memory.data()[192], std::byte{0});
  }
  RecordProperty("stores", kinds);
  EXPECT_TRUE(cpu_has(StoreKind::words));
}

// ---- finding

TEST(Find, TakesTheOnlyCardOrTheOneThatIsNamed) {
  test::FakeSysfs sysfs;
  EXPECT_NE(find_card("", sysfs.root()).error.find("no PCI function has the ids"), std::string::npos);
  sysfs.add("0000:00:1f.0", "0x8086", "0x1234");
  sysfs.add_card("0000:3b:00.0");
  sysfs.link("0000:3b:00.0", "driver", "../../../../bus/pci/drivers/vfio-pci");
  sysfs.link("0000:3b:00.0", "iommu_group", "../../../../kernel/iommu_groups/17");
  const FoundCard found = find_card("", sysfs.root());
  EXPECT_EQ(found.error, "");
  EXPECT_EQ(found.location.address, "0000:3b:00.0");
  EXPECT_EQ(found.location.driver, "vfio-pci");
  EXPECT_EQ(found.location.group, "17");
  sysfs.add_card("0000:86:00.0");
  EXPECT_EQ(find_card("", sysfs.root()).error,
            "there are several cards: 0000:3b:00.0 0000:86:00.0; say which (card.pci)");
  EXPECT_EQ(find_card("86:00.0", sysfs.root()).location.address, "0000:86:00.0");
  EXPECT_NE(find_card("0000:00:1f.0", sysfs.root()).error.find("no Slotwire card"), std::string::npos);
  EXPECT_NE(find_card("0000:99:00.0", sysfs.root()).error.find("there is no PCI function"), std::string::npos);
  EXPECT_NE(find_card("../../etc", sysfs.root()).error.find("is no PCI address"), std::string::npos);
}

// ---- sysfs

TEST(Sysfs, MapsTheBarsAndWritesCombinedWhereItCan) {
  for (const bool combined : {true, false}) {
    test::FakeSysfs sysfs;
    sysfs.add_card("0000:3b:00.0", combined);
    auto function = std::make_unique<SysfsFunction>("", sysfs.root());
    const SysfsFunction& view = *function;
    PcieBus bus(std::move(function));
    ASSERT_TRUE(bus.reconnect()) << bus.broken();
    EXPECT_EQ(view.combined(4), combined);
    EXPECT_FALSE(view.combined(2));
    EXPECT_EQ(view.name(), "PCIe 0000:3b:00.0 (sysfs)");
    std::vector<std::byte> line(64, std::byte{7}), back(64);
    bus.write(regs::kCardMemory + 64, line);
    ASSERT_TRUE(bus.read(regs::kCardMemory + 64, back));
    EXPECT_EQ(back, line);
    std::ifstream file(sysfs.function("0000:3b:00.0") / (combined ? "resource4_wc" : "resource4"), std::ios::binary);
    file.seekg(64);
    EXPECT_EQ(file.get(), 7);
    ASSERT_TRUE(bus.reconnect());
    std::ifstream reset(sysfs.function("0000:3b:00.0") / "reset");
    EXPECT_EQ(reset.get(), '1');
  }
}

TEST(Sysfs, SaysWhatToDo) {
  test::FakeSysfs sysfs;
  sysfs.add_card("0000:3b:00.0");
  sysfs.link("0000:3b:00.0", "driver", "../../../../bus/pci/drivers/other");
  SysfsFunction function("", sysfs.root());
  EXPECT_FALSE(function.open());
  EXPECT_NE(function.error().find("driver other is bound to it; unbind it"), std::string::npos) << function.error();
  std::filesystem::remove(sysfs.function("0000:3b:00.0") / "driver");
  std::filesystem::remove(sysfs.function("0000:3b:00.0") / "resource2");
  EXPECT_FALSE(function.open());
  EXPECT_NE(function.error().find("resource2: No such file"), std::string::npos) << function.error();
}

// ---- VFIO, as far as it goes without a device

class Vfio : public testing::Test {
 protected:
  Vfio() { sysfs_.add_card(kAddress); }
  std::string error(bool without_iommu = false) {
    VfioFunction function("", {without_iommu, sysfs_.root(), dev_.path()});
    EXPECT_FALSE(function.open());
    return function.error();
  }
  void bind(const char* driver) { sysfs_.link(kAddress, "driver", std::string("../../bus/pci/drivers/") + driver); }
  void group() { sysfs_.link(kAddress, "iommu_group", "../../kernel/iommu_groups/17"); }
  static constexpr const char* kAddress = "0000:3b:00.0";
  test::FakeSysfs sysfs_;
  test::TemporaryDirectory dev_;
};

TEST_F(Vfio, SaysWhichDriverToBind) {
  EXPECT_NE(error().find("no driver is bound to it; bind vfio-pci (driverctl set-override 0000:3b:00.0"),
            std::string::npos);
  bind("xdma");
  EXPECT_NE(error().find("driver xdma is bound to it; bind vfio-pci"), std::string::npos);
}

TEST_F(Vfio, WantsAnIommu) {
  bind("vfio-pci");
  EXPECT_NE(error().find("in no IOMMU group; switch the IOMMU on"), std::string::npos) << error();
  group();
  dev_.write("noiommu-17", "");
  EXPECT_NE(error().find("no IOMMU holds it back"), std::string::npos) << error();
  EXPECT_NE(error(true).find("load the module vfio-pci"), std::string::npos)
      << "allowed; then the container is missing";
}

TEST_F(Vfio, SaysWhatIsWrongWithItsFiles) {
  bind("vfio-pci");
  group();
  EXPECT_NE(error().find("load the module vfio-pci"), std::string::npos) << error();
  dev_.write("vfio", "");
  EXPECT_NE(error().find("packaging/60-slotwire.rules"), std::string::npos) << error();
  dev_.write("17", "");
  EXPECT_NE(error().find("IOMMU group 17 are in use by the kernel"), std::string::npos) << error();
}

// --- what the kernel says of an IOMMU ---

class Iommu : public testing::Test {
 protected:
  static constexpr DmaRange kWanted{0x1'0000'0000, 0x1000'0000};

  Iommu() {
    head_.argsz = sizeof head_;
    head_.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
    head_.iova_pgsizes = 0x4000'0000 | 0x20'0000 | 0x1000;
  }
  template <typename T>
  void add(const T& what) {
    const auto bytes = std::as_bytes(std::span(&what, 1));
    caps_.insert(caps_.end(), bytes.begin(), bytes.end());
  }
  /// A capability that is of no interest, then the ranges.
  void add_ranges(const std::vector<vfio_iova_range>& ranges) {
    vfio_info_cap_header other{.id = 99, .version = 1, .next = sizeof head_ + sizeof other};
    add(other);
    vfio_iommu_type1_info_cap_iova_range cap{};
    cap.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
    cap.nr_iovas = static_cast<std::uint32_t>(ranges.size());
    add(cap);
    for (const vfio_iova_range& range : ranges) add(range);
    head_.cap_offset = sizeof head_;
  }
  std::string obstacle(std::size_t cut = 0) {
    std::vector<std::byte> info(sizeof head_);
    std::memcpy(info.data(), &head_, sizeof head_);
    info.insert(info.end(), caps_.begin(), caps_.end());
    info.resize(info.size() - cut);
    return iommu_obstacle(info, kWanted);
  }

  vfio_iommu_type1_info head_{};
  std::vector<std::byte> caps_;
};

TEST_F(Iommu, AllSlotsHaveToFitIntoOneRangeOfAddresses) {
  add_ranges({{0, 0xfedf'ffff}, {0xfef0'0000, 0x7f'ffff'ffff}});
  EXPECT_EQ(obstacle(), "");
  caps_.clear();
  add_ranges({{0, 0xfedf'ffff}, {0xfef0'0000, kWanted.first + kWanted.bytes - 1}});
  EXPECT_EQ(obstacle(), "") << "to the last byte";
  caps_.clear();
  add_ranges({{0, 0xfedf'ffff}, {0xfef0'0000, kWanted.first + kWanted.bytes - 2}});
  EXPECT_NE(obstacle().find("limits.slots"), std::string::npos);
}

TEST_F(Iommu, AnOldKernelDoesNotSay) {
  head_.flags = VFIO_IOMMU_INFO_PGSIZES;
  EXPECT_EQ(obstacle(), "");
  head_.iova_pgsizes = 0x1'0000;
  EXPECT_NE(obstacle().find("4096"), std::string::npos);
}

TEST_F(Iommu, WhatIsNotWholeIsNotReadBeyondItsEnd) {
  add_ranges({{0, 0xffff}, {0xfef0'0000, 0x7f'ffff'ffff}});
  for (std::size_t cut = 0; cut <= caps_.size() + sizeof head_; ++cut) obstacle(cut);  // the sanitizers look
  head_.cap_offset = 0xffff'fff0;
  EXPECT_EQ(obstacle(), "");
  // A chain that goes round ends.
  caps_.clear();
  add(vfio_info_cap_header{.id = 99, .version = 1, .next = sizeof head_});
  head_.cap_offset = sizeof head_;
  EXPECT_EQ(obstacle(), "");
}

}  // namespace
}  // namespace slotwire::driver
