// The life of a slot: opening, pairing, closing, draining.
#include <algorithm>
#include <random>
#include <system_error>

#include "runtime/engine/engine.hpp"

namespace slotwire::engine {
namespace {

std::uint64_t ring_bytes(unsigned order) {
  return std::uint64_t{regs::kLineBytes} << order;
}

std::uint16_t random_epoch() {
  static std::random_device device;
  return static_cast<std::uint16_t>(device());
}

/// Tag of a slot's descriptors in the keeper.
std::uint64_t slot_tag(std::uint16_t slot) {
  return (std::uint64_t{3} << 32) | slot;
}

}  // namespace

std::string Engine::who(const Session& session) {
  const SessionRecord& record = admin_->sessions()[session.index];
  return "'" + std::string(get_name(record.name)) + "' (pid " + std::to_string(record.pid) + ")";
}

void Engine::release_memory(std::uint64_t offset) {
  if (offset == kNoOffset) return;
  if (const BuddyError error = memory_->release(offset); error != BuddyError::none) {
    log().error("slot memory at {}: {}", offset, describe(error));
  }
}

/// The lowest free local index whose bell leads to the slot without a detour; else the lowest that is free.
std::uint32_t Engine::free_local(const Session& owner, std::uint16_t slot) const {
  std::uint32_t lowest = slot::kMaxSessionSlots;
  for (std::uint32_t local = 0; local < slot::kMaxSessionSlots; ++local) {
    if (local < owner.slots.size() && owner.slots[local] != kNoSlotIndex) continue;
    if (card_->takes_bell(owner.index, local, slot)) return local;
    lowest = std::min(lowest, local);
    local |= 63U;  // a word of bells leads to the same place as a whole
  }
  return lowest;
}

std::uint16_t Engine::open_slot(Session& owner, const Link* link, unsigned in_order, unsigned out_order,
                                Pairing pairing, std::string_view service, bool acceptor) {
  const bool with_output = pairing != Pairing::direct;
  const std::uint64_t bytes = ring_bytes(in_order) + (with_output ? ring_bytes(out_order) : 0);
  if (owner.slot_count >= config_.limits.slots_per_session) {
    throw Refusal{"quota", who(owner) + " has all of its " + std::to_string(config_.limits.slots_per_session) +
                               " slots in use (limits.slots_per_session); close connections or raise the limit"};
  }
  if (owner.memory + bytes > config_.limits.memory_per_session) {
    throw Refusal{"quota",
                  who(owner) + " would use more than " + std::to_string(config_.limits.memory_per_session >> 10) +
                      " KiB of slot memory (limits.memory_per_session); ask for smaller rings or raise the limit"};
  }
  if (used_slots_ >= config_.limits.slots) {
    throw Refusal{"no_memory", "all " + std::to_string(config_.limits.slots) + " slots of node '" + config_.node.name +
                                   "' are in use (limits.slots)"};
  }
  const std::span<SlotDescriptor> slots = admin_->slots();
  // Slot numbers are taken in turn: a number that was just freed is the last to be used again.
  while (slots[next_slot_].pairing != Pairing::none)
    next_slot_ = (next_slot_ + 1) % static_cast<std::uint32_t>(slots.size());
  const auto slot = static_cast<std::uint16_t>(next_slot_);
  next_slot_ = (next_slot_ + 1) % static_cast<std::uint32_t>(slots.size());

  const auto take = [&](unsigned order) { return memory_->allocate(*BuddyAllocator::order_for(ring_bytes(order))); };
  const std::optional<std::uint64_t> in_offset = take(in_order);
  std::optional<std::uint64_t> out_offset;
  if (with_output && in_offset) out_offset = take(out_order);
  if (!in_offset || (with_output && !out_offset)) {
    if (in_offset) release_memory(*in_offset);
    const BuddyStats stats = memory_->stats();
    throw Refusal{"no_memory", "no slot memory for " + std::to_string(bytes >> 10) +
                                   " KiB: " + std::to_string(stats.free_bytes >> 10) + " KiB of " +
                                   std::to_string(stats.total_bytes >> 10) + " KiB are free, the largest piece is " +
                                   std::to_string(stats.largest_free_bytes >> 10) + " KiB (raise memory.slot_memory)"};
  }
  try {
    if (link != nullptr) card_->prepare_slot(slot, link->index);
    card_->open_slot(slot, in_order, out_order, with_output);
    keep_slot(slot);
  } catch (const std::exception& error) {
    card_->close_slot(slot);
    release_memory(*in_offset);
    if (out_offset) release_memory(*out_offset);
    throw Refusal{"no_memory", error.what()};
  }

  const std::uint32_t local = free_local(owner, slot);
  if (local >= owner.slots.size()) owner.slots.resize(local + 1, kNoSlotIndex);
  owner.slots[local] = slot;
  owner.memory += bytes;
  ++owner.slot_count;
  ++used_slots_;

  SlotDescriptor& d = slots[slot];
  d = {};
  d.in_order = static_cast<std::uint8_t>(in_order);
  d.out_order = static_cast<std::uint8_t>(out_order);
  d.acceptor = acceptor ? 1 : 0;
  d.session = owner.index;
  d.local = local;
  d.in_offset = *in_offset;
  d.out_offset = out_offset.value_or(kNoOffset);
  d.opened_us = monotonic_us();
  set_name(d.service, service);
  d.pairing = Pairing::opening;
  card_->set_bell(owner.index, local, slot);
  return slot;
}

void Engine::keep_slot(std::uint16_t slot) {
  const driver::SlotFiles& files = card_->files(slot);
  std::vector<int> fds{files.own.get(), files.wake.get()};
  if (files.other) fds.push_back(files.other.get());
  if (const auto kept = keeper_->store(slot_tag(slot), fds); !kept.ok()) throw std::runtime_error(kept.error().text);
}

void Engine::disown(std::uint16_t slot) {
  SlotDescriptor& d = admin_->slots()[slot];
  if (d.session == kNoSession) return;
  Session& session = session_at(d.session);
  card_->set_bell(session.index, d.local, driver::Card::kNoSlot);
  session.slots[d.local] = kNoSlotIndex;
  session.memory -= ring_bytes(d.in_order) + (d.out_offset != kNoOffset ? ring_bytes(d.out_order) : 0);
  --session.slot_count;
  d.session = kNoSession;
}

void Engine::free_slot(std::uint16_t slot) {
  SlotDescriptor& d = admin_->slots()[slot];
  disown(slot);
  card_->close_slot(slot);
  release_memory(d.in_offset);
  release_memory(d.out_offset);
  d = {};
  tell(keeper_->remove(slot_tag(slot)));
  std::erase_if(draining_, [&](const Draining& entry) { return entry.slot == slot; });
  --used_slots_;
}

void Engine::begin_close(std::uint16_t slot, End end) {
  SlotDescriptor& d = admin_->slots()[slot];
  if (d.phase == Phase::draining) return;
  disown(slot);
  if (d.pairing == Pairing::opening) {
    const auto open =
        std::find_if(opens_.begin(), opens_.end(), [&](const auto& entry) { return entry.second.slot == slot; });
    if (open != opens_.end()) {
      reactor_.cancel(open->second.timer);
      send_peer(*links_[open->second.link], Json{{"type", "close"},
                                                 {"slot", -1},
                                                 {"from_slot", slot},
                                                 {"epoch", open->second.epoch},
                                                 {"reason", end_name(end)}});
      opens_.erase(open);
    }
    return free_slot(slot);
  }
  if (d.phase == Phase::peer_gone) return free_slot(slot);
  d.end = end;
  if (d.pairing == Pairing::direct) {
    const std::uint16_t partner = d.partner;
    const bool has_partner = d.has_partner != 0;
    free_slot(slot);
    // What was written stays readable: the partner has the ring mapped.
    if (has_partner) peer_ended(partner, end, {});
    return;
  }
  card_->look(slot);  // the process's last marks, whether their bell was taken or not
  d.phase = Phase::draining;
  draining_.push_back({slot, monotonic_us() + static_cast<std::uint64_t>(config_.limits.linger.count())});
}

void Engine::check_draining(std::uint64_t now_us) {
  std::vector<std::uint16_t> done;
  for (const Draining& entry : draining_) {
    const SlotDescriptor& d = admin_->slots()[entry.slot];
    const regs::SlotRow& row = card_->row(entry.slot);
    const bool moving =
        static_cast<regs::SlotState>(row.state) == regs::SlotState::bound && !card_->drained(entry.slot);
    const bool can_tell = d.pairing != Pairing::remote || links_[row.link]->control_up;
    if (!moving && can_tell) {
      done.push_back(entry.slot);
    } else if (now_us > entry.deadline_us) {
      log().warn("slot {}: {} lines to {} were not delivered within limits.linger and are given up", entry.slot,
                 row.in_tail - row.in_head, peer_text(entry.slot));
      done.push_back(entry.slot);
    }
  }
  for (const std::uint16_t slot : done) {
    // An earlier one in the list may have been its partner and have taken it along.
    if (admin_->slots()[slot].phase == Phase::draining) finish_close(slot);
  }
}

void Engine::finish_close(std::uint16_t slot) {
  const SlotDescriptor d = admin_->slots()[slot];
  const regs::SlotRow row = card_->row(slot);
  free_slot(slot);
  if (d.pairing == Pairing::strict) {
    if (d.has_partner != 0) peer_ended(d.partner, d.end, {});
    return;
  }
  if (static_cast<regs::SlotState>(row.state) == regs::SlotState::free) return;  // the peer had ended before
  send_peer(*links_[row.link], Json{{"type", "close"},
                                    {"slot", row.peer_slot},
                                    {"from_slot", slot},
                                    {"epoch", row.epoch},
                                    {"reason", end_name(d.end)}});
}

/// The other end is gone: the process is told, and may read what has arrived.
void Engine::peer_ended(std::uint16_t slot, End end, const std::string& text) {
  SlotDescriptor& d = admin_->slots()[slot];
  d.has_partner = 0;
  if (d.phase == Phase::draining) return free_slot(slot);
  if (d.phase == Phase::peer_gone) return;
  card_->unbind(slot);
  d.phase = Phase::peer_gone;
  d.end = end;
  if (d.session == kNoSession) return free_slot(slot);
  Json event{{"ev", "closed"}, {"local", d.local}, {"reason", end_name(end)}};
  if (!text.empty()) event["text"] = text;
  tell(session_at(d.session), event);
}

/// This slot was faulted: its own process and the peer are told, each its side of it.
void Engine::stop_slot(std::uint16_t slot, End end, const std::string& text) {
  SlotDescriptor& d = admin_->slots()[slot];
  const regs::SlotRow row = card_->row(slot);
  if (d.pairing == Pairing::remote) {
    send_peer(*links_[row.link], Json{{"type", "close"},
                                      {"slot", row.peer_slot},
                                      {"from_slot", slot},
                                      {"epoch", row.epoch},
                                      {"reason", end_name(End::peer_fault)}});
  } else if (d.has_partner != 0) {
    peer_ended(d.partner, End::peer_fault, "the peer's slot was faulted by the proxy");
    d.has_partner = 0;
  }
  if (d.phase != Phase::open) return;  // draining: check_draining() sees that nothing moves any more
  d.phase = Phase::peer_gone;
  d.end = end;
  if (d.session == kNoSession) return;
  tell(session_at(d.session), Json{{"ev", "closed"}, {"local", d.local}, {"reason", end_name(end)}, {"text", text}});
}

std::string Engine::peer_text(std::uint16_t slot) {
  const SlotDescriptor& d = admin_->slots()[slot];
  return "'" + std::string(get_name(d.peer_name)) + "' (pid " + std::to_string(d.peer_pid) + ") on node '" +
         std::string(get_name(d.peer_node)) + "'";
}

Json Engine::slot_json(std::uint16_t slot) {
  const SlotDescriptor& d = admin_->slots()[slot];
  const regs::SlotRow& row = card_->row(slot);
  const bool remote = d.pairing == Pairing::remote;
  return Json{
      {"slot", slot},
      {"local", d.local},
      {"in_order", d.in_order},
      {"out_order", d.out_order},
      {"service", get_name(d.service)},
      {"direct", d.pairing == Pairing::direct},
      {"link_up", !remote || usable(*links_[row.link])},
      {"peer",
       {{"node", get_name(d.peer_node)}, {"name", get_name(d.peer_name)}, {"pid", d.peer_pid}, {"uid", d.peer_uid}}}};
}

/// Descriptors of a slot's spaces, to hand to a process: those that the card still has, else the keeper's.
driver::SlotFiles Engine::space_files(std::uint16_t slot) {
  driver::SlotFiles files = card_->take_space_files(slot);
  if (files.own) return files;
  auto kept = keeper_->fetch(slot_tag(slot));
  if (!kept) throw std::runtime_error(kept.error().text);
  std::vector<slot::Fd>& fds = kept.value();
  files.own = std::move(fds[0]);
  if (fds.size() > 2) files.other = std::move(fds[2]);
  return files;
}

std::vector<int> Engine::slot_fds(std::uint16_t slot, std::vector<slot::Fd>& temporary) {
  const SlotDescriptor& d = admin_->slots()[slot];
  const bool direct = d.pairing == Pairing::direct;
  driver::SlotFiles files = space_files(slot);
  const driver::SlotFiles partner = direct ? space_files(d.partner) : driver::SlotFiles{};
  temporary.push_back(slot::read_only_copy(direct ? partner.own : files.other));
  std::vector<int> fds{files.own.get(), temporary.back().get(), card_->files(slot).wake.get()};
  temporary.push_back(std::move(files.own));
  if (direct) fds.push_back(card_->files(d.partner).wake.get());
  return fds;
}

Engine::Session* Engine::serving(const std::string& service) {
  const auto found = services_.find(service);
  if (found == services_.end()) return nullptr;
  Service& s = found->second;
  // In turn, leaving out processes that have not come back after a restart of the engine.
  for (std::size_t tried = 0; tried < s.sessions.size(); ++tried) {
    s.next = (s.next + 1) % s.sessions.size();
    Session& session = session_at(s.sessions[s.next]);
    if (session.socket) return &session;
  }
  return nullptr;
}

void Engine::connect_here(Client& client, const Json& request, Session& from, Session& to, const std::string& service,
                          unsigned in_order, unsigned out_order, Isolation isolation) {
  const Pairing pairing = isolation == Isolation::strict ? Pairing::strict : Pairing::direct;
  const std::uint16_t a = open_slot(from, nullptr, in_order, out_order, pairing, service, false);
  std::uint16_t b = 0;
  try {
    b = open_slot(to, nullptr, out_order, in_order, pairing, service, true);
  } catch (const Refusal&) {
    free_slot(a);
    throw;
  }
  const std::uint16_t epoch = random_epoch();
  const auto join = [&](std::uint16_t slot, std::uint16_t partner, const Session& peer) {
    SlotDescriptor& d = admin_->slots()[slot];
    const SessionRecord& record = admin_->sessions()[peer.index];
    d.partner = partner;
    d.has_partner = 1;
    d.peer_pid = static_cast<std::uint32_t>(record.pid);
    d.peer_uid = record.uid;
    set_name(d.peer_name, get_name(record.name));
    set_name(d.peer_node, config_.node.name);
    if (pairing == Pairing::strict) {
      card_->bind(slot, {.link = loop_link_,
                         .peer_slot = partner,
                         .epoch = epoch,
                         .in_order = d.in_order,
                         .out_order = d.out_order,
                         .credit = std::uint32_t{1} << d.in_order,
                         .marks = {}});
    }
    d.pairing = pairing;
  };
  join(a, b, to);
  join(b, a, from);
  std::vector<slot::Fd> temporary;
  Json event = slot_json(b);
  event["ev"] = "accepted";
  if (!tell(to, event, slot_fds(b, temporary))) {
    const std::string name = who(to);
    free_slot(b);
    admin_->slots()[a].has_partner = 0;
    free_slot(a);
    throw Refusal{"busy",
                  name + " serves '" + service + "' but does not take connections (its control socket is full)"};
  }
  answer(client, request["id"], slot_json(a), slot_fds(a, temporary));
}

void Engine::connect_there(const Json& request, Session& from, Link& link, const std::string& service,
                           unsigned in_order, unsigned out_order, std::uint64_t timeout_us) {
  if (opens_.size() >= config_.limits.pending_opens) {
    throw Refusal{"busy",
                  std::to_string(opens_.size()) + " connections are being opened already (limits.pending_opens)"};
  }
  const std::uint16_t slot = open_slot(from, &link, in_order, out_order, Pairing::remote, service, false);
  const SessionRecord& record = admin_->sessions()[from.index];
  set_name(admin_->slots()[slot].peer_node, link.config.peer);
  const std::uint64_t id = ++last_id_;
  PendingOpen open;
  open.session = from.index;
  open.session_id = record.id;
  open.request_id = request["id"];
  open.slot = slot;
  open.link = link.index;
  open.epoch = random_epoch();
  open.service = service;
  open.timer = reactor_.after(timeout_us, [this, id] {
    const auto found = opens_.find(id);
    if (found == opens_.end()) return;
    const PendingOpen late = found->second;
    opens_.erase(found);
    Link& l = *links_[late.link];
    // The peer may have opened its end meanwhile: it is told to drop it.
    send_peer(
        l,
        Json{{"type", "close"}, {"slot", -1}, {"from_slot", late.slot}, {"epoch", late.epoch}, {"reason", "closed"}});
    if (admin_->slots()[late.slot].pairing == Pairing::opening) free_slot(late.slot);
    if (!sessions_[late.session] || admin_->sessions()[late.session].id != late.session_id) return;
    tell(session_at(late.session),
         Json{{"id", late.request_id},
              {"error",
               {{"code", "timed_out"},
                {"text", "node '" + l.config.peer + "' did not open '" + late.service + "' in time"}}}});
  });
  opens_.emplace(id, open);
  send_peer(link, Json{{"type", "open"},
                       {"id", id},
                       {"service", service},
                       {"slot", slot},
                       {"epoch", open.epoch},
                       {"in_order", in_order},
                       {"out_order", out_order},
                       {"from", {{"name", get_name(record.name)}, {"pid", record.pid}, {"uid", record.uid}}}});
}

}  // namespace slotwire::engine
