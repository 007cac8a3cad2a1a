#include "runtime/engine/peers/gate_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <system_error>

namespace slotwire::engine {
namespace {

constexpr int kChildFd = 3;

[[noreturn]] void gate_fails(const std::string& what, int error) {
  throw std::system_error(error, std::generic_category(), what);
}

struct Actions {
  Actions() { ::posix_spawn_file_actions_init(&actions); }
  ~Actions() { ::posix_spawn_file_actions_destroy(&actions); }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
  posix_spawn_file_actions_t actions;
};
struct Attributes {
  Attributes() { ::posix_spawnattr_init(&attributes); }
  ~Attributes() { ::posix_spawnattr_destroy(&attributes); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  posix_spawnattr_t attributes;
};

}  // namespace

GateProcess::GateProcess(const std::filesystem::path& program, const std::string& title) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    gate_fails("the gate's sockets cannot be made", errno);
  }
  socket_ = slot::Fd(pair[0]);
  // Above the descriptor that it becomes, so that it cannot be the same, which would keep its close-on-exec.
  const slot::Fd first(pair[1]);
  const slot::Fd child(::fcntl(first.get(), F_DUPFD_CLOEXEC, kChildFd + 1));
  if (!child) gate_fails("the gate's sockets cannot be made", errno);
  Actions actions;
  for (int standard = 0; standard <= 2; ++standard) {
    ::posix_spawn_file_actions_addopen(&actions.actions, standard, "/dev/null", O_RDWR, 0);
  }
  ::posix_spawn_file_actions_adddup2(&actions.actions, child.get(), kChildFd);
  ::posix_spawn_file_actions_addclosefrom_np(&actions.actions, kChildFd + 1);
  Attributes attributes;
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes.attributes, &none);
  // A process group of its own: signals of a terminal are slotwired's. No session of its own: see
  // start_keeper_program().
  ::posix_spawnattr_setflags(&attributes.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  std::string shown = title;
  std::array<char*, 2> argv{shown.data(), nullptr};
  std::array<char*, 1> environment{nullptr};  // none of it is the gate's
  const int error =
      ::posix_spawn(&pid_, program.c_str(), &actions.actions, &attributes.attributes, argv.data(), environment.data());
  if (error != 0) gate_fails("the gate's process '" + program.string() + "' cannot be started", error);
  pidfd_ = slot::Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
}

GateProcess::~GateProcess() {
  if (pid_ > 0) end(std::chrono::milliseconds(0));
}

std::string GateProcess::end(std::chrono::milliseconds patience) {
  socket_.reset();
  pollfd wait{pidfd_.get(), POLLIN, 0};
  if (!pidfd_ || ::poll(&wait, 1, static_cast<int>(patience.count())) != 1) ::kill(pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0) {
    if (errno == EINTR) continue;
    pid_ = -1;
    return "ended";
  }
  pid_ = -1;
  if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

StartGate gate_processes() {
  std::error_code none;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", none);
  const std::filesystem::path beside = self.parent_path();
  for (const std::filesystem::path& path :
       {beside / "slotwire-gate", beside.parent_path() / SLOTWIRE_LIBEXECDIR / "slotwire" / "slotwire-gate"}) {
    if (::access(path.c_str(), X_OK) != 0) continue;
    return [path](const std::string& title) { return std::make_unique<GateProcess>(path, title); };
  }
  throw std::runtime_error("the program slotwire-gate is neither in " + beside.string() + " nor in " +
                           (beside.parent_path() / SLOTWIRE_LIBEXECDIR / "slotwire").string() +
                           "; install it with slotwired");
}

}  // namespace slotwire::engine
