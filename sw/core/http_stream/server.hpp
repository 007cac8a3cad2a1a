// The server's end of many sessions over HTTP: it takes requests, holds them, and says when to answer them with what.
// No socket, no clock, no HTTP.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/http_stream/message_pipe.hpp"

namespace slotwire::http_stream {

/// The owner's name for a request that waits for its answer, or for a duplex connection: unique while that is open.
using ExchangeId = std::uint64_t;
using DuplexId = std::uint64_t;
/// The server's name for a session; not its key, and never used again.
using SessionNumber = std::uint64_t;

/// An answer that the owner is to send, with Content-Length, `Cache-Control: no-store, no-transform` and
/// `X-Accel-Buffering: no`.
struct Response {
  ExchangeId id = 0;
  unsigned status = 200;  ///< 200, or 400 for a body that is not a bundle (the answer is a bundle all the same)
  Bytes body;
};

/// A message for a duplex connection.
struct DuplexBundle {
  DuplexId id = 0;
  Bytes body;
};

/// Something that concerns the application.
struct ServerEvent {
  enum class Kind : std::uint8_t {
    opened,    ///< a client has a session; session() gives its pipe
    readable,  ///< messages arrived: receive() until there are none
    writable,  ///< send() had refused a message and there is room again
    silent,    ///< no request for silent_us; it may come back
    resumed,   ///< and it did
    way,       ///< it goes over a duplex connection from now on, or by requests again; see duplex_attached()
    closed     ///< see reason(). Messages can still be received. Then release() it
  };
  Kind kind{};
  SessionNumber session = 0;
};

struct ServerCounters {
  std::uint64_t requests = 0, responses = 0, unreadable = 0, unknown = 0, repeated = 0, refused = 0, opened = 0,
                resumed = 0, timed_out = 0, resent_parts = 0, duplicate_parts = 0;
};

/// Fills the span with bytes that nobody can guess.
using RandomBytes = std::function<void(std::span<std::byte>)>;

class Server {
 public:
  Server(const ServerOptions& options, RandomBytes random);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // The application's side.
  std::optional<ServerEvent> next_event();
  /// The pipe of a session, from `opened` until release(); null for others.
  MessagePipe* session(SessionNumber session);
  /// Forgets a session. One that is not closed is closed as by close(), and forgotten when that is over.
  void release(SessionNumber session);
  /// It goes over a duplex connection just now.
  bool duplex_attached(SessionNumber session) const;
  /// Where the session's latest request came from; empty for unknown ones.
  std::string source(SessionNumber session) const;
  std::size_t sessions() const;
  /// Bytes that sessions hold or have promised to take, and never more than total_bytes.
  std::size_t reserved_bytes() const;
  const ServerCounters& counters() const;

  // The HTTP side. After each of these calls, and after calls on sessions: take next_response() and
  // next_duplex_bundle() until there are none, and call tick() at deadline().

  /// A request came completely. `from` names its source for the limit of sessions (an address without port); at most
  /// kMaxSourceBytes of it are looked at.
  void on_request(ExchangeId id, std::string_view from, std::span<const std::byte> body, std::uint64_t now_us);
  /// The client of a request has left. It gets no response; what was in a response that was not delivered is not lost.
  void on_gone(ExchangeId id, std::uint64_t now_us);
  std::optional<Response> next_response(std::uint64_t now_us);
  void tick(std::uint64_t now_us);
  std::uint64_t deadline() const;

  // Duplex connections. The first bundle on one says by its key to which session it belongs.

  /// False: the bundle is invalid, its session unknown, or its place was taken; the owner closes the connection.
  bool on_duplex_bundle(DuplexId id, std::string_view from, std::span<const std::byte> body, std::uint64_t now_us);
  void on_duplex_lost(DuplexId id, std::uint64_t now_us);
  /// The next bundle to write. `ready(id)` says whether that connection takes more now (null: all do).
  std::optional<DuplexBundle> next_duplex_bundle(std::uint64_t now_us,
                                                 const std::function<bool(DuplexId)>& ready = nullptr);
  /// A duplex connection that the owner is to close: its session ended, or another one took its place.
  std::optional<DuplexId> next_duplex_end();

  static constexpr std::size_t kMaxSourceBytes = 64;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace slotwire::http_stream
