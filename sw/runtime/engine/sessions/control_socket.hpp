// The Unix socket that processes and tools reach the engine at.
#pragma once
#include <cstdint>
#include <optional>

#include "core/slot/memory.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/sessions/process_hub.hpp"

namespace slotwire::engine {

/// Listens at node.control_socket, and at run_dir/slotwire.sock where no other node does. One thread.
class ControlSocket {
 public:
  /// Throws std::exception with what to do. The caller holds the node's keeper, so a socket that lies there is a
  /// leftover.
  ControlSocket(const Config& config, EventLoop& loop, NodeLog& log, ProcessHub& hub);
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  /// Nobody finds the node any more.
  void withdraw();

 private:
  void listen();
  void offer_as_default();
  void accept();
  void rest(const char* why);

  const Config& config_;
  EventLoop& loop_;
  NodeLog& log_;
  ProcessHub& hub_;
  slot::Fd listener_;
  bool passes_none_ = false;  ///< the kernel passes no descriptors over its connections
  std::optional<EventLoop::TimerId> pause_;
};

}  // namespace slotwire::engine
