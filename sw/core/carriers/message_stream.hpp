// Messages over a stream: a 4-byte big-endian length, then so many bytes. What the engines' control connection speaks.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/carriers/tcp_stream.hpp"

namespace slotwire::carriers {

/// Cuts a stream of bytes into messages of 1..max_message bytes. A state machine without a socket. One thread.
class MessageParser {
 public:
  explicit MessageParser(std::size_t max_message) : max_message_(max_message) {}

  /// Takes bytes as they came and returns how many it took: fewer than given once a whole message waits for next(), or
  /// when the peer broke the rules (see failed()). Memory grows with what came, never with what a length claims.
  std::size_t feed(std::span<const std::byte> bytes);
  /// The next whole message, once.
  std::optional<std::string> next();
  /// A length was 0 or above max_message: nothing more is taken, the connection must be closed.
  bool failed() const noexcept { return failed_; }
  /// The refused length in bytes, when failed().
  std::uint32_t refused_length() const noexcept { return length_; }

 private:
  static constexpr std::size_t kPrefixBytes = 4;
  bool complete() const noexcept { return prefix_bytes_ == kPrefixBytes && body_.size() == length_; }

  std::size_t max_message_;
  std::size_t prefix_bytes_ = 0;
  std::uint32_t length_ = 0;
  bool failed_ = false;
  std::string body_;
};

/// What send() made of a message.
enum class SendResult : std::uint8_t {
  sent,      ///< taken; it goes out as the socket allows
  too_long,  ///< empty or above the limit that both ends agreed on: the caller's fault
  no_room,   ///< the output buffer is full: the peer does not read; try when drive() has made room, or give it up
  closed     ///< see stream().reason()
};

/// One thread. Drive it like a TcpStream: watch stream().fd() for stream().events() (level-triggered), call drive(),
/// then next() until none (or until enough, and then again without waiting for the descriptor).
class MessageStream {
 public:
  /// Messages of 1..max_message bytes both ways. `stream`'s output_limit should hold at least one of them and 4 bytes.
  MessageStream(TcpStream stream, std::size_t max_message)
      : stream_(std::move(stream)), max_message_(max_message), parser_(max_message) {}

  SendResult send(std::string_view message);
  /// As send(), but it goes out with the next flush(), send() or drive(), so that messages that follow one another
  /// leave together.
  SendResult queue(std::string_view message);
  void flush() { stream_.flush(); }
  /// Reads as far as the next message needs. None: no whole message now, or the stream is closed, or it is refused():
  /// then nothing more is read, and the owner ends it.
  std::optional<std::string> next();
  /// Why no message can be read any more: the peer announced one beyond the limits. Empty: it has not.
  const std::string& refused() const noexcept { return refused_; }
  /// It is refused, and the peer speaks TLS to a node that does not: it would not understand a message either.
  bool refused_tls() const noexcept { return refused_tls_; }
  void drive(std::uint64_t now_us) { stream_.drive(now_us); }

  TcpStream& stream() noexcept { return stream_; }
  const TcpStream& stream() const noexcept { return stream_; }

 private:
  TcpStream stream_;
  std::size_t max_message_;
  MessageParser parser_;
  std::string refused_;
  bool refused_tls_ = false;
  std::vector<std::byte> input_;  ///< read and not yet parsed: [begin_, end_)
  std::size_t begin_ = 0, end_ = 0;
  bool read_all_ = false;  ///< the last read took everything that the socket had
};

}  // namespace slotwire::carriers
