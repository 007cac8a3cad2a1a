#include "runtime/http/stream_client.hpp"

#include <openssl/rand.h>

#include <stdexcept>
#include <utility>

namespace slotwire::http {
namespace {

using http_stream::SessionState;

/// Turns within one call before the loop has its turn again.
constexpr int kTurnsAtOnce = 64;

http_stream::Key random_key() {
  http_stream::Key key;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(key.data()), static_cast<int>(key.size())) != 1) {
    throw std::runtime_error("the system has no random numbers");
  }
  return key;
}

/// Some proxies that ask for a login hang on longer bodies, since they may ask again at any of them.
http_stream::ClientOptions with_login(http_stream::ClientOptions session, const ClientOptions& http) {
  if (has_login(http)) session.session.bundle_bytes_max = session.session.bundle_bytes;
  return session;
}

/// Answers that say more in words than by their number: what answers is not the server, and will not be it soon.
bool is_foreign(const ClientResponse& response) {
  switch (response.status) {
    case 401:
    case 403:
    case 404:
    case 405:
    case 407:
    case 411:
    case 501:
    case 511:
      return true;
    default:
      return response.status < 400 && !response.binary;
  }
}

}  // namespace

StreamClient::StreamClient(Loop& loop, ClientOptions http, const http_stream::ClientOptions& session,
                           PipeHandler& handler, const std::optional<http_stream::Learned>& learned)
    : handler_(handler),
      pipe_(with_login(session, http), random_key(), learned),
      loop_(loop),
      deadline_(loop,
                [this] {
                  pipe_.tick(Loop::now_us());
                  touch();
                }),
      client_(loop, std::move(http)) {
  // A little sooner than the session gives it up, so that it is known what was waited for.
  channel_options_.open_time = std::chrono::microseconds(session.duplex_open_us / 10 * 9);
  touch();
}

StreamClient::~StreamClient() {
  *alive_ = false;
}

std::string StreamClient::reason() const {
  if (failed_) return last_trouble_;
  std::string text = pipe_.reason().text;
  const http_stream::CloseCode code = pipe_.reason().code;
  if (text.empty()) text = std::string(http_stream::name_of(code));
  if (code == http_stream::CloseCode::failed && !last_trouble_.empty() &&
      text.find(last_trouble_) == std::string::npos) {
    text += ": " + last_trouble_;
  }
  return text;
}

void StreamClient::touch() {
  if (std::exchange(touched_, true)) return;
  loop_.post([this, lives = alive_] {
    if (*lives) turn();
  });
}

void StreamClient::turn() {
  touched_ = false;
  for (int turns = 0; turns < kTurnsAtOnce && !failed_; ++turns) {
    bool worked = false;
    if (const SessionState now = state(); now != last_state_) {
      last_state_ = now;
      worked = true;
      handler_.on_state(now);
    }
    handler_.on_turn();
    worked |= send_some();
    tell_way();
    if (!worked && state() == last_state_) break;
    if (turns + 1 == kTurnsAtOnce) touch();
  }
  const std::uint64_t deadline = failed_ ? http_stream::kNever : pipe_.deadline();
  if (deadline == http_stream::kNever) {
    deadline_.cancel();
  } else {
    deadline_.at(deadline);
  }
}

bool StreamClient::send_some() {
  bool worked = false;
  const std::uint64_t now = Loop::now_us();
  while (auto request = pipe_.next_request(now)) {
    worked = true;
    const http_stream::RequestNumber id = request->id;
    calls_[id] = client_.post(std::move(request->body), std::chrono::microseconds(request->timeout_us),
                              [this, id](ClientOutcome&& outcome) { done(id, std::move(outcome)); });
  }
  while (const auto id = pipe_.next_abandoned()) calls_.erase(*id);
  return serve_channel(now) || worked;
}

// ---- the WebSocket ----

bool StreamClient::serve_channel(std::uint64_t now) {
  // The session has given it up, or it has ended by itself.
  if (channel_ && (channel_ended_ || (!pipe_.duplex_trying() && !pipe_.duplex_attached()))) channel_.reset();
  bool worked = false;
  if (pipe_.next_duplex_try(now)) {
    worked = true;
    channel_ended_ = false;
    try {
      channel_ = std::make_unique<ClientChannel>(client_, channel_options_, static_cast<ClientChannelHandler&>(*this));
    } catch (const std::exception& error) {
      pipe_.on_duplex_failed(error.what(), now);
    }
  }
  while (channel_ && pipe_.duplex_attached() && channel_->queued() < kChannelAhead) {
    auto bundle = pipe_.next_bundle(now);
    if (!bundle) break;
    worked = true;
    static_cast<void>(channel_->send(std::move(*bundle)));
  }
  return worked;
}

/// Only what changed is told, and a try that is under way changes nothing yet.
void StreamClient::tell_way() {
  using State = http_stream::DuplexReport::State;
  http_stream::DuplexReport now = pipe_.duplex_report();
  if (now.state == State::trying || now.state == State::waiting) return;
  if (now.state == told_way_.state && now.failures.count == told_way_.failures.count) return;
  told_way_ = now;
  handler_.on_way(told_way_);
}

void StreamClient::on_channel_open() {
  // It may have taken too long.
  if (!pipe_.duplex_trying() || !pipe_.attach_duplex(Loop::now_us())) channel_ended_ = true;
  touch();
}

void StreamClient::on_channel_message(std::span<const std::byte> message) {
  pipe_.on_bundle(message, Loop::now_us());
  touch();
}

void StreamClient::on_channel_room() {
  touch();
}

void StreamClient::on_channel_end(const ClientFailure& why) {
  channel_ended_ = true;
  if (pipe_.duplex_attached()) {
    pipe_.on_duplex_lost(Loop::now_us(), why.text);
  } else {
    pipe_.on_duplex_failed(why.text, Loop::now_us());
  }
  touch();
}

void StreamClient::done(http_stream::RequestNumber id, ClientOutcome&& outcome) {
  calls_.erase(id);
  if (failed_) return;
  if (const auto* const failure = std::get_if<ClientFailure>(&outcome)) {
    trouble(id, *failure);
  } else {
    const auto& response = std::get<ClientResponse>(outcome);
    if (is_foreign(response)) {
      trouble(id, client_.explain(response));
    } else {
      if (!response.binary) {
        last_trouble_ = client_.explain(response).text;
        handler_.on_trouble(last_trouble_);
      }
      pipe_.on_response(id, response.status, response.body, Loop::now_us());
    }
  }
  touch();
}

void StreamClient::trouble(http_stream::RequestNumber id, const ClientFailure& failure) {
  last_trouble_ = failure.text;
  if (failure.permanent() && pipe_.state() == SessionState::opening) {
    failed_ = failure.kind;
    calls_.clear();
    channel_ended_ = true;
    last_state_ = SessionState::closed;
    handler_.on_state(last_state_);
    return;
  }
  handler_.on_trouble(failure.text);
  pipe_.on_failure(id, failure.text, Loop::now_us());
}

}  // namespace slotwire::http
