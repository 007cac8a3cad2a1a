#include "driver/bus/timed_socket.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "core/slot/open_files.hpp"

namespace slotwire::driver {

TimedSocket::TimedSocket(std::string what, std::string path, int timeout_ms, std::string program)
    : what_(std::move(what)), path_(std::move(path)), program_(std::move(program)), timeout_ms_(timeout_ms) {
  if (path_.size() >= sizeof(sockaddr_un::sun_path)) {
    throw std::invalid_argument(what_ + " " + path_ + ": the path is longer than " +
                                std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes; choose a shorter one");
  }
  error_ = what_ + " " + path_ + ": not connected yet";
}

bool TimedSocket::connect() {
  // A card takes one driver at a time: the old connection must be gone first.
  socket_ = {};
  slot::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::memcpy(at.sun_path, path_.data(), path_.size());
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
    const int error = errno;
    error_ = what_ + " " + path_ + ": " + std::strerror(error) +
             (error == EAGAIN ? "; others wait for this card already, stop them (one slotwired to a card)"
                              : "; start " + program_ + " first");
    return false;
  }
  slot::accept_descriptors(fd.get(), false);  // no answer has any
  socket_ = std::move(fd);
  error_.clear();
  return true;
}

void TimedSocket::lost(const std::string& why) {
  socket_ = {};
  error_ = what_ + " " + path_ + ": " + why + "; look at the log of " + program_;
}

/// Waits for the socket, until the deadline at most.
bool TimedSocket::wait_for(short events, Clock::time_point until, const char* what) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd ready{socket_.get(), events, 0};
    const int polled = left <= 0 ? 0 : ::poll(&ready, 1, static_cast<int>(left));
    if (polled > 0) return true;
    if (polled < 0 && errno == EINTR) continue;
    lost(std::string(what) + " for " + std::to_string(timeout_ms_) + " ms");
    return false;
  }
}

bool TimedSocket::send_all(std::span<const std::byte> bytes, std::span<const int> fds) {
  const Clock::time_point until = deadline();
  std::vector<std::byte> control(fds.empty() ? 0 : CMSG_SPACE(fds.size_bytes()));
  while (!bytes.empty() && socket_) {
    iovec io{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &io;
    message.msg_iovlen = 1;
    if (!control.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* const c = CMSG_FIRSTHDR(&message);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(fds.size_bytes());
      std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
    }
    const ssize_t n = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      if (!wait_for(POLLOUT, until, "the card took nothing")) return false;
      continue;
    }
    if (n <= 0) {
      lost(std::string("the card went away (") + std::strerror(errno) + ")");
      return false;
    }
    control.clear();
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return static_cast<bool>(socket_);
}

bool TimedSocket::receive_all(std::span<std::byte> bytes, Clock::time_point until) {
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

}  // namespace slotwire::driver
