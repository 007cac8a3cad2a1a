#include "sim/lockstep/full_duplex.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "sim/card/card_driver.hpp"
#include "sim/lockstep/full_duplex_parts.hpp"
#include "sim/lockstep/program.hpp"

namespace slotwire::lockstep {
namespace {

using pipeline::Pipeline;
using sim::SimCardDriver;

constexpr std::uint16_t kLinks = 2;         ///< 0: long frames, 1: frames of one line
constexpr std::uint16_t kHostileSlots = 2;  ///< the last ones: only ever bound by rows that are refused
constexpr unsigned kLongOrder = 10, kShortOrder = 8;
constexpr std::uint16_t kLongFrameLines = 22;  ///< of an Ethernet frame of 1500 bytes
constexpr std::uint32_t kRegionLines = 2048;   ///< of a ring's places
constexpr std::uint32_t kClocksPerUs = 250;
constexpr std::uint64_t kWarmUp = 5'000;      ///< clocks until both directions are full
constexpr std::uint64_t kPatience = 100'000;  ///< clocks in which every slot has to go on
constexpr std::uint64_t kEndPatience = 400'000;
constexpr std::uint64_t kPhaseClocks = 4'000;  ///< about so long is everything equally unkind
constexpr std::uint64_t kGuardClocks = 2'000;  ///< memory of a slot that was freed is not touched for so long
constexpr std::size_t kFewRequests = 6;        ///< that wait at the host's port when it is not to be full
constexpr std::size_t kManyRequests = 96;
constexpr std::uint32_t kManyReads = 150;
constexpr std::uint32_t kStormLines = 256;   ///< of each slot that are acknowledged one by one
constexpr std::uint64_t kStormWait = 2'500;  ///< clocks in which they come
constexpr std::uint32_t kGarbage = 0xdeadbeef;

using namespace duplex;

class FullDuplex {
 public:
  explicit FullDuplex(const FullDuplexOptions& options) : options_(options), random_(options.seed ^ 0xd0b1e) {}

  FullDuplexResult run() {
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
    } catch (const Failure& failure) {
      result_.failure = "clock " + std::to_string(core_ ? core_->now() : 0) + ": " + failure.what;
    }
    return result_;
  }

 private:
  void need(bool good) {
    if (!good) throw Failure{driver_->error()};
  }
  [[noreturn]] static void fail(const Life& life, const std::string& what) {
    throw Failure{"slot " + std::to_string(life.slot) + ", epoch " + std::to_string(life.epoch) + ": " + what};
  }
  std::uint32_t now_us() const { return static_cast<std::uint32_t>(core_->now() / kClocksPerUs); }
  /// In a ring whose lines nobody writes, a place always has the same content.
  Position content(const Life& life, Position at) const { return options_.stress ? at : at & (life.size() - 1); }
  sim::Line line_of(std::uint32_t fill, Position at) const {
    sim::Line line;
    fill_line(line.data(), fill, at);
    return line;
  }
  Life* live(const Asked& asked) {
    Slot& slot = slots_[asked.slot];
    return slot.stage == SlotStage::live && slot.life.epoch == asked.epoch ? &slot.life : nullptr;
  }
  void progress(Life& life) { life.last_progress = core_->now(); }

  void build();
  void tick();
  void new_phase();
  // The wire.
  void take_frames();
  void check_frame(std::uint16_t link, const pipeline::Header& header, std::span<const std::byte> lines);
  void far_processes();
  void feed();
  void make_storm();
  // The host.
  bool ask(Asked asked, std::uint32_t address);
  void answers();
  void answered(const Asked& asked, const sim::Line& line);
  void host_turn();
  void came(Life& life, Position out_tail);
  void released(Life& life, Position in_head);
  void ring(Life& life);
  void ring_bells();
  void read_lines();
  void hostile_turn();
  // Slots.
  void churn();
  void free_slot(Slot& slot);
  void bind(std::uint16_t slot);
  void begin(Slot& slot);
  void check_guards();
  void watch_progress();

  void end();
  bool settled() const;
  void rest();
  void check_counters();
  void take_all_events();
  void break_memory();

  FullDuplexOptions options_;
  sim::Random random_;
  FullDuplexResult result_;
  std::unique_ptr<sim::SimCore> core_;
  std::unique_ptr<SimCardDriver> driver_;
  Watcher watcher_;
  std::vector<Slot> slots_;
  std::array<std::vector<regs::SlotRow>, kLinks> far_rows_;
  std::array<std::unique_ptr<Pipeline>, kLinks> far_;
  /// Every life that was, by slot and epoch: what is still on its way of it must be right.
  std::map<std::pair<std::uint16_t, std::uint16_t>, std::pair<std::uint32_t, unsigned>> fills_;
  struct Guard {
    std::uint32_t base = 0, lines = 0;
    std::uint64_t until = 0;
  };
  std::deque<Guard> guards_;
  std::deque<Asked> asked_;
  std::deque<Bytes> strays_in_, strays_out_, storm_;
  std::optional<std::uint16_t> only_link_;  ///< that is fed
  std::uint64_t held_until_ = 0;            ///< nothing comes in before, so that there is much to acknowledge
  Bytes frame_;
  std::uint64_t start_ = 0, next_churn_ = 0, next_phase_ = 0, next_check_ = 0, hostile_events_ = 0, popped_ = 0,
                refused_ = 0;
  std::uint16_t turn_slot_ = 0, feed_link_ = 0, next_epoch_ = 1;
  bool storms_ = false, turn_head_ = false, closing_ = false, feeding_ = true, eager_ = false, takes_events_ = true,
       flag_seen_ = false;
  unsigned feed_permille_ = 1000, stray_permille_ = 0, hostile_permille_ = 0;
};

void FullDuplex::build() {
  sim::SimCoreOptions options;
  options.kind = options_.kind;
  options.seed = options_.seed;
  options.memory_latency = options_.memory_latency;
  core_ = std::make_unique<sim::SimCore>(options);
  driver_ = std::make_unique<SimCardDriver>(*core_);
  core_->reset();
  need(driver_->configure(own_endpoint()));
  const auto card = driver_->probe();
  if (!card) throw Failure{driver_->error()};
  slots_.resize(card->slots);
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
  start_ = core_->now();
  next_churn_ = start_ + kWarmUp;
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
  for (std::uint32_t i = 0; i < life.size() && !options_.stress; ++i) {
    core_->memory(life.in_base + i) = line_of(life.in_fill, i);
    fill_line(life.far_in.data() + std::size_t{i} * regs::kLineBytes, life.out_fill, i);
  }
  fills_[{number, life.epoch}] = {life.in_fill, life.order};
  progress(life);
  slot.life = std::move(life);
  slot.stage = SlotStage::binding;
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
  host_turn();
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

// --- the wire ---

void FullDuplex::take_frames() {
  for (sim::FrameQueue& out = core_->wire_out(); !out.empty(); out.pop()) {
    const auto bytes = out.front().bytes;
    bool ours = false;
    for (const std::uint16_t link : numbers(kLinks)) {
      const auto datagram = sim::unwrap(peer_endpoint(link), bytes);
      if (!datagram) continue;
      ours = true;
      const auto header = pipeline::decode(datagram->link_frame.first<regs::kHeaderBytes>());
      check_frame(link, header, datagram->link_frame.subspan(regs::kHeaderBytes));
      far_[link]->receive(0, datagram->link_frame, now_us());
    }
    if (ours) continue;
    if (strays_out_.empty() ||
        !std::equal(bytes.begin(), bytes.end(), strays_out_.front().begin(), strays_out_.front().end()))
      throw Failure{"a frame went to the wire that nobody sent, or not in its turn"};
    strays_out_.pop_front();
    ++result_.passed;
  }
  for (sim::FrameQueue& up = core_->to_host(); !up.empty(); up.pop()) {
    const auto bytes = up.front().bytes;
    if (strays_in_.empty() ||
        !std::equal(bytes.begin(), bytes.end(), strays_in_.front().begin(), strays_in_.front().end()))
      throw Failure{"a frame went to the host that nobody sent, or not in its turn"};
    strays_in_.pop_front();
    ++result_.passed;
  }
}

/// Whatever is sent has the lines of its own binding, even when the slot's memory is another's by now.
void FullDuplex::check_frame(std::uint16_t link, const pipeline::Header& header, std::span<const std::byte> lines) {
  if (header.type != regs::FrameType::data) return;
  ++result_.frames_out;
  const std::uint16_t slot = header.src_slot;
  const auto fill = fills_.find({slot, header.epoch});
  if (slot >= slots_.size() || fill == fills_.end() || link != slot % kLinks)
    throw Failure{"a frame of slot " + std::to_string(slot) + " of an epoch that never was"};
  Life life;
  life.slot = slot;
  life.epoch = header.epoch;
  life.order = fill->second.second;
  for (std::uint32_t i = 0; i * regs::kLineBytes < lines.size(); ++i) {
    const sim::Line expected = line_of(fill->second.first, content(life, header.seq + i));
    if (std::memcmp(lines.data() + std::size_t{i} * regs::kLineBytes, expected.data(), expected.size()) != 0)
      fail(life, "line " + std::to_string(header.seq + i) + " was sent with another content");
  }
}

void FullDuplex::far_processes() {
  const auto number = static_cast<std::uint16_t>(core_->now() % slots_.size());
  Slot& slot = slots_[number];
  if (slot.stage == SlotStage::live) {
    Life& life = slot.life;
    const regs::SlotRow& row = far_rows_[life.link][number];
    const std::uint32_t came = row.out_tail - life.far_out_head;
    if (came != 0) {
      life.far_out_head = row.out_tail;
      result_.lines_out += came;
      progress(life);
    }
    Position tail = row.in_head + life.size();
    if (closing_) tail = life.far_in_tail;
    for (; options_.stress && life.far_in_tail != tail; ++life.far_in_tail) {
      fill_line(life.far_in.data() + std::size_t{life.far_in_tail & (life.size() - 1)} * regs::kLineBytes,
                life.out_fill, life.far_in_tail);
    }
    life.far_in_tail = tail;
    far_[life.link]->doorbell(number, life.far_in_tail, life.far_out_head, now_us());
  }
  if (number < kLinks) {
    Pipeline& far = *far_[number];
    far.sweep(now_us(), 1'000);
    pipeline::MarkUpdate marks[16];
    while (far.take_marks(marks) == std::size(marks)) {
    }
    pipeline::SlotEvent event;
    if (far.take_events({&event, 1}) != 0) {
      // A slot that was freed is told to its peer by what it does not answer; a reset comes only from a slot that
      // stopped.
      throw Failure{"the far end of slot " + std::to_string(event.slot) +
                    " stopped: " + std::string(regs::name(event.fault))};
    }
  }
}

/// Keeps the wire into the card full: links in turn, frame by frame.
void FullDuplex::feed() {
  if (core_->now() < held_until_) return;
  if (storms_) {
    storms_ = false;
    make_storm();
  }
  if (!storm_.empty()) {
    if (core_->wire_in().size() > 8 || !core_->wire_in().push(storm_.front())) return;
    storm_.pop_front();
    return;
  }
  if (!feeding_ || core_->wire_in().size() > 8) return;
  if (stray_permille_ != 0 && random_.chance(stray_permille_)) {
    Stray stray;
    stray.from_host = random_.chance(500) ? 1 : 0;
    stray.likeness = static_cast<std::uint8_t>(stray.from_host != 0 ? 0 : random_.below(kLikenesses));
    stray.bytes = static_cast<std::uint16_t>(random_.between(60, 1514));
    stray.fill = random_.bits32();
    build_frame(stray, frame_);
    // The host takes slowly at times, and would lose frames then.
    if (stray.from_host != 0 || strays_in_.size() < 8) {
      sim::FrameQueue& queue = stray.from_host != 0 ? core_->from_host() : core_->wire_in();
      if (queue.push(frame_)) (stray.from_host != 0 ? strays_out_ : strays_in_).push_back(frame_);
    }
  }
  if (feed_permille_ != 1000 && !random_.chance(feed_permille_)) return;
  for (std::uint16_t tried = 0; tried < kLinks; ++tried) {
    feed_link_ = static_cast<std::uint16_t>((feed_link_ + 1) % kLinks);
    if (only_link_ && *only_link_ != feed_link_) continue;
    pipeline::TxFrame frame;
    if (far_[feed_link_]->transmit({&frame, 1}, now_us()) == 0) continue;
    if (!frame.payload.empty()) ++result_.frames_in;
    Bytes& bytes = frame_;
    const std::size_t size = std::size(frame.header) + frame.payload.size();
    std::vector<std::byte> link_frame(size);
    std::memcpy(link_frame.data(), std::data(frame.header), std::size(frame.header));
    if (!frame.payload.empty())
      std::memcpy(link_frame.data() + std::size(frame.header), frame.payload.data(), frame.payload.size());
    bytes.resize(sim::kCarrierBytes + size);
    sim::wrap(peer_endpoint(feed_link_), own_endpoint(), link_frame, bytes);
    core_->wire_in().push(bytes);
    return;
  }
}

/// An acknowledgement for every line that came, each in a frame of its own, slots in turn.
void FullDuplex::make_storm() {
  for (std::uint32_t n = 1; n <= kStormLines; ++n) {
    for (const Slot& slot : slots_) {
      if (slot.stage != SlotStage::live) continue;
      const Life& life = slot.life;
      const regs::SlotRow& row = far_rows_[life.link][life.slot];
      const Position ack = life.in_head + n;
      if (row.out_tail - life.in_head < n || row.out_tail - life.in_head > life.size()) continue;
      build_frame(FrameIn{.link = life.link,
                          .type = static_cast<std::uint8_t>(regs::FrameType::ack),
                          .dst_slot = life.slot,
                          .src_slot = life.slot,
                          .epoch = life.epoch,
                          .seq = row.sent,
                          .ack = ack,
                          .credit = static_cast<std::uint16_t>(row.out_head + life.size() - ack)},
                  frame_);
      storm_.push_back(frame_);
    }
  }
}

// --- the host ---

bool FullDuplex::ask(Asked asked, std::uint32_t address) {
  if (!core_->host_read(address)) return false;
  asked_.push_back(asked);
  return true;
}

void FullDuplex::answers() {
  while (core_->host_answered()) {
    const auto answer = core_->take_answer();
    if (asked_.empty()) throw Failure{"an answer to the host that it did not ask for"};
    const Asked asked = asked_.front();
    asked_.pop_front();
    if (answer.error) throw Failure{"the card answers the host with an error"};
    answered(asked, answer.data);
  }
}

void FullDuplex::answered(const Asked& asked, const sim::Line& line) {
  std::uint32_t word = 0;
  std::memcpy(&word, line.data(), sizeof word);
  switch (asked.what) {
    case Asked::What::out_tail:
      if (Life* life = live(asked)) came(*life, word);
      break;
    case Asked::What::in_head:
      if (Life* life = live(asked)) released(*life, word);
      break;
    case Asked::What::bound_marks:
      if (word != slots_[asked.slot].life.out_tail) {
        fail(slots_[asked.slot].life, "it is bound, and its marks are not shown");
      }
      break;
    case Asked::What::bound_row:
      begin(slots_[asked.slot]);
      break;
    case Asked::What::freed_row: {
      Slot& slot = slots_[asked.slot];
      regs::SlotRow row;
      std::memcpy(&row, line.data(), sizeof row);
      if (row.state != static_cast<std::uint8_t>(regs::SlotState::free))
        fail(slot.life, "a row that was freed is not free");
      // From here on the memory is nobody's: nothing of the slot may read or write it.
      slot.stage = SlotStage::freed;
      slot.since = core_->now();
      for (std::uint32_t i = 0; i < slot.life.size(); ++i) {
        core_->memory(slot.life.in_base + i) = line_of(kGarbage, i);
        core_->memory(slot.life.out_base + i) = line_of(kGarbage, i);
      }
      guards_.push_back({slot.life.out_base, slot.life.size(), core_->now() + kGuardClocks});
      break;
    }
    case Asked::What::line:
      if (const Life* life = live(asked)) {
        if (line != line_of(life->in_fill, asked.at))
          fail(*life, "the host does not read the line that it wrote before");
      }
      break;
    case Asked::What::event: {
      const bool valid = (word >> 31) != 0, lost = (word >> 30 & 1) != 0;
      flag_seen_ = flag_seen_ || lost;
      if (!valid) break;
      if ((word & 0xffff) < slots_.size() - kHostileSlots) {
        throw Failure{"slot " + std::to_string(word & 0xffff) + " stopped with fault " +
                      std::to_string(word >> 16 & 0xff)};
      }
      if (core_->host_write(static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlEvent), {}, 0xf)) ++popped_;
      break;
    }
    case Asked::What::moved:
      if ((word >> 31) != 0) {
        core_->host_write(static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlMoved), {}, 0xf);
        const auto slot = static_cast<std::uint16_t>(word & 0xffff);
        if (slot >= slots_.size()) throw Failure{"a slot moved that there is not"};
        const std::uint16_t epoch = slots_[slot].life.epoch;
        if (core_->host_room())
          ask({Asked::What::out_tail, slot, epoch, 0}, SimCardDriver::proxy_page(slot) + regs::kOutTail);
        if (core_->host_room())
          ask({Asked::What::in_head, slot, epoch, 0}, SimCardDriver::proxy_page(slot) + regs::kInHead);
      }
      break;
  }
}

/// OUT_TAIL as the host reads it: the lines before it have to be in memory.
void FullDuplex::came(Life& life, Position out_tail) {
  const std::uint32_t lines = out_tail - life.out_tail;
  if (lines > life.size()) {
    fail(life, "OUT_TAIL jumps from " + std::to_string(life.out_tail) + " to " + std::to_string(out_tail));
  }
  for (; life.out_tail != out_tail; ++life.out_tail) {
    if (core_->memory(life.out_base + (life.out_tail & (life.size() - 1))) !=
        line_of(life.out_fill, content(life, life.out_tail)))
      fail(life, "OUT_TAIL is shown, and line " + std::to_string(life.out_tail) + " is not in memory");
  }
  if (lines != 0) progress(life);
  result_.lines_in += lines;
  ring(life);
}

/// Tells the card of marks that moved, if there is room at its port.
void FullDuplex::ring(Life& life) {
  const auto write = [&](std::size_t mark, Position value) {
    sim::Line line{};
    std::memcpy(line.data(), &value, sizeof value);
    return core_->host_write(SimCardDriver::process_page(life.slot) + static_cast<std::uint32_t>(mark), line, 0xf);
  };
  if (life.rung_out != life.out_tail && write(regs::kOutHead, life.out_tail)) life.rung_out = life.out_tail;
  if (life.rung_in == life.in_tail || !write(regs::kInTail, life.in_tail)) return;
  life.rung_in = life.in_tail;
  // Once more and more: nothing moves by these.
  for (unsigned i = eager_ ? random_.below(24) : 0; i != 0; --i) write(regs::kInTail, life.in_tail);
}

/// IN_HEAD as the host reads it: the ring is filled again.
void FullDuplex::released(Life& life, Position in_head) {
  if (in_head - life.in_head > life.in_tail - life.in_head) {
    fail(life, "IN_HEAD jumps from " + std::to_string(life.in_head) + " to " + std::to_string(in_head));
  }
  life.in_head = in_head;
  if (closing_) return ring(life);
  const Position tail = in_head + life.size();
  if (!options_.stress) {
    life.in_tail = tail;
  } else {
    for (std::uint32_t n = random_.below(64); n != 0 && life.in_tail != tail; --n) {
      const std::uint32_t address = SimCardDriver::memory_address(life.in_base + (life.in_tail & (life.size() - 1)));
      if (!core_->host_write(address, line_of(life.in_fill, life.in_tail))) break;
      if (random_.chance(60)) ask({Asked::What::line, life.slot, life.epoch, life.in_tail}, address);
      ++life.in_tail;
    }
  }
  ring(life);
}

/// Looks at the slots' marks in turn, and keeps the port as full as it is to be.
void FullDuplex::host_turn() {
  const std::size_t waiting = asked_.size();
  if (waiting >= (eager_ ? kManyRequests : kFewRequests) || !core_->host_room()) return;
  if (options_.stress) {
    if (random_.chance(hostile_permille_)) return hostile_turn();
    if (random_.chance(storm_.empty() ? 100 : 700)) {
      ask({Asked::What::moved, 0, 0, 0}, static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlMoved));
      return;
    }
    if (eager_ && random_.chance(20)) return ring_bells();
    if (eager_ && random_.chance(10)) return read_lines();
  }
  Slot& slot = slots_[turn_slot_];
  if (slot.stage == SlotStage::live) {
    const Life& life = slot.life;
    const std::uint32_t page = SimCardDriver::proxy_page(life.slot);
    if (turn_head_) {
      ask({Asked::What::in_head, life.slot, life.epoch, 0}, page + static_cast<std::uint32_t>(regs::kInHead));
    } else {
      ask({Asked::What::out_tail, life.slot, life.epoch, 0}, page + static_cast<std::uint32_t>(regs::kOutTail));
    }
  }
  if (turn_head_) turn_slot_ = static_cast<std::uint16_t>((turn_slot_ + 1) % slots_.size());
  turn_head_ = !turn_head_;
}

/// More doorbells at once than their queue holds, behind lines that are on their way.
void FullDuplex::ring_bells() {
  for (unsigned n = random_.between(16, 48); n != 0 && core_->host_room(); --n) {
    Slot& slot = slots_[random_.below(static_cast<std::uint32_t>(slots_.size() - kHostileSlots))];
    if (slot.stage != SlotStage::live) continue;
    Life& life = slot.life;
    sim::Line mark{};
    const bool out = random_.chance(500);
    std::memcpy(mark.data(), out ? &life.rung_out : &life.rung_in, sizeof life.rung_in);
    core_->host_write(
        SimCardDriver::process_page(life.slot) + static_cast<std::uint32_t>(out ? regs::kOutHead : regs::kInTail), mark,
        0xf);
  }
}

/// More reads of slot memory at once than may be on their way.
void FullDuplex::read_lines() {
  const Slot& slot = slots_[random_.below(static_cast<std::uint32_t>(slots_.size() - kHostileSlots))];
  if (slot.stage != SlotStage::live) return;
  const Life& life = slot.life;
  const std::uint32_t lines = std::min(life.in_tail - life.in_head, kManyReads);
  for (std::uint32_t i = 0; i < lines; ++i) {
    const Position at = life.in_tail - lines + i;
    if (!ask({Asked::What::line, life.slot, life.epoch, at},
             SimCardDriver::memory_address(life.in_base + (at & (life.size() - 1))))) {
      return;
    }
  }
}

/// Rows that are refused, so that there are events; events are taken now and then only.
void FullDuplex::hostile_turn() {
  if (closing_) return;
  if (takes_events_ && random_.chance(700)) {
    ask({Asked::What::event, 0, 0, 0}, static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlEvent));
    return;
  }
  if (random_.chance(500)) {
    // A rule that nothing matches, or that leaves the frame where it would be.
    sim::Line rule{};
    regs::ClassifierRule fields{};
    fields.action =
        static_cast<std::uint8_t>(random_.chance(500) ? regs::ClassifierAction::queue : regs::ClassifierAction{});
    std::memcpy(rule.data(), &fields, sizeof fields);
    core_->host_write(static_cast<std::uint32_t>(regs::kCardClassifier) + random_.below(16) * 64, rule);
    return;
  }
  const auto number = static_cast<std::uint16_t>(slots_.size() - 1 - random_.below(kHostileSlots));
  regs::SlotRow row{};
  row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
  row.in_order = row.out_order = 1;
  row.in_tail = 1000;  // more than a ring beyond in_head
  row.in_base = kRegionLines * 2 * number;
  row.out_base = row.in_base + kRegionLines;
  sim::Line line;
  std::memcpy(line.data(), &row, sizeof row);
  if (core_->host_write(SimCardDriver::row_address(number), line)) ++hostile_events_;
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
    if (slot.stage != SlotStage::live && slot.since != 0) return;  // one at a time
  }
  Slot& slot = slots_[random_.below(static_cast<std::uint32_t>(slots_.size() - kHostileSlots))];
  if (slot.stage == SlotStage::live && core_->now() - slot.since > options_.churn_clocks / 2) free_slot(slot);
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

void FullDuplex::watch_progress() {
  const std::uint64_t now = core_->now();
  for (const Slot& slot : slots_) {
    if (slot.since == 0) continue;
    if ((slot.stage == SlotStage::freeing || slot.stage == SlotStage::binding) && now - slot.since > kPatience)
      fail(slot.life, "its row is not written");
    if (slot.stage == SlotStage::live && !closing_ && now - slot.life.last_progress > kPatience) {
      fail(slot.life, "nothing moves: IN " + std::to_string(slot.life.in_head) + " of " +
                          std::to_string(slot.life.in_tail) + ", OUT " + std::to_string(slot.life.out_tail) + " of " +
                          std::to_string(slot.life.far_in_tail));
    }
  }
}

// --- the end ---

bool FullDuplex::settled() const {
  return strays_in_.empty() && strays_out_.empty() &&
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
  core_->set_stalls(0U);
  core_->set_memory_latency(options_.memory_latency, false);
  const std::uint64_t begin = core_->now();
  while (!settled()) {
    if (core_->now() - begin > kEndPatience) {
      for (const Slot& slot : slots_) {
        if (slot.stage == SlotStage::freeing || slot.stage == SlotStage::binding)
          fail(slot.life, "its row is not written at the end");
        const Life& life = slot.life;
        if (slot.stage == SlotStage::live && (life.in_head != life.in_tail || life.out_tail != life.far_in_tail))
          fail(life, "does not settle: IN " + std::to_string(life.in_head) + " of " + std::to_string(life.in_tail) +
                         ", OUT " + std::to_string(life.out_tail) + " of " + std::to_string(life.far_in_tail));
      }
      throw Failure{"frames of the host, or acknowledgements, do not arrive at the end"};
    }
    tick();
  }
  feeding_ = false;
  while (!asked_.empty() || !core_->host_idle()) {
    core_->clock();
    answers();
    take_frames();
    if (core_->now() - begin > kEndPatience) throw Failure{"the host's reads are not answered at the end"};
  }
  driver_->each_clock([this] { take_frames(); });
  if (options_.stress) take_all_events();
  rest();
  check_counters();
}

/// A card that keeps something for ever is found out soon.
void FullDuplex::rest() {
  const std::uint64_t begin = core_->now();
  while (!core_->idle()) {
    if (core_->now() - begin > kPatience) throw Failure{"the card does not come to rest: it keeps something"};
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

}  // namespace

FullDuplexResult full_duplex(const FullDuplexOptions& options) {
  return FullDuplex(options).run();
}

}  // namespace slotwire::lockstep
