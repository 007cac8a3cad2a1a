// What the run of full_duplex.hpp does at the card's wire and at the host's port, and checks there.
#include <algorithm>
#include <array>
#include <cstring>

#include "core/pipeline/frame.hpp"
#include "sim/lockstep/full_duplex_run.hpp"

namespace slotwire::lockstep::duplex {

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
    something_moved();
  }
  for (sim::FrameQueue& up = core_->to_host(); !up.empty(); up.pop()) {
    const auto bytes = up.front().bytes;
    if (strays_in_.empty() ||
        !std::equal(bytes.begin(), bytes.end(), strays_in_.front().begin(), strays_in_.front().end()))
      throw Failure{"a frame went to the host that nobody sent, or not in its turn"};
    strays_in_.pop_front();
    ++result_.passed;
    something_moved();
  }
}

/// Whatever is sent has the lines of its own binding, even when the slot's memory is another's by now.
void FullDuplex::check_frame(std::uint16_t link, const pipeline::Header& header, std::span<const std::byte> lines) {
  const auto end = ends_.find({header.src_slot, header.epoch});
  if (end != ends_.end() && header.type != regs::FrameType::reset &&
      header.ack - end->second - 1 < (1U << kLongOrder)) {
    throw Failure{"a frame of slot " + std::to_string(header.src_slot) + ", epoch " + std::to_string(header.epoch) +
                  " acknowledges lines that memory refused"};
  }
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
    const sim::Line expected = line_of(fill->second.first, header.seq + i);
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
    for (; life.far_in_tail != tail; ++life.far_in_tail) {
      fill_line(life.far_in.data() + std::size_t{life.far_in_tail & (life.size() - 1)} * regs::kLineBytes,
                life.out_fill, life.far_in_tail);
    }
    far_[life.link]->doorbell(number, life.far_in_tail, life.far_out_head, now_us());
  }
  if (number < kLinks) {
    Pipeline& far = *far_[number];
    far.sweep(now_us(), 1'000);
    pipeline::MarkUpdate marks[16];
    while (far.take_marks(marks) == std::size(marks)) {
    }
    pipeline::SlotEvent event;
    if (far.take_events({&event, 1}) != 0 && !ever_refused_[event.slot]) {
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

/// One at a time: an event stands there until it is taken, and would be taken twice.
void FullDuplex::ask_event() {
  if (event_asked_) return;
  event_asked_ = ask({Asked::What::event, 0, 0, 0}, static_cast<std::uint32_t>(regs::kCardControl + regs::kCtlEvent));
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
      something_moved();
      begin(slots_[asked.slot]);
      break;
    case Asked::What::freed_row: {
      Slot& slot = slots_[asked.slot];
      regs::SlotRow row;
      std::memcpy(&row, line.data(), sizeof row);
      if (row.state != static_cast<std::uint8_t>(regs::SlotState::free))
        fail(slot.life, "a row that was freed is not free");
      something_moved();
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
    case Asked::What::refused_row: {
      regs::SlotRow row;
      std::memcpy(&row, line.data(), sizeof row);
      if (slots_[asked.slot].life.epoch == asked.epoch) stopped(row, slots_[asked.slot]);
      break;
    }
    case Asked::What::line:
      if (const Life* life = live(asked)) {
        if (line != line_of(life->in_fill, asked.at))
          fail(*life, "the host does not read the line that it wrote before");
      }
      break;
    case Asked::What::event: {
      event_asked_ = false;
      const bool valid = (word >> 31) != 0, lost = (word >> 30 & 1) != 0;
      flag_seen_ = flag_seen_ || lost;
      if (!valid) break;
      const bool refused = ever_refused_[word & 0xffff] &&
                           (word >> 16 & 0xff) == static_cast<std::uint32_t>(regs::Fault::memory_refused);
      if ((word & 0xffff) < slots_.size() - kHostileSlots && !refused) {
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
    if (core_->memory(life.out_base + (life.out_tail & (life.size() - 1))) != line_of(life.out_fill, life.out_tail))
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
  if (in_head != life.in_head) progress(life);
  life.in_head = in_head;
  if (closing_) return ring(life);
  const Position tail = in_head + life.size();
  if (!options_.stress) {
    // As a process that maps slot memory: its lines pass the card, and use none of the clocks of its port.
    for (; life.in_tail != tail; ++life.in_tail) {
      core_->memory(life.in_base + (life.in_tail & (life.size() - 1))) = line_of(life.in_fill, life.in_tail);
    }
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
    ask_event();
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
  write_refused_row();
}

/// Every row that is written waits until no line is under way, whoever's it is. This one is refused, so it has no other
/// effect but an event, which is taken at once.
void FullDuplex::write_rows() {
  if (options_.row_clocks == 0 || core_->now() < next_row_ || !core_->host_room()) return;
  if (!write_refused_row()) return;
  next_row_ = core_->now() + options_.row_clocks;
  ask_event();
}

bool FullDuplex::write_refused_row() {
  const auto number = static_cast<std::uint16_t>(slots_.size() - 1 - random_.below(kHostileSlots));
  regs::SlotRow row{};
  row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
  row.in_order = row.out_order = 1;
  row.in_tail = 1000;  // more than a ring beyond in_head
  row.in_base = kRegionLines * 2 * number;
  row.out_base = row.in_base + kRegionLines;
  sim::Line line;
  std::memcpy(line.data(), &row, sizeof row);
  if (!core_->host_write(SimCardDriver::row_address(number), line)) return false;
  ++hostile_events_;
  ++result_.rows_written;
  return true;
}

}  // namespace slotwire::lockstep::duplex
