#include "sim_card.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>

extern char** environ;

namespace slotwire::test {
namespace {

constexpr std::size_t kMaxFrame = 16384;

bool readable(int fd, int timeout_ms) {
  pollfd watched{fd, POLLIN, 0};
  return ::poll(&watched, 1, timeout_ms) == 1;
}

slot::Fd connect_to(const std::string& path) {
  slot::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0)
    throw std::runtime_error(path + ": " + std::strerror(errno));
  return fd;
}

}  // namespace

SimCard::SimCard(const std::string& wire) : given_wire_(wire) {
  std::array<char, 32> name{"/tmp/slotwire-pmd-XXXXXX"};
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
  directory_ = name.data();
  queues_ = directory_ + "/queues";
  restart();
}

void SimCard::restart() {
  const std::string own = directory_ + "/wire";
  std::vector<std::string> words{SLOTWIRE_SIMCARD, "--wire", given_wire_.empty() ? "listen:" + own : given_wire_,
                                 "--host", "queues:" + queues_};
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  output_ = slot::Fd(ends[0]);
  const slot::Fd its_output(ends[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, its_output.get(), STDOUT_FILENO);
  const int wrong = ::posix_spawn(&pid_, SLOTWIRE_SIMCARD, &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (wrong != 0) throw std::runtime_error(std::string(SLOTWIRE_SIMCARD) + ": " + std::strerror(wrong));
  std::string said;
  while (said.find("ready:") == std::string::npos) {
    char byte = 0;
    if (!readable(output_.get(), kPatienceMs) || ::read(output_.get(), &byte, 1) != 1)
      throw std::runtime_error("the simulated card does not start; it said: " + said);
    said += byte;
  }
  if (given_wire_.empty()) wire_ = connect_to(own);
}

SimCard::~SimCard() {
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);
    int status = 0;
    ::waitpid(pid_, &status, 0);
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

bool SimCard::send(const Frame& frame) const {
  return ::send(wire_.get(), frame.data(), frame.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(frame.size());
}

Frame SimCard::receive(int timeout_ms) const {
  if (!readable(wire_.get(), timeout_ms)) return {};
  Frame frame(kMaxFrame);
  const ssize_t n = ::recv(wire_.get(), frame.data(), frame.size(), 0);
  frame.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return frame;
}

bool SimCard::alive() const {
  return pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == 0;
}

void SimCard::kill() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

}  // namespace slotwire::test
