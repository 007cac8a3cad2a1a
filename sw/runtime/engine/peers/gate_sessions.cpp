#include "runtime/engine/peers/gate_sessions.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "runtime/control/hex.hpp"

namespace slotwire::engine {
namespace {

using control::GateKind;
using control::GatePacket;

constexpr std::size_t kMaxPem = std::size_t{1} << 20U;

std::string environment(const char* lower, const char* upper) {
  for (const char* const name : {lower, upper}) {
    const char* const value = name == nullptr ? nullptr : std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return {};
}

std::string read_text(const std::string& key, const std::string& path, std::size_t most) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    throw std::runtime_error(key + " '" + path + "' cannot be read: " + carriers::errno_text(errno));
  }
  if (text.str().size() > most) {
    throw std::runtime_error(key + " '" + path + "' is larger than " + std::to_string(most) + " bytes");
  }
  return text.str();
}

/// The certificates of a PEM file, without what stands between them.
std::vector<control::GateWord> pem_lines(const std::string& key, const std::string& path) {
  std::istringstream text(read_text(key, path, kMaxPem));
  std::vector<control::GateWord> lines;
  bool within = false;
  for (std::string line; std::getline(text, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.rfind("-----BEGIN", 0) == 0) within = true;
    if (within) lines.push_back({line});
    if (line.rfind("-----END", 0) == 0) within = false;
  }
  if (lines.empty()) throw std::runtime_error(key + " '" + path + "' has no certificate in PEM form");
  if (lines.size() > control::kMaxCaLines) {
    throw std::runtime_error(key + " '" + path + "' has more than " + std::to_string(control::kMaxCaLines) +
                             " lines of certificates; leave out those that are not needed");
  }
  return lines;
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
    proxy.password = read_text("http.proxy_password_file", config.proxy_password_file, control::kMaxWord);
    proxy.password.resize(std::min(proxy.password.find_first_of("\r\n"), proxy.password.size()));
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
  if (!config_.http.ca.empty()) session.ca = pem_lines("http.ca", config_.http.ca);
  session.requests = config_.http.requests;
  session.hold_us = static_cast<std::uint64_t>(config_.http.hold.count());
  session.last_resort = link.control.has_value();
  const auto number = static_cast<std::uint32_t>(2 * kept_.size() + 1);
  send_(control::gate_packet(GateKind::keep_session, number, session), -1);
  kept_.emplace(number, std::move(kept));
}

void GateSessions::tell_all() const {
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
  owner_->take_session(token, slot::Fd(ends[0]), body.value().what);
  send_({GateKind::frames, true, packet.channel, 0, {}}, gates.get());
  return true;
}

bool GateSessions::take_trouble(const GatePacket& packet, std::string& broken) {
  const auto body = control::gate_body<control::GateText>(packet);
  if (!body.ok()) return broken = body.error().text, false;
  const auto kept = kept_.find(packet.channel);
  if (kept == kept_.end()) return broken = "a session that is not kept", false;
  log_.limited("session " + kept->second.session.peer, spdlog::level::warn,
               "link to '" + kept->second.session.peer + "' over HTTP: " + body.value().text);
  if (owner_ != nullptr) owner_->session_trouble(kept->second.token, body.value().text);
  return true;
}

}  // namespace slotwire::engine
