#include "runtime/blocks/waits.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <limits>
#include <system_error>

namespace slotwire::blocks {
namespace {

/// Wake-ups that one look takes.
constexpr int kMaxDrained = 64;
constexpr std::uint64_t kSocket = ~std::uint64_t{0};
constexpr std::uint64_t kMeans = kSocket - 1;

void add(int epoll, int fd, std::uint64_t data) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = data;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot watch a descriptor (fs.epoll.max_user_watches)");
}

}  // namespace

Deadline earlier(const Deadline& deadline, std::chrono::milliseconds most) {
  const Deadline soon = std::chrono::steady_clock::now() + most;
  return deadline && *deadline < *soon ? deadline : soon;
}

Sleeper::Sleeper(Region& region)
    : region_(region), socket_(region.make_waker(waker_)), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) {
    throw std::system_error(errno, std::generic_category(),
                            "cannot create an epoll instance (raise the open-file limit, LimitNOFILE or ulimit -n)");
  }
  add(epoll_.get(), socket_.get(), kSocket);
  if (region.means().fd() >= 0) add(epoll_.get(), region.means().fd(), kMeans);
}

void Sleeper::watch(const std::vector<std::uint32_t>& members) {
  if (!region_.means().sweeps()) return;
  for (auto one = watched_.begin(); one != watched_.end();) {
    const Member& member = region_.memory().members.at(one->first);
    const bool stays = std::find(members.begin(), members.end(), one->first) != members.end() &&
                       member.pid == one->second.pid && member.start_time == one->second.start_time;
    one = stays ? std::next(one) : unwatch(one);
  }
  for (const std::uint32_t number : members) {
    const Member& member = region_.memory().members.at(number);
    if (number == region_.self() || watched_.contains(number)) continue;
    slot::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(member.pid), 0)));
    if (!process || !is_alive(member.pid, member.start_time)) {
      ended_ = true;
      continue;
    }
    add(epoll_.get(), process.get(), number);
    watched_[number] = {member.pid, member.start_time, std::move(process)};
  }
}

std::map<std::uint32_t, Sleeper::Watch>::iterator Sleeper::unwatch(std::map<std::uint32_t, Watch>::iterator one) {
  // Closing is not enough: a child that this process forked has the descriptor too, and then epoll keeps it and reports
  // for ever that the process has ended.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, one->second.process.get(), nullptr);
  return watched_.erase(one);
}

bool Sleeper::sleep(const Deadline& deadline) {
  int timeout = -1;
  if (deadline) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return false;
    timeout = static_cast<int>(std::min<std::int64_t>(left, std::numeric_limits<int>::max()));
  }
  if (ended_) return true;
  pollfd ready{epoll_.get(), POLLIN, 0};
  if (::poll(&ready, 1, timeout) > 0) drain();
  return true;
}

bool Sleeper::sweep_if_ended() {
  if (!ended_) return false;
  ended_ = false;
  const Region::Lock lock(region_);
  region_.sweep();
  return true;
}

void Sleeper::drain() {
  std::array<epoll_event, 16> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t data = events.at(static_cast<std::size_t>(i)).data.u64;
    if (data == kSocket) {
      char byte = 0;
      // Bounded: whoever sends without end gets no more of this process than this.
      for (int n = 0; n < kMaxDrained && ::recv(socket_.get(), &byte, sizeof byte, MSG_DONTWAIT) >= 0; ++n) {
      }
    } else if (data == kMeans) {
      // It stays readable when the other side has gone.
      if (!region_.means().drain()) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, region_.means().fd(), nullptr);
    } else {
      ended_ = true;
      const auto one = watched_.find(static_cast<std::uint32_t>(data));
      if (one != watched_.end()) unwatch(one);
    }
  }
}

}  // namespace slotwire::blocks
