// Control connections through the node's gate (sw/runtime/gate/): the process that accepts and dials them, and speaks
// TLS. What it says is checked like what a peer says; a gate that breaks the protocol is ended and started again.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/carriers/backoff.hpp"
#include "core/carriers/tcp_stream.hpp"
#include "runtime/control/packet_socket.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/peers/control_channel.hpp"
#include "runtime/engine/peers/gate_process.hpp"
#include "runtime/engine/peers/gate_sessions.hpp"

namespace slotwire::engine {

/// One thread. Outlives its channels.
class GateNetwork final : public ControlNetwork {
 public:
  /// Listens where the configuration says so, starts the gate and waits until it serves. Throws std::exception.
  GateNetwork(const Config& config, EventLoop& loop, NodeLog& log, StartGate start_gate);
  ~GateNetwork() override;
  GateNetwork(const GateNetwork&) = delete;
  GateNetwork& operator=(const GateNetwork&) = delete;

  void listen(OnCaller on_caller) override { on_caller_ = std::move(on_caller); }
  std::unique_ptr<ControlChannel> dial(const LinkConfig& link, std::uint64_t timeout_us) override;
  void resolve(const std::string& host, OnAddresses found) override;
  SessionNetwork* sessions() override { return &sessions_; }
  std::string_view protection() const override { return config_.tls.enabled() ? " (TLS 1.3)" : ""; }

  /// The files of [tls] have changed: the gate reads them again, and ends connections of peers whose certificates do
  /// not hold any more. What comes of it is in the log.
  void reload();
  /// Passes on what was sent to peers since the last time. The owner calls it before its thread sleeps: what one turn
  /// of the loop sends goes to the gate together, and wakes it once.
  void flush();
  /// Ends the gate after what was sent has gone out. Nothing works after this.
  void stop();
  control::Json report() const override;

 private:
  class Channel;
  struct Life;  // of the gate, and the socket to it

  void start(bool first);
  void send_setup(control::GateKind kind);
  void send_known();
  void await_ready();
  void send(const control::GatePacket& packet, int descriptor = -1);
  void watch();
  void on_ready(std::uint32_t events);
  bool take_packet(const control::Packet& packet, std::string& broken);
  bool take_message(const control::GatePacket& packet, std::string& broken);
  bool take_messages(const control::GatePacket& packet, std::string& broken);
  void send_message(std::uint32_t channel, std::string_view message);
  bool take_caller(const control::GatePacket& packet, std::string& broken);
  void take_addresses(const control::GatePacket& packet);
  void wake_channels();
  /// The gate is gone, or has to go.
  void lost(const std::string& why);

  const Config& config_;
  EventLoop& loop_;
  NodeLog& log_;
  StartGate start_gate_;
  std::optional<carriers::Listener> listener_;  ///< callers wait in it while no gate runs
  std::optional<carriers::Listener> http_listener_;
  OnCaller on_caller_;
  std::unique_ptr<Life> life_;
  std::uint64_t starts_ = 0;
  std::size_t reloads_ = 0;                ///< that this life of the gate has not answered
  std::optional<std::uint64_t> ready_us_;  ///< since when this life of the gate serves
  std::string about_certificate_;          ///< what is wrong or suspicious, as the gate says; empty: nothing
  std::string not_reloaded_;               ///< why the last reload kept the old certificates; empty: it did not
  control::GateBatch batch_;               ///< for the gate, and waits for flush()
  control::GateCounters counters_;
  GateSessions sessions_;
  carriers::Backoff backoff_;
  std::optional<EventLoop::TimerId> retry_;
  std::map<std::uint32_t, Channel*> channels_;
  std::set<std::uint32_t> woken_;  ///< have something new
  std::uint32_t last_channel_ = 1;
  std::map<std::uint32_t, OnAddresses> questions_;
  std::uint32_t last_question_ = 0;
  bool stopped_ = false;
};

}  // namespace slotwire::engine
