#include "web/bridge/loop.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace slotwire::web::bridge {

void Timer::set(Clock::duration after, std::function<void()> work) {
  cancel();
  at_ = Clock::now() + after;
  work_ = std::move(work);
  loop_.timers_.emplace(*at_, this);
}

void Timer::cancel() {
  if (!at_) return;
  loop_.timers_.erase({*at_, this});
  at_.reset();
}

Loop::Loop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) throw std::system_error(errno, std::generic_category(), "cannot create an epoll descriptor");
}

bool Loop::add(int fd, std::uint32_t events, Source& source) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &source;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void Loop::remove(int fd, Source& source) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  for (int i = events_at_; i < events_end_; ++i) {
    if (events_[static_cast<std::size_t>(i)].data.ptr == &source)
      events_[static_cast<std::size_t>(i)].data.ptr = nullptr;
  }
}

bool Loop::take_events(int timeout_ms) {
  events_end_ = std::max(::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), timeout_ms), 0);
  bool any = false;
  for (events_at_ = 0; events_at_ < events_end_;) {
    const epoll_event event = events_[static_cast<std::size_t>(events_at_++)];
    if (event.data.ptr == nullptr) continue;  // the server's slots, or a source that was removed meanwhile
    any = true;
    static_cast<Source*>(event.data.ptr)->on_events(event.events);
  }
  events_at_ = events_end_ = 0;
  return any;
}

bool Loop::ring_timers() {
  if (timers_.empty()) return false;
  bool any = false;
  const Clock::time_point now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Timer& timer = *timers_.begin()->second;
    timers_.erase(timers_.begin());
    timer.at_.reset();
    const std::function<void()> work = std::move(timer.work_);
    work();
    any = true;
  }
  return any;
}

void Loop::do_later() {
  while (!later_.empty()) {
    for (const std::function<void()>& work : std::exchange(later_, {})) work();
  }
}

int Loop::sleep_ms(const Server& server) const {
  std::optional<Clock::time_point> next = server.next_time();
  if (!timers_.empty() && (!next || timers_.begin()->first < *next)) next = timers_.begin()->first;
  if (!next) return -1;
  constexpr std::int64_t kMost = 1'000'000;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, kMost));
}

Result<void> Loop::run(Server& server, const std::function<bool()>& over) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, server.fd(), &event) != 0)
    return Error{Status::no_memory, "the slots cannot be watched: " + std::generic_category().message(errno), 0};
  while (true) {
    const Result<bool> did = server.step();
    if (!did) return did.error();
    bool worked = *did;
    worked = take_events(0) || worked;
    if (!next_turn_.empty()) {
      for (const std::function<void()>& work : std::exchange(next_turn_, {})) work();
      worked = true;
    }
    worked = ring_timers() || worked;
    do_later();
    if (over()) return {};
    if (worked) {
      waiter_.found();
      continue;
    }
    if (waiter_.stay_awake()) continue;
    if (!server.arm()) continue;
    take_events(sleep_ms(server));
    ring_timers();
    do_later();
    waiter_.slept();
  }
}

}  // namespace slotwire::web::bridge
