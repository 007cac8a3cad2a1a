// Bare TCP: a connection for each caller, one server with epoll.
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <stdexcept>
#include <system_error>

#include "bare.hpp"
#include "contender.hpp"

namespace slotwire::bench {

namespace {
constexpr int kBacklog = 1024;
constexpr std::size_t kBuffer = 1 << 16;

/// How the ends send: a send() for each request and answer, or one for all that are due.
enum class Sending { each, together };

class TcpEnd final : public CallEnd {
 public:
  TcpEnd(const std::string& port, Sending sending) : sending_(sending), fd_(bare_connection(SOCK_STREAM, port)) {}
  // Answers come in the order of the requests.
  void start(std::size_t number) override {
    under_way_.push_back(number);
    if (sending_ == Sending::each) return send_all(fd_.get(), buffer_.data(), kCallBytes);
    unsent_ += kCallBytes;
  }
  void finish(const std::function<void(std::size_t)>& done) override {
    send_all(fd_.get(), buffer_.data(), std::exchange(unsent_, 0));
    do {
      const ssize_t n = ::recv(fd_.get(), received_.data(), received_.size(), 0);
      if (n <= 0) throw std::runtime_error("the bare server ended");
      got_ += static_cast<std::size_t>(n);
    } while (got_ < kCallBytes);
    for (; got_ >= kCallBytes; got_ -= kCallBytes) {
      const std::size_t number = under_way_.front();
      under_way_.pop_front();
      done(number);
    }
  }

 private:
  Sending sending_;
  slot::Fd fd_;
  std::deque<std::size_t> under_way_;
  std::size_t unsent_ = 0, got_ = 0;
  std::array<std::byte, kBuffer> buffer_{}, received_{};
};

/// Echoes what arrives on every connection.
void serve_echo(const Ready& ready, Sending sending) {
  const slot::Fd listener = bare_listener(SOCK_STREAM);
  const slot::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  const auto watch = [&](int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event);
  };
  watch(listener.get());
  ready(bare_port(listener.get()));
  std::array<std::byte, kBuffer> buffer{};
  while (true) {
    std::array<epoll_event, 64> events{};
    const int n = ::epoll_wait(epoll.get(), events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == listener.get()) {
        const int connected = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (connected < 0) continue;
        send_at_once(connected);
        watch(connected);
        continue;
      }
      const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) ::close(fd);
      const std::size_t size = got <= 0 ? 0 : static_cast<std::size_t>(got);
      const std::size_t step = sending == Sending::each ? kCallBytes : size;
      for (std::size_t at = 0; at < size; at += step) send_all(fd, buffer.data() + at, std::min(step, size - at));
    }
  }
}

class TcpSource final : public Source {
 public:
  explicit TcpSource(const std::string& port) : fd_(bare_connection(SOCK_STREAM, port)) {}
  void send(Bytes message) override { send_all(fd_.get(), message.data(), message.size()); }

 private:
  slot::Fd fd_;
};

void receive_all(const Ready& ready, Tally& tally) {
  const slot::Fd listener = bare_listener(SOCK_STREAM);
  ready(bare_port(listener.get()));
  const slot::Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  std::vector<std::byte> buffer(std::max(tally.size(), kBuffer));
  std::size_t have = 0;
  for (bool last = false; !last;) {
    const ssize_t n = ::recv(fd.get(), buffer.data() + have, buffer.size() - have, 0);
    if (n <= 0) throw std::runtime_error("the sender ended early");
    have += static_cast<std::size_t>(n);
    const std::size_t complete = have / tally.size(), used = complete * tally.size();
    if (complete == 0) continue;
    read_lines(Bytes(buffer.data(), used));
    last = tally.count(complete);
    std::copy(buffer.begin() + static_cast<std::ptrdiff_t>(used), buffer.begin() + static_cast<std::ptrdiff_t>(have),
              buffer.begin());
    have -= used;
  }
}
}  // namespace

slot::Fd bare_listener(int type) {
  slot::Fd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      (type == SOCK_STREAM && ::listen(fd.get(), kBacklog) != 0))
    throw std::system_error(errno, std::generic_category(), "no bare listener");
  return fd;
}

std::string bare_port(int fd) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  return std::to_string(ntohs(address.sin_port));
}

slot::Fd bare_connection(int type, const std::string& port) {
  slot::Fd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw std::system_error(errno, std::generic_category(), "no bare connection");
  if (type == SOCK_STREAM) send_at_once(fd.get());
  return fd;
}

void send_at_once(int fd) {
  const int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void send_all(int fd, const std::byte* data, std::size_t size) {
  while (size != 0) {
    const ssize_t n = ::send(fd, data, size, MSG_NOSIGNAL);
    if (n <= 0) throw std::system_error(errno, std::generic_category(), "the bare peer is gone");
    data += n;
    size -= static_cast<std::size_t>(n);
  }
}

Contender bare_tcp() {
  return {.name = "bare tcp",
          .echo = [](const Ready& ready, std::size_t) { serve_echo(ready, Sending::each); },
          .call = [](const std::string& port) { return std::make_unique<TcpEnd>(port, Sending::each); },
          .sink = receive_all,
          .source = [](const std::string& port) { return std::make_unique<TcpSource>(port); }};
}

Contender bare_tcp_together() {
  return {.name = "bare tcp, sent together",
          .echo = [](const Ready& ready, std::size_t) { serve_echo(ready, Sending::together); },
          .call = [](const std::string& port) { return std::make_unique<TcpEnd>(port, Sending::together); },
          .only_several = true};
}

}  // namespace slotwire::bench
