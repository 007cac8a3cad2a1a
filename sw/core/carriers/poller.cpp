#include "core/carriers/poller.hpp"

#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace slotwire::carriers {
namespace {

constexpr std::uint64_t kWakeTag = Poller::kOwnTags;
constexpr std::uint64_t kTimerTag = Poller::kOwnTags + 1;
constexpr std::uint64_t kMicrosPerSecond = 1'000'000;

/// Empties an eventfd or timerfd; both hand out eight bytes, and EAGAIN means that there was nothing.
void drain(int fd) noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(fd, &count, sizeof count);
}

}  // namespace

Poller::Poller()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
  if (!epoll_ || !wake_ || !timer_ || !add(wake_.get(), EPOLLIN, kWakeTag) || !add(timer_.get(), EPOLLIN, kTimerTag)) {
    throw_errno("making a carrier's epoll descriptor (out of descriptors? raise the limit of open files)");
  }
}

bool Poller::add(int fd, std::uint32_t events, std::uint64_t tag) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

bool Poller::change(int fd, std::uint32_t events, std::uint64_t tag) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0;
}

void Poller::remove(int fd) noexcept {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void Poller::wake() noexcept {
  if (std::exchange(woken_, true)) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = ::write(wake_.get(), &one, sizeof one);
}

void Poller::clear_wake() noexcept {
  if (std::exchange(woken_, false)) drain(wake_.get());
}

void Poller::arm(std::uint64_t now_us, std::optional<std::uint64_t> deadline_us) noexcept {
  if (deadline_us == armed_us_) return;
  itimerspec spec{};
  if (deadline_us) {
    // At least one nanosecond: zero would disarm.
    const std::uint64_t delay = *deadline_us > now_us ? *deadline_us - now_us : 0;
    spec.it_value.tv_sec = static_cast<time_t>(delay / kMicrosPerSecond);
    spec.it_value.tv_nsec = static_cast<long>(delay % kMicrosPerSecond * 1000);
    if (delay == 0) spec.it_value.tv_nsec = 1;
  }
  if (::timerfd_settime(timer_.get(), 0, &spec, nullptr) == 0) armed_us_ = deadline_us;
}

std::span<const epoll_event> Poller::wait(std::span<epoll_event> events) noexcept {
  clear_wake();
  if (events.empty()) return {};
  const int found = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  if (found <= 0) return {};
  const auto begin = events.begin();
  const auto end = begin + found;
  const auto kept = std::remove_if(begin, end, [this](const epoll_event& event) {
    if (event.data.u64 == kTimerTag) {
      drain(timer_.get());
      armed_us_.reset();  // so that the next arm() sets it again, even to the same time
    }
    return event.data.u64 >= kOwnTags;
  });
  return events.first(static_cast<std::size_t>(kept - begin));
}

}  // namespace slotwire::carriers
