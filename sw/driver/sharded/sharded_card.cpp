#include "driver/sharded/sharded_card.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace slotwire::driver {

bool ShardedCard::SpreadLink::up() const {
  return std::all_of(on.begin(), on.end(), [](const ShardNews::LinkState& state) { return state.up; });
}

ShardedCard::ShardedCard(std::span<regs::SlotRow> rows, const ShardedCardOptions& options, CardListener& listener,
                         std::vector<ShardWorkerPlace> workers)
    : listener_(listener),
      home_(kHome, all_, options.sessions, rows, options.card, listener),
      places_(rows.size(), Shard::kNowhere),
      copies_(rows.size()),
      counters_(workers.size()),
      links_(options.card.links),
      sessions_(options.sessions) {
  if (workers.empty() || workers.size() > kMaxWorkers) {
    throw std::invalid_argument("a sharded card has 1 to " + std::to_string(kMaxWorkers) + " workers");
  }
  all_.push_back(&home_);
  for (ShardWorkerPlace& place : workers) {
    workers_.push_back(std::make_unique<ShardWorker>(std::move(place), static_cast<Place>(all_.size()), all_,
                                                     options.sessions, rows, options.card, options.wait,
                                                     options.clock));
    all_.push_back(&workers_.back()->shard());
  }
}

ShardedCard::~ShardedCard() {
  // All of them, before any is destroyed: they wake each other.
  for (const auto& worker : workers_) worker->stop();
}

void ShardedCard::start() {
  for (const auto& worker : workers_) worker->start();
}

void ShardedCard::spread(std::uint16_t link) {
  links_[link].spread = true;
  links_[link].on.assign(workers_.size(), {});
}

template <class F>
void ShardedCard::on(Place place, F&& f) {
  if (place == kHome) return f(home_);
  ShardWorker& worker = *workers_[place - 1U];
  worker.run([&] { f(worker.shard()); });
}

template <class F>
void ShardedCard::at(std::uint16_t slot, F&& f) {
  on(place_of(slot), [&](Shard& shard) {
    f(shard);
    if (!at_home(slot)) copy(slot, shard);
  });
}

void ShardedCard::copy(std::uint16_t slot, const Shard& shard) {
  copies_[slot] = {shard.row(slot), shard.stats(slot)};
}

// --- slots ---

void ShardedCard::prepare_slot(std::uint16_t slot, std::uint16_t link) {
  const bool spread = link < links_.size() && links_[link].spread;
  places_[slot] = spread ? static_cast<Place>(1 + slot % workers_.size()) : kHome;
}

void ShardedCard::open_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, bool with_output) {
  adopt_slot(slot, in_order, out_order, Shard::files_for(slot, in_order, out_order, with_output));
}

void ShardedCard::adopt_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, SlotFiles files) {
  if (places_[slot] == Shard::kNowhere) places_[slot] = kHome;
  // Files and mappings take long: they are made here, while the worker goes on.
  Shard::Slot made = Shard::make(in_order, out_order, std::move(files));
  at(slot, [&](Shard& shard) { shard.install(slot, std::move(made)); });
}

const SlotFiles& ShardedCard::files(std::uint16_t slot) const {
  // Written by open_slot() and close_slot() only, for which this thread waits.
  return all_[place_of(slot)]->files(slot);
}

void ShardedCard::close_slot(std::uint16_t slot) {
  Shard::Slot closed;
  at(slot, [&](Shard& shard) {
    closed = shard.release(slot);
    if (at_home(slot)) return;
    worker_of(slot).unwatch(slot);
    worker_of(slot).news().faults[slot] = regs::Fault::none;
  });
  places_[slot] = Shard::kNowhere;
}

void ShardedCard::bind(std::uint16_t slot, const pipeline::Binding& binding) {
  at(slot, [&](Shard& shard) { shard.bind(slot, binding); });
}

void ShardedCard::recover(std::uint16_t slot) {
  at(slot, [&](Shard& shard) { shard.recover(slot); });
}

void ShardedCard::unbind(std::uint16_t slot) {
  at(slot, [&](Shard& shard) {
    shard.unbind(slot);
    if (!at_home(slot)) worker_of(slot).news().faults[slot] = regs::Fault::none;
  });
}

void ShardedCard::fault(std::uint16_t slot, regs::Fault cause) {
  at(slot, [&](Shard& shard) { shard.fault(slot, cause); });
}

void ShardedCard::look(std::uint16_t slot) {
  at(slot, [&](Shard& shard) {
    shard.look(slot);
    if (!at_home(slot) && !shard.drained(slot)) worker_of(slot).watch(slot);
  });
}

bool ShardedCard::drained(std::uint16_t slot) const {
  const regs::SlotRow& r = row(slot);
  return r.in_head == r.in_tail;
}

const regs::SlotRow& ShardedCard::row(std::uint16_t slot) const {
  return at_home(slot) ? home_.row(slot) : copies_[slot].row;
}

const pipeline::SlotStats& ShardedCard::stats(std::uint16_t slot) const {
  return at_home(slot) ? home_.stats(slot) : copies_[slot].stats;
}

void ShardedCard::refresh(std::span<const std::uint16_t> slots) {
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    const auto place = static_cast<Place>(i + 1);
    on(place, [&](Shard& shard) {
      for (const std::uint16_t slot : slots) {
        if (place_of(slot) == place) copy(slot, shard);
      }
      for (std::size_t c = 0; c < regs::kCounterCount; ++c) {
        counters_[i][c] = shard.counter(static_cast<regs::Counter>(c));
      }
    });
  }
}

std::uint64_t ShardedCard::counter(regs::Counter counter) const {
  std::uint64_t sum = home_.counter(counter);
  for (const auto& of_worker : counters_) sum += of_worker[static_cast<std::size_t>(counter)];
  return sum;
}

WorkerReport ShardedCard::report(std::size_t worker) {
  refresh({});
  const auto place = static_cast<Place>(worker + 1);
  const auto slots = std::count(places_.begin(), places_.end(), place);
  return {workers_[worker]->name(), workers_[worker]->sleeps(), static_cast<std::size_t>(slots), counters_[worker]};
}

void ShardedCard::set_tap(FrameTap* tap) {
  tap_.set(tap);
  for (std::size_t place = 0; place < all_.size(); ++place) {
    on(static_cast<Place>(place), [&](Shard& shard) { shard.set_tap(tap == nullptr ? nullptr : &tap_); });
  }
}

// --- links ---

void ShardedCard::set_route(std::uint16_t link, carriers::Carrier& carrier, const pipeline::LinkParameters& config) {
  SpreadLink& l = links_[link];
  if (!l.spread) return home_.set_route(link, carrier, config);
  clear_route(link);
  for (const auto& worker : workers_) {
    worker->run([&] {
      worker->shard().set_route(link, worker->carrier(), config);
      worker->watch_carrier(true);
    });
  }
}

void ShardedCard::clear_route(std::uint16_t link) {
  SpreadLink& l = links_[link];
  if (!l.spread) return home_.clear_route(link);
  for (const auto& worker : workers_) {
    worker->run([&] {
      worker->shard().clear_route(link);
      worker->watch_carrier(worker->shard().has_carriers());
      worker->news().link_states[link] = {};
    });
  }
  l.on.assign(workers_.size(), {});
  l.told_up = false;
  l.told_reason.clear();
}

void ShardedCard::poll_always(carriers::Carrier& /*carrier*/) {
  for (const auto& worker : workers_) {
    worker->run([&] {
      worker->shard().poll_always(worker->carrier());
      worker->watch_carrier(true);
    });
  }
}

bool ShardedCard::link_up(std::uint16_t link) const {
  return links_[link].spread ? links_[link].up() : home_.link_up(link);
}

/// A worker's link has a new state. Told is what holds for all workers; states in between that nobody saw are left out,
/// but that a link was down in between is told.
void ShardedCard::take_link(std::uint16_t link, std::size_t worker, const ShardNews::LinkState& state) {
  SpreadLink& l = links_[link];
  ShardNews::LinkState& known = l.on[worker];
  if (state.changes == 0 || state.changes == known.changes) return;
  const bool was_up = l.up();
  known = state;
  const bool is_up = l.up();
  if (was_up) {
    tell_link(link, false, state.down_reason);
    if (is_up) tell_link(link, true, state.reason);
  } else if (is_up) {
    tell_link(link, true, state.reason);
  } else if (!state.up) {
    tell_link(link, false, state.reason);
  }
}

void ShardedCard::tell_link(std::uint16_t link, bool up, const std::string& reason) {
  SpreadLink& l = links_[link];
  if (l.told_up == up && l.told_reason == reason) return;
  l.told_up = up;
  l.told_reason = reason;
  listener_.on_link(link, up, reason);
}

// --- bells ---

void ShardedCard::add_session(std::uint32_t session, slot::BellPage& bells, slot::PolledPage& polled, int kick) {
  Session& s = sessions_[session];
  s = Session{};
  s.bells = &bells;
  s.polled = &polled;
  s.kick = kick;
  s.owner.fill(Shard::kNowhere);
  s.words.assign(all_.size(), 0);
  s.known.assign(all_.size(), false);
  polled.polled.store(0, std::memory_order_seq_cst);
}

void ShardedCard::remove_session(std::uint32_t session) {
  for (std::size_t place = 0; place < sessions_[session].known.size(); ++place) {
    if (!sessions_[session].known[place]) continue;
    on(static_cast<Place>(place), [&](Shard& shard) { shard.remove_session(session); });
  }
  sessions_[session] = Session{};
}

bool ShardedCard::takes_bell(std::uint32_t session, std::size_t local, std::uint16_t slot) const {
  const Place owner = sessions_[session].owner[local / 64];
  return owner == Shard::kNowhere || owner == place_of(slot);
}

void ShardedCard::set_bell(std::uint32_t session, std::size_t local, std::uint32_t slot) {
  Session& s = sessions_[session];
  if (local >= slot::kMaxSessionSlots || s.bells == nullptr) return;
  if (local >= s.leads.size()) s.leads.resize(local + 1, kNoSlot);
  const std::uint32_t before = std::exchange(s.leads[local], slot);
  const std::size_t word = local / 64;
  Place& owner = s.owner[word];
  if (before != kNoSlot) {
    slot::BellWords& words = s.words[owner];
    if (--s.used[word] == 0) words &= ~slot::bell_word(local);
    on(owner, [&](Shard& shard) {
      shard.lead_nowhere(session, local, static_cast<std::uint16_t>(before));
      shard.own_words(session, *s.bells, *s.polled, words);
    });
    if (s.used[word] == 0) owner = Shard::kNowhere;
  }
  if (slot == kNoSlot) return;
  const auto number = static_cast<std::uint16_t>(slot);
  if (owner == Shard::kNowhere) owner = place_of(number);
  ++s.used[word];
  slot::BellWords& words = s.words[owner];
  words |= slot::bell_word(local);
  s.known[owner] = true;
  on(owner, [&](Shard& shard) {
    shard.own_words(session, *s.bells, *s.polled, words);
    shard.lead(session, local, number, place_of(number));
  });
}

/// Wakes the shards that a bell rang for and that do not poll it. Who took it meanwhile, or polls it meanwhile, needs
/// no kick: before it stops polling it looks once more.
void ShardedCard::on_kick(std::uint32_t session) {
  Session& s = sessions_[session];
  if (s.bells == nullptr) return;
  slot::drain_event(s.kick);
  const slot::BellWords unheard =
      s.bells->summary.load(std::memory_order_seq_cst) & ~s.polled->polled.load(std::memory_order_seq_cst);
  for (std::size_t place = 0; place < all_.size(); ++place) {
    if ((unheard & s.words[place]) != 0) all_[place]->kicked(session);
  }
}

// --- running ---

bool ShardedCard::poll(std::uint64_t now_us) {
  bool busy = home_.poll(now_us);
  for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
    workers_[worker]->check();
    busy |= take_news(worker);
  }
  return busy;
}

/// The numbers first, then in the worker's thread what stands behind them now, then the listener, who may call back.
bool ShardedCard::take_news(std::size_t worker) {
  ShardWorker& w = *workers_[worker];
  std::vector<std::uint16_t> slots, links;
  w.news().slots.take([&](std::size_t slot) { slots.push_back(static_cast<std::uint16_t>(slot)); });
  w.news().links.take([&](std::size_t link) { links.push_back(static_cast<std::uint16_t>(link)); });
  if (slots.empty() && links.empty()) return false;
  std::vector<regs::Fault> faults(slots.size(), regs::Fault::none);
  std::vector<ShardNews::LinkState> states(links.size());
  w.run([&] {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (place_of(slots[i]) != worker + 1) continue;  // closed meanwhile
      faults[i] = std::exchange(w.news().faults[slots[i]], regs::Fault::none);
      copy(slots[i], w.shard());
    }
    for (std::size_t i = 0; i < links.size(); ++i) states[i] = w.news().link_states[links[i]];
  });
  for (std::size_t i = 0; i < links.size(); ++i) take_link(links[i], worker, states[i]);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (faults[i] == regs::Fault::none || place_of(slots[i]) != worker + 1) continue;
    listener_.on_fault(slots[i], faults[i]);
  }
  return true;
}

}  // namespace slotwire::driver
