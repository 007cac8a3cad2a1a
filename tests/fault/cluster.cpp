#include "cluster.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <ctime>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "runtime/control/packet_socket.hpp"

namespace slotwire::fault {
namespace {

constexpr int kReadyMs = 20'000;
constexpr int kStopMs = 20'000;

}  // namespace

std::uint16_t free_port() {
  constexpr unsigned kFirst = 10'000, kPorts = 20'000;
  // One after the other from anywhere, so that two calls never get the same.
  static std::atomic<unsigned> next = std::random_device{}();
  for (int tries = 0; tries < 1000; ++tries) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(kFirst + (next++ % kPorts)));
    const auto is_free = [&](int type) {
      const slot::Fd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
      return ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    };
    if (is_free(SOCK_STREAM) && is_free(SOCK_DGRAM)) return ntohs(address.sin_port);
  }
  throw std::system_error(errno, std::generic_category(), "no free port between 10000 and 30000");
}

std::int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return (static_cast<std::int64_t>(now.tv_sec) * 1000) + (now.tv_nsec / 1'000'000);
}

void pause_ms() {
  ::poll(nullptr, 0, 1);
}

Reports::Reports() : memory_(::memfd_create("fault-reports", 0)) {
  constexpr std::size_t kBytes = sizeof(WorkerReport) * kMaxWorkers;
  if (!memory_ || ::ftruncate(memory_.get(), kBytes) != 0) {
    throw std::system_error(errno, std::generic_category(), "no memory for reports");
  }
  mapping_ = slot::map_file(memory_.get(), kBytes, slot::Access::read_write);
  rows_ = reinterpret_cast<WorkerReport*>(mapping_.data());
}

Child Child::start(const std::vector<std::string>& arguments, int inherit, const std::filesystem::path& log,
                   const std::vector<std::string>& environment) {
  Child child;
  child.pid_ = ::fork();
  if (child.pid_ < 0) throw std::system_error(errno, std::generic_category(), "cannot fork");
  if (child.pid_ > 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // whatever ends the campaign ends its children
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  ::dup2(out, 1);
  ::dup2(out, 2);
  if (inherit >= 0) ::dup2(inherit, 3);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  for (const std::string& variable : environment) ::putenv(const_cast<char*>(variable.c_str()));
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    kill_now();
    pid_ = std::exchange(other.pid_, -1);
  }
  return *this;
}

void Child::kill_now() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

int Child::stop(int signal, int timeout_ms) {
  if (pid_ <= 0) return -1;
  if (signal != 0) ::kill(pid_, signal);
  int status = 0;
  if (!eventually(timeout_ms, [&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; })) return -1;
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Cluster::Cluster(const ClusterOptions& options) : options_(options) {
  std::string pattern = (std::filesystem::temp_directory_path() / "slotwire-fault-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr)
    throw std::system_error(errno, std::generic_category(), "no temporary directory");
  directory_ = pattern;
  notify_ = slot::Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (directory_ / "notify").string();
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(notify_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::system_error(errno, std::generic_category(), "no notification socket");
  }
  nodes_.resize(options.nodes);
  std::vector<Ports> ports;
  for (std::size_t node = 0; node < size(); ++node)
    ports.push_back({.control = free_port(), .udp = free_port(), .tcp = free_port()});
  for (std::size_t node = 0; node < size(); ++node) write_configuration(node, ports);
}

void Cluster::write_configuration(std::size_t node, const std::vector<Ports>& ports) {
  const auto at = [](std::uint16_t port) { return "\"127.0.0.1:" + std::to_string(port) + "\"\n"; };
  std::ofstream file(directory_ / (name(node) + ".toml"));
  file << "[node]\nname = \"" << name(node) << "\"\nrun_dir = \"" << directory_.string() << "\"\n[listen]\n"
       << "control = " << at(ports[node].control) << "udp = " << at(ports[node].udp) << "tcp = " << at(ports[node].tcp);
  for (std::size_t peer = 0; peer < size(); ++peer) {
    if (peer == node || (node != 0 && peer != 0)) continue;
    file << "[[link]]\npeer = \"" << name(peer) << "\"\ncarrier = \"" << options_.carrier << "\"\nencryption = \""
         << options_.encryption << "\"\ncontrol = " << at(ports[peer].control) << "udp = " << at(ports[peer].udp)
         << "tcp = " << at(ports[peer].tcp);
  }
  if (options_.encryption != "none") {
    if (!certificates_) certificates_ = std::make_unique<test::TestCertificates>();
    const carriers::TlsFiles files = certificates_->make(name(node));
    file << "[tls]\ncertificate = \"" << files.certificate << "\"\nkey = \"" << files.key << "\"\nca = \"" << files.ca
         << "\"\n";
  }
  for (std::size_t other = 0; other < size(); ++other)
    file << "[[service]]\nname = \"" << service(other) << "\"\nnodes = [\"" << name(other) << "\"]\n";
  file << options_.extra;
}

Cluster::~Cluster() {
  for (std::size_t node = 0; node < size(); ++node) {
    if (nodes_[node].running()) stop(node);
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void Cluster::start(std::size_t node) {
  nodes_[node] =
      Child::start({options_.slotwired, "-c", (directory_ / (name(node) + ".toml")).string()}, -1,
                   directory_ / (name(node) + ".log"), {"NOTIFY_SOCKET=" + (directory_ / "notify").string()});
  const std::int64_t end = now_ms() + kReadyMs;
  std::array<char, 2048> text{};
  while (now_ms() < end) {
    pollfd wait{notify_.get(), POLLIN, 0};
    if (::poll(&wait, 1, 200) > 0) {
      const ssize_t n = ::recv(notify_.get(), text.data(), text.size() - 1, MSG_DONTWAIT);
      if (n > 0 && std::string_view(text.data(), static_cast<std::size_t>(n)).find("READY=1") != std::string_view::npos)
        return;
    }
    if (::kill(nodes_[node].pid(), 0) != 0) break;
  }
  throw std::runtime_error("node " + name(node) + " did not become ready:\n" + log(node));
}

int Cluster::stop(std::size_t node) {
  return nodes_[node].stop(SIGTERM, kStopMs);
}

std::string Cluster::finish(int timeout_ms) {
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    nlohmann::json last;
    const bool clean = eventually(timeout_ms, [&] {
      last = status(node);
      return last.is_object() && last["slots"]["used"] == 0 && last["sessions"]["used"] == 0 &&
             last["memory"]["free"] == last["memory"]["total"];
    });
    if (!clean) return "node " + name(node) + " still has slots, sessions or memory in use";
    if (const int code = stop(node); code != 0)
      return "slotwired of node " + name(node) + " ended with " + std::to_string(code);
  }
  return {};
}

nlohmann::json Cluster::ask(std::size_t node, nlohmann::json request) const {
  slot::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket(node).copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return nullptr;
  control::PacketSocket packets(std::move(fd), std::size_t{1} << 20, 4);
  request["id"] = 1;
  if (!packets.send(request.dump())) return nullptr;
  pollfd wait{packets.fd(), POLLIN, 0};
  control::Packet packet;
  if (::poll(&wait, 1, 5000) != 1 || packets.receive(packet) != control::PacketSocket::Got::packet) return nullptr;
  return nlohmann::json::parse(packet.text, nullptr, false);
}

nlohmann::json Cluster::status(std::size_t node) const {
  return ask(node, {{"op", "status"}});
}

std::string Cluster::log(std::size_t node) const {
  std::ifstream file(directory_ / (name(node) + ".log"));
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace slotwire::fault
