#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "content.hpp"
#include "core/slot/memory.hpp"
#include "ends.hpp"
#include "report.hpp"
#include "sampler.hpp"

namespace slotwire::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kTurnBytes = 65'536;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::system_category(), what);
}

sockaddr_in address_of(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (colon == std::string::npos || ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1)
    throw std::runtime_error("'" + text + "' is no IPv4 address with a port");
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoul(text.substr(colon + 1))));
  return address;
}

slot::Fd socket_of(const sockaddr_in& address, bool listens) {
  slot::Fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!made) fail("cannot make a socket");
  const auto* const at = reinterpret_cast<const sockaddr*>(&address);
  const int on = 1;
  if (!listens) return made;
  ::setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(made.get(), at, sizeof address) != 0 || ::listen(made.get(), SOMAXCONN) != 0) fail("cannot listen");
  return made;
}

void become_nonblocking(int fd) {
  if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0) fail("cannot make a socket nonblocking");
}

std::chrono::milliseconds until(Clock::time_point end) {
  return std::max(std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()), std::chrono::milliseconds(0));
}

struct Outgoing {
  slot::Fd socket;
  std::uint64_t number;
  std::uint64_t bytes = 0;
};

slot::Fd connected(const SenderOptions& options) {
  const sockaddr_in address = address_of(options.to);
  slot::Fd made = socket_of(address, false);
  const std::string& name = options.algorithm;
  if (::setsockopt(made.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size())) != 0)
    throw std::system_error(errno, std::system_category(), "the kernel has no congestion control '" + name + "'");
  if (::connect(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("cannot connect");
  become_nonblocking(made.get());
  return made;
}

void write_some(Outgoing& to) {
  std::array<std::byte, kTurnBytes> bytes;
  fill_content(bytes, to.number, to.bytes);
  const ssize_t sent = ::send(to.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent > 0) to.bytes += static_cast<std::uint64_t>(sent);
  if (sent < 0 && errno != EAGAIN) fail("cannot send");
}

/// What the kernel counted, as fields of JSON.
std::string tcp_counts(const std::vector<Outgoing>& streams) {
  std::uint64_t sent = 0, again = 0, rtt_us = 0;
  for (const Outgoing& one : streams) {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(one.socket.get(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) fail("cannot read TCP_INFO");
    sent += info.tcpi_data_segs_out;
    again += info.tcpi_total_retrans;
    rtt_us = std::max<std::uint64_t>(rtt_us, info.tcpi_rtt);
  }
  return ", \"segments\": " + std::to_string(sent) + ", \"segments_again\": " + std::to_string(again) +
         ", \"rtt_us\": " + std::to_string(rtt_us);
}

struct Incoming {
  slot::Fd socket;
  ContentReader reader{};
  bool wrong = false, ended = false;
};

void read_some(Incoming& from, Sampler& sampler) {
  std::array<std::byte, kTurnBytes> bytes;
  const ssize_t got = ::recv(from.socket.get(), bytes.data(), bytes.size(), 0);
  if (got < 0 && errno == EAGAIN) return;
  from.ended = got <= 0;  // the sender resets its connections when its time is over
  if (from.ended) return;
  const auto part = std::span(bytes).first(static_cast<std::size_t>(got));
  if (!from.wrong && !from.reader.check(part)) from.wrong = true;
  sampler.add(part.size());
}

void accept_one(int listener, std::vector<Incoming>& streams) {
  slot::Fd made(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (made) streams.push_back({std::move(made)});
}

}  // namespace

void send_over_tcp(const SenderOptions& options) {
  std::vector<Outgoing> streams;
  for (std::size_t i = 0; i < options.connections; ++i) streams.push_back({connected(options), options.first + i});
  say_ready();
  if (!wait_for_start()) return;
  const Clock::time_point end = Clock::now() + options.time;
  while (Clock::now() < end) {
    std::vector<pollfd> watched;
    for (const Outgoing& one : streams) watched.push_back({one.socket.get(), POLLOUT, 0});
    if (::poll(watched.data(), watched.size(), static_cast<int>(until(end).count())) < 0) fail("cannot wait");
    for (std::size_t i = 0; i < watched.size(); ++i)
      if (watched[i].revents != 0) write_some(streams[i]);
  }
  const std::string counts = tcp_counts(streams);
  std::map<std::uint64_t, std::uint64_t> sent;
  for (const Outgoing& one : streams) {
    sent[one.number] = one.bytes;
    const linger at_once{1, 0};
    ::setsockopt(one.socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  streams.clear();
  say_end(sent, 0, counts);
}

void sink_of_tcp(const SinkOptions& options) {
  const slot::Fd listener = socket_of(address_of(options.at), true);
  become_nonblocking(listener.get());
  std::vector<Incoming> streams;
  std::size_t ended = 0;
  Sampler sampler;
  say_ready();
  while (ended < options.connections) {
    std::vector<pollfd> watched{{listener.get(), POLLIN, 0}};
    for (const Incoming& one : streams) watched.push_back({one.ended ? -1 : one.socket.get(), POLLIN, 0});
    if (::poll(watched.data(), watched.size(), static_cast<int>(until(sampler.next()).count())) < 0)
      fail("cannot wait");
    for (std::size_t i = 1; i < watched.size(); ++i) {
      if (watched[i].revents == 0) continue;
      read_some(streams[i - 1], sampler);
      if (streams[i - 1].ended) ++ended;
    }
    if (watched[0].revents != 0) accept_one(listener.get(), streams);
    sampler.tick(Clock::now());
  }
  std::map<std::uint64_t, std::uint64_t> received;
  std::size_t wrong = 0;
  for (const Incoming& one : streams) {
    received[one.reader.number()] += one.reader.bytes();
    wrong += one.wrong ? 1 : 0;
  }
  say_end(received, wrong);
}

}  // namespace slotwire::bench
