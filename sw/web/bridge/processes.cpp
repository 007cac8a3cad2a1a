#include "web/bridge/processes.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>

#include "web/bridge/socket_owner.hpp"

namespace slotwire::web::bridge {
namespace {

constexpr std::size_t kMostLine = 4096;
/// Between two looks whether a new process accepts.
constexpr auto kFirstProbe = std::chrono::milliseconds(10);
constexpr auto kMostProbe = std::chrono::milliseconds(250);
constexpr int kCannotRun = 127;
/// For the address of a process to refuse a connection before the process is started; what is silent so long is free.
constexpr auto kTryTime = std::chrono::seconds(1);
/// What is left of the process before, such as its children, may accept so long before that is a reason for a note.
constexpr auto kLeftOverTime = std::chrono::milliseconds(500);
constexpr auto kTryPause = std::chrono::milliseconds(50);

void replace_all(std::string& text, std::string_view what, const std::string& with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
}

/// In the child, between fork() and exec(): system calls alone.
[[noreturn]] void become(char* const* arguments, int output, int null, pid_t parent) {
  ::setpgid(0, 0);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_DFL);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kCannotRun);  // it died before it could be tied to it
  ::dup2(null, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  ::execvp(arguments[0], arguments);
  const char* const why = std::strerror(errno);
  for (const char* const part : {"cannot run ", static_cast<const char*>(arguments[0]), ": ", why, "\n"})
    (void)!::write(STDERR_FILENO, part, std::strlen(part));
  ::_exit(kCannotRun);
}

std::string text_of_status(int status) {
  if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

void check_command(const std::vector<std::string>& words) {
  constexpr std::array<std::string_view, 4> kKnown{"n", "address", "port", "socket"};
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz_";
  for (const std::string& word : words) {
    for (std::size_t at = word.find('{'); at != std::string::npos; at = word.find('{', at + 1)) {
      const std::size_t end = word.find_first_not_of(kLetters, at + 1);
      if (end == std::string::npos || end == at + 1 || word[end] != '}') continue;
      const std::string name = word.substr(at + 1, end - at - 1);
      if (std::find(kKnown.begin(), kKnown.end(), name) == kKnown.end())
        throw std::runtime_error("'{" + name +
                                 "}' in the command is not known; there are {n}, {address}, {port} and {socket}");
    }
  }
}

std::vector<std::string> split_command(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      word += text[++i];
      in_word = true;
    } else if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t') {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0) throw std::runtime_error("a quote is not closed in '" + text + "'");
  if (in_word) words.push_back(word);
  if (words.empty()) throw std::runtime_error("the command is empty");
  return words;
}

// ---- one process ----

ManagedProcess::ManagedProcess(ProcessManager& manager, std::size_t number)
    : manager_(manager),
      number_(number),
      output_(*this),
      probe_(*this),
      timer_(manager.bridge().loop()),
      probe_timer_(manager.bridge().loop()) {}

ManagedProcess::~ManagedProcess() {
  if (pid_ > 0) {
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    manager_.bridge().loop().remove(pidfd_.get(), *this);
  }
  stop_probe();
  close_output();
}

std::string ManagedProcess::title() const {
  return "process " + std::to_string(number_) + " (pid " + std::to_string(pid_) + ")";
}

void ManagedProcess::start() {
  tried_since_ = Clock::now();
  try_address();
}

/// Whoever accepts at its address before it runs is somebody else, who would get its requests.
void ManagedProcess::try_address() {
  probe_.fd = start_connecting(manager_.bridge().address(number_));
  if (!probe_.fd && errno == EAGAIN) return is_taken();  // a UNIX socket whose queue is full
  if (!probe_.fd || !manager_.bridge().loop().add(probe_.fd.get(), EPOLLOUT, probe_)) {
    probe_.fd = slot::Fd();
    return run();
  }
  timer_.set(kTryTime, [this] {
    stop_probe();
    run();
  });
}

void ManagedProcess::tried() {
  timer_.cancel();
  if (pending_error(probe_.fd.get()) == 0) return is_taken();
  stop_probe();
  run();
}

void ManagedProcess::is_taken() {
  if (Clock::now() - tried_since_ < kLeftOverTime) {
    stop_probe();
    timer_.set(kTryPause, [this] { try_address(); });
    return;
  }
  const SocketOwners found = probe_.fd ? owners_of_peer(probe_.fd.get()) : SocketOwners{};
  stop_probe();
  accepting_ = false;
  const std::string who = found.owners.empty() ? "somebody" : text_of(found.owners.front());
  manager_.bridge().note("process " + std::to_string(number_) + " is not started: " + who + " accepts connections at " +
                         manager_.bridge().address(number_).text +
                         " and would get its requests; end that one, or give this command another address");
  start_again();
}

void ManagedProcess::run() {
  std::vector<std::string> command = manager_.command(number_);
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::array<int, 2> ends{};
  const slot::Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    manager_.bridge().note("process " + std::to_string(number_) + " cannot be started: " + std::strerror(errno));
    return start_again();
  }
  const slot::Fd write_end(ends[1]);
  output_.fd = slot::Fd(ends[0]);
  output_.line.clear();
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) become(arguments.data(), write_end.get(), null.get(), parent);
  if (pid_ > 0) pidfd_ = slot::Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (pid_ < 0 || !pidfd_) {
    manager_.bridge().note("process " + std::to_string(number_) + " cannot be started: " + std::strerror(errno));
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    pid_ = 0;
    output_.fd = slot::Fd();
    return start_again();
  }
  ::setpgid(pid_, pid_);  // here and there: whoever comes first
  ::fcntl(output_.fd.get(), F_SETFL, O_NONBLOCK);
  manager_.bridge().loop().add(output_.fd.get(), EPOLLIN, output_);
  manager_.bridge().loop().add(pidfd_.get(), EPOLLIN, *this);
  started_ = Clock::now();
  accepting_ = said_stranger_ = false;
  manager_.bridge().note(title() + " started");
  probe_pause_ = kFirstProbe;
  probe();
}

void ManagedProcess::suspect() {
  if (!runs() || probe_.fd || probe_timer_.is_set() || ended_) return;
  accepting_ = false;
  started_ = Clock::now();
  probe_pause_ = kFirstProbe;
  probe();
}

/// Does its socket accept?
void ManagedProcess::probe() {
  if (!runs() || ended_) return;
  if (Clock::now() - started_ > manager_.options().start_time) {
    manager_.bridge().note(title() + " accepts no connection at " + manager_.bridge().address(number_).text +
                           "; it is ended and started anew");
    ::kill(-pid_, SIGKILL);
    return;
  }
  probe_.fd = start_connecting(manager_.bridge().address(number_));
  if (probe_.fd && manager_.bridge().loop().add(probe_.fd.get(), EPOLLOUT, probe_)) return;
  probe_.fd = slot::Fd();
  probe_timer_.set(probe_pause_, [this] { probe(); });
  probe_pause_ = std::min<Clock::duration>(probe_pause_ * 2, kMostProbe);
}

void ManagedProcess::probed() {
  if (!runs()) return tried();
  const bool answered = pending_error(probe_.fd.get()) == 0 && is_answered_by_it();
  stop_probe();
  if (has_ended()) return;  // which on_events() is told next
  if (!answered) {
    probe_timer_.set(probe_pause_, [this] { probe(); });
    probe_pause_ = std::min<Clock::duration>(probe_pause_ * 2, kMostProbe);
    return;
  }
  accepting_ = true;
  manager_.is_ready(number_);
}

bool ManagedProcess::has_ended() const {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

/// Whether this process, or one that is trusted as much, accepted the connection. Processes of this user and of root
/// are trusted: they could read the requests anyhow, and an application may listen by a process that is not its own
/// child, as with containers.
bool ManagedProcess::is_answered_by_it() {
  const SocketOwners found = owners_of_peer(probe_.fd.get());
  if (!found.known) return true;
  if (found.owners.empty()) return false;  // nobody listens any more
  for (const SocketOwner& owner : found.owners) {
    if (owner.user == ::geteuid() || owner.user == 0 || belongs_to_group(owner, pid_)) continue;
    if (!std::exchange(said_stranger_, true)) {
      manager_.bridge().note(title() + " gets no requests: " + text_of(owner) + " accepts connections at " +
                             manager_.bridge().address(number_).text +
                             " instead; end that one, or give this command another address");
    }
    return false;
  }
  return true;
}

void ManagedProcess::stop_probe() {
  if (probe_.fd) manager_.bridge().loop().remove(probe_.fd.get(), probe_);
  probe_.fd = slot::Fd();
}

void ManagedProcess::end(std::function<void()> ended) {
  timer_.cancel();
  probe_timer_.cancel();
  stop_probe();
  if (!runs()) return ended();
  ended_ = std::move(ended);
  ::kill(-pid_, SIGTERM);
  timer_.set(manager_.options().end_time, [this] {
    manager_.bridge().note(title() + " did not end in time: SIGKILL");
    ::kill(-pid_, SIGKILL);
  });
}

void ManagedProcess::on_events(std::uint32_t) {
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return;
  read_output();
  close_output();
  manager_.bridge().loop().remove(pidfd_.get(), *this);
  pidfd_ = slot::Fd();
  manager_.bridge().note(title() + " " + text_of_status(status));
  ::kill(-pid_, SIGKILL);  // what it left behind in its group
  pid_ = 0;
  timer_.cancel();
  probe_timer_.cancel();
  stop_probe();
  manager_.bridge().set_ready(number_, false);
  if (ended_) {
    pause_ = {};
    const std::function<void()> ended = std::exchange(ended_, {});
    return ended();
  }
  start_again();
}

/// After a pause that grows while it ends again soon.
void ManagedProcess::start_again() {
  const bool lasted = accepting_ && Clock::now() - started_ > manager_.options().most_pause;
  pause_ = lasted || pause_ == Clock::duration{} ? manager_.options().first_pause
                                                 : std::min<Clock::duration>(pause_ * 2, manager_.options().most_pause);
  timer_.set(pause_, [this] { start(); });
}

/// What it prints is noted line by line.
void ManagedProcess::read_output() {
  if (!output_.fd) return;
  std::array<char, kMostLine> piece;
  for (int i = 0; i < 16; ++i) {
    const ssize_t n = ::read(output_.fd.get(), piece.data(), piece.size());
    if (n < 0) return;
    if (n == 0) return close_output();
    for (const char c : std::string_view(piece.data(), static_cast<std::size_t>(n))) {
      if (c != '\n') output_.line += c;
      if (c != '\n' && output_.line.size() < kMostLine) continue;
      manager_.bridge().note_printed(title(), output_.line);
      output_.line.clear();
    }
  }
}

void ManagedProcess::close_output() {
  if (!output_.fd) return;
  if (!output_.line.empty()) manager_.bridge().note_printed(title(), output_.line);
  output_.line.clear();
  manager_.bridge().loop().remove(output_.fd.get(), output_);
  output_.fd = slot::Fd();
}

// ---- all of them ----

ProcessManager::ProcessManager(Bridge& bridge, ProcessOptions options)
    : bridge_(bridge), options_(std::move(options)), rest_timer_(bridge.loop()) {
  for (std::size_t i = 0; i < bridge.applications(); ++i)
    processes_.push_back(std::make_unique<ManagedProcess>(*this, i));
  bridge_.on_unreachable = [this](std::size_t number) { processes_[number]->suspect(); };
}

void ProcessManager::start() {
  for (const auto& process : processes_) process->start();
}

std::vector<std::string> ProcessManager::command(std::size_t number) const {
  const std::string& address = bridge_.address(number).text;
  const bool unix_socket = address.starts_with("unix:");
  std::vector<std::string> words = options_.command;
  for (std::string& word : words) {
    replace_all(word, "{n}", std::to_string(number));
    replace_all(word, "{address}", address);
    replace_all(word, "{port}", unix_socket ? std::string("0") : address.substr(address.rfind(':') + 1));
    replace_all(word, "{socket}", unix_socket ? address.substr(address.find(':') + 1) : address);
  }
  return words;
}

void ProcessManager::is_ready(std::size_t number) {
  bridge_.note("process " + std::to_string(number) + " accepts connections at " + bridge_.address(number).text);
  bridge_.set_ready(number, true);
  if (!restarting_ || ending_ || number != restarted_) return;
  if (++restarted_ < processes_.size()) return restart(restarted_);
  restarting_ = false;
  bridge_.note("all processes were started anew");
}

void ProcessManager::restart_in_turn() {
  if (restarting_ || ending_) return;
  restarting_ = true;
  restarted_ = 0;
  restart(0);
}

void ProcessManager::restart(std::size_t number) {
  rested_ = false;
  rest_timer_.set(options_.rest_time, [this, number] {
    bridge_.note("process " + std::to_string(number) + " has not finished its requests in time: they are broken off");
    rested(number);
  });
  bridge_.rest(number, [this, number] { rested(number); });
}

void ProcessManager::rested(std::size_t number) {
  if (ending_ || number != restarted_ || std::exchange(rested_, true)) return;
  rest_timer_.cancel();
  processes_[number]->end([this, number] {
    if (!ending_) processes_[number]->start();
  });
}

void ProcessManager::end(std::function<void()> ended) {
  ending_ = true;
  ended_ = std::move(ended);
  left_ = processes_.size();
  for (const auto& process : processes_) {
    process->end([this] {
      if (--left_ == 0) ended_();
    });
  }
}

}  // namespace slotwire::web::bridge
