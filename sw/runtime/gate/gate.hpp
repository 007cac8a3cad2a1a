// The gate of a node: the process that other nodes, and strangers, talk to. It accepts and dials control connections,
// speaks TLS, looks names up, and hands slotwired whole messages that it could decode. It has no slot memory, and
// slotwired takes what comes from it for as hostile as what comes from a peer (docs/architecture.md, "The gate").
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/carriers/socket.hpp"
#include "core/carriers/tcp_stream.hpp"
#include "runtime/control/gate_protocol.hpp"
#include "runtime/control/packet_socket.hpp"
#include "runtime/gate/admission.hpp"
#include "runtime/gate/connection.hpp"
#include "runtime/gate/http_front.hpp"
#include "runtime/gate/resolver.hpp"

namespace slotwire::gate {

/// What a gate is set up with, once it was received.
struct Setup {
  control::GateSetup figures;
  slot::Fd listener;
  slot::Fd http_listener;
  TlsPointer tls;
  carriers::TlsTexts https;  ///< of the HTTP server, if it speaks TLS
};

/// Reads a setup (or reload) packet and the files that came with it. An Error says what is wrong with a file.
core::Result<Setup> take_setup(control::Packet&& packet, control::GateKind kind);

/// One thread, and those of the resolver.
class Gate final : private FrontHost {
 public:
  /// `packets`: to slotwired. The resolver's threads run already.
  Gate(control::PacketSocket& packets, Setup setup, Resolver& resolver);
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() override;

  /// Until slotwired closes its end; what peers were told last goes out then. Returns the exit status.
  int run();

 private:
  using Id = std::uint32_t;

  // FrontHost
  void take_stream(slot::Fd stream, const carriers::Address& from, http_stream::SessionNumber session) override;
  void session_up(std::uint32_t session, const std::string& token, const std::string& what) override;
  void session_trouble(std::uint32_t session, const std::string& why) override;
  void session_way(std::uint32_t session, const control::GateSessionWay& way) override;

  /// Turns until slotwired closes its end, or there is HTTP to be served, which has a loop of its own.
  void run_alone();
  /// Everything that is ready, once; waits for it for at most `wait_ms` (-1: as long as it takes).
  void turn(int wait_ms);
  /// The same in the loop of HTTP.
  void turn_in_loop();
  HttpFront& front();
  void look_soon();
  void admit(slot::Fd fd, const carriers::Address& from, std::optional<http_stream::SessionNumber> session);
  // Each handles what one kind of thing brings.
  bool take_packets();
  bool take_packet(control::Packet&& packet);
  /// False: the message breaks the protocol.
  bool pass_on(Id id, std::string_view text, bool last);
  void flush_connections();
  void accept();
  void pump(Id id);
  void sweep();

  void dial(Id id, const control::GateDial& wanted);
  void resolve(Id question, const std::string& host);
  void look_up(const std::string& host, Resolver::Done done);
  void know(const std::string& host);
  void reload(control::Packet&& packet);
  void look_at_certificate();
  /// False: the connection is gone.
  bool take_message(Id id, Connection& connection, const std::string& text);
  void refuse_length(Id id, Connection& connection);
  void refuse_message(Id id, Connection& connection, const std::string& why);
  void hello(Id id, Connection& connection, const std::string& text);
  void turn_away(Id id, Connection& connection, const std::string& why, const std::string& told);
  void end(Id id, bool revoked = false);
  void watch(Id id, Connection& connection);
  void give_back(Id id, Connection& connection);
  void send(const control::GatePacket& packet);
  void send_message(Id id, std::string_view text);
  /// To slotwired, what send_message() left.
  void flush();
  void notice(control::GateNotice about, const std::string& text);
  void tell_counters();
  int wait_ms() const;

  http::Loop loop_;
  control::PacketSocket& packets_;
  control::GateSetup figures_;
  TlsPointer tls_;
  std::string about_certificate_;  ///< as slotwired was told
  std::uint64_t looked_at_certificate_us_ = 0;
  slot::Fd listener_;
  Resolver& resolver_;
  slot::Fd epoll_;
  std::unique_ptr<HttpFront> front_;
  std::unique_ptr<http::Timer> again_later_;
  Admission admission_;
  std::map<Id, std::unique_ptr<Connection>> connections_;
  std::set<Id> again_;        ///< may have more though their descriptors show nothing
  std::set<Id> slowed_;       ///< wait for their rate
  std::set<Id> written_;      ///< have messages of slotwired that have not gone out yet
  control::GateBatch batch_;  ///< for slotwired, and waits for the end of the turn
  std::set<std::string> known_names_;
  Id last_caller_ = 0;
  control::GateCounters counters_;
  bool counters_changed_ = true;
  std::uint64_t sweep_us_ = 0, counters_us_ = 0, listen_again_us_ = 0;
  bool listening_ = false, packets_waiting_ = false;
  bool ended_ = false;  ///< slotwired has closed its end
  bool lost_ = false;   ///< slotwired breaks the protocol, or cannot be reached
};

}  // namespace slotwire::gate
