#include "driver/relay/hardware_mover.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace slotwire::driver {
namespace {

using regs::SlotRow;
using regs::SlotState;

SlotState state_of(const SlotRow& row) {
  return static_cast<SlotState>(row.state);
}

}  // namespace

// --- slots ---

void HardwareMover::place(std::uint16_t slot, unsigned in_order, unsigned out_order) {
  if (in_order > info_.max_order || out_order > info_.max_order) {
    throw std::runtime_error("the card's largest ring is " +
                             std::to_string(ring_lines(info_.max_order) * regs::kLineBytes >> 10) +
                             " KiB; lower memory.ring and memory.max_ring");
  }
  const std::optional<std::uint32_t> in = lines_->take(in_order);
  const std::optional<std::uint32_t> out = in ? place_output(slot, out_order) : std::nullopt;
  if (!out) {
    if (in) lines_->give(*in, in_order);
    throw std::runtime_error("the card's slot memory is used up (" + std::to_string(lines_->free_lines()) + " of " +
                             std::to_string(info_.memory_lines) +
                             " lines are free); lower memory.ring, or close connections");
  }
  Place& made = places_[slot];
  made.placed = true;
  made.in_order = in_order;
  made.out_order = out_order;
  made.in_base = *in;
  made.out_base = *out;
  rows_[slot].in_base = *in;
  rows_[slot].out_base = *out;
}

/// A place for an output space: memory of this host, else, with the reason in the slot's place, the card's. None: the
/// card has no room.
std::optional<std::uint32_t> HardwareMover::place_output(std::uint16_t slot, unsigned out_order) {
  std::string& why = places_[slot].why;
  if (why.empty()) why = host_.map(slot, mappings_[slot]);
  return why.empty() ? std::optional(regs::kRowBaseDma) : lines_->take(out_order);
}

/// The pages that the card had of the slot are not its any more.
void HardwareMover::place_output_anew(std::uint16_t slot) {
  Place& place = places_[slot];
  const std::optional<std::uint32_t> out = place_output(slot, place.out_order);
  place.came = true;
  // Without a place the row, which fits nothing, is refused when it is to be bound.
  place.out_base = out.value_or(0);
  if (rows_[slot].in_base != 0) rows_[slot].out_base = place.out_base;
  if (!out) place.why += "; and the card's slot memory is used up";
  listener_.on_output(slot);
}

std::optional<OutputPlace> HardwareMover::output(std::uint16_t slot) const {
  const Place& place = places_[slot];
  if (!place.placed) return std::nullopt;
  return OutputPlace{host_.mapped_bytes(slot), place.why};
}

void HardwareMover::open(std::uint16_t slot, unsigned in_order, unsigned out_order) {
  rows_[slot].in_base = rows_[slot].out_base = 0;  // its place is not an earlier one's
  stats_[slot] = {};
  std::string why = std::move(places_[slot].why);
  places_[slot] = {};
  places_[slot].why = std::move(why);
  if (mappings_[slot].other) place(slot, in_order, out_order);
}

/// An earlier engine placed it. Whatever the row says is checked: its places must be free and fit.
void HardwareMover::adopt(std::uint16_t slot, unsigned in_order, unsigned out_order) {
  const SlotRow& row = rows_[slot];
  const std::uint32_t in_base = row.in_base, out_base = row.out_base;
  if (in_order > info_.max_order || out_order > info_.max_order || !lines_->take_at(in_base, in_order)) {
    throw std::invalid_argument("the slot's place on the card is taken");
  }
  Place& made = places_[slot];
  made = {};
  made.in_order = in_order;
  made.out_order = out_order;
  made.in_base = in_base;
  made.out_base = out_base;
  if (out_base == regs::kRowBaseDma) {
    place_output_anew(slot);
  } else {
    made.why = "an earlier slotwired placed it on the card, where it stays until it is closed";
  }
  if (out_base == regs::kRowBaseDma ? made.out_base == 0 : !lines_->take_at(out_base, out_order)) {
    lines_->give(in_base, in_order);
    made = {};
    throw std::invalid_argument("the slot's place on the card is taken");
  }
  made.placed = true;
  made.carried = state_of(row) != SlotState::free;
}

void HardwareMover::close(std::uint16_t slot) {
  free_on_card(slot);
  release_place(slot);
  rows_[slot] = SlotRow{};
}

void HardwareMover::release_place(std::uint16_t slot) {
  const Place place = std::exchange(places_[slot], Place{});
  if (!place.placed) return;
  lines_->give(place.in_base, place.in_order);
  if (place.out_base == regs::kRowBaseDma) {
    host_.take_back(slot);  // of a card that does not answer: the pages are out of its reach all the same
    host_.unmap(slot);
  } else if (place.out_base != 0) {
    lines_->give(place.out_base, place.out_order);
  }
  rows_[slot].in_base = rows_[slot].out_base = 0;
}

void HardwareMover::bind(std::uint16_t slot, const pipeline::Binding& binding) {
  std::erase(stopped_, slot);
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
  if (!place.placed || place.in_order != binding.in_order || place.out_order != binding.out_order ||
      place.out_base == 0) {
    return refuse_row(slot);  // it has no place of that size
  }
  if (!reached_) return;
  places_[slot].came = false;
  if (in_host(slot)) host_.allow(slot);
  write_row(slot);
  share(slot);
}

// --- slots that the card serves itself ---

/// Hands the slot, which is bound on the card, to a card that serves it itself. False: the engine relays.
bool HardwareMover::share(std::uint16_t slot) {
  const SlotFiles& files = mappings_[slot].files;
  if (!bus_->shares_slots() || !files.other) return false;
  const Place& place = places_[slot];
  // A card that is lost over this is taken up again in poll().
  places_[slot].shared =
      bus_->share_slot({slot, place.in_order, place.out_order, files.own.get(), files.other.get(), files.wake.get()});
  return places_[slot].shared;
}

/// From now on the slot's marks are ours again.
void HardwareMover::unshare(std::uint16_t slot) {
  if (!std::exchange(places_[slot].shared, false)) return;
  bus_->unshare_slot(slot);
  see_pages(slot);
}

/// What the card did with the slot stands in its pages.
void HardwareMover::see_pages(std::uint16_t slot) {
  const SlotMapping& memory = mappings_[slot];
  SlotRow& row = rows_[slot];
  if (!memory.own || !memory.other || state_of(row) == SlotState::free) return;
  const std::uint32_t in_tail = row.in_tail, out_tail = row.out_tail;
  marks_from_pages(row, memory.own, memory.other);
  if (const auto moved = static_cast<std::int32_t>(row.in_tail - in_tail); moved > 0) {
    stats_[slot].tx_lines += static_cast<std::uint32_t>(moved);
  }
  stats_[slot].rx_lines += row.out_tail - out_tail;
}

/// Is the card's row, of whatever state, one of the slot's present pairing.
bool HardwareMover::same_pairing(std::uint16_t slot, const SlotRow& on_it) const {
  const SlotRow& row = rows_[slot];
  // A card that refuses a row forgets its link.
  const bool refused =
      state_of(on_it) == SlotState::faulted && static_cast<regs::Fault>(on_it.fault) == regs::Fault::memory;
  return on_it.epoch == row.epoch && (on_it.link == row.link || refused) && on_it.peer_slot == row.peer_slot &&
         on_it.in_base == row.in_base && (on_it.out_base == row.out_base || places_[slot].came);
}

/// A row that an earlier engine left: it is the place's, and its marks fit its rings.
bool HardwareMover::fits(std::uint16_t slot) const {
  const SlotRow& row = rows_[slot];
  const Place& place = places_[slot];
  return place.placed && row.in_order == place.in_order && row.out_order == place.out_order &&
         row.in_base == place.in_base && row.out_base == place.out_base && row.out_base != 0 &&
         row.link < info_.links && row.in_tail - row.in_head <= ring_lines(place.in_order) &&
         row.out_tail - row.out_head <= ring_lines(place.out_order);
}

/// Goes on with a slot that the card carried under an earlier engine, or before it was reset.
void HardwareMover::recover(std::uint16_t slot) {
  SlotRow& row = rows_[slot];
  if (!carried(slot) || !reached_ || state_of(row) != SlotState::bound) return;
  if (bus_->shares_slots()) see_pages(slot);  // it went on without us, and our own row stands still
  if (!fits(slot)) return refuse_row(slot);
  std::optional<SlotRow> on_it = card_.read_row(slot);
  if (!on_it) return;
  const bool same = same_pairing(slot, *on_it);
  if (in_host(slot) && !host_.allowed(slot) && state_of(*on_it) == SlotState::bound) {
    // It goes on for pages that are not ours to rely on.
    on_it->state = static_cast<std::uint8_t>(SlotState::free);
    card_.write_row(slot, *on_it);
  }
  // A card that was reset has its rows free, but their marks and its memory still stand.
  unshare(slot);
  if (same && !take_marks(slot)) return;
  if (same && state_of(*on_it) != SlotState::bound && state_of(*on_it) != SlotState::free) {
    return stopped(slot, static_cast<regs::Fault>(on_it->fault));
  }
  // What was written last may have been lost on its way: all that the card has not released goes to it once more.
  row.in_tail = row.in_head;
  if (!same || state_of(*on_it) == SlotState::free) {
    row.sent = row.high = row.limit = row.in_head;  // the peer is asked what it has room for
    row.told_ack = row.out_tail;
    places_[slot].came = false;
    if (in_host(slot)) host_.allow(slot);
    write_row(slot);
  }
  if (!share(slot)) ring(slot, false);
}

/// Rejects an invalid row (R9): nothing computes with it any more, and it is never written to the card.
void HardwareMover::refuse_row(std::uint16_t slot) {
  stopped(slot, regs::Fault::memory);
  if (reached_) card_.write_row(slot, {});
  host_.take_back(slot);
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
void HardwareMover::free_on_card(std::uint16_t slot) {
  std::erase(stopped_, slot);
  // A row with a place may be bound on the card though its slot was never taken up here.
  if (!carried(slot) && (state_of(rows_[slot]) == SlotState::free || rows_[slot].in_base == 0)) return;
  unshare(slot);
  rows_[slot] = SlotRow{};
  if (reached_) {
    write_row(slot);
    host_.take_back(slot);
  }
  places_[slot].carried = false;
}

void HardwareMover::unbind(std::uint16_t slot) {
  unshare(slot);
  // The process may read all that was acknowledged to the peer, told by the card or not yet.
  if (reached_) take_marks(slot);
  free_on_card(slot);
  rows_[slot] = SlotRow{};
  rows_[slot].in_base = places_[slot].in_base;
  rows_[slot].out_base = places_[slot].out_base;
}

void HardwareMover::fault(std::uint16_t slot, regs::Fault cause) {
  if (state_of(rows_[slot]) != SlotState::bound) return;
  unshare(slot);
  if (reached_) take_marks(slot);  // what was delivered before stays readable (R8)
  card_.command(regs::CardCommand::fault, slot, cause);
  stopped(slot, cause);
}

void HardwareMover::stopped(std::uint16_t slot, regs::Fault fault) {
  SlotRow& row = rows_[slot];
  if (state_of(row) != SlotState::bound) return;
  stopped_.push_back(slot);
  const SlotState state = fault == regs::Fault::peer_reset ? SlotState::reset : SlotState::faulted;
  row.state = static_cast<std::uint8_t>(state);
  row.fault = static_cast<std::uint8_t>(fault);
}

bool HardwareMover::tell_stopped() {
  if (stopped_.empty()) return false;
  // The listener may unbind or close these and others meanwhile.
  while (!stopped_.empty()) {
    const std::uint16_t slot = stopped_.back();
    stopped_.pop_back();
    listener_.on_fault(slot, static_cast<regs::Fault>(rows_[slot].fault));
  }
  return true;
}

// --- lines and marks ---

void HardwareMover::look(std::span<const std::uint16_t> slots, std::uint64_t now_us) {
  now_us_ = now_us;
  for (const std::uint16_t slot : slots) {
    if (places_[slot].shared) {
      see_pages(slot);
    } else {
      ring(slot, true);
    }
  }
}

bool HardwareMover::drained(std::uint16_t slot) const {
  const SlotRow& row = rows_[slot];
  if (!carried(slot) || (reached_ && !places_[slot].shared)) return row.in_head == row.in_tail;
  // Nothing was looked at since the card went away, or the card looks itself.
  const SlotMapping& memory = mappings_[slot];
  if (!memory.own) return false;
  const std::uint32_t in_head =
      places_[slot].shared ? memory.other.marks().head.load(std::memory_order_acquire) : row.in_head;
  return memory.own.marks().tail.load(std::memory_order_acquire) == in_head;
}

/// Brings the process's marks to the card, and the lines before them.
void HardwareMover::ring(std::uint16_t slot, bool moved_only) {
  const SlotMapping& memory = mappings_[slot];
  SlotRow& row = rows_[slot];
  if (!memory.own || !reached_ || !carried(slot) || state_of(row) != SlotState::bound) return;
  const SlotRelay::ProcessMarks marks(memory.own);
  // The process sees the card's marks before us: what it did because of one is judged by that one. They are read after
  // its own, which they allowed.
  if (host_.allowed(slot)) see_host(slot);
  stats_[slot].tx_lines += relay_.ring(slot, row, memory.own, marks, moved_only).lines;
}

/// Takes the slot's proxy marks from the card: delivered lines go to the process, then both marks.
bool HardwareMover::take_marks(std::uint16_t slot) {
  SlotRow& row = rows_[slot];
  SlotMapping& memory = mappings_[slot];
  if (!carried(slot) || !memory.other || state_of(row) != SlotState::bound) return true;
  if (places_[slot].shared) {
    see_pages(slot);
    return true;
  }
  if (host_.allowed(slot)) {
    if (!host_.settle(slot)) return false;
    see_host(slot);
    return true;
  }
  if (in_host(slot) || places_[slot].came) return take_shown(slot);
  const std::optional<std::uint32_t> delivered = relay_.take(slot, row, memory.other);
  if (!delivered) return false;
  stats_[slot].rx_lines += *delivered;
  memory.show_marks(row.in_head, row.out_tail);
  return true;
}

/// Takes the marks that the card still shows of a slot whose lines it wrote into memory of this host before it went
/// away, or was reset: they are there, and nobody writes marks there now.
bool HardwareMover::take_shown(std::uint16_t slot) {
  SlotRow& row = rows_[slot];
  const std::optional<SlotRelay::Marks> marks = relay_.shown(slot);
  if (!marks) return false;
  if (!SlotRelay::follows(row, *marks)) return true;
  stats_[slot].rx_lines += marks->out_tail - row.out_tail;
  row.out_tail = marks->out_tail;
  row.in_head = marks->in_head;
  mappings_[slot].show_marks(row.in_head, row.out_tail);
  // The card may have stored marks for which nobody was left to wake the process.
  mappings_[slot].wake_for(slot::kWaitReadable | slot::kWaitWritable, row.out_tail);
  return true;
}

/// Takes the marks that the card wrote into memory of this host. The process has seen them already, unless it sleeps.
/// They are only believed as far as they fit: whoever can write there may harm this slot and no other.
void HardwareMover::see_host(std::uint16_t slot) {
  SlotRow& row = rows_[slot];
  SlotMapping& memory = mappings_[slot];
  if (!carried(slot) || !memory.other || state_of(row) != SlotState::bound) return;
  const slot::MarkPage& page = memory.other.marks();
  const SlotRelay::Marks marks{page.head.load(std::memory_order_acquire), page.tail.load(std::memory_order_acquire)};
  if (!SlotRelay::follows(row, marks)) return;
  const std::uint32_t moved = (marks.out_tail != row.out_tail ? slot::kWaitReadable : 0U) |
                              (marks.in_head != row.in_head ? slot::kWaitWritable : 0U);
  stats_[slot].rx_lines += marks.out_tail - row.out_tail;
  row.out_tail = marks.out_tail;
  row.in_head = marks.in_head;
  if (moved != 0) memory.wake_for(moved, row.out_tail);
}

/// Takes the marks of all slots that moved. False: the card did not answer.
bool HardwareMover::take_moved() {
  const std::size_t most = 2 * rows_.size() + 1;
  moved_.clear();
  bool all = false;
  for (std::size_t looks = 0; looks < most && !all; ++looks) {
    const std::optional<std::uint32_t> moved = card_.take_moved();
    if (!moved) return false;
    all = *moved == CardRegisters::kNothing;
    if (*moved >= rows_.size()) continue;
    const auto slot = static_cast<std::uint16_t>(*moved);
    if (host_.allowed(slot)) {
      moved_.push_back(slot);
    } else if (!take_marks(slot)) {
      return false;
    }
  }
  look_once_ = !all;
  if (moved_.empty()) return true;
  // The card says that a mark moved when it shows it, which may be before it is in memory; the interrupt of that may
  // have been taken with the others. One question for all of them.
  if (!host_.settle(moved_.front())) return false;
  for (const std::uint16_t slot : moved_) see_host(slot);
  return true;
}

/// Takes what the card has to tell. A card that stops answering in between is lost in poll().
bool HardwareMover::drain_card() {
  if (bus_->take_interrupts() == 0 && !look_once_) return false;
  look_once_ = false;
  // Cleared first: what moves from now on raises another one.
  card_.clear_interrupts();
  if (!take_moved()) return true;
  const std::size_t most = 2 * rows_.size() + 1;
  for (std::size_t looks = 0; looks < most; ++looks) {
    const std::optional<CardRegisters::Event> event = card_.take_event();
    if (!event || !event->any) return true;
    if (!take_event(*event)) return true;
  }
  look_once_ = true;  // there is more
  return true;
}

/// False: the card did not answer.
bool HardwareMover::take_event(const CardRegisters::Event& event) {
  if (event.lost) {  // the rows tell
    for (std::size_t slot = 0; slot < rows_.size(); ++slot) {
      if (carried(static_cast<std::uint16_t>(slot))) recover(static_cast<std::uint16_t>(slot));
    }
  }
  const std::uint16_t slot = event.slot;
  if (!event.stopped || slot >= rows_.size() || !carried(slot)) return true;
  // It may be of a pairing that this slot had before: the card's row says which stopped, and why.
  const std::optional<SlotRow> on_it = card_.read_row(slot);
  if (!on_it) return false;
  if (!same_pairing(slot, *on_it) || state_of(*on_it) == SlotState::bound) return true;
  if (places_[slot].shared) {
    unshare(slot);
    // What the process wrote last may be what stopped it: the card knows what was good.
    rows_[slot].in_tail = on_it->in_tail;
    rows_[slot].out_head = on_it->out_head;
  }
  // What was delivered before stays readable (R8).
  if (!take_marks(slot)) return false;
  stopped(slot, event.fault);
  return true;
}

// --- links ---

void HardwareMover::set_route(std::uint16_t link, const Route& route, const pipeline::LinkParameters& config) {
  const auto* on_card = std::get_if<OnCard>(&route);
  if (on_card == nullptr) throw std::invalid_argument("a link on the card needs a neighbour");
  clear_route(link);
  if (link >= info_.links) {
    throw std::runtime_error("the card has " + std::to_string(info_.links) + " links; link " + std::to_string(link) +
                             " is one too many");
  }
  neighbours_->add(link, on_card->neighbour);
  links_[link] = {true, false, config};
  routed_ = true;
  card_.write_own(neighbours_->own());
}

void HardwareMover::clear_route(std::uint16_t link) {
  Link& l = links_[link];
  if (!l.routed) return;
  l.up = false;
  if (reached_) {
    write_link(link);
    card_.command(regs::CardCommand::link_down, link);
  }
  neighbours_->remove(link);
  l = {};
}

void HardwareMover::write_link(std::uint16_t link) {
  const Link& l = links_[link];
  const CardAddress& to = neighbours_->neighbour(link);
  regs::LinkRow row{};
  row.up = l.up ? 1 : 0;
  row.lines_per_frame = static_cast<std::uint16_t>(
      std::min<std::size_t>({l.config.lines_per_frame, options_.frame_lines, info_.max_frame_lines}));
  row.rto_us = l.config.retransmit_us;
  row.rto_max_us = l.config.retransmit_max_us;
  row.ack_delay_us = l.config.ack_delay_us;
  row.peer_ip = to.ip;
  row.peer_port = to.port;
  row.peer_mac_high = mac_high(to.mac);
  row.peer_mac_low = static_cast<std::uint16_t>(mac_low(to.mac));
  card_.write_link(link, row);
}

void HardwareMover::on_neighbour(std::uint16_t link, bool known, std::string_view why) {
  links_[link].up = known;
  if (!reached_) return;
  write_link(link);
  card_.command(known ? regs::CardCommand::link_up : regs::CardCommand::link_down, link);
  bus_->flush();
  listener_.on_link(link, known, why);
}

// --- running ---

bool HardwareMover::poll(std::uint64_t now_us) {
  now_us_ = now_us;
  bool busy = false;
  if (!given_up_) neighbours_->poll(now_us, *this);
  if (reached_) {
    busy |= drain_card();
    bus_->flush();
    if (!bus_->broken().empty() || card_.stuck()) lose();
  } else if (!given_up_ && now_us >= next_try_us_) {
    busy |= try_again() || give_up();
  }
  busy |= tell_stopped();
  return busy;
}

bool HardwareMover::prepare_sleep() {
  if (!stopped_.empty()) return false;
  if (!reached_) return true;
  // An interrupt that came with the answer to a read no longer shows at the descriptor.
  if (bus_->take_interrupts() != 0) look_once_ = true;
  bus_->flush();
  return !look_once_ && !card_.stuck() && bus_->broken().empty();
}

std::uint32_t HardwareMover::timer_us(std::uint64_t now_us) const {
  if (reached_ || given_up_) return pipeline::Pipeline::kNoTimer;
  return now_us >= next_try_us_ ? 0 : static_cast<std::uint32_t>(next_try_us_ - now_us);
}

/// Not older than kCountersUs while the card answers.
const CardRegisters::Counters& HardwareMover::counters() const {
  if (reached_ && (counters_at_us_ == 0 || now_us_ - counters_at_us_ > kCountersUs)) {
    if (const auto read = card_.read_counters()) {
      counters_ = *read;
      counters_at_us_ = now_us_;
    }
  }
  return counters_;
}

std::uint64_t HardwareMover::counter(regs::Counter counter) const {
  return counters().pipeline[static_cast<std::size_t>(counter)];
}

std::uint64_t HardwareMover::counter(regs::CardCounter counter) const {
  return counters().card[static_cast<std::size_t>(counter)];
}

}  // namespace slotwire::driver
