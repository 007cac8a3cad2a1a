#include "driver/bus/pcie/vfio_function.hpp"

#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/regs/regs.hpp"

namespace slotwire::driver {

/// Reads what the kernel may say: every offset and length in it is checked.
std::string iommu_obstacle(std::span<const std::byte> info, const DmaRange& range) {
  vfio_iommu_type1_info head{};
  if (info.size() < sizeof head) return "the kernel says nothing of what the IOMMU can";
  std::memcpy(&head, info.data(), sizeof head);
  if ((head.flags & VFIO_IOMMU_INFO_PGSIZES) != 0 &&
      (head.iova_pgsizes & (2 * std::uint64_t{regs::kPageBytes} - 1)) == 0) {
    return "the IOMMU maps no pieces as small as a page of " + std::to_string(regs::kPageBytes) + " bytes";
  }
  if ((head.flags & VFIO_IOMMU_INFO_CAPS) == 0) return {};  // an old kernel: mapping says what is wrong
  constexpr int kMostCapabilities = 32;
  std::size_t at = head.cap_offset;
  for (int looks = 0; at != 0 && looks < kMostCapabilities; ++looks) {
    vfio_info_cap_header cap{};
    if (at > info.size() || info.size() - at < sizeof cap) break;
    std::memcpy(&cap, info.data() + at, sizeof cap);
    vfio_iommu_type1_info_cap_iova_range ranges{};
    if (cap.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE && info.size() - at >= sizeof ranges) {
      std::memcpy(&ranges, info.data() + at, sizeof ranges);
      std::size_t one = at + sizeof ranges;
      for (std::uint32_t n = 0; n < ranges.nr_iovas; ++n, one += sizeof(vfio_iova_range)) {
        vfio_iova_range iovas{};
        if (one > info.size() || info.size() - one < sizeof iovas) break;
        std::memcpy(&iovas, info.data() + one, sizeof iovas);
        if (iovas.start <= range.first && range.first <= iovas.end && range.bytes - 1 <= iovas.end - range.first)
          return {};
      }
      return "the IOMMU's addresses do not reach far enough for all slots; lower limits.slots";
    }
    at = cap.next;
  }
  return {};
}

VfioFunction::VfioFunction(std::string address, VfioOptions options)
    : address_(std::move(address)),
      name_("PCIe " + (address_.empty() ? std::string("card") : address_)),
      error_(name_ + ": not opened yet"),
      options_(std::move(options)) {}

void VfioFunction::close() {
  bars_.clear();
  regions_ = {};
  device_ = {};
  group_ = {};
  container_ = {};
  translates_ = false;
  gone_ = {};
}

bool VfioFunction::failed(const std::string& what, const std::string& remedy) {
  error_ = name_ + ": " + what + "; " + remedy;
  close();
  return false;
}

bool VfioFunction::open() {
  close();
  error_.clear();
  const FoundCard found = find_card(address_, options_.sysfs);
  if (!found.error.empty()) {
    error_ = found.error;
    return false;
  }
  const PciLocation& location = found.location;
  name_ = "PCIe " + location.address + " (VFIO)";
  if (location.driver != "vfio-pci") {
    return failed(
        location.driver.empty() ? "no driver is bound to it" : "driver " + location.driver + " is bound to it",
        "bind vfio-pci (driverctl set-override " + location.address + " vfio-pci; docs/deploy-card.md)");
  }
  if (location.group.empty()) {
    return failed("it is in no IOMMU group",
                  "switch the IOMMU on (firmware settings, and intel_iommu=on on the kernel's command line), or load "
                  "vfio with enable_unsafe_noiommu_mode=1 and allow that (card.allow_no_iommu)");
  }
  return open_group(location) && open_device(location) && find_regions();
}

bool VfioFunction::open_group(const PciLocation& location) {
  std::filesystem::path file = options_.dev / location.group;
  const bool without =
      !std::filesystem::exists(file) && std::filesystem::exists(options_.dev / ("noiommu-" + location.group));
  if (without && !options_.without_iommu) {
    return failed("no IOMMU holds it back from the memory of others",
                  "switch the IOMMU on, or take that risk with card.allow_no_iommu = true");
  }
  if (without) file = options_.dev / ("noiommu-" + location.group);
  container_ = slot::Fd(::open((options_.dev / "vfio").c_str(), O_RDWR | O_CLOEXEC));
  if (!container_) {
    const int error = errno;
    return failed((options_.dev / "vfio").string() + ": " + std::strerror(error),
                  error == ENOENT ? "load the module vfio-pci" : "let this user open it (packaging/60-slotwire.rules)");
  }
  group_ = slot::Fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  if (!group_) {
    const int error = errno;
    return failed(file.string() + ": " + std::strerror(error),
                  error == EBUSY ? "another program has the card, stop it (one slotwired to a card)"
                                 : "let this user open it (packaging/60-slotwire.rules)");
  }
  vfio_group_status status{};
  status.argsz = sizeof status;
  if (::ioctl(group_.get(), VFIO_GROUP_GET_STATUS, &status) != 0 || (status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) {
    return failed("other functions of its IOMMU group " + location.group + " are in use by the kernel",
                  "bind them to vfio-pci, too (ls /sys/kernel/iommu_groups/" + location.group + "/devices)");
  }
  const int container = container_.get();
  if (::ioctl(group_.get(), VFIO_GROUP_SET_CONTAINER, &container) != 0 ||
      ::ioctl(container, VFIO_SET_IOMMU, without ? VFIO_NOIOMMU_IOMMU : VFIO_TYPE1_IOMMU) != 0) {
    return failed(std::string("the IOMMU cannot be set up (") + std::strerror(errno) + ")",
                  errno == EPERM
                      ? "load vfio_iommu_type1 with allow_unsafe_interrupts=1 if this host cannot remap interrupts"
                      : "load the module vfio_iommu_type1");
  }
  translates_ = !without;
  return true;
}

bool VfioFunction::open_device(const PciLocation& location) {
  device_ = slot::Fd(::ioctl(group_.get(), VFIO_GROUP_GET_DEVICE_FD, location.address.c_str()));
  if (!device_)
    return failed(std::string("VFIO does not give it (") + std::strerror(errno) + ")", "look at the kernel's log");
  return true;
}

bool VfioFunction::find_regions() {
  for (unsigned index = 0; index <= VFIO_PCI_CONFIG_REGION_INDEX; ++index) {
    vfio_region_info info{};
    info.argsz = sizeof info;
    info.index = index;
    if (::ioctl(device_.get(), VFIO_DEVICE_GET_REGION_INFO, &info) != 0) continue;
    if (index == VFIO_PCI_CONFIG_REGION_INDEX) config_ = {info.size, info.offset, false};
    if (index >= kBars || info.size == 0) continue;
    regions_[index] = {info.size, info.offset, false};
    if ((info.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) continue;
    void* const at =
        ::mmap(nullptr, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, device_.get(), static_cast<off_t>(info.offset));
    // A BAR that cannot be mapped is read and written through the device's file.
    if (at == MAP_FAILED) continue;
    bars_.set(index, slot::Mapping(static_cast<std::byte*>(at), info.size), false);
    regions_[index].mapped = true;
  }
  vfio_irq_info irq{};
  irq.argsz = sizeof irq;
  irq.index = VFIO_PCI_MSIX_IRQ_INDEX;
  vectors_ = ::ioctl(device_.get(), VFIO_DEVICE_GET_IRQ_INFO, &irq) == 0 ? std::min(irq.count, kMostVectors) : 0;
  gone_ = slot::Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!gone_)
    return failed(std::string("an eventfd cannot be had (") + std::strerror(errno) + ")", "raise the limit of files");
  const int gone = gone_.get();
  for (const unsigned index : {VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX}) {
    irq.index = index;
    if (::ioctl(device_.get(), VFIO_DEVICE_GET_IRQ_INFO, &irq) == 0 && irq.count == 1)
      set_irqs(index, std::span(&gone, 1));
  }
  return true;
}

bool VfioFunction::set_irqs(unsigned index, std::span<const int> eventfds) {
  std::vector<std::byte> room(sizeof(vfio_irq_set) + eventfds.size_bytes());
  vfio_irq_set set{};
  set.argsz = static_cast<std::uint32_t>(room.size());
  set.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
  set.index = index;
  set.count = static_cast<std::uint32_t>(eventfds.size());
  std::memcpy(room.data(), &set, sizeof set);
  std::memcpy(room.data() + sizeof set, eventfds.data(), eventfds.size_bytes());
  return ::ioctl(device_.get(), VFIO_DEVICE_SET_IRQS, room.data()) == 0;
}

bool VfioFunction::set_interrupts(std::span<const int> eventfds) {
  if (device_ && set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, eventfds)) return true;
  return failed(std::string("its interrupts cannot be had (") + std::strerror(errno) + ")", "look at the kernel's log");
}

bool VfioFunction::config_read(std::size_t offset, std::span<std::byte> data) {
  if (device_ && ::pread(device_.get(), data.data(), data.size(), static_cast<off_t>(config_.at + offset)) ==
                     static_cast<ssize_t>(data.size())) {
    return true;
  }
  return failed("its configuration space cannot be read", "look at the kernel's log");
}

bool VfioFunction::config_write(std::size_t offset, std::span<const std::byte> data) {
  if (device_ && ::pwrite(device_.get(), data.data(), data.size(), static_cast<off_t>(config_.at + offset)) ==
                     static_cast<ssize_t>(data.size())) {
    return true;
  }
  return failed("its configuration space cannot be written", "look at the kernel's log");
}

void VfioFunction::write(unsigned bar, std::size_t offset, std::span<const std::byte> data) {
  if (bar >= kBars || !device_) return;
  const Region& region = regions_[bar];
  if (region.mapped) return bars_.write(bar, offset, data);
  if (offset > region.bytes || data.size() > region.bytes - offset) return;
  static_cast<void>(!::pwrite(device_.get(), data.data(), data.size(), static_cast<off_t>(region.at + offset)));
}

bool VfioFunction::read(unsigned bar, std::size_t offset, std::span<std::byte> data) {
  if (bar >= kBars || !device_) return false;
  const Region& region = regions_[bar];
  if (region.mapped) return bars_.read(bar, offset, data);
  return offset <= region.bytes && data.size() <= region.bytes - offset &&
         ::pread(device_.get(), data.data(), data.size(), static_cast<off_t>(region.at + offset)) ==
             static_cast<ssize_t>(data.size());
}

bool VfioFunction::reset() {
  if (device_ && ::ioctl(device_.get(), VFIO_DEVICE_RESET) == 0) return true;
  return failed(std::string("it cannot be reset (") + std::strerror(errno) + ")", "look at the kernel's log");
}

// --- memory of this process for the function ---

std::string VfioFunction::dma_obstacle(const DmaRange& range) const {
  if (!container_ || !translates_) {
    return "no IOMMU keeps the card to the pages that it is given; switch the IOMMU on (docs/deploy-card.md)";
  }
  vfio_iommu_type1_info head{};
  head.argsz = sizeof head;
  if (::ioctl(container_.get(), VFIO_IOMMU_GET_INFO, &head) != 0) {
    return std::string("the kernel does not say what the IOMMU can (") + std::strerror(errno) + ")";
  }
  constexpr std::uint32_t kMostInfo = 64U << 10;
  std::vector<std::byte> room(std::clamp<std::uint32_t>(head.argsz, sizeof head, kMostInfo));
  head.argsz = static_cast<std::uint32_t>(room.size());
  std::memcpy(room.data(), &head, sizeof head);
  if (::ioctl(container_.get(), VFIO_IOMMU_GET_INFO, room.data()) != 0) {
    return std::string("the kernel does not say what the IOMMU can (") + std::strerror(errno) + ")";
  }
  return iommu_obstacle(room, range);
}

std::string VfioFunction::map_pages(const DmaPages& pages) {
  if (!container_ || !translates_) return dma_obstacle({});
  vfio_iommu_type1_dma_map map{};
  map.argsz = sizeof map;
  map.flags = VFIO_DMA_MAP_FLAG_WRITE;
  map.vaddr = reinterpret_cast<std::uintptr_t>(pages.memory);
  map.iova = pages.address;
  map.size = pages.bytes;
  if (::ioctl(container_.get(), VFIO_IOMMU_MAP_DMA, &map) == 0) return {};
  switch (errno) {
    case ENOMEM:
      return "the limit of locked memory is reached; raise it (LimitMEMLOCK=infinity, as the service unit has it)";
    case ENOSPC:
      return "the IOMMU driver takes no more pieces; raise dma_entry_limit of the module vfio_iommu_type1";
    default:
      return std::string("the IOMMU cannot map it (") + std::strerror(errno) + "); look at the kernel's log";
  }
}

void VfioFunction::unmap_pages(const DmaPages& pages) {
  if (!container_ || !translates_) return;  // the end of the container ended all
  vfio_iommu_type1_dma_unmap unmap{};
  unmap.argsz = sizeof unmap;
  unmap.iova = pages.address;
  unmap.size = pages.bytes;
  static_cast<void>(::ioctl(container_.get(), VFIO_IOMMU_UNMAP_DMA, &unmap));
}

void VfioFunction::look() {
  std::uint64_t count = 0;
  if (!gone_ || ::read(gone_.get(), &count, sizeof count) != sizeof count) return;
  failed("the function failed, or is being taken away", "look at the kernel's log");
}

}  // namespace slotwire::driver
