#include "runtime/engine/services/connector.hpp"

#include <algorithm>
#include <bit>
#include <exception>
#include <utility>
#include <vector>

#include "runtime/engine/config/config_values.hpp"

namespace slotwire::engine {
namespace {

/// Longest wait that a connect may ask for.
constexpr std::int64_t kMaxConnectMs = 3'600'000;
/// How long processes of an earlier life may take to come back.
constexpr std::uint64_t kComeBackUs = 5'000'000;
/// A ring for bulk data is at most this part of what its session may still take.
constexpr std::uint64_t kBulkParts = 256;

const std::string& checked_name(const std::string& service) {
  if (!valid_service_name(service)) {
    throw Refusal{"bad_request", "a service's name has 1 to 63 of A-Z a-z 0-9 . _ / -; this one has not"};
  }
  return service;
}

control::Connect not_bulk(control::Connect request) {
  request.bulk = false;
  return request;
}

control::ProcessInfo process_info(const SessionRecord& record) {
  return {std::string(get_name(record.name)), static_cast<std::uint32_t>(record.pid), record.uid};
}

}  // namespace

Connector::Connector(ConnectorParts parts)
    : parts_(parts), inspections_(parts.config.limits.services), started_us_(parts.loop.now_us()) {
  parts_.slots.on_abandoned([this](std::uint16_t slot, End end) { abandoned(slot, end); });
}

void Connector::serve(Session& session, const control::Serve& request) {
  const std::string& service = checked_name(request.service);
  const Decision decision = parts_.policy.may_serve(parts_.sessions.record(session.index).uid, session.gids, service);
  if (!decision.allowed) throw Refusal{"refused", decision.reason};
  parts_.services.serve(session.index, parts_.sessions.record(session.index).uid, service,
                        parts_.sessions.who(session.index));
}

void Connector::unserve(Session& session, const control::Unserve& request) {
  parts_.services.unserve(session.index, checked_name(request.service));
}

/// A process that serves it here, in turn; processes that have not come back after a restart, or are drained, are left
/// out.
Session* Connector::serving(const std::string& service, Search search) {
  const auto may = [&](std::uint32_t index) {
    Session* const session = parts_.sessions.find(index);
    if (session == nullptr || session->channel == nullptr) return false;
    const control::Health health = parts_.health.of(index);
    return health == control::Health::well || (search == Search::any && health != control::Health::drained);
  };
  const std::optional<std::uint32_t> index = parts_.services.next(service, may);
  return index ? parts_.sessions.find(*index) : nullptr;
}

Session* Connector::serving(const std::string& service) {
  Session* const well = serving(service, Search::well);
  return well != nullptr ? well : serving(service, Search::any);
}

Refusal Connector::nobody_serves(const std::string& service) const {
  const std::string& own = parts_.config.node.name;
  const std::uint32_t processes = parts_.health.of_service(service).processes;
  if (processes == 0) return {"no_service", "no process on node '" + own + "' serves '" + service + "'"};
  return {"no_service", "no process on node '" + own + "' takes connections to '" + service + "': of " +
                            std::to_string(processes) + " none is attached or all are drained (slotwire drain)"};
}

/// Was this engine restarted so lately that processes may serve what they have not told again yet?
bool Connector::coming_back() const {
  if (!parts_.recovered || parts_.loop.now_us() - started_us_ >= kComeBackUs) return false;
  const auto all = parts_.sessions.all();
  return std::any_of(all.begin(), all.end(), [&](const auto& session) {
    return session && (!session->channel || parts_.health.is_announcing(session->index));
  });
}

Refusal Connector::still_coming_back() const {
  return {"restarting", "slotwired of node '" + parts_.config.node.name +
                            "' was restarted and not all of its processes are back; try again in a moment"};
}

/// Order of the smallest ring that holds `bytes`; 0 bytes: the default.
unsigned Connector::ring_order(std::uint64_t bytes) const {
  const MemoryConfig& memory = parts_.config.memory;
  if (bytes == 0) bytes = memory.ring;
  if (bytes > memory.max_ring) {
    throw Refusal{"bad_request", "a ring of " + std::to_string(bytes) + " bytes is more than memory.max_ring allows (" +
                                     std::to_string(memory.max_ring) + ")"};
  }
  const std::uint64_t lines = std::max<std::uint64_t>(bytes / regs::kLineBytes, regs::kPageBytes / regs::kLineBytes);
  return static_cast<unsigned>(std::bit_width(std::bit_ceil(lines)) - 1);
}

/// A ring for bulk data: a part of what the session may still take, so that the first get the largest rings and many
/// find room; never smaller than the default.
std::uint64_t Connector::bulk_bytes(const Session& session) const {
  const MemoryConfig& memory = parts_.config.memory;
  const std::uint64_t quota = parts_.config.limits.memory_per_session;
  const std::uint64_t left = quota > session.memory ? quota - session.memory : 0;
  const uid_t uid = parts_.sessions.record(session.index).uid;
  const std::uint64_t part = std::min(left, parts_.sessions.users().room(uid, Resource::memory)) / kBulkParts;
  return std::max(memory.ring, std::bit_floor(std::min(part, memory.bulk_ring)));
}

Connector::Rings Connector::rings_for(const Session& session, const control::Connect& request) const {
  const std::uint64_t bytes = request.bulk ? bulk_bytes(session) : parts_.config.memory.ring;
  const bool larger = bytes > parts_.config.memory.ring && (request.in_bytes == 0 || request.out_bytes == 0);
  return {ring_order(request.in_bytes == 0 ? bytes : request.in_bytes),
          ring_order(request.out_bytes == 0 ? bytes : request.out_bytes), larger};
}

bool Connector::lacks_memory(const Refusal& refusal, const Rings& rings) {
  return rings.larger && (refusal.code == "quota" || refusal.code == "no_memory" || refusal.code == "bad_request");
}

void Connector::connect(Session& session, std::uint64_t request_id, const control::Connect& request) {
  const std::string& service = checked_name(request.service);
  const Rings rings = rings_for(session, request);
  const Decision decision = parts_.policy.may_connect(parts_.sessions.record(session.index).uid, session.gids, service);
  if (!decision.allowed) throw Refusal{"refused", decision.reason};
  Whereabouts where;
  parts_.directory.lookup(service, [&](const Whereabouts& answer) { where = answer; });
  parts_.node_health.use(service, where.nodes);
  const auto here = [&](Search search) {
    Session* const to = search == Search::well ? serving(service, search) : serving(service);
    if (to == nullptr) return false;
    try {
      connect_here(session, *to, request_id, service, rings, decision.isolation);
    } catch (const Refusal& refusal) {
      if (!lacks_memory(refusal, rings)) throw;
      connect_here(session, *to, request_id, service, rings_for(session, not_bulk(request)), decision.isolation);
    }
    return true;
  };
  const std::string& own = parts_.config.node.name;
  const bool spread = where.spread && !where.nodes.empty();
  if (!spread && here(where.nodes.empty() ? Search::any : Search::well)) return;
  if (spread) {
    const std::size_t turn = turns_[service]++ % where.nodes.size();
    std::rotate(where.nodes.begin(), where.nodes.begin() + static_cast<std::ptrdiff_t>(turn), where.nodes.end());
  }
  std::string down;
  const Peer* failing = nullptr;
  try {
    for (const std::string& node : where.nodes) {
      if (node == own) {
        if (spread && here(Search::well)) return;
        continue;
      }
      const Peer* const peer = parts_.peers.find(node);
      if (peer != nullptr && peer->usable()) {
        if (parts_.node_health.is_failing(service, node)) {
          if (failing == nullptr) failing = peer;
          continue;
        }
        return connect_there(session, *peer, request_id, request, rings);
      }
      down += down.empty() ? "" : "; ";
      down += peer == nullptr ? "there is no [[link]] to node '" + node + "'"
                              : "the link to node '" + node + "' is down: " + peer->reason;
    }
    // Nobody is well: whoever there is.
    if (here(Search::any)) return;
    if (failing != nullptr) return connect_there(session, *failing, request_id, request, rings);
  } catch (const StoreLate&) {
    if (spread) --turns_[service];  // it is tried again, so its turn is still to come
    throw;
  }
  if (!down.empty()) throw Refusal{"link_down", down};
  if (coming_back()) throw still_coming_back();
  if (where.nodes.empty() && parts_.health.of_service(service).processes == 0) {
    throw Refusal{"no_service", "no process here serves '" + service +
                                    "', and no [[service]] in the configuration of node '" + own +
                                    "' names a node for it"};
  }
  throw nobody_serves(service);
}

void Connector::connect_here(Session& from, Session& to, std::uint64_t request_id, const std::string& service,
                             const Rings& rings, Isolation isolation) {
  const Pairing pairing = isolation == Isolation::strict ? Pairing::strict : Pairing::direct;
  const auto [a, b] = parts_.slots.open_pair({.session = from.index,
                                              .link = std::nullopt,
                                              .in_order = rings.in,
                                              .out_order = rings.out,
                                              .pairing = pairing,
                                              .service = service,
                                              .acceptor = false},
                                             {.session = to.index,
                                              .link = std::nullopt,
                                              .in_order = rings.out,
                                              .out_order = rings.in,
                                              .pairing = pairing,
                                              .service = service,
                                              .acceptor = true,
                                              .payer = parts_.sessions.record(from.index).uid});
  parts_.slots.pair_here(a, b, pairing);
  // Both before anybody is told: what is to be fetched from the keeper may be late.
  std::optional<Parcel> for_to;
  std::optional<Parcel> for_from;
  try {
    for_to = pack(b);
    for_from = pack(a);
  } catch (const StoreLate&) {
    parts_.slots.discard_pair(a, b);
    throw;
  }
  const control::Event accepted = control::Accepted{accepted_slot(b)};
  if (!for_to || !parts_.sessions.send(to, control::encode_event(accepted), for_to->fds)) {
    parts_.slots.discard_pair(a, b);
    throw Refusal{"busy", parts_.sessions.who(to.index) + " serves '" + service +
                              "' but does not take connections (its control socket is full)"};
  }
  // A process that cannot be told of its slot does not have it.
  if (for_from && parts_.sessions.send(from, control::encode_answer(request_id, parts_.slots.info(a)), for_from->fds)) {
    parts_.health.tell_new(b);
  } else {
    parts_.slots.begin_close(a, End::died);
    throw Refusal{"busy", "the control socket of this process is full, so it cannot be handed the connection"};
  }
}

/// A slot as the process that serves the service is told of it.
control::SlotInfo Connector::accepted_slot(std::uint16_t slot) {
  control::SlotInfo info = parts_.slots.info(slot);
  parts_.directory.lookup(info.service, [&](const Whereabouts& where) {
    if (where.inspect == inspect::Language::none) return;
    info.inspect = inspect::name_of(where.inspect);
    info.inspect_refuses = where.inspect_refuses;
  });
  return info;
}

void Connector::inspected(const Session& session, const control::Inspected& found) {
  const auto serves = [&](std::uint32_t slot) {
    if (slot == kNoSlotIndex) return false;
    const SlotDescriptor& d = parts_.slots.descriptor(static_cast<std::uint16_t>(slot));
    return d.acceptor != 0 && get_name(d.service) == found.service;
  };
  // A process that serves it no more may have connections that go on.
  if (!parts_.services.of(session.index).contains(found.service) &&
      std::none_of(session.slots.begin(), session.slots.end(), serves)) {
    throw Refusal{"bad_request", "in 'inspected': this process does not serve that service"};
  }
  // The configuration says what is counted, so a process can neither fill the table nor invent what stands in it.
  inspect::Language configured = inspect::Language::none;
  parts_.directory.lookup(found.service, [&](const Whereabouts& where) { configured = where.inspect; });
  if (configured == inspect::Language::none || inspect::language_of(found.language) != configured) {
    throw Refusal{"bad_request", "in 'inspected': service '" + printable(found.service) +
                                     "' is not inspected for that 'language' (inspect of [[service]])"};
  }
  const bool labels_fit = std::all_of(found.labels.begin(), found.labels.end(), [&](const auto& label) {
    return inspect::is_request_label(configured, label.label);
  });
  if (!labels_fit) throw Refusal{"bad_request", "in 'inspected': a label that '" + found.language + "' does not have"};
  inspections_.add(found);
}

/// None: there are no descriptors left to make those from that a process gets. Throws StoreLate.
std::optional<Connector::Parcel> Connector::pack(std::uint16_t slot) {
  try {
    Parcel parcel;
    parcel.fds = parts_.slots.descriptors(slot, parcel.temporary);
    return parcel;
  } catch (const std::exception& error) {
    parts_.log.limited("descriptors", spdlog::level::err,
                       "the descriptors of slot " + std::to_string(slot) + " cannot be handed out: " + error.what());
    return std::nullopt;
  }
}

/// Sends a packet with a slot's descriptors, which it has from its opening and does not fetch. False: the process does
/// not read, has ended, or there are no descriptors.
bool Connector::deliver(Session& session, const std::string& text, std::uint16_t slot) {
  try {
    const std::optional<Parcel> parcel = pack(slot);
    return parcel && parts_.sessions.send(session, text, parcel->fds);
  } catch (const StoreLate&) {
    return false;
  }
}

void Connector::connect_there(Session& from, const Peer& peer, std::uint64_t request_id,
                              const control::Connect& request, const Rings& rings) {
  if (opens_.size() + late_opens_.size() >= parts_.config.limits.pending_opens) throw all_are_pending();
  const uid_t uid = parts_.sessions.record(from.index).uid;
  parts_.sessions.users().check(uid, Resource::pending_opens);
  parts_.accounts.check(peer.name(), PeerResource::pending_opens);
  const std::uint16_t slot = parts_.slots.open({.session = from.index,
                                                .link = peer.link.index,
                                                .in_order = rings.in,
                                                .out_order = rings.out,
                                                .pairing = Pairing::remote,
                                                .service = request.service,
                                                .acceptor = false});
  const SessionRecord& record = parts_.sessions.record(from.index);
  const std::uint64_t id = ++last_id_;
  const auto wait_ms = std::clamp<std::int64_t>(request.timeout_ms, 1, kMaxConnectMs);
  PendingOpen open;
  open.session = from.index;
  open.session_id = record.id;
  open.request_id = request_id;
  open.slot = slot;
  open.link = peer.link.index;
  open.epoch = parts_.slots.random_epoch();
  open.first = parts_.slots.random_positions();
  open.request = request;
  open.rings = rings;
  const std::uint64_t wait_us = static_cast<std::uint64_t>(wait_ms) * 1000;
  open.deadline_us = parts_.loop.now_us() + wait_us;
  open.timer = parts_.loop.after(wait_us, [this, id] { late(id); });
  open.charge = UserAccounts::Charge(parts_.sessions.users(), uid, Resource::pending_opens);
  open.peer_charge = PeerAccounts::OpenCharge(parts_.accounts, peer.name());
  const std::uint16_t epoch = open.epoch;
  const FirstPositions first = open.first;
  opens_.emplace(id, std::move(open));
  parts_.peers.send(peer.link.index, control::Open{.id = id,
                                                   .service = request.service,
                                                   .slot = slot,
                                                   .epoch = epoch,
                                                   .in_order = static_cast<std::uint8_t>(rings.in),
                                                   .out_order = static_cast<std::uint8_t>(rings.out),
                                                   .in_first = first.in,
                                                   .out_first = first.out,
                                                   .from = process_info(record)});
}

/// The peer may open its end yet: it is told to drop it.
void Connector::tell_peer_closed(const PendingOpen& open, End reason) {
  parts_.peers.send(
      open.link,
      control::PeerClose{
          .slot = control::PeerClose::kUnknownSlot, .from_slot = open.slot, .epoch = open.epoch, .reason = reason});
}

/// Frees the slot of a connect that came to nothing, and tells its process if that is still there.
void Connector::refuse(const PendingOpen& open, const Refusal& refusal) {
  if (parts_.slots.is_opening(open.slot)) parts_.slots.discard(open.slot);
  if (!parts_.sessions.is(open.session, open.session_id)) return;
  parts_.sessions.send(parts_.sessions.at(open.session), control::encode_refusal(open.request_id, refusal));
}

/// The peer may have answered before it learns that nobody waits any more. Its answers come in their connection's
/// order, and each open is answered once, so nothing else comes late.
void Connector::remember_given_up(std::uint64_t id, std::uint16_t link) {
  given_up_[id] = link;
  if (given_up_.size() <= parts_.config.limits.pending_opens) return;
  forgotten_id_ = std::max(forgotten_id_, given_up_.begin()->first);
  given_up_.erase(given_up_.begin());
}

void Connector::late(std::uint64_t id) {
  const auto found = opens_.find(id);
  if (found == opens_.end()) return;
  const PendingOpen open = std::move(found->second);
  opens_.erase(found);
  remember_given_up(id, open.link);
  tell_peer_closed(open, End::closed);
  const Peer* const peer = parts_.peers.at(open.link);
  refuse(open, {"timed_out", "node '" + (peer == nullptr ? std::string() : peer->name()) + "' did not open '" +
                                 open.request.service + "' in time"});
}

void Connector::abandoned(std::uint16_t slot, End end) {
  const auto found =
      std::find_if(opens_.begin(), opens_.end(), [&](const auto& entry) { return entry.second.slot == slot; });
  if (found == opens_.end()) return;
  const PendingOpen open = std::move(found->second);
  remember_given_up(found->first, open.link);
  opens_.erase(found);
  parts_.loop.cancel(open.timer);
  tell_peer_closed(open, end);
}

void Connector::on_peer_lost(const Peer& peer, const std::string& text) {
  parts_.node_health.on_peer_lost(peer);
  std::erase_if(given_up_, [&](const auto& entry) { return entry.second == peer.link.index; });
  std::vector<std::uint64_t> failed;
  for (const auto& [id, open] : opens_) {
    if (open.link == peer.link.index) failed.push_back(id);
  }
  std::erase_if(late_opens_, [&](const LateOpen& open) { return open.link == peer.link.index; });
  for (const std::uint64_t id : failed) {
    const PendingOpen open = std::move(opens_.at(id));
    opens_.erase(id);
    parts_.loop.cancel(open.timer);
    refuse(open, {"link_down", text});
  }
}

void Connector::on_open(const Peer& peer, const control::Open& message) {
  try {
    parts_.accounts.spend_open(peer.name(), parts_.loop.now_us());
  } catch (const Refusal& refusal) {
    return refuse_open(peer, message, refusal);
  }
  open_for(peer, message, parts_.loop.now_us());
}

Refusal Connector::all_are_pending() const {
  return {"busy", std::to_string(opens_.size() + late_opens_.size()) +
                      " connections are being opened already (limits.pending_opens of node '" +
                      parts_.config.node.name + "'); try again in a moment"};
}

/// `since_us`: when it was first tried.
void Connector::open_for(const Peer& peer, const control::Open& message, std::uint64_t since_us) {
  try {
    accept(peer, message);
  } catch (const StoreLate& late) {
    wait_for_store(peer, message, since_us, late);
  } catch (const Refusal& refusal) {
    refuse_open(peer, message, refusal);
  }
}

void Connector::wait_for_store(const Peer& peer, const control::Open& message, std::uint64_t since_us,
                               const StoreLate& late) {
  if (parts_.loop.now_us() - since_us > kStorePatienceUs) return refuse_open(peer, message, late);
  if (opens_.size() + late_opens_.size() >= parts_.config.limits.pending_opens)
    return refuse_open(peer, message, all_are_pending());
  try {
    parts_.accounts.check(peer.name(), PeerResource::pending_opens);
  } catch (const Refusal& refusal) {
    return refuse_open(peer, message, refusal);
  }
  late_opens_.push_back({peer.link.index, message, since_us, late.text, {parts_.accounts, peer.name()}});
}

void Connector::refuse_open(const Peer& peer, const control::Open& message, const Refusal& refusal) {
  parts_.log.limited(
      "refused " + message.service, spdlog::level::info,
      "a connection from node '" + peer.name() + "' to '" + message.service + "' was refused: " + refusal.text);
  parts_.peers.send(peer.link.index, control::Refused{.id = message.id, .code = refusal.code, .text = refusal.text});
}

void Connector::on_store_ready() {
  for (LateOpen& open : std::exchange(late_opens_, {})) {
    open.charge.release();  // it may have to wait again, and is counted anew then
    if (const Peer* const peer = parts_.peers.at(open.link)) open_for(*peer, open.message, open.since_us);
  }
}

void Connector::tick() {
  if (late_opens_.empty()) return;
  const LateOpen& oldest = late_opens_.front();
  const std::uint64_t waits_us = parts_.loop.now_us() - oldest.since_us;
  if (waits_us > kStoreSlowUs) {
    parts_.log.limited("keeper", spdlog::level::warn,
                       oldest.why + "; connections of other nodes wait for it, each at most " +
                           std::to_string(kStorePatienceUs / 1'000'000) + " s");
  }
  if (waits_us <= kStorePatienceUs) return;
  on_store_ready();  // those that are too old are refused
}

/// The other node has given an open up that may be waiting here.
void Connector::on_given_up(const Peer& peer, const control::PeerClose& close) {
  std::erase_if(late_opens_, [&](const LateOpen& open) {
    return open.link == peer.link.index && open.message.slot == close.from_slot && open.message.epoch == close.epoch;
  });
}

void Connector::accept(const Peer& peer, const control::Open& message) {
  const std::string& own = parts_.config.node.name;
  const auto out_of_range = [&](unsigned order) {
    return order < slot::Space::kFirstMirroredOrder || order > regs::kMaxRingOrder ||
           (std::uint64_t{regs::kLineBytes} << order) > parts_.config.memory.max_ring;
  };
  if (out_of_range(message.in_order) || out_of_range(message.out_order)) {
    throw Refusal{"bad_request", "rings of 2^" + std::to_string(message.in_order) + " and 2^" +
                                     std::to_string(message.out_order) + " lines are out of the range of node '" + own +
                                     "' (memory.max_ring)"};
  }
  if (const Decision decision = parts_.policy.may_connect_remote(peer.name(), message.service); !decision.allowed) {
    throw Refusal{"refused", decision.reason};
  }
  if (parts_.slots.is_paired_with(peer.link.index, message.slot, message.epoch)) {
    throw Refusal{"bad_request", "slot " + std::to_string(message.slot) + " of node '" + peer.name() +
                                     "' is paired with a slot of node '" + own + "' already"};
  }
  Session* const to = serving(message.service);
  if (to == nullptr && coming_back()) throw still_coming_back();
  if (to == nullptr) throw nobody_serves(message.service);
  const std::uint16_t slot = parts_.slots.open({.session = to->index,
                                                .link = peer.link.index,
                                                .in_order = message.out_order,
                                                .out_order = message.in_order,
                                                .pairing = Pairing::remote,
                                                .service = message.service,
                                                .acceptor = true,
                                                .opened_by = peer.name()});
  parts_.slots.pair_remote(slot, {.link = peer.link.index,
                                  .slot = message.slot,
                                  .epoch = message.epoch,
                                  .first = FirstPositions{message.in_first, message.out_first}.swapped(),
                                  .node = peer.name(),
                                  .process = message.from});
  const control::Event accepted = control::Accepted{accepted_slot(slot)};
  if (!deliver(*to, control::encode_event(accepted), slot)) {
    parts_.slots.discard(slot);
    throw Refusal{"busy", parts_.sessions.who(to->index) + " on node '" + own + "' serves '" + message.service +
                              "' but does not take connections"};
  }
  parts_.peers.send(
      peer.link.index,
      control::Opened{.id = message.id, .slot = slot, .to = process_info(parts_.sessions.record(to->index))});
  parts_.health.tell_new(slot);
}

void Connector::on_ask_health(const Peer& peer, const control::AskHealth& question) {
  control::HealthAnswer answer;
  for (const control::ServiceName& asked : question.services) {
    // Whoever may not connect learns nothing.
    const bool may = parts_.policy.may_connect_remote(peer.name(), asked.service).allowed;
    answer.services.push_back(may ? parts_.health.of_service(asked.service)
                                  : control::ServiceHealth{asked.service, 0, 0});
  }
  parts_.peers.send(peer.link.index, answer);
}

void Connector::on_health(const Peer& peer, const control::HealthAnswer& answer) {
  parts_.node_health.on_health(peer, answer);
}

void Connector::on_slot_health(const Peer& peer, const control::SlotHealth& message) {
  parts_.health.on_slot_health(peer, message);
}

/// The connect that an answer is for; none when it was given up meanwhile, and the peer told.
std::optional<Connector::PendingOpen> Connector::take_pending(const Peer& peer, std::uint64_t id) {
  const auto found = opens_.find(id);
  if (found == opens_.end()) {
    const auto given_up = given_up_.find(id);
    const bool late = given_up != given_up_.end() && given_up->second == peer.link.index;
    if (late) given_up_.erase(given_up);
    if (late || (id != 0 && id <= forgotten_id_)) return std::nullopt;
  }
  if (found == opens_.end() || found->second.link != peer.link.index)
    throw Refusal{"bad_request", "an answer to an open that was not sent to it, or that it has answered"};
  PendingOpen open = std::move(found->second);
  opens_.erase(found);
  parts_.loop.cancel(open.timer);
  return open;
}

/// The other node has no memory for rings that are larger than they must be: the same again with those of the default.
bool Connector::opened_smaller(PendingOpen& open, const Peer& peer, const Refusal& refusal) {
  const std::uint64_t now = parts_.loop.now_us();
  if (!lacks_memory(refusal, open.rings) || now >= open.deadline_us ||
      !parts_.sessions.is(open.session, open.session_id) || !parts_.slots.is_opening(open.slot)) {
    return false;
  }
  parts_.slots.discard(open.slot);
  open.charge.release();
  open.peer_charge.release();
  control::Connect again = not_bulk(open.request);
  again.timeout_ms = static_cast<std::int64_t>((open.deadline_us - now) / 1000);
  Session& session = parts_.sessions.at(open.session);
  try {
    connect_there(session, peer, open.request_id, again, rings_for(session, again));
  } catch (const StoreLate&) {
    return false;
  } catch (const Refusal& smaller) {
    parts_.sessions.send(session, control::encode_refusal(open.request_id, smaller));
  }
  return true;
}

void Connector::on_refused(const Peer& peer, const control::Refused& message) {
  std::optional<PendingOpen> open = take_pending(peer, message.id);
  if (!open) return;
  const Refusal refusal{message.code, message.text};
  if (!opened_smaller(*open, peer, refusal)) refuse(*open, refusal);
}

void Connector::on_opened(const Peer& peer, const control::Opened& message) {
  const std::optional<PendingOpen> open = take_pending(peer, message.id);
  if (!open) return;
  parts_.slots.pair_remote(open->slot, {.link = open->link,
                                        .slot = message.slot,
                                        .epoch = open->epoch,
                                        .first = open->first,
                                        .node = peer.name(),
                                        .process = message.to});
  if (parts_.sessions.is(open->session, open->session_id) &&
      deliver(parts_.sessions.at(open->session),
              control::encode_answer(open->request_id, parts_.slots.info(open->slot)), open->slot)) {
    return;
  }
  parts_.slots.begin_close(open->slot, End::died);
  if (!parts_.sessions.is(open->session, open->session_id)) return;
  const Refusal full{"busy", "the control socket of this process is full, so it cannot be handed the connection"};
  parts_.sessions.send(parts_.sessions.at(open->session), control::encode_refusal(open->request_id, full));
}

}  // namespace slotwire::engine
