// The limits and times of a session over HTTP, each with its unit. Both ends have them; neither trusts the other's.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace slotwire::http_stream {

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t kMillisecond = 1'000;        ///< in microseconds, the unit of every time here
constexpr std::uint64_t kSecond = 1'000'000;         ///< in microseconds
constexpr std::uint64_t kNever = ~std::uint64_t{0};  ///< a deadline that does not come

/// 128 random bits: a session's key, which is all that a request needs to speak for the session, or an opening nonce.
using Key = std::array<std::byte, 16>;

/// What both ends of a session have.
struct SessionOptions {
  /// Bytes of the longest message that is sent or received. The default takes the longest frame of a link (22 bytes and
  /// 1023 lines of 64 bytes: 65,494 bytes) and a header before it.
  std::size_t max_message = 66'000;
  /// Bytes of a part. A longer message is cut into parts, which are what is numbered and acknowledged. 1..32,767.
  std::size_t part_bytes = 8'192;
  /// Bytes of the longest body that is sent at first, and that counts as full. Bodies below 64 KB pass every proxy that
  /// was tried, an authenticating Squid included. At least kMinBundleBytes + part_bytes.
  std::size_t bundle_bytes = 60'000;
  /// Bytes of the longest body that is sent, where longer ones were seen to pass, and that is taken; at least
  /// bundle_bytes, at most kMaxBundleBytes.
  std::size_t bundle_bytes_max = std::size_t{512} << 10U;
  /// Time after which a longer body is tried again that has failed: first and longest; it doubles with each failure.
  std::uint64_t longer_retry_us = 10 * kSecond;
  std::uint64_t longer_retry_max_us = 600 * kSecond;
  /// Parts in one bundle, 1..65,535.
  std::size_t bundle_messages = 4'096;
  /// Bytes and parts that wait to be sent or acknowledged. send() refuses a message that does not fit.
  std::size_t send_bytes = std::size_t{4} << 20U;
  std::size_t send_messages = 65'536;
  /// Bytes (with kPartCost for each part) that the peer may send ahead of the application: at first, and after it was
  /// seen to need more. window_min holds at least one message of max_message.
  std::size_t window_min = std::size_t{128} << 10U;
  std::size_t window_max = std::size_t{4} << 20U;
  /// Longest time for which a bundle that is not full waits for further messages. The time in use is an eighth of the
  /// round trip, at most this, and only right after another bundle: the first message after a pause never waits.
  std::uint64_t gather_max_us = 5 * kMillisecond;
  /// Longest time for which an acknowledgement waits for something that goes the same way, where nothing depends on it:
  /// what was received is short, and the client has requests left. 0: no longer than messages gather.
  std::uint64_t acknowledge_us = 5 * kMillisecond;
  /// Longest time for which close() goes on to deliver what was sent before it.
  std::uint64_t close_us = 10 * kSecond;
};

/// What a client has beside them.
struct ClientOptions {
  SessionOptions session;
  /// Requests on their way or held at once, 2..64. Throughput is at most this times bundle_bytes for each round trip.
  std::size_t max_requests = 8;
  /// Requests that the server may hold while nothing is to be said, 1..max_requests-1. While large blocks follow one
  /// another the client asks for more by itself, up to max_requests-1.
  std::size_t held_requests = 1;
  /// Time without a full bundle after which no more than held_requests are held again.
  std::uint64_t held_idle_us = 2 * kSecond;
  /// How long the server may hold a request: at first, at most, and at least, whatever proxies do.
  std::uint64_t hold_us = 25 * kSecond;
  std::uint64_t hold_max_us = 45 * kSecond;
  std::uint64_t hold_min_us = 1 * kSecond;
  /// Hold time of the request by which the start finds out whether a held request lets others pass. 0: not probed.
  std::uint64_t probe_hold_us = 2 * kSecond;
  /// Time-out of a request that is not held: before a round trip was measured; afterwards the least by which it is
  /// longer than the round trip, and the most that it is.
  std::uint64_t timeout_first_us = 3 * kSecond;
  std::uint64_t timeout_min_us = 200 * kMillisecond;
  std::uint64_t timeout_max_us = 10 * kSecond;
  /// Delay before the next request after a failed one: first and longest; it doubles with each failure.
  std::uint64_t retry_first_us = 100 * kMillisecond;
  std::uint64_t retry_max_us = 5 * kSecond;
  /// Time in which the server must have answered the opening request, from the first call that is told the time. 0: as
  /// long as requests are tried (give_up_requests).
  std::uint64_t open_us = 0;
  /// Unanswered requests in succession after which the connection has failed. Requests that were on their way together
  /// count once.
  std::size_t give_up_requests = 10;
  /// Silence on an attached duplex connection after which it is given up. A quarter of it is the longest time for which
  /// the client says nothing there, and for which it waits for an answer to what it said.
  std::uint64_t duplex_silence_us = 20 * kSecond;
  /// Whether the owner is asked for duplex connections at all.
  bool duplex = false;
  /// Time in which a duplex connection must be made, from the request for it to attach_duplex().
  std::uint64_t duplex_open_us = 10 * kSecond;
  /// Longest time for which the first bundle on a duplex connection may stay unanswered, or two time-outs of a request
  /// if that is longer: until then nothing is known of the connection, and the session waits for it.
  std::uint64_t duplex_first_us = 1 * kSecond;
  /// Delay before the next try after one that failed or a connection that was lost: first and longest. It doubles with
  /// each failure in succession, less a random part of up to a quarter. A connection that carried bundles for
  /// duplex_proved_us ends the succession.
  std::uint64_t duplex_retry_first_us = 5 * kSecond;
  std::uint64_t duplex_retry_max_us = 1'800 * kSecond;
  std::uint64_t duplex_proved_us = 30 * kSecond;
};

/// What a server has beside them.
struct ServerOptions {
  SessionOptions session;
  /// Sessions in total and from one source, those that are only half open included. Sessions that the application has
  /// not released yet count too.
  std::size_t max_sessions = 1'024;
  std::size_t max_sessions_per_source = 256;
  /// Bytes that all sessions together may hold, received and not taken, or not yet acknowledged by their peers.
  /// Each session has window_min twice (for either direction) for itself; what is left goes to those that need it.
  std::size_t total_bytes = std::size_t{512} << 20U;
  /// Requests that one session may have held, 1..64, whatever its client asks for.
  std::size_t max_held = 64;
  /// Longest time for which a request is held, whatever its client asks for.
  std::uint64_t hold_max_us = 45 * kSecond;
  /// Time in which the client must use the key that its opening request was given. Where max_sessions are reached, the
  /// oldest session whose key was not used yet makes place for a new one before that.
  std::uint64_t open_us = 60 * kSecond;
  /// Time without any request or bundle after which a session counts as silent, and then the time in which it may
  /// still be resumed by its key.
  std::uint64_t silent_us = 15 * kSecond;
  std::uint64_t grace_us = 60 * kSecond;
};

/// Cost of a part in a window beside its bytes.
constexpr std::size_t kPartCost = 64;
/// Requests that can be outstanding at once: the width of the bit map that stands in every bundle.
constexpr std::size_t kMaxRequests = 64;

}  // namespace slotwire::http_stream
