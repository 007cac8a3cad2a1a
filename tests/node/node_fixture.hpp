// Real slotwired processes for tests: started with configurations of their own on loopback addresses of their own,
// waited for through NOTIFY_SOCKET, stopped, killed and started again; afterwards nothing may be left of them.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"
#include "test_certificates.hpp"

namespace slotwire::test {

using Json = nlohmann::json;

#ifdef __SANITIZE_THREAD__
inline constexpr int kSlowness = 8;  ///< as SLOTWIRE_TEST_SLOWNESS in cmake/options.cmake
#else
inline constexpr int kSlowness = 1;
#endif
/// Longest wait of a test for what is bound to happen; far longer than it takes on a busy machine.
inline constexpr std::chrono::seconds kPatience{20 * kSlowness};

/// Asks again and again until it holds, giving the processor away in between. False: not within kPatience.
bool eventually(const std::function<bool()>& holds);

/// A child process. Dies with the test.
class Process {
 public:
  /// Runs `argv` with `environment` ("NAME=value") added to this process's. Its standard output is a pipe, see
  /// read_line().
  Process(const std::vector<std::string>& argv, const std::vector<std::string>& environment = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  /// Readable once it has ended.
  int fd() const { return pidfd_.get(); }
  void signal(int number) const;
  /// Status as of waitpid(2); none: it does not end within kPatience.
  std::optional<int> wait();
  /// One line of its standard output without the line break; none: it ended, or said nothing within kPatience.
  std::optional<std::string> read_line();

 private:
  pid_t pid_ = -1;
  slot::Fd pidfd_, output_;
  std::string said_;
  std::optional<int> status_;
};

enum class Carrier { udp, tcp, tls, encrypted_udp };

struct ClusterOptions {
  std::vector<std::string> nodes{"left"};  ///< every two of them are linked
  Carrier carrier = Carrier::udp;
  std::map<std::string, std::vector<std::string>> services{};  ///< which nodes serve what
  std::string toml{};                                          ///< added to every node's configuration
  std::map<std::string, std::string> toml_of{};                ///< added to one node's
  std::string encryption = "aes-256-gcm";                      ///< of links, where the carrier is encrypted_udp
  std::map<std::string, std::string> encryption_of{};          ///< the same of one node's
  std::uint32_t rekey_frames = 300;                            ///< few, so that every test has changes of keys
  std::map<std::string, std::string> udp_to{};  ///< where one node's links find their peer's UDP carrier, if elsewhere
};

class Cluster;

/// One slotwired.
class Node {
 public:
  Node(Cluster& cluster, std::string name);
  ~Node();

  const std::string& name() const { return name_; }
  /// Path of the control socket.
  std::string socket() const;
  /// Loopback address of its listeners, ports 7400 (control), 7401 (UDP) and 7402 (TCP).
  const std::string& address() const { return address_; }
  pid_t pid() const { return process_ ? process_->pid() : -1; }
  bool running() const { return process_ != nullptr; }

  /// Starts it and waits until it is ready. Throws std::runtime_error with its log when it is not.
  void start();
  /// The same with node.recover = false: it takes nothing over from a life before.
  void start_without_recovery();
  /// SIGTERM; its exit status is 0 or this throws.
  void stop();
  /// SIGKILL. Its keeper lives on.
  void kill();
  /// The answer to one request on a control socket of its own. Throws when there is none.
  Json request(Json message) const;
  Json status() const { return request({{"op", "status"}}); }
  std::string log() const;
  /// What processes and files are left of it, one a line; empty: nothing. Ask after stop().
  std::string leftovers() const;

 private:
  friend class Cluster;
  void write_config(bool recover) const;
  void start(bool recover);
  Cluster& cluster_;
  std::string name_, directory_, address_;
  slot::Fd notify_;
  std::unique_ptr<Process> process_;
};

/// Nodes that belong together. The destructor stops them all; what goes wrong then is a failure of the test.
class Cluster {
 public:
  explicit Cluster(ClusterOptions options);
  ~Cluster();

  /// Starts those that do not run.
  void start();
  /// Stops those that run, and throws if anything is left.
  void stop();
  Node& operator[](const std::string& name);
  /// What is changed counts from a node's next start on.
  ClusterOptions& options() { return options_; }
  const std::string& directory() const { return directory_; }
  /// Certificates of a node, where the carrier has any: to speak in its name.
  carriers::TlsFiles certificate(const std::string& node) { return certificates_->make(node); }

 private:
  friend class Node;
  ClusterOptions options_;
  std::string directory_;
  std::unique_ptr<TestCertificates> certificates_;
  std::map<std::string, std::unique_ptr<Node>> nodes_;
};

/// Descriptors of this process that hold slot memory or bells: /proc/self/fd names them after the engine's memfds.
std::size_t open_slot_memory();

}  // namespace slotwire::test
