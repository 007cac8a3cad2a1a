#include "runtime/engine/host/reactor.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <system_error>

namespace slotwire::engine {
namespace {

constexpr std::size_t kEventsAtOnce = 64;

std::uint64_t read_us(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return (static_cast<std::uint64_t>(now.tv_sec) * 1'000'000) + (static_cast<std::uint64_t>(now.tv_nsec) / 1000);
}

}  // namespace

std::uint64_t monotonic_us() {
  return read_us(CLOCK_MONOTONIC);
}

std::uint64_t Reactor::used_us() const {
  return read_us(CLOCK_THREAD_CPUTIME_ID);
}

Reactor::Reactor() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) throw std::system_error(errno, std::generic_category(), "cannot create an epoll descriptor");
}

void Reactor::add(int fd, std::uint32_t events, Handler handler) {
  const std::uint64_t id = ++last_id_;
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot watch a descriptor");
  }
  watches_[fd] = {id, events};
  handlers_[id] = std::make_shared<Handler>(std::move(handler));
}

void Reactor::add_waker(int fd) {
  add(fd, EPOLLIN, {});
  handlers_[last_id_] = nullptr;
}

void Reactor::modify(int fd, std::uint32_t events) {
  const auto found = watches_.find(fd);
  if (found == watches_.end() || found->second.events == events) return;
  epoll_event event{};
  event.events = events;
  event.data.u64 = found->second.id;
  found->second.events = events;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Reactor::remove(int fd) {
  const auto found = watches_.find(fd);
  if (found == watches_.end()) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  handlers_.erase(found->second.id);
  watches_.erase(found);
}

Reactor::TimerId Reactor::after(std::uint64_t delay_us, std::function<void()> action) {
  const TimerId timer{monotonic_us() + delay_us, ++last_id_};
  timers_.emplace(timer, std::move(action));
  return timer;
}

void Reactor::cancel(TimerId timer) {
  timers_.erase(timer);
}

bool Reactor::run_timers() {
  bool any = false;
  while (!timers_.empty() && timers_.begin()->first.first <= monotonic_us()) {
    const auto node = timers_.extract(timers_.begin());
    node.mapped()();
    any = true;
  }
  return any;
}

bool Reactor::dispatch() {
  const bool any = !fetched_.empty();
  const std::uint64_t end = monotonic_us() + kDispatchUs;
  while (!fetched_.empty()) {
    const auto [id, events] = fetched_.back();
    fetched_.pop_back();
    const auto found = handlers_.find(id);
    if (found == handlers_.end()) continue;  // removed by a handler before it
    const std::shared_ptr<Handler> handler = found->second;
    if (handler == nullptr) continue;
    (*handler)(events);
    if (monotonic_us() >= end) break;
  }
  return any;
}

bool Reactor::run(std::optional<std::uint64_t> timeout_us) {
  if (!fetched_.empty()) {
    dispatch();
    run_timers();
    return true;
  }
  if (!timers_.empty()) {
    const std::uint64_t now = monotonic_us();
    const std::uint64_t due = timers_.begin()->first.first;
    const std::uint64_t left = due > now ? due - now : 0;
    if (!timeout_us || left < *timeout_us) timeout_us = left;
  }
  timespec wait{};
  if (timeout_us) {
    wait.tv_sec = static_cast<time_t>(*timeout_us / 1'000'000);
    wait.tv_nsec = static_cast<long>(*timeout_us % 1'000'000) * 1000;
  }
  std::array<epoll_event, kEventsAtOnce> events;
  const int n = ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()),
                               timeout_us ? &wait : nullptr, nullptr);
  bool any = false;
  woken_ = n == static_cast<int>(events.size());  // there may be more of them
  for (int i = n - 1; i >= 0; --i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    const auto found = handlers_.find(event.data.u64);
    if (found != handlers_.end() && found->second == nullptr) {
      woken_ = any = true;
      continue;
    }
    fetched_.emplace_back(event.data.u64, event.events);
  }
  any = dispatch() || any;
  return run_timers() || any;
}

}  // namespace slotwire::engine
