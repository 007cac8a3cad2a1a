#include "driver/bus/window_frames.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace slotwire::driver {
namespace {

constexpr std::size_t kLine = regs::kLineBytes, kWord = 4;
constexpr std::uint32_t kThere = 1U << 31, kLast = 1U << 30, kBegun = 1U << 29, kBytes = 0x7f;

constexpr std::uint32_t at(std::size_t offset) {
  return static_cast<std::uint32_t>(regs::kWindowFrames + offset);
}

}  // namespace

WindowFrames::WindowFrames(WindowDevice& window) : window_(window) {
  frame_.reserve(kMaxFrame);
  if ((window_.read(at(regs::kFramesSend)) & kBegun) != 0) {
    // What the earlier process sent of it goes out cut off; its receivers drop it.
    constexpr std::byte kNothing{0};
    send_line({&kNothing, 1}, true);
  }
  // Where in a frame the line is that waits is not known.
  for (;;) {
    const std::uint32_t state = window_.read(at(regs::kFramesReceive));
    if ((state & kThere) == 0) break;
    window_.write(at(regs::kFramesReceive), 0);
    skip_ = (state & kLast) == 0;
    if (!skip_) break;
  }
}

std::span<const std::byte> WindowFrames::receive() {
  if (whole_) {
    frame_.clear();
    whole_ = false;
  }
  for (;;) {
    const std::uint32_t state = window_.read(at(regs::kFramesReceive));
    const std::size_t bytes = state & kBytes;
    if ((state & kThere) == 0 || bytes > kLine) return {};
    if (frame_.size() + bytes > kMaxFrame) skip_ = true;
    for (std::size_t i = 0; i < bytes && !skip_; i += kWord) {
      const std::uint32_t value = window_.read(at(regs::kFramesReceiveLine + i));
      const std::size_t n = std::min(kWord, bytes - i);
      const std::size_t had = frame_.size();
      frame_.resize(had + n);
      std::memcpy(frame_.data() + had, &value, n);
    }
    window_.write(at(regs::kFramesReceive), 0);
    if ((state & kLast) == 0) continue;
    if (!std::exchange(skip_, false)) {
      whole_ = true;
      return frame_;
    }
    frame_.clear();
  }
}

bool WindowFrames::send_line(std::span<const std::byte> line, bool last) {
  for (int looks = 0; (window_.read(at(regs::kFramesSend)) & kThere) == 0; ++looks) {
    if (looks == kRoomLooks) return false;
  }
  for (std::size_t i = 0; i < line.size(); i += kWord) {
    std::uint32_t value = 0;
    std::memcpy(&value, line.data() + i, std::min(kWord, line.size() - i));
    window_.write(at(regs::kFramesSendLine + i), value);
  }
  window_.write(at(regs::kFramesSend), static_cast<std::uint32_t>(line.size()) | (last ? kLast : 0));
  return true;
}

bool WindowFrames::send(std::span<const std::byte> frame) {
  if (frame.empty() || frame.size() > kMaxFrame) return false;
  while (!frame.empty()) {
    const std::size_t n = std::min(frame.size(), kLine);
    if (!send_line(frame.first(n), n == frame.size())) return false;
    frame = frame.subspan(n);
  }
  return true;
}

}  // namespace slotwire::driver
