#include "sim/lockstep/full_duplex.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "sim/lockstep/full_duplex_run.hpp"

namespace slotwire::lockstep::duplex {

FullDuplexResult FullDuplex::run() {
  try {
    build();
    while (core_->now() < start_ + kWarmUp) tick();
    watcher_ = {};
    core_->watch(&watcher_);
    const std::uint64_t begin = core_->now();
    while (core_->now() < begin + options_.clocks) tick();
    core_->watch(nullptr);
    result_.clocks = core_->now() - begin;
    result_.beats_in = watcher_.beats_in;
    result_.beats_out = watcher_.beats_out;
    result_.longest_stall = watcher_.longest;
    end();
    if (options_.stress) break_memory();
    result_.settled_clocks = core_->now() - begin - result_.clocks;
  } catch (const Failure& failure) {
    result_.failure = "clock " + std::to_string(core_ ? core_->now() : 0) + ": " + failure.what;
  }
  return result_;
}

void FullDuplex::build() {
  sim::SimCoreOptions options;
  options.kind = options_.kind;
  options.seed = options_.seed;
  options.memory_latency = options_.memory_latency;
  options.random_memory = options_.memory_jumps;
  core_ = std::make_unique<sim::SimCore>(options);
  if (!core_->own_memory()) throw Failure{"this card has its slot memory in RTL, where no process can map it"};
  driver_ = std::make_unique<SimCardDriver>(*core_);
  core_->reset();
  need(driver_->configure(own_endpoint()));
  const auto card = driver_->probe();
  if (!card) throw Failure{driver_->error()};
  slots_.resize(card->slots);
  ever_refused_.resize(card->slots);
  for (const std::uint16_t link : numbers(kLinks)) {
    const auto lines = static_cast<std::uint16_t>(link == 0 ? kLongFrameLines : 1);
    const std::uint32_t ack_delay = options_.stress ? random_.below(3) : 1;
    far_rows_[link].resize(card->slots);
    far_[link] = std::make_unique<Pipeline>(std::span<regs::SlotRow>(far_rows_[link]), 1);
    // Nothing is lost, so a timeout would be somebody's fault: it comes after a slot was given up.
    far_[link]->set_link(0, {.lines_per_frame = lines,
                             .retransmit_us = 100'000,
                             .retransmit_max_us = 1'000'000,
                             .ack_delay_us = ack_delay});
    far_[link]->link_up(0, now_us());
    const sim::Endpoint peer = peer_endpoint(link);
    regs::LinkRow row{};
    row.up = 1;
    row.lines_per_frame = lines;
    row.rto_us = 100'000;
    row.rto_max_us = 1'000'000;
    row.ack_delay_us = 1;
    row.peer_ip = peer.ip;
    row.peer_port = peer.port;
    row.peer_mac_low = static_cast<std::uint16_t>(peer.mac & 0xffff);
    row.peer_mac_high = static_cast<std::uint32_t>(peer.mac >> 16);
    need(driver_->write_link(link, row));
    need(driver_->command(regs::CardCommand::link_up, link));
  }
  std::array<std::uint64_t, regs::kCounterCount> counters{};
  std::array<std::uint64_t, regs::kCardCounterCount> of_card{};
  need(driver_->read_counters(counters, of_card));
  refused_ = of_card[static_cast<std::size_t>(regs::CardCounter::host_refused)];
  for (const std::uint16_t slot : numbers(slots_.size() - kHostileSlots)) bind(slot);
  core_->set_stalls(stalls());
  start_ = last_progress_ = core_->now();
  next_churn_ = start_ + kWarmUp;
  next_refusal_ = start_ + kWarmUp;
}

/// Those that the run is to have all the time.
sim::SimStalls FullDuplex::stalls() const {
  sim::SimStalls stalls;
  stalls.host = stalls.from_host = stalls.to_host = options_.host_stalls;
  stalls.wire_in = stalls.wire_out = options_.mac_stalls;
  return stalls;
}

/// Rows and marks go through the host's port like everything else, in order.
void FullDuplex::bind(std::uint16_t number) {
  Slot& slot = slots_[number];
  Life life;
  life.slot = number;
  life.link = number % kLinks;
  life.epoch = next_epoch_++;
  life.order = life.link == 0 ? kLongOrder : kShortOrder;
  const std::uint32_t places = kRegionLines >> life.order, place = life.epoch % places;
  life.in_base = kRegionLines * 2 * number + (place << life.order);
  life.out_base = life.in_base + kRegionLines;
  life.in_fill = random_.bits32() | 1;
  life.out_fill = random_.bits32() | 1;
  life.in_tail = life.in_head = life.rung_in = life.far_out_head = 0U - random_.below(3000);
  life.out_tail = life.rung_out = life.far_in_tail = 0U - random_.below(3000);
  life.far_in.resize(regs::kLineBytes << life.order);
  life.far_out.resize(regs::kLineBytes << life.order);
  fills_[{number, life.epoch}] = {life.in_fill, life.order};
  progress(life);
  slot.life = std::move(life);
  slot.stage = SlotStage::binding;
  slot.refused = false;
  slot.since = core_->now();
  const Life& l = slot.life;
  regs::SlotRow row{};
  row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
  row.in_order = row.out_order = static_cast<std::uint8_t>(l.order);
  row.link = l.link;
  row.peer_slot = number;
  row.epoch = l.epoch;
  row.in_tail = row.in_head = l.in_tail;
  row.out_tail = row.out_head = l.out_tail;
  row.limit = l.in_head + l.size();
  row.in_base = l.in_base;
  row.out_base = l.out_base;
  sim::Line line;
  std::memcpy(line.data(), &row, sizeof row);
  need(core_->host_write(SimCardDriver::row_address(number), line));
  ++result_.bindings;
  // In the same breath: the marks that the binding shows. The far end begins when the card has the row, and the process
  // when the far end has.
  ask({Asked::What::bound_marks, number, l.epoch, 0}, SimCardDriver::proxy_page(number) + regs::kOutTail);
  ask({Asked::What::bound_row, number, l.epoch, 0}, SimCardDriver::row_address(number));
}

void FullDuplex::begin(Slot& slot) {
  Life& l = slot.life;
  slot.stage = SlotStage::live;
  slot.since = core_->now();
  progress(l);
  far_[l.link]->bind(l.slot,
                     {.link = 0,
                      .peer_slot = l.slot,
                      .epoch = l.epoch,
                      .in_order = l.order,
                      .out_order = l.order,
                      .credit = l.size(),
                      .marks = {l.far_in_tail, l.far_in_tail, l.far_out_head, l.far_out_head}},
                     {{l.far_in.data(), l.order, false}, {l.far_out.data(), l.order, false}}, now_us());
}

void FullDuplex::tick() {
  if (options_.stress && core_->now() >= next_phase_) new_phase();
  core_->set_now_us(now_us());
  feed();
  if (!closing_) churn();
  if (!closing_ && !options_.stress) write_rows();
  refuse();
  host_turn();
  if (options_.hang_at != 0 && core_->now() >= start_ + options_.hang_at) hang();
  core_->clock();
  if (!core_->violation().empty()) throw Failure{core_->violation()};
  answers();
  take_frames();
  far_processes();
  if (core_->now() >= next_check_) {
    next_check_ = core_->now() + 256;
    check_guards();
    watch_progress();
  }
}

/// The MAC takes no beat any more, so that it can be seen that this is reported.
void FullDuplex::hang() {
  sim::SimStalls stalls = this->stalls();
  stalls.wire_out = 1000;
  core_->set_stalls(stalls);
}

void FullDuplex::new_phase() {
  next_phase_ = core_->now() + kPhaseClocks / 2 + random_.below(kPhaseClocks);
  const auto some = [this] { return std::array{0U, 0U, 0U, 60U, 300U, 900U}[random_.below(6)]; };
  core_->set_stalls({some(), some(), some(), some(), some(), some(), some()});
  switch (random_.below(5)) {
    case 0:
      core_->set_memory_latency(random_.between(1, 8), false);
      break;
    case 1:
      core_->set_memory_latency(256, false);
      break;
    case 2:
      core_->set_memory_latency(512, false);
      break;
    default:
      core_->set_memory_latency(random_.between(8, 512), true);
  }
  feed_permille_ = std::array{1000U, 1000U, 400U, 60U}[random_.below(4)];
  eager_ = random_.chance(500);
  takes_events_ = random_.chance(300);
  stray_permille_ = random_.chance(500) ? 0 : random_.below(40);
  only_link_.reset();
  if (random_.chance(300)) only_link_ = static_cast<std::uint16_t>(random_.below(kLinks));
  if (random_.chance(250)) {
    storms_ = true;
    held_until_ = core_->now() + kStormWait;
    core_->set_stalls(0U);
    core_->set_memory_latency(random_.between(2, 100), false);
  }
  hostile_permille_ = 3;
  if (random_.chance(150)) {
    // Calm but for rows that are refused, of which nobody takes the events.
    core_->set_stalls(0U);
    core_->set_memory_latency(2, false);
    eager_ = takes_events_ = false;
    hostile_permille_ = 200;
    next_phase_ += 2 * kPhaseClocks;
  }
}

// --- slots ---

void FullDuplex::churn() {
  if (options_.churn_clocks == 0 || core_->now() < next_churn_) return;
  for (Slot& slot : slots_) {
    if (slot.stage == SlotStage::freed && slot.since != 0 && core_->now() - slot.since > kGuardClocks + 100) {
      if (core_->host_waiting() > sim::SimCore::kHostRequests - 4) return;
      bind(static_cast<std::uint16_t>(&slot - slots_.data()));
      next_churn_ = core_->now() + options_.churn_clocks;
      return;
    }
    if ((slot.stage != SlotStage::live || slot.refused) && slot.since != 0) return;  // one at a time
  }
  Slot& slot = slots_[random_.below(static_cast<std::uint32_t>(slots_.size() - kHostileSlots))];
  if (slot.stage == SlotStage::live && !slot.refused && core_->now() - slot.since > options_.churn_clocks / 2)
    free_slot(slot);
}

/// Its process is gone in the middle of everything.
void FullDuplex::free_slot(Slot& slot) {
  if (core_->host_waiting() > sim::SimCore::kHostRequests - 4) return;
  far_[slot.life.link]->unbind(slot.life.slot);
  slot.stage = SlotStage::freeing;
  slot.since = core_->now();
  core_->host_write(SimCardDriver::row_address(slot.life.slot), {});
  ask({Asked::What::freed_row, slot.life.slot, slot.life.epoch, 0}, SimCardDriver::row_address(slot.life.slot));
}

/// Slot memory refuses a line of a slot in the middle of its traffic. The slot has to stop by that name, and nothing
/// from the line's frame on may be shown to the process or acknowledged to the peer.
void FullDuplex::refuse() {
  if (!refused_slot_) {
    if (closing_ || options_.refuse_clocks == 0 || core_->now() < next_refusal_) return;
    const auto number =
        static_cast<std::uint16_t>(random_.below(static_cast<std::uint32_t>(slots_.size() - kHostileSlots)));
    Slot& slot = slots_[number];
    const bool calm = std::all_of(slots_.begin(), slots_.end(),
                                  [](const Slot& s) { return s.stage == SlotStage::live || s.since == 0; });
    if (slot.stage != SlotStage::live || !calm) return;
    slot.refused = true;
    slot.since = core_->now();
    refused_slot_ = number;
    ever_refused_[number] = true;
    refusals_ = core_->writes_refused();
    core_->refuse_write(slot.life.out_base, slot.life.size(), random_.between(1, 40));
    return;
  }
  Slot& slot = slots_[*refused_slot_];
  if (core_->writes_refused() == refusals_) {
    if (!closing_) return;
    // Nothing comes any more that could be refused.
    core_->refuse_write(0, 0, 0);
    slot.refused = false;
    refused_slot_.reset();
    return;
  }
  if (core_->now() % 64 == 0 && core_->host_room())
    ask({Asked::What::refused_row, slot.life.slot, slot.life.epoch, 0}, SimCardDriver::row_address(slot.life.slot));
}

/// The row of the slot whose line was refused, as the host reads it.
void FullDuplex::stopped(const regs::SlotRow& row, Slot& slot) {
  if (!refused_slot_ || slot.stage != SlotStage::live || !slot.refused || slot.life.epoch != row.epoch) return;
  if (row.state != static_cast<std::uint8_t>(regs::SlotState::faulted)) return;  // not yet
  if (core_->host_waiting() > sim::SimCore::kHostRequests - 4) return;           // later
  const Life& life = slot.life;
  if (row.fault != static_cast<std::uint8_t>(regs::Fault::memory_refused))
    fail(life, "memory refused a line, and it stopped with fault " + std::to_string(row.fault));
  const regs::SlotRow& far = far_rows_[life.link][life.slot];
  if (row.out_tail - life.out_tail > life.size()) fail(life, "OUT_TAIL went back behind what was shown");
  if (row.out_tail - far.in_head > life.size())
    fail(life, "its peer was told that it has line " + std::to_string(far.in_head - 1) + ", and it has those before " +
                   std::to_string(row.out_tail));
  ends_[{life.slot, life.epoch}] = row.out_tail;
  ++result_.refused;
  ++hostile_events_;
  something_moved();
  refused_slot_.reset();
  next_refusal_ = core_->now() + options_.refuse_clocks;
  free_slot(slot);
}

void FullDuplex::check_guards() {
  for (; !guards_.empty() && guards_.front().until <= core_->now(); guards_.pop_front()) {
    const Guard& guard = guards_.front();
    for (std::uint32_t i = 0; i < guard.lines; ++i) {
      if (core_->memory(guard.base + i) != line_of(kGarbage, i)) {
        throw Failure{"line " + std::to_string(guard.base + i) +
                      " of slot memory was written after its slot was freed"};
      }
    }
  }
}

/// Something has to move within `hang_clocks`, and something of every slot soon.
void FullDuplex::watch_progress() {
  const std::uint64_t now = core_->now();
  if (now - last_progress_ > options_.hang_clocks && due())
    throw Failure{"hang: nothing moved for " + std::to_string(now - last_progress_) + " clocks, and " + what_is_due()};
  const std::uint64_t patience = options_.hang_clocks * (options_.stress ? kStressedSlotPatience : kSlotPatience);
  for (const Slot& slot : slots_) {
    if (slot.since == 0) continue;
    if ((slot.stage == SlotStage::freeing || slot.stage == SlotStage::binding) && now - slot.since > patience)
      fail(slot.life, "hang: its row is not written");
    if (slot.stage == SlotStage::live && slot.refused && core_->writes_refused() != refusals_ &&
        now - slot.since > patience)
      fail(slot.life, "hang: memory refused a line, and the slot does not stop");
    if (slot.stage == SlotStage::live && !slot.refused && !closing_ && now - slot.life.last_progress > patience) {
      fail(slot.life, "hang: nothing moves: IN " + std::to_string(slot.life.in_head) + " of " +
                          std::to_string(slot.life.in_tail) + ", OUT " + std::to_string(slot.life.out_tail) + " of " +
                          std::to_string(slot.life.far_in_tail));
    }
  }
}

bool FullDuplex::due() const {
  return !settled() || !asked_.empty();
}

std::string FullDuplex::what_is_due() const {
  std::string text;
  for (const Slot& slot : slots_) {
    const Life& life = slot.life;
    if (slot.stage == SlotStage::freeing || slot.stage == SlotStage::binding)
      text += "the row of slot " + std::to_string(life.slot) + " is not written, ";
    if (slot.stage != SlotStage::live || (life.in_head == life.in_tail && life.out_tail == life.far_in_tail)) continue;
    text += "slot " + std::to_string(life.slot) + " has IN " + std::to_string(life.in_head) + " of " +
            std::to_string(life.in_tail) + ", OUT " + std::to_string(life.out_tail) + " of " +
            std::to_string(life.far_in_tail);
    return text;
  }
  return text + std::to_string(asked_.size()) + " reads of the host, " +
         std::to_string(strays_in_.size() + strays_out_.size()) + " frames of the host or acknowledgements wait";
}

// --- the end ---

bool FullDuplex::settled() const {
  return strays_in_.empty() && strays_out_.empty() && !refused_slot_ &&
         std::all_of(slots_.begin(), slots_.end(), [this](const Slot& slot) {
           if (slot.stage == SlotStage::freeing || slot.stage == SlotStage::binding) return false;
           if (slot.stage == SlotStage::freed) return true;
           const Life& life = slot.life;
           return life.in_head == life.in_tail && life.out_tail == life.far_in_tail &&
                  life.far_out_head == life.in_tail && far_rows_[life.link][life.slot].in_head == life.far_in_tail;
         });
}

/// Nothing new; what is under way has to arrive and be acknowledged.
void FullDuplex::end() {
  closing_ = true;
  eager_ = false;
  stray_permille_ = 0;
  feed_permille_ = 1000;
  next_phase_ = ~std::uint64_t{0};
  only_link_.reset();
  if (options_.stress) {
    core_->set_stalls(0U);
    core_->set_memory_latency(options_.memory_latency, false);
  }
  something_moved();
  while (!settled()) tick();  // or watch_progress() ends it
  feeding_ = false;
  const std::uint64_t begin = core_->now();
  while (!asked_.empty() || !core_->host_idle()) {
    core_->clock();
    answers();
    take_frames();
    if (core_->now() - begin > options_.hang_clocks)
      throw Failure{"hang: the host's reads are not answered at the end"};
  }
  driver_->each_clock([this] { take_frames(); });
  take_all_events();
  rest();
  check_counters();
}

/// A card that keeps something for ever is found out soon.
void FullDuplex::rest() {
  const std::uint64_t begin = core_->now();
  while (!core_->idle()) {
    if (core_->now() - begin > options_.hang_clocks)
      throw Failure{"hang: the card does not come to rest: it keeps something"};
    driver_->clock();
  }
  if (!driver_->rest()) throw Failure{driver_->error()};
}

void FullDuplex::check_counters() {
  std::array<std::uint64_t, regs::kCounterCount> counters{};
  std::array<std::uint64_t, regs::kCardCounterCount> card{};
  if (!driver_->read_counters(counters, card)) throw Failure{driver_->error()};
  const auto none = [&](regs::Counter counter, const char* what) {
    const auto here = counters[static_cast<std::size_t>(counter)];
    std::uint64_t there = 0;
    for (const auto& far : far_) there += far->counter(counter);
    if (here != 0 || there != 0)
      throw Failure{std::string(what) + ": " + std::to_string(here) + " at the card, " + std::to_string(there) +
                    " at the far ends"};
  };
  none(regs::Counter::tx_lines_again, "lines were sent again");
  none(regs::Counter::tx_naks, "gaps were seen");
  none(regs::Counter::drop_crc, "frames had a wrong CRC");
  none(regs::Counter::drop_length, "frames had a wrong length");
  none(regs::Counter::drop_duplicate, "frames came twice");
  none(regs::Counter::drop_overrun, "frames came without room");
  none(regs::Counter::drop_position, "frames were out of place");
  if (card[static_cast<std::size_t>(regs::CardCounter::memory_errors)] != 0) throw Failure{"memory had errors"};
  if (const auto refused = card[static_cast<std::size_t>(regs::CardCounter::host_refused)]; refused != refused_) {
    throw Failure{std::to_string(refused - refused_) + " accesses of the host were refused"};
  }
  const std::uint64_t lost = card[static_cast<std::size_t>(regs::CardCounter::events_lost)];
  result_.events = popped_;
  if (popped_ + lost != hostile_events_) {
    throw Failure{std::to_string(hostile_events_) + " events, of which " + std::to_string(popped_) +
                  " were told of and " + std::to_string(lost) + " counted as lost"};
  }
  if ((lost != 0) != flag_seen_) throw Failure{"events were lost without their flag, or the flag came without them"};
}

void FullDuplex::take_all_events() {
  const auto address = static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlEvent);
  for (bool first = true;; first = false) {
    const auto word = driver_->read_word(address);
    if (!word) throw Failure{driver_->error()};
    if ((*word >> 30 & 1) != 0) {
      // The flag goes with the event that is taken; no other comes meanwhile.
      if (!first) throw Failure{"the flag of lost events stays when an event was taken"};
      flag_seen_ = true;
    }
    if ((*word >> 31) == 0) return;
    ++popped_;
    if (!driver_->write_word(address, 0)) throw Failure{driver_->error()};
  }
}

/// Every line that is read is broken: every slot with lines stops, and the card comes to rest.
void FullDuplex::break_memory() {
  core_->break_all(true);
  for (Slot& slot : slots_) {
    if (slot.stage != SlotStage::live) continue;
    if (!driver_->doorbell(slot.life.slot, false, slot.life.in_head + slot.life.size()))
      throw Failure{driver_->error()};
  }
  driver_->clock(4'000);
  core_->break_all(false);
  rest();
  if (!core_->violation().empty()) throw Failure{core_->violation()};
  for (const Slot& slot : slots_) {
    if (slot.stage != SlotStage::live) continue;
    const auto row = driver_->read_row(slot.life.slot);
    if (!row) throw Failure{driver_->error()};
    if (row->fault != static_cast<std::uint8_t>(regs::Fault::memory))
      fail(slot.life, "goes on with lines of wrong parity");
  }
}

}  // namespace slotwire::lockstep::duplex

namespace slotwire::lockstep {

FullDuplexResult full_duplex(const FullDuplexOptions& options) {
  return duplex::FullDuplex(options).run();
}

}  // namespace slotwire::lockstep
