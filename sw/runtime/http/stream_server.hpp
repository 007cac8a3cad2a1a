// Runs a server of HTTP streams over the HTTP server: requests and channels in, answers out, its deadlines as a timer.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/http_stream/server.hpp"
#include "runtime/http/loop.hpp"
#include "runtime/http/server.hpp"

namespace slotwire::http {

/// What happens to sessions. Callbacks may call anything of the pipes and of the StreamServer but its destructor.
class SessionHandler {
 public:
  virtual ~SessionHandler() = default;
  /// Kinds as http_stream::ServerEvent has them. After `closed` the handler releases the session.
  virtual void on_session(const http_stream::ServerEvent& event) = 0;
  /// Something was sent or acknowledged, so that queues may have room: after events, once for each turn of the loop.
  virtual void on_turn() {}
};

class StreamServer final : private ServerHandler {
 public:
  /// Throws as Server does.
  StreamServer(Loop& loop, ServerOptions options, const http_stream::ServerOptions& sessions, SessionHandler& handler);
  ~StreamServer() override;
  StreamServer(const StreamServer&) = delete;
  StreamServer& operator=(const StreamServer&) = delete;

  std::vector<carriers::Address> addresses() const { return server_->addresses(); }
  http_stream::Server& sessions() { return sessions_; }
  ServerCounters counters() const { return server_->counters(); }

  /// To be called after calls on pipes from outside of on_session(): what they caused is sent in this turn of the loop.
  void touch();

 private:
  void on_request(RequestId id, Request&& request) override;
  void on_gone(RequestId id) override;
  void on_channel(ChannelId id, const Peer& peer) override;
  void on_message(ChannelId id, std::span<const std::byte> message) override;
  void on_channel_room(ChannelId id) override;
  void on_channel_closed(ChannelId id) override;
  void turn();
  bool send_some();

  /// Bytes queued on a channel below which it takes another bundle.
  static constexpr std::size_t kChannelAhead = 128U << 10U;

  SessionHandler& handler_;
  http_stream::Server sessions_;
  Loop& loop_;
  Timer deadline_;
  std::unordered_map<std::uint64_t, std::string> channel_sources_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool touched_ = false;
  std::unique_ptr<Server> server_;
};

/// The host part of an address, as limits by source take it.
std::string host_text(const carriers::Address& address);

}  // namespace slotwire::http
