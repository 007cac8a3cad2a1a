#include "driver/bus/window_host.hpp"

#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>

namespace slotwire::driver {

using Clock = std::chrono::steady_clock;

std::chrono::microseconds PollPace::next(bool something, Clock::time_point now) {
  if (something) {
    busy_until_ = now + kBusy;
    pause_ = std::chrono::microseconds{0};
  }
  if (now < busy_until_) return std::chrono::microseconds{0};
  pause_ = std::clamp(2 * pause_, kFirst, kLast);
  return pause_;
}

WindowHost::WindowHost(WindowDevice& window, std::uint32_t memory_lines, const std::string& bus,
                       const std::string& interface)
    : window_(window),
      port_(window, memory_lines),
      bus_(bus, port_),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  if (!timer_) throw std::runtime_error("a timer descriptor cannot be had; raise the limit of open files");
  if (interface.empty()) return;
  const std::size_t at = interface.find('@');
  tap_.emplace(interface.substr(0, at), at == std::string::npos ? "" : interface.substr(at + 1));
  frames_.emplace(window);
  room_.resize(WindowFrames::kMaxFrame);
}

/// Are there interrupts that slotwired has to hear of.
bool WindowHost::tell() {
  if (!bus_.has_driver()) return false;
  const auto now = Clock::now();
  if (told_ && now - told_at_ < kTellAgain) return false;
  const std::uint32_t pending = window_.read(static_cast<std::uint32_t>(regs::kWindowControl + regs::kCtlPending));
  if (pending == 0) return false;
  bus_.interrupt(pending);
  told_ = true;
  told_at_ = now;
  return true;
}

bool WindowHost::carry_frames() {
  if (!tap_) return false;
  bool any = false;
  for (int n = 0; n < kFramesATurn; ++n) {
    const auto frame = frames_->receive();
    if (frame.empty()) break;
    tap_->send(frame);
    any = true;
  }
  for (int n = 0; n < kFramesATurn; ++n) {
    const std::size_t bytes = tap_->receive(room_);
    if (bytes == 0) break;
    frames_->send(std::span<const std::byte>(room_).first(bytes));
    any = true;
  }
  return any;
}

void WindowHost::run(const std::atomic<bool>& stopping) {
  PollPace pace;
  auto next_look = Clock::now();
  while (!stopping.load(std::memory_order_acquire)) {
    if (look_ && Clock::now() >= next_look) {
      next_look = Clock::now() + kLook;
      look_();
    }
    bool any = bus_.poll();
    if (any) told_ = false;  // it may have cleared what it was told of
    port_.flush();
    any |= tell();
    any |= carry_frames();
    const auto pause = pace.next(any, Clock::now());
    if (pause.count() != 0) sleep(pause);
  }
}

void WindowHost::sleep(std::chrono::microseconds pause) {
  itimerspec until{};
  until.it_value.tv_nsec = std::chrono::nanoseconds(pause).count();
  ::timerfd_settime(timer_.get(), 0, &until, nullptr);
  std::array<pollfd, 3> watched{
      {{bus_.fd(), POLLIN, 0}, {timer_.get(), POLLIN, 0}, {tap_ ? tap_->fd() : -1, POLLIN, 0}}};
  ::poll(watched.data(), watched.size(), -1);
  std::uint64_t expired = 0;
  static_cast<void>(!::read(timer_.get(), &expired, sizeof expired));
}

}  // namespace slotwire::driver
