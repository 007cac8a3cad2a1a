// slotwire_server.hpp: a server in one thread, over slotwire.hpp: accepts, waits for all its connections together,
// hands each request to a function, and sends what that answers.
//
//   auto server = slotwire::Server::open({}, "echo", [](slotwire::Request& r) { r.reply(r.data()); });
//   if (server) return server->run() ? 0 : 1;  // until stop(), which any thread and any signal handler may call
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "slotwire.hpp"

namespace slotwire {

/// One request while its handler runs; its bytes lie in the ring and go with it.
class Request {
 public:
  std::uint16_t method() const { return message_.code(); }
  std::span<const std::byte> data() const { return message_.data(); }
  std::string_view text() const { return message_.text(); }
  /// Time that the caller still waits; none: for ever. Below 0: it has given up. (Without the time that the request was
  /// on its way.)
  std::optional<std::chrono::microseconds> time_left() const {
    if (!message_.time_left()) return std::nullopt;
    return *message_.time_left() -
           std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begun_);
  }
  /// The caller cancelled it, or its deadline has passed: the answer is not wanted any more.
  bool is_abandoned() const {
    const auto left = time_left();
    return (left && left->count() <= 0) || connection_.is_cancelled(message_.id());
  }
  Result<Peer> peer() const { return connection_.peer(); }

  /// Answers; the first answer counts. A handler that returns without one has the caller told so.
  void reply(Data data) {
    const std::byte* bytes = data.data();
    if (!answered_) answer_.assign(bytes, bytes + data.size());
    answered_ = true;
  }
  /// Answers with an error: a code of the service's own (65535 is the library's), and a text for people.
  void reply_error(std::uint16_t code, std::string_view text) {
    if (!answered_) error_ = code;
    reply(text);
  }
  bool answered() const { return answered_; }

 private:
  friend class Server;
  Request(Connection& connection, Message message)
      : connection_(connection), message_(std::move(message)), begun_(std::chrono::steady_clock::now()) {}
  Connection& connection_;
  Message message_;
  std::chrono::steady_clock::time_point begun_;
  std::vector<std::byte> answer_;
  std::optional<std::uint16_t> error_;
  bool answered_ = false;
};

struct ServerOptions {
  std::size_t max_connections = 1024;  ///< more are closed at once
  std::size_t requests_at_once = 32;   ///< of one connection before the others have their turn
  /// How long an answer that is longer than the ring may wait for room. The thread waits with it; shorter answers never
  /// make it wait.
  std::chrono::milliseconds long_answer{1000};
  ServeOptions serve{};
  /// One-way messages; none: they are dropped.
  std::function<void(Connection&, const Message&)> on_message{};
};

/// Serves one name in the thread that calls open() and run(). A connection whose peer does not take its answers holds
/// one answer and is not read from until it does.
class Server {
 public:
  using Handler = std::function<void(Request&)>;
  /// Code of the error that answers a request whose handler did not.
  static constexpr std::uint16_t kNoAnswer = 65535;

  /// Errors as of Context::open() and Context::serve().
  static Result<Server> open(const ContextOptions& context, const std::string& service, Handler handler,
                             ServerOptions options = {}) {
    Result<Context> opened = Context::open(context);
    if (!opened) return std::move(opened).error();
    Result<Service> served = opened->serve(service, options.serve);
    if (!served) return std::move(served).error();
    Result<Poller> poller = Poller::create(*opened);
    if (!poller) return std::move(poller).error();
    return Server(std::make_unique<State>(
        State{*std::move(opened), *std::move(served), *std::move(poller), std::move(handler), std::move(options), {}}));
  }

  /// Runs until stop(). In the thread that called open().
  Result<void> run() {
    State& s = *state_;
    std::size_t rounds = 0;
    while (true) {
      const Result<std::span<const Ready>> ready = s.poller.wait(Deadline::never());
      if (!ready) return ready.status() == Status::cancelled ? Result<void>() : Result<void>(ready.error());
      for (const Ready& one : *ready) serve(*static_cast<Client*>(one.token));
      std::erase_if(s.clients, [](const Client& client) { return client.ended; });
      if (ready->empty() || ++rounds % kRoundsPerAccept == 0) accept();
    }
  }
  /// Ends run(), or the next run() at once. Any thread; async-signal-safe. The Server must be there.
  void stop() const { state_->poller.interrupt(); }

  /// Connections now. In the server's thread.
  std::size_t connections() const { return state_->clients.size(); }
  Context& context() { return state_->context; }

 private:
  struct Answer {
    std::uint32_t id = 0;
    std::optional<std::uint16_t> error;
    std::vector<std::byte> bytes;
  };
  struct Client {
    Connection connection;
    std::optional<Answer> waiting;  ///< for room in the ring
    bool ended = false;
  };
  // In this order: connections go before the poller and the context.
  struct State {
    Context context;
    Service service;
    Poller poller;
    Handler handler;
    ServerOptions options;
    std::list<Client> clients;
  };
  /// A server that is never idle looks for new connections this often.
  static constexpr std::size_t kRoundsPerAccept = 16;

  explicit Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

  void accept() {
    State& s = *state_;
    while (Result<Connection> connection = s.service.accept(Deadline::now())) {
      if (s.clients.size() >= s.options.max_connections) continue;
      s.clients.push_back({*std::move(connection), {}, false});
      Client& client = s.clients.back();
      if (!s.poller.add(client.connection, Interest::readable, &client)) s.clients.pop_back();
    }
  }

  void serve(Client& client) {
    State& s = *state_;
    if (client.waiting) {
      if (!deliver(client)) return;
      (void)s.poller.set(client.connection, Interest::readable);
    }
    for (std::size_t i = 0; i < s.options.requests_at_once && !client.ended; ++i) {
      Result<Message> message = client.connection.receive(Deadline::now());
      if (message.status() == Status::again) return;
      if (!message) {
        client.ended = true;
        return;
      }
      if (message->kind() == Kind::message && s.options.on_message) s.options.on_message(client.connection, *message);
      if (message->kind() == Kind::request && !answer(client, *std::move(message))) return;
    }
  }

  bool answer(Client& client, Message message) {
    const std::uint32_t id = message.id();
    Request request(client.connection, std::move(message));
    if (request.is_abandoned()) return true;
    state_->handler(request);
    if (!request.answered_) request.reply_error(kNoAnswer, "the server's handler gave no answer");
    if (request.is_abandoned()) return true;
    client.waiting = Answer{id, request.error_, std::move(request.answer_)};
    return deliver(client);
  }

  /// False: it waits for room, or the connection has ended.
  bool deliver(Client& client) {
    const Answer& answer = *client.waiting;
    const auto send = [&](Deadline deadline) {
      if (!answer.error) return client.connection.reply(answer.id, answer.bytes, deadline);
      return client.connection.reply_error(
          answer.id, *answer.error,
          std::string(reinterpret_cast<const char*>(answer.bytes.data()), answer.bytes.size()), deadline);
    };
    Result<void> sent = send(Deadline::now());
    if (sent.status() == Status::too_large) sent = send(state_->options.long_answer);
    if (sent.status() == Status::again) {
      (void)state_->poller.set(client.connection, Interest::writable);
      return false;
    }
    client.waiting.reset();
    client.ended = !sent;
    return sent.ok();
  }

  std::unique_ptr<State> state_;
};

}  // namespace slotwire
