#include "sim/http/lossy_http.hpp"

#include <algorithm>

namespace slotwire::sim {

using http_stream::DuplexId;
using http_stream::ExchangeId;

std::size_t LossyHttp::add(http_stream::Client& client, HttpWay way) {
  Peer peer;
  peer.client = &client;
  peer.way = std::move(way);
  peers_.push_back(std::move(peer));
  return peers_.size() - 1;
}

std::uint64_t LossyHttp::one_way(const HttpWay& way) {
  std::uint64_t us = way.delay_us + random_.below(way.jitter_us + 1);
  if (random_.chance(way.late)) us += std::uint64_t{random_.between(1, 40)} * (way.delay_us + 10'000);
  return us;
}

/// A body changes on its way.
void LossyHttp::spoil(const HttpWay& way, Bytes& body) {
  if (!body.empty() && random_.chance(way.shorten)) body.resize(random_.below(static_cast<std::uint32_t>(body.size())));
  if (!body.empty() && random_.chance(way.damage)) {
    for (std::uint32_t flips = random_.between(1, 4); flips > 0; --flips) {
      body[random_.below(static_cast<std::uint32_t>(body.size()))] ^= static_cast<std::byte>(1U << random_.below(8));
    }
  }
}

// Requests.

void LossyHttp::start(std::size_t client, http_stream::Request request) {
  Peer& peer = peers_[client];
  ++requests_;
  bundle_bytes_ += request.body.size();
  auto flight = std::make_shared<Flight>();
  flight->client = client;
  flight->number = request.id;
  flight->body = std::move(request.body);
  if (!peer.flights.emplace(request.id, flight).second) violate("a client makes two requests with one number");
  if (peer.way.body_limit != 0 && flight->body.size() > peer.way.body_limit) {
    at(now_ + one_way(peer.way), [this, flight] { finish(flight, 413, {}); });
    return;
  }
  if (random_.chance(peer.way.refuse)) {
    at(now_ + random_.below(2'000), [this, flight] { fail(flight, "connection refused"); });
    return;
  }
  if (peer.way.down || random_.chance(peer.way.lose_request)) return;  // the client must notice by itself
  if (peer.way.serial) {
    peer.waiting.push_back(flight);
    free_proxy(nullptr);
    return;
  }
  forward(flight);
}

/// A serial proxy has done with one request and takes the next.
void LossyHttp::free_proxy(const FlightPtr& flight) {
  for (Peer& peer : peers_) {
    if (flight != nullptr && peer.busy == flight) peer.busy = nullptr;
    while (peer.busy == nullptr && !peer.waiting.empty()) {
      const FlightPtr next = peer.waiting.front();
      peer.waiting.erase(peer.waiting.begin());
      if (next->ended) continue;
      peer.busy = next;
      forward(next);
    }
  }
}

void LossyHttp::forward(const FlightPtr& flight) {
  const HttpWay& way = peers_[flight->client].way;
  const bool twice = random_.chance(way.repeat);
  // Of two copies either one's connection may be the one that the client listens to.
  const bool first_counts = twice && random_.chance(500);
  const std::uint64_t first = now_ + one_way(way);
  at(first, [this, flight, last = !twice || first_counts] { arrive(flight, last); });
  if (twice) {
    const std::uint64_t second = random_.chance(300) ? random_.below(20'000'000) : random_.below(100'000);
    at(first + second, [this, flight, last = !first_counts] { arrive(flight, last); });
  }
  if (way.hold_limit_us != 0) {
    at(first + way.hold_limit_us, [this, flight, status = way.hold_status] {
      if (flight->ended) return;
      for (const ExchangeId id : flight->exchanges) {
        const auto found = exchanges_.find(id);
        if (found == exchanges_.end() || found->second.answered) continue;
        found->second.gone = true;
        if (random_.chance(peers_[flight->client].way.tell_gone)) server_->on_gone(id, now_);
      }
      if (status == 0) {
        fail(flight, "the connection was closed without an answer");
      } else {
        finish(flight, status, Bytes(20, std::byte{'x'}));
      }
      pump_server();
    });
  }
}

void LossyHttp::arrive(const FlightPtr& flight, bool last) {
  Peer& peer = peers_[flight->client];
  if (peer.way.down) return;
  const ExchangeId id = next_exchange_++;
  exchanges_[id] = {flight, last, false, flight->ended};
  flight->exchanges.push_back(id);
  Bytes body = flight->body;
  spoil(peer.way, body);
  server_->on_request(id, peer.way.address, body, now_);
  pump_server();
}

void LossyHttp::answered(http_stream::Response response) {
  const auto found = exchanges_.find(response.id);
  if (found == exchanges_.end()) return violate("the server answers a request that nobody made, or twice");
  Exchange& exchange = found->second;
  if (exchange.answered) return violate("the server answers a request twice");
  exchange.answered = true;
  const FlightPtr flight = exchange.flight;
  const bool last = exchange.last;
  exchanges_.erase(found);
  const HttpWay& way = peers_[flight->client].way;
  bundle_bytes_ += response.body.size();
  if (flight->ended || !last || way.down || random_.chance(way.lose_response)) return;
  const std::uint64_t arrives = now_ + one_way(way);
  if (random_.chance(way.cut_response)) {
    at(arrives, [this, flight] { fail(flight, "the connection ended within the answer"); });
    return;
  }
  spoil(way, response.body);
  at(arrives, [this, flight, status = response.status, body = std::move(response.body)] {
    if (!peers_[flight->client].way.down) finish(flight, status, body);
  });
}

void LossyHttp::finish(const FlightPtr& flight, unsigned status, const Bytes& body) {
  if (flight->ended) return;
  leave(flight);
  peers_[flight->client].client->on_response(flight->number, status, body, now_);
  pump(flight->client);
}

void LossyHttp::fail(const FlightPtr& flight, const char* text) {
  if (flight->ended) return;
  leave(flight);
  peers_[flight->client].client->on_failure(flight->number, text, now_);
  pump(flight->client);
}

void LossyHttp::leave(const FlightPtr& flight) {
  flight->ended = true;
  peers_[flight->client].flights.erase(flight->number);
  free_proxy(flight);
}

void LossyHttp::restart_proxy(std::size_t client) {
  Peer& peer = peers_[client];
  const auto flights = peer.flights;
  for (const auto& [number, flight] : flights) {
    if (flight->ended) continue;
    leave(flight);
    peer.client->on_failure(number, "the proxy closed the connection", now_);
  }
  pump(client);
}

void LossyHttp::replace_server(http_stream::Server& server) {
  server_ = &server;
  exchanges_.clear();
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    cut_duplex(i, true, false);
    restart_proxy(i);
  }
}

// Duplex.

void LossyHttp::expect_retry(std::size_t client, std::uint64_t first_us, std::uint64_t open_us) {
  peers_[client].retry_us = first_us / 4 * 3;
  peers_[client].open_us = open_us;
}

/// A client asks for a connection, and gets one, or not, or later.
void LossyHttp::try_duplex(std::size_t client) {
  Peer& peer = peers_[client];
  const HttpWay& way = peer.way;
  if (now_ < peer.try_from_us) violate("a duplex connection is asked for sooner than stated");
  if (peer.client->duplex_attached()) violate("a duplex connection is asked for while there is one");
  ++duplex_tries_;
  peer.try_us = now_;
  const std::uint64_t number = ++peer.tries;
  if (random_.chance(way.refuse_duplex)) {
    at(now_ + one_way(way), [this, client, number] {
      Peer& refused = peers_[client];
      if (number != refused.tries || !refused.client->duplex_trying()) return;
      refused.try_from_us = now_ + refused.retry_us;
      refused.client->on_duplex_failed("the upgrade is refused", now_);
      pump(client);
    });
    return;
  }
  if (way.down || random_.chance(way.lose_duplex)) return;  // the client must notice by itself
  std::uint64_t made_us = now_ + one_way(way) + one_way(way);
  if (random_.chance(way.late_duplex)) made_us += random_.below(static_cast<std::uint32_t>(2 * peer.open_us));
  at(made_us,
     [this, client, number, silent = random_.chance(way.silent_duplex)] { made_duplex(client, number, silent); });
}

void LossyHttp::made_duplex(std::size_t client, std::uint64_t number, bool silent) {
  Peer& peer = peers_[client];
  // Its owner has dropped one that comes too late.
  if (number != peer.tries || !peer.client->duplex_trying()) return;
  if (now_ > peer.try_us + peer.open_us) violate("a duplex connection is waited for longer than stated");
  if (!attach_duplex(client)) return;
  if (silent) {
    const unsigned which = random_.below(3);
    peer.duplex->deaf_client = which != 0;
    peer.duplex->deaf_server = which != 1;
  }
  if (peer.way.duplex_limit_us == 0) return;
  at(now_ + peer.way.duplex_limit_us, [this, client, duplex = peer.duplex] {
    if (peers_[client].duplex == duplex) cut_duplex(client, random_.chance(700), random_.chance(500));
  });
}

bool LossyHttp::attach_duplex(std::size_t client) {
  Peer& peer = peers_[client];
  if (peer.way.down || peer.duplex != nullptr || !peer.client->attach_duplex(now_)) return false;
  peer.duplex = std::make_shared<Duplex>();
  peer.duplex->id = next_duplex_++;
  duplexes_[peer.duplex->id] = {client, peer.duplex};
  pump(client);
  return true;
}

void LossyHttp::cut_duplex(std::size_t client, bool tell_client, bool tell_server) {
  Peer& peer = peers_[client];
  const auto duplex = peer.duplex;
  if (duplex == nullptr) return;
  peer.duplex = nullptr;
  duplex->client_side = duplex->server_side = false;
  duplexes_.erase(duplex->id);
  if (tell_server)
    at(now_ + one_way(peer.way), [this, id = duplex->id] {
      server_->on_duplex_lost(id, now_);
      pump_server();
    });
  if (!tell_client) {
    // Until it notices, what it writes goes nowhere.
    peer.duplex = std::make_shared<Duplex>();
    peer.duplex->server_side = peer.duplex->client_side = false;
    return;
  }
  peer.try_from_us = now_ + peer.retry_us;
  peer.client->on_duplex_lost(now_);
  pump(client);
}

void LossyHttp::duplex_to_server(std::size_t client, const std::shared_ptr<Duplex>& duplex, Bytes body) {
  bundle_bytes_ += body.size();
  const HttpWay& way = peers_[client].way;
  duplex->to_server_us = std::max(duplex->to_server_us, now_ + way.delay_us);
  at(duplex->to_server_us, [this, client, duplex, body = std::move(body)] {
    // A connection over a way that is down is dead, whether or not its ends know.
    if (peers_[client].way.down) duplex->client_side = duplex->server_side = false;
    if (!duplex->server_side || duplex->deaf_server) return;
    if (!server_->on_duplex_bundle(duplex->id, peers_[client].way.address, body, now_)) {
      cut_duplex(client, true, false);
    }
    pump_server();
  });
}

// Owners' loops.

void LossyHttp::pump(std::size_t client) {
  Peer& peer = peers_[client];
  if (peer.duplex != nullptr && !peer.client->duplex_attached()) {
    const auto duplex = std::exchange(peer.duplex, nullptr);
    duplex->client_side = duplex->server_side = false;
    duplexes_.erase(duplex->id);
    peer.try_from_us = now_ + peer.retry_us;
    if (duplex->id != 0 && random_.chance(500)) server_->on_duplex_lost(duplex->id, now_);
  }
  if (peer.client->next_duplex_try(now_)) try_duplex(client);
  for (unsigned count = 0; auto request = peer.client->next_request(now_); ++count) {
    if (count > 2 * http_stream::kMaxRequests) return violate("a client makes requests without end");
    start(client, std::move(*request));
  }
  while (const auto number = peer.client->next_abandoned()) {
    const auto found = peer.flights.find(*number);
    if (found == peer.flights.end()) continue;
    const FlightPtr flight = found->second;
    leave(flight);
    for (const ExchangeId id : flight->exchanges) {
      const auto exchange = exchanges_.find(id);
      if (exchange == exchanges_.end() || !random_.chance(peer.way.tell_gone)) continue;
      exchanges_.erase(exchange);
      server_->on_gone(id, now_);
    }
  }
  for (unsigned count = 0; auto bundle = peer.client->next_bundle(now_); ++count) {
    if (count > 10'000) return violate("a client writes bundles without end");
    if (peer.duplex != nullptr) duplex_to_server(client, peer.duplex, std::move(*bundle));
  }
}

void LossyHttp::pump_server() {
  while (auto response = server_->next_response(now_)) answered(std::move(*response));
  for (unsigned count = 0; auto bundle = server_->next_duplex_bundle(now_); ++count) {
    if (count > 10'000) return violate("the server writes bundles without end");
    bundle_bytes_ += bundle->body.size();
    const auto found = duplexes_.find(bundle->id);
    if (found == duplexes_.end()) continue;
    const auto [client, duplex] = found->second;
    duplex->to_client_us = std::max(duplex->to_client_us, now_ + peers_[client].way.delay_us);
    at(duplex->to_client_us, [this, client = client, duplex = duplex, body = std::move(bundle->body)] {
      if (peers_[client].way.down) duplex->client_side = duplex->server_side = false;
      if (!duplex->client_side || duplex->deaf_client) return;
      peers_[client].client->on_bundle(body, now_);
      pump(client);
    });
  }
  while (const auto id = server_->next_duplex_end()) {
    const auto found = duplexes_.find(*id);
    if (found != duplexes_.end()) cut_duplex(found->second.first, true, false);
  }
}

void LossyHttp::run_due() {
  while (!events_.empty() && events_.begin()->first <= now_) {
    const auto what = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    what();
  }
}

std::uint64_t LossyHttp::next_us() const {
  return events_.empty() ? http_stream::kNever : events_.begin()->first;
}

}  // namespace slotwire::sim
