// HTTP in the gate: the sessions over which links run that nothing else lets through. A session carries control
// connections, as byte streams that the gate takes like those of TCP, and frames, as datagrams that it passes on
// unread.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/carriers/socket.hpp"
#include "core/carriers/tls.hpp"
#include "runtime/control/gate_protocol.hpp"
#include "runtime/http/client.hpp"
#include "runtime/http/loop.hpp"
#include "runtime/http/stream_server.hpp"

namespace slotwire::gate {

/// What the gate does for it. Called from the loop.
class FrontHost {
 public:
  virtual ~FrontHost() = default;
  /// A control connection came over a session. `from` may be a proxy's address. Once its peer has proved who it is,
  /// HttpFront::proved() is told so.
  virtual void take_stream(slot::Fd stream, const carriers::Address& from, http_stream::SessionNumber session) = 0;
  /// Frames of the link with `token` can flow: slotwired is to give their socket.
  virtual void session_up(std::uint32_t session, const std::string& token, const std::string& what) = 0;
  /// A session that is to be kept is not up.
  virtual void session_trouble(std::uint32_t session, const std::string& why) = 0;
  /// A session that is kept has got a WebSocket, or has lost it, or could not get one.
  virtual void session_way(std::uint32_t session, const control::GateSessionWay& way) = 0;
};

/// One thread, the loop's.
class HttpFront final : private http::SessionHandler {
 public:
  HttpFront(http::Loop& loop, FrontHost& host, http::ResolveHook resolve);
  ~HttpFront() override;
  HttpFront(const HttpFront&) = delete;
  HttpFront& operator=(const HttpFront&) = delete;

  /// Serves on `listener`; once. Throws std::exception.
  void listen(slot::Fd listener, const control::GateHttpServer& figures, const carriers::TlsTexts& tls);
  /// Keeps a session open from now on. False: the number is in use, or a figure is out of range.
  bool keep(std::uint32_t session, const control::GateSession& wanted);
  /// The socket that frames of a session come from and go to.
  void frames(std::uint32_t session, slot::Fd socket);
  /// A control connection of that session is a peer's: the session does not make room for others any more.
  void proved(http_stream::SessionNumber session);
  /// The session is no link's.
  void refuse(std::uint32_t session);
  /// A control connection over the session to `peer`; none: no session is up.
  std::optional<slot::Fd> open_control(const std::string& peer);
  /// Whether a session to `peer` is to be kept, and whether it is tried after the peer's address only.
  bool keeps(const std::string& peer) const;
  std::uint64_t sessions() const;
  /// How often a session of a peer was looked at. One with nothing to do costs nothing.
  std::uint64_t drives() const { return drives_; }
  /// Where the HTTP server listens.
  std::vector<carriers::Address> addresses() const { return server_->addresses(); }

 private:
  class FramePlaces;
  class Session;
  class Kept;

  void on_session(const http_stream::ServerEvent& event) override;
  void on_turn() override;
  void tell_way(http_stream::SessionNumber id, const Session& session);
  /// A session has something to move.
  void touch(http_stream::SessionNumber session);
  std::uint32_t number(Session& session);
  /// Ends sessions that have not proved to be a peer's in time, and the oldest of those that are too many.
  void sweep();
  void make_room();
  void close(http_stream::SessionNumber session, const char* why);

  http::Loop& loop_;
  FrontHost& host_;
  http::ResolveHook resolve_;
  std::unique_ptr<FramePlaces> places_;
  std::unique_ptr<http::StreamServer> server_;
  std::set<http_stream::SessionNumber> dirty_;    ///< to be driven in the next turn
  std::set<http_stream::SessionNumber> waiting_;  ///< in every turn, until they wait no more
  std::map<http_stream::SessionNumber, std::unique_ptr<Session>> accepted_;
  std::map<std::uint32_t, Session*> offered_;  ///< by the number that slotwired knows
  std::map<std::uint32_t, std::unique_ptr<Kept>> kept_;
  std::uint64_t drives_ = 0;
  std::uint32_t last_number_ = 0;
  std::uint64_t handshake_us_ = 0;
  http::Timer sweep_;
};

}  // namespace slotwire::gate
