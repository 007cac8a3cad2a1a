#include "core/slot/open_files.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <system_error>

namespace slotwire::slot {
namespace {

#ifdef SO_PASSRIGHTS
constexpr int kPassRights = SO_PASSRIGHTS;
#else
constexpr int kPassRights = 83;  // <asm-generic/socket.h> of Linux 6.16
#endif

std::string unusable(const std::string& path, const std::string& reason) {
  return "cannot read '" + path + "': " + reason;
}
std::string unreadable(const std::string& path, int error) {
  return unusable(path, std::system_category().message(error));
}
std::string too_large(const std::string& path, std::size_t most) {
  return unusable(path, "it is larger than " + std::to_string(most) + " bytes");
}

}  // namespace

Fd open_regular(const std::string& path, std::size_t most, std::string& problem) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) {
    problem = unreadable(path, errno);
  } else if (!S_ISREG(info.st_mode)) {
    problem = unusable(path, "it is no regular file");
  } else if (static_cast<std::uint64_t>(info.st_size) > most) {
    problem = too_large(path, most);
  } else {
    return fd;
  }
  return Fd();
}

std::string read_regular(const std::string& path, std::size_t most, std::string& text) {
  std::string problem;
  const Fd fd = open_regular(path, most, problem);
  if (!fd) return problem;
  text.assign(most + 1, '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const ssize_t n = ::read(fd.get(), text.data() + have, text.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return unreadable(path, errno);
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  if (have > most) return too_large(path, most);
  text.resize(have);
  return {};
}

std::uint64_t raise_open_files_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

void open_standard_descriptors() noexcept {
  // open() takes the lowest number that is free, which is this one: those below are open by then.
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(standard, F_GETFD) >= 0) continue;
    [[maybe_unused]] const int opened = ::open("/dev/null", O_RDONLY);
  }
}

bool accept_descriptors(int socket, bool may_come) noexcept {
  const int on = may_come ? 1 : 0;
  return ::setsockopt(socket, SOL_SOCKET, kPassRights, &on, sizeof on) == 0;
}

}  // namespace slotwire::slot
