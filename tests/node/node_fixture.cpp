#include "node_fixture.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>

extern "C" char** environ;

namespace slotwire::test {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::uint16_t kControlPort = 7400;
constexpr std::uint16_t kUdpPort = 7401;
constexpr std::uint16_t kTcpPort = 7402;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

int left_ms(Clock::time_point end) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
  return left < 0 ? 0 : static_cast<int>(left);
}

bool wait_readable(int fd, Clock::time_point end) {
  pollfd wait{fd, POLLIN, 0};
  return ::poll(&wait, 1, left_ms(end)) > 0;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error("too long for a socket: " + path);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

bool can_bind(const in_addr& host, int type, std::uint16_t port) {
  const slot::Fd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr = host;
  address.sin_port = htons(port);
  return ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

/// An address of 127/8 on which nothing uses the ports. Random: tests run side by side.
std::string free_address() {
  static std::set<std::uint32_t> given;
  std::random_device random;
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries; ++i) {
    const std::uint32_t number = 0x7f000000U | (random() & 0x00ffffffU);
    if ((number & 0xffU) == 0 || (number & 0xffU) == 0xffU || number < 0x7f010000U || !given.insert(number).second)
      continue;
    in_addr host{};
    host.s_addr = htonl(number);
    if (!can_bind(host, SOCK_STREAM, kControlPort) || !can_bind(host, SOCK_DGRAM, kUdpPort) ||
        !can_bind(host, SOCK_STREAM, kTcpPort))
      continue;
    char text[INET_ADDRSTRLEN] = {};
    return ::inet_ntop(AF_INET, &host, text, sizeof text);
  }
  throw std::runtime_error("no loopback address has its ports free");
}

/// Runs `task` in a thread that lives as long as the test program: the kernel's signal on the death of a parent is for
/// the death of the very thread that forked.
void in_lasting_thread(const std::function<void()>& task) {
  struct Worker {
    std::mutex mutex;
    std::condition_variable changed;
    const std::function<void()>* task = nullptr;
  };
  // Never destroyed: the thread waits on it until the program ends.
  static Worker* const worker = [] {
    Worker* const made = std::make_unique<Worker>().release();
    std::thread([made] {
      std::unique_lock lock(made->mutex);
      while (true) {
        made->changed.wait(lock, [&] { return made->task != nullptr; });
        (*made->task)();
        made->task = nullptr;
        made->changed.notify_all();
      }
    }).detach();
    return made;
  }();
  std::unique_lock lock(worker->mutex);
  worker->changed.wait(lock, [] { return worker->task == nullptr; });
  worker->task = &task;
  worker->changed.notify_all();
  worker->changed.wait(lock, [&] { return worker->task != &task; });
}

std::string quoted(const std::string& text) {
  return "\"" + text + "\"";
}

}  // namespace

bool eventually(const std::function<bool()>& holds) {
  const Clock::time_point end = Clock::now() + kPatience;
  while (!holds()) {
    if (Clock::now() > end) return false;
    ::sched_yield();
  }
  return true;
}

// --- Process ---

Process::Process(const std::vector<std::string>& argv, const std::vector<std::string>& environment) {
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  std::vector<char*> variables;
  for (const std::string& variable : environment) variables.push_back(const_cast<char*>(variable.c_str()));
  for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
  variables.push_back(nullptr);
  int pipe_fds[2];
  if (::pipe2(pipe_fds, O_CLOEXEC) != 0) fail("pipe");
  output_ = slot::Fd(pipe_fds[0]);
  const slot::Fd write_end(pipe_fds[1]);
  const pid_t parent = ::getpid();
  in_lasting_thread([&] {
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(126);
    ::dup2(write_end.get(), STDOUT_FILENO);
    ::execve(arguments[0], arguments.data(), variables.data());
    ::_exit(127);
  });
  if (pid_ < 0) fail("fork");
  pidfd_ = slot::Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!pidfd_) fail("pidfd_open");
}

Process::~Process() {
  if (status_) return;
  signal(SIGKILL);
  wait();
}

void Process::signal(int number) const {
  if (!status_) ::kill(pid_, number);
}

std::optional<int> Process::wait() {
  if (status_) return status_;
  if (!wait_readable(pidfd_.get(), Clock::now() + kPatience)) return std::nullopt;
  int status = 0;
  if (::waitpid(pid_, &status, 0) != pid_) fail("waitpid");
  status_ = status;
  return status_;
}

std::optional<std::string> Process::read_line() {
  const Clock::time_point end = Clock::now() + kPatience;
  while (true) {
    if (const std::size_t line = said_.find('\n'); line != std::string::npos) {
      std::string text = said_.substr(0, line);
      said_.erase(0, line + 1);
      return text;
    }
    if (!wait_readable(output_.get(), end)) return std::nullopt;
    char bytes[512];
    const ssize_t n = ::read(output_.get(), bytes, sizeof bytes);
    if (n <= 0) return std::nullopt;
    said_.append(bytes, static_cast<std::size_t>(n));
  }
}

// --- Node ---

Node::Node(Cluster& cluster, std::string name)
    : cluster_(cluster),
      name_(std::move(name)),
      directory_(cluster.directory() + "/" + name_),
      address_(free_address()) {
  fs::create_directory(directory_);
}

Node::~Node() = default;

std::string Node::socket() const {
  return directory_ + "/" + name_ + ".sock";
}

std::string Node::log() const {
  return read_file(directory_ + "/log");
}

void Node::write_config(bool recover) const {
  const ClusterOptions& options = cluster_.options_;
  std::ofstream file(directory_ + "/slotwired.toml");
  file << "[node]\nname = " << quoted(name_) << "\nrun_dir = " << quoted(directory_)
       << "\nrecover = " << (recover ? "true" : "false") << "\n";
  file << "[log]\nlevel = \"debug\"\nfile = " << quoted(directory_ + "/log") << "\n";
  const auto at = [](const Node& node, std::uint16_t port) {
    return quoted(node.address_ + ":" + std::to_string(port));
  };
  if (options.nodes.size() > 1) {
    file << "[listen]\ncontrol = " << at(*this, kControlPort) << "\nudp = " << at(*this, kUdpPort)
         << "\ntcp = " << at(*this, kTcpPort) << "\n";
  }
  if (cluster_.certificates_) {
    const carriers::TlsFiles files = cluster_.certificates_->make(name_);
    file << "[tls]\ncertificate = " << quoted(files.certificate) << "\nkey = " << quoted(files.key)
         << "\nca = " << quoted(files.ca) << "\n";
  }
  const bool datagrams = options.carrier == Carrier::udp || options.carrier == Carrier::encrypted_udp;
  const auto elsewhere = options.udp_to.find(name_);
  for (const auto& [peer, node] : cluster_.nodes_) {
    if (peer == name_) continue;
    file << "[[link]]\npeer = " << quoted(peer) << "\ncontrol = " << at(*node, kControlPort)
         << "\ncarrier = " << (datagrams ? "\"udp\"" : "\"tcp\"")
         << "\nudp = " << (elsewhere != options.udp_to.end() ? quoted(elsewhere->second) : at(*node, kUdpPort))
         << "\ntcp = " << at(*node, kTcpPort) << "\n";
    if (options.carrier == Carrier::encrypted_udp) {
      const auto own = options.encryption_of.find(name_);
      file << "encryption = " << quoted(own != options.encryption_of.end() ? own->second : options.encryption) << "\n";
    }
  }
  if (options.carrier == Carrier::encrypted_udp)
    file << "[encryption]\nrekey_frames = " << options.rekey_frames << "\n";
  for (const auto& [service, nodes] : options.services) {
    file << "[[service]]\nname = " << quoted(service) << "\nnodes = [";
    for (const std::string& node : nodes) file << quoted(node) << ", ";
    file << "]\n";
  }
  file << options.toml << "\n";
  if (const auto own = options.toml_of.find(name_); own != options.toml_of.end()) file << own->second << "\n";
}

void Node::start() {
  start(true);
}

void Node::start_without_recovery() {
  start(false);
}

void Node::start(bool recover) {
  if (process_) throw std::runtime_error("node '" + name_ + "' runs already");
  write_config(recover);
  const std::string path = directory_ + "/notify";
  ::unlink(path.c_str());
  notify_ = slot::Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = unix_address(path);
  if (::bind(notify_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("bind " + path);
  process_ = std::make_unique<Process>(
      std::vector<std::string>{SLOTWIRE_SLOTWIRED, "--config", directory_ + "/slotwired.toml"},
      std::vector<std::string>{"NOTIFY_SOCKET=" + path});
  const Clock::time_point end = Clock::now() + kPatience;
  while (true) {
    pollfd waits[2] = {{notify_.get(), POLLIN, 0}, {process_->fd(), POLLIN, 0}};
    if (::poll(waits, 2, left_ms(end)) <= 0) {
      throw std::runtime_error("node '" + name_ + "' did not become ready:\n" + log());
    }
    if (waits[0].revents != 0) {
      char text[2048];
      const ssize_t n = ::recv(notify_.get(), text, sizeof text, 0);
      if (n > 0 && std::string_view(text, static_cast<std::size_t>(n)).find("READY=1") != std::string_view::npos) break;
    } else if (waits[1].revents != 0) {
      process_.reset();
      throw std::runtime_error("node '" + name_ + "' ended at once:\n" + log() +
                               read_file(directory_ + "/slotwired.toml"));
    }
  }
}

void Node::stop() {
  if (!process_) return;
  process_->signal(SIGTERM);
  const std::optional<int> status = process_->wait();
  process_.reset();
  notify_ = {};
  ::unlink((directory_ + "/notify").c_str());
  if (!status) throw std::runtime_error("node '" + name_ + "' does not stop:\n" + log());
  if (!WIFEXITED(*status) || WEXITSTATUS(*status) != 0) {
    throw std::runtime_error("node '" + name_ + "' ended with status " + std::to_string(*status) + ":\n" + log());
  }
}

void Node::kill() {
  process_->signal(SIGKILL);
  process_->wait();
  process_.reset();
}

Json Node::request(Json message) const {
  const slot::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un address = unix_address(socket());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail("connect " + socket());
  message["id"] = 1;
  const std::string text = message.dump();
  if (::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) fail("send to " + socket());
  if (!wait_readable(fd.get(), Clock::now() + kPatience))
    throw std::runtime_error("node '" + name_ + "' does not answer " + text);
  std::string answer(std::size_t{1} << 20, '\0');
  const ssize_t n = ::recv(fd.get(), answer.data(), answer.size(), 0);
  if (n <= 0) throw std::runtime_error("node '" + name_ + "' hung up on " + text);
  answer.resize(static_cast<std::size_t>(n));
  return Json::parse(answer);
}

std::string Node::leftovers() const {
  std::string found;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory_)) {
    const std::string file = entry.path().filename().string();
    if (file != "log" && file != "slotwired.toml") found += "file " + entry.path().string() + "\n";
  }
  // slotwired has the path of the notification socket in its environment, the keeper that of run_dir in its command
  // line.
  const std::string mark = "NOTIFY_SOCKET=" + directory_ + "/notify";
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string pid = entry.path().filename().string();
    if (!std::all_of(pid.begin(), pid.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    const bool keeper = read_file(entry.path() / "comm") == "slotwire-keeper\n" &&
                        read_file(entry.path() / "cmdline").find(directory_) != std::string::npos;
    if (!keeper && read_file(entry.path() / "environ").find(mark) == std::string::npos) continue;
    found += "process " + pid + " (" + read_file(entry.path() / "comm") + ")\n";
  }
  return found;
}

// --- Cluster ---

Cluster::Cluster(ClusterOptions options) : options_(std::move(options)) {
  directory_ = (fs::temp_directory_path() / "slotwire-node-XXXXXX").string();
  if (::mkdtemp(directory_.data()) == nullptr) fail("no temporary directory can be made");
  if (options_.carrier == Carrier::tls || options_.carrier == Carrier::encrypted_udp)
    certificates_ = std::make_unique<TestCertificates>();
  for (const std::string& name : options_.nodes) nodes_[name] = std::make_unique<Node>(*this, name);
}

Cluster::~Cluster() {
  try {
    stop();
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
  if (::testing::Test::HasFailure()) {
    for (const auto& [name, node] : nodes_)
      std::fprintf(stderr, "--- log of node '%s' ---\n%s\n", name.c_str(), node->log().c_str());
  }
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

void Cluster::start() {
  for (const auto& [name, node] : nodes_) {
    if (!node->running()) node->start();
  }
}

void Cluster::stop() {
  for (const auto& [name, node] : nodes_) {
    // A node that was killed has a keeper: the next life ends it.
    if (!node->running() && !node->leftovers().empty()) node->start();
    node->stop();
  }
  std::string left;
  for (const auto& [name, node] : nodes_) {
    // The keeper has closed everything when slotwired ends; its process itself may take a moment longer to be gone.
    if (!eventually([&] { return node->leftovers().empty(); })) left += node->leftovers();
  }
  if (!left.empty()) throw std::runtime_error("left behind by slotwired:\n" + left);
}

Node& Cluster::operator[](const std::string& name) {
  return *nodes_.at(name);
}

std::size_t open_slot_memory() {
  std::size_t count = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (fs::read_symlink(entry.path(), gone).string().find("memfd:slotwire") != std::string::npos) ++count;
  }
  return count;
}

}  // namespace slotwire::test
