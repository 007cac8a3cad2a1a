#include "runtime/engine/sessions/process_hub.hpp"

#include <algorithm>
#include <exception>
#include <utility>
#include <variant>

#include "core/overloaded.hpp"
#include "runtime/engine/sessions/metered_channel.hpp"

#include "runtime/control/closer.hpp"

namespace slotwire::engine {
namespace {

/// What the requests of one client cost that are served at a time, so that one process cannot keep the others waiting.
constexpr std::uint32_t kTurn = kReportRequest;
/// Of a process that has ended: what its socket still holds.
constexpr std::uint32_t kLastWords = 64;
constexpr std::size_t kBytesForAToken = 4096;
/// Requests that waited for the keeper, tried again in one turn of the loop.
constexpr std::size_t kRetriedAtOnce = 16;
constexpr const char* kWaits = "; requests wait for it, each at most 30 s";
static_assert(kStorePatienceUs == 30'000'000);

std::uint32_t cost_of(const control::Request& request) {
  return std::visit(Overloaded{[](const control::Hello&) { return kMappingRequest; },
                               [](const control::Resume&) { return kMappingRequest; },
                               [](const control::Connect&) { return kMappingRequest; },
                               [](const control::CaptureRequest&) { return kMappingRequest; },
                               [](const control::RegionRequest&) { return kMappingRequest; },
                               [](const control::RegionsRequest&) { return kReportRequest; },
                               [](const control::AttachedRequest&) { return kMappingRequest; },
                               [](const control::BlocksRequest&) { return kMappingRequest; },
                               [](const control::StatusRequest&) { return kReportRequest; },
                               [](const control::SlotsRequest&) { return kReportRequest; },
                               [](const control::SessionsRequest&) { return kReportRequest; },
                               [](const control::FiguresRequest&) { return kReportRequest; },
                               [](const control::InspectionsRequest&) { return kReportRequest; },
                               [](const auto&) { return kCheapRequest; }},
                    request);
}

void check_version(std::int64_t version) {
  if (version == control::kProcessVersion) return;
  throw Refusal{"version", "this slotwired (" SLOTWIRE_VERSION ") speaks version " +
                               std::to_string(control::kProcessVersion) +
                               " of the control protocol, the process speaks " + std::to_string(version) +
                               "; install the same release for both"};
}

}  // namespace

ProcessHub::~ProcessHub() {
  for (auto& [id, client] : clients_) {
    if (client.channel) loop_.remove(client.channel->fd());
  }
}

void ProcessHub::add(std::unique_ptr<control::PacketChannel> channel, PeerCredentials who) {
  const std::uint64_t now = loop_.now_us();
  users().spend(who.uid, kCheapRequest, now);
  if (const auto refusal = users().forbids(who.uid, Resource::tool_connections)) {
    ++users().counters().turned_away;
    log_.limited("clients", spdlog::level::warn,
                 "process " + std::to_string(who.pid) + " was turned away: " + refusal->text);
    channel->send(control::encode_refusal(0, *refusal), {});
    return;
  }
  const std::uint64_t id = ++last_id_;
  Client client;
  client.id = id;
  client.channel =
      std::make_unique<MeteredChannel>(std::move(channel), users(), who.uid, config_.limits.unread_per_client);
  client.charge = UserAccounts::Charge(users(), who.uid, Resource::tool_connections);
  client.who = std::move(who);
  client.silent_since_us = now;
  try {
    loop_.add(client.channel->fd(), EPOLLIN, [this, id](std::uint32_t events) { on_ready(id, events); });
  } catch (const std::exception& error) {
    log_.limited("clients", spdlog::level::err, std::string("a process was turned away: ") + error.what());
    return;
  }
  clients_.emplace(id, std::move(client));
}

void ProcessHub::tick() {
  refuse_late();
  const auto patience = static_cast<std::uint64_t>(config_.limits.handshake.count());
  std::vector<std::pair<std::uint64_t, std::string_view>> late;
  for (auto& [id, client] : clients_) {
    if (client.session != kNoSession || loop_.now_us() - client.silent_since_us <= patience) continue;
    if (!client.asked && !client.paused) late.emplace_back(id, "it said nothing for limits.handshake");
    if (client.channel->waiting()) late.emplace_back(id, "it did not take its answers for limits.handshake");
  }
  for (const auto& [id, why] : late) {
    ++users().counters().cut_off;
    if (const Client* const client = find(id)) {
      log_.limited("cut off", spdlog::level::warn, "process " + name_of(*client) + " is cut off: " + std::string(why));
    }
    drop(id, why);
  }
}

std::string ProcessHub::name_of(const Client& client) const {
  if (client.session != kNoSession) return sessions_.who(client.session);
  return "without a session (pid " + std::to_string(client.who.pid) + ")";
}

Client* ProcessHub::find(std::uint64_t id) {
  const auto found = clients_.find(id);
  return found == clients_.end() ? nullptr : &found->second;
}

control::PacketChannel* ProcessHub::channel_of(Client& client) {
  return client.session == kNoSession ? client.channel.get() : sessions_.at(client.session).channel.get();
}

/// Whatever goes wrong with one client costs that client alone.
void ProcessHub::on_ready(std::uint64_t id, std::uint32_t events) {
  try {
    serve(id, events);
  } catch (const std::exception& error) {
    drop(id, std::string("it cannot be served: ") + error.what());
  }
}

void ProcessHub::serve(std::uint64_t id, std::uint32_t events) {
  Client* const client = find(id);
  control::PacketChannel* const channel = client == nullptr ? nullptr : channel_of(*client);
  if (channel == nullptr) return;
  if (!channel->given_up().empty()) {
    ++users().counters().cut_off;
    const std::string why(channel->given_up());
    log_.limited("cut off", spdlog::level::warn, "process " + name_of(*client) + " is cut off: " + why);
    return drop(id, why);
  }
  if ((events & EPOLLOUT) != 0) {
    if (!channel->flush()) return drop(id, "its control socket broke");
    client->silent_since_us = loop_.now_us();
    if (!channel->waiting()) loop_.modify(channel->fd(), EPOLLIN);
  } else if (channel->waiting() && (events & (EPOLLHUP | EPOLLERR)) != 0) {
    return drop(id, "it ended");
  }
  if (!client->put_off) take_packets(id, kTurn, Turn::paid);
}

void ProcessHub::take_packets(std::uint64_t id, std::uint32_t tokens, Turn turn) {
  for (std::uint32_t spent = 0; spent < tokens;) {
    Client* const client = find(id);
    control::PacketChannel* const channel = client == nullptr ? nullptr : channel_of(*client);
    if (channel == nullptr) return;
    const uid_t uid = client->who.uid;
    if (turn != Turn::last_words && channel->waiting()) return;  // first its answers
    if (turn == Turn::paid && users().wait_us(uid, loop_.now_us()) != 0) return put_off(*client);
    control::Packet packet;
    const std::optional<Client::Waiting> waited = std::exchange(client->waiting, std::nullopt);
    if (waited) packet = {waited->text, {}};
    switch (waited ? control::PacketChannel::Got::packet : channel->receive(packet)) {
      case control::PacketChannel::Got::nothing:
        return;
      case control::PacketChannel::Got::closed:
        return drop(id, channel->given_up().empty() ? "it ended" : std::string(channel->given_up()));
      case control::PacketChannel::Got::too_long:
        return drop(id, "it sent a packet longer than limits.control_message");
      case control::PacketChannel::Got::lost_descriptors:
        return drop(id, "it sent more than " + std::to_string(control::kMaxPacketFds) +
                            " descriptors at once, or slotwired may open no more files");
      case control::PacketChannel::Got::unwanted:
        return drop(id, "it sent a descriptor with a message that takes none");
      case control::PacketChannel::Got::packet: {
        client->asked = true;
        paid_turn_ = paid_turn_ || turn == Turn::paid;
        const std::uint64_t begin_us = loop_.used_us();
        const auto size = static_cast<std::uint32_t>(packet.text.size() / kBytesForAToken);
        const std::uint32_t nominal = handle(*client, packet.text, packet.fds, waited ? waited->since_us : 0) + size;
        for (slot::Fd& fd : packet.fds) control::Closer::of_process().close(std::move(fd));
        const std::uint32_t cost = std::max(nominal, cost_since(begin_us));
        users().spend(uid, cost, loop_.now_us());
        spent += cost;
        // The requests behind one that waits keep their order.
        if (const Client* const still = find(id); still != nullptr && still->waiting) return;
      }
    }
  }
}

/// Its requests stay in its socket until all clients that are ready and whose users have tokens were served. It stays
/// watched, which costs less than to watch it anew.
void ProcessHub::put_off(Client& client) {
  if (client.put_off) return;
  client.put_off = true;
  put_off_.push_back(client.id);
  if (put_off_.size() == 1) loop_.after(0, [this] { serve_put_off(); });
}

/// One client of each user has a turn, if nobody with tokens asked for anything since the last time; the others wait
/// for the next turn of the loop. Everybody has tokens for limits.requests_per_user, so nobody waits for ever.
void ProcessHub::serve_put_off() {
  if (std::exchange(paid_turn_, false)) {
    ++users().counters().delayed;
    loop_.after(0, [this] { serve_put_off(); });
    return;
  }
  std::vector<uid_t> had_turn;
  for (const std::uint64_t id : std::exchange(put_off_, {})) {
    Client* const client = find(id);
    if (client == nullptr) continue;
    const uid_t uid = client->who.uid;
    if (std::find(had_turn.begin(), had_turn.end(), uid) != had_turn.end()) {
      ++users().counters().delayed;
      put_off_.push_back(id);
      continue;
    }
    had_turn.push_back(uid);
    client->put_off = false;
    try {
      take_packets(id, kTurn, Turn::put_off);
    } catch (const std::exception& error) {
      drop(id, std::string("it cannot be served: ") + error.what());
    }
  }
  if (!put_off_.empty()) loop_.after(0, [this] { serve_put_off(); });
}

void ProcessHub::go_on(std::uint64_t id) {
  Client* const client = find(id);
  if (client == nullptr) return;
  client->paused = false;
  client->silent_since_us = loop_.now_us();
  control::PacketChannel* const channel = channel_of(*client);
  try {
    loop_.add(channel->fd(), channel->waiting() ? EPOLLOUT : EPOLLIN,
              [this, id](std::uint32_t events) { on_ready(id, events); });
  } catch (const std::exception& error) {
    return drop(id, std::string("it cannot be watched: ") + error.what());
  }
  if (client->waiting) on_ready(id, 0);
}

/// The request is tried again when the keeper has answered; what its client sends meanwhile stays in its socket.
void ProcessHub::wait_for_store(std::uint64_t id, Client::Waiting request) {
  Client* const client = find(id);
  if (client == nullptr) return;
  if (request.since_us == 0) request.since_us = loop_.now_us();
  client->waiting = std::move(request);
  client->paused = true;
  loop_.remove(channel_of(*client)->fd());
  for_store_.push_back(id);
}

void ProcessHub::on_store_ready() {
  const std::size_t count = std::min(for_store_.size(), kRetriedAtOnce);
  const std::vector<std::uint64_t> now(for_store_.begin(), for_store_.begin() + static_cast<std::ptrdiff_t>(count));
  for_store_.erase(for_store_.begin(), for_store_.begin() + static_cast<std::ptrdiff_t>(count));
  const std::size_t left = for_store_.size();
  for (const std::uint64_t id : now) go_on(id);
  // One that waits again says that the keeper is late again, and that this is called once more.
  if (left != 0 && for_store_.size() == left) loop_.after(0, [this] { on_store_ready(); });
}

void ProcessHub::refuse_late() {
  for (const std::uint64_t id : std::vector<std::uint64_t>(for_store_)) {
    Client* const client = find(id);
    if (client == nullptr || !client->waiting) continue;
    const std::uint64_t waits_us = loop_.now_us() - client->waiting->since_us;
    if (waits_us > kStoreSlowUs) log_.limited("keeper", spdlog::level::warn, client->waiting->why + kWaits);
    if (waits_us <= kStorePatienceUs) continue;
    const Client::Waiting late = *std::exchange(client->waiting, std::nullopt);
    std::erase(for_store_, id);
    refuse(id, late.request_id,
           {"busy", late.why + "; this request has waited for it for " + std::to_string(kStorePatienceUs / 1'000'000) +
                        " s. Try again, or look at that process"});
    go_on(id);
  }
}

/// The boundary of what a process can do: whatever is wrong with its packet is answered, and costs nobody else.
std::uint32_t ProcessHub::handle(Client& client, const std::string& text, std::vector<slot::Fd>& fds,
                                 std::uint64_t since_us) {
  const std::uint64_t client_id = client.id;
  const auto decoded = control::decode_request(text);
  if (const auto* invalid = std::get_if<control::InvalidRequest>(&decoded)) {
    if (invalid->unknown && client.session == kNoSession) {
      refuse(client_id, invalid->id, {"no_session", "send 'hello' first; and " + invalid->text});
    } else {
      refuse(client_id, invalid->id, {"bad_request", invalid->text});
    }
    return kInvalidRequest;
  }
  const auto& request = std::get<control::RequestPacket>(decoded);
  try {
    handler_.on_request(client, request, fds);
  } catch (const StoreLate& late) {
    wait_for_store(client_id, {text, since_us, request.id, late.text});
  } catch (const Refusal& refusal) {
    refuse(client_id, request.id, refusal);
  } catch (const std::exception& error) {
    log_.limited("request", spdlog::level::err, std::string("a request failed: ") + error.what());
    refuse(client_id, request.id, {"no_memory", error.what()});
  }
  return cost_of(request.request);
}

void ProcessHub::send(Client& client, const std::string& text, const std::vector<int>& fds) {
  if (client.session != kNoSession) {
    sessions_.send(sessions_.at(client.session), text, fds);
    return;
  }
  client.channel->send(text, fds);
  if (client.channel->waiting()) {
    client.silent_since_us = loop_.now_us();
    loop_.modify(client.channel->fd(), EPOLLOUT);
  }
}

void ProcessHub::refuse(std::uint64_t client, std::uint64_t id, const Refusal& refusal) {
  log_.limited("refused", spdlog::level::debug, "refused: " + refusal.code + ": " + refusal.text);
  if (Client* const there = find(client)) send(*there, control::encode_refusal(id, refusal), {});
}

void ProcessHub::drop(std::uint64_t id, std::string_view why) {
  Client* const client = find(id);
  if (client == nullptr) return;
  const std::uint32_t session = client->session;
  const uid_t uid = client->who.uid;
  const std::uint64_t begin_us = loop_.used_us();
  if (control::PacketChannel* const channel = channel_of(*client)) loop_.remove(channel->fd());
  clients_.erase(id);
  if (session != kNoSession) sessions_.end(session, why);
  users().spend(uid, cost_since(begin_us), loop_.now_us());
}

std::uint32_t ProcessHub::cost_since(std::uint64_t since_us) const {
  return static_cast<std::uint32_t>((loop_.used_us() - since_us) / kTokenUs);
}

void ProcessHub::forget_session(std::uint32_t session) {
  std::erase_if(clients_, [&](const auto& entry) { return entry.second.session == session; });
}

/// The client is the session's from now on. A process that ends while a child of it holds the socket is dead all the
/// same, so its end is watched for beside the socket.
void ProcessHub::join(Client& client, Session& session) {
  const std::uint64_t id = client.id;
  loop_.add(session.process->fd(), EPOLLIN, [this, id](std::uint32_t) {
    try {
      take_packets(id, kLastWords, Turn::last_words);
    } catch (const std::exception& error) {
      log_.limited("request", spdlog::level::err, std::string("the last of a process failed: ") + error.what());
    }
    drop(id, "it ended");
  });
  client.session = session.index;
  client.charge.release();
  client.who.pidfd.reset();  // the session watches its process by one of its own
  sessions_.attach(session, std::move(client.channel), client.who.gids);
}

void ProcessHub::hello(Client& client, std::uint64_t request_id, const control::Hello& request) {
  if (client.session != kNoSession) throw Refusal{"bad_request", "this socket has a session already"};
  check_version(request.version);
  if (request_id == 0) throw Refusal{"bad_request", "in 'hello': 'id' is missing"};
  Session& session = sessions_.open(client.who, request.name);
  try {
    const slot::Fd polled = slot::read_only_copy(session.polled_file);
    join(client, session);
    session.answers_probes = request.probes;
    session.keeps_spares = request.spares;
    control::HelloAnswer said;
    said.session = sessions_.record(session.index).id;
    said.token = sessions_.token_text(session);
    said.node = config_.node.name;
    said.spin_us = static_cast<std::uint32_t>(config_.wait.spin.count());
    said.yield_us = static_cast<std::uint32_t>(config_.wait.yield.count());
    if (request.spares) said.spare_slots = config_.limits.spare_slots;
    answer(client, request_id, said, {session.bell_file.get(), polled.get(), session.kick.get()});
  } catch (const std::exception&) {
    if (client.session == kNoSession) sessions_.end(session.index, "it could not be watched");
    throw;
  }
}

Session& ProcessHub::resume(Client& client, const control::Resume& request) {
  if (client.session != kNoSession) throw Refusal{"bad_request", "this socket has a session already"};
  check_version(request.version);
  Session& session = sessions_.resume(client.who, request.session, request.token);
  try {
    join(client, session);
    session.answers_probes = request.probes;
    session.keeps_spares = request.spares;
  } catch (const std::exception&) {
    sessions_.end(session.index, "it could not be watched");  // nobody would see its end
    throw;
  }
  return session;
}

}  // namespace slotwire::engine
