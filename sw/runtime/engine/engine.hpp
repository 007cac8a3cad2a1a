// The engine: a node on this machine. Sockets, signals, the keeper and the clock of the machine are joined to the
// node's rooms (node.hpp) here, and the loop that moves lines runs here.
//
// One thread runs everything: run() polls the card while there is something to do and sleeps in the reactor otherwise.
// With dpdk.lcores the slots of links over DPDK are moved by threads of their own (driver/sharded/shard_worker.hpp).
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/log.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/host/notify.hpp"
#include "runtime/engine/host/reactor.hpp"
#include "runtime/engine/node.hpp"
#include "runtime/engine/peers/gate_network.hpp"
#include "runtime/engine/recovery/descriptor_needs.hpp"
#include "runtime/engine/recovery/keeper.hpp"
#include "runtime/engine/services/directory.hpp"
#include "runtime/engine/sessions/control_socket.hpp"

namespace slotwire::engine {

class Engine {
 public:
  /// Sets everything up: memory, sockets, links. Throws std::exception with a text that says what to do.
  explicit Engine(Config config);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Runs until a signal asks for the end (SIGTERM, SIGINT); SIGHUP reloads the directory and reopens the log. Returns
  /// the exit status.
  int run();

 private:
  struct Loop;
  void open(const NodeSize& size);
  void catch_signals();
  void on_keeper(Keeper::News news, pid_t pid, const std::string& text);
  void handle_signals();
  void reload();
  void tick();
  void shut_down();

  Config config_;
  Log log_file_;
  Reactor reactor_;
  NodeLog log_;
  ServiceNotifier notifier_;
  std::unique_ptr<Keeper> keeper_;
  slot::Fd signals_;
  std::shared_ptr<const carriers::TlsContext> tls_;
  std::unique_ptr<StaticDirectory> directory_;
  KernelProcesses processes_;
  std::unique_ptr<GateNetwork> network_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<ControlSocket> control_socket_;
  bool stopping_ = false;
};

}  // namespace slotwire::engine
