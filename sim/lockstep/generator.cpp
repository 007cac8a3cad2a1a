#include "sim/lockstep/generator.hpp"

#include <algorithm>

namespace slotwire::lockstep {
namespace {

using regs::FrameType;
using regs::SlotRow;
using regs::SlotState;

/// What a seed is about.
struct Profile {
  unsigned loss = 0, disorder = 0;                           ///< of 1000 frames
  unsigned forged = 0;                                       ///< of 1000 slots: their peer is made up frame by frame
  unsigned bad = 60, hostile = 5, control = 30, stray = 15;  ///< of 1000 steps
  unsigned together = 300;                                   ///< of 1000 steps that the next one joins
  unsigned min_order = 0, max_order = 10;
  bool near_wrap = false;
  std::uint32_t used_slots = 8;
};

constexpr unsigned kRefusedPermille = 6;  ///< of the steps: slot memory refuses a line

/// How a forged frame is wrong, or what it probes.
enum class Forgery : std::uint8_t {
  cut,
  version,
  type,
  length,
  crc,
  dst_slot,
  unbound,
  link,
  src_slot,
  epoch,
  ack,
  gap,
  duplicate,
  stale_ack,
  flags,
  damaged,
  padded,
  missing,
  overlong,
  two_causes,
  count
};

class Generator {
 public:
  explicit Generator(const GeneratorOptions& options) : options_(options), random_(options.seed) {}
  Program run();

 private:
  struct Use {
    std::uint16_t link = 0, peer_slot = 0;
    bool forged = false;
    std::uint32_t fill = 0;  ///< of what its peer sends
    Habits habits;
  };

  void choose_profile();
  void emit(const Action& action, bool may_join = true);
  void step();
  void background();
  bool deliver();
  void produce();
  void consume();
  void advance();
  void storm();
  void bad_frame();
  void refused_frame();
  void hostile_mark();
  void stray();
  void control();
  void bind_slot(std::uint16_t slot);
  void random_figures(std::uint16_t link);
  FrameIn plausible(std::uint16_t slot);
  void forge(FrameIn& frame, std::uint16_t slot, Forgery forgery);
  std::uint32_t far_ahead(unsigned order);

  const SlotRow& row(std::uint16_t slot) const { return card_.row(slot); }
  SlotState state(std::uint16_t slot) const { return static_cast<SlotState>(row(slot).state); }
  std::optional<std::uint16_t> any_slot(SlotState wanted);
  std::uint16_t any_link() { return used_links_[random_.below(static_cast<std::uint32_t>(used_links_.size()))]; }
  Peer& peer(std::uint16_t link) { return *peers_[link]; }
  /// A burst of 1 to a power of two of lines.
  std::uint32_t burst() { return random_.between(1, 1U << random_.below(9)); }

  GeneratorOptions options_;
  sim::Random random_;
  Profile profile_;
  Program program_;
  GoldenCard card_;
  Observation seen_;
  Microseconds now_ = 0;
  std::vector<std::uint16_t> used_links_;
  std::vector<std::unique_ptr<Peer>> peers_;  ///< by link
  std::vector<Use> uses_;                     ///< by slot
  std::optional<std::uint16_t> favourite_;    ///< a slot that gets most of the traffic for a while
};

void Generator::choose_profile() {
  Profile& p = profile_;
  p.loss = random_.chance(400) ? random_.below(300) : 0;
  p.disorder = random_.chance(500) ? random_.below(300) : 0;
  p.forged = random_.chance(700) ? random_.below(700) : 1000;
  p.bad = random_.between(20, 160);
  p.hostile = random_.chance(300) ? random_.between(5, 30) : 2;
  p.control = random_.between(5, 50);
  p.stray = random_.between(0, 40);
  p.together = random_.chance(500) ? random_.between(100, 700) : 0;
  switch (random_.below(4)) {
    case 0:
      p.max_order = std::min(3U, options_.max_order);
      break;
    case 1:
      p.min_order = std::min(5U, options_.max_order);
      [[fallthrough]];
    default:
      p.max_order = options_.max_order;
  }
  p.near_wrap = random_.chance(500);
  p.used_slots = random_.between(std::min(2U, options_.slots), options_.slots);
}

Program Generator::run() {
  choose_profile();
  program_.seed = options_.seed;
  program_.slots = options_.slots;
  program_.links = options_.links;
  program_.max_order = options_.max_order;
  program_.frame_lines = options_.frame_lines;
  program_.memory_lines = options_.memory_lines;
  program_.start_us = profile_.near_wrap ? 0U - random_.below(100'000) : random_.bits32();
  now_ = program_.start_us;
  card_.start(program_);
  uses_.resize(options_.slots);
  peers_.resize(options_.links);
  const std::uint32_t links = random_.between(1, std::min(4U, options_.links));
  while (used_links_.size() < links) {
    const auto link = static_cast<std::uint16_t>(random_.below(options_.links));
    if (peers_[link]) continue;
    used_links_.push_back(link);
    peers_[link] = std::make_unique<Peer>(link,
                                          pipeline::LinkParameters{.lines_per_frame = static_cast<std::uint16_t>(
                                                                       random_.between(1, options_.frame_lines)),
                                                                   .retransmit_us = random_.between(100, 20'000),
                                                                   .retransmit_max_us = 1'000'000,
                                                                   .ack_delay_us = random_.below(2'000)},
                                          options_.max_order, now_);
    random_figures(link);
    emit(LinkUp{link});
  }
  for (std::uint32_t i = 0; i < profile_.used_slots; ++i)
    bind_slot(static_cast<std::uint16_t>(random_.below(options_.slots)));
  while (program_.steps.size() < options_.steps) step();
  program_.steps.back().together = false;
  return std::move(program_);
}

void Generator::emit(const Action& action, bool may_join) {
  if (program_.steps.size() >= options_.steps) return;
  if (const auto* a = std::get_if<Advance>(&action)) now_ += a->us;
  card_.apply(action, now_);
  card_.settle(now_);
  seen_.clear();
  card_.observe(seen_);
  for (const SentFrame& frame : seen_.wire) {
    if (frame.slot == kPassed) continue;
    const Use& use = uses_[frame.slot];
    if (!use.forged) peer(use.link).send(frame.bytes);
  }
  const bool join = may_join && random_.chance(profile_.together);
  program_.steps.push_back({action, join});
}

void Generator::step() {
  background();
  if (random_.chance(20)) favourite_.reset();
  if (random_.chance(20)) favourite_ = any_slot(SlotState::bound);
  std::uint32_t choice = random_.below(1000);
  const auto is = [&](unsigned permille) {
    if (choice < permille) return true;
    choice -= permille;
    return false;
  };
  if (is(profile_.bad)) return bad_frame();
  if (is(profile_.hostile)) return hostile_mark();
  if (options_.refusals && is(kRefusedPermille)) return refused_frame();
  if (is(profile_.control)) return control();
  if (is(profile_.stray)) return stray();
  if (is(110)) return advance();
  if (is(160)) return consume();
  if (is(250)) return produce();
  if (is(3)) return storm();
  if (!deliver()) produce();
}

void Generator::background() {
  for (const std::uint16_t link : used_links_) peer(link).turn(random_, now_, profile_.loss, profile_.disorder);
}

std::optional<std::uint16_t> Generator::any_slot(SlotState wanted) {
  if (wanted == SlotState::bound && favourite_ && state(*favourite_) == wanted && random_.chance(700))
    return favourite_;
  const std::uint32_t start = random_.below(options_.slots);
  for (std::uint32_t i = 0; i < options_.slots; ++i) {
    const auto slot = static_cast<std::uint16_t>((start + i) % options_.slots);
    if (state(slot) == wanted) return slot;
  }
  return std::nullopt;
}

// --- what an honest node does ---

bool Generator::deliver() {
  // A slot whose peer is made up gets a frame of a right kind; the others what their peer sent.
  if (random_.chance(profile_.forged)) {
    const auto slot = any_slot(SlotState::bound);
    if (slot && uses_[*slot].forged) {
      emit(plausible(*slot));
      return true;
    }
  }
  const std::size_t start = random_.below(static_cast<std::uint32_t>(used_links_.size()));
  for (std::size_t i = 0; i < used_links_.size(); ++i) {
    Peer& from = peer(used_links_[(start + i) % used_links_.size()]);
    if (const auto frame = from.arrive(random_, profile_.loss, profile_.disorder)) {
      emit(*frame);
      return true;
    }
  }
  return false;
}

void Generator::produce() {
  const auto slot = any_slot(SlotState::bound);
  if (!slot) return bind_slot(static_cast<std::uint16_t>(random_.below(options_.slots)));
  const SlotRow& r = row(*slot);
  const std::uint32_t free = (1U << r.in_order) - (r.in_tail - r.in_head);
  if (free == 0 && random_.chance(900)) return;
  const std::uint32_t lines =
      random_.chance(150) ? free : std::min(free, random_.between(1, uses_[*slot].habits.write_burst));
  const Position at = r.in_tail;
  // Writes in pieces, and sometimes a bell without a write.
  for (std::uint32_t done = 0; done < lines && random_.chance(980);) {
    const std::uint32_t piece = std::min(lines - done, random_.between(1, 2 * kMaxStepLines));
    emit(Write{*slot, at + done, static_cast<std::uint16_t>(piece), random_.bits32()});
    done += piece;
  }
  if (random_.chance(950)) emit(InTail{*slot, at + lines});
}

void Generator::consume() {
  const auto slot = any_slot(SlotState::bound);
  if (!slot) return;
  const SlotRow& r = row(*slot);
  const std::uint32_t there = r.out_tail - r.out_head;
  const Use& use = uses_[*slot];
  if (!random_.chance(use.habits.read_permille) || (there == 0 && random_.chance(800))) return;
  const std::uint32_t lines = random_.chance(150) ? there : std::min(there, random_.between(1, use.habits.read_burst));
  emit(OutHead{*slot, r.out_head + lines});
}

void Generator::advance() {
  const std::uint32_t choice = random_.below(1000);
  std::optional<std::uint32_t> next;
  for (const std::uint16_t slot : numbers(options_.slots)) {
    const SlotRow& r = row(slot);
    if ((r.flags & regs::kRowTxTimer) != 0) next = std::min(next.value_or(~0U), r.tx_deadline - now_);
    if ((r.flags & regs::kRowAckTimer) != 0) next = std::min(next.value_or(~0U), r.ack_deadline - now_);
  }
  std::uint32_t us = random_.between(1, 100);
  if (choice < 400 && next && *next <= pipeline::kMaxTimeout) {
    us = *next;  // exactly on time
  } else if (choice < 500 && next && *next > 1 && *next <= pipeline::kMaxTimeout) {
    us = *next - 1;  // a microsecond early
  } else if (choice < 600) {
    us = random_.below(30'000);
  } else if (choice < 620) {
    us = random_.below(1U << random_.between(10, 29));
  }
  emit(Advance{us}, false);
}

/// Nothing comes back for long: timeouts follow upon each other.
void Generator::storm() {
  const auto slot = any_slot(SlotState::bound);
  if (!slot) return;
  produce();
  for (std::uint32_t n = random_.between(3, 18); n != 0; --n) {
    const SlotRow& r = row(*slot);
    if ((r.flags & regs::kRowTxTimer) == 0 || r.tx_deadline - now_ > pipeline::kMaxTimeout) return;
    emit(Advance{r.tx_deadline - now_}, false);
  }
}

// --- what a dishonest one does ---

/// A frame as the slot's peer could send it now.
FrameIn Generator::plausible(std::uint16_t slot) {
  const SlotRow& r = row(slot);
  FrameIn f;
  f.link = r.link;
  f.dst_slot = slot;
  f.src_slot = r.peer_slot;
  f.epoch = r.epoch;
  f.fill = uses_[slot].fill;
  const std::uint32_t flying = r.sent - r.in_head;
  f.ack = r.in_head + (random_.chance(600) ? flying : random_.below(flying + 1));
  const std::uint32_t ring = 1U << r.in_order;
  f.credit = static_cast<std::uint16_t>(random_.chance(150) ? 0 : random_.chance(500) ? ring : random_.below(ring + 1));
  f.seq = r.out_tail;
  const std::uint32_t room = (1U << r.out_order) - (r.out_tail - r.out_head);
  const std::uint32_t kind = random_.below(100);
  if (kind < 60 && room != 0) {
    f.type = static_cast<std::uint8_t>(FrameType::data);
    const std::uint32_t most = std::min(room, options_.frame_lines);
    f.lines = static_cast<std::uint16_t>(random_.chance(200) ? most : random_.between(1, most));
    if (random_.chance(80)) {  // partly known
      const std::uint32_t known = random_.below(std::min<std::uint32_t>(options_.frame_lines, f.lines));
      f.seq -= known;
    }
  } else if (kind < 80) {
    f.type = static_cast<std::uint8_t>(FrameType::ack);
  } else if (kind < 90) {
    f.type = static_cast<std::uint8_t>(FrameType::nak);
  } else {
    f.type = static_cast<std::uint8_t>(FrameType::probe);
  }
  return f;
}

/// A distance about as long as the ring, on either side of it, or half a circle.
std::uint32_t Generator::far_ahead(unsigned order) {
  return random_.chance(800) ? (1U << order) + random_.below(2) : 0x7fff'ffff + random_.below(2);
}

void make_reset(FrameIn& f) {
  f.type = static_cast<std::uint8_t>(FrameType::reset);
  f.lines = 0;
}

void Generator::forge(FrameIn& f, std::uint16_t slot, Forgery forgery) {
  switch (forgery) {
    case Forgery::cut:
      f.cut = static_cast<std::uint16_t>(random_.between(1, regs::kHeaderBytes));
      break;
    case Forgery::version:
      f.version = static_cast<std::uint8_t>((f.version + random_.between(1, 15)) & 0xf);
      break;
    case Forgery::type:
      f.type = static_cast<std::uint8_t>(random_.between(5, 15));
      break;
    case Forgery::length:
      if (random_.chance(600)) {
        f.extra = static_cast<std::uint16_t>(random_.between(1, 63));
        f.lines = static_cast<std::uint16_t>(std::min<std::uint32_t>(f.lines, options_.frame_lines - 1));
      } else if (f.type == static_cast<std::uint8_t>(FrameType::data)) {
        f.lines = 0;
      } else {
        f.lines = static_cast<std::uint16_t>(random_.between(1, 3));
      }
      break;
    case Forgery::crc:
      f.crc_xor = random_.chance(700) ? 1U << random_.below(32) : random_.bits32();
      break;
    case Forgery::dst_slot:
      f.dst_slot =
          static_cast<std::uint16_t>(random_.chance(300) ? options_.slots : random_.between(options_.slots, 0xffff));
      break;
    case Forgery::unbound:
      if (const auto free = any_slot(SlotState::free)) f.dst_slot = *free;
      break;
    case Forgery::link:
      f.link = random_.chance(400) ? kStranger : static_cast<std::uint16_t>(random_.below(options_.links));
      break;
    case Forgery::src_slot:
      f.src_slot = static_cast<std::uint16_t>(f.src_slot ^ (1U << random_.below(16)));
      break;
    case Forgery::epoch:
      f.epoch = static_cast<std::uint16_t>(f.epoch ^ (1U << random_.below(16)));
      break;
    case Forgery::ack: {
      const std::uint32_t produced = row(slot).in_tail - row(slot).in_head, ring = 1U << row(slot).in_order;
      const std::uint32_t choice = random_.below(4);
      f.ack = row(slot).in_head + (choice == 0   ? produced + 1
                                   : choice == 1 ? 0x7fff'ffff
                                   : choice == 2 ? 0U - ring - 1
                                                 : random_.between(produced + 1, 0U - ring - 1));
      if (random_.chance(100)) make_reset(f);
      break;
    }
    case Forgery::gap:
      f.type = static_cast<std::uint8_t>(FrameType::data);
      f.lines = static_cast<std::uint16_t>(std::max<std::uint32_t>(f.lines, 1));
      f.seq = row(slot).out_tail + (random_.chance(850) ? random_.between(1, 40) : far_ahead(row(slot).out_order));
      if (random_.chance(30)) make_reset(f);
      break;
    case Forgery::duplicate:
      f.type = static_cast<std::uint8_t>(FrameType::data);
      f.lines = static_cast<std::uint16_t>(std::max<std::uint32_t>(f.lines, 1));
      f.seq = row(slot).out_tail - (random_.chance(850) ? f.lines + random_.below(20) : far_ahead(row(slot).out_order));
      break;
    case Forgery::stale_ack:
      f.ack = row(slot).in_head - (random_.chance(850) ? random_.between(1, 40) : far_ahead(row(slot).in_order));
      break;
    case Forgery::flags:
      f.flags = static_cast<std::uint8_t>(random_.between(1, 255));
      break;
    case Forgery::damaged:
      f.damaged = 1;
      break;
    case Forgery::padded:
      f.pad = static_cast<std::uint8_t>(random_.between(1, 255));
      break;
    case Forgery::missing:
      f.missing = static_cast<std::uint16_t>(random_.chance(500) ? random_.between(1, 4) : random_.between(1, 300));
      break;
    case Forgery::overlong:
      f.type = static_cast<std::uint8_t>(FrameType::data);
      f.lines = static_cast<std::uint16_t>(
          random_.chance(500) ? options_.frame_lines + 1 : random_.between(options_.frame_lines + 1, kMaxStepLines));
      break;
    case Forgery::two_causes:
      forge(f, slot, static_cast<Forgery>(random_.below(static_cast<std::uint32_t>(Forgery::two_causes))));
      forge(f, slot, static_cast<Forgery>(random_.below(static_cast<std::uint32_t>(Forgery::gap))));
      break;
    case Forgery::count:
      break;
  }
}

void Generator::bad_frame() {
  // Who talks to a slot that stopped is told again.
  if (random_.chance(80)) {
    const auto stopped = any_slot(random_.chance(600) ? SlotState::faulted : SlotState::reset);
    if (stopped) {
      FrameIn f = plausible(*stopped);
      if (random_.chance(200)) {
        f.type = static_cast<std::uint8_t>(FrameType::reset);
        f.lines = 0;
      }
      return emit(f);
    }
  }
  const auto slot = any_slot(SlotState::bound);
  if (!slot) return;
  FrameIn f = plausible(*slot);
  if (uses_[*slot].forged && random_.chance(250)) {
    // What this peer may do and an honest one never does.
    const SlotRow& r = row(*slot);
    const std::uint32_t room = (1U << r.out_order) - (r.out_tail - r.out_head);
    if (random_.chance(30)) {
      f.type = static_cast<std::uint8_t>(FrameType::reset);
      f.lines = 0;
    } else if (room < options_.frame_lines) {
      f.type = static_cast<std::uint8_t>(FrameType::data);
      f.seq = r.out_tail;
      f.lines = static_cast<std::uint16_t>(room + 1);
      if (f.lines < options_.frame_lines && random_.chance(300)) {
        ++f.lines;
        --f.seq;
      }
    }
    return emit(f);
  }
  if (!uses_[*slot].forged) {
    // Nothing that would be taken: it would not have come from its honest peer.
    f.ack = row(*slot).in_head;
    f.credit = 0;
    f.type = static_cast<std::uint8_t>(random_.chance(500) ? FrameType::ack : FrameType::probe);
    f.lines = 0;
  }
  forge(f, *slot, static_cast<Forgery>(random_.below(static_cast<std::uint32_t>(Forgery::count))));
  emit(f);
}

/// Nothing may follow from the frame before memory has answered, or it depended on the memory's latency what was sent
/// meanwhile: no acknowledgement is due at once, none moves, and no window opens. That is tried elsewhere
/// (tests/lockstep/card_test.cpp, card-duplex --refuse).
void Generator::refused_frame() {
  const auto slot = any_slot(SlotState::bound);
  if (!slot) return;
  const SlotRow& r = row(*slot);
  const std::uint32_t size = 1U << r.out_order, room = size - (r.out_tail - r.out_head);
  const std::uint32_t untold = r.out_tail - r.told_ack;
  if (size / 4 <= untold + 1 || room == 0 || card_.figures(r.link).ack_delay_us == 0) return;
  const std::uint32_t most = std::min({size / 4 - untold - 1, room, std::uint32_t{8}});
  RefusedFrame f;
  f.link = r.link;
  f.dst_slot = *slot;
  f.src_slot = r.peer_slot;
  f.epoch = r.epoch;
  f.seq = r.out_tail;
  f.ack = r.in_head;
  f.lines = static_cast<std::uint16_t>(random_.between(1, most));
  f.nth = static_cast<std::uint16_t>(random_.between(1, f.lines));
  f.fill = random_.bits32();
  if (!program_.steps.empty()) program_.steps.back().together = false;
  emit(f, false);
}

void Generator::hostile_mark() {
  const auto slot = any_slot(random_.chance(850)   ? SlotState::bound
                             : random_.chance(500) ? SlotState::faulted
                                                   : SlotState::free);
  if (!slot) return;
  const SlotRow& r = row(*slot);
  const std::uint32_t free = (1U << r.in_order) - (r.in_tail - r.in_head);
  const std::uint32_t there = r.out_tail - r.out_head;
  switch (random_.below(6)) {
    case 0:
      return emit(InTail{*slot, r.in_tail + free + 1});
    case 1:
      return emit(InTail{*slot, r.in_tail - 1});
    case 2:
      return emit(InTail{*slot, random_.bits32()});
    case 3:
      return emit(OutHead{*slot, r.out_head + there + 1});
    case 4:
      return emit(OutHead{*slot, r.out_head - 1});
    default:
      return emit(OutHead{*slot, random_.bits32()});
  }
}

void Generator::stray() {
  Stray s;
  s.from_host = random_.chance(500) ? 1 : 0;
  s.likeness = static_cast<std::uint8_t>(random_.below(kLikenesses));
  s.bytes = static_cast<std::uint16_t>(random_.chance(500) ? random_.between(60, 130) : random_.between(60, 1514));
  s.fill = random_.bits32();
  s.damaged = s.from_host == 0 && random_.chance(150) ? 1 : 0;
  emit(s);
}

// --- what the engine does ---

void Generator::random_figures(std::uint16_t link) {
  Figures f;
  f.link = link;
  f.lines_per_frame =
      static_cast<std::uint16_t>(random_.chance(300) ? options_.frame_lines : random_.between(1, options_.frame_lines));
  f.rto_us = random_.chance(100) ? 1 : random_.between(50, 20'000);
  const std::uint32_t most = random_.below(4);
  f.rto_max_us = most == 0 ? f.rto_us : most == 1 ? f.rto_us * 8 : most == 2 ? pipeline::kMaxTimeout : 1'000'000;
  f.ack_delay_us = random_.chance(100) ? 0 : random_.below(3'000);
  emit(f);
}

void Generator::bind_slot(std::uint16_t slot) {
  if (state(slot) != SlotState::free) return;
  Bind b;
  b.slot = slot;
  b.link = any_link();
  const auto peer_slot = peer(b.link).free_slot(random_);
  Use& use = uses_[slot];
  use.forged = !peer_slot || random_.chance(profile_.forged);
  b.peer_slot = use.forged ? static_cast<std::uint16_t>(random_.bits32()) : *peer_slot;
  b.epoch = static_cast<std::uint16_t>(random_.bits32());
  b.in_order = static_cast<std::uint8_t>(random_.between(profile_.min_order, profile_.max_order));
  b.out_order = static_cast<std::uint8_t>(random_.between(profile_.min_order, profile_.max_order));
  const Position in_start = profile_.near_wrap ? 0U - random_.below(200) : random_.chance(500) ? 0 : random_.bits32();
  const Position out_start = profile_.near_wrap ? 0U - random_.below(200) : random_.chance(500) ? 0 : random_.bits32();
  b.in_head = in_start;
  b.in_tail = in_start + (random_.chance(150) ? random_.below((1U << b.in_order) + 1) : 0);
  b.out_tail = out_start;
  b.out_head = out_start - (random_.chance(150) ? random_.below((1U << b.out_order) + 1) : 0);
  b.credit = static_cast<std::uint16_t>(random_.chance(200)   ? 0
                                        : random_.chance(700) ? 1U << b.in_order
                                                              : random_.below((1U << b.in_order) + 1));
  b.in_place = static_cast<std::uint16_t>(random_.bits32());
  b.out_place = static_cast<std::uint16_t>(random_.bits32());
  use.link = b.link;
  use.peer_slot = b.peer_slot;
  use.fill = random_.bits32();
  use.habits = {burst(), burst(), random_.chance(300) ? random_.between(20, 150) : random_.between(400, 1000)};
  if (!use.forged) {
    peer(b.link).bind(b, use.fill, {burst(), burst(), random_.chance(300) ? random_.between(20, 150) : 800}, now_);
  }
  emit(b);
}

void Generator::control() {
  switch (random_.below(10)) {
    case 0:
      return random_figures(any_link());
    case 1: {
      const std::uint16_t link = any_link();
      if (!card_.up(link)) return;
      if (random_.chance(500)) peer(link).set_up(false, now_);
      return emit(LinkDown{link});
    }
    case 2:
    case 3:
      for (const std::uint16_t link : used_links_) {
        if (card_.up(link) && random_.chance(900)) continue;
        peer(link).set_up(true, now_);
        return emit(LinkUp{link});
      }
      return;
    case 4:
    case 5: {
      const auto slot = any_slot(random_.chance(500)   ? SlotState::bound
                                 : random_.chance(500) ? SlotState::faulted
                                                       : SlotState::reset);
      if (!slot) return;
      const Use& use = uses_[*slot];
      if (!use.forged) peer(use.link).unbind(use.peer_slot);
      emit(Unbind{*slot});
      if (random_.chance(700)) bind_slot(*slot);
      return;
    }
    case 6: {
      const auto slot = any_slot(random_.chance(900) ? SlotState::bound : SlotState::faulted);
      if (slot)
        emit(FaultSlot{*slot,
                       static_cast<std::uint8_t>(random_.chance(500) ? regs::Fault::admin : regs::Fault::memory)});
      return;
    }
    case 7:
      if (random_.chance(500)) emit(Reset{}, false);
      return;
    default:
      return bind_slot(static_cast<std::uint16_t>(random_.below(options_.slots)));
  }
}

}  // namespace

Program generate(const GeneratorOptions& options) {
  return Generator(options).run();
}

}  // namespace slotwire::lockstep
