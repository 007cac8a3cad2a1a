#include "driver/sharded/inbox.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace slotwire::driver {

Inbox::Inbox(std::size_t slots, std::size_t sessions)
    : looks_(slots), kicks_(sessions), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_) throw std::system_error(errno, std::generic_category(), "cannot create an eventfd for a worker");
}

void Inbox::signal() noexcept {
  const std::uint64_t one = 1;
  while (::write(wake_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

/// A signal that was meant for an earlier sleep ends no later one; nothing is read where nobody signalled.
void Inbox::prepare_sleep() noexcept {
  if (armed_ && !asleep_.load(std::memory_order_seq_cst)) {
    armed_ = false;
    ++owed_;
  }
  std::uint64_t signals = 0;
  if (owed_ != 0 && ::read(wake_.get(), &signals, sizeof signals) == static_cast<ssize_t>(sizeof signals)) {
    owed_ -= signals;
  }
  if (armed_) return;  // who takes it from here on signals
  asleep_.store(true, std::memory_order_seq_cst);
  armed_ = true;
}

}  // namespace slotwire::driver
