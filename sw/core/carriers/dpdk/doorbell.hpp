// The bell of a port whose driver has no receive interrupt but sits on an interface of the kernel.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/carriers/dpdk/bell.hpp"
#include "core/carriers/socket.hpp"

namespace slotwire::carriers {

/// A second raw socket on the port's interface that becomes readable when a frame arrives that is the carrier's: ARP,
/// or UDP to its address and one of its ports. The frames themselves come through the port; of those here one byte is
/// kept, of few. Make it before the port: the kernel hands a frame to the newest socket first, so that what rings is in
/// the port.
class Doorbell final : public Bell {
 public:
  /// `vlan`: the tag of the frames, 0 none. `ip`: the first byte on the wire is the most significant. `last_port`: at
  /// least `port`. Throws std::system_error or std::runtime_error.
  Doorbell(const std::string& interface, std::uint32_t vlan, std::uint32_t ip, std::uint16_t port,
           std::uint16_t last_port);

  std::string_view name() const noexcept override { return "doorbell socket"; }
  int fd() const noexcept override { return socket_.get(); }
  /// Takes what has rung so far, at most kMaxRings: more leave fd() readable.
  void answer() noexcept override;

  static constexpr int kMaxRings = 64;

 private:
  Fd socket_;
};

}  // namespace slotwire::carriers
