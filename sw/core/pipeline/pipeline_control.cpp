// The pipeline's part of congestion control: slots that wait for their link, frames that are timed, losses that are
// found on the link as a whole (docs/protocol.md, C1 to C10).
#include <algorithm>

#include "core/pipeline/pipeline.hpp"

namespace slotwire::pipeline {
namespace {

using regs::FrameType;
using regs::SlotRow;
using regs::SlotState;

void raise(SlotRow& row, std::uint8_t flag) {
  row.flags = static_cast<std::uint8_t>(row.flags | flag);
}
bool is_bound(const SlotRow& row) {
  return static_cast<SlotState>(row.state) == SlotState::bound;
}
bool later(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b) > 0;
}

}  // namespace

void Pipeline::set_window(std::uint16_t link, const congestion::Decision& decision, Microseconds now) {
  links_[link].flow.set(decision, now);
  room_made(link);
}

congestion::Round Pipeline::take_round(std::uint16_t link, Microseconds now) {
  rounds_.clear(link);
  return links_[link].flow.take_round(now);
}

std::uint32_t Pipeline::inflight_of_slots(std::uint16_t link) const {
  const Bitmap& members = links_[link].members;
  std::uint32_t sum = 0;
  for (std::size_t i = members.at_or_after(0); i != Bitmap::kNone; i = members.at_or_after(i + 1)) {
    if (is_bound(rows_[i])) sum += rows_[i].sent - rows_[i].in_head;
  }
  return sum;
}

bool Pipeline::stalled(std::uint16_t link, Microseconds now) {
  Link& l = links_[link];
  if (!l.up || !l.flow.on() || !l.flow.waiting->any() || room_.test(link) || paced_.test(link) || l.blocked) {
    return false;
  }
  if (l.flow.granted() != 0 || l.flow.inflight() != 0) return false;  // what they become wakes who waits
  const std::size_t slot = l.flow.waiting->next(l.flow.cursor);
  return l.flow.fits(sendable(rows_[slot], memory_[slot]), now);
}

/// The flow that counts the slot's lines; null: they are counted nowhere, as the slot is stopped or not taken up.
LinkFlow* Pipeline::flow_of(std::uint16_t slot) {
  const SlotRow& row = rows_[slot];
  if (!is_bound(row) || row.link >= links_.size() || !links_[row.link].members.test(slot)) return nullptr;
  return &links_[row.link].flow;
}

/// The slot stops: nobody waits for its lines any more.
void Pipeline::leave_flight(std::uint16_t slot) {
  LinkFlow* const flow = flow_of(slot);
  if (flow == nullptr) return;
  const SlotRow& row = rows_[slot];
  flow->remove(row.sent - row.in_head);
  if (!flow->on()) return;
  flow->on_abandoned(row.sent - row.in_head);
  room_made(row.link);
}

// --- slots that wait for their link (C3) ---

void Pipeline::drop_grant(std::uint16_t slot) {
  Sending& sending = sending_[slot];
  if (sending.granted == 0) return;
  links_[rows_[slot].link].flow.take_grant(sending.granted);
  sending.granted = 0;
  room_made(rows_[slot].link);
}

bool Pipeline::waits_for_link(std::uint16_t slot) const {
  const LinkFlow& flow = links_[rows_[slot].link].flow;
  return flow.on() && (flow.waiting->test(slot) || sending_[slot].granted != 0);
}

void Pipeline::room_made(std::uint16_t link) {
  const LinkFlow& flow = links_[link].flow;
  if (flow.on() && flow.waiting->any()) room_.set(link);
}

void Pipeline::wake_links(Microseconds now) {
  for (std::size_t i = room_.at_or_after(0); i != Bitmap::kNone; i = room_.at_or_after(i + 1)) {
    room_.clear(i);
    wake_waiting(static_cast<std::uint16_t>(i), now);
  }
}

/// Wakes as many of the slots that wait as may send now, in turn. What they may send is theirs until they do.
void Pipeline::wake_waiting(std::uint16_t link, Microseconds now) {
  Link& l = links_[link];
  LinkFlow& flow = l.flow;
  if (!flow.on() || !l.up || l.blocked) return;
  while (flow.waiting->any()) {
    const std::size_t found = flow.waiting->next(flow.cursor);
    const auto slot = static_cast<std::uint16_t>(found);
    const std::uint32_t lines = sendable(rows_[slot], memory_[slot]);
    if (lines != 0 && !flow.fits(lines, now)) {
      if (flow.short_of_tokens()) paced_.set(link);
      return;
    }
    flow.cursor = found + 1 < rows_.size() ? found + 1 : 0;
    flow.waiting->clear(found);
    if (lines == 0) continue;
    flow.grant(lines);
    sending_[slot].granted = static_cast<std::uint16_t>(lines);
    make_ready(slot);
  }
}

/// Lines that the slot may send now, in one frame: as many as its link lets it. A slot that has to wait for the link is
/// put into its queue.
std::uint32_t Pipeline::due_lines(std::uint16_t slot, Link& link, Microseconds now) {
  std::uint32_t lines = sendable(rows_[slot], memory_[slot]);
  LinkFlow& flow = link.flow;
  if (!flow.on()) return lines;
  const std::uint32_t granted = sending_[slot].granted;
  if (granted != 0) {
    lines = std::min(lines, granted);
    drop_grant(slot);
    if (lines == 0) return 0;
  } else if (lines == 0) {
    return 0;
  } else if (flow.waiting->any()) {  // others were first
    flow.waiting->set(slot);
    return 0;
  }
  if (flow.fits(lines, now)) {
    if (granted == 0) flow.cursor = slot + 1U < rows_.size() ? slot + 1U : 0;  // it had its turn
    return lines;
  }
  if (flow.short_of_tokens()) paced_.set(rows_[slot].link);
  flow.waiting->set(slot);
  if (granted != 0) flow.cursor = slot;  // the window shrank meanwhile; its turn stays its own
  return 0;
}

// --- what is measured (C4 to C6) ---

std::uint8_t Pipeline::control_flags(std::uint16_t slot, const Header& header, std::uint32_t lines, bool again,
                                     Microseconds now) {
  LinkFlow& flow = links_[rows_[slot].link].flow;
  Sending& sending = sending_[slot];
  unsigned flags = flow.on_frame(now);
  if (sending.owes_answer) {
    sending.owes_answer = false;
    flags |= regs::kHdrAnswer;
  }
  if (lines != 0) {
    sending.last_us = now;
    if (flow.on_lines(lines, again, slot, rows_[slot].sent, now)) flags |= regs::kHdrAsk;
  } else if (header.type == FrameType::probe) {
    flow.on_probe(slot, now);
  }
  return static_cast<std::uint8_t>(flags);
}

/// Of a frame that passed all checks; its acknowledgement was taken.
void Pipeline::take_control_flags(std::uint16_t slot, const Header& header, bool in_range, Microseconds now) {
  LinkFlow& flow = links_[rows_[slot].link].flow;
  if (const unsigned marked = header.flags >> regs::kHdrMarkedShift; marked != 0) flow.on_told(marked);
  if (in_range && flow.times(slot)) flow.on_answer((header.flags & regs::kHdrAnswer) != 0, header.ack, now);
  const bool asks = (header.flags & regs::kHdrAsk) != 0;
  if (!asks && header.type != FrameType::probe) return;
  sending_[slot].owes_answer = true;
  if (!asks) return;  // a probe is answered as it always is
  raise(rows_[slot], regs::kRowAckNow);
  make_ready(slot);
}

void Pipeline::on_acked(std::uint16_t slot, std::uint32_t acked, Microseconds now) {
  const SlotRow& row = rows_[slot];
  LinkFlow& flow = links_[row.link].flow;
  Sending& sending = sending_[slot];
  flow.on_acked(acked, now);
  if (sending.nak_waits) {
    sending.nak_waits = false;
    // C9: what was sent again cannot have been acknowledged yet.
    if (flow.measured() && now - sending.nak_us < flow.least_us() / 2) flow.on_reordered();
  }
  if (row.in_head != row.sent) {
    sending.began_us = sending.last_us;
  } else if (later(row.in_head, sending.again_until)) {
    flow.on_delivered(sending.last_us);
  }
  room_made(row.link);
  see_round(row.link);
}

// --- losses (C7 to C9) ---

/// Everything from in_head on is sent again.
void Pipeline::go_back(std::uint16_t slot, Loss loss, Microseconds now) {
  SlotRow& row = rows_[slot];
  LinkFlow& flow = links_[row.link].flow;
  const std::uint32_t lines = row.sent - row.in_head;
  if (flow.on()) {
    if (loss == Loss::timeout) flow.on_timeout(now);
    flow.on_lost(loss, lines);
    if (flow.times(slot)) flow.drop_timing();
    Sending& sending = sending_[slot];
    sending.again_until = row.high;
    sending.nak_waits = loss == Loss::nak;
    sending.nak_us = now;
  }
  flow.remove(lines);
  row.sent = row.in_head;
  if (!flow.on()) return;
  room_made(row.link);
  see_round(row.link);
}

/// The slot's lines are lost when later ones of the link arrived; when nothing is heard, a probe asks.
void Pipeline::look_for_loss(std::uint16_t slot, Microseconds& earliest, Microseconds now) {
  SlotRow& row = rows_[slot];
  if (!is_bound(row) || row.sent == row.in_head) return;
  LinkFlow& flow = links_[row.link].flow;
  const Sending& sending = sending_[slot];
  if (flow.is_overtaken(sending.began_us)) {
    go_back(slot, Loss::link, now);
    start_tx_timer(slot, now);
    make_ready(slot);
    return;
  }
  const std::optional<Microseconds> at = flow.tail_probe_at(sending.last_us);
  if (!at) return;
  if (later(*at, now)) {
    earliest = std::min(earliest, *at - now);
    return;
  }
  flow.on_tail_probe();
  raise(row, regs::kRowProbeNow);
  make_ready(slot);
}

}  // namespace slotwire::pipeline
