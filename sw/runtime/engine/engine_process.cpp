// Requests of processes: the control socket. docs/control.md is the reference.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>

#include "core/slot/waiter.hpp"
#include "runtime/engine/engine.hpp"
#include "runtime/engine/hex.hpp"

namespace slotwire::engine {
namespace {

/// Packets that wait for a process that does not read its control socket, beyond the backlog of connections.
constexpr std::size_t kPacketQueue = 64;
/// Connections to the control socket that have no session (tools): beyond these the oldest waits for accept.
constexpr std::size_t kMaxToolClients = 256;
/// Longest wait that a connect may ask for.
constexpr std::int64_t kMaxConnectMs = 3'600'000;

std::uint64_t session_tag(std::uint32_t index) {
  return (std::uint64_t{2} << 32) | index;
}

std::string service_of(const Json& request) {
  std::string service = request.at("service").get<std::string>();
  if (!valid_service_name(service)) {
    throw Refusal{"bad_request", "a service's name has 1 to 63 of A-Z a-z 0-9 . _ / -; this one has not"};
  }
  return service;
}

/// Order of the smallest ring that holds `bytes`; 0: the default.
unsigned ring_order(std::uint64_t bytes, const MemoryConfig& memory) {
  if (bytes == 0) bytes = memory.ring;
  if (bytes > memory.max_ring) {
    throw Refusal{"bad_request", "a ring of " + std::to_string(bytes) + " bytes is more than memory.max_ring allows (" +
                                     std::to_string(memory.max_ring) + ")"};
  }
  const std::uint64_t lines = std::max<std::uint64_t>(bytes / regs::kLineBytes, regs::kPageBytes / regs::kLineBytes);
  return static_cast<unsigned>(std::bit_width(std::bit_ceil(lines)) - 1);
}

}  // namespace

void Engine::accept_client() {
  while (true) {
    slot::Fd fd(::accept4(control_listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    if (clients_.size() >= config_.limits.sessions + kMaxToolClients) {
      log_limited("clients", spdlog::level::warn, "a process was turned away: too many are attached (limits.sessions)");
      continue;
    }
    Result<PeerCredentials> who = peer_credentials(fd.get());
    if (!who.ok()) continue;  // it has ended already
    const std::uint64_t id = ++last_id_;
    Client client;
    client.id = id;
    client.who = std::move(who).value();
    client.socket = std::make_unique<control::PacketSocket>(std::move(fd), config_.limits.control_message,
                                                            kPacketQueue + config_.limits.backlog);
    const int raw = client.socket->fd();
    clients_.emplace(id, std::move(client));
    reactor_.add(raw, EPOLLIN, [this, id](std::uint32_t events) { on_client(id, events); });
  }
}

void Engine::on_client(std::uint64_t id, std::uint32_t events) {
  const auto client_of = [&]() -> Client* {
    const auto found = clients_.find(id);
    return found == clients_.end() ? nullptr : &found->second;
  };
  const auto socket_of = [&](Client& client) -> control::PacketSocket* {
    if (client.session == kNoSession) return client.socket.get();
    return session_at(client.session).socket.get();
  };
  if ((events & EPOLLOUT) != 0) {
    Client* client = client_of();
    control::PacketSocket* socket = client == nullptr ? nullptr : socket_of(*client);
    if (socket == nullptr || !socket->flush()) return drop_client(id, "its control socket broke");
    if (!socket->waiting()) reactor_.modify(socket->fd(), EPOLLIN);
  }
  // A few packets at a time, so that one process cannot keep the others waiting.
  constexpr int kPacketsAtOnce = 16;
  for (int i = 0; i < kPacketsAtOnce; ++i) {
    Client* client = client_of();
    if (client == nullptr) return;
    control::PacketSocket* socket = socket_of(*client);
    if (socket == nullptr) return;
    control::Packet packet;
    switch (socket->receive(packet)) {
      case control::PacketSocket::Got::nothing:
        return;
      case control::PacketSocket::Got::closed:
        return drop_client(id, "it ended");
      case control::PacketSocket::Got::too_long:
        return drop_client(id, "it sent a packet longer than limits.control_message");
      case control::PacketSocket::Got::packet:
        handle_packet(*client, std::move(packet));
    }
  }
}

void Engine::drop_client(std::uint64_t id, std::string_view why) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  const std::uint32_t session = found->second.session;
  control::PacketSocket* socket = session == kNoSession ? found->second.socket.get() : session_at(session).socket.get();
  if (socket != nullptr) reactor_.remove(socket->fd());
  clients_.erase(found);
  if (session != kNoSession) end_session(session, why);
}

void Engine::handle_packet(Client& client, control::Packet packet) {
  const Json request = Json::parse(packet.text, nullptr, false);
  const Json id =
      request.is_object() && request.contains("id") && request["id"].is_number_unsigned() ? request["id"] : Json(0);
  try {
    if (!request.is_object() || !request.contains("op") || !request["op"].is_string()) {
      throw Refusal{"bad_request", "a packet holds one JSON object with an 'op'"};
    }
    if (request.contains("id") && !request["id"].is_number_unsigned()) {
      throw Refusal{"bad_request", "'id' is a number from 0 on"};
    }
    const std::string& op = request["op"].get_ref<const std::string&>();
    if (op == "hello") return request_hello(client, request);
    if (op == "resume") return request_resume(client, request);
    if (op == "status") return answer(client, id, status());
    if (op == "slots") return answer(client, id, slots_page(request));
    if (op == "sessions") return answer(client, id, sessions_page(request));
    if (op == "capture") return request_capture(client, request, packet);
    if (op == "cut") return request_cut(client, request);
    if (client.session == kNoSession)
      throw Refusal{"no_session", "'" + op.substr(0, 32) + "' needs a session: send 'hello' first"};
    if (op == "serve") return request_serve(client, request);
    if (op == "connect") return request_connect(client, request);
    if (op == "close") return request_close(client, request);
    if (op == "unserve") {
      Session& session = session_at(client.session);
      const std::string service = service_of(request);
      if (session.services.erase(service) != 0) {
        std::erase(services_[service].sessions, session.index);
        if (services_[service].sessions.empty()) services_.erase(service);
      }
      return answer(client, id, Json::object());
    }
    if (op == "bye") {
      session_at(client.session).said_bye = true;
      return;
    }
    throw Refusal{"bad_request", "there is no request '" + op.substr(0, 32) + "'"};
  } catch (const Refusal& refusal) {
    refuse(client, id, refusal);
  } catch (const Json::exception& error) {
    refuse(client, id, {"bad_request", std::string("a field is missing or has the wrong type: ") + error.what()});
  } catch (const std::exception& error) {
    log_limited("request", spdlog::level::err, std::string("a request failed: ") + error.what());
    refuse(client, id, {"no_memory", error.what()});
  }
}

void Engine::answer(Client& client, const Json& id, Json fields, const std::vector<int>& fds) {
  if (id == 0) return;  // nobody waits for it
  fields["id"] = id;
  fields["ok"] = true;
  if (client.session != kNoSession) {
    tell(session_at(client.session), fields, fds);
  } else if (!client.socket->send(fields.dump(-1, ' ', false, Json::error_handler_t::replace), fds) ||
             client.socket->waiting()) {
    reactor_.modify(client.socket->fd(), EPOLLIN | EPOLLOUT);
  }
}

void Engine::refuse(Client& client, const Json& id, const Refusal& refusal) {
  log().debug("refused: {}: {}", refusal.code, refusal.text);
  const Json message{{"id", id}, {"error", {{"code", refusal.code}, {"text", refusal.text}}}};
  if (client.session != kNoSession) {
    tell(session_at(client.session), message);
  } else {
    client.socket->send(message.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
}

bool Engine::tell(Session& session, const Json& event, const std::vector<int>& fds) {
  if (!session.socket) return false;
  const bool sent = session.socket->send(event.dump(-1, ' ', false, Json::error_handler_t::replace), fds);
  if (session.socket->waiting()) reactor_.modify(session.socket->fd(), EPOLLIN | EPOLLOUT);
  // A process that has said goodbye or died no longer reads; that is not worth a line.
  if (!sent && session.socket->waiting())
    log_limited("tell", spdlog::level::warn, "process " + who(session) + " does not read its control socket");
  return sent;
}

void Engine::attach(Client& client, Session& session) {
  session.socket = std::move(client.socket);
  session.gids = client.who.gids;
  client.session = session.index;
}

void Engine::request_hello(Client& client, const Json& request) {
  if (client.session != kNoSession) throw Refusal{"bad_request", "this socket has a session already"};
  if (number_at<int>(request, "version") != kControlVersion) {
    throw Refusal{"version", "this slotwired (" SLOTWIRE_VERSION ") speaks version " + std::to_string(kControlVersion) +
                                 " of the control protocol, the process speaks " +
                                 std::to_string(number_at<int>(request, "version")) +
                                 "; install the same release for both"};
  }
  const std::string name = request.value("name", std::string("unnamed"));
  const std::uint64_t request_id = number_at<std::uint64_t>(request, "id");
  std::uint32_t index = 0;
  while (index < sessions_.size() && sessions_[index]) ++index;
  if (index == sessions_.size()) {
    throw Refusal{"quota", "all " + std::to_string(sessions_.size()) + " sessions of node '" + config_.node.name +
                               "' are in use (limits.sessions)"};
  }
  auto session = std::make_unique<Session>();
  session->index = index;
  session->bell_file = slot::create_sealed_file("slotwire-bells", regs::kPageBytes);
  session->polled_file = slot::create_sealed_file("slotwire-polled", regs::kPageBytes);
  session->kick = slot::create_event();
  session->bells = slot::map_file(session->bell_file.get(), regs::kPageBytes, slot::Access::read_write);
  session->polled = slot::map_file(session->polled_file.get(), regs::kPageBytes, slot::Access::read_write);
  if (Result<PidFd> process = PidFd::open(client.who); process.ok()) {
    session->process = std::move(process).value();
  } else {
    throw Refusal{"no_session", process.error().text};
  }
  const slot::Fd polled = slot::read_only_copy(session->polled_file);
  // From here on there is something to undo when it fails; nothing that the process wrote is read any more.
  if (const auto kept =
          keeper_->store(session_tag(index),
                         std::vector<int>{session->bell_file.get(), session->polled_file.get(), session->kick.get()});
      !kept.ok()) {
    throw Refusal{"no_memory", kept.error().text};
  }
  SessionRecord& record = admin_->sessions()[index];
  record = {};
  record.pid = client.who.pid;
  record.uid = client.who.uid;
  record.start_time = client.who.start_time;
  record.id = admin_->header().next_session_id++;
  std::random_device random;
  for (std::uint8_t& byte : record.token) byte = static_cast<std::uint8_t>(random());
  set_name(record.name, name);
  record.used = 1;

  Session& s = *session;
  sessions_[index] = std::move(session);
  try {
    card_->add_session(index, *reinterpret_cast<slot::BellPage*>(s.bells.data()),
                       *reinterpret_cast<slot::PolledPage*>(s.polled.data()), s.kick.get());
    reactor_.add(s.kick.get(), EPOLLIN, [this, index](std::uint32_t) { card_->on_kick(index); });
    // A process that ends while a child of it holds the socket is dead all the same.
    const std::uint64_t client_id = client.id;
    reactor_.add(s.process->fd(), EPOLLIN, [this, client_id](std::uint32_t) {
      on_client(client_id, EPOLLIN);  // what it said last
      drop_client(client_id, "it ended");
    });
  } catch (const std::exception&) {
    end_session(index, "it could not be watched");
    throw;
  }
  attach(client, s);
  log().debug("session {}: {} attached (uid {})", record.id, who(s), record.uid);
  answer(client, request_id,
         Json{{"session", record.id},
              {"token", hex_text(std::as_bytes(std::span(record.token)))},
              {"node", config_.node.name},
              {"spin_us", config_.wait.spin.count()},
              {"yield_us", config_.wait.yield.count()}},
         {s.bell_file.get(), polled.get(), s.kick.get()});
}

void Engine::request_resume(Client& client, const Json& request) {
  if (client.session != kNoSession) throw Refusal{"bad_request", "this socket has a session already"};
  if (number_at<int>(request, "version") != kControlVersion) {
    throw Refusal{"version",
                  "this slotwired speaks version " + std::to_string(kControlVersion) + " of the control protocol"};
  }
  const auto id = number_at<std::uint64_t>(request, "session");
  for (std::uint32_t index = 0; index < sessions_.size(); ++index) {
    const SessionRecord& record = admin_->sessions()[index];
    // An engine that started anew counts its sessions anew: the same number with another token is another session.
    if (!sessions_[index] || record.id != id ||
        request.at("token").get<std::string>() != hex_text(std::as_bytes(std::span(record.token))))
      continue;
    Session& session = *sessions_[index];
    if (record.uid != client.who.uid || record.pid != client.who.pid || record.start_time != client.who.start_time) {
      throw Refusal{"refused", "this session belongs to another process"};
    }
    if (session.socket) throw Refusal{"busy", "this session is attached already"};
    attach(client, session);
    reactor_.remove(session.process->fd());
    const std::uint64_t client_id = client.id;
    reactor_.add(session.process->fd(), EPOLLIN, [this, client_id](std::uint32_t) {
      on_client(client_id, EPOLLIN);
      drop_client(client_id, "it ended");
    });
    // What the process closed or never heard of while the engine was away.
    std::set<std::uint32_t> held;
    for (const Json& local : request.at("slots")) held.insert(whole_number<std::uint32_t>(local, "slots"));
    const std::vector<std::uint32_t> slots = session.slots;
    Json closed = Json::array();
    Json links = Json::array();
    for (std::uint32_t local = 0; local < slots.size(); ++local) {
      if (slots[local] == kNoSlotIndex) continue;
      const auto slot = static_cast<std::uint16_t>(slots[local]);
      const SlotDescriptor& d = admin_->slots()[slot];
      if (!held.contains(local)) {
        begin_close(slot, End::closed);
      } else if (d.phase == Phase::peer_gone) {
        closed.push_back({{"local", local}, {"reason", end_name(d.end)}});
      }
      held.erase(local);
    }
    for (const std::uint32_t local : held) closed.push_back({{"local", local}, {"reason", end_name(End::lost)}});
    log().info("session {}: {} is back", id, who(session));
    answer(client, request.at("id"), Json{{"node", config_.node.name}, {"closed", closed}});
    // Links may have come or gone before it was back.
    for (const auto& link : links_) {
      if (link) tell_link(*link, session.index);
    }
    return;
  }
  throw Refusal{"no_session", "node '" + config_.node.name + "' knows no session " + std::to_string(id) +
                                  " (it started anew); open a new one"};
}

void Engine::request_serve(Client& client, const Json& request) {
  Session& session = session_at(client.session);
  const SessionRecord& record = admin_->sessions()[session.index];
  const std::string service = service_of(request);
  const Decision decision = policy_->may_serve(record.uid, session.gids, service);
  if (!decision.allowed) throw Refusal{"refused", decision.reason};
  if (!session.services.contains(service)) {
    if (session.services.size() >= config_.limits.services_per_session) {
      throw Refusal{"quota", who(session) + " serves " + std::to_string(session.services.size()) +
                                 " services already (limits.services_per_session)"};
    }
    if (!services_.contains(service) && services_.size() >= config_.limits.services) {
      throw Refusal{"quota", "node '" + config_.node.name + "' has " + std::to_string(services_.size()) +
                                 " services already (limits.services)"};
    }
    session.services.insert(service);
    services_[service].sessions.push_back(session.index);
  }
  answer(client, request.at("id"), Json::object());
}

void Engine::request_connect(Client& client, const Json& request) {
  Session& session = session_at(client.session);
  const SessionRecord& record = admin_->sessions()[session.index];
  const std::string service = service_of(request);
  if (!request.contains("id") || !request["id"].is_number_unsigned()) throw Refusal{"bad_request", "'id' is missing"};
  const unsigned in_order = ring_order(number_or(request, "in_bytes", std::uint64_t{0}), config_.memory);
  const unsigned out_order = ring_order(number_or(request, "out_bytes", std::uint64_t{0}), config_.memory);
  const Decision decision = policy_->may_connect(record.uid, session.gids, service);
  if (!decision.allowed) throw Refusal{"refused", decision.reason};
  if (Session* to = serving(service); to != nullptr) {
    return connect_here(client, request, session, *to, service, in_order, out_order, decision.isolation);
  }
  Whereabouts where;
  directory_->lookup(service, [&](const Whereabouts& answer) { where = answer; });
  std::string down;
  for (const std::string& node : where.nodes) {
    if (node == config_.node.name) continue;
    Link* link = link_to(node);
    if (link == nullptr) {
      down += (down.empty() ? "" : "; ") + std::string("there is no [[link]] to node '") + node + "'";
    } else if (!usable(*link)) {
      down += (down.empty() ? "" : "; ") + std::string("the link to node '") + node + "' is down: " + link->reason;
    } else {
      const std::int64_t ms =
          std::clamp<std::int64_t>(number_or(request, "timeout_ms", std::int64_t{10'000}), 1, kMaxConnectMs);
      return connect_there(request, session, *link, service, in_order, out_order,
                           static_cast<std::uint64_t>(ms) * 1000);
    }
  }
  if (!down.empty()) throw Refusal{"link_down", down};
  if (coming_back()) throw still_coming_back();
  throw Refusal{"no_service", where.nodes.empty()
                                  ? "no process here serves '" + service +
                                        "', and no [[service]] in the configuration of node '" + config_.node.name +
                                        "' names a node for it"
                                  : "no process on node '" + config_.node.name + "' serves '" + service + "'"};
}

/// Was this engine restarted so lately that processes may serve what they have not told again yet?
bool Engine::coming_back() const {
  constexpr std::uint64_t kComeBackUs = 5'000'000;
  return recovered_ && monotonic_us() - started_us_ < kComeBackUs &&
         std::any_of(sessions_.begin(), sessions_.end(),
                     [](const auto& session) { return session && !session->socket; });
}

Refusal Engine::still_coming_back() const {
  return {"restarting", "slotwired of node '" + config_.node.name +
                            "' was restarted and not all of its processes are back; try again in a moment"};
}

void Engine::request_close(Client& client, const Json& request) {
  Session& session = session_at(client.session);
  const auto local = number_at<std::uint64_t>(request, "local");
  if (local >= session.slots.size() || session.slots[local] == kNoSlotIndex) {
    throw Refusal{"bad_request", "there is no slot with local index " + std::to_string(local)};
  }
  begin_close(static_cast<std::uint16_t>(session.slots[local]), End::closed);
  answer(client, request.at("id"), Json::object());
}

bool Engine::is_admin(const Client& client) const {
  return client.who.uid == 0 || client.who.uid == ::getuid();
}

void Engine::request_capture(Client& client, const Json& request, control::Packet& packet) {
  if (!is_admin(client)) throw Refusal{"refused", "only root and the user that slotwired runs as may capture"};
  if (packet.fds.size() != 1)
    throw Refusal{"bad_request", "'capture' comes with exactly one descriptor, a SOCK_SEQPACKET socket"};
  if (capture_ && !capture_->closed()) throw Refusal{"busy", "another capture is running on this node"};
  std::optional<std::uint16_t> only;
  if (const std::string peer = request.value("link", std::string()); !peer.empty()) {
    const Link* link = link_to(peer);
    if (link == nullptr) throw Refusal{"bad_request", "there is no link to a node '" + peer + "'"};
    only = link->index;
  }
  card_->set_tap(nullptr);  // of a capture that has ended
  capture_ = std::make_unique<CaptureTap>(std::move(packet.fds[0]), only,
                                          number_or(request, "snaplen", std::uint32_t{kMaxCapturedBytes}));
  card_->set_tap(capture_.get());
  Json links = Json::array();
  for (const auto& link : links_) {
    if (link) links.push_back({{"link", link->index}, {"peer", link->config.peer}});
  }
  links.push_back({{"link", loop_link_}, {"peer", config_.node.name}});
  answer(client, request.at("id"), Json{{"links", links}});
}

void Engine::request_cut(Client& client, const Json& request) {
  if (!is_admin(client)) throw Refusal{"refused", "only root and the user that slotwired runs as may cut a link"};
  Link* link = link_to(request.at("link").get<std::string>());
  if (link == nullptr) throw Refusal{"bad_request", "there is no link to that node"};
  if (link->config.carrier == LinkCarrier::tcp && link->routed) tcp_->cut(link->index);
  control_lost(*link, "cut by request");
  answer(client, request.at("id"), Json::object());
}

void Engine::forget_services(Session& session) {
  for (const std::string& service : session.services) {
    const auto found = services_.find(service);
    if (found == services_.end()) continue;
    std::erase(found->second.sessions, session.index);
    if (found->second.sessions.empty()) services_.erase(found);
  }
  session.services.clear();
}

void Engine::end_session(std::uint32_t index, std::string_view why) {
  Session& session = session_at(index);
  const SessionRecord& record = admin_->sessions()[index];
  const End end = session.said_bye ? End::closed : End::died;
  log().log(session.said_bye ? spdlog::level::debug : spdlog::level::info, "session {}: {} {} with {} connections ({})",
            record.id, who(session), session.said_bye ? "closed" : "died", session.slot_count, why);
  forget_services(session);
  const std::vector<std::uint32_t> slots = session.slots;
  for (const std::uint32_t slot : slots) {
    if (slot != kNoSlotIndex) begin_close(static_cast<std::uint16_t>(slot), end);
  }
  card_->remove_session(index);
  reactor_.remove(session.kick.get());
  if (session.process) reactor_.remove(session.process->fd());
  if (session.socket) reactor_.remove(session.socket->fd());
  std::erase_if(clients_, [&](const auto& entry) { return entry.second.session == index; });
  admin_->sessions()[index] = {};
  tell(keeper_->remove(session_tag(index)));
  sessions_[index].reset();
}

}  // namespace slotwire::engine
