#include "sim/engine/sim_loop.hpp"

#include <poll.h>

#include <utility>

namespace slotwire::sim {

void Timeline::at(std::uint64_t at_us, std::function<void()> action) {
  later_.push({at_us, ++order_, std::make_shared<std::function<void()>>(std::move(action))});
}

void Timeline::advance(std::uint64_t us) {
  const std::uint64_t end = now_us_ + us;
  while (!later_.empty() && later_.top().at_us <= end) {
    const Entry entry = later_.top();
    later_.pop();
    now_us_ = std::max(now_us_, entry.at_us);
    (*entry.action)();
  }
  now_us_ = end;
}

int Timeline::add_handle(std::function<std::uint32_t()> ready) {
  handles_.emplace(++last_handle_, std::move(ready));
  return last_handle_;
}

std::uint32_t Timeline::ready(int fd) const {
  if (fd >= kFirstHandle) {
    const auto found = handles_.find(fd);
    return found == handles_.end() ? 0 : found->second();
  }
  // The events of poll() and of epoll have the same numbers.
  pollfd look{fd, POLLIN | POLLOUT, 0};
  return ::poll(&look, 1, 0) == 1 ? static_cast<std::uint32_t>(look.revents) : 0U;
}

void SimLoop::add(int fd, std::uint32_t events, Handler handler) {
  watches_[fd] = {++last_id_, events, std::make_shared<Handler>(std::move(handler))};
}

void SimLoop::modify(int fd, std::uint32_t events) {
  if (const auto found = watches_.find(fd); found != watches_.end()) found->second.events = events;
}

engine::EventLoop::TimerId SimLoop::after(std::uint64_t delay_us, std::function<void()> action) {
  const TimerId id{now_us() + delay_us, ++last_id_};
  timers_.emplace(id, std::move(action));
  return id;
}

bool SimLoop::run() {
  bool any = false;
  const std::uint64_t last = last_id_;
  while (!timers_.empty() && timers_.begin()->first.second <= last && timers_.begin()->first.first <= now_us()) {
    const std::function<void()> action = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    action();
    any = true;
  }
  std::vector<std::pair<int, std::uint64_t>> looked_at;
  for (const auto& [fd, watch] : watches_) looked_at.emplace_back(fd, watch.id);
  for (const auto& [fd, id] : looked_at) {
    const auto found = watches_.find(fd);
    if (found == watches_.end() || found->second.id != id) continue;
    const std::uint32_t ready = timeline_.ready(fd) & (found->second.events | EPOLLHUP | EPOLLERR);
    if (ready == 0) continue;
    const std::shared_ptr<Handler> handler = found->second.handler;
    (*handler)(ready);
    any = true;
  }
  return any;
}

}  // namespace slotwire::sim
