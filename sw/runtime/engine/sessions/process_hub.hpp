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
  UserAccounts::Charge charge{};      ///< a tool connection, until there is a session
  std::uint64_t silent_since_us = 0;  ///< when it connected or last took an answer that had to wait
  bool asked = false;                 ///< it has sent a request
  bool paused = false;                ///< it has a request that waits for the keeper
  bool put_off = false;               ///< its user has no tokens left: it waits for a turn of that user
  /// A request that waits for the keeper, and since when.
  struct Waiting {
    std::string text;
    std::uint64_t since_us = 0;
    std::uint64_t request_id = 0;
    std::string why;
  };
  std::optional<Waiting> waiting{};
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
  ProcessHub(const Config& config, EventLoop& loop, NodeLog& log, SessionTable& sessions, RequestHandler& handler)
      : config_(config), loop_(loop), log_(log), sessions_(sessions), handler_(handler) {}
  ~ProcessHub();
  ProcessHub(const ProcessHub&) = delete;
  ProcessHub& operator=(const ProcessHub&) = delete;

  /// Serves a connection from now on; closes it at once, and says why, when its user has too many.
  void add(std::unique_ptr<control::PacketChannel> channel, PeerCredentials who);
  /// Closes connections without a session that say nothing, or do not take their answers, for limits.handshake. About
  /// four times a second.
  void tick();

  /// A client without a session says hello: opens a session for it and answers. Throws Refusal.
  void hello(Client& client, std::uint64_t request_id, const control::Hello& request);
  /// A client takes its session up again; its slots are in `table`'s hands until it is attached. Throws Refusal.
  Session& resume(Client& client, const control::Resume& request);
  /// The keeper has answered: requests that waited for it are tried again.
  void on_store_ready();

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
  UserAccounts& users() { return sessions_.users(); }
  void on_ready(std::uint64_t id, std::uint32_t events);
  void serve(std::uint64_t id, std::uint32_t events);
  /// When requests of a client are served.
  enum class Turn : std::uint8_t {
    paid,        ///< while its user has tokens
    put_off,     ///< though its user has none: everybody who has some was served before
    last_words,  ///< its process has ended
  };
  /// Serves requests that have come until they have cost `tokens`.
  void take_packets(std::uint64_t id, std::uint32_t tokens, Turn turn);
  /// Returns what requests of its kind cost.
  std::uint32_t handle(Client& client, const std::string& text, std::vector<slot::Fd>& fds, std::uint64_t since_us);
  void put_off(Client& client);
  void serve_put_off();
  void go_on(std::uint64_t id);
  void wait_for_store(std::uint64_t id, Client::Waiting request);
  void refuse_late();
  std::string name_of(const Client& client) const;
  void refuse(std::uint64_t client, std::uint64_t id, const Refusal& refusal);
  void drop(std::uint64_t id, std::string_view why);
  /// What work has cost that began when the thread had used `since_us`.
  std::uint32_t cost_since(std::uint64_t since_us) const;
  void send(Client& client, const std::string& text, const std::vector<int>& fds);
  void join(Client& client, Session& session);

  const Config& config_;
  EventLoop& loop_;
  NodeLog& log_;
  SessionTable& sessions_;
  RequestHandler& handler_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Client> clients_;
  std::vector<std::uint64_t> put_off_;    ///< in the order of their turns
  bool paid_turn_ = false;                ///< a client whose user had tokens was served since the last such turns
  std::vector<std::uint64_t> for_store_;  ///< have a request that waits for the keeper, in the order in which it came
};

}  // namespace slotwire::engine
