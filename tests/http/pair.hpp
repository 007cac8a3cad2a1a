// One client (or several) and one server, joined by requests that take a fixed time, in simulated time. What passes is
// kept for the test to look at, and the test says what is lost.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/http_stream/client.hpp"
#include "core/http_stream/server.hpp"

namespace slotwire::http_stream {

inline Bytes bytes_of(std::string_view text) {
  const auto span = std::as_bytes(std::span(text));
  return {span.begin(), span.end()};
}
inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
/// A text that begins with a number, so that no two are alike.
inline std::string numbered(unsigned n, std::size_t length) {
  std::string text = std::to_string(n) + ":";
  text.resize(std::max(length, text.size()), static_cast<char>('a' + n % 26));
  return text;
}
inline bool send(MessagePipe& pipe, std::string_view text) {
  return pipe.send(bytes_of(text));
}
inline Key key_of(unsigned n) {
  Key key{};
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::byte>(n * 37 + i * 11 + 1);
  return key;
}
/// Fills with bytes that are other ones at each call.
inline RandomBytes counting_random() {
  return [state = std::make_shared<std::uint64_t>(1)](std::span<std::byte> bytes) {
    for (auto& byte : bytes) {
      *state = *state * 6'364'136'223'846'793'005U + 1'442'695'040'888'963'407U;
      byte = static_cast<std::byte>(*state >> 56U);
    }
  };
}

/// A first window that is wide enough for a test that reads at its end.
inline ClientOptions wide_client(std::size_t bytes = 1'000'000) {
  ClientOptions options;
  options.session.window_min = bytes;
  return options;
}
inline ServerOptions wide_server(std::size_t bytes = 1'000'000) {
  ServerOptions options;
  options.session.window_min = bytes;
  return options;
}

/// A body that passed, and what it says.
struct Passed {
  std::uint64_t at_us = 0;
  RequestNumber number = 0;
  Bytes body;
  Bundle bundle;  ///< its parts point into `body`
  unsigned status = 200;
};

class Pair {
 public:
  explicit Pair(ClientOptions client_options = {}, ServerOptions server_options = {}, std::uint64_t one_way_us = 1'000)
      : client(client_options, key_of(1)), server(server_options, counting_random()), delay_us(one_way_us) {}

  /// What becomes of a request or of a response on its way.
  enum class Fate { pass, lose, fail };

  void pump() {
    while (auto request = client.next_request(now)) start(std::move(*request));
    while (const auto number = client.next_abandoned()) abandoned.push_back(*number);
    if (client.next_duplex_try(now)) {
      tries.push_back(now);
      on_try();
    }
    while (auto bundle = client.next_bundle(now)) {
      if (!duplex_alive) continue;
      at(delay_us, [this, body = std::move(*bundle)] {
        if (!duplex_alive) return;
        duplex_alive = server.on_duplex_bundle(1, from, body, now);
      });
    }
    while (auto response = server.next_response(now)) answer(std::move(*response));
    while (auto bundle = server.next_duplex_bundle(now)) {
      at(delay_us, [this, body = std::move(bundle->body)] {
        if (duplex_alive) client.on_bundle(body, now);
      });
    }
    while (const auto event = server.next_event()) events.push_back(*event);
    if (session == nullptr && !events.empty()) session = server.session(events.front().session);
  }

  /// Runs until `until` is true or so much time has passed; says whether it became true.
  bool run(std::uint64_t for_us, const std::function<bool()>& until = nullptr) {
    const std::uint64_t end = now + for_us;
    for (;;) {
      pump();
      if (until && until()) return true;
      std::uint64_t next = std::min(client.deadline(), server.deadline());
      if (!due.empty()) next = std::min(next, due.begin()->first);
      if (next > end) break;
      now = std::max(now, next);
      while (!due.empty() && due.begin()->first <= now) {
        const auto what = std::move(due.begin()->second);
        due.erase(due.begin());
        what();
      }
      client.tick(now);
      server.tick(now);
    }
    now = end;
    client.tick(now);
    server.tick(now);
    pump();
    return until && until();
  }
  /// Opens the session and lets its start-up pass.
  void settle() {
    run(10 * kSecond);
    requests.clear();
    responses.clear();
  }

  void at(std::uint64_t in_us, std::function<void()> what) { due.emplace(now + in_us, std::move(what)); }

  std::vector<std::string> received_by_server() {
    std::vector<std::string> texts;
    while (auto message = session == nullptr ? std::nullopt : session->receive()) texts.push_back(text_of(*message));
    return texts;
  }
  std::vector<std::string> received_by_client() {
    std::vector<std::string> texts;
    while (auto message = client.receive()) texts.push_back(text_of(*message));
    return texts;
  }
  std::size_t count(ServerEvent::Kind kind) const {
    std::size_t n = 0;
    for (const ServerEvent& event : events) n += event.kind == kind ? 1U : 0U;
    return n;
  }
  static Passed passed(std::uint64_t at_us, RequestNumber number, Bytes body, unsigned status = 200) {
    Passed passed{at_us, number, std::move(body), {}, status};
    if (auto decoded = decode(passed.body); decoded.ok()) passed.bundle = std::move(decoded).value();
    return passed;
  }

  Client client;
  Server server;
  MessagePipe* session = nullptr;  ///< of the first client that opened
  std::uint64_t now = 1'000'000;
  std::uint64_t delay_us;
  std::string from = "10.0.0.1";
  std::function<Fate(const Passed&)> on_request = [](const Passed&) { return Fate::pass; };
  std::function<Fate(Passed&)> on_response = [](Passed&) { return Fate::pass; };
  std::function<void()> on_try = [] {};  ///< the client asks for a duplex connection
  std::vector<std::uint64_t> tries;      ///< when it did
  std::vector<Passed> requests, responses;
  std::vector<RequestNumber> abandoned;
  std::vector<ServerEvent> events;
  bool duplex_alive = false;
  bool serial = false;  ///< a proxy lets no request pass another one

 private:
  void start(Request request) {
    requests.push_back(passed(now, request.id, std::move(request.body)));
    const Passed& made = requests.back();
    const Fate fate = on_request(made);
    if (fate == Fate::lose) return;
    if (fate == Fate::fail) {
      at(delay_us, [this, id = made.number] { client.on_failure(id, "connection refused", now); });
      return;
    }
    const ExchangeId exchange = next_exchange++;
    exchanges[exchange] = made.number;
    if (serial) {
      waiting.emplace_back(exchange, made.body);
      forward();
      return;
    }
    at(delay_us, [this, exchange, body = made.body] { server.on_request(exchange, from, body, now); });
  }
  /// A serial proxy takes the next request when the one before was answered.
  void forward() {
    if (busy != 0 || waiting.empty()) return;
    busy = waiting.front().first;
    at(delay_us, [this, exchange = busy, body = std::move(waiting.front().second)] {
      server.on_request(exchange, from, body, now);
    });
    waiting.erase(waiting.begin());
  }
  void answer(Response response) {
    const auto found = exchanges.find(response.id);
    if (found == exchanges.end()) return;
    if (response.id == busy) {
      busy = 0;
      forward();
    }
    Passed made = passed(now, found->second, std::move(response.body), response.status);
    exchanges.erase(found);
    const Fate fate = on_response(made);
    if (fate == Fate::fail) {
      at(delay_us, [this, id = made.number] { client.on_failure(id, "connection closed", now); });
    } else if (fate == Fate::pass) {
      at(delay_us, [this, id = made.number, status = made.status, body = made.body] {
        client.on_response(id, status, body, now);
      });
    }
    responses.push_back(std::move(made));
  }

  std::multimap<std::uint64_t, std::function<void()>> due;
  std::map<ExchangeId, RequestNumber> exchanges;
  std::vector<std::pair<ExchangeId, Bytes>> waiting;
  ExchangeId busy = 0;
  ExchangeId next_exchange = 1;
};

}  // namespace slotwire::http_stream
