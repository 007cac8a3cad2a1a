#include "runtime/engine/recovery/keeper_protocol.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace slotwire::engine {
namespace {

constexpr std::size_t kControlBytes = CMSG_SPACE(kMaxFdsPerTag * sizeof(int));

}  // namespace

bool send_datagram(int socket, std::span<const std::byte> bytes, std::span<const int> fds, int flags) {
  if (fds.size() > kMaxFdsPerTag) {
    errno = EINVAL;
    return false;
  }
  alignas(cmsghdr) std::byte control[kControlBytes] = {};
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  for (;;) {
    const ssize_t sent = ::sendmsg(socket, &message, flags | MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent) == bytes.size();
    if (errno != EINTR) return false;
  }
}

Received receive_datagram(int socket, std::span<std::byte> bytes, std::vector<slot::Fd>& fds, int flags) {
  alignas(cmsghdr) std::byte control[kControlBytes] = {};
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t size = 0;
  do {
    size = ::recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? Received::nothing : Received::closed;
  // Take the descriptors first: whatever else is wrong with the message, they must not leak.
  fds.clear();
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  if (size == 0 && fds.empty()) return Received::closed;
  const bool cut = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  return cut || static_cast<std::size_t>(size) != bytes.size() ? Received::malformed : Received::message;
}

}  // namespace slotwire::engine
