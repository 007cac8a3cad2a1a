// Steering by a program of ours in the kernel (XDP), and the bell, for ports of net_af_xdp.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "core/carriers/dpdk/bell.hpp"
#include "core/carriers/socket.hpp"
#include "core/pipeline/ethernet.hpp"

namespace slotwire::carriers {

/// The program for one interface, from before its port is opened until after it is closed. The driver attaches it.
class XdpSteering {
 public:
  /// Nothing when the program was not built (clang or libbpf was missing). Takes away what a slotwired that was killed
  /// has left on the interface; throws std::runtime_error or std::system_error when another one is at work there.
  static std::unique_ptr<XdpSteering> on_interface(const std::string& interface, unsigned vlan,
                                                   const pipeline::Endpoint& own);
  ~XdpSteering();
  XdpSteering(const XdpSteering&) = delete;
  XdpSteering& operator=(const XdpSteering&) = delete;

  /// Where the driver finds the program.
  std::string path() const { return "/proc/self/fd/" + std::to_string(object_.get()); }

 private:
  XdpSteering(unsigned index, Fd claim, Fd object)
      : index_(index), claim_(std::move(claim)), object_(std::move(object)) {}

  unsigned index_;
  Fd claim_;  ///< says to others that the interface is taken, for as long as this process lives
  Fd object_;
};

/// Rings as long as frames wait in the socket that the driver of the port has made.
class XdpBell final : public Bell {
 public:
  explicit XdpBell(int socket) noexcept : socket_(socket) {}

  std::string_view name() const noexcept override { return "XDP socket"; }
  int fd() const noexcept override { return socket_; }
  void answer() noexcept override {}

 private:
  int socket_;  ///< the driver's
};

}  // namespace slotwire::carriers
