#include "tap.hpp"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace slotwire::bench {
namespace {

slot::Fd opened(const char* path, int flags) {
  slot::Fd fd(::open(path, flags | O_CLOEXEC));
  if (!fd) throw std::system_error(errno, std::system_category(), std::string("cannot open ") + path);
  return fd;
}

}  // namespace

Tap::Tap(const std::string& device) {
  ifreq request{};
  if (device.empty() || device.size() >= sizeof request.ifr_name)
    throw std::invalid_argument("a device's name has 1 to 15 bytes");
  if (::unshare(CLONE_NEWNET) != 0)
    throw std::system_error(errno, std::system_category(), "cannot make a network namespace (this needs root)");
  space_ = opened("/proc/thread-self/ns/net", O_RDONLY);
  device_ = opened("/dev/net/tun", O_RDWR | O_NONBLOCK);
  std::memcpy(request.ifr_name, device.data(), device.size());
  // No virtio header: the kernel cuts what it would leave to the device (GSO), so every read is a packet of the wire.
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (::ioctl(device_.get(), TUNSETIFF, &request) != 0)
    throw std::system_error(errno, std::system_category(), "cannot make the TAP device " + device);
}

std::string Tap::space_path() const {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(space_.get());
}

std::size_t Tap::read(std::span<std::byte> into) {
  const ssize_t got = ::read(device_.get(), into.data(), into.size());
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}

bool Tap::write(std::span<const std::byte> frame) {
  return ::write(device_.get(), frame.data(), frame.size()) == static_cast<ssize_t>(frame.size());
}

}  // namespace slotwire::bench
