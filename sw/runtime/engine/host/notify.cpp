#include "runtime/engine/host/notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <system_error>

namespace slotwire::engine {
namespace {

std::string status_line(std::string_view text) {
  std::string line = "STATUS=" + std::string(text.substr(0, kMaxStatusBytes));
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r' || c == '\0'; }, ' ');
  return line;
}

/// A number of the environment; 0 when it is not there or no number.
std::uint64_t number_from_environment(const char* name) {
  const char* const text = std::getenv(name);
  const std::string_view digits = text == nullptr ? "" : text;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc() && end == digits.data() + digits.size() ? number : 0;
}

/// The watchdog is another process's when WATCHDOG_PID says so.
std::chrono::microseconds watchdog_from_environment() {
  constexpr std::uint64_t kLongest = std::uint64_t{1} << 40U;
  const std::uint64_t us = number_from_environment("WATCHDOG_USEC"), pid = number_from_environment("WATCHDOG_PID");
  if (us > kLongest || (pid != 0 && pid != static_cast<std::uint64_t>(::getpid()))) return {};
  return std::chrono::microseconds(us);
}

}  // namespace

ServiceNotifier::ServiceNotifier(std::string_view address, std::chrono::microseconds watchdog)
    : watchdog_us_(static_cast<std::uint64_t>(watchdog.count())), address_(address) {
  if (address.empty()) return;
  if ((address.front() != '/' && address.front() != '@') || address.size() < 2 ||
      address.size() >= sizeof(sockaddr_un::sun_path)) {
    throw std::runtime_error(
        "NOTIFY_SOCKET is '" + std::string(address) +
        "', neither an absolute path nor an abstract name; start slotwired from its service, or unset it");
  }
  if (address_.front() == '@') address_.front() = '\0';
  socket_ = slot::Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_) throw std::system_error(errno, std::generic_category(), "a socket for NOTIFY_SOCKET cannot be made");
}

ServiceNotifier ServiceNotifier::from_environment() {
  const char* const address = std::getenv("NOTIFY_SOCKET");
  return ServiceNotifier(address == nullptr ? "" : address, watchdog_from_environment());
}

Result<void> ServiceNotifier::send(const std::string& message) {
  if (!enabled()) return {};
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address_.data(), address_.size());
  // An abstract name is exactly its bytes; a path may or may not have its zero byte.
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  const ssize_t sent = ::sendto(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&to), length);
  if (sent == static_cast<ssize_t>(message.size())) return {};
  return Error{"the service manager was not told '" + message.substr(0, message.find('\n')) + "': " +
               std::generic_category().message(errno) + "; check NOTIFY_SOCKET and NotifyAccess of the service"};
}

Result<void> ServiceNotifier::ready(std::string_view status) {
  return send(status.empty() ? "READY=1" : "READY=1\n" + status_line(status));
}

Result<void> ServiceNotifier::reloading() {
  // The manager compares this with when it asked for the reload, so it must be its clock.
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto us = static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
  return send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(us));
}

Result<void> ServiceNotifier::stopping() {
  return send("STOPPING=1");
}

Result<void> ServiceNotifier::alive(std::uint64_t now_us) {
  if (watchdog_us_ == 0 || now_us < next_alive_us_) return {};
  next_alive_us_ = now_us + watchdog_us_ / 4;
  return send("WATCHDOG=1");
}

Result<void> ServiceNotifier::status(std::string_view text) {
  return send(status_line(text));
}

}  // namespace slotwire::engine
