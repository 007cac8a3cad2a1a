#include "driver/sharded/inbox.hpp"

#include <unistd.h>

namespace slotwire::driver {

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
