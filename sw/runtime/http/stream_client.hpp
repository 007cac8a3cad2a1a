// Runs a client of HTTP streams over the HTTP client: its requests, the WebSocket that it asks for, its deadlines as a
// timer.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "core/http_stream/client.hpp"
#include "runtime/http/client.hpp"
#include "runtime/http/client_channel.hpp"
#include "runtime/http/loop.hpp"

namespace slotwire::http {

/// What happens to the session. Callbacks may call anything of the pipe and of the StreamClient but its destructor.
class PipeHandler {
 public:
  virtual ~PipeHandler() = default;
  /// Messages may have come, or have been acknowledged: once for each turn of the loop with news.
  virtual void on_turn() = 0;
  /// The state of the session changed.
  virtual void on_state(http_stream::SessionState state) = 0;
  /// A request failed, for people; the session goes on, or on_state() follows with its end.
  virtual void on_trouble(const std::string& /*text*/) {}
  /// The session runs over a WebSocket from now on, or it does not any more, or another try has failed.
  virtual void on_way(const http_stream::DuplexReport& /*report*/) {}
};

class StreamClient final : private ClientChannelHandler {
 public:
  /// Begins to connect. Throws as Client does.
  StreamClient(Loop& loop, ClientOptions http, const http_stream::ClientOptions& session, PipeHandler& handler,
               const std::optional<http_stream::Learned>& learned = std::nullopt);
  ~StreamClient() override;
  StreamClient(const StreamClient&) = delete;
  StreamClient& operator=(const StreamClient&) = delete;

  http_stream::Client& pipe() { return pipe_; }
  http_stream::SessionState state() const { return failed_ ? http_stream::SessionState::closed : pipe_.state(); }
  /// Why it is closed, for people: what happened and what to do.
  std::string reason() const;
  /// Set when it could not begin for a reason that trying again does not change.
  std::optional<FailureKind> fatal() const { return failed_; }
  ClientReport report() const { return client_.report(); }
  const Client& client() const { return client_; }

  /// To be called after calls on the pipe from outside of the callbacks: what they caused is sent in this turn of the
  /// loop.
  void touch();

 private:
  void turn();
  bool send_some();
  void done(http_stream::RequestNumber id, ClientOutcome&& outcome);
  void trouble(http_stream::RequestNumber id, const ClientFailure& failure);
  bool serve_channel(std::uint64_t now);
  void tell_way();
  void on_channel_open() override;
  void on_channel_message(std::span<const std::byte> message) override;
  void on_channel_room() override;
  void on_channel_end(const ClientFailure& why) override;

  /// Bytes queued on the WebSocket below which it takes another bundle.
  static constexpr std::size_t kChannelAhead = 128U << 10U;

  PipeHandler& handler_;
  http_stream::Client pipe_;
  Loop& loop_;
  Timer deadline_;
  Client client_;
  std::unordered_map<http_stream::RequestNumber, Client::Call> calls_;
  ChannelOptions channel_options_;
  std::unique_ptr<ClientChannel> channel_;
  bool channel_ended_ = false;
  http_stream::DuplexReport told_way_;
  http_stream::SessionState last_state_ = http_stream::SessionState::opening;
  std::string last_trouble_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool touched_ = false;
  std::optional<FailureKind> failed_;
};

}  // namespace slotwire::http
