// slotwire_server.hpp: a server in one thread, over slotwire.hpp: it accepts connections, waits for all of them
// together, hands each request to a function, and sends what that answers.
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
#include <utility>

#include "slotwire.hpp"

namespace slotwire {

struct ServerOptions {
  std::size_t max_connections = 1024;  ///< further ones are closed at once
  std::size_t requests_at_once = 32;   ///< of one connection before the others have their turn
  /// How long an answer that is longer than the ring may wait for room. The server's thread waits with it; shorter
  /// answers never make it wait. When the time passes the connection is closed.
  std::chrono::milliseconds long_answer{1000};
  ServeOptions serve{};
  /// Gets one-way messages, in the server's thread. None: they are discarded.
  std::function<void(Connection&, const Message&)> on_message{};
};

/// Serves one name in the thread that calls open() and run(). A connection whose peer does not take its answers holds
/// one answer and is not read from until it does.
class Server {
 public:
  /// Called in the server's thread for each request that its caller has not cancelled. A request that it does not
  /// answer gets the error kNoAnswer. It must not keep the Request: its connection may be closed before the next call.
  using Handler = std::function<void(Request&)>;
  /// Code of the error that answers a request whose handler did not.
  static constexpr std::uint16_t kNoAnswer = Request::kUnanswered;

  /// Errors are those of Context::open() and Context::serve().
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

  /// Runs until stop(), then returns ok. In the thread that called open().
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
  /// Ends run(), or the next run() at once. The Server must exist meanwhile. Any thread; async-signal-safe.
  void stop() const { state_->poller.interrupt(); }

  /// Connections now. In the server's thread.
  std::size_t connections() const { return state_->clients.size(); }
  /// The server's context. In the server's thread.
  Context& context() { return state_->context; }

 private:
  struct Client {
    Connection connection;
    std::optional<Request> waiting;  ///< for room in the ring
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

  /// False: no more requests of this client now.
  bool answer(Client& client, Message message) {
    Request request(std::move(message));
    if (request.is_cancelled()) {
      request.drop();
      return true;
    }
    state_->handler(request);
    if (!request.answered()) request.reply_error(kNoAnswer, "the server's handler gave no answer");
    if (request.delivered()) return true;
    request.release();
    client.waiting = std::move(request);
    return deliver(client);
  }

  /// False: it waits for room, or the connection has ended.
  bool deliver(Client& client) {
    Result<void> sent = client.waiting->deliver(Deadline::now());
    if (sent.status() == Status::too_large) sent = client.waiting->deliver(state_->options.long_answer);
    if (sent.status() == Status::again) {
      (void)state_->poller.set(client.connection, Interest::writable);
      return false;
    }
    if (!sent) client.waiting->drop();
    client.waiting.reset();
    client.ended = !sent;
    return sent.ok();
  }

  std::unique_ptr<State> state_;
};

}  // namespace slotwire
