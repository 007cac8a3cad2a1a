#include "runtime/engine/sessions/process_hub.hpp"

#include <exception>
#include <utility>

#include "runtime/control/closer.hpp"

namespace slotwire::engine {
namespace {

/// Packets of one client handled at a time, so that one process cannot keep the others waiting.
constexpr int kPacketsAtOnce = 16;

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

bool ProcessHub::has_room() {
  if (clients_.size() < config_.limits.sessions + kMaxToolClients) return true;
  log_.limited("clients", spdlog::level::warn, "a process was turned away: too many are attached (limits.sessions)");
  return false;
}

void ProcessHub::add(std::unique_ptr<control::PacketChannel> channel, PeerCredentials who) {
  const std::uint64_t id = ++last_id_;
  loop_.add(channel->fd(), EPOLLIN, [this, id](std::uint32_t events) { on_ready(id, events); });
  Client client;
  client.id = id;
  client.channel = std::move(channel);
  client.who = std::move(who);
  clients_.emplace(id, std::move(client));
}

Client* ProcessHub::find(std::uint64_t id) {
  const auto found = clients_.find(id);
  return found == clients_.end() ? nullptr : &found->second;
}

control::PacketChannel* ProcessHub::channel_of(Client& client) {
  return client.session == kNoSession ? client.channel.get() : sessions_.at(client.session).channel.get();
}

void ProcessHub::on_ready(std::uint64_t id, std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    Client* const client = find(id);
    control::PacketChannel* const channel = client == nullptr ? nullptr : channel_of(*client);
    if (channel == nullptr || !channel->flush()) return drop(id, "its control socket broke");
    if (!channel->waiting()) loop_.modify(channel->fd(), EPOLLIN);
  }
  for (int i = 0; i < kPacketsAtOnce; ++i) {
    Client* const client = find(id);
    control::PacketChannel* const channel = client == nullptr ? nullptr : channel_of(*client);
    if (channel == nullptr) return;
    control::Packet packet;
    switch (channel->receive(packet)) {
      case control::PacketChannel::Got::nothing:
        return;
      case control::PacketChannel::Got::closed:
        return drop(id, "it ended");
      case control::PacketChannel::Got::too_long:
        return drop(id, "it sent a packet longer than limits.control_message");
      case control::PacketChannel::Got::unwanted:
        return drop(id, "it sent a descriptor with a message that takes none");
      case control::PacketChannel::Got::packet:
        handle(*client, packet.text, packet.fds);
        for (slot::Fd& fd : packet.fds) control::Closer::of_process().close(std::move(fd));
    }
  }
}

/// The boundary of what a process can do: whatever is wrong with its packet is answered, and costs nobody else.
void ProcessHub::handle(Client& client, const std::string& text, std::vector<slot::Fd>& fds) {
  const std::uint64_t client_id = client.id;
  const auto decoded = control::decode_request(text);
  if (const auto* invalid = std::get_if<control::InvalidRequest>(&decoded)) {
    if (invalid->unknown && client.session == kNoSession) {
      return refuse(client_id, invalid->id, {"no_session", "send 'hello' first; and " + invalid->text});
    }
    return refuse(client_id, invalid->id, {"bad_request", invalid->text});
  }
  const auto& request = std::get<control::RequestPacket>(decoded);
  try {
    handler_.on_request(client, request, fds);
  } catch (const Refusal& refusal) {
    refuse(client_id, request.id, refusal);
  } catch (const std::exception& error) {
    log_.limited("request", spdlog::level::err, std::string("a request failed: ") + error.what());
    refuse(client_id, request.id, {"no_memory", error.what()});
  }
}

void ProcessHub::send(Client& client, const std::string& text, const std::vector<int>& fds) {
  if (client.session != kNoSession) {
    sessions_.send(sessions_.at(client.session), text, fds);
    return;
  }
  if (!client.channel->send(text, fds) || client.channel->waiting()) {
    loop_.modify(client.channel->fd(), EPOLLIN | EPOLLOUT);
  }
}

void ProcessHub::refuse(std::uint64_t client, std::uint64_t id, const Refusal& refusal) {
  log_->debug("refused: {}: {}", refusal.code, refusal.text);
  if (Client* const there = find(client)) send(*there, control::encode_refusal(id, refusal), {});
}

void ProcessHub::drop(std::uint64_t id, std::string_view why) {
  Client* const client = find(id);
  if (client == nullptr) return;
  const std::uint32_t session = client->session;
  if (control::PacketChannel* const channel = channel_of(*client)) loop_.remove(channel->fd());
  clients_.erase(id);
  if (session != kNoSession) sessions_.end(session, why);
}

void ProcessHub::forget_session(std::uint32_t session) {
  std::erase_if(clients_, [&](const auto& entry) { return entry.second.session == session; });
}

/// The client is the session's from now on. A process that ends while a child of it holds the socket is dead all the
/// same, so its end is watched for beside the socket.
void ProcessHub::join(Client& client, Session& session) {
  const std::uint64_t id = client.id;
  loop_.add(session.process->fd(), EPOLLIN, [this, id](std::uint32_t) {
    on_ready(id, EPOLLIN);  // what it said last
    drop(id, "it ended");
  });
  client.session = session.index;
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
    control::HelloAnswer said;
    said.session = sessions_.record(session.index).id;
    said.token = sessions_.token_text(session);
    said.node = config_.node.name;
    said.spin_us = static_cast<std::uint32_t>(config_.wait.spin.count());
    said.yield_us = static_cast<std::uint32_t>(config_.wait.yield.count());
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
  join(client, session);
  return session;
}

}  // namespace slotwire::engine
