// Slots that are closed and whose memory is used again: the part of SlotTable that decides which, and for whom.
//
// Two things must hold. Nobody gets memory that another process has mapped: a spare slot is used again for the process
// that has it mapped, and one of a direct pair for the same two processes alone. And nothing of the last connection is
// taken for the next one's: both ends have been closed before, the pages of marks are cleared before anybody is told,
// and what lies in the rings is behind the marks.
#include <exception>
#include <utility>

#include "runtime/engine/slots/slot_table.hpp"

namespace slotwire::engine {

bool SlotTable::is_attached(const Owner& owner) const {
  const Session* const session = parts_.sessions.find(owner.session);
  return session != nullptr && session->channel != nullptr && parts_.sessions.record(owner.session).id == owner.id;
}

blocks::BuddyStats SlotTable::memory() const {
  blocks::BuddyStats stats = memory_.stats();
  for (const std::uint16_t slot : spares_.find([](const SpareSlot&) { return true; }))
    stats.free_bytes += bytes_of(descriptor(slot));
  return stats;
}

SlotTable::Owner SlotTable::owner_of(std::uint16_t slot) const {
  const std::uint32_t session = descriptor(slot).session;
  return {session, session == kNoSession ? 0 : parts_.sessions.record(session).id};
}

std::uint16_t SlotTable::open(const SlotWish& wish) {
  parts_.sessions.check_quota(parts_.sessions.at(wish.session), bytes_of(wish));
  if (wish.pairing == Pairing::remote) {
    if (const auto spare = spares_.take(wish.session, wish.in_order, wish.out_order)) {
      uncharge(spare->slot);
      try {
        check_accounts(wish, 1, bytes_of(wish));
      } catch (const Refusal&) {
        drop_taken(*spare);
        throw;
      }
      reuse(*spare, wish);
      return spare->slot;
    }
  }
  check_accounts(wish, 1, bytes_of(wish));
  try {
    return open_new(wish);
  } catch (const Refusal& refusal) {
    if (refusal.code != "no_memory" || spares_.size() == 0) throw;
  }
  drop_all_spares();
  return open_new(wish);
}

std::pair<std::uint16_t, std::uint16_t> SlotTable::open_pair(const SlotWish& first, const SlotWish& second) {
  if (first.pairing == Pairing::direct) {
    parts_.sessions.check_quota(parts_.sessions.at(first.session), bytes_of(first));
    parts_.sessions.check_quota(parts_.sessions.at(second.session), bytes_of(second));
    if (const auto spare = spares_.take_pair(first.session, second.session, first.in_order, first.out_order)) {
      SpareSlot partner = *spare;
      partner.slot = *spare->partner;
      partner.session = second.session;
      uncharge(spare->slot);
      uncharge(partner.slot);
      try {
        check_accounts(first, 2, bytes_of(first) + bytes_of(second));
      } catch (const Refusal&) {
        drop_taken(*spare);
        drop_taken(partner);
        throw;
      }
      try {
        reuse(*spare, first);
      } catch (const Refusal&) {
        drop_taken(partner);
        throw;
      }
      try {
        reuse(partner, second);
      } catch (const Refusal&) {
        discard(spare->slot);
        throw;
      }
      return {spare->slot, partner.slot};
    }
  }
  const std::uint16_t a = open(first);
  try {
    return {a, open(second)};
  } catch (const Refusal&) {
    discard(a);
    throw;
  }
}

/// Opens a slot that was taken from the spare ones, and that nobody is charged for.
void SlotTable::reuse(const SpareSlot& spare, const SlotWish& wish) {
  const std::uint16_t slot = spare.slot;
  try {
    if (wish.link) parts_.card.prepare_slot(slot, *wish.link);
    parts_.card.reuse_slot(slot, wish.in_order, wish.out_order);
  } catch (const std::exception& error) {
    drop_taken(spare);
    throw Refusal{"no_memory", error.what()};
  }
  const SlotDescriptor& d = descriptor(slot);
  enroll(slot, wish, d.in_offset, d.out_offset);
  reused_[slot] = owner_of(slot);
}

/// A slot that was taken from the spare ones, and that nobody is charged for, is not wanted.
void SlotTable::drop_taken(const SpareSlot& spare) {
  tell_forget({spare.session, parts_.sessions.record(spare.session).id}, spare.slot);
  give_back(spare.slot);
}

/// The slot is closed, nobody is charged for it, and its row in admin memory is the last connection's still. False: its
/// memory is to be given back.
bool SlotTable::make_spare(std::uint16_t slot) {
  const auto offer = offered_.extract(slot);
  const auto reuse = reused_.extract(slot);
  const auto awaited = awaited_.extract(slot);
  const SlotDescriptor closed = descriptor(slot);
  const bool with_partner = closed.pairing == Pairing::direct;
  const bool fits = closed.pairing == Pairing::remote ||
                    (with_partner && (!awaited.empty() || (closed.has_partner != 0 && closed.partner != slot)));
  if (!offer.empty() && fits && may_be_spare(slot, offer.mapped()) && parts_.card.make_spare(slot)) {
    SlotDescriptor& d = at(slot);
    d = {};
    d.pairing = Pairing::spare;
    d.in_order = closed.in_order;
    d.out_order = closed.out_order;
    d.in_offset = closed.in_offset;
    d.out_offset = closed.out_offset;
    d.session = offer.mapped().session;
    charge(slot, parts_.sessions.record(d.session).uid);
    SpareSlot spare{.slot = slot,
                    .session = d.session,
                    .in_order = d.in_order,
                    .out_order = d.out_order,
                    .since_us = parts_.clock.now_us()};
    if (with_partner) {
      spare.partner = closed.partner;
      spare.partner_open = awaited.empty();
      if (spare.partner_open) awaited_[closed.partner] = slot;
    }
    spares_.add(spare);
    return true;
  }
  if (!awaited.empty()) drop_spares({awaited.mapped()});
  // A process that was to use it again, and was not told, has it as a spare one still.
  if (!offer.empty()) {
    tell_forget(offer.mapped(), slot);
  } else if (!reuse.empty()) {
    tell_forget(reuse.mapped(), slot);
  }
  return false;
}

bool SlotTable::may_be_spare(std::uint16_t slot, const Owner& owner) const {
  const LimitsConfig& limits = parts_.config.limits;
  if (!is_attached(owner) || spares_.of_session(owner.session) >= limits.spare_slots) return false;
  const SlotDescriptor& d = descriptor(slot);
  if (d.end == End::fault || d.end == End::peer_fault) return false;
  const UserAccounts& users = parts_.sessions.users();
  const uid_t uid = parts_.sessions.record(owner.session).uid;
  return !users.forbids(uid, Resource::slots) && !users.forbids(uid, Resource::memory, bytes_of(d));
}

/// Spare slots never stand in the way of a connection: if the user's quota or the node's tables have no room for one,
/// first the user's own are given up, and then all, unless that would not help.
void SlotTable::make_room(const SlotWish& wish, std::uint64_t count, std::uint64_t bytes) {
  if (spares_.size() == 0) return;
  const UserAccounts& users = parts_.sessions.users();
  const uid_t uid = payer_of(wish);
  const auto lacks = [&] {
    return users.forbids(uid, Resource::slots, count) || users.forbids(uid, Resource::memory, bytes);
  };
  if (!lacks()) return;
  drop_spares(spares_.find([&](const SpareSlot& spare) { return account_of(spare.slot) == uid; }));
  if (!lacks() || users.is_over_quota(uid, Resource::slots, count) || users.is_over_quota(uid, Resource::memory, bytes))
    return;
  drop_all_spares();
}

void SlotTable::drop_all_spares() {
  drop_spares(spares_.find([](const SpareSlot&) { return true; }));
}

void SlotTable::drop_spares_of(std::uint32_t session) {
  drop_spares(spares_.find([&](const SpareSlot& spare) { return spare.session == session; }));
}

void SlotTable::drop_old_spares(std::uint64_t now_us) {
  if (spares_.size() == 0) return;
  const auto time = static_cast<std::uint64_t>(parts_.config.limits.spare_time.count());
  drop_spares(spares_.find([&](const SpareSlot& spare) { return now_us - spare.since_us >= time; }));
}

/// Together with the partners of those of direct pairs.
void SlotTable::drop_spares(const std::vector<std::uint16_t>& slots) {
  std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> forgotten;
  const auto drop = [&](std::uint16_t slot) {
    const std::optional<SpareSlot> spare = spares_.remove(slot);
    if (!spare) return spare;
    uncharge(slot);
    give_back(slot);
    forgotten[spare->session].push_back(slot);
    return spare;
  };
  for (const std::uint16_t slot : slots) {
    const std::optional<SpareSlot> spare = drop(slot);
    if (!spare || !spare->partner) continue;
    if (spare->partner_open) {
      awaited_.erase(*spare->partner);
    } else {
      drop(*spare->partner);
    }
  }
  for (auto& [session, numbers] : forgotten) {
    Session* const told = parts_.sessions.find(session);
    if (told != nullptr && told->channel)
      parts_.sessions.send(*told, control::Event(control::Forget{std::move(numbers)}));
  }
}

void SlotTable::tell_forget(const Owner& owner, std::uint16_t slot) {
  if (!is_attached(owner)) return;
  parts_.sessions.send(parts_.sessions.at(owner.session), control::Event(control::Forget{{slot}}));
}

}  // namespace slotwire::engine
