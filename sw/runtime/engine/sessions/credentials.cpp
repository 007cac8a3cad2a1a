#include "runtime/engine/sessions/credentials.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <string>
#include <system_error>

namespace slotwire::engine {
namespace {

#ifndef SO_PEERGROUPS
constexpr int SO_PEERGROUPS = 59;
#endif

#ifndef SO_PEERPIDFD
constexpr int SO_PEERPIDFD = 77;
#endif

/// The process that connected, whatever its pid means by now. None: the kernel is older than the option.
Result<std::shared_ptr<const slot::Fd>> peer_pidfd(int socket) {
  int fd = -1;
  socklen_t size = sizeof fd;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0) {
    return std::make_shared<const slot::Fd>(slot::Fd(fd));
  }
  if (errno == ENOPROTOOPT) return std::shared_ptr<const slot::Fd>();
  return Error{"the process that connected cannot be watched: " + std::generic_category().message(errno)};
}

bool has_exited(int pidfd) {
  pollfd poll_fd{pidfd, POLLIN, 0};
  return ::poll(&poll_fd, 1, 0) == 1;
}

/// In /proc/<pid>/stat, counted from the field after the name.
constexpr int kStartTimeField = 19;

std::string errno_text(int error) {
  return std::generic_category().message(error);
}

Result<std::vector<gid_t>> peer_groups(int socket) {
  std::vector<gid_t> groups(64);
  for (;;) {
    auto bytes = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &bytes) == 0) {
      groups.resize(bytes / sizeof(gid_t));
      return groups;
    }
    // The kernel says how many there are when there is no room.
    if (errno != ERANGE || bytes / sizeof(gid_t) > kMaxGroups || bytes / sizeof(gid_t) <= groups.size()) {
      return Error{"the groups of the connected process cannot be read: " + errno_text(errno)};
    }
    groups.resize(bytes / sizeof(gid_t));
  }
}

}  // namespace

std::optional<std::uint64_t> parse_start_time(std::string_view stat) {
  // The name is the only field with brackets, and it may hold some itself: the last ')' ends it.
  const auto name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  stat.remove_prefix(name_end + 1);
  for (int field = 0; field <= kStartTimeField; ++field) {
    const auto begin = stat.find_first_not_of(' ');
    if (begin == std::string_view::npos) return std::nullopt;
    stat.remove_prefix(begin);
    if (field == kStartTimeField) break;
    const auto end = stat.find(' ');
    if (end == std::string_view::npos) return std::nullopt;
    stat.remove_prefix(end);
  }
  std::uint64_t value = 0;
  const auto [rest, error] = std::from_chars(stat.data(), stat.data() + stat.size(), value);
  if (error != std::errc{}) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> process_start_time(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const slot::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::array<char, 2048> text{};
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  if (size <= 0) return std::nullopt;
  return parse_start_time(std::string_view(text.data(), static_cast<std::size_t>(size)));
}

Result<PeerCredentials> peer_credentials(int socket) {
  ucred raw{};
  socklen_t size = sizeof(raw);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &raw, &size) != 0) {
    return Error{"the credentials of the connected process cannot be read: " + errno_text(errno)};
  }
  // What the kernel answers for a socket without a peer.
  if (raw.pid <= 0 || raw.uid == static_cast<uid_t>(-1)) {
    return Error{"the socket has no peer that could be identified; connect over the node's unix socket"};
  }
  auto groups = peer_groups(socket);
  if (!groups) return groups.error();
  const auto pidfd = peer_pidfd(socket);
  if (!pidfd) return pidfd.error();
  const auto start_time = process_start_time(raw.pid);
  // The pid is that process's own as long as its pidfd says that it runs; what was read in between is its, too.
  if (!start_time || (pidfd.value() && has_exited(pidfd.value()->get()))) {
    return Error{"process " + std::to_string(raw.pid) + " has ended before it was identified"};
  }
  PeerCredentials credentials{raw.pid, raw.uid, {raw.gid}, *start_time, pidfd.value()};
  for (const gid_t gid : groups.value()) {
    if (gid != raw.gid) credentials.gids.push_back(gid);
  }
  return credentials;
}

Result<PidFd> PidFd::open(pid_t pid) {
  const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) {
    return Error{"process " + std::to_string(pid) + " cannot be watched: " + errno_text(errno) +
                 (errno == EMFILE ? "; raise the limit of open files" : "")};
  }
  return PidFd(slot::Fd(fd));
}

Result<PidFd> PidFd::open(const PeerCredentials& credentials) {
  if (credentials.pidfd) {
    slot::Fd own(::fcntl(credentials.pidfd->get(), F_DUPFD_CLOEXEC, 0));
    if (!own) {
      return Error{"process " + std::to_string(credentials.pid) + " cannot be watched: " + errno_text(errno) +
                   (errno == EMFILE ? "; raise the limit of open files" : "")};
    }
    if (has_exited(own.get())) return Error{"process " + std::to_string(credentials.pid) + " has ended"};
    return PidFd(std::move(own));
  }
  auto opened = open(credentials.pid);
  if (!opened) return opened;
  // The descriptor holds on to whoever has the pid now; only then is it safe to ask whether that is still the same one.
  if (process_start_time(credentials.pid) != credentials.start_time) {
    return Error{"process " + std::to_string(credentials.pid) + " has ended"};
  }
  return opened;
}

bool PidFd::exited() const {
  return has_exited(fd_.get());
}

bool is_operator(const PeerCredentials& who) {
  return who.uid == 0 || who.uid == ::getuid();
}

}  // namespace slotwire::engine
