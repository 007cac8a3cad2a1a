#include "runtime/engine/slots/slot_table.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <system_error>

#include "core/slot/waiter.hpp"

namespace slotwire::engine {
namespace {

std::uint64_t ring_bytes(unsigned order) {
  return std::uint64_t{regs::kLineBytes} << order;
}

blocks::BuddyAllocator make_allocator(const Config& config) {
  const std::optional<unsigned> space = blocks::BuddyAllocator::order_for(config.memory.slot_memory);
  if (!space) throw std::runtime_error("memory.slot_memory is larger than the allocator's largest space");
  return blocks::BuddyAllocator(*space);
}

unsigned block_order(unsigned ring_order) {
  return *blocks::BuddyAllocator::order_for(ring_bytes(ring_order));
}

constexpr const char* kGoneThere =
    "its end of the connection is gone: the process died while the link was down, or its node gave up a link that was "
    "down for longer than its limits.link_down";

bool has_output(const SlotDescriptor& d) {
  return d.pairing == Pairing::remote || d.pairing == Pairing::strict;
}

/// Whether what an earlier life left of a slot belongs together, with nothing out of range. `files`: descriptors that
/// were kept; `slots`: how many there are.
bool fits(const SlotDescriptor& d, const regs::SlotRow& row, std::size_t files, std::size_t slots,
          std::uint16_t loop_link) {
  if ((!has_output(d) && d.pairing != Pairing::direct) || files != (has_output(d) ? 3U : 2U)) return false;
  if (d.phase > Phase::peer_gone || d.end > End::lost || (d.has_partner != 0 && d.partner >= slots)) return false;
  if (d.in_order > regs::kMaxRingOrder || d.out_order > regs::kMaxRingOrder) return false;
  if (!has_output(d) || static_cast<regs::SlotState>(row.state) == regs::SlotState::free) return true;
  // The pipeline computes places in the rings by the row.
  return row.in_order == d.in_order && row.out_order == d.out_order &&
         (row.link == loop_link) == (d.pairing == Pairing::strict);
}

}  // namespace

SlotTable::SlotTable(SlotParts parts)
    : parts_(std::move(parts)), memory_(make_allocator(parts_.config)), by_link_(parts_.admin.slots().size()) {}

std::uint64_t SlotTable::bytes_of(const SlotDescriptor& d) {
  return ring_bytes(d.in_order) + (d.out_offset != kNoOffset ? ring_bytes(d.out_order) : 0);
}

bool SlotTable::is_paired(std::uint16_t slot) const {
  return static_cast<regs::SlotState>(parts_.card.row(slot).state) != regs::SlotState::free;
}

void SlotTable::release_memory(std::uint64_t offset) {
  if (offset == kNoOffset) return;
  if (const blocks::BuddyError error = memory_.release(offset); error != blocks::BuddyError::none) {
    parts_.log->error("slot memory at {}: {}", offset, describe(error));
  }
}

/// Slot numbers are taken in turn: a number that was just freed is the last to be used again.
std::uint16_t SlotTable::next_free() {
  const auto slots = static_cast<std::uint32_t>(count());
  while (parts_.admin.slots()[next_slot_].pairing != Pairing::none) next_slot_ = (next_slot_ + 1) % slots;
  const auto slot = static_cast<std::uint16_t>(next_slot_);
  next_slot_ = (next_slot_ + 1) % slots;
  return slot;
}

std::uint64_t SlotTable::bytes_of(const SlotWish& wish) {
  return ring_bytes(wish.in_order) + (wish.pairing != Pairing::direct ? ring_bytes(wish.out_order) : 0);
}

uid_t SlotTable::payer_of(const SlotWish& wish) const {
  return wish.payer.value_or(parts_.sessions.record(wish.session).uid);
}

/// `count` slots with `bytes` of memory altogether. Throws Refusal.
void SlotTable::check_accounts(const SlotWish& wish, std::uint64_t count, std::uint64_t bytes) {
  make_room(wish, count, bytes);
  UserAccounts& users = parts_.sessions.users();
  users.check(payer_of(wish), Resource::slots, count);
  users.check(payer_of(wish), Resource::memory, bytes);
  if (wish.opened_by.empty()) return;
  parts_.accounts.check(wish.opened_by, PeerResource::slots);
  parts_.accounts.check(wish.opened_by, PeerResource::memory, bytes);
}

std::uint16_t SlotTable::open_new(const SlotWish& wish) {
  const bool with_output = wish.pairing != Pairing::direct;
  const std::uint64_t bytes = bytes_of(wish);
  if (used_ + spares_.size() >= parts_.config.limits.slots) {
    throw Refusal{"no_memory", "all " + std::to_string(parts_.config.limits.slots) + " slots of node '" +
                                   parts_.config.node.name + "' are in use (limits.slots)"};
  }
  const std::optional<std::uint64_t> in_offset = memory_.allocate(block_order(wish.in_order));
  std::optional<std::uint64_t> out_offset;
  if (with_output && in_offset) out_offset = memory_.allocate(block_order(wish.out_order));
  if (!in_offset || (with_output && !out_offset)) {
    if (in_offset) release_memory(*in_offset);
    const blocks::BuddyStats stats = memory_.stats();
    throw Refusal{"no_memory", "no slot memory for " + std::to_string(bytes >> 10U) +
                                   " KiB: " + std::to_string(stats.free_bytes >> 10U) + " KiB of " +
                                   std::to_string(stats.total_bytes >> 10U) + " KiB are free, the largest piece is " +
                                   std::to_string(stats.largest_free_bytes >> 10U) + " KiB (raise memory.slot_memory)"};
  }
  const std::uint16_t slot = next_free();
  const auto undo = [&] {
    parts_.card.close_slot(slot);
    release_memory(*in_offset);
    if (out_offset) release_memory(*out_offset);
  };
  try {
    if (wish.link) parts_.card.prepare_slot(slot, *wish.link);
    if (wish.link) plan_output(slot, wish);
    parts_.card.open_slot(slot, wish.in_order, wish.out_order, with_output);
    keep(slot);
  } catch (const StoreLate&) {
    undo();
    throw;
  } catch (const std::system_error& error) {
    undo();
    const bool of_files = error.code() == std::errc::too_many_files_open;
    throw Refusal{"no_memory", std::string(error.what()) + (of_files ? "" : "; or lower memory.slot_memory")};
  } catch (const std::exception& error) {
    undo();
    throw Refusal{"no_memory", error.what()};
  }
  enroll(slot, wish, *in_offset, out_offset.value_or(kNoOffset));
  return slot;
}

void SlotTable::enroll(std::uint16_t slot, const SlotWish& wish, std::uint64_t in_offset, std::uint64_t out_offset) {
  SlotDescriptor& d = at(slot);
  d = {};
  d.in_order = static_cast<std::uint8_t>(wish.in_order);
  d.out_order = static_cast<std::uint8_t>(wish.out_order);
  d.acceptor = wish.acceptor ? 1 : 0;
  d.session = wish.session;
  d.in_offset = in_offset;
  d.out_offset = out_offset;
  d.opened_us = parts_.clock.now_us();
  set_name(d.service, wish.service);
  set_name(d.peer_node, wish.opened_by);
  d.pairing = Pairing::opening;
  d.local = parts_.sessions.take_slot(parts_.sessions.at(wish.session), slot, bytes_of(d));
  charge(slot, payer_of(wish));
  charge_opener(slot);
  ++used_;
}

/// A slot whose user is not known was made by a slotwired that counted none, and its process has ended: root's.
uid_t SlotTable::account_of(std::uint16_t slot) const {
  const std::uint32_t account = descriptor(slot).account;
  return account == 0 ? 0 : account - 1;
}

/// A user that may have no more memory mapped for the card has its output space on the card.
void SlotTable::plan_output(std::uint16_t slot, const SlotWish& wish) {
  const auto refusal =
      parts_.sessions.users().forbids(payer_of(wish), Resource::mapped, slot::space_file_bytes(wish.out_order));
  parts_.card.keep_output_on_card(slot, refusal ? refusal->text : std::string());
}

std::uint64_t SlotTable::mapped_bytes(std::uint16_t slot) const {
  const std::optional<driver::OutputPlace> output = parts_.card.output(slot);
  return output ? output->mapped : 0;
}

void SlotTable::output_changed(std::uint16_t slot) {
  if (const auto charged = mapped_.find(slot); charged != mapped_.end()) charged->second.set(mapped_bytes(slot));
}

void SlotTable::charge(std::uint16_t slot, uid_t uid) {
  SlotDescriptor& d = at(slot);
  d.account = uid + 1;
  parts_.sessions.users().take(uid, Resource::slots);
  parts_.sessions.users().take(uid, Resource::memory, bytes_of(d));
  // A slot that software has may come to the card later.
  if (has_output(d) || d.pairing == Pairing::opening) {
    mapped_[slot] = UserAccounts::Charge(parts_.sessions.users(), uid, Resource::mapped, mapped_bytes(slot));
  }
}

void SlotTable::uncharge(std::uint16_t slot) {
  mapped_.erase(slot);
  parts_.sessions.users().give(account_of(slot), Resource::slots);
  parts_.sessions.users().give(account_of(slot), Resource::memory, bytes_of(descriptor(slot)));
}

/// The peer whose process opened the connection; empty: none did. Known by its name, since the row of a slot whose peer
/// has gone names no link any more.
std::string_view SlotTable::opener_of(std::uint16_t slot) const {
  const SlotDescriptor& d = descriptor(slot);
  // An end of a pair of this node has the node's name there, which may be another one by now.
  const bool opened_there = d.acceptor != 0 && (d.pairing == Pairing::remote || d.pairing == Pairing::opening);
  return opened_there ? get_name(d.peer_node) : std::string_view();
}

void SlotTable::charge_opener(std::uint16_t slot) {
  const std::string_view peer = opener_of(slot);
  if (peer.empty()) return;
  parts_.accounts.take(peer, PeerResource::slots);
  parts_.accounts.take(peer, PeerResource::memory, bytes_of(descriptor(slot)));
}

/// The user that connected has closed its end: who keeps the other end open has to pay for it now.
void SlotTable::charge_to_owner(std::uint16_t slot) {
  const SlotDescriptor& d = descriptor(slot);
  if (d.session == kNoSession) return;
  const uid_t owner = parts_.sessions.record(d.session).uid;
  if (owner == account_of(slot)) return;
  uncharge(slot);
  charge(slot, owner);
}

void SlotTable::keep(std::uint16_t slot) {
  const driver::SlotFiles& files = parts_.card.files(slot);
  std::vector<int> fds{files.own.get(), files.wake.get()};
  if (files.other) fds.push_back(files.other.get());
  if (const auto kept = parts_.store.store(KeptTag::of_slot(slot).number(), fds); !kept.ok()) {
    if (!parts_.store.ready()) throw StoreLate(kept.error().text);
    throw std::runtime_error(kept.error().text);
  }
}

void SlotTable::bind(std::uint16_t slot, std::uint16_t link, std::uint16_t peer_slot, std::uint16_t epoch,
                     FirstPositions first) {
  const SlotDescriptor& d = descriptor(slot);
  parts_.card.bind(slot, {.link = link,
                          .peer_slot = peer_slot,
                          .epoch = epoch,
                          .in_order = d.in_order,
                          .out_order = d.out_order,
                          .credit = std::uint32_t{1} << d.in_order,
                          .marks = {first.in, first.in, first.out, first.out}});
}

void SlotTable::pair_remote(std::uint16_t slot, const RemoteEnd& peer) {
  SlotDescriptor& d = at(slot);
  d.peer_pid = peer.process.pid;
  d.peer_uid = peer.process.uid;
  set_name(d.peer_name, peer.process.name);
  set_name(d.peer_node, peer.node);
  bind(slot, peer.link, peer.slot, peer.epoch, peer.first);
  d.pairing = Pairing::remote;
  by_link_.add(peer.link, slot);
}

void SlotTable::pair_here(std::uint16_t a, std::uint16_t b, Pairing pairing) {
  const std::uint16_t epoch = random_epoch();
  const auto join = [&](std::uint16_t slot, std::uint16_t partner) {
    SlotDescriptor& d = at(slot);
    const SessionRecord& peer = parts_.sessions.record(descriptor(partner).session);
    d.partner = partner;
    d.has_partner = 1;
    d.peer_pid = static_cast<std::uint32_t>(peer.pid);
    d.peer_uid = peer.uid;
    set_name(d.peer_name, get_name(peer.name));
    set_name(d.peer_node, parts_.config.node.name);
    if (pairing == Pairing::strict) bind(slot, parts_.loop_link, partner, epoch, {});  // no stranger sends here
    d.pairing = pairing;
  };
  join(a, b);
  join(b, a);
}

void SlotTable::discard(std::uint16_t slot) {
  at(slot).has_partner = 0;
  free(slot);
}

void SlotTable::discard_pair(std::uint16_t a, std::uint16_t b) {
  discard(b);
  discard(a);
}

void SlotTable::disown(std::uint16_t slot) {
  SlotDescriptor& d = at(slot);
  if (d.session == kNoSession) return;
  parts_.sessions.drop_slot(d.session, d.local, bytes_of(d));
  d.session = kNoSession;
}

void SlotTable::free(std::uint16_t slot) {
  disown(slot);
  uncharge(slot);
  if (const std::string_view peer = opener_of(slot); !peer.empty()) {
    parts_.accounts.give(peer, PeerResource::slots);
    parts_.accounts.give(peer, PeerResource::memory, bytes_of(descriptor(slot)));
  }
  by_link_.remove(slot);
  std::erase_if(draining_, [&](const Draining& entry) { return entry.slot == slot; });
  --used_;
  if (!make_spare(slot)) give_back(slot);
}

/// The memory of a slot that nobody is charged for any more.
void SlotTable::give_back(std::uint16_t slot) {
  SlotDescriptor& d = at(slot);
  parts_.card.close_slot(slot);
  release_memory(d.in_offset);
  release_memory(d.out_offset);
  d = {};
  parts_.log.note(parts_.store.remove(KeptTag::of_slot(slot).number()));
}

void SlotTable::drain(std::uint16_t slot) {
  parts_.card.look(slot);  // the process's last marks, whether their bell was taken or not
  draining_.push_back({slot, parts_.clock.now_us() + static_cast<std::uint64_t>(parts_.config.limits.linger.count())});
}

void SlotTable::begin_close(std::uint16_t slot, End end, SlotMemory memory) {
  SlotDescriptor& d = at(slot);
  if (d.phase == Phase::draining) return;
  if (memory == SlotMemory::spare) offered_[slot] = owner_of(slot);
  disown(slot);
  if (d.pairing == Pairing::opening) {
    if (abandoned_) abandoned_(slot, end);
    return free(slot);
  }
  if (d.phase == Phase::peer_gone) return free(slot);
  d.end = end;
  if (d.pairing == Pairing::direct) {
    const std::uint16_t partner = d.partner;
    const bool has_partner = d.has_partner != 0;
    free(slot);
    // What was written stays readable: the partner has the ring mapped.
    if (has_partner) peer_ended(partner, end);
    return;
  }
  d.phase = Phase::draining;
  drain(slot);
}

void SlotTable::check_draining(std::uint64_t now_us) {
  std::vector<std::uint16_t> done;
  for (const Draining& entry : draining_) {
    const regs::SlotRow& row = parts_.card.row(entry.slot);
    const bool moving =
        static_cast<regs::SlotState>(row.state) == regs::SlotState::bound && !parts_.card.drained(entry.slot);
    if (nobody_reads(descriptor(entry.slot)) ||
        (!moving && (!is_remote(entry.slot) || parts_.peers.can_tell(row.link)))) {
      done.push_back(entry.slot);
    } else if (now_us > entry.deadline_us) {
      parts_.log.limited("linger", spdlog::level::warn,
                         "slot " + std::to_string(entry.slot) + ": " + std::to_string(row.in_tail - row.in_head) +
                             " lines to " + peer_text(entry.slot) +
                             " were not delivered within limits.linger and are given up");
      done.push_back(entry.slot);
    }
  }
  for (const std::uint16_t slot : done) {
    // An earlier one in the list may have been its partner and have taken it along.
    if (descriptor(slot).phase == Phase::draining) finish_close(slot);
  }
}

/// The other end is on this node, too, and its process has closed it: what would be delivered has no reader.
bool SlotTable::nobody_reads(const SlotDescriptor& d) const {
  return d.pairing == Pairing::strict && (d.has_partner == 0 || descriptor(d.partner).phase == Phase::draining);
}

void SlotTable::finish_close(std::uint16_t slot) {
  const SlotDescriptor d = descriptor(slot);
  const regs::SlotRow row = parts_.card.row(slot);
  free(slot);
  if (d.pairing == Pairing::strict) {
    if (d.has_partner != 0) peer_ended(d.partner, d.end);
    return;
  }
  if (static_cast<regs::SlotState>(row.state) == regs::SlotState::free) return;  // the peer had ended before
  parts_.peers.tell_close(row.link, {.slot = row.peer_slot, .from_slot = slot, .epoch = row.epoch, .reason = d.end});
}

void SlotTable::tell_closed(const SlotDescriptor& d, const std::string& text) {
  if (d.session == kNoSession) return;
  parts_.sessions.send(parts_.sessions.at(d.session),
                       control::Event(control::Closed{.local = d.local, .reason = d.end, .text = text}));
}

void SlotTable::peer_ended(std::uint16_t slot, End end, const std::string& text) {
  SlotDescriptor& d = at(slot);
  d.has_partner = 0;
  if (d.phase == Phase::draining) return free(slot);
  if (d.phase == Phase::peer_gone) return;
  parts_.card.unbind(slot);
  by_link_.remove(slot);
  d.phase = Phase::peer_gone;
  d.end = end;
  if (d.session == kNoSession) return free(slot);
  charge_to_owner(slot);
  tell_closed(d, text);
}

/// This slot was faulted: its own process and the peer are told, each its side of it.
void SlotTable::stop(std::uint16_t slot, End end, const std::string& text) {
  SlotDescriptor& d = at(slot);
  const regs::SlotRow row = parts_.card.row(slot);
  if (d.pairing == Pairing::remote) {
    parts_.peers.tell_close(row.link,
                            {.slot = row.peer_slot, .from_slot = slot, .epoch = row.epoch, .reason = End::peer_fault});
  } else if (d.has_partner != 0) {
    peer_ended(d.partner, End::peer_fault, "the peer's slot was faulted by the proxy");
    d.has_partner = 0;
  }
  if (d.phase != Phase::open) return;  // draining: check_draining() sees that nothing moves any more
  d.phase = Phase::peer_gone;
  d.end = end;
  tell_closed(d, text);
}

void SlotTable::faulted(std::uint16_t slot, regs::Fault fault) {
  const SlotDescriptor& d = descriptor(slot);
  if (fault == regs::Fault::peer_reset) {
    return peer_ended(slot, End::peer_fault, "the peer's slot was faulted by its proxy");
  }
  const regs::SlotRow& row = parts_.card.row(slot);
  const std::string what = fault == regs::Fault::in_tail    ? "IN_TAIL was moved to where it cannot be"
                           : fault == regs::Fault::out_head ? "OUT_HEAD was moved to where it cannot be"
                           : fault == regs::Fault::memory_refused
                               ? std::string(regs::name(fault)) + ": " + std::string(regs::describe(fault))
                               : std::string(regs::name(fault));
  const std::string owner = d.session != kNoSession && parts_.sessions.find(d.session) != nullptr
                                ? parts_.sessions.who(d.session)
                                : "a process that ended";
  parts_.log.limited("fault", spdlog::level::warn,
                     "slot " + std::to_string(slot) + " of " + owner + " faulted: " + what + " (IN_TAIL " +
                         std::to_string(row.in_tail) + ", IN_HEAD " + std::to_string(row.in_head) + ", OUT_TAIL " +
                         std::to_string(row.out_tail) + ", OUT_HEAD " + std::to_string(row.out_head) +
                         " were the last good marks); no other slot is affected");
  stop(slot, End::fault, what);
}

std::vector<control::SyncPair> SlotTable::pairs_of(std::uint16_t link) const {
  std::vector<control::SyncPair> pairs;
  for (const std::uint16_t slot : by_link_.of(link)) {
    if (!is_paired(slot)) continue;
    const regs::SlotRow& row = parts_.card.row(slot);
    pairs.push_back({row.peer_slot, slot, row.epoch});
  }
  return pairs;
}

bool SlotTable::is_paired_with(std::uint16_t link, std::uint16_t peer_slot, std::uint16_t epoch) const {
  const std::span<const std::uint16_t> slots = by_link_.of(link);
  return std::any_of(slots.begin(), slots.end(), [&](std::uint16_t slot) {
    const regs::SlotRow& row = parts_.card.row(slot);
    return row.peer_slot == peer_slot && row.epoch == epoch && is_paired(slot);
  });
}

std::optional<RemotePair> SlotTable::remote_pair(std::uint16_t slot) const {
  if (!is_remote(slot) || !is_paired(slot)) return std::nullopt;
  const regs::SlotRow& row = parts_.card.row(slot);
  return RemotePair{row.link, row.peer_slot, row.epoch};
}

std::optional<std::uint16_t> SlotTable::find_pair(std::uint16_t link, std::uint16_t slot, std::uint16_t peer_slot,
                                                  std::uint16_t epoch) const {
  if (slot >= count()) return std::nullopt;
  const std::optional<RemotePair> pair = remote_pair(slot);
  if (!pair || pair->link != link || pair->peer_slot != peer_slot || pair->epoch != epoch) return std::nullopt;
  return slot;
}

void SlotTable::keep_only(std::uint16_t link, const std::function<bool(std::uint16_t slot, std::uint16_t epoch)>& has) {
  const std::span<const std::uint16_t> now = by_link_.of(link);
  for (const std::uint16_t slot : std::vector<std::uint16_t>(now.begin(), now.end())) {
    if (!is_remote(slot) || descriptor(slot).phase == Phase::peer_gone || !is_paired(slot)) continue;
    if (!has(slot, parts_.card.row(slot).epoch)) peer_ended(slot, End::died, kGoneThere);
  }
}

void SlotTable::link_lost(std::uint16_t link, const std::string& text) {
  const std::span<const std::uint16_t> now = by_link_.of(link);
  for (const std::uint16_t slot : std::vector<std::uint16_t>(now.begin(), now.end())) {
    if (is_remote(slot) && descriptor(slot).phase != Phase::peer_gone) peer_ended(slot, End::lost, text);
  }
}

std::size_t SlotTable::give_up_link(std::uint16_t link, const std::string& text) {
  const std::span<const std::uint16_t> now = by_link_.of(link);
  std::size_t ended = 0;
  for (const std::uint16_t slot : std::vector<std::uint16_t>(now.begin(), now.end())) {
    if (!is_remote(slot) || descriptor(slot).phase == Phase::peer_gone) continue;
    ++ended;
    const regs::SlotRow row = parts_.card.row(slot);
    const bool paired = is_paired(slot);
    peer_ended(slot, End::lost, text);
    // Its end is not to wait for lines that will not come.
    if (paired) {
      parts_.peers.tell_close(link,
                              {.slot = row.peer_slot, .from_slot = slot, .epoch = row.epoch, .reason = End::lost});
    }
  }
  return ended;
}

void SlotTable::peer_closed(std::uint16_t link, const control::PeerClose& close) {
  for (const std::uint16_t slot : by_link_.of(link)) {
    if (close.slot != control::PeerClose::kUnknownSlot && close.slot != slot) continue;
    const regs::SlotRow& row = parts_.card.row(slot);
    if (!is_paired(slot) || row.peer_slot != close.from_slot || row.epoch != close.epoch) continue;
    return peer_ended(slot, close.reason);
  }
}

void SlotTable::tell_link(std::uint16_t link, const control::LinkEvent& event, std::optional<std::uint32_t> only) {
  std::set<std::uint32_t> told;
  for (const std::uint16_t slot : by_link_.of(link)) {
    const SlotDescriptor& d = descriptor(slot);
    if (d.session == kNoSession || (only && d.session != *only) || !told.insert(d.session).second) continue;
    parts_.sessions.send(parts_.sessions.at(d.session), control::Event(event));
  }
}

std::uint64_t SlotTable::undelivered_lines() const {
  std::uint64_t lines = 0;
  for (const Draining& d : draining_) lines += parts_.card.row(d.slot).in_tail - parts_.card.row(d.slot).in_head;
  return lines;
}

std::string SlotTable::peer_text(std::uint16_t slot) const {
  const SlotDescriptor& d = descriptor(slot);
  return "'" + std::string(get_name(d.peer_name)) + "' (pid " + std::to_string(d.peer_pid) + ") on node '" +
         std::string(get_name(d.peer_node)) + "'";
}

control::SlotInfo SlotTable::info(std::uint16_t slot) const {
  const SlotDescriptor& d = descriptor(slot);
  control::SlotInfo info;
  info.slot = slot;
  info.local = d.local;
  info.in_order = d.in_order;
  info.out_order = d.out_order;
  info.service = get_name(d.service);
  info.direct = d.pairing == Pairing::direct;
  info.again = reused_.contains(slot);
  info.link_up = !is_remote(slot) || parts_.peers.usable(parts_.card.row(slot).link);
  info.peer = {std::string(get_name(d.peer_node)), std::string(get_name(d.peer_name)), d.peer_pid, d.peer_uid};
  return info;
}

/// Descriptors of a slot's spaces, to hand to a process: those that the card still has, else the store's.
driver::SlotFiles SlotTable::space_files(std::uint16_t slot) {
  driver::SlotFiles files = parts_.card.take_space_files(slot);
  if (files.own) return files;
  auto kept = parts_.store.fetch(KeptTag::of_slot(slot).number());
  if (!kept && !parts_.store.ready()) throw StoreLate(kept.error().text);
  if (!kept) throw std::runtime_error(kept.error().text);
  std::vector<slot::Fd>& fds = kept.value();
  files.own = std::move(fds.at(0));
  if (fds.size() > 2) files.other = std::move(fds[2]);
  return files;
}

/// The file of a slot's own space: the card's while it has it, else one from the store, which `temporary` gets.
const slot::Fd& SlotTable::own_file(std::uint16_t slot, std::vector<slot::Fd>& temporary) {
  if (const driver::SlotFiles& files = parts_.card.files(slot); files.own) return files.own;
  return temporary.emplace_back(space_files(slot).own);
}

std::vector<int> SlotTable::descriptors(std::uint16_t slot, std::vector<slot::Fd>& temporary) {
  if (reused_.contains(slot)) return {};  // its process has them
  const SlotDescriptor& d = descriptor(slot);
  const int wake = parts_.card.files(slot).wake.get();
  if (d.pairing != Pairing::direct) {
    driver::SlotFiles files = space_files(slot);
    temporary.push_back(slot::read_only_copy(files.other));
    const std::vector<int> fds{files.own.get(), temporary.back().get(), wake};
    temporary.push_back(std::move(files.own));
    return fds;
  }
  // Both ends of a pair get both files, the accepting end first. The card gives its descriptors away after the
  // connecting end has had its own, so that none of the four has to come from the store.
  const int own = own_file(slot, temporary).get();
  temporary.push_back(slot::read_only_copy(own_file(d.partner, temporary)));
  const std::vector<int> fds{own, temporary.back().get(), wake, parts_.card.files(d.partner).wake.get()};
  if (d.acceptor == 0) {
    for (const std::uint16_t end : {slot, d.partner}) temporary.push_back(parts_.card.take_space_files(end).own);
  }
  return fds;
}

bool SlotTable::recover(std::uint16_t slot, std::vector<slot::Fd>& fds,
                        const std::function<bool(std::uint16_t)>& has_link) {
  if (slot >= count()) return false;
  SlotDescriptor& d = at(slot);
  if (!fits(d, parts_.admin.rows()[slot], fds.size(), count(), parts_.loop_link)) return false;
  const bool with_output = has_output(d);
  if (memory_.claim(d.in_offset, block_order(d.in_order)) != blocks::BuddyError::none) return false;
  if (with_output && memory_.claim(d.out_offset, block_order(d.out_order)) != blocks::BuddyError::none) {
    release_memory(d.in_offset);
    return false;
  }
  try {
    driver::SlotFiles files;
    files.own = std::move(fds[0]);
    files.wake = std::move(fds[1]);
    if (with_output) files.other = std::move(fds[2]);
    if (!slot::is_event(files.wake.get())) {
      throw std::runtime_error("its wake-up is no timerfd: an earlier release of slotwired left it");
    }
    if (d.pairing == Pairing::remote) parts_.card.prepare_slot(slot, parts_.admin.rows()[slot].link);
    parts_.card.adopt_slot(slot, d.in_order, d.out_order, std::move(files));
    static_cast<void>(parts_.card.take_space_files(slot));  // the store has them when the process asks
  } catch (const std::exception& error) {
    parts_.log->warn("slot {}: not taken over: {}", slot, error.what());
    release_memory(d.in_offset);
    release_memory(d.out_offset);
    return false;
  }
  ++used_;
  const bool has_owner = d.session != kNoSession && parts_.sessions.find(d.session) != nullptr;
  charge(slot, d.account != 0 || !has_owner ? account_of(slot) : parts_.sessions.record(d.session).uid);
  charge_opener(slot);
  if (Session* owner = d.session == kNoSession ? nullptr : parts_.sessions.find(d.session);
      owner != nullptr && d.local < slot::kMaxSessionSlots &&
      (d.local >= owner->slots.size() || owner->slots[d.local] == kNoSlotIndex)) {
    parts_.sessions.retake_slot(*owner, slot, d.local, bytes_of(d));
  } else {
    d.session = kNoSession;
  }
  const regs::SlotRow& row = parts_.card.row(slot);
  if (d.pairing == Pairing::remote && is_paired(slot)) by_link_.add(row.link, slot);
  if (!with_output || static_cast<regs::SlotState>(row.state) != regs::SlotState::bound) return true;
  if (row.link != parts_.loop_link && !has_link(row.link)) {
    parts_.log->warn("slot {}: its link is no longer in the configuration; the connection is lost", slot);
    peer_ended(slot, End::lost, "the link is no longer configured");
    return true;
  }
  parts_.card.recover(slot);
  return true;
}

void SlotTable::finish_recovery() {
  // Descriptors without memory are remains of a slot that was just being opened or freed.
  for (std::size_t i = 0; i < count(); ++i) {
    const auto slot = static_cast<std::uint16_t>(i);
    SlotDescriptor& d = at(slot);
    if (d.pairing == Pairing::none || parts_.card.files(slot).wake) continue;
    d = {};
    parts_.card.unbind(slot);
  }
  // An end of a pair of this node whose other end was not taken over.
  for (std::size_t i = 0; i < count(); ++i) {
    const auto slot = static_cast<std::uint16_t>(i);
    SlotDescriptor& d = at(slot);
    if (d.pairing == Pairing::none || d.pairing == Pairing::remote || d.has_partner == 0) continue;
    const SlotDescriptor& other = descriptor(d.partner);
    if (d.partner != slot && other.pairing == d.pairing && other.has_partner != 0 && other.partner == slot) continue;
    d.has_partner = 0;
    if (d.phase == Phase::open) peer_ended(slot, End::lost, "the other end was not taken over");
  }
  // Slots whose owner did not survive are closed like those of any process that died.
  for (std::size_t i = 0; i < count(); ++i) {
    const auto slot = static_cast<std::uint16_t>(i);
    const SlotDescriptor& d = descriptor(slot);
    if (d.pairing == Pairing::none) continue;
    if (d.phase == Phase::draining) {
      drain(slot);
    } else if (d.session == kNoSession) {
      begin_close(slot, End::died);
    }
  }
}

}  // namespace slotwire::engine
