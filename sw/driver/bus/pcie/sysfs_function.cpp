#include "driver/bus/pcie/sysfs_function.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/regs/regs.hpp"

namespace slotwire::driver {

SysfsFunction::SysfsFunction(std::string address, std::filesystem::path sysfs, Stores& stores)
    : address_(std::move(address)),
      name_("PCIe " + (address_.empty() ? std::string("card") : address_)),
      error_(name_ + ": not opened yet"),
      sysfs_(std::move(sysfs)),
      bars_(stores) {}

bool SysfsFunction::failed(const std::string& what, const std::string& remedy) {
  error_ = name_ + ": " + what + "; " + remedy;
  bars_.clear();
  config_ = {};
  return false;
}

bool SysfsFunction::open() {
  bars_.clear();
  config_ = {};
  combined_ = {};
  error_.clear();
  const FoundCard found = find_card(address_, sysfs_);
  if (!found.error.empty()) {
    error_ = found.error;
    return false;
  }
  name_ = "PCIe " + found.location.address + " (sysfs)";
  if (!found.location.driver.empty()) {
    return failed(
        "driver " + found.location.driver + " is bound to it",
        "unbind it (driverctl set-override " + found.location.address + " none), or use kind = \"pcie\" with vfio-pci");
  }
  function_ = sysfs_ / "bus/pci/devices" / found.location.address;
  config_ = slot::Fd(::open((function_ / "config").c_str(), O_RDWR | O_CLOEXEC));
  if (!config_) {
    return failed((function_ / "config").string() + ": " + std::strerror(errno),
                  "run as root, or let this user write it");
  }
  return map(regs::kPciRegistersBar) && map(regs::kPciDoorbellsBar) && map(regs::kPciMemoryBar);
}

bool SysfsFunction::map(unsigned bar) {
  // Slot memory is write-combined where the BAR is prefetchable; registers and doorbells never are.
  const std::filesystem::path plain = function_ / ("resource" + std::to_string(bar));
  slot::Fd fd;
  if (bar == regs::kPciMemoryBar) fd = slot::Fd(::open((plain.string() + "_wc").c_str(), O_RDWR | O_CLOEXEC));
  combined_[bar] = static_cast<bool>(fd);
  if (!fd) fd = slot::Fd(::open(plain.c_str(), O_RDWR | O_CLOEXEC));
  struct stat file {};
  if (!fd || ::fstat(fd.get(), &file) != 0 || file.st_size <= 0) {
    return failed(plain.string() + ": " + std::strerror(fd ? ENODEV : errno),
                  "run as root, or let this user write it; the kernel must not be locked down");
  }
  const auto bytes = static_cast<std::size_t>(file.st_size);
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED)
    return failed(plain.string() + " cannot be mapped (" + std::strerror(errno) + ")", "see the kernel's log");
  bars_.set(bar, slot::Mapping(static_cast<std::byte*>(at), bytes), combined_[bar]);
  return true;
}

bool SysfsFunction::config_read(std::size_t offset, std::span<std::byte> data) {
  if (config_ && ::pread(config_.get(), data.data(), data.size(), static_cast<off_t>(offset)) ==
                     static_cast<ssize_t>(data.size())) {
    return true;
  }
  return failed("its configuration space cannot be read", "run as root; see the kernel's log");
}

bool SysfsFunction::config_write(std::size_t offset, std::span<const std::byte> data) {
  if (config_ && ::pwrite(config_.get(), data.data(), data.size(), static_cast<off_t>(offset)) ==
                     static_cast<ssize_t>(data.size())) {
    return true;
  }
  return failed("its configuration space cannot be written", "run as root; see the kernel's log");
}

bool SysfsFunction::reset() {
  const slot::Fd fd(::open((function_ / "reset").c_str(), O_WRONLY | O_CLOEXEC));
  if (fd && ::write(fd.get(), "1", 1) == 1) return true;
  return failed(std::string("it cannot be reset (") + std::strerror(errno) + ")", "see the kernel's log");
}

}  // namespace slotwire::driver
