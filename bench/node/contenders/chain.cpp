#include "chain.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <unordered_map>

#include "bare.hpp"

namespace slotwire::bench {
namespace {

constexpr std::size_t kBuffer = std::size_t{256} << 10;
constexpr int kEvents = 64;

/// Accepts connections, makes one to `next` for each, and passes bytes on in both directions until it is killed. It
/// waits in send(), as nobody here sends in both directions without reading.
void pass_on(const Ready& ready, const std::string& next) {
  const slot::Fd listener = bare_listener(SOCK_STREAM), epoll(::epoll_create1(EPOLL_CLOEXEC));
  const auto watch = [&](int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event);
  };
  watch(listener.get());
  ready(bare_port(listener.get()));
  std::unordered_map<int, int> others;
  std::vector<std::byte> buffer(kBuffer);
  while (true) {
    std::array<epoll_event, kEvents> events{};
    const int n = ::epoll_wait(epoll.get(), events.data(), kEvents, -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events.at(static_cast<std::size_t>(i)).data.fd;
      if (fd == listener.get()) {
        const int from = ::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC);
        if (from < 0) continue;
        send_at_once(from);
        const int to = bare_connection(SOCK_STREAM, next).release();
        others[from] = to;
        others[to] = from;
        watch(from);
        watch(to);
        continue;
      }
      const auto other = others.find(fd);
      if (other == others.end()) continue;  // closed with its other end in this turn
      const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
      bool ended = got <= 0;
      for (ssize_t sent = 0; !ended && sent < got;) {
        const ssize_t n_sent =
            ::send(other->second, buffer.data() + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
        ended = n_sent <= 0;
        sent += n_sent;
      }
      if (!ended) continue;
      const int end = other->second;
      others.erase(fd);
      others.erase(end);
      ::close(fd);
      ::close(end);
    }
  }
}

}  // namespace

Chain::Chain(std::size_t links, const std::string& port) : port_(port) {
  for (std::size_t i = 0; i < links; ++i) {
    links_.push_back(
        std::make_unique<Part>("a link of a chain", [next = port_](const Ready& ready) { pass_on(ready, next); }));
    port_ = links_.back()->wait();
  }
}

std::vector<pid_t> Chain::pids() const {
  std::vector<pid_t> pids;
  for (const auto& link : links_) pids.push_back(link->pid());
  return pids;
}

}  // namespace slotwire::bench
