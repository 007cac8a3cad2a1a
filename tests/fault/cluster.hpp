// Two or more real slotwired processes and worker processes around them, for the fault campaigns and benchmarks.
#pragma once
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"
#include "test_certificates.hpp"

namespace slotwire::fault {

/// What a worker writes and the campaign reads, in memory that both map.
struct WorkerReport {
  std::atomic<std::uint64_t> done;        ///< answers that were right (client), requests taken in order (server)
  std::atomic<std::uint64_t> violations;  ///< messages lost, doubled, out of order or damaged
  std::atomic<std::uint64_t> connects;
  std::atomic<std::uint64_t> peer_ends;   ///< connections that ended because the peer died or closed
  std::atomic<std::uint64_t> other_ends;  ///< connections that ended for any other reason
  std::atomic<std::uint32_t> stop;        ///< set by the campaign: finish in good order
  char last_problem[160];
};
inline constexpr std::size_t kMaxWorkers = 64;

/// The reports of all workers: memory that a worker gets as its descriptor 3. Throws when there is none.
class Reports {
 public:
  Reports();
  int fd() const { return memory_.get(); }
  WorkerReport& operator[](std::size_t worker) { return rows_[worker]; }
  const WorkerReport& operator[](std::size_t worker) const { return rows_[worker]; }

 private:
  slot::Fd memory_;
  slot::Mapping mapping_;
  WorkerReport* rows_ = nullptr;
};

/// A loopback port that is free for TCP and UDP, below those that the kernel gives to whoever asks for any
/// (net.ipv4.ip_local_port_range): a connection of another program would take one of these before it is bound.
std::uint16_t free_port();

/// Runs a child process; SIGKILLs and reaps it at the end if it still runs.
class Child {
 public:
  Child() = default;
  /// fork+exec. `inherit` stays open in the child as descriptor 3 (-1: none). Output goes to `log`.
  static Child start(const std::vector<std::string>& arguments, int inherit, const std::filesystem::path& log,
                     const std::vector<std::string>& environment = {});
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&& other) noexcept;
  ~Child() { kill_now(); }

  pid_t pid() const { return pid_; }
  bool running() const { return pid_ > 0; }
  void kill_now();
  /// Sends `signal` and waits for the end. Returns the exit status, or 128 + signal; -1 when it did not end within
  /// `timeout_ms`.
  int stop(int signal, int timeout_ms);

 private:
  pid_t pid_ = -1;
};

struct ClusterOptions {
  std::string carrier = "udp";
  std::string slotwired;            ///< path of the program
  std::string extra;                ///< more configuration for all nodes
  std::string encryption = "none";  ///< of the link's frames; other than "none" makes certificates, too
  std::size_t nodes = 2;
};

/// Nodes "a", "b" and so on, on the loopback interface, each linked with "a". Everything lives in one temporary
/// directory.
class Cluster {
 public:
  explicit Cluster(const ClusterOptions& options);
  ~Cluster();

  std::size_t size() const { return nodes_.size(); }
  /// Starts a node and waits until it says READY.
  void start(std::size_t node);
  /// kill -9.
  void kill(std::size_t node) { nodes_[node].kill_now(); }
  /// SIGTERM; returns the exit status.
  int stop(std::size_t node);
  /// Waits until nothing is in use on any node (at most `timeout_ms` each) and stops it. Returns what is wrong;
  /// empty: nothing.
  std::string finish(int timeout_ms);
  std::string socket(std::size_t node) const { return (directory_ / (name(node) + ".sock")).string(); }
  static std::string name(std::size_t node) { return {static_cast<char>('a' + static_cast<char>(node))}; }
  /// The service that the directory of all nodes has on this one.
  static std::string service(std::size_t node) { return "on-" + name(node); }
  const std::filesystem::path& directory() const { return directory_; }
  pid_t pid(std::size_t node) const { return nodes_[node].pid(); }
  /// What `slotwire status` shows. Null when the node cannot be asked.
  nlohmann::json status(std::size_t node) const;
  nlohmann::json ask(std::size_t node, nlohmann::json request) const;
  /// Text of the node's log.
  std::string log(std::size_t node) const;

 private:
  struct Ports {
    std::uint16_t control = 0, udp = 0, tcp = 0;
  };
  void write_configuration(std::size_t node, const std::vector<Ports>& ports);
  ClusterOptions options_;
  std::filesystem::path directory_;
  std::unique_ptr<test::TestCertificates> certificates_;
  std::vector<Child> nodes_;
  slot::Fd notify_;
};

/// Calls `done` until it returns true or `timeout_ms` is over, looking every millisecond. Returns whether it did.
template <typename Done>
bool eventually(int timeout_ms, Done&& done);

std::int64_t now_ms();
/// Waits for a millisecond on nothing: the campaign's only pause, between two looks.
void pause_ms();

template <typename Done>
bool eventually(int timeout_ms, Done&& done) {
  const std::int64_t end = now_ms() + timeout_ms;
  while (!done()) {
    if (now_ms() > end) return false;
    pause_ms();
  }
  return true;
}

}  // namespace slotwire::fault
