// Both ends of a session look like this to what runs over it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "core/http_stream/bundle.hpp"
#include "core/http_stream/options.hpp"

namespace slotwire::http_stream {

/// Life of a session at one end.
enum class SessionState : std::uint8_t {
  opening,  ///< client: the key is not known yet; messages may be sent already
  up,
  silent,   ///< server: no request for silent_us; client: the last request was not answered. Messages are kept.
  closing,  ///< close() was called: what was sent before is still delivered
  closed    ///< see reason(); received messages can still be taken
};

/// Reliable, ordered messages in both directions. One thread.
class MessagePipe {
 public:
  MessagePipe() = default;
  MessagePipe(const MessagePipe&) = delete;
  MessagePipe& operator=(const MessagePipe&) = delete;
  virtual ~MessagePipe() = default;

  /// Takes a message of 1..max_message bytes. False: no room now, wrong length, or closing; nothing was taken.
  virtual bool send(std::span<const std::byte> message) = 0;
  /// The next message, in the order in which the peer sent it.
  virtual std::optional<Bytes> receive() = 0;
  /// Bytes of the longest message that send() takes now; 0 when closing.
  virtual std::size_t room() const = 0;
  /// Bytes of all messages that it takes now, one after the other; 0 when closing.
  virtual std::size_t space() const = 0;
  /// Bytes that were sent and are not acknowledged yet.
  virtual std::size_t unacknowledged() const = 0;
  /// Ends the session after what was sent has been delivered, or close_us later. The peer is told the reason.
  virtual void close(CloseReason reason) = 0;
  virtual SessionState state() const = 0;
  /// Why it ended; code none while it has not.
  virtual const CloseReason& reason() const = 0;
};

}  // namespace slotwire::http_stream
