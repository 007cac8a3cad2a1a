// A capture that several threads use.
#pragma once
#include <mutex>

#include "driver/card.hpp"

namespace slotwire::driver {

/// Its lock is taken for each frame, but only while a capture is on.
class LockedTap final : public FrameTap {
 public:
  /// Where frames go from now on; null: nowhere. When it returns, nothing is in a call of the tap that was there.
  void set(FrameTap* tap) {
    const std::lock_guard hold(mutex_);
    tap_ = tap;
  }
  void on_frame(bool outgoing, std::uint16_t link, std::span<const std::byte> header,
                std::span<const std::byte> payload) override {
    const std::lock_guard hold(mutex_);
    if (tap_ != nullptr) tap_->on_frame(outgoing, link, header, payload);
  }

 private:
  std::mutex mutex_;
  FrameTap* tap_ = nullptr;
};

}  // namespace slotwire::driver
