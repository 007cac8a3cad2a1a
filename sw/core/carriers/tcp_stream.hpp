// A non-blocking stream of bytes over TCP, plain or TLS: under the TCP carrier and under the engines' control
// connection.
#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/carriers/byte_queue.hpp"
#include "core/carriers/socket.hpp"
#include "core/carriers/tls.hpp"

namespace slotwire::carriers {

struct TcpStreamOptions {
  /// Bytes that wait for the socket at most; write() refuses more.
  std::size_t output_limit = std::size_t{2} << 20;
  /// TLS when set, plain otherwise.
  std::shared_ptr<const TlsContext> tls;
  /// Node that the peer's certificate must name; empty: any certificate of the CA. Ignored without TLS.
  std::string peer_name;
  /// A peer that acknowledges nothing for so long (milliseconds) is gone: unsent data and keep-alive probes. 0: the
  /// kernel's.
  unsigned peer_timeout_ms = 10'000;
};

enum class TcpStreamState : std::uint8_t {
  connecting,   ///< TCP is being set up
  handshaking,  ///< TLS is being set up
  open,         ///< bytes flow
  finishing,    ///< finish() was called: output drains, then the peer's end is awaited
  closed        ///< for good; reason() says why
};

/// One thread. Nothing here throws but for want of memory; what goes wrong closes the stream and is told by reason().
/// How to drive one: watch fd() for events(), call drive() when it is ready or deadline_us() has come, then read()
/// until 0.
class TcpStream {
 public:
  /// Closed from the start.
  TcpStream() = default;

  /// Starts to connect. The stream closes itself (in drive()) if it is not open by `deadline_us` of drive()'s clock.
  static TcpStream connect(const Address& to, const TcpStreamOptions& options, std::uint64_t deadline_us);
  /// Takes over a connected socket (as Listener::accept() gives it, or one end of a socketpair), as the TLS server.
  static TcpStream accept(Fd connected, const TcpStreamOptions& options, std::uint64_t deadline_us);

  /// Takes over a connected socket as the TLS client.
  static TcpStream over(Fd connected, const TcpStreamOptions& options, std::uint64_t deadline_us);

  TcpStreamState state() const noexcept { return state_; }
  bool is_open() const noexcept { return state_ == TcpStreamState::open; }
  bool is_closed() const noexcept { return state_ == TcpStreamState::closed; }
  /// Why it is closed, for people: what happened, and what to do where that is known. Empty while it is not.
  const std::string& reason() const noexcept { return reason_; }
  /// -1 when closed.
  int fd() const noexcept { return fd_.get(); }
  /// EPOLLIN and EPOLLOUT as the stream needs them now; ask again after every call that is not const.
  std::uint32_t events() const noexcept;
  /// When drive() must be called though the descriptor is not ready (microseconds of the caller's clock); none when
  /// open.
  std::optional<std::uint64_t> deadline_us() const noexcept;

  /// Goes on with connecting, handshake, writing or finishing, as far as that goes without waiting.
  void drive(std::uint64_t now_us);

  /// Takes all parts into the output buffer, or none: false when they do not fit or the stream is finishing or closed.
  /// Allowed before the stream is open. Sent by the next flush() or drive().
  bool write(std::initializer_list<std::span<const std::byte>> parts);
  /// Writes out what the socket takes now. Does nothing unless open.
  void flush();
  /// Bytes that write() takes now; 0 when finishing or closed.
  std::size_t space() const noexcept;
  /// Bytes that wait for the socket.
  std::size_t unsent() const noexcept { return output_.size(); }

  /// Bytes read, 0 when there are none now or the stream is not open (see state()). Read until 0, or come back without
  /// waiting for the descriptor: TLS may hold bytes that the descriptor does not show.
  std::size_t read(std::span<std::byte> into);
  /// Whether there may be bytes to read that the descriptor does not show.
  bool may_hold_bytes() const noexcept { return tls_ != nullptr; }

  /// Whether the peer's certificate names `node`; false without TLS.
  bool peer_is(const std::string& node) const { return tls_ && tls_->peer_is(node); }
  /// Why the peer's certificate is not good under `context`; empty: it is, or there is no TLS.
  std::string objection(const TlsContext& context) const {
    return tls_ && state_ != TcpStreamState::handshaking ? tls_->objection(context) : std::string();
  }

  /// Sends what is in the output buffer, then ends the stream in order; closed with `reason` then or at `deadline_us`.
  void finish(std::string_view reason, std::uint64_t deadline_us);
  /// Drops the connection now, unsent bytes included. The first reason stays.
  void close(std::string_view reason);

 private:
  static TcpStream start(Fd fd, const TcpStreamOptions& options, std::uint64_t deadline_us, TcpStreamState state,
                         TlsSession::Role role);
  void connected();
  void handshake();
  void drain();
  void note(TlsResult result);

  Fd fd_;
  std::unique_ptr<TlsSession> tls_;
  TcpStreamState state_ = TcpStreamState::closed;
  bool read_wants_write_ = false;  ///< TLS cannot read before it has written
  bool write_wants_read_ = false;  ///< and the reverse
  bool handshake_wants_write_ = false;
  bool sent_end_ = false;
  std::uint64_t deadline_us_ = 0;
  ByteQueue output_;
  std::string reason_ = "never connected";
  std::string finish_reason_;
  std::string target_;  ///< who is being connected to, for the reason
};

/// A listening TCP socket. Non-blocking.
class Listener {
 public:
  /// Throws std::system_error that says what to do. Port 0: the kernel picks one, see address().
  explicit Listener(const Address& address, int backlog = 256);
  int fd() const noexcept { return fd_.get(); }
  Address address() const { return Address::bound_to(fd_.get()); }

  /// The next connection, or none; then error() is the errno: EAGAIN when nobody waits. Others (EMFILE, ENFILE,
  /// ENOBUFS, ENOMEM) leave the connection waiting, so the descriptor stays readable: pause before trying again.
  std::optional<Fd> accept(Address* peer = nullptr);
  int error() const noexcept { return error_; }

 private:
  Fd fd_;
  int error_ = 0;
};

}  // namespace slotwire::carriers
