#include "sim/world.hpp"

#include <algorithm>
#include <utility>

namespace slotwire::sim {
namespace {

/// Slot numbers are spread over this many rows, so that the bitmaps' upper levels take part.
constexpr std::uint32_t kRows = 5000;
/// A healed network must bring everything home within this simulated time.
constexpr Time kLivenessUs = 60'000'000;
constexpr std::size_t kMaxBurst = 16;

}  // namespace

World::World(const Options& options)
    : options_(options),
      random_(options.seed),
      tamper_(options.broken != nullptr ? options.broken->make() : std::make_unique<Tamper>()) {
  build();
}

bool World::controlled() const {
  if (options_.broken != nullptr || options_.control == Control::never) return false;
  return options_.control == Control::always || mix(options_.seed ^ 0xcc) % 3 == 0;
}

void World::build() {
  result_.controlled = controlled();
  const std::uint32_t count = random_.between(2, 4);
  network_.emplace(count, random_);
  chaos_permille_ = random_.between(1, 16);
  // Half of the runs cross the wrap of the microsecond count.
  clock_base_ = random_.chance(500) ? 0U - random_.below(2'000'000) : random_.bits32();
  nodes_.resize(count);
  for (std::uint16_t n = 0; n < count; ++n) {
    Node& node = nodes_[n];
    node.rows.resize(kRows);
    node.by_slot.resize(kRows);
    node.up.assign(count, true);
    node.forced_block.assign(count, false);
    node.blocked.assign(count, false);
    for (std::uint16_t peer = 0; peer < count; ++peer) {
      const pipeline::Microseconds first = random_.between(200, 20'000);
      node.config.push_back({.lines_per_frame = static_cast<std::uint16_t>(random_.between(1, 30)),
                             .retransmit_us = first,
                             .retransmit_max_us = first * random_.between(1, 50),
                             .ack_delay_us = random_.below(2'000)});
    }
    if (controlled()) {
      // From a source of its own: what else happens in a run is as it is without.
      Random random(mix(options_.seed) + n);
      for (pipeline::LinkParameters& config : node.config) {
        config.controlled = true;
        config.congestion.kind = static_cast<congestion::Kind>(random.below(3));
        config.congestion.target_delay_us = random.between(50, 5'000);
        config.congestion.rate_bits = std::uint64_t{random.between(1, 2'000)} * 1'000'000;
      }
    }
    start_life(n);
  }
  const std::uint32_t pairings = random_.between(1, options_.slots);
  pairings_.reserve(pairings);
  for (std::uint32_t id = 0; id < pairings; ++id) {
    Pairing pairing;
    pairing.id = id;
    pairing.ends.reserve(2);
    const auto order = [&] { return random_.chance(900) ? random_.below(7) : random_.between(7, 10); };
    const unsigned there = order(), back = order();
    const bool hostile_run = random_.chance(300);
    const std::uint16_t first = any_node();
    for (unsigned side = 0; side < 2; ++side) {
      std::uint16_t node = first;
      if (side == 1) node = static_cast<std::uint16_t>((first + random_.between(1, count - 1)) % count);
      std::uint16_t slot = 0;
      do {
        slot = static_cast<std::uint16_t>(random_.below(kRows));
      } while (nodes_[node].by_slot[slot] != nullptr);
      // The two rings of a direction need not have one size.
      const unsigned in = side == 0 ? there : back;
      const unsigned out = random_.chance(750) ? (side == 0 ? back : there) : order();
      const auto ring = [&](unsigned o) {
        return RingMemory(o, o >= slot::Space::kFirstMirroredOrder && random_.chance(250));
      };
      pairing.ends.emplace_back(id, side, node, slot, ring(in), ring(out));
      Habits& habits = pairing.ends.back().habits;
      habits.write_permille = random_.between(50, 900);
      habits.write_burst = random_.between(1, 1U << random_.below(9));
      habits.read_permille = random_.chance(300) ? random_.between(2, 50) : random_.between(200, 900);
      habits.read_burst = random_.between(1, 1U << random_.below(9));
      habits.ring_permille = random_.between(500, 1000);
      habits.hostile = hostile_run && random_.chance(300);
      nodes_[node].by_slot[slot] =
          &pairing.ends.back();  // `ends` has its room and moves as a whole: this stays its place
    }
    pairings_.push_back(std::move(pairing));
    begin_rebind(pairings_.back());
    while (go_on_rebinding(pairings_.back())) {
    }
  }
}

Result World::run() {
  try {
    for (std::uint32_t i = 0; i < options_.steps; ++i) {
      ++step_;
      step();
      check();
    }
    finish();
  } catch (const Violated& violated) {
    result_.violation = Violation{step_, violated.what, last_events()};
  }
  for (std::uint16_t node = 0; node < node_count(); ++node) collect_counters(node);
  for (const Pairing& pairing : pairings_) {
    for (const End& end : pairing.ends) result_.lines_read += end.lines_read;
  }
  result_.network = network_->counts();
  result_.steps = step_;
  result_.simulated_us = time_;
  return result_;
}

void World::step() {
  time_ += random_.below(random_.chance(20) ? 3'000 : 30);
  const std::uint32_t choice = random_.below(1000);
  if (choice < 300) {
    Pairing& pairing = pairings_[random_.below(static_cast<std::uint32_t>(pairings_.size()))];
    act(pairing.ends[random_.below(2)], false);
  } else if (choice < 550) {
    poll(any_node(), random_.between(1, kMaxBurst));
  } else if (choice < 900) {
    deliver_one();
  } else if (choice < 980) {
    sweep(any_node());
  } else if (choice < 999 - chaos_permille_) {
    time_ += random_.below(random_.chance(50) ? 2'000'000 : 30'000);
    note(What::jump);
  } else {
    chaos();
  }
}

// --- processes ---

void World::act(End& end, bool draining) {
  if (!end.bound) return;
  const Habits& habits = end.habits;
  if (habits.hostile) {
    if (draining) {  // at last it behaves, so that the run can end
      end.in_tail = row(end).in_tail;
      end.out_head = row(end).out_head;
    } else if (random_.chance(30)) {
      end.in_tail += random_.chance(500) ? random_.bits32() : random_.below(20) - 10;
      end.out_head += random_.chance(500) ? random_.bits32() : random_.below(20) - 10;
      note(What::act, end.pairing, end.side, 0xbad);
      ring(end);
      return;
    }
  }
  std::uint32_t written = 0;
  if (!draining && random_.chance(habits.write_permille)) {
    const std::uint32_t used = end.in_tail - end.pub_in_head;
    const std::uint32_t free = used <= end.in.lines() ? end.in.lines() - used : 0;
    written = std::min(free, random_.between(1, habits.write_burst));
    for (std::uint32_t i = 0; i < written; ++i, ++end.in_tail) {
      fill_line(end.in.view().at(end.in_tail), end.pairing, end.generation, end.side, end.in_tail);
    }
  }
  const std::uint32_t there = std::min(end.pub_out_tail - end.out_head, end.out.lines());
  if (draining) {
    read(end, there);
  } else if (random_.chance(habits.read_permille)) {
    read(end, std::min(there, random_.between(1, habits.read_burst)));
  }
  note(What::act, end.pairing, end.side, written);
  if (draining || random_.chance(habits.ring_permille)) ring(end);
}

void World::read(End& end, std::uint32_t lines) {
  const Pairing& pairing = pairings_[end.pairing];
  for (std::uint32_t i = 0; i < lines; ++i, ++end.out_head) {
    if (pairing.hostile()) continue;
    if (!line_is(end.out.view().at(end.out_head), end.pairing, end.generation, 1 - end.side, end.out_head)) {
      throw Violated{name_of(end) + ": line " + std::to_string(end.out_head) +
                     " is not what the other side wrote when it is read"};
    }
  }
  if (!pairing.hostile()) end.lines_read += lines;
}

void World::ring(End& end) {
  nodes_[end.node].pipe->doorbell(end.slot, end.in_tail, end.out_head, now());
}

// --- the proxy's loop ---

void World::poll(std::uint16_t node, std::size_t frames) {
  note(What::poll, node, static_cast<std::uint32_t>(frames));
  if (random_.chance(700)) publish(node, random_.between(1, 8));
  take_events(node);
  decide(node);
  transmit(node, frames);
}

void World::publish(std::uint16_t node, std::size_t marks) {
  Node& n = nodes_[node];
  pipeline::MarkUpdate updates[8];
  const std::size_t taken = n.pipe->take_marks(std::span(updates).first(marks));
  for (pipeline::MarkUpdate& update : std::span(updates).first(taken)) {
    tamper_->publish(update, n.rows[update.slot]);
    End& end = *n.by_slot[update.slot];
    end.pub_in_head = update.in_head;
    end.pub_out_tail = update.out_tail;
  }
}

void World::take_events(std::uint16_t node) {
  Node& n = nodes_[node];
  pipeline::SlotEvent events[8];
  for (const pipeline::SlotEvent& event : std::span(events).first(n.pipe->take_events(events))) {
    const End& end = *n.by_slot[event.slot];
    ++result_.faults;
    if (!pairings_[end.pairing].hostile()) {
      throw Violated{name_of(end) + ": an honest slot stopped: " + std::string(regs::name(event.fault))};
    }
  }
}

void World::refresh_block(std::uint16_t node, std::uint16_t link) {
  Node& n = nodes_[node];
  const bool blocked = n.forced_block[link] || !network_->room(node, link);
  if (blocked != n.blocked[link]) ++result_.blocks;
  n.blocked[link] = blocked;
  n.pipe->set_blocked(link, blocked);
}

void World::transmit(std::uint16_t node, std::size_t frames) {
  Node& n = nodes_[node];
  for (std::uint16_t link = 0; link < node_count(); ++link) {
    if (link != node) refresh_block(node, link);
  }
  pipeline::TxFrame out[kMaxBurst];
  std::vector<std::uint32_t> before;
  if (result_.controlled) {
    for (std::uint16_t link = 0; link < node_count(); ++link) before.push_back(n.pipe->flow(link).inflight());
  }
  const std::size_t count = n.pipe->transmit(std::span(out).first(frames), now());
  for (std::uint16_t link = 0; result_.controlled && link < node_count(); ++link) {
    const pipeline::FlowReport flow = n.pipe->flow(link).report();
    const std::uint32_t most = std::max({flow.window, before[link], std::uint32_t{n.config[link].lines_per_frame}});
    if (flow.inflight <= most) continue;
    throw Violated{"node " + std::to_string(node) + ": " + std::to_string(flow.inflight) +
                   " lines are in flight on link " + std::to_string(link) + ", whose window is " +
                   std::to_string(flow.window)};
  }
  for (const pipeline::TxFrame& frame : std::span(out).first(count)) {
    Bytes bytes(std::begin(frame.header), std::end(frame.header));
    bytes.insert(bytes.end(), frame.payload.begin(), frame.payload.end());
    if (!tamper_->outgoing(n.rows[frame.slot], bytes)) continue;
    hash_frame(node, frame.link, bytes);
    into_network(node, frame.link, std::move(bytes));
  }
}

void World::into_network(std::uint16_t from, std::uint16_t to, Bytes frame) {
  if (options_.between != nullptr && !options_.between->leave(from, to, time_, frame)) return;
  network_->send(from, to, frame, time_);
}

bool World::deliver_one() {
  std::optional<Arrival> arrival = network_->arrived(time_);
  if (!arrival) return false;
  Node& n = nodes_[arrival->to];
  note(What::deliver, arrival->from, arrival->to, static_cast<std::uint32_t>(arrival->frame.size()));
  if (options_.between != nullptr && !options_.between->arrive(arrival->from, arrival->to, time_, arrival->frame)) {
    return true;
  }
  tamper_->incoming(n.rows, arrival->from, arrival->frame);
  End* end = nullptr;
  Position before = 0;
  if (arrival->frame.size() >= regs::kHeaderBytes) {
    const std::span<const std::byte> frame = arrival->frame;
    const std::uint16_t slot = pipeline::decode(frame.first<regs::kHeaderBytes>()).dst_slot;
    if (slot < kRows) end = n.by_slot[slot];
    if (end != nullptr) before = row(*end).out_tail;
  }
  n.pipe->receive(arrival->from, arrival->frame, now());
  if (end != nullptr) tamper_->received(n.rows[end->slot], before, end->out.view());
  return true;
}

std::uint32_t World::sweep(std::uint16_t node) {
  note(What::sweep, node);
  tamper_->before_sweep(nodes_[node].rows);
  return nodes_[node].pipe->sweep(now(), random_.chance(900) ? 1000 : random_.between(1, 5));
}

// --- congestion control ---

void World::begin_control(std::uint16_t node, std::uint16_t link) {
  Node& n = nodes_[node];
  const pipeline::LinkParameters& config = n.config[link];
  if (!config.controlled) return;
  n.control.resize(nodes_.size());
  n.pipe->set_window(link, congestion::start(n.control[link], config.congestion, config.lines_per_frame), now());
}

void World::decide(std::uint16_t node) {
  Node& n = nodes_[node];
  for (std::size_t i = n.pipe->round_over(); i != pipeline::Pipeline::kNoLink; i = n.pipe->round_over()) {
    const auto link = static_cast<std::uint16_t>(i);
    n.pipe->set_window(link, congestion::decide(n.control[link], n.pipe->take_round(link, now())), now());
  }
}

// --- the end of a run ---

bool World::all_arrived() const {
  for (const Pairing& pairing : pairings_) {
    if (pairing.hostile()) continue;
    for (unsigned side = 0; side < 2; ++side) {
      const End& writer = pairing.ends[side];
      const End& reader = pairing.ends[1 - side];
      if (reader.out_head != writer.in_tail || writer.pub_in_head != writer.in_tail) return false;
    }
  }
  return true;
}

bool World::all_idle() const {
  if (network_->next()) return false;
  return std::none_of(nodes_.begin(), nodes_.end(),
                      [](const Node& n) { return n.pipe->timers_running() || n.pipe->ready(); });
}

void World::finish() {
  heal();
  const Time healed = time_;
  bool arrived = false;
  for (;;) {
    ++step_;
    note(What::final);
    for (Pairing& pairing : pairings_) {
      for (End& end : pairing.ends) act(end, true);
    }
    std::uint32_t wait = pipeline::Pipeline::kNoTimer;
    for (std::uint16_t node = 0; node < node_count(); ++node) {
      publish(node, 8);
      take_events(node);
      transmit(node, kMaxBurst);
      tamper_->before_sweep(nodes_[node].rows);
      wait = std::min(wait, nodes_[node].pipe->sweep(now(), 10'000));
      decide(node);
    }
    while (deliver_one()) check();
    check();
    if (!arrived && all_arrived()) {
      arrived = true;
      result_.heal_us = time_ - healed;
    }
    if (arrived && all_idle()) return;
    if (time_ - healed > kLivenessUs) {
      for (const Pairing& pairing : pairings_) {
        for (const End& end : pairing.ends) {
          const End& other = pairing.ends[1 - end.side];
          if (pairing.hostile() || other.out_head == end.in_tail) continue;
          throw Violated{name_of(end) + ": written up to " + std::to_string(end.in_tail) + ", read up to " +
                         std::to_string(other.out_head) + " a minute after the network healed"};
        }
      }
      throw Violated{"timers or frames have not come to rest a minute after the network healed"};
    }
    // On to the next thing that can happen.
    Time step = 1'000'000;
    if (const auto next = network_->next()) step = *next > time_ ? *next - time_ : 1;
    step = std::min<Time>(step, wait == 0 ? 1 : wait);
    for (const Node& n : nodes_) {
      if (n.pipe->ready()) step = 1;
      if (n.pipe->paced()) step = std::min<Time>(step, 50);
    }
    time_ += std::max<Time>(step, 1);
  }
}

void World::hash_frame(std::uint16_t from, std::uint16_t to, const Bytes& frame) {
  std::uint64_t h =
      mix(result_.hash ^ time_ ^ (std::uint64_t{from} << 48) ^ (std::uint64_t{to} << 56) ^ (frame.size() << 32));
  std::size_t at = 0;
  for (; at + 8 <= frame.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, frame.data() + at, 8);
    h = mix(h ^ word);
  }
  for (; at < frame.size(); ++at) h = mix(h ^ static_cast<std::uint64_t>(frame[at]));
  result_.hash = h;
}

Result run(const Options& options) {
  return World(options).run();
}

}  // namespace slotwire::sim
