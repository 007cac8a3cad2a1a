#include "tools/slotwire/run_program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "core/slot/memory.hpp"

extern "C" char** environ;

namespace slotwire::cli {
namespace {

struct PipeEnds {
  slot::Fd read, write;
};

PipeEnds make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot create a pipe");
  return {slot::Fd(ends[0]), slot::Fd(ends[1])};
}

/// A program that does not read its input makes a write fail, not this process die.
class IgnoredPipeSignal {
 public:
  IgnoredPipeSignal() {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &ignore, &old_);
  }
  ~IgnoredPipeSignal() { ::sigaction(SIGPIPE, &old_, nullptr); }
  IgnoredPipeSignal(const IgnoredPipeSignal&) = delete;
  IgnoredPipeSignal& operator=(const IgnoredPipeSignal&) = delete;

 private:
  struct sigaction old_ {};
};

pid_t start(const std::string& command, int input, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t defaults;
  ::sigemptyset(&none);
  ::sigemptyset(&defaults);
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE}) ::sigaddset(&defaults, signal);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::string shell = "/bin/sh";
  std::string option = "-c";
  std::string text = command;
  std::array<char*, 4> arguments{shell.data(), option.data(), text.data(), nullptr};
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, shell.c_str(), &actions, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::system_error(error, std::generic_category(), "cannot run /bin/sh");
  return pid;
}

}  // namespace

ProgramResult run_program(const std::string& command, std::span<const std::byte> input, std::chrono::microseconds limit,
                          std::size_t most_output, const std::function<bool()>& wanted) {
  const IgnoredPipeSignal ignored;
  PipeEnds in = make_pipe();
  PipeEnds out = make_pipe();
  const pid_t pid = start(command, in.read.get(), out.write.get());
  in.read = slot::Fd();
  out.write = slot::Fd();
  ::fcntl(in.write.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(out.read.get(), F_SETFL, O_NONBLOCK);

  ProgramResult result;
  const auto end = std::chrono::steady_clock::now() + limit;
  bool killed = false;
  const auto kill_it = [&] {
    if (!killed) ::kill(-pid, SIGKILL);
    killed = true;
  };
  while (out.read) {
    if (input.empty()) in.write = slot::Fd();
    std::array<pollfd, 2> fds{{{out.read.get(), POLLIN, 0}, {in.write ? in.write.get() : -1, POLLOUT, 0}}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    constexpr std::int64_t kAskMs = 100;
    ::poll(fds.data(), fds.size(), static_cast<int>(std::clamp<std::int64_t>(left, 0, kAskMs)));
    if (!killed && (left <= 0 || !wanted())) {
      result.too_slow = true;
      kill_it();
    }
    if (fds[1].revents != 0) {
      const ssize_t n = ::write(in.write.get(), input.data(), input.size());
      if (n > 0) input = input.subspan(static_cast<std::size_t>(n));
      if (n < 0 && errno != EAGAIN && errno != EINTR) input = {};  // it does not want the rest
    }
    // It has ended: what it wrote is in the pipe by now. A child of its own that holds the pipe is not waited for.
    siginfo_t ended{};
    const bool over =
        ::waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid != 0;
    if (over && in.write) in.write = slot::Fd();
    if (over && fds[0].revents == 0) fds[0].revents = POLLIN;
    if (fds[0].revents != 0) {
      std::array<char, 65536> piece;
      const ssize_t n = ::read(out.read.get(), piece.data(), piece.size());
      const bool empty = n < 0 && (errno == EAGAIN || errno == EINTR);
      if (n == 0 || (n < 0 && !empty) || (over && (empty || killed))) out.read = slot::Fd();
      if (n > 0 && !result.too_much) {
        result.output.append(piece.data(), static_cast<std::size_t>(n));
        if (result.output.size() > most_output) {
          result.too_much = true;
          kill_it();
        }
      }
    }
  }
  // The program's children go with it; its number is its own until it is waited for.
  ::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace slotwire::cli
