#include "runtime/http/client_channel.hpp"

#include <openssl/evp.h>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/websocket.hpp>

#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "runtime/http/curl_connection.hpp"

namespace slotwire::http {
namespace {

namespace ws = boost::beast::websocket;
using ErrorCode = CurlConnection::ErrorCode;

/// What a client sends is masked, piece by piece in a copy of so many bytes, each of which is a call of the system.
constexpr std::size_t kMaskBytes = std::size_t{64} << 10U;
/// What the ping says that the server has to answer.
constexpr const char* kPing = "slotwire";

std::string base64(const std::string& text) {
  // Four characters for three bytes, and a zero that OpenSSL puts behind them.
  std::string out(4 * ((text.size() + 2) / 3) + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(text.data()),
                      static_cast<int>(text.size()));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

}  // namespace

struct ClientChannel::Impl : std::enable_shared_from_this<ClientChannel::Impl> {
  using WebSocket = ws::stream<CurlStream, false>;
  enum class Phase : std::uint8_t { connecting, upgrading, pinging, open, ended };

  Impl(Client::Impl& made_by, const ChannelOptions& with, ClientChannelHandler& tells)
      : client(made_by), options(with), handler(&tells), timer(client.loop, [this] { expired(); }) {}

  void begin();
  void connect();
  void connected(CURLcode code);
  void upgrade();
  void upgraded(const ErrorCode& error);
  void ping();
  void read();
  void write();
  void expired();
  void end(const ClientFailure& why);
  void close();
  ClientFailure refusal() const;
  std::string way() const { return client.has_proxy ? " (through the proxy " + client.proxy_origin + ")" : ""; }
  ClientFailure broken(const ErrorCode& error) const {
    return {FailureKind::reset, "the WebSocket to " + client.url.origin() + way() + " ended: " + error.message()};
  }

  Client::Impl& client;
  ChannelOptions options;
  ClientChannelHandler* handler;
  Timer timer;
  Phase phase = Phase::connecting;
  Client::Call preparation;
  std::shared_ptr<CurlConnection> connection;
  std::optional<WebSocket> web;
  ws::response_type answer;
  boost::beast::flat_buffer buffer;
  std::deque<Bytes> messages;
  std::size_t queued = 0;
};

void ClientChannel::Impl::begin() {
  timer.after(options.open_time);
  preparation = client.prepare([this](ClientOutcome&& outcome) {
    if (const auto* const failure = std::get_if<ClientFailure>(&outcome)) return end(*failure);
    const auto& response = std::get<ClientResponse>(outcome);
    // Whoever asks for a login has refused the one that was given.
    if (response.status != 0) {
      return end(describe_status(response.status, client.url, client.proxy_origin, true, true));
    }
    connect();
  });
}

void ClientChannel::Impl::connect() {
  const unsigned long scheme = client.server_scheme;
  if (client.options.server_login.given() && scheme != CURLAUTH_BASIC) {
    return end({FailureKind::server_login, "for a WebSocket only a Basic login at the server is supported"});
  }
  try {
    connection = std::make_shared<CurlConnection>(client.loop, client.make_tunnel_easy());
  } catch (const std::exception& error) {
    return end({FailureKind::other, error.what()});
  }
  connection->connect([this](CURLcode code) { connected(code); });
}

void ClientChannel::Impl::connected(CURLcode code) {
  if (code == CURLE_OK) return upgrade();
  FailedRequest failed;
  failed.code = code;
  failed.detail = connection->error_text();
  curl_easy_getinfo(connection->easy(), CURLINFO_OS_ERRNO, &failed.system_error);
  curl_easy_getinfo(connection->easy(), CURLINFO_HTTP_CONNECTCODE, &failed.connect_status);
  failed.issuer = client.issuer;
  failed.why_certificate = client.why_certificate;
  end(describe(failed, client.url, client.proxy_origin));
}

void ClientChannel::Impl::upgrade() {
  namespace field = boost::beast::http;
  phase = Phase::upgrading;
  connection->limit_reading(options.answer_bytes);
  web.emplace(CurlStream(connection));
  web->set_option(ws::stream_base::timeout{options.open_time, options.idle_time, true});
  web->set_option(ws::stream_base::decorator([this](ws::request_type& request) {
    request.set(field::field::user_agent, "slotwire/" SLOTWIRE_VERSION);
    request.set(field::field::cache_control, "no-store, no-transform");
    const Login& login = client.options.server_login;
    if (login.given()) request.set(field::field::authorization, "Basic " + base64(login.user + ":" + login.password));
  }));
  web->read_message_max(options.message_bytes);
  web->binary(true);
  web->auto_fragment(false);
  web->write_buffer_bytes(kMaskBytes);
  // Its header, and a port that is not the scheme's.
  std::string host = client.url.host.find(':') == std::string::npos ? client.url.host : "[" + client.url.host + "]";
  const std::uint16_t usual = client.url.tls ? 443 : 80;
  if (client.url.port != usual) host += ":" + std::to_string(client.url.port);
  web->async_handshake(answer, host, client.url.path, [self = shared_from_this()](const ErrorCode& error) {
    if (self->phase == Phase::upgrading) self->upgraded(error);
  });
}

/// What a server or a proxy said that did not upgrade.
ClientFailure ClientChannel::Impl::refusal() const {
  const unsigned status = answer.result_int();
  constexpr unsigned kOk = 200;
  std::string text = "no WebSocket at " + client.url.text() + way() + ": the upgrade is refused (status " +
                     std::to_string(status) + ")";
  if (status == kOk) text += ", since a proxy or a web server on the way does not pass it on";
  return {FailureKind::answer, text};
}

void ClientChannel::Impl::upgraded(const ErrorCode& error) {
  if (error == ws::error::upgrade_declined) return end(refusal());
  if (error) {
    return end({FailureKind::reset,
                "no WebSocket at " + client.url.text() + way() + ": the upgrade is not answered: " + error.message()});
  }
  phase = Phase::pinging;
  connection->limit_reading(~std::size_t{0});
  web->control_callback([this](ws::frame_type kind, boost::beast::string_view payload) {
    if (phase != Phase::pinging || kind != ws::frame_type::pong || payload != kPing) return;
    phase = Phase::open;
    timer.cancel();
    // Beast is in the middle of a frame.
    client.loop.post([self = shared_from_this()] {
      if (self->phase == Phase::open) self->handler->on_channel_open();
    });
  });
  read();
  ping();
}

void ClientChannel::Impl::ping() {
  web->async_ping(ws::ping_data(kPing), [self = shared_from_this()](const ErrorCode& error) {
    if (error && self->phase != Phase::ended) self->end(self->broken(error));
  });
}

void ClientChannel::Impl::read() {
  web->async_read(buffer, [self = shared_from_this()](const ErrorCode& error, std::size_t) {
    if (self->phase == Phase::ended) return;
    if (error) return self->end(self->broken(error));
    if (self->phase != Phase::open || !self->web->got_binary()) {
      return self->end({FailureKind::answer, "what answers at " + self->client.url.text() + self->way() +
                                                 " speaks WebSocket, and is no server of Slotwire"});
    }
    const boost::asio::const_buffer data = self->buffer.cdata();
    self->handler->on_channel_message({static_cast<const std::byte*>(data.data()), data.size()});
    if (self->phase == Phase::ended) return;
    self->buffer.clear();
    self->read();
  });
}

void ClientChannel::Impl::write() {
  timer.after(options.write_time);
  const Bytes& message = messages.front();
  web->async_write(boost::asio::buffer(message.data(), message.size()),
                   [self = shared_from_this()](const ErrorCode& error, std::size_t) {
                     if (self->phase == Phase::ended) return;
                     if (error) return self->end(self->broken(error));
                     self->timer.cancel();
                     self->queued -= self->messages.front().size();
                     self->messages.pop_front();
                     if (!self->messages.empty()) self->write();
                     self->handler->on_channel_room();
                   });
}

void ClientChannel::Impl::expired() {
  switch (phase) {
    case Phase::connecting:
      return end(
          {FailureKind::timeout, "no connection for a WebSocket to " + client.url.origin() + way() + " in time"});
    case Phase::upgrading:
      return end({FailureKind::timeout, "no answer to the upgrade to WebSocket at " + client.url.text() + way()});
    case Phase::pinging:
      return end({FailureKind::timeout, "the WebSocket to " + client.url.origin() + way() + " passes nothing"});
    case Phase::open:
      return end({FailureKind::timeout, "the WebSocket to " + client.url.origin() + way() + " takes nothing more"});
    case Phase::ended:
      return;
  }
}

void ClientChannel::Impl::close() {
  phase = Phase::ended;
  timer.cancel();
  preparation.cancel();
  // Operations that wait end by that, and keep this object until they have.
  if (connection) connection->close();
}

void ClientChannel::Impl::end(const ClientFailure& why) {
  if (phase == Phase::ended) return;
  const auto hold = shared_from_this();
  close();
  handler->on_channel_end(why);
}

ClientChannel::ClientChannel(Client& client, const ChannelOptions& options, ClientChannelHandler& handler)
    : impl_(std::make_shared<Impl>(*client.impl_, options, handler)) {
  impl_->begin();
}

ClientChannel::~ClientChannel() {
  impl_->close();
}

bool ClientChannel::send(Bytes message) {
  Impl& channel = *impl_;
  if (channel.phase != Impl::Phase::open || channel.queued + message.size() > channel.options.queue_bytes) return false;
  channel.queued += message.size();
  channel.messages.push_back(std::move(message));
  if (channel.messages.size() == 1) channel.write();
  return true;
}

std::size_t ClientChannel::queued() const {
  return impl_->queued;
}

}  // namespace slotwire::http
