#include "runtime/engine/status/capture.hpp"

#include <utility>

#include "runtime/control/closer.hpp"

namespace slotwire::engine {

void Capture::start(slot::Fd socket, std::optional<std::uint16_t> link, std::uint32_t snaplen, Holder holder) {
  if (tap_ && !tap_->closed()) {
    const std::string who = "process " + std::to_string(holder_.pid) + " of user " + std::to_string(holder_.uid);
    if (holder.uid != 0 || holder_.uid == 0) {
      control::Closer::of_process().close(std::move(socket));
      throw control::Refusal{"busy", "another capture is running on this node: that of " + who};
    }
    end("root captures in place of " + who);
  }
  show_(nullptr);  // of a capture that has ended
  tap_ = std::make_unique<CaptureTap>(std::move(socket), link,
                                      snaplen == 0 ? static_cast<std::uint32_t>(kMaxCapturedBytes) : snaplen);
  holder_ = holder;
  taken_ = dropped_ = 0;
  stalled_since_us_.reset();
  show_(tap_.get());
}

void Capture::tick(std::uint64_t now_us) {
  if (!tap_) return;
  if (tap_->closed()) return end("its reader has gone");
  const std::uint64_t taken = tap_->sent();
  const std::uint64_t dropped = tap_->dropped();
  if (taken != taken_) stalled_since_us_.reset();
  if (taken == taken_ && dropped != dropped_ && !stalled_since_us_) stalled_since_us_ = now_us;
  taken_ = taken;
  dropped_ = dropped;
  if (stalled_since_us_ && now_us - *stalled_since_us_ > kPatienceUs) end("its reader takes no frames");
}

void Capture::end(const std::string& why) {
  log_.limited("capture", spdlog::level::info,
               "capture ended: " + why + ", " + std::to_string(tap_->dropped()) + " frames were dropped");
  show_(nullptr);
  tap_.reset();
}

}  // namespace slotwire::engine
