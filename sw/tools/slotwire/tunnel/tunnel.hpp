// The loop of a tunnel: joins TCP connections to slot connections, any number up to a limit, in one thread.
#pragma once
#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/slot/poll_waiter.hpp"
#include "tools/slotwire/common.hpp"
#include "tools/slotwire/tunnel/access_log.hpp"
#include "tools/slotwire/tunnel/pipe.hpp"
#include "tools/slotwire/tunnel/tcp.hpp"

namespace slotwire::cli {

struct TunnelOptions {
  Common common;
  std::string service;
  std::string address;             ///< to listen on, or of the target
  std::size_t connections = 1000;  ///< at one time; more wait in the listening queue or the backlog
  std::uint64_t ring = 0;          ///< bytes of each ring of a connection; 0: the node's default
  std::chrono::microseconds connect_timeout{5'000'000};  ///< for the other end to be reached
  bool quiet = false;                                    ///< no access log
};

/// One thread. The two kinds differ in where connections come from: see listen.cpp and serve.cpp.
class Tunnel {
 public:
  Tunnel(const TunnelOptions& options, const std::string& name);
  virtual ~Tunnel();
  Tunnel(const Tunnel&) = delete;
  Tunnel& operator=(const Tunnel&) = delete;

  /// Runs until SIGINT or SIGTERM. Throws CommandError.
  int run();

 protected:
  /// The context had events.
  virtual void on_context() = 0;
  /// The listening socket is readable.
  virtual void on_listener() {}
  /// The TCP socket of a pipe that is not open yet had an event.
  virtual void on_connecting(Pipe&, std::uint32_t /*events*/) {}
  /// A pipe has ended and is about to be closed; it still counts for full().
  virtual void on_ended(const Pipe&) {}
  /// Pipes were closed.
  virtual void on_room() {}
  /// A pipe that was not opened in time is about to be aborted.
  virtual std::string late_reason(const Pipe& pipe) const = 0;
  /// Called now and then while pipes wait to be opened.
  virtual void on_late_check() {}

  Pipe& add(slot::Fd tcp, std::string tcp_peer);
  /// Watches the pipe's TCP socket from now on.
  void watch_tcp(Pipe& pipe);
  /// Both ends are there: bytes flow.
  void open(Pipe& pipe);
  void abort(Pipe& pipe, const std::string& reason);
  void watch(int fd, void* tag);
  bool full() const { return pipes_.size() >= options_.connections; }

  const TunnelOptions& options_;
  StopSignal stop_;
  AccessLog log_;
  ContextPtr context_;
  PollerPtr poller_;
  int listener_ = -1;  ///< watched while there is room for another connection

 private:
  void take_slots(bool& worked);
  void take_sockets(int timeout_ms, bool& worked);
  void drive(Pipe& pipe);
  void drive_queued();
  void bury();
  void check_late();
  void watch_listener();

  slot::Fd epoll_;
  slot::PollWaiter waiter_;
  std::unordered_map<Pipe*, std::unique_ptr<Pipe>> pipes_;
  std::vector<Pipe*> queued_;  ///< have more to do
  std::vector<Pipe*> ended_;   ///< to be closed once nothing points to them any more
  std::size_t connecting_ = 0;
  std::chrono::steady_clock::time_point late_checked_{};
  std::uint64_t last_number_ = 0;
  bool listening_ = false;
};

/// `slotwire tunnel listen`: TCP connections become slot connections to a service.
int run_tunnel_listen(const TunnelOptions& options);
/// `slotwire tunnel serve`: slot connections become TCP connections to a target.
int run_tunnel_serve(const TunnelOptions& options);

}  // namespace slotwire::cli
