#include "core/pipeline/pipeline.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>

namespace slotwire::pipeline {
namespace {

using regs::Counter;
using regs::Fault;
using regs::FrameType;
using regs::SlotRow;
using regs::SlotState;

/// The greatest number of doublings of a timeout; retransmit_max_us stops it earlier.
constexpr std::uint8_t kMaxBackoff = 15;

bool has(const SlotRow& row, std::uint8_t flag) {
  return (row.flags & flag) != 0;
}
void raise(SlotRow& row, std::uint8_t flag) {
  row.flags = static_cast<std::uint8_t>(row.flags | flag);
}
void lower(SlotRow& row, std::uint8_t flag) {
  row.flags = static_cast<std::uint8_t>(row.flags & ~flag);
}
SlotState state_of(const SlotRow& row) {
  return static_cast<SlotState>(row.state);
}

std::uint32_t in_size(const SlotRow& row) {
  return std::uint32_t{1} << row.in_order;
}
std::uint32_t out_size(const SlotRow& row) {
  return std::uint32_t{1} << row.out_order;
}
std::uint32_t out_free(const SlotRow& row) {
  return out_size(row) - (row.out_tail - row.out_head);
}
/// Lines after which an acknowledgement or a window update does not wait any longer: a quarter of the ring (R6, R7).
std::uint32_t quarter(std::uint32_t size) {
  return size < 4 ? 1 : size / 4;
}

/// The memory of a slot and its row outlive this process. Keeps the compiler from moving what is stored before over
/// what is stored after, so that whoever takes over after a crash at any instruction finds lines written before the
/// mark that counts them.
void in_this_order() {
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

/// a is later than b on the circle of positions (or of microseconds).
bool later(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b) > 0;
}

}  // namespace

Pipeline::Pipeline(std::span<SlotRow> rows, std::size_t links)
    : rows_(rows),
      memory_(rows.size()),
      stats_(rows.size()),
      sending_(rows.size()),
      ready_(rows.size()),
      timers_(rows.size()),
      moved_(rows.size()),
      events_(rows.size()),
      room_(links),
      paced_(links),
      rounds_(links) {
  if (rows.size() > regs::kMaxSlots) throw std::invalid_argument("a pipeline has at most 65536 slots");
  if (links >= 65536) throw std::invalid_argument("a pipeline has at most 65535 links");
  links_.reserve(links);
  for (std::size_t i = 0; i < links; ++i)
    links_.push_back(Link{{}, false, false, Bitmap(rows.size()), Bitmap(rows.size()), {}});
}

void Pipeline::set_link(std::uint16_t link, const LinkParameters& config) {
  const auto refuse = [&](const std::string& what) {
    throw std::invalid_argument("link " + std::to_string(link) + ": " + what);
  };
  if (link >= links_.size()) refuse("there are only " + std::to_string(links_.size()) + " links");
  if (config.lines_per_frame < 1 || config.lines_per_frame > kMaxLinesPerFrame) {
    refuse("lines per frame must be 1 to " + std::to_string(kMaxLinesPerFrame));
  }
  if (config.retransmit_us < 1 || config.retransmit_us > config.retransmit_max_us ||
      config.retransmit_max_us > kMaxTimeout || config.ack_delay_us > kMaxTimeout) {
    refuse("timeouts must be 1 us to " + std::to_string(kMaxTimeout) + " us, the first one not above the longest");
  }
  Link& l = links_[link];
  l.config = config;
  l.flow.set_times({config.retransmit_us, config.retransmit_max_us, config.ack_delay_us}, config.lines_per_frame);
  if (l.flow.on() == config.controlled) return;
  if (!config.controlled) {  // who waits for the link waits no longer
    for (std::size_t i = l.members.at_or_after(0); i != Bitmap::kNone; i = l.members.at_or_after(i + 1)) {
      drop_grant(static_cast<std::uint16_t>(i));
    }
    ready_.take_all(*l.flow.waiting);
    rounds_.clear(link);
  }
  l.flow.control(config.controlled, rows_.size());
  if (config.controlled) l.flow.restart(0);
}

void Pipeline::link_up(std::uint16_t link, Microseconds now) {
  Link& l = links_[link];
  l.up = true;
  l.blocked = false;
  ready_.take_all(l.parked);
  if (l.flow.waiting) ready_.take_all(*l.flow.waiting);
  if (l.flow.on()) l.flow.restart(now);
  rounds_.clear(link);
  for (std::size_t i = l.members.at_or_after(0); i != Bitmap::kNone; i = l.members.at_or_after(i + 1)) {
    const auto slot = static_cast<std::uint16_t>(i);
    SlotRow& row = rows_[slot];
    if (state_of(row) != SlotState::bound) {
      if (has(row, regs::kRowResetNow)) make_ready(slot);
      continue;
    }
    l.flow.remove(row.sent - row.in_head);
    sending_[slot].granted = 0;
    sending_[slot].again_until = row.high;
    // What was in flight may be gone: take up at the marks (R9).
    row.sent = row.in_head;
    row.backoff = 0;
    lower(row, regs::kRowNakSent);
    if (row.out_tail != row.told_ack || row.out_tail + out_free(row) != row.told_limit) raise(row, regs::kRowAckNow);
    if (row.in_tail != row.in_head) {
      if (row.limit == row.sent) raise(row, regs::kRowProbeNow);
      start_tx_timer(slot, now);
    }
    make_ready(slot);
  }
}

void Pipeline::link_down(std::uint16_t link) {
  Link& l = links_[link];
  l.up = false;
  l.blocked = false;
  for (std::size_t i = l.members.at_or_after(0); i != Bitmap::kNone; i = l.members.at_or_after(i + 1)) {
    const auto slot = static_cast<std::uint16_t>(i);
    l.parked.clear(i);
    quiet(slot);
  }
}

void Pipeline::set_blocked(std::uint16_t link, bool blocked) {
  Link& l = links_[link];
  if (l.blocked == blocked) return;
  l.blocked = blocked;
  if (blocked) return;
  ready_.take_all(l.parked);
  room_made(link);
}

void Pipeline::bind(std::uint16_t slot, const Binding& binding, const SlotMemory& memory, Microseconds now) {
  SlotRow& row = rows_[slot];
  row = SlotRow{};
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
  in_this_order();
  row.state = static_cast<std::uint8_t>(SlotState::bound);
  stats_[slot] = {};
  install(slot, memory, now);
}

void Pipeline::recover(std::uint16_t slot, const SlotMemory& memory, Position in_tail, Position out_head,
                       Microseconds now) {
  SlotRow& row = rows_[slot];
  const bool routed = row.link < links_.size();
  const bool sized = row.in_order <= regs::kMaxRingOrder && row.out_order <= regs::kMaxRingOrder;
  const bool sound =
      routed && sized && row.in_tail - row.in_head <= in_size(row) && row.out_tail - row.out_head <= out_size(row);
  if (!sound) {
    if (!sized) row.in_order = row.out_order = 0;  // nothing may compute with them any more
    stop(slot, SlotState::faulted, Fault::memory);
    if (routed) {
      links_[row.link].members.set(slot);  // so that the reset goes out when the link comes up
    } else {
      row.link = 0;  // nobody can be told
      row.flags = 0;
      ready_.clear(slot);
    }
    return;
  }
  row.flags = 0;
  row.sent = row.in_head;
  if (state_of(row) != SlotState::bound) {  // it stays stopped; who talks to it is told (R8), from where it can be
    timers_.clear(slot);
    links_[row.link].members.set(slot);
    return;
  }
  row.backoff = 0;
  row.limit = row.in_head;  // the window is not among the marks: ask for it (R9)
  install(slot, memory, now);
  doorbell(slot, in_tail, out_head, now);
}

void Pipeline::install(std::uint16_t slot, const SlotMemory& memory, Microseconds now) {
  SlotRow& row = rows_[slot];
  memory_[slot] = memory;
  links_[row.link].members.set(slot);
  sending_[slot] = {};
  sending_[slot].again_until = row.in_head;
  timers_.clear(slot);
  row.sent = row.in_head;
  row.high = row.in_head;
  row.told_ack = row.out_tail;
  row.told_limit = row.out_tail + out_free(row);
  moved_.set(slot);
  if (row.limit == row.in_head) raise(row, regs::kRowProbeNow);
  if (row.in_tail != row.in_head) start_tx_timer(slot, now);
  if (row.in_tail != row.in_head || has(row, regs::kRowProbeNow)) make_ready(slot);
}

void Pipeline::unbind(std::uint16_t slot) {
  leave_flight(slot);
  quiet(slot);
  if (rows_[slot].link < links_.size()) {  // a row that was never bound may stand in a pipeline without links
    Link& l = links_[rows_[slot].link];
    l.members.clear(slot);
    l.parked.clear(slot);
  }
  moved_.clear(slot);
  events_.clear(slot);
  memory_[slot] = {};
  rows_[slot] = SlotRow{};
}

void Pipeline::fault(std::uint16_t slot, Fault cause) {
  if (state_of(rows_[slot]) == SlotState::bound) stop(slot, SlotState::faulted, cause);
}

void Pipeline::lines_refused(std::uint16_t slot, Position from) {
  SlotRow& row = rows_[slot];
  if (state_of(row) == SlotState::free) return;
  row.out_tail = from;
  moved_.set(slot);
  fault(slot, Fault::memory_refused);
}

void Pipeline::stop(std::uint16_t slot, SlotState state, Fault cause) {
  SlotRow& row = rows_[slot];
  leave_flight(slot);
  quiet(slot);
  row.flags = 0;
  row.state = static_cast<std::uint8_t>(state);
  row.fault = static_cast<std::uint8_t>(cause);
  events_.set(slot);
  if (state == SlotState::faulted) {
    raise(row, regs::kRowResetNow);
    make_ready(slot);
  }
}

/// Neither sends nor times anything until the next event.
void Pipeline::quiet(std::uint16_t slot) {
  lower(rows_[slot], regs::kRowTxTimer | regs::kRowAckTimer);
  timers_.clear(slot);
  ready_.clear(slot);
  if (rows_[slot].link >= links_.size()) return;  // never bound here
  LinkFlow& flow = links_[rows_[slot].link].flow;
  if (!flow.on()) return;
  drop_grant(slot);
  flow.waiting->clear(slot);
  if (flow.times(slot)) flow.drop_timing();
}

void Pipeline::update_timer_bit(std::uint16_t slot) {
  if (has(rows_[slot], regs::kRowTxTimer | regs::kRowAckTimer)) {
    timers_.set(slot);
  } else {
    timers_.clear(slot);
  }
}

Microseconds Pipeline::timeout_of(const SlotRow& row) const {
  const LinkParameters& config = links_[row.link].config;
  const LinkFlow& flow = links_[row.link].flow;
  if (flow.on()) {  // C8
    const std::uint32_t doublings = std::max<std::uint32_t>(row.backoff, std::min<std::uint32_t>(flow.silences(), 15));
    const std::uint64_t doubled = std::uint64_t{flow.timeout_us()} << doublings;
    return static_cast<Microseconds>(
        std::min<std::uint64_t>(doubled, std::max(flow.timeout_us(), config.retransmit_max_us)));
  }
  const std::uint64_t doubled = std::uint64_t{config.retransmit_us} << row.backoff;
  return static_cast<Microseconds>(std::min<std::uint64_t>(doubled, config.retransmit_max_us));
}

void Pipeline::start_tx_timer(std::uint16_t slot, Microseconds now) {
  SlotRow& row = rows_[slot];
  row.tx_deadline = now + timeout_of(row);
  raise(row, regs::kRowTxTimer);
  timers_.set(slot);
}

void Pipeline::stop_tx_timer(std::uint16_t slot) {
  lower(rows_[slot], regs::kRowTxTimer);
  update_timer_bit(slot);
}

void Pipeline::stop_ack_timer(std::uint16_t slot) {
  lower(rows_[slot], regs::kRowAckTimer);
  update_timer_bit(slot);
}

void Pipeline::doorbell(std::uint16_t slot, Position in_tail, Position out_head, Microseconds now) {
  SlotRow& row = rows_[slot];
  if (state_of(row) != SlotState::bound) return;
  // R10: a mark moves forward only, and by no more than there is.
  const std::uint32_t produced = in_tail - row.in_tail;
  const std::uint32_t consumed = out_head - row.out_head;
  if (produced > in_size(row) - (row.in_tail - row.in_head)) {
    count(Counter::fault_in_tail);
    stop(slot, SlotState::faulted, Fault::in_tail);
    return;
  }
  if (consumed > row.out_tail - row.out_head) {
    count(Counter::fault_out_head);
    stop(slot, SlotState::faulted, Fault::out_head);
    return;
  }
  if (produced != 0) {
    row.in_tail = in_tail;
    if (!has(row, regs::kRowTxTimer)) start_tx_timer(slot, now);
    make_ready(slot);
  }
  if (consumed != 0) {
    row.out_head = out_head;
    // R7: a window update once a quarter of the ring has become free that the peer does not know of.
    if (row.out_tail + out_free(row) - row.told_limit >= quarter(out_size(row))) {
      raise(row, regs::kRowAckNow);
      make_ready(slot);
    }
  }
}

std::uint32_t Pipeline::sendable(const SlotRow& row, const SlotMemory& memory) const {
  const std::uint32_t waiting = row.in_tail - row.sent;
  const std::uint32_t window = later(row.limit, row.sent) ? row.limit - row.sent : 0;
  const std::uint32_t n = std::min({waiting, window, std::uint32_t{links_[row.link].config.lines_per_frame}});
  return n == 0 ? 0 : memory.in.contiguous(row.sent, n);
}

std::size_t Pipeline::transmit(std::span<TxFrame> out, Microseconds now) {
  if (paced_.any()) room_.take_all(paced_);
  std::size_t n = 0;
  while (n < out.size()) {
    if (room_.any()) wake_links(now);
    const std::size_t found = ready_.next(ready_cursor_);
    if (found == Bitmap::kNone) break;
    ready_cursor_ = found + 1 < rows_.size() ? found + 1 : 0;
    if (next_frame(static_cast<std::uint16_t>(found), out[n], now)) ++n;
  }
  return n;
}

/// R4: one frame of the ready slot `slot`, or none. Clears the ready bit when the slot has nothing more to send.
bool Pipeline::next_frame(std::uint16_t slot, TxFrame& out, Microseconds now) {
  SlotRow& row = rows_[slot];
  Link& link = links_[row.link];
  if (!link.up) {  // link_up() makes it ready again
    ready_.clear(slot);
    return false;
  }
  if (link.blocked) {
    link.parked.set(slot);
    ready_.clear(slot);
    return false;
  }
  Header header;
  header.dst_slot = row.peer_slot;
  header.src_slot = slot;
  header.epoch = row.epoch;
  header.seq = row.sent;
  header.ack = row.out_tail;
  header.credit = static_cast<std::uint16_t>(out_free(row));
  std::uint32_t lines = 0;
  if (state_of(row) != SlotState::bound) {
    ready_.clear(slot);
    if (!has(row, regs::kRowResetNow)) return false;
    lower(row, regs::kRowResetNow);
    header.type = FrameType::reset;
    count(Counter::tx_resets);
  } else if (has(row, regs::kRowNakNow)) {
    header.type = FrameType::nak;
    count(Counter::tx_naks);
  } else if ((lines = due_lines(slot, link, now)) != 0) {
    header.type = FrameType::data;
  } else if (has(row, regs::kRowProbeNow)) {
    header.type = FrameType::probe;
    count(Counter::tx_probes);
  } else if (has(row, regs::kRowAckNow)) {
    header.type = FrameType::ack;
    count(Counter::tx_acks);
  } else {
    ready_.clear(slot);
    return false;
  }
  out.link = row.link;
  out.slot = slot;
  out.payload = {};
  if (lines != 0) {
    out.payload = {memory_[slot].in.at(row.sent), std::size_t{lines} * regs::kLineBytes};
    const std::uint32_t again = later(row.high, row.sent) ? std::min(lines, row.high - row.sent) : 0;
    if (link.flow.on() && row.sent == row.in_head) {  // the timer ran for the link, now it runs for the lines
      sending_[slot].began_us = now;
      start_tx_timer(slot, now);
    }
    row.sent += lines;
    link.flow.add(lines);
    if (later(row.sent, row.high)) row.high = row.sent;
    if (!has(row, regs::kRowTxTimer)) start_tx_timer(slot, now);
    count(Counter::tx_lines, lines);
    count(Counter::tx_lines_again, again);
    stats_[slot].tx_lines += lines;
    stats_[slot].tx_lines_again += again;
    if (link.flow.on()) header.flags = control_flags(slot, header, lines, again != 0, now);
  } else if (link.flow.on()) {
    header.flags = control_flags(slot, header, 0, false, now);
  }
  encode(header, HeaderBytes(out.header));
  header.crc = frame_crc(ConstHeaderBytes(out.header), out.payload);
  encode(header, HeaderBytes(out.header));
  count(Counter::tx_frames);
  ++stats_[slot].tx_frames;
  // Every frame says all there is to say about the other direction (R6). Data and a probe make the peer answer.
  lower(row, regs::kRowAckNow | regs::kRowNakNow);
  if (header.type == FrameType::data || header.type == FrameType::probe) lower(row, regs::kRowProbeNow);
  row.told_ack = row.out_tail;
  row.told_limit = row.out_tail + out_free(row);
  if (has(row, regs::kRowAckTimer)) stop_ack_timer(slot);
  const bool more = sendable(row, memory_[slot]) != 0;
  if (link.flow.on()) {
    if (!more && row.in_tail != row.sent) link.flow.on_peer_full();
    if (more && waits_for_link(slot) && sending_[slot].granted == 0 && !has(row, regs::kRowProbeNow)) {
      ready_.clear(slot);  // its turn comes
    }
  }
  if (!more && !has(row, regs::kRowProbeNow | regs::kRowResetNow)) ready_.clear(slot);
  return true;
}

bool Pipeline::receive(std::uint16_t link, std::span<const std::byte> frame, Microseconds now) {
  // R2: the order of these checks decides which cause is counted; the card has the same order.
  if (frame.size() < regs::kHeaderBytes) return discard(Counter::drop_short);
  const ConstHeaderBytes header_bytes = frame.first<regs::kHeaderBytes>();
  const std::span<const std::byte> payload = frame.subspan(regs::kHeaderBytes);
  const Header header = decode(header_bytes);
  if (header.version != regs::kVersion) return discard(Counter::drop_version);
  if (header.type > FrameType::reset) return discard(Counter::drop_type);
  if (payload.size() % regs::kLineBytes != 0 || payload.empty() != (header.type != FrameType::data)) {
    return discard(Counter::drop_length);
  }
  if (header.crc != frame_crc(header_bytes, payload)) return discard(Counter::drop_crc);
  const std::uint16_t slot = header.dst_slot;
  if (slot >= rows_.size()) return discard(Counter::drop_slot);
  SlotRow& row = rows_[slot];
  if (state_of(row) == SlotState::free) return discard(Counter::drop_unbound);
  if (row.link != link) return discard(Counter::drop_link);
  if (row.peer_slot != header.src_slot) return discard(Counter::drop_peer_slot);
  if (row.epoch != header.epoch) return discard(Counter::drop_epoch);
  if (state_of(row) != SlotState::bound) {
    // R8: who still talks to a faulted slot is told again.
    if (state_of(row) == SlotState::faulted && header.type != FrameType::reset) {
      raise(row, regs::kRowResetNow);
      make_ready(slot);
    }
    return discard(Counter::drop_faulted);
  }
  // Where the peer can be, and where it was a ring ago: all else is not from our peer, whose first positions nobody can
  // guess.
  const bool in_range = header.ack - row.in_head <= row.in_tail - row.in_head;
  if (!in_range && row.in_head - header.ack > in_size(row)) return discard(Counter::drop_position);
  if (header.seq - row.out_tail > out_size(row) && row.out_tail - header.seq > out_size(row)) {
    return discard(Counter::drop_position);
  }
  if (header.type == FrameType::reset) {
    count(Counter::rx_resets);
    stop(slot, SlotState::reset, Fault::peer_reset);
    return true;
  }
  count(Counter::rx_frames);
  ++stats_[slot].rx_frames;
  if (in_range) take_ack(slot, header, now);
  if (links_[link].flow.on()) take_control_flags(slot, header, in_range, now);
  switch (header.type) {
    case FrameType::data:
      take_lines(slot, header, payload, now);
      break;
    case FrameType::ack:
      count(Counter::rx_acks);
      break;
    case FrameType::nak:
      count(Counter::rx_naks);
      if (in_range && row.sent != header.ack) {
        go_back(slot, Loss::nak, now);  // to the ack, which in_head is now (R9)
        make_ready(slot);
      }
      break;
    case FrameType::probe:
      count(Counter::rx_probes);
      raise(row, regs::kRowAckNow);
      make_ready(slot);
      break;
    case FrameType::reset:
      break;  // taken above
  }
  return true;
}

/// R5: lines up to header.ack are released, the window opens.
void Pipeline::take_ack(std::uint16_t slot, const Header& header, Microseconds now) {
  SlotRow& row = rows_[slot];
  if (header.ack != row.in_head) {
    const std::uint32_t acked = header.ack - row.in_head;
    const std::uint32_t landed = std::min(acked, row.sent - row.in_head);
    row.in_head = header.ack;
    moved_.set(slot);
    if (later(row.in_head, row.sent)) row.sent = row.in_head;
    row.backoff = 0;
    if (row.in_head == row.in_tail) {
      stop_tx_timer(slot);
    } else {
      start_tx_timer(slot, now);
    }
    LinkFlow& flow = links_[row.link].flow;
    flow.remove(landed);
    if (flow.on()) on_acked(slot, acked, acked != landed, now);
  }
  const Position limit = header.ack + header.credit;
  if (later(limit, row.limit)) {
    row.limit = limit;
    if (row.sent != row.in_tail) {
      make_ready(slot);
      if (row.sent == row.in_head) {  // nothing was in flight: the timer ran for the window, now it runs for the lines
        row.backoff = 0;
        start_tx_timer(slot, now);
      }
    }
  }
}

/// R3: lines of a data frame.
void Pipeline::take_lines(std::uint16_t slot, const Header& header, std::span<const std::byte> payload,
                          Microseconds now) {
  SlotRow& row = rows_[slot];
  const auto lines = static_cast<std::uint32_t>(payload.size() / regs::kLineBytes);
  if (later(header.seq, row.out_tail)) {
    count(Counter::drop_gap);
    if (!has(row, regs::kRowNakSent)) {
      raise(row, regs::kRowNakNow | regs::kRowNakSent);
      make_ready(slot);
    }
    return;
  }
  const std::uint32_t known = row.out_tail - header.seq;  // lines of this frame that are here already
  if (known >= lines) {
    count(Counter::drop_duplicate);
    lower(row, regs::kRowNakSent);
    raise(row, regs::kRowAckNow);
    make_ready(slot);
    return;
  }
  const std::uint32_t fresh = lines - known;
  if (fresh > out_free(row)) {  // beyond the window that it was given
    count(Counter::drop_overrun);
    raise(row, regs::kRowAckNow);
    make_ready(slot);
    return;
  }
  write_lines(slot, payload.subspan(std::size_t{known} * regs::kLineBytes));
  in_this_order();
  row.out_tail += fresh;
  moved_.set(slot);
  lower(row, regs::kRowNakSent | regs::kRowNakNow);
  count(Counter::rx_lines, fresh);
  stats_[slot].rx_lines += fresh;
  // R6: acknowledge at once after a quarter of the ring, else let a frame of the other direction carry it for a while.
  if (row.out_tail - row.told_ack >= quarter(out_size(row))) {
    raise(row, regs::kRowAckNow);
    make_ready(slot);
  } else if (!has(row, regs::kRowAckTimer)) {
    row.ack_deadline = now + links_[row.link].config.ack_delay_us;
    raise(row, regs::kRowAckTimer);
    timers_.set(slot);
  }
}

void Pipeline::write_lines(std::uint16_t slot, std::span<const std::byte> payload) {
  const slot::RingView& ring = memory_[slot].out;
  Position at = rows_[slot].out_tail;
  while (!payload.empty()) {
    const std::uint32_t n = ring.contiguous(at, static_cast<std::uint32_t>(payload.size() / regs::kLineBytes));
    const std::size_t bytes = std::size_t{n} * regs::kLineBytes;
    std::memcpy(ring.at(at), payload.data(), bytes);
    payload = payload.subspan(bytes);
    at += n;
  }
}

Microseconds Pipeline::sweep(Microseconds now, std::size_t budget) {
  Microseconds earliest = kNoTimer;
  const std::size_t start = timer_cursor_;
  std::size_t at = start;
  bool wrapped = false;
  for (std::size_t looked = 0;; ++looked) {
    std::size_t found = timers_.at_or_after(at);
    if (found == Bitmap::kNone && !wrapped) {
      wrapped = true;
      found = timers_.at_or_after(0);
    }
    if (found == Bitmap::kNone || (wrapped && found >= start)) break;  // all were looked at
    timer_cursor_ = found;
    if (looked == budget) return 0;  // others may be due: sweep again soon
    at = found + 1;
    const auto slot = static_cast<std::uint16_t>(found);
    SlotRow& row = rows_[slot];
    if (!links_[row.link].up) {  // link_up() starts the timers again
      lower(row, regs::kRowTxTimer | regs::kRowAckTimer);
      timers_.clear(slot);
      continue;
    }
    if (has(row, regs::kRowAckTimer) && !later(row.ack_deadline, now)) {
      stop_ack_timer(slot);
      raise(row, regs::kRowAckNow);
      make_ready(slot);
    }
    if (links_[row.link].flow.on()) look_for_loss(slot, earliest, now);
    if (has(row, regs::kRowTxTimer) && !later(row.tx_deadline, now)) tx_timer_ran_out(slot, now);
    if (has(row, regs::kRowTxTimer)) earliest = std::min(earliest, row.tx_deadline - now);
    if (has(row, regs::kRowAckTimer)) earliest = std::min(earliest, row.ack_deadline - now);
  }
  return earliest;
}

/// R9: nothing was heard in time. Lines in flight are sent again; a closed window is probed.
void Pipeline::tx_timer_ran_out(std::uint16_t slot, Microseconds now) {
  SlotRow& row = rows_[slot];
  if (row.sent == row.in_head && waits_for_link(slot)) return start_tx_timer(slot, now);  // nothing to hear of
  count(Counter::timeouts);
  if (row.sent != row.in_head) {
    go_back(slot, Loss::timeout, now);
  } else {
    raise(row, regs::kRowProbeNow);
  }
  if (row.backoff < kMaxBackoff) ++row.backoff;
  start_tx_timer(slot, now);
  make_ready(slot);
}

std::size_t Pipeline::take_marks(std::span<MarkUpdate> out) {
  std::size_t n = 0;
  for (std::size_t i = moved_.at_or_after(0); i != Bitmap::kNone && n < out.size(); i = moved_.at_or_after(i)) {
    moved_.clear(i);
    out[n++] = {static_cast<std::uint16_t>(i), rows_[i].in_head, rows_[i].out_tail};
  }
  return n;
}

std::size_t Pipeline::take_events(std::span<SlotEvent> out) {
  std::size_t n = 0;
  for (std::size_t i = events_.at_or_after(0); i != Bitmap::kNone && n < out.size(); i = events_.at_or_after(i)) {
    events_.clear(i);
    out[n++] = {static_cast<std::uint16_t>(i), static_cast<Fault>(rows_[i].fault)};
  }
  return n;
}

}  // namespace slotwire::pipeline
