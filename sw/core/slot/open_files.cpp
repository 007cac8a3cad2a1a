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

core::Error unusable(const std::string& path, const std::string& reason) {
  return {"cannot read '" + path + "': " + reason};
}
core::Error unreadable(const std::string& path, int error) {
  return unusable(path, std::system_category().message(error));
}
core::Error too_large(const std::string& path, std::size_t most) {
  return unusable(path, "it is larger than " + std::to_string(most) + " bytes");
}

}  // namespace

core::Result<Fd> open_regular(const std::string& path, std::size_t most) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) return unreadable(path, errno);
  if (!S_ISREG(info.st_mode)) return unusable(path, "it is no regular file");
  if (static_cast<std::uint64_t>(info.st_size) > most) return too_large(path, most);
  return fd;
}

core::Result<std::string> read_regular(const std::string& path, std::size_t most) {
  const core::Result<Fd> fd = open_regular(path, most);
  if (!fd.ok()) return fd.error();
  std::string text(most + 1, '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const ssize_t n = ::read(fd.value().get(), text.data() + have, text.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return unreadable(path, errno);
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  if (have > most) return too_large(path, most);
  text.resize(have);
  return text;
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
