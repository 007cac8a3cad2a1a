// A PCI function by way of the kernel's VFIO: the function is bound to vfio-pci, and an IOMMU keeps it from memory that
// is not its own.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "driver/bus/pcie/find.hpp"
#include "driver/bus/pcie/mapped_bars.hpp"
#include "driver/bus/pcie/pci_function.hpp"

namespace slotwire::driver {

struct VfioOptions {
  bool without_iommu = false;  ///< take a function that no IOMMU holds back (VFIO's noiommu mode)
  std::filesystem::path sysfs = kSysfs;
  std::filesystem::path dev = "/dev/vfio";
};

/// Why an IOMMU cannot map pages at bus addresses in `range`, by what the kernel said (struct vfio_iommu_type1_info
/// with its capabilities); empty: it can, as far as that tells.
std::string iommu_obstacle(std::span<const std::byte> info, const DmaRange& range);

class VfioFunction final : public PciFunction {
 public:
  /// `address`: as find_card() takes it. Opens nothing yet.
  VfioFunction(std::string address, VfioOptions options);
  ~VfioFunction() override { close(); }
  VfioFunction(const VfioFunction&) = delete;
  VfioFunction& operator=(const VfioFunction&) = delete;

  bool open() override;
  const std::string& error() const override { return error_; }
  const std::string& name() const override { return name_; }
  bool config_read(std::size_t offset, std::span<std::byte> data) override;
  bool config_write(std::size_t offset, std::span<const std::byte> data) override;
  std::size_t bar_bytes(unsigned bar) const override { return bar < kBars ? regions_[bar].bytes : 0; }
  void write(unsigned bar, std::size_t offset, std::span<const std::byte> data) override;
  bool read(unsigned bar, std::size_t offset, std::span<std::byte> data) override;
  void fence() override { bars_.fence(); }
  void flush() override { bars_.fence(); }
  unsigned vectors() const override { return vectors_; }
  bool set_interrupts(std::span<const int> eventfds) override;
  bool reset() override;
  int fd() const override { return gone_.get(); }
  void look() override;
  std::string dma_obstacle(const DmaRange& range) const override;
  std::string map_pages(const DmaPages& pages) override;
  void unmap_pages(const DmaPages& pages) override;

 private:
  struct Region {
    std::size_t bytes = 0;
    std::uint64_t at = 0;  ///< in the device's file
    bool mapped = false;
  };

  void close();
  bool failed(const std::string& what, const std::string& remedy);
  bool open_group(const PciLocation& location);
  bool open_device(const PciLocation& location);
  bool find_regions();
  bool set_irqs(unsigned index, std::span<const int> eventfds);

  std::string address_, name_, error_;
  VfioOptions options_;
  slot::Fd container_, group_, device_;
  bool translates_ = false;  ///< an IOMMU stands between the function and memory
  slot::Fd gone_;            ///< eventfd: the function failed, or its owner wants it back
  std::array<Region, kBars> regions_{};
  Region config_{};
  MappedBars bars_;
  unsigned vectors_ = 0;
};

}  // namespace slotwire::driver
