#include "runtime/blocks/meeting.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace slotwire::blocks {
namespace {

using slot::Fd;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// Whether the process itself has the socket: anybody may take a name, but nobody else's descriptors.
bool has_socket(const Holder& holder) {
  const std::string socket = "socket:[" + holder.inode + "]";
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(holder.pid) + "/fd", error)) {
    if (std::filesystem::read_symlink(entry.path(), error).string() == socket) return true;
  }
  return false;
}

}  // namespace

std::uint64_t own_pid_namespace() {
  struct stat status {};
  if (::stat("/proc/self/ns/pid", &status) != 0) fail("cannot look at /proc/self/ns/pid (is /proc mounted?)");
  return status.st_ino;
}

SocketAddress SocketAddress::abstract(std::string_view name) {
  SocketAddress result;
  result.address.sun_family = AF_UNIX;
  if (name.size() + 1 > sizeof result.address.sun_path) throw std::invalid_argument("the name of a socket is too long");
  std::memcpy(&result.address.sun_path[1], name.data(), name.size());
  result.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return result;
}

std::uint64_t start_time_of(std::uint32_t pid) {
  const Fd file(::open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return errno == ENOENT || errno == ESRCH ? 0 : kUnknownStart;
  std::string text(1024, '\0');
  const ssize_t length = ::read(file.get(), text.data(), text.size());
  if (length <= 0) return 0;
  text.resize(static_cast<std::size_t>(length));
  // The second field is the program's name in parentheses, which may contain anything. The 22nd is the start time.
  std::size_t at = text.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = text.find(' ', at + 1);
  std::uint64_t ticks = 0;
  if (at != std::string::npos) std::from_chars(text.data() + at + 1, text.data() + text.size(), ticks);
  return ticks;
}

bool is_alive(std::uint32_t pid, std::uint64_t start_time) {
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)));
  if (!process) return errno != ESRCH && errno != EINVAL;
  // The descriptor is that of the process whose start time is read now, or of one that has ended meanwhile.
  const std::uint64_t found = start_time_of(pid);
  if (found != start_time && found != kUnknownStart) return false;
  pollfd ended{process.get(), POLLIN, 0};
  return ::poll(&ended, 1, 0) == 0;
}

slot::Fd make_unix_socket(int type) {
  Fd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) fail("cannot create a socket (raise the open-file limit, LimitNOFILE or ulimit -n)");
  return socket;
}

bool bind_to(const slot::Fd& socket, const SocketAddress& address) {
  return ::bind(socket.get(), address.get(), address.length) == 0;
}

std::string meeting_prefix(const std::string& name) {
  return meeting_prefix(::geteuid(), name);
}

/// Processes of another PID namespace have regions of their own.
std::string meeting_prefix(std::uint32_t uid, const std::string& name) {
  return "slotwire." + std::to_string(uid) + "." + std::to_string(own_pid_namespace()) + "." + name;
}

std::vector<Announced> announced_by_all(std::size_t most) {
  std::ifstream sockets("/proc/net/unix");
  const std::string space = "." + std::to_string(own_pid_namespace()) + ".";
  constexpr std::string_view kMarker = " @slotwire.";
  std::vector<Announced> found;
  for (std::string line; found.size() < most && std::getline(sockets, line);) {
    const std::size_t at = line.rfind(kMarker);
    if (at == std::string::npos) continue;
    Announced one;
    const char* const end = line.data() + line.size();
    const auto [rest, error] = std::from_chars(line.data() + at + kMarker.size(), end, one.uid);
    const std::string_view after(rest, static_cast<std::size_t>(end - rest));
    if (error != std::errc{} || after.substr(0, space.size()) != space) continue;
    const std::string_view name = after.substr(space.size());
    one.name = name.substr(0, name.find('.'));
    const auto same = [&](const Announced& other) { return other.uid == one.uid && other.name == one.name; };
    if (std::none_of(found.begin(), found.end(), same)) found.push_back(std::move(one));
  }
  return found;
}

std::vector<std::string> announced_names() {
  std::ifstream sockets("/proc/net/unix");
  if (!sockets) throw std::runtime_error("cannot read /proc/net/unix (is /proc mounted?)");
  const std::string marker = " @" + meeting_prefix("");
  std::vector<std::string> names;
  for (std::string line; std::getline(sockets, line);) {
    const std::size_t at = line.rfind(marker);
    if (at == std::string::npos) continue;
    const std::string rest = line.substr(at + marker.size());
    const std::string name = rest.substr(0, rest.find('.'));
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

CreationLock::CreationLock(const std::string& name, std::chrono::milliseconds patience) {
  const SocketAddress address = SocketAddress::abstract(name);
  const auto end = std::chrono::steady_clock::now() + patience;
  while (true) {
    held_ = make_unix_socket(SOCK_STREAM);
    if (bind_to(held_, address)) break;
    if (errno != EADDRINUSE) fail("cannot bind the abstract socket '" + name + "'");
    wait_for_holder(name, address, end);
  }
  if (::listen(held_.get(), 64) != 0) fail("cannot listen on the abstract socket '" + name + "'");
}

void CreationLock::wait_for_holder(const std::string& name, const SocketAddress& address,
                                   std::chrono::steady_clock::time_point end) {
  Fd socket = make_unix_socket(SOCK_STREAM);
  if (::connect(socket.get(), address.get(), address.length) != 0) {
    // It does not listen yet, or not any more, or too many wait for it.
    ::poll(nullptr, 0, 1);
  } else {
    ucred holder{};
    socklen_t length = sizeof holder;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &holder, &length) == 0 && holder.uid != ::geteuid()) {
      throw std::runtime_error("process " + std::to_string(holder.pid) + " of user " + std::to_string(holder.uid) +
                               " has taken the abstract socket '" + name + "' of this user: end it");
    }
    pollfd ended{socket.get(), POLLIN, 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    ::poll(&ended, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
  }
  if (std::chrono::steady_clock::now() >= end) {
    throw std::runtime_error(
        "another process has been attaching to the region for too long (it has the abstract "
        "socket '" +
        name + "'): see 'ss -xlp'");
  }
}
std::vector<Holder> find_holders(const std::string& prefix) {
  std::ifstream sockets("/proc/net/unix");
  if (!sockets) throw std::runtime_error("cannot read /proc/net/unix (is /proc mounted?)");
  std::vector<Holder> holders;
  const std::string marker = " @" + prefix + ".";
  for (std::string line; std::getline(sockets, line);) {
    const std::size_t at = line.rfind(marker);
    if (at == std::string::npos) continue;
    const char* const end = line.data() + line.size();
    Holder holder;
    const auto pid = std::from_chars(line.data() + at + marker.size(), end, holder.pid);
    if (pid.ec != std::errc{} || pid.ptr == end || *pid.ptr != '.') continue;
    const auto fd = std::from_chars(pid.ptr + 1, end, holder.fd);
    if (fd.ec != std::errc{} || fd.ptr != end) continue;
    holder.inode = line.substr(line.rfind(' ', at - 1) + 1, at - line.rfind(' ', at - 1) - 1);
    holders.push_back(holder);
  }
  return holders;
}

slot::Fd open_descriptor_of(std::uint32_t pid, std::uint32_t fd, int flags) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
  // The number may have become that of a FIFO, whose opening would wait.
  return Fd(::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK));
}

slot::Fd open_shared(const Holder& holder, const std::string& what) {
  struct stat process {};
  const std::string path = "/proc/" + std::to_string(holder.pid);
  if (::stat(path.c_str(), &process) != 0) return Fd();                   // it has ended; a child may have its socket
  if (process.st_uid != ::geteuid() && process.st_uid != 0) return Fd();  // somebody else took a name like ours
  Fd file = open_descriptor_of(holder.pid, holder.fd, O_RDWR);
  const int why = errno;
  // It may have closed the memory since the sockets were listed, and its descriptors have other uses by now.
  if (!has_socket(holder)) return Fd();
  if (!file) {
    errno = why;
    if (why == EMFILE || why == ENFILE) fail("no more files can be opened (LimitNOFILE or ulimit -n)");
    // Making a second one beside it would divide the user's processes.
    fail("process " + std::to_string(holder.pid) + " has " + what +
         ", but its descriptors cannot be opened (it runs with other privileges, or is not dumpable)");
  }
  return file;
}

slot::Fd announce(const std::string& prefix, const slot::Fd& file) {
  Fd socket = make_unix_socket(SOCK_DGRAM);
  const std::string own =
      prefix + "." + std::to_string(::getpid()) + "." + std::to_string(static_cast<unsigned>(file.get()));
  if (!bind_to(socket, SocketAddress::abstract(own))) fail("cannot bind the abstract socket '" + own + "'");
  return socket;
}

}  // namespace slotwire::blocks
