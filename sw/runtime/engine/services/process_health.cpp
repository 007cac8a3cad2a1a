#include "runtime/engine/services/process_health.hpp"

#include <algorithm>
#include <iterator>
#include <vector>

namespace slotwire::engine {

using control::Health;

ProcessHealth::Asked& ProcessHealth::asked(std::uint32_t session) {
  Asked& entry = asked_[session];
  if (const std::uint64_t id = parts_.sessions.record(session).id; entry.session_id != id) {
    entry = Asked{};
    entry.session_id = id;
  }
  return entry;
}

Health ProcessHealth::of(std::uint32_t session) const {
  if (parts_.sessions.record(session).drained != 0) return Health::drained;
  const auto found = asked_.find(session);
  if (found == asked_.end() || !parts_.sessions.is(session, found->second.session_id)) return Health::well;
  return found->second.count.failing() || !found->second.ready ? Health::failing : Health::well;
}

control::ServiceHealth ProcessHealth::of_service(const std::string& service) const {
  control::ServiceHealth health{service, 0, 0};
  parts_.services.each_of(service, [&](std::uint32_t session) {
    ++health.processes;
    if (of(session) == Health::well) ++health.well;
  });
  return health;
}

void ProcessHealth::tick() {
  greet_peers();
  tell_of_others();
  const auto interval = static_cast<std::uint64_t>(parts_.config.health.interval.count());
  const std::uint64_t now = parts_.loop.now_us();
  for (auto& [index, entry] : asked_) {
    const Session* const session = parts_.sessions.find(index);
    if (session != nullptr && parts_.sessions.is(index, entry.session_id) && now - entry.told_us >= interval)
      look(*session, entry);
  }
  if (interval == 0 || now < next_us_) return;
  next_us_ = now + interval;
  for (const auto& session : parts_.sessions.all()) {
    if (session && session->channel && session->answers_probes && !parts_.services.of(session->index).empty())
      ask(*session);
  }
}

void ProcessHealth::ask(Session& session) {
  Asked& entry = asked(session.index);
  if (entry.waiting) {
    entry.count.note(false, parts_.config.health);
    return;
  }
  entry.waiting = true;
  const std::uint32_t index = session.index;
  const std::uint64_t id = entry.session_id;
  const bool sent = parts_.sessions.send(session, control::Probe{++entry.probe});
  // A process whose socket is full has not been asked; it may have been cut off for that.
  if (!sent && parts_.sessions.is(index, id)) entry.waiting = false;
}

void ProcessHealth::alive(const Session& session, const control::Alive& message) {
  Asked& entry = asked(session.index);
  entry.ready = message.ready;
  if (message.probe == 0 || message.probe != entry.probe || !entry.waiting) return;
  entry.waiting = entry.announcing = false;
  entry.count.note(true, parts_.config.health);
}

bool ProcessHealth::is_announcing(std::uint32_t session) const {
  const auto found = asked_.find(session);
  return found != asked_.end() && parts_.sessions.is(session, found->second.session_id) && found->second.announcing;
}

/// Whoever talks to the process is told when what is thought of it has changed.
void ProcessHealth::look(const Session& session, Asked& entry) {
  const Health now = of(session.index);
  if (now == entry.told) return;
  const char* why = entry.told == Health::drained ? "it is no longer drained" : "it answers";
  if (now == Health::drained) why = "by command";
  if (now == Health::failing) why = entry.count.failing() ? "it does not answer" : "it says that it is not ready";
  entry.told = now;
  entry.told_us = parts_.loop.now_us();
  entry.spoken_of = true;
  parts_.log.limited(
      "health of user " + std::to_string(parts_.sessions.record(session.index).uid),
      now == Health::failing ? spdlog::level::warn : spdlog::level::info,
      "process " + parts_.sessions.who(session.index) + " is " + std::string(control::health_name(now)) + ": " + why);
  tell_slots(session, now);
}

void ProcessHealth::drain(const control::Drain& request) {
  bool any = false;
  for (const auto& session : parts_.sessions.all()) {
    if (!session || parts_.sessions.record(session->index).pid != static_cast<std::int32_t>(request.pid)) continue;
    any = true;
    parts_.sessions.set_drained(session->index, request.on);
    look(*session, asked(session->index));
  }
  if (!any) {
    throw Refusal{"bad_request", "no process with pid " + std::to_string(request.pid) + " has a session on node '" +
                                     parts_.config.node.name + "'; 'slotwire status --sessions' lists them"};
  }
}

void ProcessHealth::on_resumed(Session& session) {
  // slotwired was restarted: what is thought anew is nothing, but for what a command said.
  look(session, asked(session.index));
  if (session.answers_probes) {
    ask(session);
    asked(session.index).announcing = asked(session.index).waiting;
  }
  for (auto& [slot, other] : others_) {
    if (parts_.slots.descriptor(slot).session == session.index) other.told = Health::well;
  }
}

/// Tells processes what has changed at the other ends of their slots.
void ProcessHealth::tell_of_others() {
  for (auto entry = others_.begin(); entry != others_.end();) {
    auto& [slot, other] = *entry;
    const bool there = parts_.slots.is_in_epoch(slot, other.epoch);
    Session* const session = !there || other.told == other.health ? nullptr : owner(slot);
    // What a peer says must not fill the socket of a process: the last that it said is enough.
    if (session != nullptr && !session->channel->waiting() &&
        parts_.sessions.send(*session, control::HealthEvent{parts_.slots.descriptor(slot).local, other.health}))
      other.told = other.health;
    const bool over = !there || (other.told == Health::well && other.health == Health::well);
    entry = over ? others_.erase(entry) : std::next(entry);
  }
}

/// A peer whose control connection is new may have missed what was said while there was none.
void ProcessHealth::greet_peers() {
  for (const auto& peer : parts_.peers.all()) {
    if (!peer || !peer->control_up) continue;
    std::uint64_t& known = control_connects_[peer->link.index];
    if (known == peer->control_connects) continue;
    known = peer->control_connects;
    for (const auto& [index, entry] : asked_) {
      const Session* const session = parts_.sessions.find(index);
      if (session != nullptr && entry.spoken_of && parts_.sessions.is(index, entry.session_id))
        tell_slots(*session, of(index), peer->link.index);
    }
  }
}

void ProcessHealth::tell_slots(const Session& session, Health health, std::optional<std::uint16_t> link) {
  const std::vector<std::uint32_t> slots = session.slots;
  for (const std::uint32_t slot : slots) {
    if (slot != kNoSlotIndex) tell_slot(static_cast<std::uint16_t>(slot), health, link);
  }
}

/// `link`: of that peer's slots alone.
void ProcessHealth::tell_slot(std::uint16_t slot, Health health, std::optional<std::uint16_t> link) {
  const SlotDescriptor& d = parts_.slots.descriptor(slot);
  if (d.acceptor == 0 || d.phase != Phase::open) return;
  if (d.pairing == Pairing::remote) {
    const std::optional<RemotePair> pair = parts_.slots.remote_pair(slot);
    if (!pair || (link && *link != pair->link)) return;
    parts_.peers.send(
        pair->link,
        control::SlotHealth{.slot = pair->peer_slot, .from_slot = slot, .epoch = pair->epoch, .health = health});
  } else if (!link && d.has_partner != 0) {
    Session* const session = owner(d.partner);
    if (session == nullptr) return;
    parts_.sessions.send(*session, control::HealthEvent{parts_.slots.descriptor(d.partner).local, health});
  }
}

void ProcessHealth::tell_new(std::uint16_t slot) {
  const std::uint32_t session = parts_.slots.descriptor(slot).session;
  if (session == kNoSession || parts_.sessions.find(session) == nullptr) return;
  if (const Health health = of(session); health != Health::well) tell_slot(slot, health, std::nullopt);
}

/// The process that has the slot; null: it is away.
Session* ProcessHealth::owner(std::uint16_t slot) {
  const SlotDescriptor& d = parts_.slots.descriptor(slot);
  Session* const session = d.session == kNoSession ? nullptr : parts_.sessions.find(d.session);
  return session != nullptr && session->channel != nullptr ? session : nullptr;
}

void ProcessHealth::on_slot_health(const Peer& peer, const control::SlotHealth& message) {
  const std::optional<std::uint16_t> slot =
      parts_.slots.find_pair(peer.link.index, message.slot, message.from_slot, message.epoch);
  if (!slot || parts_.slots.descriptor(*slot).acceptor != 0) return;
  OtherEnd& other = others_[*slot];
  if (other.epoch != message.epoch) other = OtherEnd{.epoch = message.epoch};
  other.health = message.health;  // told by the next tick
}

}  // namespace slotwire::engine
