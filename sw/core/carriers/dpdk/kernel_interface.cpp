#include "core/carriers/dpdk/kernel_interface.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <string_view>

namespace slotwire::carriers {
namespace {

constexpr const char* kDevice = "/dev/net/tun";

[[noreturn]] void fail(const std::string& name, std::string_view what) {
  const int error = errno;
  std::string advice;
  if (error == EPERM || error == EACCES)
    advice = "; it needs CAP_NET_ADMIN, or an interface that slotwired's user owns (ip tuntap add dev " + name +
             " mode tap user USER)";
  if (error == ENOENT || error == ENODEV || error == ENXIO)
    advice = "; is there " + std::string(kDevice) + " (modprobe tun)?";
  if (error == EBUSY) advice = "; another process has it";
  if (error == EINVAL) advice = "; it is there and is no TAP interface";
  throw std::runtime_error("dpdk: the kernel's interface '" + name + "': " + std::string(what) + ": " +
                           errno_text(error) + advice);
}

}  // namespace

KernelInterface::KernelInterface(const std::string& name, std::uint64_t mac, std::size_t mtu) {
  if (name.empty() || name.size() > kMaxInterfaceName)
    throw std::runtime_error("dpdk: the kernel's interface needs a name of 1 to " + std::to_string(kMaxInterfaceName) +
                             " characters, not '" + name + "'");
  ifreq request{};
  const auto named = [&] {
    request = {};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
  };
  fd_ = Fd(::open(kDevice, O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd_) fail(name, std::string("opening ") + kDevice);
  named();
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (::ioctl(fd_.get(), TUNSETIFF, &request) != 0) fail(name, "attaching to it");
  const Fd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!any) fail(name, "opening a socket");
  named();
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  for (std::size_t i = 0; i < 6; ++i) request.ifr_hwaddr.sa_data[i] = static_cast<char>(mac >> (8 * (5 - i)) & 0xff);
  if (::ioctl(any.get(), SIOCSIFHWADDR, &request) != 0) fail(name, "setting its MAC address");
  named();
  request.ifr_mtu = static_cast<int>(mtu);
  if (::ioctl(any.get(), SIOCSIFMTU, &request) != 0) fail(name, "setting its MTU");
  named();
  if (::ioctl(any.get(), SIOCGIFFLAGS, &request) != 0) fail(name, "asking for its state");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(any.get(), SIOCSIFFLAGS, &request) != 0) fail(name, "bringing it up");
}

bool KernelInterface::put(std::span<const std::byte> frame) noexcept {
  return ::write(fd_.get(), frame.data(), frame.size()) == static_cast<ssize_t>(frame.size());
}

std::size_t KernelInterface::take(std::span<std::byte> out) noexcept {
  const ssize_t got = ::read(fd_.get(), out.data(), out.size());
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}

}  // namespace slotwire::carriers
