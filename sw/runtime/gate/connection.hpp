// One control connection of the gate: a stream, and what it may pass on.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/carriers/message_stream.hpp"
#include "runtime/control/gate_protocol.hpp"
#include "runtime/gate/token_bucket.hpp"

namespace slotwire::gate {

using TlsPointer = std::shared_ptr<const carriers::TlsContext>;
/// A connection over a session to the peer; none while no session is up.
using OpenSession = std::function<std::optional<slot::Fd>()>;

/// One thread. Dialled, or accepted from a caller.
class Connection {
 public:
  enum class State : std::uint8_t {
    resolving,  ///< dialled; has no address yet
    dialling,   ///< tries one address after the other
    caller,     ///< accepted; has not said hello
    asked,      ///< said hello; slotwired has not said whether it is a peer
    proved,     ///< messages go both ways
    leaving,    ///< what was said last goes out
  };

  /// To be dialled: where is told by found().
  Connection(std::string peer, std::uint16_t port, std::uint64_t deadline_us, std::uint32_t rate, std::uint64_t now_us);
  /// Accepted.
  Connection(slot::Fd fd, const carriers::Address& from, const TlsPointer& tls, std::uint64_t deadline_us,
             std::uint32_t rate, std::uint64_t now_us);
  /// An accepted one came over a session.
  void came_over_http(std::uint64_t session) {
    over_http_ = true;
    session_ = session;
  }
  const std::optional<std::uint64_t>& session() const { return session_; }

  State state() const { return state_; }
  const carriers::Address& from() const { return from_; }
  /// For people: of one that came over a session the address has no port.
  std::string from_text() const {
    const std::string text = from_.to_string();
    return over_http_ ? text.substr(0, text.rfind(':')) + " over HTTP" : text;
  }
  const std::string& peer() const { return peer_; }
  bool over_http() const { return over_http_; }
  std::uint64_t deadline_us() const { return deadline_us_; }
  int fd() const { return stream_ ? stream_->stream().fd() : -1; }
  std::uint32_t events() const;
  bool closed() const { return failed_ || (stream_ && stream_->stream().is_closed() && !session_may_come()); }
  std::string reason() const { return failed_ ? why_ : stream_->stream().reason(); }

  /// The addresses of who is dialled; they are tried in turn.
  void found(std::vector<carriers::Address> addresses, const TlsPointer& tls, std::uint64_t now_us);
  /// There may be a session to the peer: it is taken when no address answers, or at `from_us`.
  void use_session(OpenSession open, const TlsPointer& tls, std::uint64_t from_us);
  void fail(std::string why);
  /// Goes on with connecting, the handshake and sending. Closed when the time is over.
  void drive(std::uint64_t now_us);
  /// The next message, if the window and the rate allow one.
  std::optional<std::string> next(std::uint64_t now_us);
  /// Why next() will have none any more: what the peer sent is beyond the limits of a message. Null: it is not.
  const carriers::MessageStream* refused() const {
    return stream_ && !stream_->refused().empty() && (state_ == State::proved || state_ == State::caller) ? &*stream_
                                                                                                          : nullptr;
  }
  /// When next() may have something though the descriptor shows nothing; none: only when the descriptor does.
  std::optional<std::uint64_t> paused_us(std::uint64_t now_us);
  /// A message was passed to slotwired, or slotwired gave bytes back.
  void passed(std::size_t bytes) { in_flight_ += bytes; }
  void gave_back(std::size_t bytes) { in_flight_ -= std::min(bytes, in_flight_); }

  /// A piece of a message of slotwired, which goes out with flush(). False: slotwired breaks the protocol.
  bool send_piece(std::string_view piece, bool last);
  void flush() {
    if (stream_) stream_->flush();
  }
  /// Sends a whole message of the gate's own.
  void say(const std::string& message);
  /// Bytes of slotwired's messages that have gone out and are to be given back: none while they are few.
  std::size_t take_sent();

  void asked() { state_ = State::asked; }
  void proved() { state_ = State::proved; }
  /// Lets what was said go out, and closes.
  void leave(const std::string& why, std::uint64_t deadline_us);
  void close(const std::string& why);

  bool peer_is(const std::string& node) const { return !tls_ || stream_->stream().peer_is(node); }
  std::string objection(const carriers::TlsContext& tls) const {
    return stream_ ? stream_->stream().objection(tls) : std::string();
  }

  std::uint32_t watched = 0;  ///< events that the loop watches it for
  int watched_fd = -1;
  bool slowed = false;  ///< next() waited for the rate

 private:
  void try_next(std::uint64_t now_us);
  bool session_may_come() const { return open_session_ && state_ <= State::dialling; }
  void try_session(std::uint64_t now_us);
  bool window_full() const { return in_flight_ + control::kMaxPeerMessage > control::kGateWindowIn; }

  State state_;
  std::string peer_;
  std::uint16_t port_ = 0;
  carriers::Address from_;
  std::uint64_t deadline_us_, try_until_us_ = 0;
  TlsPointer tls_;
  std::vector<carriers::Address> addresses_;
  std::size_t tried_ = 0;
  std::optional<carriers::MessageStream> stream_;
  OpenSession open_session_;
  std::uint64_t session_from_us_ = 0;
  std::optional<std::uint64_t> session_;  ///< that it came over
  bool failed_ = false, over_http_ = false;
  std::string why_;
  TokenBucket rate_;
  std::size_t in_flight_ = 0;
  std::string piece_;                       ///< of a message of slotwired
  std::deque<std::string> early_;           ///< messages for a connection that is not open yet
  std::size_t early_bytes_ = 0, owed_ = 0;  ///< owed: bytes from slotwired that were not given back
};

}  // namespace slotwire::gate
