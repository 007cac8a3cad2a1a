#include "driver/bus/socket_bus.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "driver/bus/socket_bus_protocol.hpp"

namespace slotwire::driver {
namespace {

using socket_bus::kMaxAccess;
using socket_bus::Message;
using socket_bus::Op;

std::span<const std::byte> bytes_of(const Message& message) {
  return std::as_bytes(std::span(&message, 1));
}

}  // namespace

SocketBus::SocketBus(std::string path, int answer_timeout_ms, std::string program)
    : socket_("card socket", std::move(path), answer_timeout_ms, std::move(program)) {}

bool SocketBus::reconnect() {
  kept_.clear();
  interrupts_ = 0;
  return socket_.connect();
}

void SocketBus::lost(const std::string& what) {
  kept_.clear();
  socket_.lost(what);
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
  socket_.send_all(kept_);
  kept_.clear();
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
  const TimedSocket::Clock::time_point until = socket_.deadline();
  for (std::size_t messages = 0; messages <= kMostInterrupts; ++messages) {
    Message answer{};
    if (!socket_.receive_all(std::as_writable_bytes(std::span(&answer, 1)), until)) return false;
    if (answer.op == static_cast<std::uint32_t>(Op::interrupt) && answer.length == 0) {
      interrupts_ |= answer.address;
      continue;
    }
    if (answer.op != static_cast<std::uint32_t>(Op::data) || answer.length != data.size()) break;
    there = answer.address == 0;
    return socket_.receive_all(data, until);
  }
  lost("it does not keep to the protocol; are both of one release");
  return false;
}

std::uint32_t SocketBus::take_interrupts() {
  for (std::size_t messages = 0; socket_ && messages < kMostInterrupts; ++messages) {
    // Between two reads nothing but whole interrupt messages comes.
    Message message{};
    const ssize_t n = ::recv(socket_.fd(), &message, sizeof message, MSG_PEEK);
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
    if (!socket_.receive_all(std::as_writable_bytes(std::span(&message, 1)), socket_.deadline())) break;
    interrupts_ |= message.address;
  }
  return std::exchange(interrupts_, 0);
}

}  // namespace slotwire::driver
