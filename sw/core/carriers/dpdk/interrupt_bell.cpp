#include "core/carriers/dpdk/interrupt_bell.hpp"

#include <rte_ethdev.h>
#include <sys/epoll.h>
#include <sys/stat.h>

namespace slotwire::carriers {

std::unique_ptr<InterruptBell> InterruptBell::of_queue(std::uint16_t port, std::uint16_t queue) {
  const int driver = ::rte_eth_dev_rx_intr_ctl_q_get_fd(port, queue);
  if (driver < 0) return nullptr;
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  // Not rte_epoll: that reads from the descriptor, and from a tap's it would read frames. A tap's is readable as long
  // as there are frames; the others are counters, which nobody resets.
  struct stat kind {};
  const bool has_frames = ::fstat(driver, &kind) == 0 && S_ISCHR(kind.st_mode);
  epoll_event event{};
  event.events = EPOLLIN;
  if (!has_frames) event.events |= EPOLLET;
  if (!epoll || ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, driver, &event) != 0)
    throw_errno("dpdk: watching the port's receive interrupt");
  return std::unique_ptr<InterruptBell>(new InterruptBell(port, queue, std::move(epoll)));
}

void InterruptBell::answer() noexcept {
  epoll_event event{};
  ::epoll_wait(epoll_.get(), &event, 1, 0);
  // Drivers without the call have their interrupts always on.
  ::rte_eth_dev_rx_intr_enable(port_, queue_);
}

void InterruptBell::mute() noexcept {
  ::rte_eth_dev_rx_intr_disable(port_, queue_);
}

}  // namespace slotwire::carriers
