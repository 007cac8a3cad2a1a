// Slotwire between two nodes, kernel UDP, default configuration, by the C ABI. Rings are the default too, or those for
// bulk data where messages are large.
#include "slotwire.h"

#include <poll.h>

#include <array>
#include <unordered_map>

#include "cluster.hpp"
#include "contender.hpp"
#include "slot_end.hpp"

namespace slotwire::bench {

void check(int status, const std::string& what) {
  if (status == SW_OK) return;
  throw std::runtime_error(what + ": " + sw_status_name(status) + ": " + sw_last_error());
}

SlotContext::SlotContext(const std::string& socket) {
  sw_options options;
  SW_INIT(options);
  options.socket = socket.c_str();
  check(sw_open(&options, &context_), "cannot open a session with slotwired");
}

SlotContext::~SlotContext() {
  sw_close(context_);
}

sw_connection* SlotContext::connect(const std::string& service, const sw_connect_options* options) {
  constexpr int kTryMs = 5000;
  sw_connection* connection = nullptr;
  int status = SW_OK;
  // The other node hears of a new service a moment after its process does.
  fault::eventually(kWaitMs, [&] {
    status = sw_connect(context_, service.c_str(), options, kTryMs, &connection);
    return status == SW_OK;
  });
  check(status, "cannot connect to " + service);
  return connection;
}

sw_service* SlotContext::serve(const std::string& service) {
  sw_service* served = nullptr;
  check(sw_serve(context_, service.c_str(), nullptr, &served), "cannot serve " + service);
  return served;
}

std::string open_many(sw_context* context, const std::string& service, std::size_t count, std::size_t at_once,
                      const std::function<void(sw_connection*)>& opened) {
  std::size_t started = 0, finished = 0;
  while (finished < count) {
    for (; started < count && started - finished < at_once; ++started)
      check(sw_start_connect(context, service.c_str(), nullptr, kWaitMs, nullptr), "cannot begin to connect");
    pollfd readable{sw_context_fd(context), POLLIN, 0};
    if (::poll(&readable, 1, kWaitMs) != 1) return "no connection is opened";
    if (sw_context_process(context) == SW_ENGINE_GONE) return sw_last_error();
    while (true) {
      void* token = nullptr;
      sw_connection* connection = nullptr;
      const int status = sw_connected(context, &token, &connection);
      if (status == SW_AGAIN) break;
      if (status != SW_OK) return sw_last_error();
      ++finished;
      opened(connection);
    }
  }
  return {};
}

void serve_echo(const std::string& socket, const std::string& name, const std::function<void()>& ready) {
  SlotContext context(socket);
  sw_service* const service = context.serve(name);
  sw_poller* poller = nullptr;
  check(sw_poller_create(context.get(), &poller), "no poller");
  ready();
  bool more = false;
  while (true) {
    std::array<sw_ready, 64> events{};
    std::size_t count = 0;
    const int waited = sw_poller_wait(poller, events.data(), events.size(), more ? 0 : SW_FOREVER, &count);
    if (waited != SW_AGAIN && waited != SW_TIMED_OUT) check(waited, "cannot wait");
    // So many in one turn: who accepts for as long as somebody connects never gets to closing.
    sw_connection* connection = nullptr;
    std::size_t accepted = 0;
    for (; accepted < events.size() && sw_accept(service, 0, &connection) == SW_OK; ++accepted)
      check(sw_poller_add(poller, connection, SW_READABLE, connection), "cannot watch a connection");
    more = accepted == events.size();
    for (std::size_t i = 0; i < count; ++i) {
      connection = static_cast<sw_connection*>(events[i].token);
      for (int budget = 0; budget < 256; ++budget) {
        sw_message message;
        SW_INIT(message);
        const int status = sw_receive(connection, 0, &message);
        if (status == SW_AGAIN) break;
        if (status != SW_OK) {
          sw_connection_close(connection);
          break;
        }
        // A caller that is killed with its request under way is gone when the answer comes.
        if (message.kind == SW_REQUEST) sw_reply(connection, message.id, message.data, message.length, kWaitMs);
        sw_release(connection, &message);
      }
    }
  }
}

namespace {

class SlotEnd final : public CallEnd {
 public:
  SlotEnd(std::shared_ptr<SlotContext> context, const std::string& service)
      : context_(std::move(context)), connection_(context_->connect(service)) {}
  void start(std::size_t number) override {
    std::uint32_t id = 0;
    check(sw_start_call(connection_, 1, data_.data(), data_.size(), kWaitMs, &id), "cannot call");
    calls_[id] = number;
  }
  void finish(const std::function<void(std::size_t)>& done) override {
    for (sw_timeout_ms timeout = kWaitMs;; timeout = 0) {
      sw_message message;
      SW_INIT(message);
      const int status = sw_receive(connection_, timeout, &message);
      if (status == SW_AGAIN) return;
      check(status, "no answer");
      const auto call = calls_.find(message.id);
      if (message.kind != SW_REPLY || message.length != kCallBytes || call == calls_.end())
        throw std::runtime_error("an answer to no call");
      const std::size_t number = call->second;
      calls_.erase(call);
      sw_release(connection_, &message);
      done(number);
    }
  }

 private:
  std::shared_ptr<SlotContext> context_;
  sw_connection* connection_;
  std::unordered_map<std::uint32_t, std::size_t> calls_;
  std::array<std::byte, kCallBytes> data_{};
};

class SlotSource final : public Source {
 public:
  SlotSource(const std::string& socket, std::string service) : context_(socket), service_(std::move(service)) {}
  void send(Bytes message) override {
    if (connection_ == nullptr) connect(message.size());
    check(sw_send(connection_, message.data(), message.size(), kWaitMs), "cannot send");
  }

 private:
  /// As a program does that knows whether its messages are large.
  void connect(std::size_t message) {
    constexpr std::size_t kDefaultRing = std::size_t{64} << 10;
    sw_connect_options options;
    SW_INIT(options);
    options.bulk = message >= kDefaultRing ? 1 : 0;
    connection_ = context_.connect(service_, &options);
  }

  SlotContext context_;
  std::string service_;
  sw_connection* connection_ = nullptr;
};

void receive_all(const std::string& socket, const std::string& name, const Ready& ready, Tally& tally) {
  SlotContext context(socket);
  sw_service* const service = context.serve(name);
  ready(name);
  sw_connection* connection = nullptr;
  check(sw_accept(service, kWaitMs, &connection), "no sender came");
  for (bool last = false; !last;) {
    sw_message message;
    SW_INIT(message);
    check(sw_receive(connection, kWaitMs, &message), "no message");
    last = tally.take(Bytes(static_cast<const std::byte*>(message.data), message.length));
    sw_release(connection, &message);
  }
}

std::string sink_name(std::size_t node) {
  return "sink-" + fault::Cluster::name(node);
}

}  // namespace

Contender slotwire_contender(const fault::Cluster& nodes) {
  std::vector<std::string> sockets;
  std::vector<pid_t> proxies;
  for (std::size_t node = 0; node < nodes.size(); ++node) {
    sockets.push_back(nodes.socket(node));
    proxies.push_back(nodes.pid(node));
  }
  // A process has one session, however many connections it makes. It begins in the process that asks first.
  const auto session = std::make_shared<std::shared_ptr<SlotContext>>();
  return {
      .name = kSlotwire,
      .echo =
          [sockets](const Ready& ready, std::size_t index) {
            const std::string service = fault::Cluster::service(index + 1);
            serve_echo(sockets.at(index + 1), service, [&] { ready(service); });
          },
      .call =
          [sockets, session](const std::string& service) {
            if (!*session) *session = std::make_shared<SlotContext>(sockets.front());
            return std::make_unique<SlotEnd>(*session, service);
          },
      .sink = [sockets](const Ready& ready, Tally& tally) { receive_all(sockets.at(1), sink_name(1), ready, tally); },
      .source =
          [sockets](const std::string& service) { return std::make_unique<SlotSource>(sockets.front(), service); },
      .proxies = proxies};
}

std::string contender_services(std::size_t nodes) {
  std::string tables;
  for (std::size_t node = 0; node < nodes; ++node)
    tables += "[[service]]\nname = \"" + sink_name(node) + "\"\nnodes = [\"" + fault::Cluster::name(node) + "\"]\n";
  return tables;
}

}  // namespace slotwire::bench
