#include "sim/lockstep/peer.hpp"

#include <algorithm>

namespace slotwire::lockstep {
namespace {

/// Takes one of the first few frames; most often the first.
template <typename T>
T take(std::deque<T>& queue, sim::Random& random, unsigned disorder_permille) {
  std::size_t at = 0;
  if (random.chance(disorder_permille))
    at = random.below(static_cast<std::uint32_t>(std::min<std::size_t>(queue.size(), 5)));
  T frame = queue[at];
  // Now and then it stays, to arrive once more.
  if (!random.chance(disorder_permille / 2)) queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(at));
  return frame;
}

}  // namespace

Peer::Peer(std::uint16_t link, const pipeline::LinkParameters& figures, unsigned max_order, Microseconds now)
    : link_(link),
      rows_(kSlots),
      ends_(kSlots),
      in_ring_(regs::kLineBytes << max_order),
      out_ring_(regs::kLineBytes << max_order),
      pipe_(std::make_unique<pipeline::Pipeline>(std::span<regs::SlotRow>(rows_), 1)) {
  pipe_->set_link(0, figures);
  pipe_->link_up(0, now);
}

void Peer::bind(const Bind& b, std::uint32_t fill, const Habits& habits, Microseconds now) {
  ends_[b.peer_slot] = {b.out_head, b.in_head, fill, habits};
  // What the card's process has not consumed yet is in the card's ring already: this end starts at its tail.
  const pipeline::Marks marks{
      .in_tail = b.out_tail, .in_head = b.out_tail, .out_tail = b.in_head, .out_head = b.in_head};
  ends_[b.peer_slot].in_tail = b.out_tail;
  pipe_->bind(b.peer_slot,
              {.link = 0,
               .peer_slot = b.slot,
               .epoch = b.epoch,
               .in_order = b.out_order,
               .out_order = b.in_order,
               .credit = (1U << b.out_order) - (b.out_tail - b.out_head),
               .marks = marks},
              {{in_ring_.data(), b.out_order, false}, {out_ring_.data(), b.in_order, false}}, now);
}

void Peer::unbind(std::uint16_t slot) {
  pipe_->unbind(slot);
}

std::optional<std::uint16_t> Peer::free_slot(sim::Random& random) const {
  const auto start = static_cast<std::uint16_t>(random.below(kSlots));
  for (std::uint16_t i = 0; i < kSlots; ++i) {
    const auto slot = static_cast<std::uint16_t>((start + i) % kSlots);
    if (rows_[slot].state == static_cast<std::uint8_t>(regs::SlotState::free)) return slot;
  }
  return std::nullopt;
}

void Peer::send(const Bytes& frame) {
  if (from_card_.size() == kMaxInFlight) from_card_.pop_front();
  from_card_.push_back(frame);
}

void Peer::turn(sim::Random& random, Microseconds now, unsigned loss_permille, unsigned disorder_permille) {
  for (std::uint32_t n = random.below(6); n != 0 && !from_card_.empty(); --n) {
    const Bytes frame = take(from_card_, random, disorder_permille);
    const auto datagram = sim::unwrap(peer_endpoint(link_), frame);
    if (datagram && !random.chance(loss_permille)) pipe_->receive(0, datagram->link_frame, now);
  }
  for (std::uint16_t slot = 0; slot < kSlots; ++slot) {
    if (!bound(slot) || !random.chance(200)) continue;
    End& end = ends_[slot];
    const regs::SlotRow& row = rows_[slot];
    if (random.chance(500)) {
      const std::uint32_t free = (1U << row.in_order) - (end.in_tail - row.in_head);
      end.in_tail += std::min(free, random.between(1, end.habits.write_burst));
    }
    if (random.chance(end.habits.read_permille)) {
      end.out_head += std::min(row.out_tail - end.out_head, random.between(1, end.habits.read_burst));
    }
    pipe_->doorbell(slot, end.in_tail, end.out_head, now);
  }
  if (random.chance(300)) pipe_->sweep(now, kSlots + 1);
  pipeline::TxFrame frames[8];
  const std::size_t sent = pipe_->transmit(std::span(frames).first(random.between(1, 8)), now);
  for (const pipeline::TxFrame& frame : std::span(frames).first(sent)) {
    const pipeline::Header h = pipeline::decode(frame.header);
    FrameIn step;
    step.link = link_;
    step.version = h.version;
    step.type = static_cast<std::uint8_t>(h.type);
    step.flags = h.flags;
    step.dst_slot = h.dst_slot;
    step.src_slot = h.src_slot;
    step.epoch = h.epoch;
    step.seq = h.seq;
    step.ack = h.ack;
    step.credit = h.credit;
    step.lines = static_cast<std::uint16_t>(frame.payload.size() / regs::kLineBytes);
    step.fill = ends_[frame.slot].fill;
    if (to_card_.size() == kMaxInFlight) to_card_.pop_front();
    to_card_.push_back(step);
  }
  pipeline::MarkUpdate marks[kSlots];
  pipe_->take_marks(marks);
  pipeline::SlotEvent events[kSlots];
  pipe_->take_events(events);
}

void Peer::set_up(bool up, Microseconds now) {
  if (up) {
    pipe_->link_up(0, now);
  } else {
    pipe_->link_down(0);
  }
}

std::optional<FrameIn> Peer::arrive(sim::Random& random, unsigned loss_permille, unsigned disorder_permille) {
  while (!to_card_.empty()) {
    const FrameIn frame = take(to_card_, random, disorder_permille);
    if (!random.chance(loss_permille)) return frame;
  }
  return std::nullopt;
}

}  // namespace slotwire::lockstep
