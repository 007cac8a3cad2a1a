#include "web/bridge/relay.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "web/http/text.hpp"

namespace slotwire::web::bridge {
namespace {

/// Reads and writes in one turn, so that one busy request cannot keep the others waiting.
constexpr int kMovesAtOnce = 8;
/// Read at one time where it cannot be read into the ring.
constexpr std::size_t kReadAtOnce = std::size_t{16} << 10U;
/// Room in the ring that is worth a read.
constexpr std::size_t kLeastRead = 4096;
/// A UNIX socket whose queue is full is tried again so often.
constexpr auto kConnectAgain = std::chrono::milliseconds(20);

std::string text_of(int error) {
  return std::strerror(error);
}

}  // namespace

Relay::Relay(Bridge& bridge, Application& application, Request request)
    : bridge_(bridge),
      application_(application),
      request_(std::move(request)),
      timer_(bridge.loop()),
      connect_timer_(bridge.loop()) {}

Relay::~Relay() {
  if (fd_) bridge_.loop().remove(fd_.get(), *this);
}

void Relay::start() {
  request_.exchange->on_abort([this](Abort) { abort(); });
  connect(false);
}

void Relay::connect(bool fresh) {
  readable_ = writable_ = hung_up_ = false;
  if (!fresh && bridge_.options().protocol == Protocol::http) fd_ = bridge_.take_idle(application_);
  reused_ = static_cast<bool>(fd_);
  if (!fd_) fd_ = start_connecting(application_.address);
  if (!fd_) {
    const int error = errno;
    if (error == EAGAIN && Clock::now() - request_.since < bridge_.options().connect_time)
      return connect_timer_.set(kConnectAgain, [this] { connect(true); });
    return lost(text_of(error));
  }
  connecting_ = true;
  if (!bridge_.loop().add(fd_.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, *this)) return lost(text_of(errno));
  if (reused_) {
    writable_ = true;
    return connected();
  }
  connect_timer_.set(bridge_.options().connect_time, [this] { lost("it did not accept the connection in time"); });
}

void Relay::on_events(std::uint32_t events) {
  if (over_) return;
  if (connecting_) {
    if (const int error = pending_error(fd_.get()); error != 0) return lost(text_of(error));
    if ((events & (EPOLLOUT | EPOLLHUP)) == 0) return;
    connect_timer_.cancel();
    connected();
  }
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) readable_ = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) hung_up_ = true;
  if ((events & EPOLLOUT) != 0) writable_ = true;
  drive();
}

void Relay::connected() {
  connecting_ = false;
  text_.clear();
  text_at_ = 0;
  sent_ = 0;
  piece_left_ = 0;
  body_sent_ = false;
  begin();
  if (over_) return;
  moved_ = Clock::now();
  if (!timer_.is_set()) watch_silence();
  if (request_.body == nullptr && (request_.exchange->has_body() || !request_.exchange->upgrade_to().empty())) {
    request_.exchange->on_body([this] {
      waits_for_body_ = false;
      drive();
    });
  }
  if (reused_) drive();
}

/// The connection failed or ended before anything of a response came.
void Relay::lost(const std::string& why) {
  connect_timer_.cancel();
  if (fd_) bridge_.loop().remove(fd_.get(), *this);
  fd_ = slot::Fd();
  // A process that ends may have had the request in its queue alone. The next one gets it, once.
  const bool may_repeat = bridge_.starts_processes() && !request_.again && !reused_ && body_taken_ == 0 &&
                          http::is_idempotent(request_.exchange->method());
  const bool repeats = sent_ != 0 && !connecting_ && may_repeat;
  request_.again = request_.again || repeats;
  if (connecting_ || sent_ == 0 || repeats) {
    if (reused_ && !retried_) {
      retried_ = true;
      return connect(true);
    }
    connecting_ = false;
    over_ = true;
    timer_.cancel();
    request_.exchange->on_body({});
    request_.exchange->on_abort({});
    if (repeats) {
      bridge_.repeat(*this, request_);
    } else {
      bridge_.not_reached(*this, request_, why);
    }
    request_ = {};
    return bridge_.done(*this);
  }
  // A kept connection that the application closed while it was idle: what can be sent again is.
  if (reused_ && !retried_ && body_taken_ == 0 && http::is_idempotent(request_.exchange->method())) {
    retried_ = true;
    return connect(true);
  }
  fail(http::kBadGateway, why);
}

void Relay::drive() {
  if (over_ || connecting_ || !fd_) return;
  for (int i = 0; i < kMovesAtOnce; ++i) {
    bool moved = send();
    if (over_ || !fd_ || connecting_) return;
    moved = receive() || moved;
    if (over_ || !fd_ || connecting_) return;
    if (!moved) return;
  }
  bridge_.again(*this);
}

std::optional<std::uint64_t> Relay::body_length() const {
  if (request_.body != nullptr) return request_.body->size();
  return request_.exchange->content_length();
}

Result<std::span<const std::byte>> Relay::peek_body() {
  return request_.body != nullptr ? request_.body->peek() : request_.exchange->peek_body();
}

void Relay::consume_body(std::size_t bytes) {
  if (request_.body != nullptr) return request_.body->consume(bytes);
  request_.exchange->consume_body(bytes);
}

/// Frames the next bytes of the body, if there are any. False: none now.
bool Relay::next_piece() {
  const Result<std::span<const std::byte>> data = peek_body();
  if (!data) {
    waits_for_body_ = data.status() == Status::again;
    if (request_.body != nullptr) {
      fail(http::kInternalError, "the body that was kept cannot be read: " + data.error().text);
      return true;
    }
    return false;
  }
  if (data->empty()) {
    body_sent_ = true;
    end_body();
  } else {
    frame_piece(data->size());
  }
  return true;
}

bool Relay::send() {
  if (!writable_ || send_failed_) return false;
  const bool finished = body_sent_ && text_at_ == text_.size();
  if (finished) return false;
  if (piece_left_ == 0 && !body_sent_ && next_piece() && over_) return true;
  std::array<iovec, 2> parts{};
  std::size_t count = 0;
  if (text_at_ < text_.size()) parts[count++] = {text_.data() + text_at_, text_.size() - text_at_};
  if (piece_left_ != 0) {
    const Result<std::span<const std::byte>> data = peek_body();
    if (!data || data->empty()) return false;  // the exchange is over: it says so itself
    // sendmsg() takes what it only reads by a pointer that is not const.
    parts[count++] = {const_cast<std::byte*>(data->data()), std::min(data->size(), piece_left_)};
  }
  if (count == 0) return false;
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = count;
  const ssize_t n = ::sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n >= 0) {
    sent(static_cast<std::size_t>(n));
    return true;
  }
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    writable_ = false;
  } else if (errno != EINTR) {
    // It may have answered before it closed.
    send_failed_ = true;
    readable_ = hung_up_ = true;
    return true;
  }
  return false;
}

void Relay::sent(std::size_t bytes) {
  moved_ = Clock::now();
  sent_ += bytes;
  const std::size_t of_text = std::min(bytes, text_.size() - text_at_);
  text_at_ += of_text;
  if (text_at_ == text_.size()) {
    text_.clear();
    text_at_ = 0;
  }
  const std::size_t of_body = bytes - of_text;
  if (of_body == 0) return;
  consume_body(of_body);
  body_taken_ += of_body;
  piece_left_ -= of_body;
  if (piece_left_ == 0) end_piece();
}

bool Relay::receive() {
  if (rest_at_ < rest_.size()) {
    if (waits_for_room_) return false;
    understand();
    if (over_ || rest_at_ < rest_.size()) return false;
  }
  if (!readable_) return false;
  if (direct_bytes() != 0) return receive_direct();
  rest_.resize(kReadAtOnce);
  rest_at_ = 0;
  const ssize_t n = ::recv(fd_.get(), rest_.data(), rest_.size(), MSG_DONTWAIT);
  rest_.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  if (n > 0) {
    moved_ = Clock::now();
    answered_ = true;
    // A short read emptied the socket: the next bytes are a new edge. Not so when an end of the stream follows.
    if (rest_.size() < kReadAtOnce && !hung_up_) readable_ = false;
    understand();
    return true;
  }
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    readable_ = false;
  } else if (n == 0 || errno != EINTR) {
    readable_ = false;
    const std::string why = n == 0 ? "it closed the connection before its response" : text_of(errno);
    if (!answered_) {
      lost(why);
    } else {
      stream_ended();
    }
  }
  return false;
}

bool Relay::receive_direct() {
  const Result<std::span<std::byte>> room = request_.exchange->loan(kLeastRead);
  if (!room) {
    waits_for_room_ = room.status() == Status::again;
    if (waits_for_room_ && !watches_room_) {
      watches_room_ = true;
      request_.exchange->on_room([this] {
        waits_for_room_ = false;
        drive();
      });
    }
    return false;
  }
  const std::size_t most = std::min(room->size(), direct_bytes());
  const ssize_t n = ::recv(fd_.get(), room->data(), most, MSG_DONTWAIT);
  const int error = errno;
  request_.exchange->commit(n > 0 ? static_cast<std::size_t>(n) : 0);
  if (n > 0) {
    moved_ = Clock::now();
    if (static_cast<std::size_t>(n) < most && !hung_up_) readable_ = false;
    took_direct(static_cast<std::size_t>(n));
    return true;
  }
  if (n < 0 && (error == EAGAIN || error == EWOULDBLOCK)) {
    readable_ = false;
  } else if (n == 0 || error != EINTR) {
    readable_ = false;
    stream_ended();
  }
  return false;
}

std::size_t Relay::give(std::string_view data) {
  const Result<std::size_t> written = request_.exchange->write(data);
  const std::size_t n = written ? *written : 0;
  if (n < data.size() && (written || written.status() == Status::again)) {
    waits_for_room_ = true;
    if (!std::exchange(watches_room_, true)) {
      request_.exchange->on_room([this] {
        waits_for_room_ = false;
        drive();
      });
    }
  }
  return n;
}

void Relay::finish() {
  const Status status = request_.exchange->finish();
  if (status == Status::invalid) bridge_.note("application " + address() + ": " + request_.exchange->problem());
  const bool keep = status == Status::ok && can_keep() && body_sent_ && text_at_ == text_.size() && !send_failed_ &&
                    rest_at_ == rest_.size() && !hung_up_;
  bridge_.loop().remove(fd_.get(), *this);
  if (keep) bridge_.keep(application_, std::move(fd_));
  end();
}

void Relay::fail(unsigned status, const std::string& why) {
  bridge_.note("application " + address() + ": " + why + " (" + std::string(request_.exchange->method()) + " " +
               std::string(request_.exchange->target()) + ")");
  if (request_.exchange->is_started()) {
    request_.exchange->break_off();
  } else {
    request_.exchange->respond(status, {{"content-type", "text/plain"}}, std::string(http::reason_of(status)) + "\n");
  }
  end();
}

void Relay::refuse(const std::string& why) {
  if (request_.exchange->is_started() || body_taken_ != 0) return fail(http::kUnavailable, why);
  bridge_.note("application " + address() + ": " + why);
  request_.exchange->refuse();
  end();
}

void Relay::abort() {
  if (over_) return;
  end();
}

void Relay::end() {
  if (std::exchange(over_, true)) return;
  if (fd_) bridge_.loop().remove(fd_.get(), *this);
  fd_ = slot::Fd();
  timer_.cancel();
  connect_timer_.cancel();
  if (!request_.exchange->is_over()) {
    request_.exchange->on_body({});
    request_.exchange->on_room({});
    request_.exchange->on_abort({});
  }
  request_ = {};
  bridge_.done(*this);
}

bool Relay::waits_for_application() const {
  if (waits_for_room_) return false;
  const bool sent_all = (body_sent_ && text_at_ == text_.size()) || send_failed_;
  return sent_all || !waits_for_body_ || !writable_;
}

void Relay::watch_silence() {
  const Clock::duration limit = bridge_.options().silence_time;
  timer_.set(std::max<Clock::duration>(moved_ + limit - Clock::now(), std::chrono::milliseconds(1)), [this, limit] {
    if (!spliced_ && waits_for_application() && Clock::now() - moved_ >= limit)
      return fail(http::kGatewayTimeout, "it neither took nor sent a byte in time (--timeout)");
    if (Clock::now() - moved_ >= limit) moved_ = Clock::now();  // it is the client that is waited for
    watch_silence();
  });
}

}  // namespace slotwire::web::bridge
