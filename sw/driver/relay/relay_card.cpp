#include "driver/relay/relay_card.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace slotwire::driver {
namespace {

using regs::SlotRow;
using regs::SlotState;

/// The first line of slot memory names the life of the rows that its contents belong to.
constexpr std::uint32_t kReservedLines = 1;

/// Most that a card may say of itself (docs/registers.md): what has an address, and what fits a link's row.
constexpr std::size_t kMostLines = ((std::size_t{1} << regs::kCardAddressBits) - regs::kCardMemory) / regs::kLineBytes;
constexpr std::uint32_t kMostFrameLines = 1023;

SlotState state_of(const SlotRow& row) {
  return static_cast<SlotState>(row.state);
}
std::uint32_t mac_high(const MacAddress& mac) {
  return std::uint32_t{mac[0]} << 24 | std::uint32_t{mac[1]} << 16 | std::uint32_t{mac[2]} << 8 | mac[3];
}
std::uint32_t mac_low(const MacAddress& mac) {
  return std::uint32_t{mac[4]} << 8 | mac[5];
}
std::uint32_t word_at(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

RelayCard::RelayCard(std::span<SlotRow> rows, const SoftCardOptions& options, CardListener& listener,
                     std::unique_ptr<HostBus> bus, std::uint64_t incarnation, std::uint64_t give_up_us)
    : SoftCard(rows, options, listener),
      rows_(rows),
      capabilities_{"relay", rows.size(), false},
      bus_(std::move(bus)),
      incarnation_(incarnation),
      places_(rows.size()),
      links_(options.links),
      stats_(rows.size()),
      give_up_us_(give_up_us),
      relay_(*bus_) {
  watch_ = slot::Fd(epoll_create1(EPOLL_CLOEXEC));
  if (!watch_) carriers::throw_errno("the card: an epoll descriptor cannot be had");
  // A bus may come connected.
  if (!(bus_->broken().empty() ? watch_bus() : connect())) throw std::runtime_error(why());
  info_ = read_info();
  capabilities_.direct_map = bus_->shares_slots();
  lines_ = std::make_unique<LineAllocator>(info_.memory_lines, kReservedLines);
  reach();
  if (!reached_) throw std::runtime_error(why());
}

std::string RelayCard::why() const {
  return bus_->broken().empty() ? "the card does not answer as a card does; reset it" : bus_->broken();
}

bool RelayCard::connect() {
  for (Place& place : places_) place.shared = false;  // the end of the connection ended that
  if (!bus_->reconnect()) return false;
  return watch_bus();
}

bool RelayCard::watch_bus() {
  epoll_event event{};
  event.events = EPOLLIN;
  // The old descriptor left the set when it was closed.
  return epoll_ctl(watch_.get(), EPOLL_CTL_ADD, bus_->fd(), &event) == 0;
}

CardInfo RelayCard::read_info() {
  std::array<std::byte, regs::kLineBytes> page{};
  if (!bus_->read(regs::kCardCapabilities, page)) throw std::runtime_error(why());
  if (word_at(page, regs::kCapMagic) != regs::kCapMagicValue) {
    throw std::runtime_error("what is there is no Slotwire card (its capability page says something else)");
  }
  if (const std::uint32_t version = word_at(page, regs::kCapVersion); version != regs::kCapVersionValue) {
    throw std::runtime_error("the card has version " + std::to_string(version) + " of the registers, this slotwired " +
                             std::to_string(regs::kCapVersionValue) + "; install releases that match");
  }
  const CardInfo info{word_at(page, regs::kCapSlots),         word_at(page, regs::kCapLinks),
                      word_at(page, regs::kCapMaxRingOrder),  word_at(page, regs::kCapMemoryLines),
                      word_at(page, regs::kCapMaxFrameLines), word_at(page, regs::kCapVectors)};
  if (info.slots < rows_.size()) {
    throw std::runtime_error("the card has " + std::to_string(info.slots) + " slots, the node " +
                             std::to_string(rows_.size()) + "; lower limits.slots");
  }
  if (info.slots > regs::kMaxSlots || info.links == 0 || info.links > regs::kMaxSlots ||
      info.max_order > regs::kMaxRingOrder || info.memory_lines <= kReservedLines || info.memory_lines > kMostLines ||
      info.max_frame_lines == 0 || info.max_frame_lines > kMostFrameLines || info.vectors == 0) {
    throw std::runtime_error("the card's capability page makes no sense; reset the card");
  }
  return info;
}

/// Takes up the card as it stands: a new one, one that goes on from an earlier engine, or one that was reset.
void RelayCard::reach() {
  std::array<std::byte, regs::kLineBytes> token{};
  if (!bus_->read(memory_address(0), token)) return;
  std::uint64_t found = 0;
  std::memcpy(&found, token.data(), sizeof found);
  const bool kept = found == incarnation_;
  reached_ = true;
  look_once_ = true;  // an interrupt may have been raised for an engine that is gone
  stuck_ = false;
  if (kept) {
    free_strangers();
  } else {
    // Nothing in it is ours: no slot of another life may go on.
    const SlotRow none{};
    for (std::uint32_t slot = 0; slot < info_.slots; ++slot) {
      bus_->write(row_address(static_cast<std::uint16_t>(slot)), std::as_bytes(std::span(&none, 1)));
    }
    std::memcpy(token.data(), &incarnation_, sizeof incarnation_);
    bus_->write(memory_address(0), token);
  }
  bus_->write32(regs::kCardControl + regs::kCtlEnabled, ~std::uint32_t{0});
  bus_->write32(regs::kCardControl + regs::kCtlModeration, 0);
  for (std::size_t slot = 0; slot < places_.size(); ++slot) {
    if (!carried(static_cast<std::uint16_t>(slot))) continue;
    if (kept) {
      recover(static_cast<std::uint16_t>(slot));
    } else if (state_of(rows_[slot]) == SlotState::bound) {
      stopped(static_cast<std::uint16_t>(slot), regs::Fault::memory);
    }
  }
  for (std::size_t link = 0; link < links_.size(); ++link) {
    if (links_[link].port != nullptr && links_[link].up) {
      on_link(static_cast<std::uint16_t>(link), true, "the card is back");
    }
  }
  bus_->flush();
}

/// Slots that the card kept and nobody here knows as bound any more: they were closed while the card was away.
void RelayCard::free_strangers() {
  const SlotRow none{};
  for (std::uint32_t slot = 0; slot < info_.slots; ++slot) {
    if (slot < rows_.size() && state_of(rows_[slot]) != SlotState::free && rows_[slot].in_base != 0) continue;
    bus_->write(row_address(static_cast<std::uint16_t>(slot)), std::as_bytes(std::span(&none, 1)));
  }
}

/// Tries to reach a card that went away. It must be the one that it was.
bool RelayCard::try_again(std::uint64_t now_us) {
  next_try_us_ = now_us + kRetryUs;
  if (!connect()) return false;
  try {
    if (read_info() == info_) {
      if (port_ != nullptr) write_own();
      reach();
    }
  } catch (const std::runtime_error&) {  // what is there is no card, or does not answer
  }
  if (reached_) {
    retry_us_ = kRetryUs;
    return true;
  }
  // It may have held up everything until the bus's time-out: not again soon.
  retry_us_ = std::min(2 * retry_us_, kMostRetryUs);
  next_try_us_ = now_us + retry_us_;
  return false;
}

/// Moves the links of a card that stays away to software. Nobody but the card knew what it took from the peers and
/// acknowledged, so what it carried ends; new pairings are in software.
bool RelayCard::give_up(std::uint64_t now_us) {
  if (give_up_us_ == 0 || now_us - lost_at_us_ < give_up_us_ || !listener().on_card_gone(why())) return false;
  given_up_ = true;
  for (std::size_t slot = 0; slot < places_.size(); ++slot) {
    if (carried(static_cast<std::uint16_t>(slot))) stopped(static_cast<std::uint16_t>(slot), regs::Fault::memory);
  }
  return true;
}

/// Slots that were in software when a link comes to the card: an earlier engine had none. They go on where their marks
/// stand.
void RelayCard::take_up(std::uint16_t link) {
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const auto slot = static_cast<std::uint16_t>(i);
    const SlotRow row = rows_[slot];
    const Slot& files = slot_at(slot);
    if (carried(slot) || state_of(row) != SlotState::bound || row.link != link || !files.own || !files.other) continue;
    pipeline::Binding binding;
    binding.link = row.link;
    binding.peer_slot = row.peer_slot;
    binding.epoch = row.epoch;
    binding.in_order = row.in_order;
    binding.out_order = row.out_order;
    binding.marks = {row.in_head, row.in_head, row.out_tail, row.out_head};
    try {
      SoftCard::unbind(slot);
      place(slot, binding.in_order, binding.out_order);
      bind(slot, binding);
      if (!places_[slot].shared) ring(slot, false);
    } catch (const std::runtime_error&) {  // the card has no room for it
      rows_[slot] = row;
      stopped(slot, regs::Fault::memory);
    }
  }
}

void RelayCard::lost_card() {
  reached_ = false;
  lost_at_us_ = now_us();
  next_try_us_ = lost_at_us_ + kRetryUs;
  for (std::size_t slot = 0; slot < places_.size(); ++slot) {
    if (places_[slot].shared) see_pages(static_cast<std::uint16_t>(slot));
  }
  for (std::size_t link = 0; link < links_.size(); ++link) {
    if (links_[link].port != nullptr && links_[link].up) {
      listener().on_link(static_cast<std::uint16_t>(link), false,
                         stuck_ ? "a command of the card does not end; reset the card" : why());
    }
  }
}

// ---- slots
// ------------------------------------------------------------------------------------------------------------

void RelayCard::place(std::uint16_t slot, unsigned in_order, unsigned out_order) {
  if (in_order > info_.max_order || out_order > info_.max_order) {
    throw std::runtime_error("the card's largest ring is " +
                             std::to_string(ring_lines(info_.max_order) * regs::kLineBytes >> 10) +
                             " KiB; lower memory.ring and memory.max_ring");
  }
  const std::optional<std::uint32_t> in = lines_->take(in_order);
  const std::optional<std::uint32_t> out = in ? lines_->take(out_order) : std::nullopt;
  if (!out) {
    if (in) lines_->give(*in, in_order);
    throw std::runtime_error("the card's slot memory is used up (" + std::to_string(lines_->free_lines()) + " of " +
                             std::to_string(info_.memory_lines) +
                             " lines are free); lower memory.ring, or close connections");
  }
  places_[slot] = {true, false, false, in_order, out_order, *in, *out};
  rows_[slot].in_base = *in;
  rows_[slot].out_base = *out;
}

void RelayCard::open_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, bool with_output) {
  rows_[slot].in_base = rows_[slot].out_base = 0;  // its place is not an earlier one's
  SoftCard::open_slot(slot, in_order, out_order, with_output);
  if (with_output && !given_up_) place(slot, in_order, out_order);
}

void RelayCard::adopt_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, SlotFiles files) {
  const SlotRow& row = rows_[slot];
  if (!files.other || row.in_base == 0) return SoftCard::adopt_slot(slot, in_order, out_order, std::move(files));
  // An earlier engine placed it. Whatever the row says is checked: its places must be free and fit.
  const std::uint32_t in_base = row.in_base, out_base = row.out_base;
  if (in_order > info_.max_order || out_order > info_.max_order || !lines_->take_at(in_base, in_order)) {
    throw std::invalid_argument("the slot's place on the card is taken");
  }
  if (!lines_->take_at(out_base, out_order)) {
    lines_->give(in_base, in_order);
    throw std::invalid_argument("the slot's place on the card is taken");
  }
  try {
    SoftCard::adopt_slot(slot, in_order, out_order, std::move(files));
  } catch (...) {
    lines_->give(in_base, in_order);
    lines_->give(out_base, out_order);
    throw;
  }
  places_[slot] = {true, state_of(row) != SlotState::free, false, in_order, out_order, in_base, out_base};
}

void RelayCard::close_slot(std::uint16_t slot) {
  free_on_card(slot);
  release_place(slot);
  SoftCard::close_slot(slot);  // clears the row, too
}

void RelayCard::release_place(std::uint16_t slot) {
  const Place place = std::exchange(places_[slot], Place{});
  if (!place.placed) return;
  lines_->give(place.in_base, place.in_order);
  lines_->give(place.out_base, place.out_order);
  rows_[slot].in_base = rows_[slot].out_base = 0;
}

void RelayCard::write_row(std::uint16_t slot) {
  bus_->write(row_address(slot), std::as_bytes(std::span(&rows_[slot], 1)));
}

void RelayCard::bind(std::uint16_t slot, const pipeline::Binding& binding) {
  std::erase(stopped_, slot);
  if (!on_card(binding.link)) {
    // Served in software: it needs no place on the card, and a row without a place says so to a later engine.
    free_on_card(slot);
    release_place(slot);
    return SoftCard::bind(slot, binding);
  }
  const Place& place = places_[slot];
  SlotRow row{};
  row.in_order = static_cast<std::uint8_t>(binding.in_order);
  row.out_order = static_cast<std::uint8_t>(binding.out_order);
  row.link = binding.link;
  row.peer_slot = binding.peer_slot;
  row.epoch = binding.epoch;
  row.in_tail = binding.marks.in_tail;
  row.in_head = binding.marks.in_head;
  row.out_tail = binding.marks.out_tail;
  row.out_head = binding.marks.out_head;
  row.limit = row.in_head + binding.credit;
  row.in_base = place.in_base;
  row.out_base = place.out_base;
  row.state = static_cast<std::uint8_t>(SlotState::bound);
  rows_[slot] = row;
  places_[slot].carried = true;
  stats_[slot] = {};
  if (!place.placed || place.in_order != binding.in_order || place.out_order != binding.out_order) {
    return refuse_row(slot);  // it has no place of that size
  }
  if (!reached_) return;
  write_row(slot);
  share(slot);
}

// ---- slots that the card serves itself
// ----------------------------------------------------------------------------------------

/// Hands the slot, which is bound on the card, to a card that serves it itself. False: the engine relays.
bool RelayCard::share(std::uint16_t slot) {
  const SlotFiles& files = slot_at(slot).files;
  if (!bus_->shares_slots() || !files.other) return false;
  const Place& place = places_[slot];
  // A card that is lost over this is taken up again in poll().
  places_[slot].shared =
      bus_->share_slot({slot, place.in_order, place.out_order, files.own.get(), files.other.get(), files.wake.get()});
  return places_[slot].shared;
}

/// From now on the slot's marks are ours again.
void RelayCard::unshare(std::uint16_t slot) {
  if (!std::exchange(places_[slot].shared, false)) return;
  bus_->unshare_slot(slot);
  see_pages(slot);
}

/// What the card did with the slot stands in its pages.
void RelayCard::see_pages(std::uint16_t slot) {
  const Slot& files = slot_at(slot);
  SlotRow& row = rows_[slot];
  if (!files.own || !files.other || state_of(row) == SlotState::free) return;
  const std::uint32_t in_tail = row.in_tail, out_tail = row.out_tail;
  marks_from_pages(row, files.own, files.other);
  if (const auto moved = static_cast<std::int32_t>(row.in_tail - in_tail); moved > 0) {
    stats_[slot].tx_lines += static_cast<std::uint32_t>(moved);
  }
  stats_[slot].rx_lines += row.out_tail - out_tail;
}

bool RelayCard::read_row(std::uint16_t slot, SlotRow& row) {
  const std::size_t at = row_address(slot);
  return bus_->read(at, std::as_writable_bytes(std::span(&row, 1)));
}

/// Is the card's row, of whatever state, one of the slot's present pairing.
bool RelayCard::same_pairing(std::uint16_t slot, const SlotRow& on_it) const {
  const SlotRow& row = rows_[slot];
  // A card that refuses a row forgets its link.
  const bool refused =
      state_of(on_it) == SlotState::faulted && static_cast<regs::Fault>(on_it.fault) == regs::Fault::memory;
  return on_it.epoch == row.epoch && (on_it.link == row.link || refused) && on_it.peer_slot == row.peer_slot &&
         on_it.in_base == row.in_base && on_it.out_base == row.out_base;
}

/// Goes on with a slot that the card carried under an earlier engine, or before it was reset.
void RelayCard::recover(std::uint16_t slot) {
  if (!carried(slot)) return SoftCard::recover(slot);
  SlotRow& row = rows_[slot];
  if (!reached_ || state_of(row) != SlotState::bound) return;
  const Place& place = places_[slot];
  if (bus_->shares_slots()) see_pages(slot);  // it went on without us, and our own row stands still
  if (!place.placed || row.in_order != place.in_order || row.out_order != place.out_order ||
      row.in_base != place.in_base || row.out_base != place.out_base || row.link >= info_.links ||
      row.in_tail - row.in_head > ring_lines(place.in_order) ||
      row.out_tail - row.out_head > ring_lines(place.out_order)) {
    return refuse_row(slot);
  }
  SlotRow on_it{};
  if (!read_row(slot, on_it)) return;
  const bool same = same_pairing(slot, on_it);
  // A card that was reset has its rows free, but their marks and its memory still stand.
  unshare(slot);
  if (same && !take_marks(slot)) return;
  if (same && state_of(on_it) != SlotState::bound && state_of(on_it) != SlotState::free) {
    return stopped(slot, static_cast<regs::Fault>(on_it.fault));
  }
  // What was written last may have been lost on its way: all that the card has not released goes to it once more.
  row.in_tail = row.in_head;
  if (!same || state_of(on_it) == SlotState::free) {
    row.sent = row.high = row.limit = row.in_head;  // the peer is asked what it has room for
    row.told_ack = row.out_tail;
    write_row(slot);
  }
  if (!share(slot)) ring(slot, false);
}

/// R9: a row that cannot be. Nothing may compute with it any more, and the card never hears of it.
void RelayCard::refuse_row(std::uint16_t slot) {
  stopped(slot, regs::Fault::memory);
  const SlotRow none{};
  const std::size_t at = row_address(slot);
  if (reached_) bus_->write(at, std::as_bytes(std::span(&none, 1)));
  Place& place = places_[slot];
  place.carried = false;
  SlotRow& row = rows_[slot];
  row.in_order = static_cast<std::uint8_t>(place.in_order);
  row.out_order = static_cast<std::uint8_t>(place.out_order);
  row.in_base = place.in_base;
  row.out_base = place.out_base;
  if (row.link >= links_.size()) row.link = 0;  // nobody can be told
}

/// Ends the slot's pairing on the card.
void RelayCard::free_on_card(std::uint16_t slot) {
  std::erase(stopped_, slot);
  // A row with a place may be bound on the card though its slot was never taken up here.
  if (!carried(slot) && (state_of(rows_[slot]) == SlotState::free || rows_[slot].in_base == 0)) return;
  unshare(slot);
  rows_[slot] = SlotRow{};
  if (reached_) write_row(slot);
  places_[slot].carried = false;
}

void RelayCard::unbind(std::uint16_t slot) {
  unshare(slot);
  // The process may read all that was acknowledged to the peer, told by the card or not yet.
  if (reached_) take_marks(slot);
  free_on_card(slot);
  SoftCard::unbind(slot);
  rows_[slot].in_base = places_[slot].in_base;
  rows_[slot].out_base = places_[slot].out_base;
}

void RelayCard::fault(std::uint16_t slot, regs::Fault cause) {
  if (!carried(slot)) return SoftCard::fault(slot, cause);
  if (state_of(rows_[slot]) != SlotState::bound) return;
  unshare(slot);
  if (reached_) take_marks(slot);  // what was delivered before stays readable (R8)
  command(regs::CardCommand::fault, slot, cause);
  stopped(slot, cause);
}

void RelayCard::stopped(std::uint16_t slot, regs::Fault fault) {
  SlotRow& row = rows_[slot];
  if (state_of(row) != SlotState::bound) return;
  stopped_.push_back(slot);
  const SlotState state = fault == regs::Fault::peer_reset ? SlotState::reset : SlotState::faulted;
  row.state = static_cast<std::uint8_t>(state);
  row.fault = static_cast<std::uint8_t>(fault);
}

bool RelayCard::tell_stopped() {
  if (stopped_.empty()) return false;
  // The listener may unbind or close these and others meanwhile.
  while (!stopped_.empty()) {
    const std::uint16_t slot = stopped_.back();
    stopped_.pop_back();
    listener().on_fault(slot, static_cast<regs::Fault>(rows_[slot].fault));
  }
  return true;
}

const pipeline::SlotStats& RelayCard::stats(std::uint16_t slot) const {
  return carried(slot) ? stats_[slot] : SoftCard::stats(slot);
}

// ---- lines and marks
// --------------------------------------------------------------------------------------------------

void RelayCard::look(std::uint16_t slot) {
  if (!carried(slot)) return SoftCard::look(slot);
  if (places_[slot].shared) return see_pages(slot);
  ring(slot, true);
}

bool RelayCard::drained(std::uint16_t slot) const {
  if (!carried(slot) || (reached_ && !places_[slot].shared)) return SoftCard::drained(slot);
  // Nothing was looked at since the card went away, or the card looks itself.
  const Slot& files = slot_at(slot);
  if (!files.own) return false;
  const std::uint32_t in_head =
      places_[slot].shared ? files.other.marks().head.load(std::memory_order_acquire) : rows_[slot].in_head;
  return files.own.marks().tail.load(std::memory_order_acquire) == in_head;
}

/// Brings the process's marks to the card, and the lines before them.
void RelayCard::ring(std::uint16_t slot, bool moved_only) {
  const Slot& files = slot_at(slot);
  SlotRow& row = rows_[slot];
  if (!files.own || !reached_ || state_of(row) != SlotState::bound) return;
  stats_[slot].tx_lines += relay_.ring(slot, row, files.own, moved_only).lines;
}

/// Takes the slot's proxy marks from the card: delivered lines go to the process, then both marks.
bool RelayCard::take_marks(std::uint16_t slot) {
  SlotRow& row = rows_[slot];
  Slot& files = slot_at(slot);
  if (!carried(slot) || !files.other || state_of(row) != SlotState::bound) return true;
  if (places_[slot].shared) {
    see_pages(slot);
    return true;
  }
  const std::optional<std::uint32_t> delivered = relay_.take(slot, row, files.other);
  if (!delivered) return false;
  stats_[slot].rx_lines += *delivered;
  show_marks(files, row.in_head, row.out_tail);
  return true;
}

bool RelayCard::drain_card() {
  if (bus_->take_interrupts() == 0 && !look_once_) return false;
  look_once_ = false;
  bool all = false;
  // Cleared first: what moves from now on raises another one.
  bus_->write32(regs::kCardControl + regs::kCtlPending, ~std::uint32_t{0});
  for (std::size_t looks = 0; looks <= 2 * rows_.size(); ++looks) {
    std::uint32_t moved = 0;
    if (!bus_->read(regs::kCardControl + regs::kCtlMoved, std::as_writable_bytes(std::span(&moved, 1)))) return true;
    all = (moved >> 31) == 0;
    if (all) break;
    bus_->write32(regs::kCardControl + regs::kCtlMoved, 0);
    const std::uint32_t slot = moved & 0xffff;
    if (slot < rows_.size() && !take_marks(static_cast<std::uint16_t>(slot))) return true;
  }
  look_once_ = !all;
  for (std::size_t looks = 0; looks <= 2 * rows_.size(); ++looks) {
    std::uint32_t event = 0;
    if (!bus_->read(regs::kCardControl + regs::kCtlEvent, std::as_writable_bytes(std::span(&event, 1)))) return true;
    if ((event >> 30) == 0) return true;
    bus_->write32(regs::kCardControl + regs::kCtlEvent, 0);
    if (!take_event(event)) return true;
  }
  look_once_ = true;  // there is more
  return true;
}

/// False: the card did not answer.
bool RelayCard::take_event(std::uint32_t event) {
  if ((event >> 30 & 1) != 0) {  // some were lost: the rows tell
    for (std::size_t slot = 0; slot < rows_.size(); ++slot) {
      if (carried(static_cast<std::uint16_t>(slot))) recover(static_cast<std::uint16_t>(slot));
    }
  }
  const auto slot = static_cast<std::uint16_t>(event & 0xffff);
  if ((event >> 31) == 0 || slot >= rows_.size() || !carried(slot)) return true;
  // It may be of a pairing that this slot had before: the card's row says which stopped, and why.
  SlotRow on_it{};
  if (!read_row(slot, on_it)) return false;
  if (!same_pairing(slot, on_it) || state_of(on_it) == SlotState::bound) return true;
  if (places_[slot].shared) {
    unshare(slot);
    // What the process wrote last may be what stopped it: the card knows what was good.
    rows_[slot].in_tail = on_it.in_tail;
    rows_[slot].out_head = on_it.out_head;
  }
  // What was delivered before stays readable (R8).
  if (!take_marks(slot)) return false;
  stopped(slot, static_cast<regs::Fault>(event >> 16 & 0xff));
  return true;
}

// ---- links
// ------------------------------------------------------------------------------------------------------------

void RelayCard::set_route(std::uint16_t link, carriers::Carrier& carrier, const pipeline::LinkParameters& config) {
  clear_route(link);
  if (auto* port = dynamic_cast<CardPort*>(&carrier)) {
    if (link >= info_.links) {
      throw std::runtime_error("the card has " + std::to_string(info_.links) + " links; link " + std::to_string(link) +
                               " is one too many");
    }
    port_ = port;
    links_[link] = {port, config, false};
    write_own();
    SoftCard::set_route(link, carrier, config);
    return take_up(link);
  }
  SoftCard::set_route(link, carrier, config);
}

/// Tells the card its own address: from now on it takes frames.
void RelayCard::write_own() {
  const CardRoute own = port_->own();
  const std::array<std::uint32_t, 4> registers{own.ip, own.port, mac_high(own.mac), mac_low(own.mac)};
  bus_->write(regs::kCardControl + regs::kCtlOwnIp, std::as_bytes(std::span(registers)));
}

void RelayCard::clear_route(std::uint16_t link) {
  if (on_card(link)) {
    links_[link].up = false;
    if (reached_) {
      write_link(link);
      command(regs::CardCommand::link_down, link, regs::Fault::none);
    }
    links_[link] = {};
  }
  SoftCard::clear_route(link);
}

bool RelayCard::link_up(std::uint16_t link) const {
  return on_card(link) ? links_[link].up && reached_ : SoftCard::link_up(link);
}

void RelayCard::write_link(std::uint16_t link) {
  const CardLink& l = links_[link];
  const CardRoute& route = l.port->route(link);
  regs::LinkRow row{};
  row.up = l.up ? 1 : 0;
  row.lines_per_frame = static_cast<std::uint16_t>(l.port->lines_per_frame());
  row.rto_us = l.config.retransmit_us;
  row.rto_max_us = l.config.retransmit_max_us;
  row.ack_delay_us = l.config.ack_delay_us;
  row.peer_ip = route.ip;
  row.peer_port = route.port;
  row.peer_mac_high = mac_high(route.mac);
  row.peer_mac_low = static_cast<std::uint16_t>(mac_low(route.mac));
  std::array<std::byte, regs::kLineBytes> line{};
  std::memcpy(line.data(), &row, sizeof row);
  bus_->write(regs::kCardLinkRows + std::size_t{link} * regs::kLineBytes, line);
}

bool RelayCard::command(regs::CardCommand what, std::uint16_t target, regs::Fault cause) {
  if (!reached_) return false;
  const std::size_t at = regs::kCardControl + regs::kCtlCommand;
  std::uint32_t busy = 1;
  for (int looks = 0; busy != 0 && looks < kCommandLooks; ++looks) {
    if (!bus_->read(at, std::as_writable_bytes(std::span(&busy, 1)))) return false;
  }
  if (busy == 0)
    bus_->write32(
        at, static_cast<std::uint32_t>(what) | static_cast<std::uint32_t>(cause) << 8 | std::uint32_t{target} << 16);
  stuck_ = busy != 0;  // what was wanted is lost: the card is taken up anew
  return !stuck_;
}

void RelayCard::on_link(std::uint16_t link, bool up, std::string_view reason) {
  if (!on_card(link)) return SoftCard::on_link(link, up, reason);
  links_[link].up = up;
  if (!reached_) return;
  write_link(link);
  command(up ? regs::CardCommand::link_up : regs::CardCommand::link_down, link, regs::Fault::none);
  bus_->flush();
  listener().on_link(link, up, reason);
}

// ---- running
// ----------------------------------------------------------------------------------------------------------

bool RelayCard::poll(std::uint64_t now_us) {
  bool busy = SoftCard::poll(now_us);
  if (reached_) {
    busy |= drain_card();
    bus_->flush();
    if (!bus_->broken().empty() || stuck_) lost_card();
  } else if (!given_up_ && now_us >= next_try_us_) {
    busy |= try_again(now_us) || give_up(now_us);
  }
  busy |= tell_stopped();
  return busy;
}

bool RelayCard::prepare_sleep() {
  if (!stopped_.empty()) return false;
  if (reached_) {
    // An interrupt that came with the answer to a read no longer shows at the descriptor.
    if (bus_->take_interrupts() != 0) look_once_ = true;
    bus_->flush();
    if (look_once_ || stuck_ || !bus_->broken().empty()) return false;
  }
  return SoftCard::prepare_sleep();
}

std::uint32_t RelayCard::timer_us(std::uint64_t now_us) const {
  const std::uint32_t timer = SoftCard::timer_us(now_us);
  if (reached_ || given_up_) return timer;
  return std::min(timer, now_us >= next_try_us_ ? 0 : static_cast<std::uint32_t>(next_try_us_ - now_us));
}

std::uint64_t RelayCard::counter(regs::Counter counter) const {
  if (reached_ && (counters_at_us_ == 0 || now_us() - counters_at_us_ > kCountersUs)) {
    std::array<std::uint64_t, (regs::kCounterCount + 7) / 8 * 8> read{};
    if (bus_->read(regs::kCardCapabilities + regs::kCapCounters, std::as_writable_bytes(std::span(read)))) {
      std::copy_n(read.begin(), counters_.size(), counters_.begin());
      counters_at_us_ = now_us();
    }
  }
  return SoftCard::counter(counter) + counters_[static_cast<std::size_t>(counter)];
}

}  // namespace slotwire::driver
