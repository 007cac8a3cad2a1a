// The control socket of a node: connections of processes and tools, their packets, and their end.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/control/codec.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/sessions/session_table.hpp"

namespace slotwire::engine {

/// A connection to the control socket. It becomes a session's with hello or resume.
struct Client {
  std::uint64_t id = 0;
  std::unique_ptr<control::PacketChannel> channel;  ///< the session's, once there is one
  PeerCredentials who;
  std::uint32_t session = kNoSession;
};

/// What serves the requests of clients. Throws Refusal for what cannot be met.
class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  /// `fds` came with the request; those that are left in it are closed. The client may have gone on return.
  virtual void on_request(Client& client, const control::RequestPacket& packet, std::vector<slot::Fd>& fds) = 0;
};

/// One thread.
class ProcessHub {
 public:
  /// Connections without a session (tools), at most.
  static constexpr std::size_t kMaxToolClients = 256;

  ProcessHub(const Config& config, EventLoop& loop, NodeLog& log, SessionTable& sessions, RequestHandler& handler)
      : config_(config), loop_(loop), log_(log), sessions_(sessions), handler_(handler) {}
  ~ProcessHub();
  ProcessHub(const ProcessHub&) = delete;
  ProcessHub& operator=(const ProcessHub&) = delete;

  /// Whether another connection may be added; counted and logged when not.
  bool has_room();
  /// Serves a connection from now on.
  void add(std::unique_ptr<control::PacketChannel> channel, PeerCredentials who);

  /// A client without a session says hello: opens a session for it and answers. Throws Refusal.
  void hello(Client& client, std::uint64_t request_id, const control::Hello& request);
  /// A client takes its session up again; its slots are in `table`'s hands until it is attached. Throws Refusal.
  Session& resume(Client& client, const control::Resume& request);
  /// The client said goodbye: its session and its connection end.
  void leave(const Client& client) { drop(client.id, "it said goodbye"); }
  /// The session has ended: its connection goes.
  void forget_session(std::uint32_t session);

  /// Answers a client, whether it has a session or not. A request without an id is not answered.
  template <class M>
  void answer(Client& client, std::uint64_t id, const M& message, const std::vector<int>& fds = {}) {
    if (id != 0) send(client, control::encode_answer(id, message), fds);
  }
  void answer_document(Client& client, std::uint64_t id, control::Json document) {
    if (id != 0) send(client, control::encode_document(id, std::move(document)), {});
  }

  std::size_t clients() const { return clients_.size(); }

 private:
  Client* find(std::uint64_t id);
  control::PacketChannel* channel_of(Client& client);
  void on_ready(std::uint64_t id, std::uint32_t events);
  void handle(Client& client, const std::string& text, std::vector<slot::Fd>& fds);
  void refuse(std::uint64_t client, std::uint64_t id, const Refusal& refusal);
  void drop(std::uint64_t id, std::string_view why);
  void send(Client& client, const std::string& text, const std::vector<int>& fds);
  void join(Client& client, Session& session);

  const Config& config_;
  EventLoop& loop_;
  NodeLog& log_;
  SessionTable& sessions_;
  RequestHandler& handler_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Client> clients_;
};

}  // namespace slotwire::engine
