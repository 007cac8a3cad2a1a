#include "runtime/engine/peers/gate_sessions.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "runtime/control/hex.hpp"
#include "runtime/engine/config/config_files.hpp"

namespace slotwire::engine {
namespace {

using control::GateKind;
using control::GatePacket;

/// Reasons of trouble that are remembered for one session, so that each is logged once.
constexpr std::size_t kMaxReasons = 16;
/// Of a link's socket to the gate, in each direction; the system may allow less. Frames that find no place there are
/// copied once more.
constexpr int kFrameSocketBytes = 1 << 20;

std::string environment(const char* lower, const char* upper) {
  for (const char* const name : {lower, upper}) {
    const char* const value = name == nullptr ? nullptr : std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return {};
}

/// The configuration was checked at the start: what is wrong here has changed since.
template <class T>
T must(const std::string& key, core::Result<T> read) {
  if (!read.ok()) throw ConfigError({"key '" + key + "': " + read.error().text});
  return std::move(read).value();
}

control::GateProxy proxy_of(const HttpConfig& config) {
  control::GateProxy proxy;
  proxy.chosen = !config.proxy_text.empty();
  if (proxy.chosen && config.proxy_text != "none") proxy.proxy = config.proxy_text;
  // Only the lower-case form of http_proxy counts, as everywhere: HTTP_PROXY may be a header of a CGI request.
  proxy.http_proxy = environment("http_proxy", nullptr);
  proxy.https_proxy = environment("https_proxy", "HTTPS_PROXY");
  proxy.all_proxy = environment("all_proxy", "ALL_PROXY");
  proxy.no_proxy = environment("no_proxy", "NO_PROXY");
  proxy.user = config.proxy_user;
  if (!config.proxy_password_file.empty()) {
    proxy.password = must("http.proxy_password_file", read_password(config.proxy_password_file));
  }
  proxy.negotiate = config.proxy_negotiate;
  return proxy;
}

}  // namespace

void GateSessions::keep_session(const LinkConfig& link, std::span<const std::byte> token) {
  Kept kept;
  kept.token.assign(token.begin(), token.end());
  control::GateSession& session = kept.session;
  session.peer = link.peer;
  session.token = control::hex_text(kept.token);
  for (const std::string& url : link.http) session.urls.push_back({url});
  session.proxy = proxy_of(config_.http);
  if (!config_.http.ca.empty()) {
    for (std::string& line : must("http.ca", read_certificates(config_.http.ca)))
      session.ca.push_back({std::move(line)});
  }
  session.requests = config_.http.requests;
  session.body_bytes = config_.http.body;
  session.answer_us = static_cast<std::uint64_t>(config_.http.answer.count());
  session.hold_us = static_cast<std::uint64_t>(config_.http.hold.count());
  session.websocket = config_.http.websocket;
  session.websocket_retry_us = static_cast<std::uint64_t>(config_.http.websocket_retry.count());
  session.websocket_retry_max_us =
      std::max(session.websocket_retry_us, static_cast<std::uint64_t>(config_.http.websocket_retry_max.count()));
  session.last_resort = link.control.has_value();
  const auto number = static_cast<std::uint32_t>(2 * kept_.size() + 1);
  send_(control::gate_packet(GateKind::keep_session, number, session), -1);
  kept_.emplace(number, std::move(kept));
}

void GateSessions::tell_all() {
  accepted_.clear();
  for (const auto& [number, kept] : kept_) {
    send_(control::gate_packet(GateKind::keep_session, number, kept.session), -1);
  }
}

bool GateSessions::take_up(const GatePacket& packet, std::string& broken) {
  const auto body = control::gate_body<control::GateSessionUp>(packet);
  if (!body.ok()) return broken = body.error().text, false;
  std::vector<std::byte> token(control::kTokenBytes);
  if (!control::parse_hex(body.value().token, token)) return broken = "a session without a token", false;
  if (packet.channel % 2 == 1) {
    const auto kept = kept_.find(packet.channel);
    if (kept == kept_.end() || kept->second.token != token) return broken = "a session that is not kept", false;
    kept->second.logged.clear();
  }
  const auto refuse = [&] {
    send_({GateKind::refuse_session, true, packet.channel, 0, {}}, -1);
    return true;
  };
  if (owner_ == nullptr || !owner_->wants_session(token)) return refuse();
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    log_.limited("session", spdlog::level::err, "no socket for a session over HTTP: " + carriers::errno_text(errno));
    return refuse();
  }
  const slot::Fd gates(ends[1]);
  for (const int end : ends) ::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &kFrameSocketBytes, sizeof kFrameSocketBytes);
  if (packet.channel % 2 == 0) {
    // Of one link there is one session at a time: links bound what is remembered.
    std::erase_if(accepted_, [&](const auto& entry) { return entry.second == token; });
    accepted_[packet.channel] = token;
  }
  owner_->take_session(token, slot::Fd(ends[0]), body.value().what);
  send_({GateKind::frames, true, packet.channel, 0, {}}, gates.get());
  return true;
}

bool GateSessions::take_way(const GatePacket& packet, std::string& broken) const {
  const auto body = control::gate_body<control::GateSessionWay>(packet);
  if (!body.ok()) return broken = body.error().text, false;
  if (packet.channel % 2 == 0) {
    // One that was refused, or whose place a newer one has, may still move.
    const auto accepted = accepted_.find(packet.channel);
    if (accepted != accepted_.end()) owner_->session_way(accepted->second, body.value());
    return true;
  }
  const auto kept = kept_.find(packet.channel);
  if (kept == kept_.end()) return broken = "a session that is not kept", false;
  if (owner_ != nullptr) owner_->session_way(kept->second.token, body.value());
  return true;
}

bool GateSessions::take_trouble(const GatePacket& packet, std::string& broken) {
  const auto body = control::gate_body<control::GateText>(packet);
  if (!body.ok()) return broken = body.error().text, false;
  const auto kept = kept_.find(packet.channel);
  if (kept == kept_.end()) return broken = "a session that is not kept", false;
  if (owner_ != nullptr) owner_->session_trouble(kept->second.token, body.value().text);
  // Every attempt may fail for the same reason: it is logged once until the session was up.
  std::set<std::string>& logged = kept->second.logged;
  if (logged.size() >= kMaxReasons) logged.clear();
  if (!logged.insert(body.value().text).second) return true;
  log_.limited("session " + kept->second.session.peer, spdlog::level::warn,
               "link to '" + kept->second.session.peer + "' over HTTP: " + body.value().text);
  return true;
}

}  // namespace slotwire::engine
