#include "driver/bus/bar_window.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "core/slot/memory.hpp"

namespace slotwire::driver {
namespace {

constexpr std::size_t kWindowBytes = std::size_t{1} << regs::kWindowBits;

}  // namespace

BarWindow::BarWindow(const std::string& file, std::size_t offset) {
  const slot::Fd fd(::open(file.c_str(), O_RDWR | O_SYNC | O_CLOEXEC));
  if (!fd) {
    throw std::runtime_error(file + ": " + std::strerror(errno) +
                             "; look whether the card is there (lspci) and run as root or as a user who may open it");
  }
  struct stat what {};
  if (::fstat(fd.get(), &what) != 0 || static_cast<std::size_t>(what.st_size) < offset + kWindowBytes) {
    throw std::runtime_error(file + " is too small for a window at " + std::to_string(offset) +
                             "; choose the BAR and the offset that the shell has");
  }
  void* at = ::mmap(nullptr, kWindowBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), static_cast<off_t>(offset));
  if (at == MAP_FAILED) {
    throw std::runtime_error(
        file + " cannot be mapped: " + std::strerror(errno) +
        "; memory of the device must be enabled (a driver bound, or `setpci -s ADDRESS COMMAND=2:2`)");
  }
  words_ = static_cast<volatile std::uint32_t*>(at);
}

BarWindow::~BarWindow() {
  ::munmap(const_cast<std::uint32_t*>(words_), kWindowBytes);
}

void BarWindow::write(std::uint32_t offset, std::uint32_t value) {
  words_[offset / sizeof value] = value;
}

std::uint32_t BarWindow::read(std::uint32_t offset) {
  return words_[offset / sizeof(std::uint32_t)];
}

}  // namespace slotwire::driver
