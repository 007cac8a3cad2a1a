#include "runtime/gate/connection.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

namespace slotwire::gate {
namespace {

/// Of the next address, when one does not answer.
constexpr std::uint64_t kTryUs = 1'000'000;
/// A message counts once, and once more for each so many bytes of it.
constexpr std::size_t kCountedBytes = 1024;

carriers::TcpStreamOptions options_for(const TlsPointer& tls, const std::string& peer) {
  carriers::TcpStreamOptions options;
  // The window, the lengths before the messages in it, and an error of the gate's own.
  options.output_limit = control::kGateWindowOut + control::kMaxPeerMessage;
  options.tls = tls;
  options.peer_name = peer;
  return options;
}

}  // namespace

Connection::Connection(std::string peer, std::uint16_t port, std::uint64_t deadline_us, std::uint32_t rate,
                       std::uint64_t now_us)
    : state_(State::resolving), peer_(std::move(peer)), port_(port), deadline_us_(deadline_us), rate_(rate, now_us) {}

Connection::Connection(slot::Fd fd, const carriers::Address& from, const TlsPointer& tls, std::uint64_t deadline_us,
                       std::uint32_t rate, std::uint64_t now_us)
    : state_(State::caller),
      from_(from),
      deadline_us_(deadline_us),
      tls_(tls),
      stream_(std::in_place, carriers::TcpStream::accept(std::move(fd), options_for(tls, {}), deadline_us),
              control::kMaxPeerMessage),
      rate_(rate, now_us) {}

std::uint32_t Connection::events() const {
  if (!stream_) return 0;
  const std::uint32_t wanted = stream_->stream().events();
  const bool reads = (state_ == State::proved || state_ == State::caller) && !window_full() && !slowed;
  const bool open = stream_->stream().is_open();
  return open && !reads ? wanted & ~static_cast<std::uint32_t>(EPOLLIN) : wanted;
}

void Connection::found(std::vector<carriers::Address> addresses, const TlsPointer& tls, std::uint64_t now_us) {
  tls_ = tls;
  addresses_ = std::move(addresses);
  state_ = State::dialling;
  try_next(now_us);
}

void Connection::try_next(std::uint64_t now_us) {
  const carriers::Address to = addresses_[tried_++].with_port(port_);
  const bool more = tried_ < addresses_.size();
  try_until_us_ = more ? std::min(deadline_us_, now_us + kTryUs) : deadline_us_;
  stream_.emplace(carriers::TcpStream::connect(to, options_for(tls_, peer_), try_until_us_), control::kMaxPeerMessage);
}

void Connection::use_session(OpenSession open, const TlsPointer& tls, std::uint64_t from_us) {
  open_session_ = std::move(open);
  tls_ = tls;
  session_from_us_ = from_us;
}

void Connection::fail(std::string why) {
  why_ = std::move(why);
  if (session_may_come()) {
    session_from_us_ = 0;
  } else {
    failed_ = true;
  }
}

/// The peer's address has had its chance.
void Connection::try_session(std::uint64_t now_us) {
  const bool open = stream_ && stream_->stream().is_open();
  const bool direct_ended = stream_ && stream_->stream().is_closed() && tried_ >= addresses_.size();
  if (open || (!direct_ended && now_us < session_from_us_)) return;
  if (std::optional<slot::Fd> fd = open_session_()) {
    open_session_ = {};
    over_http_ = true;
    state_ = State::dialling;
    tried_ = addresses_.size();
    stream_.emplace(carriers::TcpStream::over(std::move(*fd), options_for(tls_, peer_), deadline_us_),
                    control::kMaxPeerMessage);
  } else if (now_us >= deadline_us_) {
    open_session_ = {};
    if (direct_ended) why_ = stream_->stream().reason();
    stream_.reset();
    fail(why_ + (why_.empty() ? "no session over HTTP is up" : "; and no session over HTTP is up"));
  }
}

void Connection::drive(std::uint64_t now_us) {
  if (failed_) return;
  if (session_may_come()) try_session(now_us);
  if (failed_) return;
  if (!stream_) {
    if (session_may_come()) return;
    if (now_us >= deadline_us_) fail("the name of its host was not looked up in time");
    return;
  }
  stream_->drive(now_us);
  if (state_ != State::dialling) return;
  while (stream_->stream().is_closed() && tried_ < addresses_.size()) {
    try_next(now_us);
    stream_->drive(now_us);
  }
  if (!stream_->stream().is_open()) return;
  state_ = State::proved;
  for (const std::string& message : early_) stream_->send(message);
  early_.clear();
  early_bytes_ = 0;
}

std::optional<std::string> Connection::next(std::uint64_t now_us) {
  if (!stream_ || closed() || window_full() || (state_ != State::proved && state_ != State::caller))
    return std::nullopt;
  slowed = rate_.wait_us(now_us) != 0;
  if (slowed) return std::nullopt;
  std::optional<std::string> message = stream_->next();
  if (message) rate_.take(now_us, 1 + static_cast<std::uint32_t>(message->size() / kCountedBytes));
  return message;
}

std::optional<std::uint64_t> Connection::paused_us(std::uint64_t now_us) {
  if (!slowed) return std::nullopt;
  return now_us + rate_.wait_us(now_us);
}

bool Connection::send_piece(std::string_view piece, bool last) {
  if (piece_.size() + piece.size() > control::kMaxPeerMessage) return false;
  owed_ += piece.size();
  if (owed_ > control::kGateWindowOut) return false;
  piece_ += piece;
  if (!last) return true;
  const std::string message = std::exchange(piece_, {});
  if (message.empty()) return false;
  if (state_ == State::resolving || state_ == State::dialling) {
    early_bytes_ += message.size();
    early_.push_back(message);
  } else if (!closed()) {
    stream_->queue(message);
  }
  return true;
}

void Connection::say(const std::string& message) {
  if (stream_ && stream_->stream().is_open()) stream_->send(message);
}

std::size_t Connection::take_sent() {
  const std::size_t unsent = stream_ ? stream_->stream().unsent() : 0;
  const std::size_t waits = std::min(owed_, piece_.size() + early_bytes_ + unsent);
  const std::size_t sent = owed_ - waits;
  if (sent < control::kGateGiveBack) return 0;
  owed_ = waits;
  return sent;
}

void Connection::leave(const std::string& why, std::uint64_t deadline_us) {
  state_ = State::leaving;
  deadline_us_ = deadline_us;
  if (!stream_) return fail(why);
  stream_->stream().finish(why, deadline_us);
}

void Connection::close(const std::string& why) {
  if (!stream_) return fail(why);
  stream_->stream().close(why);
}

}  // namespace slotwire::gate
