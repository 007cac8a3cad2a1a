#include "runtime/control/packet_socket.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/control/closer.hpp"

namespace slotwire::control {
namespace {

/// Bytes that a packet takes while it waits, about.
std::uint64_t cost(const std::string& text) {
  return sizeof(std::string) + text.size();
}

/// Packets looked at when a socket is closed that may still hold descriptors. More are left to the Closer.
constexpr int kMostLeftPackets = 1024;

/// Whether the end of a socket, which nobody can send to any more, has packets with descriptors in it. Closing it would
/// close them.
bool holds_descriptors(int socket) {
  const int on = 1;
  // With it every packet has a control message, which tells an empty one from the end.
  ::setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  for (int i = 0; i < kMostLeftPackets; ++i) {
    for (const int flags : {MSG_DONTWAIT | MSG_PEEK, MSG_DONTWAIT | 0}) {
      char byte = 0;
      iovec part{&byte, 1};
      alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control{};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      const ssize_t n = ::recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
      if (n < 0 && (errno == EINTR || errno == ECONNRESET)) break;  // once more
      if (n < 0 || message.msg_controllen == 0) return false;
      if ((message.msg_flags & MSG_CTRUNC) != 0) return true;
    }
  }
  return true;
}

}  // namespace

PacketSocket::PacketSocket(slot::Fd socket, std::size_t max_text, std::size_t max_queue)
    : socket_(std::move(socket)),
      max_text_(max_text),
      max_queue_(max_queue),
      buffer_(std::make_unique_for_overwrite<char[]>(max_text)) {
  // The kernel's default (about 200 KiB) would refuse a packet of the largest permitted size.
  const int buffer = static_cast<int>(max_text * 4);
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
}

PacketSocket::~PacketSocket() {
  if (!may_carry_ || !socket_) return;
  ::shutdown(socket_.get(), SHUT_RDWR);
  if (holds_descriptors(socket_.get())) Closer::of_process().close(std::move(socket_));
}

/// False with errno EAGAIN: there is none. One that comes later has not been looked at.
bool PacketSocket::next_is_unwanted() {
  iovec part{buffer_.get(), max_text_};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_PEEK);
  } while (n < 0 && (errno == EINTR || errno == ECONNRESET));
  if (n < 0) return false;
  // Descriptors find no room here, and that is all that is asked.
  const bool carries = (message.msg_flags & MSG_CTRUNC) != 0, whole = (message.msg_flags & MSG_TRUNC) == 0;
  const bool unwanted = carries && !(whole && may_carry_({buffer_.get(), static_cast<std::size_t>(n)}));
  errno = 0;
  return unwanted;
}

PacketSocket::Got PacketSocket::receive(Packet& packet) {
  packet.fds.clear();
  packet.text.clear();
  if (may_carry_) {
    if (next_is_unwanted()) return Got::unwanted;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Got::nothing;
  }
  iovec part{buffer_.get(), max_text_};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxPacketFds)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    // ECONNRESET: the peer closed before it had read everything. Told once; what it sent last is still there to read.
  } while (n < 0 && (errno == EINTR || errno == ECONNRESET));
  if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? Got::nothing : Got::closed;
  // Take the descriptors in any case, so that none is left open.
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + (i * sizeof(int)), sizeof fd);
      packet.fds.emplace_back(fd);
    }
  }
  if (n == 0) return Got::closed;
  if ((message.msg_flags & MSG_TRUNC) != 0) return Got::too_long;
  // More than kMaxPacketFds, or this process may open no more files: the kernel has closed the rest.
  if ((message.msg_flags & MSG_CTRUNC) != 0) return Got::lost_descriptors;
  packet.text.assign(buffer_.get(), static_cast<std::size_t>(n));
  return Got::packet;
}

PacketSocket::Sent PacketSocket::send_now(const std::string& text, const std::vector<int>& fds) const {
  iovec part{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxPacketFds)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
  }
  ssize_t n = 0;
  do {
    n = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n >= 0) return Sent::yes;
  // ETOOMANYREFS: descriptors that others have not read yet are as many as this process may open. Not this peer's end.
  const bool later =
      errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS;
  return later ? Sent::full : Sent::gone;
}

bool PacketSocket::send(const std::string& text, const std::vector<int>& fds) {
  if (text.size() > max_text_ || fds.size() > kMaxPacketFds) return false;
  if (queue_.empty()) {
    const Sent sent = send_now(text, fds);
    if (sent != Sent::full) return sent == Sent::yes;
  }
  if (!fds.empty() || queue_.size() >= max_queue_) return false;
  queue_.push_back(text);
  queued_ += cost(text);
  return true;
}

bool PacketSocket::flush() {
  while (!queue_.empty()) {
    const Sent sent = send_now(queue_.front(), {});
    if (sent == Sent::full) return true;
    if (sent == Sent::gone) return false;
    queued_ -= cost(queue_.front());
    queue_.pop_front();
  }
  return true;
}

void PacketSocket::give_up() {
  queue_.clear();
  queue_.shrink_to_fit();
  queued_ = 0;
  ::shutdown(socket_.get(), SHUT_RDWR);
}

}  // namespace slotwire::control
