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

timespec time_of(std::uint64_t us) {
  return {static_cast<time_t>(us / 1'000'000), static_cast<long>(us % 1'000'000) * 1000};
}

}  // namespace

std::uint64_t monotonic_us() {
  return read_us(CLOCK_MONOTONIC);
}

std::uint64_t Reactor::used_us() const {
  return read_us(CLOCK_THREAD_CPUTIME_ID);
}

Reactor::Reactor() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), urgent_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_ || !urgent_) throw std::system_error(errno, std::generic_category(), "cannot create an epoll descriptor");
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
  handlers_[id] = std::make_shared<Handlers>(Handlers{std::move(handler), {}, false});
}

void Reactor::watch_urgent(int fd, std::function<void()> handler) {
  add(fd, EPOLLIN, {});
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = last_id_;
  if (::epoll_ctl(urgent_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    const int error = errno;
    remove(fd);
    throw std::system_error(error, std::generic_category(), "cannot watch a descriptor");
  }
  Handlers& handlers = *handlers_[last_id_];
  handlers.urgent = std::move(handler);
  handlers.is_urgent = true;
}

void Reactor::add_waker(int fd) {
  watch_urgent(fd, {});
}

void Reactor::add_urgent(int fd, std::function<void()> handler) {
  watch_urgent(fd, std::move(handler));
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
  if (handlers_[found->second.id]->is_urgent) ::epoll_ctl(urgent_.get(), EPOLL_CTL_DEL, fd, nullptr);
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

/// Timers that these start wait for the next turn, after the descriptors that are ready by then.
bool Reactor::run_timers() {
  bool any = false;
  const std::uint64_t last = last_id_;
  while (!timers_.empty() && timers_.begin()->first.second <= last && timers_.begin()->first.first <= monotonic_us()) {
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
    const std::shared_ptr<Handlers> handlers = found->second;
    handlers->handler(events);
    if (monotonic_us() >= end) break;
  }
  return any;
}

bool Reactor::call_if_urgent(std::uint64_t id) {
  const auto found = handlers_.find(id);
  if (found == handlers_.end() || !found->second->is_urgent) return false;
  const std::shared_ptr<Handlers> handlers = found->second;
  if (handlers->urgent) {
    handlers->urgent();
  } else {
    woken_ = true;
  }
  return true;
}

bool Reactor::run_urgent(std::uint64_t timeout_us) {
  const timespec wait = time_of(timeout_us);
  std::array<epoll_event, kEventsAtOnce> events;
  const int n = ::epoll_pwait2(urgent_.get(), events.data(), static_cast<int>(events.size()), &wait, nullptr);
  woken_ = n == static_cast<int>(events.size());  // there may be more of them
  for (int i = 0; i < n; ++i) call_if_urgent(events[static_cast<std::size_t>(i)].data.u64);
  return n > 0;
}

bool Reactor::call_handlers() {
  const std::uint64_t begin = monotonic_us();
  bool any = dispatch();
  any = run_timers() || any;
  spent_us_ = monotonic_us() - begin;
  return any;
}

bool Reactor::run(std::optional<std::uint64_t> timeout_us) {
  if (!fetched_.empty()) {
    run_urgent(0);
    call_handlers();
    return true;
  }
  if (!timers_.empty()) {
    const std::uint64_t now = monotonic_us();
    const std::uint64_t due = timers_.begin()->first.first;
    const std::uint64_t left = due > now ? due - now : 0;
    if (!timeout_us || left < *timeout_us) timeout_us = left;
  }
  const timespec wait = time_of(timeout_us.value_or(0));
  std::array<epoll_event, kEventsAtOnce> events;
  const int n = ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()),
                               timeout_us ? &wait : nullptr, nullptr);
  bool any = false;
  woken_ = n == static_cast<int>(events.size());  // there may be more of them
  for (int i = n - 1; i >= 0; --i) {
    // epoll_event is packed: its members are copied, since a reference to one may be misaligned.
    const std::uint64_t data = events[static_cast<std::size_t>(i)].data.u64;
    const std::uint32_t what = events[static_cast<std::size_t>(i)].events;
    if (call_if_urgent(data)) {
      any = true;
    } else {
      fetched_.emplace_back(data, what);
    }
  }
  return call_handlers() || any;
}

}  // namespace slotwire::engine
