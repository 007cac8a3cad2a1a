#include "runtime/http/stream_server.hpp"

#include <openssl/rand.h>

#include <stdexcept>
#include <utility>

namespace slotwire::http {
namespace {

/// Turns within one call before the loop has its turn again.
constexpr int kTurnsAtOnce = 64;

void random_bytes(std::span<std::byte> into) {
  if (RAND_bytes(reinterpret_cast<unsigned char*>(into.data()), static_cast<int>(into.size())) != 1) {
    throw std::runtime_error("the system has no random numbers");
  }
}

}  // namespace

std::string host_text(const carriers::Address& address) {
  if (!address.valid()) return {};
  const std::string text = address.to_string();
  return text.substr(0, text.rfind(':'));
}

StreamServer::StreamServer(Loop& loop, ServerOptions options, const http_stream::ServerOptions& sessions,
                           SessionHandler& handler)
    : handler_(handler),
      sessions_(sessions, random_bytes),
      loop_(loop),
      deadline_(loop,
                [this] {
                  sessions_.tick(Loop::now_us());
                  touch();
                }),
      server_(std::make_unique<Server>(loop, std::move(options), static_cast<ServerHandler&>(*this))) {}

StreamServer::~StreamServer() {
  *alive_ = false;
}

void StreamServer::touch() {
  if (std::exchange(touched_, true)) return;
  loop_.post([this, lives = alive_] {
    if (*lives) turn();
  });
}

void StreamServer::turn() {
  touched_ = false;
  for (int turns = 0; turns < kTurnsAtOnce; ++turns) {
    bool worked = false;
    while (const auto event = sessions_.next_event()) {
      handler_.on_session(*event);
      worked = true;
    }
    handler_.on_turn();
    worked |= send_some();
    if (!worked) break;
    if (turns + 1 == kTurnsAtOnce) touch();
  }
  const std::uint64_t deadline = sessions_.deadline();
  if (deadline == http_stream::kNever) {
    deadline_.cancel();
  } else {
    deadline_.at(deadline);
  }
}

bool StreamServer::send_some() {
  bool worked = false;
  const std::uint64_t now = Loop::now_us();
  while (auto response = sessions_.next_response(now)) {
    worked = true;
    server_->answer(static_cast<RequestId>(response->id), response->status, std::move(response->body));
  }
  const auto ready = [this](http_stream::DuplexId id) {
    return server_->queued(static_cast<ChannelId>(id)) < kChannelAhead;
  };
  while (auto bundle = sessions_.next_duplex_bundle(now, ready)) {
    worked = true;
    server_->send(static_cast<ChannelId>(bundle->id), std::move(bundle->body));
  }
  while (const auto ended = sessions_.next_duplex_end()) {
    channel_sources_.erase(*ended);
    server_->close_channel(static_cast<ChannelId>(*ended));
  }
  return worked;
}

void StreamServer::on_request(RequestId id, Request&& request) {
  sessions_.on_request(static_cast<http_stream::ExchangeId>(id), host_text(request.peer.source), request.body,
                       Loop::now_us());
  touch();
}

void StreamServer::on_gone(RequestId id) {
  sessions_.on_gone(static_cast<http_stream::ExchangeId>(id), Loop::now_us());
  touch();
}

void StreamServer::on_channel(ChannelId id, const Peer& peer) {
  channel_sources_[static_cast<std::uint64_t>(id)] = host_text(peer.source);
}

void StreamServer::on_message(ChannelId id, std::span<const std::byte> message) {
  const auto number = static_cast<http_stream::DuplexId>(id);
  if (!sessions_.on_duplex_bundle(number, channel_sources_[number], message, Loop::now_us())) {
    sessions_.on_duplex_lost(number, Loop::now_us());
    channel_sources_.erase(number);
    server_->close_channel(id);
  }
  touch();
}

void StreamServer::on_channel_room(ChannelId) {
  touch();
}

void StreamServer::on_channel_closed(ChannelId id) {
  channel_sources_.erase(static_cast<std::uint64_t>(id));
  sessions_.on_duplex_lost(static_cast<http_stream::DuplexId>(id), Loop::now_us());
  touch();
}

}  // namespace slotwire::http
