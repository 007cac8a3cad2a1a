// A PCI function made of variables, and a directory that looks like sysfs.
#pragma once
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/regs/regs.hpp"
#include "driver/bus/pcie/pci_function.hpp"
#include "temporary_directory.hpp"

namespace slotwire::test {

constexpr std::uint32_t kFakeSlots = 16, kFakeLines = 1024;

/// The first line of a card's capability page.
inline std::array<std::uint32_t, 16> fake_capabilities() {
  std::array<std::uint32_t, 16> page{};
  page[regs::kCapMagic / 4] = regs::kCapMagicValue;
  page[regs::kCapVersion / 4] = regs::kCapVersionValue;
  page[regs::kCapSlots / 4] = kFakeSlots;
  page[regs::kCapLinks / 4] = 4;
  page[regs::kCapMaxRingOrder / 4] = 6;
  page[regs::kCapMemoryLines / 4] = kFakeLines;
  page[regs::kCapMaxFrameLines / 4] = 22;
  page[regs::kCapVectors / 4] = 4;
  return page;
}

/// Says what is called, in `calls`: "w BAR OFFSET BYTES", "r BAR OFFSET BYTES", "fence", "flush", "open", "reset",
/// "interrupts N". Outlived by what it belongs to: see FakePci::owned().
struct FakePci {
  std::vector<std::string> calls;
  std::array<std::vector<std::byte>, driver::PciFunction::kBars> bars;
  std::uint32_t ids = regs::kPciVendor | std::uint32_t{regs::kPciDevice} << 16;
  std::uint16_t command = 0;
  unsigned vectors = 4;
  bool there = true;    ///< can be opened and reached
  bool powered = true;  ///< else all reads are ones
  bool resets = true;   ///< a reset works
  /// What happens in the middle of the next read of more than half a line.
  std::function<void(std::span<std::byte>)> in_the_middle;
  std::vector<int> eventfds;
  int fd = -1;  ///< of the function itself
  std::string dma_obstacle;
  std::string error;

  FakePci() {
    bars[regs::kPciRegistersBar].resize(regs::kPciRegistersBytes);
    bars[regs::kPciDoorbellsBar].resize(2 * kFakeSlots * regs::kPageBytes);
    bars[regs::kPciMemoryBar].resize(kFakeLines * regs::kLineBytes);
    set_capabilities(fake_capabilities());
  }
  void set_capabilities(const std::array<std::uint32_t, 16>& page) {
    std::memcpy(bars[regs::kPciRegistersBar].data(), page.data(), sizeof page);
  }
  std::unique_ptr<driver::PciFunction> owned();
};

class FakePciFunction final : public driver::PciFunction {
 public:
  explicit FakePciFunction(FakePci& pci) : pci_(pci) {}
  bool open() override {
    pci_.calls.emplace_back("open");
    pci_.error = pci_.there ? "" : "the fake is away";
    return pci_.there;
  }
  const std::string& error() const override { return pci_.error; }
  const std::string& name() const override { return name_; }
  bool config_read(std::size_t offset, std::span<std::byte> data) override {
    if (offset == 0) std::memcpy(data.data(), &pci_.ids, data.size());
    if (offset == 4) std::memcpy(data.data(), &pci_.command, data.size());
    return pci_.there;
  }
  bool config_write(std::size_t offset, std::span<const std::byte> data) override {
    if (offset == 4) std::memcpy(&pci_.command, data.data(), data.size());
    return pci_.there;
  }
  std::size_t bar_bytes(unsigned bar) const override { return pci_.bars.at(bar).size(); }
  void write(unsigned bar, std::size_t offset, std::span<const std::byte> data) override {
    say("w", bar, offset, data.size());
    std::memcpy(pci_.bars.at(bar).data() + offset, data.data(), data.size());
  }
  bool read(unsigned bar, std::size_t offset, std::span<std::byte> data) override {
    say("r", bar, offset, data.size());
    std::memcpy(data.data(), pci_.bars.at(bar).data() + offset, data.size());
    if (!pci_.powered) std::memset(data.data(), 0xff, data.size());
    if (pci_.in_the_middle && data.size() > 32) std::exchange(pci_.in_the_middle, nullptr)(data);
    return pci_.there;
  }
  void fence() override { pci_.calls.emplace_back("fence"); }
  void flush() override { pci_.calls.emplace_back("flush"); }
  unsigned vectors() const override { return pci_.vectors; }
  bool set_interrupts(std::span<const int> eventfds) override {
    pci_.calls.push_back("interrupts " + std::to_string(eventfds.size()));
    pci_.eventfds.assign(eventfds.begin(), eventfds.end());
    return true;
  }
  bool reset() override {
    pci_.calls.emplace_back("reset");
    if (!pci_.resets) pci_.error = "the fake cannot be reset";
    return pci_.resets;
  }
  int fd() const override { return pci_.fd; }
  void look() override { pci_.error = "the fake went away"; }
  std::string dma_obstacle(const driver::DmaRange&) const override { return pci_.dma_obstacle; }
  std::string map_pages(const driver::DmaPages& pages) override {
    pci_.calls.push_back("map " + std::to_string(pages.bytes));
    return {};
  }
  void unmap_pages(const driver::DmaPages& pages) override {
    pci_.calls.push_back("unmap " + std::to_string(pages.bytes));
  }

 private:
  void say(const char* what, unsigned bar, std::size_t offset, std::size_t bytes) {
    pci_.calls.push_back(what + (" " + std::to_string(bar)) + " " + std::to_string(offset) + " " +
                         std::to_string(bytes));
  }
  FakePci& pci_;
  std::string name_ = "fake";
};

inline std::unique_ptr<driver::PciFunction> FakePci::owned() {
  return std::make_unique<FakePciFunction>(*this);
}

/// Directories and files as the kernel has them for PCI functions.
class FakeSysfs {
 public:
  const std::filesystem::path& root() const { return directory_.path(); }
  std::filesystem::path function(const std::string& address) const { return root() / "bus/pci/devices" / address; }
  void add(const std::string& address, const std::string& vendor, const std::string& device) {
    std::filesystem::create_directories(function(address));
    put(address, "vendor", vendor + "\n");
    put(address, "device", device + "\n");
  }
  /// A card whose BARs are plain files; `combined`: slot memory can be mapped write-combined.
  void add_card(const std::string& address, bool combined = true) {
    add(address, "0x534c", "0x5457");
    FakePci pci;
    for (const unsigned bar : {regs::kPciRegistersBar, regs::kPciDoorbellsBar, regs::kPciMemoryBar}) {
      const std::string bytes(reinterpret_cast<const char*>(pci.bars[bar].data()), pci.bars[bar].size());
      put(address, "resource" + std::to_string(bar), bytes);
      if (combined && bar == regs::kPciMemoryBar) put(address, "resource4_wc", bytes);
    }
    std::string config(64, '\0');
    std::memcpy(config.data(), &pci.ids, sizeof pci.ids);
    put(address, "config", config);
    put(address, "reset", "");
  }
  void put(const std::string& address, const std::string& file, const std::string& text) const {
    std::ofstream(function(address) / file, std::ios::binary) << text;
  }
  void link(const std::string& address, const std::string& name, const std::string& target) const {
    std::filesystem::create_symlink(target, function(address) / name);
  }

 private:
  TemporaryDirectory directory_;
};

}  // namespace slotwire::test
