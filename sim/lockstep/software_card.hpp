// The software pipeline behind the ports of a card: what lockstep expects. A template, so that a pipeline with a bug in
// it can stand in the place of the right one.
#pragma once
#include <algorithm>
#include <cstring>
#include <memory>

#include "sim/card/ethernet.hpp"
#include "sim/lockstep/implementation.hpp"

namespace slotwire::lockstep {

template <typename P>
class SoftwareCard final : public Implementation {
 public:
  void start(const Program& program) override {
    slots_ = program.slots;
    rows_.assign(slots_, {});
    rings_.assign(slots_, {});
    figures_.assign(program.links, {});
    up_.assign(program.links, false);
    make_pipeline();
    observation_.clear();
    card_counters_ = {};
    refused_ = {};
    frame_lines_ = program.frame_lines;
  }

  void apply(const Action& action, Microseconds now) override {
    std::visit([&](const auto& a) { on(a, now); }, action);
  }

  std::string settle(Microseconds now) override {
    sent_ = 0;
    for (unsigned round = 0; round < kMaxRounds; ++round) {
      transmit(now);
      if (sent_ > kMaxFrames) break;
      pipe_->sweep(now, slots_ + 1);
      if (!pipe_->ready()) return "";
    }
    return "the software pipeline does not come to rest";
  }

  void observe(Observation& out) override {
    std::swap(out, observation_);
    observation_.clear();
    out.rows.assign(rows_.begin(), rows_.end());
    out.marks.resize(slots_);
    pipeline::MarkUpdate moved[16];
    for (std::size_t n; (n = pipe_->take_marks(moved)) != 0;) {
      for (const auto& update : std::span(moved).first(n)) out.moved.push_back(update.slot);
    }
    pipeline::SlotEvent events[16];
    for (std::size_t n; (n = pipe_->take_events(events)) != 0;) {
      out.events.insert(out.events.end(), events, events + n);
    }
    for (std::size_t slot = 0; slot < slots_; ++slot) out.marks[slot] = {rows_[slot].out_tail, rows_[slot].in_head};
    for (std::size_t i = 0; i < regs::kCounterCount; ++i) {
      out.counters[i] = pipe_->counter(static_cast<regs::Counter>(i)) + refused_[i];
    }
    out.card_counters = card_counters_;
  }

  void out_line(std::uint16_t slot, std::uint32_t index, std::span<std::byte, regs::kLineBytes> line) override {
    std::memcpy(line.data(), rings_[slot].out.data() + std::size_t{index} * regs::kLineBytes, line.size());
  }

  const regs::SlotRow& row(std::uint16_t slot) const { return rows_[slot]; }
  bool up(std::uint16_t link) const { return up_[link]; }
  const pipeline::LinkParameters& figures(std::uint16_t link) const { return figures_[link]; }

 private:
  static constexpr unsigned kMaxRounds = 1'000;  ///< of transmitting and looking at timers, at one time
  struct Rings {
    Bytes in, out;
  };

  void make_pipeline() { pipe_ = std::make_unique<P>(std::span<regs::SlotRow>(rows_), figures_.size()); }
  regs::SlotState state(std::uint16_t slot) const { return static_cast<regs::SlotState>(rows_[slot].state); }
  pipeline::SlotMemory memory(std::uint16_t slot) {
    Rings& rings = rings_[slot];
    return {{rings.in.data(), rows_[slot].in_order, true}, {rings.out.data(), rows_[slot].out_order, false}};
  }
  void count(regs::CardCounter counter) { ++card_counters_[static_cast<std::size_t>(counter)]; }

  void on(const Advance& /*a*/, Microseconds /*now*/) {}
  void on(const Write& a, Microseconds /*now*/) {
    if (state(a.slot) == regs::SlotState::free) return;
    const std::uint32_t size = 1U << rows_[a.slot].in_order;
    for (std::uint32_t i = 0; i < std::min<std::uint32_t>(a.lines, size); ++i) {
      const std::uint32_t index = (a.at + i) & (size - 1);
      std::byte* line = rings_[a.slot].in.data() + std::size_t{index} * regs::kLineBytes;
      fill_line(line, a.fill, a.at + i);
      std::memcpy(line + std::size_t{size} * regs::kLineBytes, line, regs::kLineBytes);
    }
  }
  void on(const InTail& a, Microseconds now) {
    count(regs::CardCounter::doorbells);
    pipe_->doorbell(a.slot, a.value, rows_[a.slot].out_head, now);
  }
  void on(const OutHead& a, Microseconds now) {
    count(regs::CardCounter::doorbells);
    pipe_->doorbell(a.slot, rows_[a.slot].in_tail, a.value, now);
  }
  void on(const FrameIn& a, Microseconds now) {
    build_frame(a, frame_);
    arrive(a.link, a.damaged != 0, now);
  }
  void on(const RefusedFrame& a, Microseconds now) {
    const regs::SlotRow& row = rows_[a.dst_slot];
    const Position before = row.out_tail;
    const Bytes lines = rings_[a.dst_slot].out;
    on(a.frame(), now);
    if (row.out_tail - before < a.nth) return;
    const std::size_t at = (std::size_t{before + a.nth - 1U} & ((1U << row.out_order) - 1)) * regs::kLineBytes;
    std::memcpy(rings_[a.dst_slot].out.data() + at, lines.data() + at, regs::kLineBytes);
    count(regs::CardCounter::memory_refused);
    pipe_->lines_refused(a.dst_slot, before);
  }
  void on(const Stray& a, Microseconds now) {
    build_frame(a, frame_);
    if (a.from_host == 0) return arrive(kStranger, a.damaged != 0, now);
    count(regs::CardCounter::pass_from_host);
    observation_.wire.push_back({kPassed, 0, frame_});
  }
  void arrive(std::uint16_t link, bool damaged, Microseconds now) {
    if (damaged) return count(regs::CardCounter::drop_damaged);
    const auto datagram = sim::unwrap(own_endpoint(), frame_);
    if (!datagram) {
      count(regs::CardCounter::pass_to_host);
      observation_.to_host.push_back(frame_);
      return;
    }
    const std::span<const std::byte> frame = datagram->link_frame;
    if (refused(datagram->length, frame)) return;
    std::uint16_t slot = 0;
    if (frame.size() >= regs::kHeaderBytes) slot = pipeline::decode(frame.first<regs::kHeaderBytes>()).dst_slot;
    const Position before = slot < slots_ ? rows_[slot].out_tail : 0;
    pipe_->receive(link, frame, now);
    if (slot >= slots_) return;
    for (Position at = before; at != rows_[slot].out_tail; ++at) {
      observation_.written.push_back({slot, at & ((1U << rows_[slot].out_order) - 1)});
    }
  }
  /// What only a card can refuse: a frame that was cut on the wire, or one with more lines than the card takes. Both
  /// have a wrong length, if nothing worse (R2).
  bool refused(std::size_t length, std::span<const std::byte> frame) {
    const bool cut = frame.size() < length;
    const bool overlong =
        length >= regs::kHeaderBytes && (length - regs::kHeaderBytes) / regs::kLineBytes > frame_lines_;
    if (!cut && !overlong) return false;
    const auto first = std::to_integer<unsigned>(frame[0]);
    regs::Counter cause = regs::Counter::drop_length;
    if (length < regs::kHeaderBytes) {
      cause = regs::Counter::drop_short;
    } else if (first >> 4 != regs::kVersion) {
      cause = regs::Counter::drop_version;
    } else if ((first & 0xf) > static_cast<unsigned>(regs::FrameType::reset)) {
      cause = regs::Counter::drop_type;
    }
    ++refused_[static_cast<std::size_t>(cause)];
    return true;
  }
  void on(const Bind& a, Microseconds now) {
    if (state(a.slot) != regs::SlotState::free) return;
    rows_[a.slot].in_order = a.in_order;
    rows_[a.slot].out_order = a.out_order;
    // The input ring stands twice in a row, so that a frame may wrap in it as on the card.
    rings_[a.slot].in.assign((regs::kLineBytes << a.in_order) * 2, std::byte{0});
    rings_[a.slot].out.assign(regs::kLineBytes << a.out_order, std::byte{0});
    pipe_->bind(a.slot,
                {.link = a.link,
                 .peer_slot = a.peer_slot,
                 .epoch = a.epoch,
                 .in_order = a.in_order,
                 .out_order = a.out_order,
                 .credit = a.credit,
                 .marks = {a.in_tail, a.in_head, a.out_tail, a.out_head}},
                memory(a.slot), now);
  }
  void on(const Unbind& a, Microseconds /*now*/) {
    if (state(a.slot) != regs::SlotState::free) pipe_->unbind(a.slot);
  }
  void on(const Figures& a, Microseconds /*now*/) {
    figures_[a.link] = {.lines_per_frame = a.lines_per_frame,
                        .retransmit_us = a.rto_us,
                        .retransmit_max_us = a.rto_max_us,
                        .ack_delay_us = a.ack_delay_us};
    pipe_->set_link(a.link, figures_[a.link]);
  }
  void on(const LinkUp& a, Microseconds now) {
    up_[a.link] = true;
    pipe_->link_up(a.link, now);
  }
  void on(const LinkDown& a, Microseconds /*now*/) {
    up_[a.link] = false;
    pipe_->link_down(a.link);
  }
  void on(const FaultSlot& a, Microseconds /*now*/) { pipe_->fault(a.slot, static_cast<regs::Fault>(a.cause)); }
  void on(const Reset& /*a*/, Microseconds now) {
    make_pipeline();
    card_counters_ = {};
    refused_ = {};
    for (const std::uint16_t link : numbers(figures_.size())) pipe_->set_link(link, figures_[link]);
    for (const std::uint16_t slot : numbers(slots_)) {
      if (state(slot) == regs::SlotState::free) continue;
      pipe_->recover(slot, memory(slot), rows_[slot].in_tail, rows_[slot].out_head, now);
    }
    for (const std::uint16_t link : numbers(figures_.size())) {
      if (up_[link]) pipe_->link_up(link, now);
    }
  }

  void transmit(Microseconds now) {
    pipeline::TxFrame frames[16];
    for (std::size_t n; sent_ <= kMaxFrames && (n = pipe_->transmit(frames, now)) != 0; sent_ += n) {
      for (const pipeline::TxFrame& frame : std::span(frames).first(n)) {
        link_frame_.assign(std::begin(frame.header), std::end(frame.header));
        link_frame_.insert(link_frame_.end(), frame.payload.begin(), frame.payload.end());
        SentFrame sent{frame.slot, 0, Bytes(sim::kCarrierBytes + link_frame_.size())};
        sent.bytes.resize(sim::wrap(own_endpoint(), peer_endpoint(frame.link), link_frame_, sent.bytes));
        observation_.wire.push_back(std::move(sent));
      }
    }
  }

  std::size_t slots_ = 0;
  std::size_t sent_ = 0;  ///< frames since the last rest
  std::vector<regs::SlotRow> rows_;
  std::vector<Rings> rings_;
  std::vector<pipeline::LinkParameters> figures_;
  std::vector<bool> up_;
  std::unique_ptr<P> pipe_;
  Observation observation_;
  std::array<std::uint64_t, regs::kCardCounterCount> card_counters_{};
  std::array<std::uint64_t, regs::kCounterCount> refused_{};
  std::uint32_t frame_lines_ = 0;
  Bytes frame_, link_frame_;
};

using GoldenCard = SoftwareCard<pipeline::Pipeline>;

}  // namespace slotwire::lockstep
