#include "driver/router/routed_card.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/slot/waiter.hpp"

namespace slotwire::driver {
namespace {

/// New files for a slot. Throws as Card::open_slot().
SlotFiles make_files(std::uint16_t slot, unsigned in_order, unsigned out_order, bool with_output) {
  const std::string name = "slotwire-slot" + std::to_string(slot);
  SlotFiles files;
  files.own = slot::create_sealed_file(name + "-in", slot::space_file_bytes(in_order));
  if (with_output) files.other = slot::create_sealed_file(name + "-out", slot::space_file_bytes(out_order));
  files.wake = slot::create_event();
  return files;
}

/// Maps a slot's files. Throws as Card::adopt_slot().
SlotMapping make_mapping(unsigned in_order, unsigned out_order, SlotFiles files) {
  SlotMapping made;
  made.own = slot::Space(files.own.get(), in_order, slot::Access::read_write);
  if (files.other) made.other = slot::Space(files.other.get(), out_order, slot::Access::read_write);
  made.files = std::move(files);
  return made;
}

slot::Fd duplicate(const slot::Fd& fd) {
  if (!fd) return {};
  slot::Fd made(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!made) carriers::throw_errno("a slot's descriptor cannot be duplicated (raise the limit of open files)");
  return made;
}

bool is_bound(const regs::SlotRow& row) {
  return static_cast<regs::SlotState>(row.state) == regs::SlotState::bound;
}

}  // namespace

RoutedCard::RoutedCard(RoutedCardParts parts)
    : parts_(std::move(parts)),
      tables_(*parts_.tables),
      slot_movers_(tables_.slots.size(), kNoMover),
      link_movers_(parts_.links, kSoft),
      home_bells_(kHomeThread, tables_.inboxes, tables_.slots.size(), parts_.demote_us),
      bells_(takers(), parts_.sessions, tables_.slots.size()) {
  movers_.push_back(parts_.soft.get());
  if (parts_.hardware) {
    hardware_ = static_cast<MoverNumber>(movers_.size());
    movers_.push_back(parts_.hardware.get());
  }
  first_worker_ = static_cast<MoverNumber>(movers_.size());
  for (const auto& worker : parts_.workers) movers_.push_back(worker.get());
}

RoutedCard::~RoutedCard() {
  // All of them, before any is destroyed: they wake each other.
  for (const auto& worker : parts_.workers) worker->stop();
}

std::vector<BellTaker*> RoutedCard::takers() {
  std::vector<BellTaker*> takers{&home_bells_};
  for (const auto& worker : parts_.workers) takers.push_back(worker.get());
  return takers;
}

// --- slots ---

/// Whoever moves lines of `slot` over `link`.
RoutedCard::MoverNumber RoutedCard::number_for(std::uint16_t slot, std::uint16_t link) const {
  if (link >= link_movers_.size()) return kSoft;
  if (!tables_.spread.is_spread(link)) return link_movers_[link];
  return static_cast<MoverNumber>(first_worker_ + slot % parts_.workers.size());
}

/// Of a slot that nobody was chosen for: whoever had it in an earlier life of the engine, else software.
Mover& RoutedCard::mover_of(std::uint16_t slot) const {
  const MoverNumber number = slot_movers_[slot];
  if (number != kNoMover) return *movers_[number];
  return hardware_ != kNoMover && movers_[hardware_]->had(slot) ? *movers_[hardware_] : *movers_[kSoft];
}

ThreadNumber RoutedCard::thread_of(std::uint16_t slot) const {
  const MoverNumber number = slot_movers_[slot];
  const bool with_worker = number != kNoMover && number >= first_worker_;
  return with_worker ? static_cast<ThreadNumber>(1 + number - first_worker_) : kHomeThread;
}

void RoutedCard::give(std::uint16_t slot, MoverNumber to) {
  slot_movers_[slot] = to;
  if (thread_of(slot) == kHomeThread && to != kNoMover) {
    home_bells_.take_slot(slot);
  } else {
    home_bells_.release_slot(slot);
  }
}

void RoutedCard::prepare_slot(std::uint16_t slot, std::uint16_t link) {
  slot_movers_[slot] = number_for(slot, link);
}

void RoutedCard::keep_output_on_card(std::uint16_t slot, std::string why) {
  if (slot_movers_[slot] != kNoMover) movers_[slot_movers_[slot]]->keep_output_on_card(slot, std::move(why));
}

std::optional<HostMemoryReport> RoutedCard::host_memory() const {
  return parts_.host_memory ? std::optional(parts_.host_memory()) : std::nullopt;
}

void RoutedCard::open_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, bool with_output) {
  const MoverNumber to = slot_movers_[slot] == kNoMover || !with_output ? kSoft : slot_movers_[slot];
  // Files and mappings take long: they are made here, while workers go on.
  tables_.slots[slot] = make_mapping(in_order, out_order, make_files(slot, in_order, out_order, with_output));
  try {
    movers_[to]->open(slot, in_order, out_order);
  } catch (...) {
    tables_.slots[slot] = {};
    give(slot, kNoMover);
    throw;
  }
  give(slot, to);
}

void RoutedCard::adopt_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, SlotFiles files) {
  MoverNumber to = slot_movers_[slot] == kNoMover ? kSoft : slot_movers_[slot];
  if (to == hardware_) to = kSoft;  // its marks stand in software, until the link goes to the card
  if (files.other && hardware_ != kNoMover && movers_[hardware_]->had(slot)) to = hardware_;
  slot_movers_[slot] = kNoMover;
  SlotMapping made = make_mapping(in_order, out_order, std::move(files));
  tables_.slots[slot] = std::move(made);
  try {
    movers_[to]->adopt(slot, in_order, out_order);
  } catch (...) {
    tables_.slots[slot] = {};
    throw;
  }
  give(slot, to);
}

SlotFiles RoutedCard::take_space_files(std::uint16_t slot) {
  SlotFiles& files = tables_.slots[slot].files;
  SlotFiles taken;
  if (parts_.keep_files) {
    taken.own = duplicate(files.own);
    taken.other = duplicate(files.other);
  } else {
    taken.own = std::move(files.own);
    taken.other = std::move(files.other);
  }
  return taken;
}

void RoutedCard::close_slot(std::uint16_t slot) {
  mover_of(slot).close(slot);
  give(slot, kNoMover);
  tables_.slots[slot] = {};
}

/// Memory that a card of metal or of a simulation has is the card's to give away.
bool RoutedCard::make_spare(std::uint16_t slot) {
  if (hardware_ != kNoMover || &mover_of(slot) != movers_[kSoft]) return false;
  mover_of(slot).close(slot);
  give(slot, kNoMover);
  return true;
}

void RoutedCard::reuse_slot(std::uint16_t slot, unsigned in_order, unsigned out_order) {
  SlotMapping& memory = tables_.slots[slot];
  memory.signalled = 0;  // the process counts its sleeps anew
  // The whole pages: what a process wrote beside the marks is not read, but is not to be taken for marks of a later
  // release either.
  for (const slot::Space* space : {&memory.own, &memory.other}) {
    if (*space) std::memset(static_cast<void*>(&space->marks()), 0, regs::kPageBytes);
  }
  const MoverNumber to = slot_movers_[slot] == kNoMover || !memory.other ? kSoft : slot_movers_[slot];
  try {
    movers_[to]->open(slot, in_order, out_order);
  } catch (...) {
    give(slot, kNoMover);
    throw;
  }
  give(slot, to);
}

/// Gives an open slot to another mover. A mover without a place for it faults it when it is bound.
void RoutedCard::move(std::uint16_t slot, MoverNumber to, unsigned in_order, unsigned out_order) {
  const ThreadNumber before = thread_of(slot);
  mover_of(slot).close(slot);
  give(slot, to);
  try {
    movers_[to]->open(slot, in_order, out_order);
  } catch (const std::runtime_error&) {
  }
  if (thread_of(slot) != before) bells_.moved(slot, thread_of(slot));
}

void RoutedCard::bind(std::uint16_t slot, const pipeline::Binding& binding) {
  const SlotMapping& memory = tables_.slots[slot];
  if (memory.own && memory.other) {
    memory.own.marks().tail.store(binding.marks.in_tail, std::memory_order_relaxed);
    memory.own.marks().head.store(binding.marks.out_head, std::memory_order_relaxed);
    memory.other.marks().tail.store(binding.marks.out_tail, std::memory_order_relaxed);
    memory.other.marks().head.store(binding.marks.in_head, std::memory_order_relaxed);
  }
  bind_at_marks(slot, binding);
}

void RoutedCard::bind_at_marks(std::uint16_t slot, const pipeline::Binding& binding) {
  const MoverNumber to = number_for(slot, binding.link);
  if (movers_[to] != &mover_of(slot)) move(slot, to, binding.in_order, binding.out_order);
  movers_[to]->bind(slot, binding);
}

void RoutedCard::refresh(std::span<const std::uint16_t> slots) {
  for (Mover* const mover : movers_) mover->refresh(slots);
}

// --- links ---

void RoutedCard::set_route(std::uint16_t link, const Route& route, const pipeline::LinkParameters& config) {
  clear_route(link);
  if (std::holds_alternative<OnCard>(route)) {
    if (hardware_ == kNoMover) throw std::invalid_argument("there is no card for the link to run on");
    movers_[hardware_]->set_route(link, route, config);
    link_movers_[link] = hardware_;
    return take_up(link);
  }
  if (!tables_.spread.is_spread(link)) return movers_[kSoft]->set_route(link, route, config);
  for (const auto& worker : parts_.workers) worker->set_route(link, route, config);
}

/// Slots that were in software when their link comes to the card: an earlier engine had none. They go on where their
/// marks stand.
void RoutedCard::take_up(std::uint16_t link) {
  for (std::size_t i = 0; i < tables_.slots.size(); ++i) {
    const auto slot = static_cast<std::uint16_t>(i);
    const SlotMapping& memory = tables_.slots[slot];
    const regs::SlotRow row = tables_.slot_rows[slot];
    if (slot_movers_[slot] != kSoft || !is_bound(row) || row.link != link || !memory.own || !memory.other) continue;
    pipeline::Binding binding;
    binding.link = row.link;
    binding.peer_slot = row.peer_slot;
    binding.epoch = row.epoch;
    binding.in_order = row.in_order;
    binding.out_order = row.out_order;
    binding.marks = {row.in_head, row.in_head, row.out_tail, row.out_head};
    bind_at_marks(slot, binding);
    look(slot);
  }
}

void RoutedCard::clear_route(std::uint16_t link) {
  if (tables_.spread.is_spread(link)) {
    for (const auto& worker : parts_.workers) worker->clear_route(link);
    return tables_.spread.clear(link);
  }
  movers_[link_movers_[link]]->clear_route(link);
  link_movers_[link] = kSoft;
}

void RoutedCard::spread(std::uint16_t link) {
  if (!parts_.workers.empty()) tables_.spread.spread(link);
}

void RoutedCard::poll_always(carriers::Carrier& carrier) {
  if (parts_.workers.empty()) return movers_[kSoft]->poll_always(carrier);
  for (const auto& worker : parts_.workers) worker->poll_always(carrier);
}

bool RoutedCard::link_up(std::uint16_t link) const {
  return tables_.spread.is_spread(link) ? tables_.spread.up(link) : movers_[link_movers_[link]]->link_up(link);
}

/// Workers divide a link that is spread: each controls what it sends, and the sums are the link's.
std::optional<LinkFlowStatus> RoutedCard::flow(std::uint16_t link) {
  if (!tables_.spread.is_spread(link)) return movers_[link_movers_[link]]->flow(link);
  std::optional<LinkFlowStatus> sum;
  for (const auto& worker : parts_.workers) {
    const std::optional<LinkFlowStatus> one = worker->flow(link);
    if (!one) continue;
    if (!sum) {
      sum = one;
      continue;
    }
    sum->trips += one->trips;
    sum->flow.add(one->flow);
  }
  return sum;
}

// --- bells ---

void RoutedCard::set_bell(std::uint32_t session, std::size_t local, std::uint32_t slot) {
  if (slot == kNoSlot) return bells_.clear_bell(session, local);
  const auto number = static_cast<std::uint16_t>(slot);
  bells_.set_bell(session, local, number, thread_of(number));
}

// --- running ---

void RoutedCard::start() {
  for (const auto& worker : parts_.workers) worker->start();
}

/// Slots of this thread, software's and the card's: runs of slots of one mover go to it together.
void RoutedCard::look_at_home(std::span<const std::uint16_t> slots) {
  for (std::size_t first = 0; first < slots.size();) {
    Mover& mover = mover_of(slots[first]);
    std::size_t last = first + 1;
    while (last < slots.size() && &mover_of(slots[last]) == &mover) ++last;
    mover.look(slots.subspan(first, last - first), now_us_);
    first = last;
  }
}

bool RoutedCard::poll(std::uint64_t now_us) {
  now_us_ = now_us;
  bool busy = home_bells_.poll(now_us, [this](std::span<const std::uint16_t> slots) { look_at_home(slots); });
  for (Mover* const mover : movers_) busy |= mover->poll(now_us);
  return busy;
}

bool RoutedCard::prepare_sleep() {
  for (Mover* const mover : movers_) {
    if (!mover->prepare_sleep()) return false;
  }
  if (!home_bells_.prepare_sleep()) return false;
  if (tables_.inbox) tables_.inbox->prepare_sleep();
  return true;
}

std::uint32_t RoutedCard::timer_us(std::uint64_t now_us) const {
  std::uint32_t least = pipeline::Pipeline::kNoTimer;
  for (const Mover* const mover : movers_) least = std::min(least, mover->timer_us(now_us));
  return least;
}

// --- what it counts ---

std::uint64_t RoutedCard::counter(regs::Counter counter) const {
  std::uint64_t sum = 0;
  for (const Mover* const mover : movers_) sum += mover->counter(counter);
  return sum;
}

std::uint64_t RoutedCard::counter(regs::CardCounter counter) const {
  std::uint64_t sum = 0;
  for (const Mover* const mover : movers_) sum += mover->counter(counter);
  return sum;
}

void RoutedCard::set_tap(FrameTap* tap) {
  if (parts_.workers.empty()) return parts_.soft->set_tap(tap);
  tap_.set(tap);
  for (Mover* const mover : movers_) mover->set_tap(tap == nullptr ? nullptr : &tap_);
}

}  // namespace slotwire::driver
