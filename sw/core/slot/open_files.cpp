#include "core/slot/open_files.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <initializer_list>

namespace slotwire::slot {
namespace {

#ifdef SO_PASSRIGHTS
constexpr int kPassRights = SO_PASSRIGHTS;
#else
constexpr int kPassRights = 83;  // <asm-generic/socket.h> of Linux 6.16
#endif

}  // namespace

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
