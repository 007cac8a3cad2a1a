// An HTTP/1.1 server for messages of programs: POST requests that may be answered late, and WebSocket channels, on
// configured paths; nothing else. Boost.Beast parses; what two parsers may understand differently is refused
// (header_check.hpp).
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/carriers/socket.hpp"
#include "core/carriers/tls.hpp"
#include "runtime/http/loop.hpp"
#include "runtime/http/source.hpp"

namespace slotwire::http {

using Bytes = std::vector<std::byte>;

/// A request that waits for its answer; never used twice.
enum class RequestId : std::uint64_t {};
/// A WebSocket connection; never used twice.
enum class ChannelId : std::uint64_t {};

struct ServerLimits {
  std::size_t connections = 1024;
  /// From one source: an IPv4 address or an IPv6 /64. Trusted proxies have no such limit.
  std::size_t connections_per_source = 256;
  std::size_t header_bytes = std::size_t{8} << 10U;
  std::size_t body_bytes = std::size_t{1} << 20U;
  /// Of all bodies that are being received or wait in the handler's requests at one time.
  std::size_t bodies_bytes = std::size_t{256} << 20U;
  std::size_t message_bytes = std::size_t{1} << 20U;  ///< of a channel
  /// Messages that wait to be sent on one channel; send() refuses more.
  std::size_t channel_queue_bytes = std::size_t{4} << 20U;
  std::chrono::microseconds handshake_time{10'000'000};  ///< of TLS
  std::chrono::microseconds header_time{10'000'000};     ///< from the first byte to the end of the header
  std::chrono::microseconds body_time{60'000'000};       ///< for the whole body
  std::chrono::microseconds write_time{60'000'000};      ///< for the client to take a whole response
  /// Between requests. Longer than proxies keep idle connections (nginx 60 s), so that they close first.
  std::chrono::microseconds idle_time{120'000'000};
  /// From the upgrade to the first message of a channel: whoever opens one has something to say.
  std::chrono::microseconds channel_first_time{10'000'000};
  /// Of a channel on which nothing came; half of it after the last message a ping is sent.
  std::chrono::microseconds channel_idle_time{40'000'000};
};

struct ServerOptions {
  /// Bound and listening, of whoever may bind them; and addresses to listen on.
  std::vector<slot::Fd> listeners;
  std::vector<carriers::Address> addresses;
  /// "/s" takes "/s" and everything beneath it. At least one.
  std::vector<std::string> paths;
  /// TLS 1.3 when `certificate` is not empty. With `ca`, clients must have a certificate of it.
  carriers::TlsTexts tls;
  /// Proxies whose X-Forwarded-For is believed.
  std::vector<Network> trusted_proxies;
  ServerLimits limits;
};

/// Who sent a request or opened a channel.
struct Peer {
  carriers::Address source;  ///< as a trusted proxy reports it, else `address`
  carriers::Address address;
  std::string path;  ///< of the target, without a query
};

struct Request {
  Peer peer;
  Bytes body;
};

/// What a server hands to its owner, in the loop's thread.
class ServerHandler {
 public:
  virtual ~ServerHandler() = default;
  /// To be answered by Server::answer() or refuse(), now or later.
  virtual void on_request(RequestId id, Request&& request) = 0;
  /// The client of a request that was not answered has left; the id is no longer valid. Most proxies do not pass on
  /// that their client left.
  virtual void on_gone(RequestId id) = 0;

  virtual void on_channel(ChannelId id, const Peer& peer) = 0;
  virtual void on_message(ChannelId id, std::span<const std::byte> message) = 0;
  /// A message of the channel was written: queued() is less than it was.
  virtual void on_channel_room(ChannelId id) = 0;
  /// Not called for a channel that close_channel() closed.
  virtual void on_channel_closed(ChannelId id) = 0;
};

/// All of them only ever grow, but for the first two.
struct ServerCounters {
  std::uint64_t connections = 0;   ///< now
  std::uint64_t bodies_bytes = 0;  ///< now
  std::uint64_t accepted = 0;
  std::uint64_t turned_away = 0;  ///< no place, and nobody idle whose place could be taken
  std::uint64_t evicted = 0;      ///< idle connections whose places were taken
  std::uint64_t timed_out = 0;
  std::uint64_t handshakes_failed = 0;
  std::uint64_t malformed = 0;  ///< requests refused for their header
  std::uint64_t too_large = 0;  ///< header, body or message
  std::uint64_t not_found = 0;  ///< path or method
  std::uint64_t requests = 0;   ///< handed to the handler
  std::uint64_t answers = 0;
  std::uint64_t gone = 0;  ///< clients that left before the answer
  std::uint64_t channels = 0;
};

class Server {
 public:
  /// Listens from now on. Throws std::exception that says what is wrong with an address, a file or the options.
  Server(Loop& loop, ServerOptions options, ServerHandler& handler);
  /// Closes all connections; the handler is not called.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Where it listens, ports that the kernel chose included.
  std::vector<carriers::Address> addresses() const;

  /// Answers with `status` and `body`. False: the request is not there any more.
  bool answer(RequestId id, unsigned status, Bytes body);
  /// Answers with a text, and ends the connection.
  bool refuse(RequestId id, unsigned status, const std::string& text);

  /// Queues a message. False: no room, or no such channel.
  bool send(ChannelId id, Bytes message);
  /// Bytes that wait to be written.
  std::size_t queued(ChannelId id) const;
  void close_channel(ChannelId id);

  ServerCounters counters() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace slotwire::http
