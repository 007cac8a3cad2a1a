#include "driver/soft/link_control.hpp"

#include <algorithm>

namespace slotwire::driver {

std::uint64_t LinkControl::hold_down(std::uint16_t link, std::uint64_t now_us) {
  const std::uint64_t pause = links_[link].breaker.pause_us();
  links_[link].down_until_us = now_us + pause;
  next_us_ = std::min(next_us_, links_[link].down_until_us);
  return pause;
}

std::size_t LinkControl::next_due(std::uint64_t now_us) {
  next_us_ = ~std::uint64_t{0};
  std::size_t due = kNone;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    std::uint64_t& until = links_[i].down_until_us;
    if (until == 0) continue;
    if (due == kNone && until <= now_us) {
      due = i;
      until = 0;
    } else {
      next_us_ = std::min(next_us_, until);
    }
  }
  return due;
}

}  // namespace slotwire::driver
