// The client's end of a session over HTTP: it decides which requests to make and reads what they bring. No socket, no
// clock, no HTTP: the owner performs the requests and passes in what became of them.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/http_stream/message_pipe.hpp"

namespace slotwire::http_stream {

/// Number of a request: 1, 2, 3... in one session. The same number is in its body.
using RequestNumber = std::uint64_t;

/// A POST that the owner is to make.
struct Request {
  RequestNumber id = 0;
  Bytes body;
  /// Time after which the HTTP client may end it by itself; a little after the session has given it up.
  std::uint64_t timeout_us = 0;
};

/// Duplex connections that failed in succession on one way. The times are of the clock that the client is given.
struct DuplexFailures {
  std::uint32_t count = 0;
  std::uint64_t next_us = 0;  ///< no try before that
  std::string why;            ///< the latest one failed
};

/// Whether a session runs over a duplex connection, and why not. For reports.
struct DuplexReport {
  enum class State : std::uint8_t {
    off,       ///< none is wanted
    waiting,   ///< for the session to be up
    trying,    ///< the owner makes one
    attached,  ///< the session runs over it
    resting    ///< it has failed, and is tried again at `failures.next_us`
  };
  State state = State::off;
  DuplexFailures failures;
};

/// What a client found out about the proxies on its way. For reports, and to begin with next time.
struct Learned {
  std::uint64_t hold_us = 0;        ///< longest hold that is asked for now
  std::uint64_t cut_us = 0;         ///< shortest time after which a held request was cut; 0: none was
  std::size_t bundle_bytes = 0;     ///< longest body that is sent now; less than the option after a 413
  bool serial = false;              ///< a request waits behind a held one: holds are hold_min_us long
  bool probed = false;              ///< the probe at the start came to a result
  std::uint64_t round_trip_us = 0;  ///< smoothed; 0: not measured yet
  DuplexFailures duplex;
  std::string text() const;  ///< the same in a sentence
};

/// Counters since the start.
struct ClientCounters {
  std::uint64_t requests = 0, responses = 0, failures = 0, timeouts = 0, unreadable = 0, resent_parts = 0,
                duplicate_parts = 0, duplex_tries = 0, duplex_attached = 0, duplex_lost = 0;
};

class Client final : public MessagePipe {
 public:
  /// `nonce`: 16 random bytes that nobody can guess. Options out of range are moved into it. `learned`, of an earlier
  /// client on the same way, begins with its hold time.
  Client(const ClientOptions& options, const Key& nonce, const std::optional<Learned>& learned = std::nullopt);
  ~Client() override;

  // The application's side.
  bool send(std::span<const std::byte> message) override;
  std::optional<Bytes> receive() override;
  std::size_t room() const override;
  std::size_t space() const override;
  std::size_t unacknowledged() const override;
  void close(CloseReason reason) override;
  SessionState state() const override;
  const CloseReason& reason() const override;
  Learned learned() const;
  const ClientCounters& counters() const;

  // The HTTP side. After each of these calls, and after send(), receive() and close(): take next_request() until there
  // is none, then next_abandoned() until there is none, and call tick() at deadline().

  /// The next request to make now. Its body goes out as POST with Content-Length, type application/octet-stream.
  std::optional<Request> next_request(std::uint64_t now_us);
  /// The answer to a request came completely, with any status. `body` may be anything. Answers to requests that were
  /// abandoned are welcome.
  void on_response(RequestNumber id, unsigned status, std::span<const std::byte> body, std::uint64_t now_us);
  /// A request ended without an answer: connection refused, cut, time-out. `text` says why and may reach reason().
  void on_failure(RequestNumber id, std::string_view text, std::uint64_t now_us);
  /// A request whose answer is no longer awaited: the owner should abort it. No call about it is needed afterwards.
  std::optional<RequestNumber> next_abandoned();
  void tick(std::uint64_t now_us);
  /// When tick() has something to do; kNever: nothing without a new event.
  std::uint64_t deadline() const;
  /// Requests for which on_response() or on_failure() is awaited.
  std::size_t outstanding() const;

  // A duplex connection (WebSocket) to the same server, once the session is up. The owner connects and upgrades it;
  // each bundle is one binary message. No requests are made while it is attached.

  /// True once for each connection that the owner is to make. It then calls attach_duplex() or on_duplex_failed(). A
  /// try that takes longer than duplex_open_us has failed by itself: duplex_trying() turns false, and the owner drops
  /// what it has begun.
  bool next_duplex_try(std::uint64_t now_us);
  bool duplex_trying() const;
  /// The connection could not be made. `why` is for people.
  void on_duplex_failed(std::string_view why, std::uint64_t now_us);
  DuplexReport duplex_report() const;
  /// A connection is there, whether or not it was asked for. False: the session is not up, or one is attached already.
  bool attach_duplex(std::uint64_t now_us);
  bool duplex_attached() const;
  /// The next bundle to write to the duplex connection; call it only when that takes more, so that messages gather.
  std::optional<Bytes> next_bundle(std::uint64_t now_us);
  /// A whole message came over the duplex connection.
  void on_bundle(std::span<const std::byte> body, std::uint64_t now_us);
  /// The connection ended, or this end closes it. The session goes on by requests at once. Without effect when none is
  /// attached. The session does the same after duplex_silence_us without a bundle; duplex_attached() then turns false
  /// and the owner closes the connection. `why` is for people.
  void on_duplex_lost(std::uint64_t now_us, std::string_view why = "the connection ended");

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace slotwire::http_stream
