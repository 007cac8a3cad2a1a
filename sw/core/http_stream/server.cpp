#include "core/http_stream/server.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "core/http_stream/server_session.hpp"

namespace slotwire::http_stream {
namespace {

constexpr unsigned kOk = 200, kBadRequest = 400;

ServerOptions normalized(ServerOptions options) {
  options.session = normalized(options.session);
  options.max_sessions = std::max<std::size_t>(options.max_sessions, 1);
  options.max_sessions_per_source = std::max<std::size_t>(options.max_sessions_per_source, 1);
  options.max_held = std::clamp<std::size_t>(options.max_held, 1, kMaxRequests);
  // Every session has its share; what is left is lent.
  const std::size_t share = 2 * options.session.window_min;
  options.max_sessions = std::min(options.max_sessions, std::max<std::size_t>(1, options.total_bytes / share));
  options.total_bytes = std::max(options.total_bytes, options.max_sessions * share);
  return options;
}

/// Clients choose nonces, so their places in a table must not be for them to choose.
struct KeyHash {
  std::uint64_t secret = 0;
  std::size_t operator()(const Key& key) const noexcept {
    std::uint64_t words[2];
    std::memcpy(words, key.data(), sizeof words);
    std::uint64_t hash = secret;
    for (const std::uint64_t word : words) {
      hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
      hash ^= hash >> 29U;
      hash = (hash ^ secret) * 0xbf58476d1ce4e5b9U;
      hash ^= hash >> 32U;
    }
    return static_cast<std::size_t>(hash);
  }
};

}  // namespace

struct Server::State final : SessionOwner {
  struct Entry {
    std::unique_ptr<ServerSession> session;
    Key nonce{};
    std::string source;  ///< that the session is counted for
    std::uint64_t timer_us = kNever;
    bool touched = false, released = false;
    bool to_write = false;  ///< it is in the list of that name
  };

  State(const ServerOptions& opts, RandomBytes a_random)
      : options(normalized(opts)),
        random(std::move(a_random)),
        pool(options.total_bytes - options.max_sessions * 2 * options.session.window_min),
        keys(0, KeyHash{secret()}),
        nonces(0, KeyHash{secret()}) {}

  std::uint64_t secret() {
    std::uint64_t value = 0;
    random(std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void see(std::uint64_t at) { now = std::max(now, at); }

  void respond(ExchangeId id, const Bundle& bundle) override { put(id, kOk, encode(bundle)); }
  void tell(ServerSession& session, ServerEvent::Kind kind) override;
  void touched(ServerSession& session) override;
  void end_duplex(DuplexId id) override {
    duplexes.erase(id);
    duplex_ends.push_back(id);
  }
  void let_go(ExchangeId id) override { holders.erase(id); }
  std::uint64_t now_us() const override { return now; }
  ServerCounters& counters() override { return counts; }

  void put(ExchangeId id, unsigned status, Bytes body) {
    ++counts.responses;
    responses.push_back({id, status, std::move(body)});
  }
  Entry* find(SessionNumber number) {
    const auto found = sessions.find(number);
    return found == sessions.end() ? nullptr : &found->second;
  }
  Entry* find(const Key& key) {
    const auto found = keys.find(key);
    return found == keys.end() ? nullptr : find(found->second);
  }
  void open(ExchangeId id, std::string_view from, const Bundle& bundle);
  const char* refusal(const std::string& source);
  void answer_unknown(ExchangeId id, const Bundle& bundle);
  void established(Entry& entry);
  void arm(SessionNumber number, Entry& entry);
  void serve_touched();
  void erase(SessionNumber number);

  ServerOptions options;
  RandomBytes random;
  BufferPool pool;  ///< what sessions use beyond their own shares
  ServerCounters counts;
  std::uint64_t now = 0;
  SessionNumber next_number = 1;
  std::unordered_map<SessionNumber, Entry> sessions;
  std::unordered_map<Key, SessionNumber, KeyHash> keys, nonces;
  std::set<SessionNumber> half_open;  ///< by age
  std::map<std::string, std::size_t, std::less<>> sources;
  std::set<std::pair<std::uint64_t, SessionNumber>> timers;
  std::deque<SessionNumber> to_serve;
  std::unordered_map<ExchangeId, SessionNumber> holders;
  std::unordered_map<DuplexId, SessionNumber> duplexes;
  std::deque<SessionNumber> to_write;  ///< sessions whose duplex connection may have something to say
  std::deque<Response> responses;
  std::deque<DuplexId> duplex_ends;
  std::deque<ServerEvent> events;
};

// Sessions.

void Server::State::tell(ServerSession& session, ServerEvent::Kind kind) {
  if (kind == ServerEvent::Kind::opened) ++counts.opened;
  const Entry* entry = find(session.number());
  if (entry != nullptr && !entry->released) events.push_back({kind, session.number()});
}

void Server::State::touched(ServerSession& session) {
  Entry* entry = find(session.number());
  if (entry == nullptr || entry->touched) return;
  entry->touched = true;
  to_serve.push_back(session.number());
}

/// Why no session is opened for this source; null: one may be. May discard the oldest half-open session.
const char* Server::State::refusal(const std::string& source) {
  const auto count = sources.find(source);
  if (count != sources.end() && count->second >= options.max_sessions_per_source) {
    return "too many sessions from this source";
  }
  if (sessions.size() < options.max_sessions) return nullptr;
  if (half_open.empty()) return "too many sessions";
  erase(*half_open.begin());
  return nullptr;
}

void Server::State::open(ExchangeId id, std::string_view from, const Bundle& bundle) {
  if (const auto found = nonces.find(bundle.nonce); found != nonces.end()) {
    ++counts.repeated;
    find(found->second)->session->open(id, bundle);
    return;
  }
  const std::string source(from.substr(0, kMaxSourceBytes));
  Key key{};
  random(key);
  const bool usable = key != Key{} && !keys.contains(key);
  if (const char* why = usable ? refusal(source) : "no random key") {
    ++counts.refused;
    Bundle answer;
    answer.sequence = bundle.sequence;
    answer.set(kFlagResponse);
    answer.set(kFlagOpen);
    answer.set(kFlagClose);
    answer.nonce = bundle.nonce;
    answer.reason = {CloseCode::refused, why};
    respond(id, answer);
    return;
  }
  const SessionNumber number = next_number++;
  Entry& entry = sessions[number];
  entry.session = std::make_unique<ServerSession>(number, key, source, options, &pool, *this);
  entry.nonce = bundle.nonce;
  entry.source = source;
  keys[key] = number;
  nonces[bundle.nonce] = number;
  half_open.insert(number);
  ++sources[source];
  entry.session->open(id, bundle);
  arm(number, entry);
}

/// The client has the key: its opening request is not expected any more.
void Server::State::established(Entry& entry) {
  half_open.erase(entry.session->number());
  nonces.erase(entry.nonce);
}

void Server::State::erase(SessionNumber number) {
  Entry* entry = find(number);
  if (entry == nullptr) return;
  if (entry->timer_us != kNever) timers.erase({entry->timer_us, number});
  keys.erase(entry->session->key());
  if (half_open.erase(number) != 0) nonces.erase(entry->nonce);
  const auto count = sources.find(entry->source);
  if (--count->second == 0) sources.erase(count);
  sessions.erase(number);
}

void Server::State::arm(SessionNumber number, Entry& entry) {
  const std::uint64_t at = entry.session->deadline();
  if (at == entry.timer_us) return;
  if (entry.timer_us != kNever) timers.erase({entry.timer_us, number});
  if (at != kNever) timers.insert({at, number});
  entry.timer_us = at;
}

void Server::State::serve_touched() {
  while (!to_serve.empty()) {
    const SessionNumber number = to_serve.front();
    to_serve.pop_front();
    Entry* entry = find(number);
    if (entry == nullptr) continue;
    entry->touched = false;
    entry->session->serve();
    if (entry->session->duplex() && !std::exchange(entry->to_write, true)) to_write.push_back(number);
    arm(number, *entry);
    if (entry->released && entry->session->state() == SessionState::closed) erase(number);
  }
}

// Requests.

void Server::State::answer_unknown(ExchangeId id, const Bundle& bundle) {
  ++counts.unknown;
  Bundle answer;
  answer.key = bundle.key;
  answer.sequence = bundle.sequence;
  answer.set(kFlagResponse);
  answer.set(kFlagUnknown);
  respond(id, answer);
}

void Server::on_request(ExchangeId id, std::string_view from, std::span<const std::byte> body, std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  ++s.counts.requests;
  const auto decoded = decode(body);
  if (!decoded.ok() || decoded.value().has(kFlagResponse) || decoded.value().has(kFlagDuplex)) {
    ++s.counts.unreadable;
    Bundle answer;
    answer.set(kFlagResponse);
    answer.set(kFlagUnreadable);
    s.put(id, kBadRequest, encode(answer));
    return;
  }
  const Bundle& bundle = decoded.value();
  if (bundle.has(kFlagOpen)) {
    s.open(id, from, bundle);
    return;
  }
  State::Entry* entry = s.find(bundle.key);
  if (entry == nullptr) {
    s.answer_unknown(id, bundle);
    return;
  }
  if (!entry->session->established()) s.established(*entry);
  entry->session->came_from(from.substr(0, kMaxSourceBytes));
  if (entry->session->request(id, bundle)) s.holders[id] = entry->session->number();
  s.touched(*entry->session);
}

void Server::on_gone(ExchangeId id, std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  const auto holder = s.holders.find(id);
  if (holder == s.holders.end()) {
    std::erase_if(s.responses, [id](const Response& response) { return response.id == id; });
    return;
  }
  const SessionNumber number = holder->second;
  s.holders.erase(holder);
  if (auto* entry = s.find(number)) entry->session->gone(id);
}

std::optional<Response> Server::next_response(std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  s.serve_touched();
  if (s.responses.empty()) return std::nullopt;
  Response response = std::move(s.responses.front());
  s.responses.pop_front();
  return response;
}

void Server::tick(std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  while (!s.timers.empty() && s.timers.begin()->first <= s.now) {
    const SessionNumber number = s.timers.begin()->second;
    s.timers.erase(s.timers.begin());
    State::Entry& entry = *s.find(number);
    entry.timer_us = kNever;
    if (!entry.session->established()) {
      s.erase(number);
      continue;
    }
    entry.session->expire();
    s.touched(*entry.session);
  }
  s.serve_touched();
}

std::uint64_t Server::deadline() const {
  return state_->timers.empty() ? kNever : state_->timers.begin()->first;
}

// Duplex connections.

bool Server::on_duplex_bundle(DuplexId id, std::string_view from, std::span<const std::byte> body,
                              std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  const auto decoded = decode(body);
  const bool readable = decoded.ok() && decoded.value().has(kFlagDuplex) && !decoded.value().has(kFlagResponse);
  State::Entry* entry = readable ? s.find(decoded.value().key) : nullptr;
  const auto known = s.duplexes.find(id);
  const bool same = entry != nullptr && (known == s.duplexes.end() || known->second == entry->session->number());
  if (!readable) ++s.counts.unreadable;
  if (!same || !entry->session->established()) {
    on_duplex_lost(id, now_us);
    return false;
  }
  entry->session->came_from(from.substr(0, kMaxSourceBytes));
  const bool taken = entry->session->duplex_bundle(id, decoded.value());
  if (taken) {
    s.duplexes[id] = entry->session->number();
  } else {
    s.duplexes.erase(id);
  }
  s.touched(*entry->session);
  return taken;
}

void Server::on_duplex_lost(DuplexId id, std::uint64_t now_us) {
  State& s = *state_;
  s.see(now_us);
  const auto known = s.duplexes.find(id);
  if (known == s.duplexes.end()) return;
  const SessionNumber number = known->second;
  s.duplexes.erase(known);
  if (auto* entry = s.find(number)) entry->session->duplex_lost(id);
}

std::optional<DuplexBundle> Server::next_duplex_bundle(std::uint64_t now_us,
                                                       const std::function<bool(DuplexId)>& ready) {
  State& s = *state_;
  s.see(now_us);
  s.serve_touched();
  for (std::size_t tries = s.to_write.size(); tries > 0; --tries) {
    const SessionNumber number = s.to_write.front();
    State::Entry* entry = s.find(number);
    const auto duplex = entry == nullptr ? std::nullopt : entry->session->duplex();
    if (duplex && ready && !ready(*duplex)) {
      s.to_write.pop_front();
      s.to_write.push_back(number);
      continue;
    }
    auto body = duplex ? entry->session->next_duplex_bundle() : std::nullopt;
    if (!body) {
      s.to_write.pop_front();
      if (entry == nullptr) continue;
      entry->to_write = false;
      s.arm(number, *entry);
      continue;
    }
    return DuplexBundle{*duplex, std::move(*body)};
  }
  return std::nullopt;
}

std::optional<DuplexId> Server::next_duplex_end() {
  auto& ends = state_->duplex_ends;
  if (ends.empty()) return std::nullopt;
  const DuplexId id = ends.front();
  ends.pop_front();
  return id;
}

// The application's side.

Server::Server(const ServerOptions& options, RandomBytes random)
    : state_(std::make_unique<State>(options, std::move(random))) {}
Server::~Server() = default;

std::optional<ServerEvent> Server::next_event() {
  auto& events = state_->events;
  if (events.empty()) return std::nullopt;
  const ServerEvent event = events.front();
  events.pop_front();
  return event;
}

MessagePipe* Server::session(SessionNumber session) {
  auto* entry = state_->find(session);
  const bool there = entry != nullptr && !entry->released && entry->session->established();
  return there ? entry->session.get() : nullptr;
}

void Server::release(SessionNumber session) {
  auto* entry = state_->find(session);
  if (entry == nullptr) return;
  entry->released = true;
  entry->session->close({CloseCode::done, "the server has released the session"});
  state_->touched(*entry->session);
}

bool Server::duplex_attached(SessionNumber session) const {
  const auto* entry = state_->find(session);
  return entry != nullptr && entry->session->duplex().has_value();
}

std::string Server::source(SessionNumber session) const {
  const auto* entry = state_->find(session);
  return entry == nullptr ? std::string() : entry->session->source();
}

std::size_t Server::sessions() const {
  return state_->sessions.size();
}
std::size_t Server::reserved_bytes() const {
  return state_->sessions.size() * 2 * state_->options.session.window_min + state_->pool.lent();
}
const ServerCounters& Server::counters() const {
  return state_->counts;
}

}  // namespace slotwire::http_stream
