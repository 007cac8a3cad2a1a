// The way from a port to this host's kernel: an interface of the kernel (TAP) that has the port's MAC address. What
// comes to the port and is not the carrier's goes into it, and what the kernel sends there goes out of the port.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/carriers/dpdk/dpdk.hpp"

namespace slotwire::carriers {

/// One thread.
class KernelInterface {
 public:
  /// Attaches to the interface `name`, which is made if it is not there and then lasts as long as this; sets its MAC
  /// address (the first byte on the wire is the most significant) and MTU (bytes of an IP packet) and brings it up. Its
  /// IP addresses are the administrator's. Throws std::runtime_error with what to do.
  KernelInterface(const std::string& name, std::uint64_t mac, std::size_t mtu);

  /// Readable (epoll) while frames of the kernel wait.
  int fd() const noexcept { return fd_.get(); }
  /// An Ethernet frame for the kernel. False: it does not take it.
  bool put(std::span<const std::byte> frame) noexcept;
  /// The next frame of the kernel, cut at out.size(). 0: there is none.
  std::size_t take(std::span<std::byte> out) noexcept;

 private:
  Fd fd_;
};

}  // namespace slotwire::carriers
