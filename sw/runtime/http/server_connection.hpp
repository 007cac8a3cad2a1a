// For the sources of the server: a connection over a plain or a TLS stream of Asio. Included once for each, so that
// each has a source of its own.
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

#include <cassert>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/control/printable.hpp"
#include "runtime/http/bytes_body.hpp"
#include "runtime/http/header_check.hpp"
#include "runtime/http/server_impl.hpp"

namespace slotwire::http {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;

/// A stream of Asio that ends at once. Beast's way to end a WebSocket is to wait for the other end's close, for which
/// a hostile one lets it wait.
template <class Base>
class EndingStream : public Base {
 public:
  template <class... Arguments>
  explicit EndingStream(Arguments&&... arguments) : Base(std::forward<Arguments>(arguments)...) {}
  EndingStream(EndingStream&&) noexcept = default;
};

template <class Base, class Handler>
void async_teardown(beast::role_type, EndingStream<Base>& stream, Handler&& handler) {
  error_code ignored;
  beast::get_lowest_layer(static_cast<Base&>(stream)).shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  asio::post(stream.get_executor(), beast::bind_front_handler(std::forward<Handler>(handler), error_code{}));
}

template <class Base>
void teardown(beast::role_type, EndingStream<Base>& stream, error_code& error) {
  beast::get_lowest_layer(static_cast<Base&>(stream)).shutdown(asio::ip::tcp::socket::shutdown_both, error);
}

template <class Stream>
class StreamConnection final : public ServerConnection, public std::enable_shared_from_this<StreamConnection<Stream>> {
 public:
  using Parser = beast::http::request_parser<BytesBody>;
  using Response = beast::http::response<BytesBody>;
  /// Without compression: bundles hardly get shorter, and a decoder is one more thing that strangers may feed.
  using WebSocket = beast::websocket::stream<Stream, false>;

  StreamConnection(Server::Impl& server, Stream&& stream)
      : server_(server), stream_(std::move(stream)), timer_(server.loop, [this] { expired(); }) {
    // Beast reads at most half a kilobyte at a time into a buffer that has to grow.
    buffer_.reserve(kReadBytes);
  }

  void start() override;
  void drop() override { finish(false); }
  void answer(unsigned status, Bytes body) override;
  void refuse_request(unsigned status, const std::string& text) override;
  bool send(Bytes message) override;
  std::size_t queued() const override { return queued_bytes_; }
  void close_channel() override;

 private:
  enum class Phase : std::uint8_t { handshake, idle, header, body, held, writing, lingering, channel, closed };

  static constexpr std::size_t kReadBytes = 65536;
  /// After a refusal, of what the client still sends: else the system resets the connection and takes the refusal back.
  static constexpr std::size_t kLingerBytes = std::size_t{4} << 20U;
  static constexpr std::chrono::microseconds kLingerTime{2'000'000};

  auto self() { return this->shared_from_this(); }
  asio::ip::tcp::socket& socket() { return beast::get_lowest_layer(web_ ? web_->next_layer() : *stream_); }
  const ServerLimits& limits() const { return server_.options.limits; }

  void enter(Phase phase, std::chrono::microseconds time) {
    phase_ = phase;
    timer_.after(time);
  }
  void enter(Phase phase) {
    phase_ = phase;
    timer_.cancel();
  }

  void next();
  void read_more();
  void on_read(const error_code& error, std::size_t count);
  void scan_header();
  void on_header();
  void read_body();
  void dispatch();
  void write(Response&& response);
  void on_written(const error_code& error);
  void refuse(unsigned status, const std::string& text);
  void linger();
  void expired();
  void finish(bool tell);

  void upgrade();
  void read_message();
  void write_message();

  Server::Impl& server_;
  std::optional<Stream> stream_;
  std::optional<WebSocket> web_;
  Timer timer_;
  beast::flat_buffer buffer_;
  HeaderScan scan_;
  std::optional<Parser> parser_;
  std::optional<Response> response_;
  std::optional<beast::http::response_serializer<BytesBody>> serializer_;
  Phase phase_ = Phase::handshake;
  Peer peer_;
  RequestId request_{};
  ChannelId channel_{};
  std::deque<Bytes> messages_;
  std::size_t queued_bytes_ = 0, body_bytes_ = 0, lingered_ = 0;
  unsigned version_ = 11;
  bool keep_ = true, reading_ = false, ended_ = false, channel_open_ = false;
  bool spoke_ = false;  ///< a message of the channel has come
};

template <class Stream>
void StreamConnection<Stream>::start() {
  if constexpr (requires { typename Stream::handshake_type; }) {
    server_.idle(*this);
    enter(Phase::handshake, limits().handshake_time);
    stream_->async_handshake(Stream::server, [self = self()](const error_code& error) {
      if (self->phase_ != Phase::handshake) return;
      if (error) ++self->server_.counters.handshakes_failed;
      if (error) return self->finish(false);
      self->next();
    });
  } else {
    next();
  }
}

template <class Stream>
void StreamConnection<Stream>::next() {
  server_.idle(*this);
  scan_.reset();
  parser_.reset();
  const bool begun = buffer_.size() > 0;
  enter(begun ? Phase::header : Phase::idle, begun ? limits().header_time : limits().idle_time);
  // While a request was held a read was begun that tells whether the client left; it brings the next request.
  if (reading_) return;
  if (begun) return scan_header();
  read_more();
}

template <class Stream>
void StreamConnection<Stream>::read_more() {
  reading_ = true;
  stream_->async_read_some(buffer_.prepare(kReadBytes), [self = self()](const error_code& error, std::size_t count) {
    self->reading_ = false;
    if (self->phase_ != Phase::closed) self->on_read(error, count);
  });
}

template <class Stream>
void StreamConnection<Stream>::on_read(const error_code& error, std::size_t count) {
  if (phase_ == Phase::lingering) {
    lingered_ += count;
    if (error || lingered_ > kLingerBytes) return finish(false);
    return read_more();
  }
  buffer_.commit(count);
  if (error) {
    ended_ = true;
    // A response under way is written to its end: some clients close their sending side behind a request.
    if (phase_ == Phase::writing) return;
    return finish(true);
  }
  if (phase_ == Phase::idle) enter(Phase::header, limits().header_time);
  if (phase_ == Phase::header) scan_header();
  // In other phases it is the next request, come early. It waits.
}

template <class Stream>
void StreamConnection<Stream>::scan_header() {
  const asio::const_buffer data = buffer_.cdata();
  const std::string_view bytes(static_cast<const char*>(data.data()), data.size());
  constexpr unsigned kBadRequest = 400, kFieldsTooLarge = 431;
  const std::string_view within = bytes.substr(0, limits().header_bytes);
  switch (scan_.scan(within)) {
    case HeaderScan::Result::invalid:
      ++server_.counters.malformed;
      return refuse(kBadRequest, std::string("the request has ") + scan_.reason());
    case HeaderScan::Result::incomplete:
      if (bytes.size() >= limits().header_bytes) {
        ++server_.counters.too_large;
        return refuse(kFieldsTooLarge, "the header is longer than " + std::to_string(limits().header_bytes) + " bytes");
      }
      return read_more();
    case HeaderScan::Result::complete:
      break;
  }
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(limits().header_bytes));
  // check_framing() looks at the length.
  parser_->body_limit(boost::none);
  parser_->eager(false);
  error_code error;
  const std::size_t taken = parser_->put(asio::buffer(data.data(), scan_.length()), error);
  if (error || !parser_->is_header_done() || taken != scan_.length()) {
    ++server_.counters.malformed;
    return refuse(kBadRequest, "the request is malformed: " + error.message());
  }
  buffer_.consume(taken);
  on_header();
}

/// The fields that say where the request ends.
template <class Fields>
Framing framing_of(const beast::http::header<true, Fields>& header) {
  namespace field = beast::http;
  Framing framing;
  framing.http_1_0 = header.version() < 11;
  framing.post = header.method() == field::verb::post;
  framing.hosts = header.count(field::field::host);
  framing.host = header[field::field::host];
  framing.content_lengths = header.count(field::field::content_length);
  framing.content_length = header[field::field::content_length];
  framing.transfer_encodings = header.count(field::field::transfer_encoding);
  framing.transfer_encoding = header[field::field::transfer_encoding];
  return framing;
}

template <class Stream>
void StreamConnection<Stream>::on_header() {
  namespace h = beast::http;
  constexpr unsigned kNotFound = 404, kMethodNotAllowed = 405, kTooLarge = 413, kExpectationFailed = 417,
                     kUnavailable = 503;
  const auto& header = parser_->get();
  version_ = header.version();
  const Verdict verdict = check_framing(framing_of(header), limits().body_bytes);
  if (verdict.status != 0) {
    ++(verdict.status == kTooLarge ? server_.counters.too_large : server_.counters.malformed);
    return refuse(verdict.status, std::string("the request has ") + verdict.reason);
  }
  keep_ = header.keep_alive();
  const bool post = header.method() == h::verb::post;
  peer_.path = std::string(path_of_target(header.target()));
  if (peer_.path.empty() || !server_.serves(peer_.path)) {
    ++server_.counters.not_found;
    return refuse(kNotFound, "nothing is served on this path");
  }
  if (!post && header.method() != h::verb::get) {
    ++server_.counters.not_found;
    return refuse(kMethodNotAllowed, "only POST and GET are answered here");
  }
  std::vector<std::string_view> forwarded;
  const auto fields = header.equal_range("X-Forwarded-For");
  for (auto it = fields.first; it != fields.second; ++it) forwarded.push_back(it->value());
  peer_.address = address;
  peer_.source = forwarded_source(address, forwarded, server_.options.trusted_proxies);
  if (!post && beast::websocket::is_upgrade(header)) return upgrade();
  if (!post) {
    server_.busy(*this);
    Response response(h::status::ok, version_);
    static constexpr std::string_view kHere = "slotwire\n";
    const auto* const text = reinterpret_cast<const std::byte*>(kHere.data());
    response.body().assign(text, text + kHere.size());
    return write(std::move(response));
  }
  if (server_.counters.bodies_bytes + verdict.body_bytes > limits().bodies_bytes) {
    ++server_.counters.too_large;
    return refuse(kUnavailable, "the bodies of other requests take all the memory for them");
  }
  body_bytes_ = static_cast<std::size_t>(verdict.body_bytes);
  server_.counters.bodies_bytes += body_bytes_;
  // Until all of the body is there it can make room for a newcomer: a body costs its sender nothing to hold back. It
  // counts from here, so that of a crowd those go first that began first.
  server_.idle(*this);
  enter(Phase::body, limits().body_time);
  const auto expect = header[h::field::expect];
  if (expect.empty() || version_ == 10) return read_body();
  if (!beast::iequals(expect, "100-continue")) return refuse(kExpectationFailed, "an unknown Expect field");
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  asio::async_write(*stream_, asio::buffer(kContinue.data(), kContinue.size()),
                    [self = self()](const error_code& error, std::size_t) {
                      if (self->phase_ != Phase::body) return;
                      if (error) return self->finish(false);
                      self->read_body();
                    });
}

template <class Stream>
void StreamConnection<Stream>::read_body() {
  if (body_bytes_ == 0) return dispatch();
  parser_->eager(true);
  beast::http::async_read(*stream_, buffer_, *parser_, [self = self()](const error_code& error, std::size_t) {
    if (self->phase_ != Phase::body) return;
    if (error) return self->finish(false);
    self->dispatch();
  });
}

template <class Stream>
void StreamConnection<Stream>::dispatch() {
  Request request;
  request.peer = peer_;
  request.body = std::move(parser_->get().body());
  parser_.reset();
  server_.busy(*this);
  enter(Phase::held);
  ++server_.counters.requests;
  request_ = server_.begin_request(*this);
  const auto hold = self();
  server_.handler.on_request(request_, std::move(request));
  if (phase_ == Phase::held && buffer_.size() == 0) read_more();
}

template <class Stream>
void StreamConnection<Stream>::answer(unsigned status, Bytes body) {
  assert(phase_ == Phase::held);
  ++server_.counters.answers;
  Response response(static_cast<beast::http::status>(status), version_);
  response.body() = std::move(body);
  write(std::move(response));
}

template <class Stream>
void StreamConnection<Stream>::refuse_request(unsigned status, const std::string& text) {
  assert(phase_ == Phase::held);
  ++server_.counters.answers;
  refuse(status, text);
}

template <class Stream>
void StreamConnection<Stream>::write(Response&& response) {
  namespace h = beast::http;
  server_.counters.bodies_bytes -= std::exchange(body_bytes_, 0);
  response.set(h::field::cache_control, "no-store, no-transform");
  response.set("X-Accel-Buffering", "no");
  if (response.count(h::field::content_type) == 0) response.set(h::field::content_type, "application/octet-stream");
  response.keep_alive(keep_);
  response.prepare_payload();
  response.content_length(response.body().size());
  response_.emplace(std::move(response));
  serializer_.emplace(*response_);
  enter(Phase::writing, limits().write_time);
  h::async_write(*stream_, *serializer_, [self = self()](const error_code& error, std::size_t) {
    if (self->phase_ == Phase::writing) self->on_written(error);
  });
}

template <class Stream>
void StreamConnection<Stream>::on_written(const error_code& error) {
  const bool keep = keep_ && !error && !ended_;
  serializer_.reset();
  response_.reset();
  if (keep) return next();
  if (error || ended_) return finish(false);
  linger();
}

template <class Stream>
void StreamConnection<Stream>::refuse(unsigned status, const std::string& text) {
  namespace h = beast::http;
  constexpr unsigned kMethodNotAllowed = 405;
  server_.busy(*this);
  keep_ = false;
  Response response(static_cast<h::status>(status), version_);
  response.set(h::field::content_type, "text/plain");
  if (status == kMethodNotAllowed) response.set(h::field::allow, "GET, POST");
  const std::string line = control::printable(text) + "\n";
  const auto* const bytes = reinterpret_cast<const std::byte*>(line.data());
  response.body().assign(bytes, bytes + line.size());
  write(std::move(response));
}

/// The response says that the connection ends; what the client still sends is read for a while.
template <class Stream>
void StreamConnection<Stream>::linger() {
  enter(Phase::lingering, kLingerTime);
  server_.idle(*this);
  error_code ignored;
  socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  buffer_.clear();
  if (!reading_) read_more();
}

template <class Stream>
void StreamConnection<Stream>::expired() {
  const auto hold = self();
  if (phase_ != Phase::lingering) ++server_.counters.timed_out;
  constexpr unsigned kRequestTimeout = 408;
  // Of an idle connection the end is the clearer sign: it may not have a request under way.
  if (phase_ == Phase::header && !reading_) return finish(false);
  if (phase_ == Phase::header) {
    // The read under way goes on and drains what follows.
    return refuse(kRequestTimeout, "the header did not arrive in time");
  }
  // Of a channel the handler has to know.
  finish(true);
}

template <class Stream>
void StreamConnection<Stream>::finish(bool tell) {
  if (phase_ == Phase::closed) return;
  const auto hold = self();
  const Phase was = std::exchange(phase_, Phase::closed);
  timer_.cancel();
  server_.counters.bodies_bytes -= std::exchange(body_bytes_, 0);
  error_code ignored;
  socket().close(ignored);
  if (was == Phase::held) server_.end_request(request_);
  if (channel_open_) server_.end_channel(channel_);
  server_.remove(*this);
  if (!tell) return;
  if (was == Phase::held) {
    ++server_.counters.gone;
    server_.handler.on_gone(request_);
  }
  if (channel_open_) server_.handler.on_channel_closed(channel_);
}

// ---- channels ----

template <class Stream>
void StreamConnection<Stream>::upgrade() {
  constexpr unsigned kBadRequest = 400;
  if (buffer_.size() > 0 || version_ != 11) {
    ++server_.counters.malformed;
    return refuse(kBadRequest, "the request for a WebSocket is malformed");
  }
  server_.busy(*this);
  enter(Phase::channel, limits().handshake_time);
  web_.emplace(std::move(*stream_));
  stream_.reset();
  web_->set_option(beast::websocket::stream_base::timeout{limits().handshake_time, limits().channel_idle_time, true});
  web_->read_message_max(limits().message_bytes);
  web_->binary(true);
  web_->auto_fragment(false);
  web_->async_accept(parser_->get(), [self = self()](const error_code& error) {
    if (self->phase_ != Phase::channel) return;
    if (error) return self->finish(false);
    self->timer_.after(self->limits().channel_first_time);
    self->parser_.reset();
    ++self->server_.counters.channels;
    self->channel_ = self->server_.begin_channel(*self);
    self->channel_open_ = true;
    self->server_.handler.on_channel(self->channel_, self->peer_);
    if (self->phase_ == Phase::channel) self->read_message();
  });
}

template <class Stream>
void StreamConnection<Stream>::read_message() {
  web_->async_read(buffer_, [self = self()](const error_code& error, std::size_t) {
    if (self->phase_ != Phase::channel) return;
    if (error == beast::websocket::error::message_too_big) ++self->server_.counters.too_large;
    if (error || !self->web_->got_binary()) return self->finish(true);
    // Nothing is written to a channel before it has said which session it belongs to.
    if (!std::exchange(self->spoke_, true)) self->timer_.cancel();
    const asio::const_buffer data = self->buffer_.cdata();
    self->server_.handler.on_message(self->channel_, {static_cast<const std::byte*>(data.data()), data.size()});
    if (self->phase_ != Phase::channel) return;
    self->buffer_.clear();
    self->read_message();
  });
}

template <class Stream>
bool StreamConnection<Stream>::send(Bytes message) {
  if (phase_ != Phase::channel || queued_bytes_ + message.size() > limits().channel_queue_bytes) return false;
  queued_bytes_ += message.size();
  messages_.push_back(std::move(message));
  if (messages_.size() == 1) write_message();
  return true;
}

template <class Stream>
void StreamConnection<Stream>::write_message() {
  timer_.after(limits().write_time);
  const Bytes& message = messages_.front();
  web_->async_write(asio::buffer(message.data(), message.size()),
                    [self = self()](const error_code& error, std::size_t) {
                      if (self->phase_ != Phase::channel) return;
                      if (error) return self->finish(true);
                      self->timer_.cancel();
                      self->queued_bytes_ -= self->messages_.front().size();
                      self->messages_.pop_front();
                      if (!self->messages_.empty()) self->write_message();
                      self->server_.handler.on_channel_room(self->channel_);
                    });
}

template <class Stream>
void StreamConnection<Stream>::close_channel() {
  if (phase_ != Phase::channel) return;
  server_.end_channel(channel_);
  channel_open_ = false;
  finish(false);
}

}  // namespace slotwire::http
