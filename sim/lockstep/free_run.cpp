#include "sim/lockstep/free_run.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "sim/card/card_driver.hpp"
#include "sim/lockstep/program.hpp"

namespace slotwire::lockstep {
namespace {

using pipeline::Pipeline;

constexpr std::uint64_t kMaxClocks = 8'000'000;  ///< of a run; everything arrives in a quarter of them
constexpr std::size_t kMaxOnTheWay = 64;         ///< frames in each direction of a link
constexpr std::uint64_t kFarTurnClocks = 32;     ///< how often the other ends have a turn
constexpr std::uint32_t kMaxConnections = 12;
constexpr std::uint32_t kMaxLinks = 3;
constexpr std::uint32_t kPeekLines = 16;

struct Failure {
  std::string what;
};

/// Two processes: one at the card, one at the other end of the link.
struct Connection {
  std::uint16_t slot = 0, link = 0, far_slot = 0, epoch = 0;
  unsigned in_order = 0, out_order = 0;
  std::uint32_t in_base = 0, out_base = 0;
  Position in_start = 0, out_start = 0;       ///< where the card's process begins to write and to read
  std::uint32_t in_lines = 0, out_lines = 0;  ///< that it will write and read
  std::uint32_t in_fill = 0, out_fill = 0;
  std::uint32_t burst = 1, far_burst = 1;
  // The card's process.
  Position in_tail = 0, out_head = 0, in_head = 0, out_tail = 0;
  // The other one.
  Bytes far_in, far_out;
  Position far_in_tail = 0, far_out_head = 0;

  bool written() const { return in_tail == in_start + in_lines && far_in_tail == out_start + out_lines; }
  bool read() const { return out_head == out_start + out_lines && far_out_head == in_start + in_lines; }
};

struct OnTheWay {
  std::uint64_t due = 0;
  bool damaged = false;
  Bytes frame;
};

/// The other end of a link.
struct Far {
  std::uint16_t link = 0;
  std::vector<regs::SlotRow> rows;
  std::unique_ptr<Pipeline> pipe;
  std::deque<OnTheWay> to_card, from_card;
};

class FreeRun {
 public:
  explicit FreeRun(const FreeRunOptions& options) : options_(options), random_(options.seed ^ 0xf4ee) {}

  FreeRunResult run() {
    try {
      build();
      while (!done()) {
        if (core_->now() > kMaxClocks) throw Failure{stuck()};
        turn();
      }
      settle();
    } catch (const Failure& failure) {
      result_.failure = "clock " + std::to_string(core_ ? core_->now() : 0) + ": " + failure.what;
    }
    if (core_) {
      result_.clocks = core_->now();
      result_.interrupts = core_->interrupts();
    }
    return result_;
  }

 private:
  void need(bool good) {
    if (!good) throw Failure{driver_->error()};
  }
  std::uint32_t now_us() const { return base_us_ + static_cast<std::uint32_t>(core_->now() / clocks_per_us_); }

  void build();
  void set_link(std::uint16_t link, bool up);
  void bind(const Connection& c);
  void turn();
  void pump();
  void far_turn(Far& far);
  void far_process(Far& far, Connection& c);
  void act(Connection& c);
  void take_marks();
  void read_marks(Connection& c);
  void marks_came(Connection& c, Position out_tail, Position in_head);
  void peek(Connection& c);
  void consume(Connection& c);
  void reset_card();
  void stray();
  bool done() const {
    return std::all_of(connections_.begin(), connections_.end(),
                       [](const Connection& c) { return c.written() && c.read(); });
  }
  void settle();
  std::string stuck() const;
  void check_row(const Connection& c);

  FreeRunOptions options_;
  sim::Random random_;
  FreeRunResult result_;
  std::unique_ptr<sim::SimCore> core_;
  std::unique_ptr<sim::SimCardDriver> driver_;
  std::uint32_t base_us_ = 0, clocks_per_us_ = 8;
  unsigned loss_ = 0, disorder_ = 0, corrupt_ = 0, reset_permille_ = 0, cut_permille_ = 0, stray_permille_ = 0;
  std::uint32_t delay_clocks_ = 0;
  std::vector<Connection> connections_;
  std::vector<Far> fars_;
  bool nameless_ = false;                     ///< the card has no address yet
  std::deque<Bytes> strays_in_, strays_out_;  ///< that are to come out at the host, at the wire
};

void FreeRun::build() {
  sim::SimCoreOptions options;
  options.kind = options_.kind;
  options.seed = options_.seed;
  options.random_memory = random_.chance(700);
  options.memory_latency = random_.between(1, 60);
  options.stall_permille = random_.chance(300) ? 0 : random_.below(400);
  options.twins = options_.twins;
  options.trace_file = options_.trace_file;
  options.trace_from = options_.trace_from;
  core_ = std::make_unique<sim::SimCore>(options);
  driver_ = std::make_unique<sim::SimCardDriver>(*core_);
  driver_->each_clock([this] { pump(); });
  base_us_ = random_.chance(500) ? 0U - random_.below(5'000) : random_.bits32();
  clocks_per_us_ = random_.between(2, 40);
  loss_ = random_.chance(300) ? 0 : random_.below(120);
  disorder_ = random_.chance(300) ? 0 : random_.below(150);
  corrupt_ = random_.chance(500) ? 0 : random_.below(60);
  reset_permille_ = random_.chance(500) ? 0 : random_.between(1, 3);
  cut_permille_ = random_.chance(500) ? 0 : random_.between(1, 4);
  stray_permille_ = random_.chance(300) ? 0 : random_.below(60);
  delay_clocks_ = random_.below(400);
  core_->reset();
  need(driver_->configure(own_endpoint()));
  const auto card = driver_->probe();
  if (!card) throw Failure{driver_->error()};
  // Every vector may raise interrupts.
  need(driver_->write_word(static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlEnabled),
                           (1U << card->vectors) - 1));

  const std::uint32_t links = random_.between(1, kMaxLinks);
  for (const std::uint16_t link : numbers(links)) {
    Far& far = fars_.emplace_back();
    far.link = link;
    far.rows.resize(card->slots);
    far.pipe = std::make_unique<Pipeline>(std::span<regs::SlotRow>(far.rows), 1);
    far.pipe->set_link(0, {.lines_per_frame = static_cast<std::uint16_t>(random_.between(1, card->max_frame_lines)),
                           .retransmit_us = 300,
                           .retransmit_max_us = 2'000,
                           .ack_delay_us = random_.below(100)});
    far.pipe->link_up(0, now_us());
  }
  const std::uint32_t count = random_.between(1, std::min(card->slots, kMaxConnections));
  const std::uint32_t region = card->memory_lines / (2 * card->slots);
  for (std::uint32_t i = 0; i < count; ++i) {
    Connection& c = connections_.emplace_back();
    c.slot = static_cast<std::uint16_t>((std::uint64_t{i} * 5 + options_.seed) % card->slots);
    c.link = static_cast<std::uint16_t>(random_.below(links));
    c.far_slot = static_cast<std::uint16_t>(card->slots - 1 - i);
    c.epoch = static_cast<std::uint16_t>(random_.bits32());
    const unsigned most = std::min(card->max_ring_order, 8U);
    c.in_order = random_.below(most + 1);
    c.out_order = random_.below(most + 1);
    c.in_base = region * 2 * c.slot;
    c.out_base = c.in_base + region;
    c.in_start = 0U - random_.below(300);
    c.out_start = 0U - random_.below(300);
    // Rings of a few lines take a round trip for every quarter of them.
    c.in_lines = std::min(options_.lines, 20U << c.in_order);
    c.out_lines = std::min(options_.lines, 20U << c.out_order);
    c.in_fill = random_.bits32();
    c.out_fill = random_.bits32();
    c.burst = random_.between(1, 1U << random_.below(7));
    c.far_burst = random_.between(1, 1U << random_.below(7));
    c.in_tail = c.in_head = c.far_out_head = c.in_start;
    c.out_head = c.out_tail = c.far_in_tail = c.out_start;
    c.far_in.resize(regs::kLineBytes << c.out_order);
    c.far_out.resize(regs::kLineBytes << c.in_order);
    Pipeline& pipe = *fars_[c.link].pipe;
    pipe.bind(c.far_slot,
              {.link = 0,
               .peer_slot = c.slot,
               .epoch = c.epoch,
               .in_order = c.out_order,
               .out_order = c.in_order,
               .credit = 1U << c.out_order,
               .marks = {c.out_start, c.out_start, c.in_start, c.in_start}},
              {{c.far_in.data(), c.out_order, false}, {c.far_out.data(), c.in_order, false}}, now_us());
    bind(c);
  }
  for (const std::uint16_t link : numbers(links)) set_link(link, true);
  result_.connections = count;
}

void FreeRun::set_link(std::uint16_t link, bool up) {
  const sim::Endpoint peer = peer_endpoint(link);
  regs::LinkRow row{};
  row.up = up ? 1 : 0;
  row.lines_per_frame = static_cast<std::uint16_t>(random_.between(1, 32));
  row.rto_us = 300;
  row.rto_max_us = 2'000;
  row.ack_delay_us = random_.below(100);
  row.peer_ip = peer.ip;
  row.peer_port = peer.port;
  row.peer_mac_low = static_cast<std::uint16_t>(peer.mac & 0xffff);
  row.peer_mac_high = static_cast<std::uint32_t>(peer.mac >> 16);
  need(driver_->write_link(link, row));
  need(driver_->command(up ? regs::CardCommand::link_up : regs::CardCommand::link_down, link));
}

/// Binds with what survives everything: the marks. The window is asked for (R9).
void FreeRun::bind(const Connection& c) {
  regs::SlotRow row{};
  row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
  row.in_order = static_cast<std::uint8_t>(c.in_order);
  row.out_order = static_cast<std::uint8_t>(c.out_order);
  row.link = c.link;
  row.peer_slot = c.far_slot;
  row.epoch = c.epoch;
  row.in_tail = c.in_tail;
  row.in_head = c.in_head;
  row.out_tail = c.out_tail;
  row.out_head = c.out_head;
  row.limit = c.in_head;
  row.in_base = c.in_base;
  row.out_base = c.out_base;
  need(driver_->write_row(c.slot, row));
}

/// What happens in every clock: time, and frames between the ports and the channels.
void FreeRun::pump() {
  core_->set_now_us(now_us());
  if (!core_->violation().empty()) throw Failure{core_->violation()};
  for (sim::FrameQueue& out = core_->wire_out(); !out.empty(); out.pop()) {
    const auto bytes = out.front().bytes;
    bool ours = false;
    for (Far& far : fars_) {
      if (!sim::unwrap(peer_endpoint(far.link), bytes)) continue;
      ours = true;
      ++result_.frames_out;
      if (random_.chance(loss_)) {
        ++result_.lost;
        continue;
      }
      const unsigned copies = random_.chance(disorder_ / 4) ? 2 : 1;
      for (unsigned i = 0; i < copies && far.from_card.size() < kMaxOnTheWay; ++i) {
        OnTheWay way{core_->now() + delay_clocks_ + (random_.chance(disorder_) ? random_.below(4'000) : 0), false,
                     Bytes(bytes.begin(), bytes.end())};
        if (random_.chance(corrupt_)) {
          way.frame[sim::kCarrierBytes +
                    random_.below(static_cast<std::uint32_t>(bytes.size() - sim::kCarrierBytes))] ^=
              static_cast<std::byte>(1U << random_.below(8));
        }
        far.from_card.push_back(std::move(way));
      }
    }
    if (ours) continue;
    if (strays_out_.empty() ||
        !std::equal(bytes.begin(), bytes.end(), strays_out_.front().begin(), strays_out_.front().end())) {
      throw Failure{"a frame went to the wire that nobody sent, or not in its turn"};
    }
    strays_out_.pop_front();
    ++result_.passed;
  }
  for (sim::FrameQueue& up = core_->to_host(); !up.empty(); up.pop()) {
    const auto bytes = up.front().bytes;
    if (nameless_ && sim::unwrap(own_endpoint(), bytes)) continue;
    if (strays_in_.empty() ||
        !std::equal(bytes.begin(), bytes.end(), strays_in_.front().begin(), strays_in_.front().end())) {
      throw Failure{"a frame went to the host that nobody sent, or not in its turn"};
    }
    strays_in_.pop_front();
    ++result_.passed;
  }
  if (core_->now() % kFarTurnClocks == 0) {
    for (Far& far : fars_) far_turn(far);
  }
}

void FreeRun::far_turn(Far& far) {
  for (std::size_t i = 0; i < far.from_card.size();) {
    if (far.from_card[i].due > core_->now()) {
      ++i;
      continue;
    }
    const Bytes frame = std::move(far.from_card[i].frame);
    far.from_card.erase(far.from_card.begin() + static_cast<std::ptrdiff_t>(i));
    if (const auto datagram = sim::unwrap(peer_endpoint(far.link), frame))
      far.pipe->receive(0, datagram->link_frame, now_us());
  }
  for (Connection& c : connections_) {
    if (c.link == far.link && random_.chance(200)) far_process(far, c);
  }
  far.pipe->sweep(now_us(), 1'000);
  pipeline::TxFrame frames[4];
  if (far.to_card.size() < kMaxOnTheWay) {
    const std::size_t n = far.pipe->transmit(frames, now_us());
    for (const pipeline::TxFrame& frame : std::span(frames).first(n)) {
      ++result_.frames_in;
      if (random_.chance(loss_)) {
        ++result_.lost;
        continue;
      }
      Bytes link_frame(std::begin(frame.header), std::end(frame.header));
      link_frame.insert(link_frame.end(), frame.payload.begin(), frame.payload.end());
      if (random_.chance(corrupt_)) {
        link_frame[random_.below(static_cast<std::uint32_t>(link_frame.size()))] ^=
            static_cast<std::byte>(1U << random_.below(8));
      }
      Bytes ethernet(sim::kCarrierBytes + link_frame.size());
      sim::wrap(peer_endpoint(far.link), own_endpoint(), link_frame, ethernet);
      const unsigned copies = random_.chance(disorder_ / 4) ? 2 : 1;
      for (unsigned i = 0; i < copies; ++i) {
        far.to_card.push_back({core_->now() + delay_clocks_ + (random_.chance(disorder_) ? random_.below(4'000) : 0),
                               random_.chance(corrupt_), ethernet});
      }
    }
  }
  for (std::size_t i = 0; i < far.to_card.size() && !core_->wire_in().full();) {
    if (far.to_card[i].due > core_->now()) {
      ++i;
      continue;
    }
    core_->wire_in().push(far.to_card[i].frame, far.to_card[i].damaged);
    far.to_card.erase(far.to_card.begin() + static_cast<std::ptrdiff_t>(i));
  }
  pipeline::MarkUpdate marks[16];
  while (far.pipe->take_marks(marks) == std::size(marks)) {
  }
  pipeline::SlotEvent event;
  if (far.pipe->take_events({&event, 1}) != 0) {
    throw Failure{"the other end's slot " + std::to_string(event.slot) +
                  " stopped: " + std::string(regs::name(event.fault))};
  }
}

void FreeRun::far_process(Far& far, Connection& c) {
  const regs::SlotRow& row = far.rows[c.far_slot];
  const std::uint32_t in_size = 1U << c.out_order, out_size = 1U << c.in_order;
  const std::uint32_t left = c.out_start + c.out_lines - c.far_in_tail;
  const std::uint32_t free = in_size - (c.far_in_tail - row.in_head);
  for (std::uint32_t n = std::min({left, free, random_.below(c.far_burst + 1)}); n != 0; --n, ++c.far_in_tail) {
    fill_line(c.far_in.data() + std::size_t{c.far_in_tail & (in_size - 1)} * regs::kLineBytes, c.out_fill,
              c.far_in_tail);
  }
  for (std::uint32_t n = std::min(row.out_tail - c.far_out_head, random_.below(c.far_burst + 1)); n != 0;
       --n, ++c.far_out_head) {
    sim::Line expected;
    fill_line(expected.data(), c.in_fill, c.far_out_head);
    if (std::memcmp(c.far_out.data() + std::size_t{c.far_out_head & (out_size - 1)} * regs::kLineBytes, expected.data(),
                    expected.size()) != 0) {
      throw Failure{"slot " + std::to_string(c.slot) + ": line " + std::to_string(c.far_out_head) +
                    " arrived at the other end with another content"};
    }
    ++result_.lines;
  }
  far.pipe->doorbell(c.far_slot, c.far_in_tail, c.far_out_head, now_us());
}

void FreeRun::turn() {
  driver_->clock(random_.below(40));
  Connection& c = connections_[random_.below(static_cast<std::uint32_t>(connections_.size()))];
  const std::uint32_t choice = random_.below(1000);
  if (choice < reset_permille_) return reset_card();
  if (choice < reset_permille_ + cut_permille_) {
    ++result_.link_cuts;
    set_link(c.link, false);
    driver_->clock(random_.below(3'000));
    return set_link(c.link, true);
  }
  if (choice < reset_permille_ + cut_permille_ + stray_permille_) return stray();
  if (choice < 500) return act(c);
  if (choice < 740) return take_marks();
  if (choice < 800) return peek(c);
  consume(c);
}

/// The card's process writes lines and rings.
void FreeRun::act(Connection& c) {
  const std::uint32_t size = 1U << c.in_order;
  const std::uint32_t left = c.in_start + c.in_lines - c.in_tail;
  const std::uint32_t free = size - (c.in_tail - c.in_head);
  const std::uint32_t n = std::min({left, free, random_.between(1, c.burst)});
  for (std::uint32_t i = 0; i < n; ++i, ++c.in_tail) {
    sim::Line line;
    fill_line(line.data(), c.in_fill, c.in_tail);
    need(driver_->write_line(sim::SimCardDriver::memory_address(c.in_base + (c.in_tail & (size - 1))), line));
  }
  if (n != 0) need(driver_->doorbell(c.slot, false, c.in_tail));
}

void FreeRun::read_marks(Connection& c) {
  const std::uint32_t addresses[2] = {
      sim::SimCardDriver::proxy_page(c.slot) + static_cast<std::uint32_t>(regs::kOutTail),
      sim::SimCardDriver::proxy_page(c.slot) + static_cast<std::uint32_t>(regs::kInHead)};
  sim::Line lines[2];
  need(driver_->read_lines(addresses, lines));
  Position out_tail = 0, in_head = 0;
  std::memcpy(&out_tail, lines[0].data(), sizeof out_tail);
  std::memcpy(&in_head, lines[1].data(), sizeof in_head);
  marks_came(c, out_tail, in_head);
}

void FreeRun::marks_came(Connection& c, Position out_tail, Position in_head) {
  // Marks never go back, whatever is reset.
  if (out_tail - c.out_tail > 1U << c.out_order || in_head - c.in_head > c.in_tail - c.in_head) {
    throw Failure{"slot " + std::to_string(c.slot) + ": marks jumped: OUT_TAIL " + std::to_string(c.out_tail) + " to " +
                  std::to_string(out_tail) + ", IN_HEAD " + std::to_string(c.in_head) + " to " +
                  std::to_string(in_head) + ", IN_TAIL " + std::to_string(c.in_tail)};
  }
  c.out_tail = out_tail;
  c.in_head = in_head;
}

/// A process as quick as the bus: it asks for its mark and in the same breath for the lines that the mark may show.
/// Those that it shows have to be there.
void FreeRun::peek(Connection& c) {
  const std::uint32_t size = 1U << c.out_order;
  const std::uint32_t n = std::min(size - (c.out_tail - c.out_head), kPeekLines);
  std::vector<std::uint32_t> addresses{sim::SimCardDriver::proxy_page(c.slot) +
                                       static_cast<std::uint32_t>(regs::kOutTail)};
  for (std::uint32_t i = 0; i < n; ++i) {
    addresses.push_back(sim::SimCardDriver::memory_address(c.out_base + ((c.out_tail + i) & (size - 1))));
  }
  std::vector<sim::Line> lines(addresses.size());
  need(driver_->read_lines(addresses, lines));
  const Position first = c.out_tail;
  Position out_tail = 0;
  std::memcpy(&out_tail, lines[0].data(), sizeof out_tail);
  marks_came(c, out_tail, c.in_head);
  for (std::uint32_t i = 0; i < std::min(n, out_tail - first); ++i) {
    sim::Line expected;
    fill_line(expected.data(), c.out_fill, first + i);
    if (lines[i + 1] != expected) {
      throw Failure{"slot " + std::to_string(c.slot) + ": OUT_TAIL " + std::to_string(out_tail) +
                    " is shown, and line " + std::to_string(first + i) + " is not in memory yet"};
    }
  }
}

/// Learns of moved marks as a driver does: by the queue of moved slots.
void FreeRun::take_marks() {
  for (std::uint32_t n = random_.between(1, 4); n != 0; --n) {
    const auto slot = driver_->pop_moved();
    if (!slot) break;
    const auto c =
        std::find_if(connections_.begin(), connections_.end(), [&](const Connection& x) { return x.slot == *slot; });
    if (c == connections_.end()) throw Failure{"marks of slot " + std::to_string(*slot) + " moved, which is not bound"};
    read_marks(*c);
  }
  if (const auto event = driver_->pop_event()) {
    throw Failure{"slot " + std::to_string(event->slot) + " stopped: " + std::string(regs::name(event->fault))};
  }
  need(driver_->error().empty());
  need(driver_->write_word(static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlPending), ~0U));
}

/// The card's process reads lines and rings.
void FreeRun::consume(Connection& c) {
  const std::uint32_t size = 1U << c.out_order;
  const std::uint32_t n = std::min(c.out_tail - c.out_head, random_.between(1, c.burst));
  if (n == 0) return;
  std::vector<std::uint32_t> addresses(n);
  std::vector<sim::Line> lines(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    addresses[i] = sim::SimCardDriver::memory_address(c.out_base + ((c.out_head + i) & (size - 1)));
  }
  need(driver_->read_lines(addresses, lines));
  for (std::uint32_t i = 0; i < n; ++i, ++c.out_head) {
    sim::Line expected;
    fill_line(expected.data(), c.out_fill, c.out_head);
    if (lines[i] != expected) {
      throw Failure{"slot " + std::to_string(c.slot) + ": line " + std::to_string(c.out_head) +
                    " arrived at the card's process with another content"};
    }
    ++result_.lines;
  }
  need(driver_->doorbell(c.slot, true, c.out_head));
}

/// The card is reset in the middle of everything and taken over by its marks.
void FreeRun::reset_card() {
  ++result_.resets;
  // What the bus has accepted must not be lost with the card; bells may.
  while (!core_->host_idle()) driver_->clock();
  core_->reset(random_.between(2, 20));
  strays_in_.clear();
  strays_out_.clear();
  // Until the card has its address again, frames for it are not for it.
  nameless_ = true;
  need(driver_->configure(own_endpoint()));
  need(driver_->write_word(static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlEnabled), 0xf));
  for (Connection& c : connections_) {
    read_marks(c);
    bind(c);
  }
  for (const Far& far : fars_) set_link(far.link, true);
  nameless_ = false;
}

void FreeRun::stray() {
  Stray s;
  s.from_host = random_.chance(500) ? 1 : 0;
  s.likeness = static_cast<std::uint8_t>(s.from_host != 0 ? 0 : random_.below(kLikenesses));
  s.bytes = static_cast<std::uint16_t>(random_.between(60, 1514));
  s.fill = random_.bits32();
  Bytes frame;
  build_frame(s, frame);
  sim::FrameQueue& queue = s.from_host != 0 ? core_->from_host() : core_->wire_in();
  if (!queue.push(frame)) return;
  (s.from_host != 0 ? strays_out_ : strays_in_).push_back(std::move(frame));
}

/// Everything arrived; now the acknowledgements have to.
void FreeRun::settle() {
  const std::uint64_t start = core_->now();
  for (;;) {
    bool all = strays_in_.empty() && strays_out_.empty();
    for (Connection& c : connections_) {
      read_marks(c);
      all = all && c.in_head == c.in_tail && fars_[c.link].rows[c.far_slot].in_head == c.far_in_tail;
    }
    if (all) break;
    if (core_->now() - start > kMaxClocks)
      throw Failure{"everything arrived, but not every acknowledgement. " + stuck()};
    driver_->clock(500);
  }
  for (const Connection& c : connections_) check_row(c);
}

void FreeRun::check_row(const Connection& c) {
  const auto row = driver_->read_row(c.slot);
  if (!row) throw Failure{driver_->error()};
  if (row->in_tail != c.in_tail || row->in_head != c.in_tail || row->out_tail != c.out_tail ||
      row->out_head != c.out_head) {
    throw Failure{"slot " + std::to_string(c.slot) + ": the row's marks are not the process's at the end"};
  }
}

std::string FreeRun::stuck() const {
  std::string text = "not everything arrives:";
  for (const Connection& c : connections_) {
    if (c.written() && c.read()) continue;
    text += " slot " + std::to_string(c.slot) + " (orders " + std::to_string(c.in_order) + " " +
            std::to_string(c.out_order) + ") wrote " + std::to_string(c.in_tail - c.in_start) + " of " +
            std::to_string(c.in_lines) + ", of which " + std::to_string(c.far_out_head - c.in_start) +
            " were read, read " + std::to_string(c.out_head - c.out_start) + " of " + std::to_string(c.out_lines) +
            ", of which " + std::to_string(c.far_in_tail - c.out_start) + " were written;";
  }
  return text;
}

}  // namespace

FreeRunResult free_run(const FreeRunOptions& options) {
  return FreeRun(options).run();
}

}  // namespace slotwire::lockstep
