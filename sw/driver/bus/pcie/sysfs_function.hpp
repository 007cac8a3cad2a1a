// A PCI function by way of sysfs: its BARs mapped from resourceN. No driver and no IOMMU stands between it and this
// process, and there are no interrupts: for development only, and only when asked for.
#pragma once
#include <array>
#include <string>

#include "driver/bus/pcie/find.hpp"
#include "driver/bus/pcie/mapped_bars.hpp"
#include "driver/bus/pcie/pci_function.hpp"

namespace slotwire::driver {

class SysfsFunction final : public PciFunction {
 public:
  /// `address`: as find_card() takes it. Opens nothing yet.
  explicit SysfsFunction(std::string address, std::filesystem::path sysfs = kSysfs, Stores& stores = best_stores());

  bool open() override;
  const std::string& error() const override { return error_; }
  const std::string& name() const override { return name_; }
  bool config_read(std::size_t offset, std::span<std::byte> data) override;
  bool config_write(std::size_t offset, std::span<const std::byte> data) override;
  std::size_t bar_bytes(unsigned bar) const override { return bars_.bytes(bar); }
  void write(unsigned bar, std::size_t offset, std::span<const std::byte> data) override {
    bars_.write(bar, offset, data);
  }
  bool read(unsigned bar, std::size_t offset, std::span<std::byte> data) override {
    return bars_.read(bar, offset, data);
  }
  void fence() override { bars_.fence(); }
  void flush() override { bars_.fence(); }
  unsigned vectors() const override { return 0; }
  bool set_interrupts(std::span<const int> eventfds) override { return eventfds.empty(); }
  bool reset() override;
  int fd() const override { return -1; }
  std::string dma_obstacle(const DmaRange& /*range*/) const override {
    return "no IOMMU is set up for a card that is reached through sysfs; use card.pci_access = \"vfio\"";
  }
  std::string map_pages(const DmaPages& /*pages*/) override { return dma_obstacle({}); }
  void unmap_pages(const DmaPages& /*pages*/) override {}
  /// Is the BAR mapped write-combined.
  bool combined(unsigned bar) const { return bar < kBars && combined_[bar]; }

 private:
  bool failed(const std::string& what, const std::string& remedy);
  bool map(unsigned bar);

  std::string address_, name_, error_;
  std::filesystem::path sysfs_, function_;
  slot::Fd config_;
  MappedBars bars_;
  std::array<bool, kBars> combined_{};
};

}  // namespace slotwire::driver
