// The bell of a port whose driver has receive interrupts.
#pragma once
#include <cstdint>
#include <memory>

#include "core/carriers/dpdk/bell.hpp"
#include "core/carriers/socket.hpp"

namespace slotwire::carriers {

class InterruptBell final : public Bell {
 public:
  /// `port` is DPDK's number of a started port that was configured with receive interrupts. Nothing when its driver
  /// gives out no descriptor for its receive queue `queue`. Throws std::system_error.
  static std::unique_ptr<InterruptBell> of_queue(std::uint16_t port, std::uint16_t queue);

  std::string_view name() const noexcept override { return "receive interrupt"; }
  int fd() const noexcept override { return epoll_.get(); }
  void answer() noexcept override;
  void mute() noexcept override;

 private:
  InterruptBell(std::uint16_t port, std::uint16_t queue, Fd epoll)
      : port_(port), queue_(queue), epoll_(std::move(epoll)) {}

  std::uint16_t port_, queue_;
  Fd epoll_;  ///< holds the driver's descriptor
};

}  // namespace slotwire::carriers
