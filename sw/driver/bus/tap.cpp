#include "driver/bus/tap.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace slotwire::driver {
namespace {

using slot::Fd;

[[noreturn]] void fail(const std::string& what, const std::string& remedy) {
  const int error = errno;
  throw std::runtime_error(what + ": " + std::strerror(error) + "; " + remedy);
}

}  // namespace

InNamespace::InNamespace(const std::string& name) {
  if (name.empty()) return;
  const std::string path = name.find('/') == std::string::npos ? "/run/netns/" + name : name;
  home_ = Fd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  const Fd there(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!home_ || !there || ::setns(there.get(), CLONE_NEWNET) != 0) {
    fail("network namespace " + path, "make it (ip netns add), and run as root");
  }
}

InNamespace::~InNamespace() {
  if (home_) static_cast<void>(::setns(home_.get(), CLONE_NEWNET));
}

Tap::Tap(const std::string& name, const std::string& where) {
  const InNamespace there(where);
  fd_ = Fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd_) fail("/dev/net/tun", "load the tun module, and run as root");
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(fd_.get(), TUNSETIFF, &request) != 0)
    fail("TAP interface " + name, "choose a name that is free, and run as root");
  // A card keeps its address: one that is made anew under this name in this namespace has the same.
  std::uint64_t address = 0xcbf29ce484222325U;  // FNV-1a
  std::string whole = name;
  whole.append("@").append(where);
  for (const char c : whole) address = (address ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  ifreq hardware{};
  name.copy(hardware.ifr_name, IFNAMSIZ - 1);
  hardware.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  hardware.ifr_hwaddr.sa_data[0] = 0x02;  // locally administered
  for (int i = 1; i < 6; ++i) hardware.ifr_hwaddr.sa_data[i] = static_cast<char>(address >> (8 * i));
  if (::ioctl(fd_.get(), SIOCSIFHWADDR, &hardware) != 0)
    fail("TAP interface " + name, "its address cannot be set; run as root");
}

std::size_t Tap::receive(std::span<std::byte> room) {
  const ssize_t n = ::read(fd_.get(), room.data(), room.size());
  return n > 0 ? static_cast<std::size_t>(n) : 0;
}

void Tap::send(std::span<const std::byte> frame) {
  static_cast<void>(!::write(fd_.get(), frame.data(), frame.size()));
}

}  // namespace slotwire::driver
