#include "core/carriers/tcp_stream.hpp"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace slotwire::carriers {
namespace {

/// Bytes thrown away in one drive() while the end of the peer is awaited; more come with the next.
constexpr std::size_t kDiscardBytes = std::size_t{64} << 10;
constexpr int kKeepAliveProbes = 3;

void set_stream_options(int fd, const TcpStreamOptions& options) noexcept {
  // None of these is vital, and a socketpair (tests, local tools) has none of them: failures are ignored.
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.peer_timeout_ms != 0) {
    const int seconds = std::max(1, static_cast<int>(options.peer_timeout_ms / 1000U) / (kKeepAliveProbes + 1));
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveProbes);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(options.peer_timeout_ms));
  }
}

}  // namespace

TcpStream TcpStream::start(Fd fd, const TcpStreamOptions& options, std::uint64_t deadline_us, TcpStreamState state,
                           TlsSession::Role role) {
  TcpStream stream;
  stream.output_ = ByteQueue(options.output_limit);
  stream.deadline_us_ = deadline_us;
  stream.state_ = state;
  stream.fd_ = std::move(fd);
  stream.reason_.clear();
  if (options.tls) {
    stream.tls_ = TlsSession::create(*options.tls, stream.fd_.get(), role, options.peer_name);
    if (!stream.tls_) stream.close("TLS: no memory for a session");
  }
  return stream;
}

TcpStream TcpStream::connect(const Address& to, const TcpStreamOptions& options, std::uint64_t deadline_us) {
  TcpStream failed;
  if (!to.valid()) {
    failed.reason_ = "no address to connect to; configure the peer's address";
    return failed;
  }
  Fd fd(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) {
    failed.reason_ = "cannot make a socket for " + to.to_string() + ": " + errno_text(errno);
    return failed;
  }
  set_stream_options(fd.get(), options);
  if (::connect(fd.get(), to.data(), to.size()) != 0 && errno != EINPROGRESS && errno != EINTR) {
    failed.reason_ = "cannot connect to " + to.to_string() + ": " + errno_text(errno);
    return failed;
  }
  TcpStream stream = start(std::move(fd), options, deadline_us, TcpStreamState::connecting, TlsSession::Role::client);
  stream.target_ = to.to_string();
  return stream;
}

TcpStream TcpStream::accept(Fd connected, const TcpStreamOptions& options, std::uint64_t deadline_us) {
  if (!connected) return {};
  set_stream_options(connected.get(), options);
  const auto state = options.tls ? TcpStreamState::handshaking : TcpStreamState::open;
  return start(std::move(connected), options, deadline_us, state, TlsSession::Role::server);
}

TcpStream TcpStream::over(Fd connected, const TcpStreamOptions& options, std::uint64_t deadline_us) {
  if (!connected) return {};
  set_stream_options(connected.get(), options);
  const auto state = options.tls ? TcpStreamState::handshaking : TcpStreamState::open;
  return start(std::move(connected), options, deadline_us, state, TlsSession::Role::client);
}

std::uint32_t TcpStream::events() const noexcept {
  const auto in = static_cast<std::uint32_t>(EPOLLIN);
  const auto out = static_cast<std::uint32_t>(EPOLLOUT);
  switch (state_) {
    case TcpStreamState::connecting:
      return out;
    case TcpStreamState::handshaking:
      return handshake_wants_write_ ? out : in;
    case TcpStreamState::open:
    case TcpStreamState::finishing: {
      const bool writing = !output_.empty() && !write_wants_read_;
      return in | (writing || read_wants_write_ ? out : 0U);
    }
    case TcpStreamState::closed:
      break;
  }
  return 0;
}

std::optional<std::uint64_t> TcpStream::deadline_us() const noexcept {
  if (state_ == TcpStreamState::open || state_ == TcpStreamState::closed) return std::nullopt;
  return deadline_us_;
}

void TcpStream::drive(std::uint64_t now_us) {
  if (state_ == TcpStreamState::connecting) connected();
  if (state_ == TcpStreamState::handshaking) handshake();
  if (state_ == TcpStreamState::open) flush();
  if (state_ == TcpStreamState::finishing) drain();
  const auto deadline = deadline_us();
  if (!deadline || now_us < *deadline) return;
  switch (state_) {
    case TcpStreamState::connecting:
      close("no answer from " + target_ + " in time; is the peer up and does a firewall let the port through?");
      break;
    case TcpStreamState::handshaking:
      close("the TLS handshake was not finished in time; does the peer speak TLS on this port?");
      break;
    default:
      close(finish_reason_);
      break;
  }
}

void TcpStream::connected() {
  pollfd entry{fd_.get(), POLLOUT, 0};
  if (::poll(&entry, 1, 0) <= 0) return;
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  if (error != 0) {
    close("cannot connect to " + target_ + ": " + errno_text(error));
    return;
  }
  state_ = tls_ ? TcpStreamState::handshaking : TcpStreamState::open;
}

void TcpStream::handshake() {
  const TlsResult result = tls_->handshake();
  handshake_wants_write_ = result == TlsResult::want_write;
  if (result == TlsResult::ok) {
    state_ = TcpStreamState::open;
  } else {
    note(result);
  }
}

void TcpStream::note(TlsResult result) {
  if (result != TlsResult::closed && result != TlsResult::failed) return;
  // The usual reason for an end that early, and neither side's error says it.
  const bool early = state_ == TcpStreamState::handshaking;
  close(tls_->error() +
        (early ? "; this node speaks TLS here: does the other one ([tls] on both nodes or on neither)?" : ""));
}

bool TcpStream::write(std::initializer_list<std::span<const std::byte>> parts) {
  if (state_ == TcpStreamState::finishing || state_ == TcpStreamState::closed) return false;
  return output_.append(parts);
}

void TcpStream::flush() {
  while ((state_ == TcpStreamState::open || state_ == TcpStreamState::finishing) && !output_.empty()) {
    const auto piece = output_.front();
    if (tls_) {
      std::size_t count = 0;
      const TlsResult result = tls_->write(piece, count);
      write_wants_read_ = result == TlsResult::want_read;
      if (result != TlsResult::ok) return note(result);
      output_.pop(count);
      continue;
    }
    const ssize_t put = ::send(fd_.get(), piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) close("the connection broke: " + errno_text(errno));
      return;
    }
    output_.pop(static_cast<std::size_t>(put));
  }
}

std::size_t TcpStream::space() const noexcept {
  return state_ == TcpStreamState::finishing || state_ == TcpStreamState::closed ? 0 : output_.space();
}

std::size_t TcpStream::read(std::span<std::byte> into) {
  if (into.empty() || (state_ != TcpStreamState::open && state_ != TcpStreamState::finishing)) return 0;
  if (tls_) {
    std::size_t count = 0;
    const TlsResult result = tls_->read(into, count);
    read_wants_write_ = result == TlsResult::want_write;
    if (result == TlsResult::ok) {
      write_wants_read_ = false;  // whatever the write waited for may have come
      return count;
    }
    note(result);
    return 0;
  }
  for (;;) {
    const ssize_t got = ::recv(fd_.get(), into.data(), into.size(), MSG_DONTWAIT);
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0) {
      close("the peer closed the connection");
      return 0;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) close("the connection broke: " + errno_text(errno));
    return 0;
  }
}

void TcpStream::finish(std::string_view reason, std::uint64_t deadline_us) {
  if (state_ != TcpStreamState::open) return close(reason);
  finish_reason_ = reason;
  deadline_us_ = deadline_us;
  state_ = TcpStreamState::finishing;
  drain();
}

// Closing a socket with unread bytes resets the connection, and a reset may overtake what was sent last; so the peer's
// end is read first.
void TcpStream::drain() {
  flush();
  if (state_ != TcpStreamState::finishing || !output_.empty()) return;
  if (!std::exchange(sent_end_, true)) {
    if (tls_) tls_->shutdown();
    ::shutdown(fd_.get(), SHUT_WR);
  }
  std::array<std::byte, 4096> scrap;
  for (std::size_t total = 0; total < kDiscardBytes;) {
    const std::size_t count = read(scrap);
    if (count == 0) break;
    total += count;
  }
  if (state_ == TcpStreamState::closed) reason_ = finish_reason_;
}

void TcpStream::close(std::string_view reason) {
  if (state_ == TcpStreamState::closed) return;
  if (tls_ && state_ == TcpStreamState::open) tls_->shutdown();
  state_ = TcpStreamState::closed;
  reason_ = reason;
  output_.clear();
  tls_.reset();
  fd_.reset();
}

Listener::Listener(const Address& address, int backlog) : fd_(bound_socket(address, SOCK_STREAM)) {
  if (::listen(fd_.get(), backlog) != 0) throw_errno("listening on " + address.to_string());
}

std::optional<Fd> Listener::accept(Address* peer) {
  for (;;) {
    sockaddr_storage from{};
    socklen_t length = sizeof from;
    Fd fd(::accept4(fd_.get(), reinterpret_cast<sockaddr*>(&from), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      error_ = 0;
      if (peer != nullptr) {
        *peer = Address::from(reinterpret_cast<const sockaddr*>(&from), length).value_or(Address{});
      }
      return fd;
    }
    error_ = errno;
    // These belong to one connection that died while it waited; the next may be fine.
    if (error_ == EINTR || error_ == ECONNABORTED || error_ == EPROTO) continue;
    return std::nullopt;
  }
}

}  // namespace slotwire::carriers
