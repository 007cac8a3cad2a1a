#include "runtime/engine/peers/callers.hpp"

#include <exception>
#include <utility>
#include <vector>

namespace slotwire::engine {

Callers::Callers(ControlNetwork& network, EventLoop& loop, NodeLog& log, std::uint64_t handshake_us,
                 Introduce introduce)
    : network_(network), loop_(loop), log_(log), handshake_us_(handshake_us), introduce_(std::move(introduce)) {}

Callers::~Callers() {
  for (const auto& [id, caller] : callers_) loop_.remove(caller.watched_fd);
  if (listen_fd_ >= 0) loop_.remove(listen_fd_);
}

void Callers::listen() {
  listen_fd_ = network_.fd();
  if (listen_fd_ >= 0) loop_.add(listen_fd_, EPOLLIN, [this](std::uint32_t) { accept(); });
}

void Callers::accept() {
  const std::uint64_t deadline = loop_.now_us() + handshake_us_;
  while (std::optional<ControlNetwork::Incoming> incoming = network_.accept(deadline)) {
    if (callers_.size() >= kMaxCallers) {
      log_.limited("callers", spdlog::level::warn,
                   "a control connection from " + incoming->from.to_string() +
                       " was turned away: too many have not said who they are");
      continue;
    }
    const int fd = incoming->channel->fd();
    if (fd < 0) continue;
    const std::uint64_t id = ++last_id_;
    loop_.add(fd, incoming->channel->events(), [this, id](std::uint32_t) { on_ready(id); });
    callers_.emplace(id, Caller{std::move(incoming->channel), incoming->from, deadline, fd});
  }
}

void Callers::drop(std::uint64_t id) {
  const auto found = callers_.find(id);
  loop_.remove(found->second.watched_fd);
  callers_.erase(found);
}

void Callers::turn_away(Caller& caller, const std::string& why) {
  log_.limited("turned away", spdlog::level::warn,
               "control connection from " + caller.from.to_string() + " turned away: " + why);
  caller.channel->send(control::encode_peer(control::PeerError{why}));
}

void Callers::on_ready(std::uint64_t id) {
  const auto found = callers_.find(id);
  if (found == callers_.end()) return;
  Caller& caller = found->second;
  caller.channel->drive(loop_.now_us());
  const std::optional<std::string> text = caller.channel->next();
  if (!text) {
    if (!caller.channel->closed()) return loop_.modify(caller.watched_fd, caller.channel->events());
    log_.limited("caller", spdlog::level::warn,
                 "control connection from " + caller.from.to_string() +
                     " ended before it said who it is: " + caller.channel->reason());
    return drop(id);
  }
  Caller known = std::move(caller);
  drop(id);
  const Result<control::PeerMessage> message = control::decode_peer(*text);
  if (!message.ok()) return turn_away(known, "the first message was not a hello: " + message.error().text);
  const auto* const hello = std::get_if<control::PeerHello>(&message.value());
  if (hello == nullptr) return turn_away(known, "the first message was not a hello");
  try {
    if (const std::string why = introduce_(known.channel, *hello, known.from); !why.empty()) turn_away(known, why);
  } catch (const std::exception& error) {
    log_.limited("caller", spdlog::level::err,
                 "a control connection from " + known.from.to_string() + " failed: " + error.what());
  }
}

void Callers::sweep(std::uint64_t now_us) {
  std::vector<std::uint64_t> late;
  for (const auto& [id, caller] : callers_) {
    if (now_us > caller.deadline_us) late.push_back(id);
  }
  for (const std::uint64_t id : late) {
    log_.limited("late caller", spdlog::level::warn,
                 "control connection from " + callers_.at(id).from.to_string() + " said nothing in time; closed");
    drop(id);
  }
}

}  // namespace slotwire::engine
