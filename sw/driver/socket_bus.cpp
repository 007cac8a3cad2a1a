#include "driver/socket_bus.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "driver/socket_bus_protocol.hpp"

namespace slotwire::driver {
namespace {

using socket_bus::kMaxAccess;
using socket_bus::Message;
using socket_bus::Op;

std::span<const std::byte> bytes_of(const Message& message) {
  return std::as_bytes(std::span(&message, 1));
}

}  // namespace

SocketBus::SocketBus(std::string path, int answer_timeout_ms)
    : path_(std::move(path)), answer_timeout_ms_(answer_timeout_ms) {
  if (path_.size() >= sizeof(sockaddr_un::sun_path)) {
    throw std::invalid_argument("card socket " + path_ + ": the path is longer than " +
                                std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes; choose a shorter one");
  }
  broken_ = "card socket " + path_ + ": not connected yet";
}

bool SocketBus::reconnect() {
  // A card takes one driver at a time: the old connection must be gone first.
  socket_ = {};
  kept_.clear();
  interrupts_ = 0;
  slot::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::memcpy(at.sun_path, path_.data(), path_.size());
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
    const int error = errno;
    broken_ = "card socket " + path_ + ": " + std::strerror(error) +
              (error == EAGAIN ? "; others wait for this card already, stop them (one slotwired to a card)"
                               : "; start the simulated card (slotwire-simcard) first");
    return false;
  }
  socket_ = std::move(fd);
  broken_.clear();
  return true;
}

void SocketBus::lost(const std::string& what) {
  socket_ = {};
  kept_.clear();
  broken_ = "card socket " + path_ + ": " + what + "; look at the simulated card's log";
}

/// Waits for the socket, until the deadline at most.
bool SocketBus::wait_for(short events, Clock::time_point until, const char* what) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd ready{socket_.get(), events, 0};
    const int polled = left <= 0 ? 0 : ::poll(&ready, 1, static_cast<int>(left));
    if (polled > 0) return true;
    if (polled < 0 && errno == EINTR) continue;
    lost(std::string(what) + " for " + std::to_string(answer_timeout_ms_) + " ms");
    return false;
  }
}

bool SocketBus::send_all(std::span<const std::byte> bytes) {
  const Clock::time_point until = deadline();
  while (!bytes.empty() && socket_) {
    const ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      if (!wait_for(POLLOUT, until, "the card took nothing")) return false;
      continue;
    }
    if (n <= 0) {
      lost(std::string("the card went away (") + std::strerror(errno) + ")");
      return false;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return static_cast<bool>(socket_);
}

bool SocketBus::receive_all(std::span<std::byte> bytes, Clock::time_point until) {
  while (!bytes.empty() && socket_) {
    const ssize_t n = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      if (!wait_for(POLLIN, until, "no answer")) return false;
      continue;
    }
    if (n <= 0) {
      lost(n == 0 ? "the card went away" : std::string("the card went away (") + std::strerror(errno) + ")");
      return false;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return static_cast<bool>(socket_);
}

void SocketBus::write(std::size_t address, std::span<const std::byte> data) {
  while (!data.empty() && socket_) {
    const std::size_t n = std::min(data.size(), kMaxAccess);
    const Message message{static_cast<std::uint32_t>(Op::write), static_cast<std::uint32_t>(address),
                          static_cast<std::uint32_t>(n)};
    if (kept_.size() + sizeof message + n > kKeptBytes) flush();
    if (!socket_) return;
    const auto header = bytes_of(message);
    kept_.insert(kept_.end(), header.begin(), header.end());
    kept_.insert(kept_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(n));
    data = data.subspan(n);
    address += n;
  }
}

void SocketBus::flush() {
  if (kept_.empty() || !socket_) return;
  if (send_all(kept_)) kept_.clear();
}

bool SocketBus::read(std::size_t address, std::span<std::byte> data) {
  bool there = true;
  while (!data.empty()) {
    if (!socket_) return false;
    const std::size_t n = std::min(data.size(), kMaxAccess);
    const Message request{static_cast<std::uint32_t>(Op::read), static_cast<std::uint32_t>(address),
                          static_cast<std::uint32_t>(n)};
    const auto header = bytes_of(request);
    kept_.insert(kept_.end(), header.begin(), header.end());
    flush();
    bool answered = false;
    if (!receive_answer(data.first(n), answered)) return false;
    there = there && answered;
    data = data.subspan(n);
    address += n;
  }
  return there;
}

/// The answer to a read, and the interrupts that came before it.
bool SocketBus::receive_answer(std::span<std::byte> data, bool& there) {
  const Clock::time_point until = deadline();
  for (std::size_t messages = 0; messages <= kMostInterrupts; ++messages) {
    Message answer{};
    if (!receive_all(std::as_writable_bytes(std::span(&answer, 1)), until)) return false;
    if (answer.op == static_cast<std::uint32_t>(Op::interrupt) && answer.length == 0) {
      interrupts_ |= answer.address;
      continue;
    }
    if (answer.op != static_cast<std::uint32_t>(Op::data) || answer.length != data.size()) break;
    there = answer.address == 0;
    return receive_all(data, until);
  }
  lost("it does not keep to the protocol; are both of one release");
  return false;
}

std::uint32_t SocketBus::take_interrupts() {
  for (std::size_t messages = 0; socket_ && messages < kMostInterrupts; ++messages) {
    // Between two reads nothing but whole interrupt messages comes.
    Message message{};
    const ssize_t n = ::recv(socket_.get(), &message, sizeof message, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (n <= 0) {
      lost("the card went away");
      break;
    }
    if (static_cast<std::size_t>(n) < sizeof message) break;
    if (message.op != static_cast<std::uint32_t>(Op::interrupt) || message.length != 0) {
      lost("it does not keep to the protocol; are both of one release");
      break;
    }
    if (!receive_all(std::as_writable_bytes(std::span(&message, 1)), deadline())) break;
    interrupts_ |= message.address;
  }
  return std::exchange(interrupts_, 0);
}

}  // namespace slotwire::driver
