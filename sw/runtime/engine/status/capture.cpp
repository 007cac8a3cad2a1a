#include "runtime/engine/status/capture.hpp"

#include <utility>

#include "runtime/control/closer.hpp"

namespace slotwire::engine {

bool Capture::start(slot::Fd socket, std::optional<std::uint16_t> link, std::uint32_t snaplen) {
  if (tap_ && !tap_->closed()) {
    control::Closer::of_process().close(std::move(socket));
    return false;
  }
  card_.set_tap(nullptr);  // of a capture that has ended
  tap_ = std::make_unique<CaptureTap>(std::move(socket), link,
                                      snaplen == 0 ? static_cast<std::uint32_t>(kMaxCapturedBytes) : snaplen);
  card_.set_tap(tap_.get());
  return true;
}

void Capture::tick() {
  if (!tap_ || !tap_->closed()) return;
  log_->info("capture ended: its reader has gone, {} frames were dropped", tap_->dropped());
  card_.set_tap(nullptr);
  tap_.reset();
}

}  // namespace slotwire::engine
