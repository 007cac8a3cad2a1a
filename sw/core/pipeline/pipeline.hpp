// The pipeline: from marks to frames and back. A pure state machine and the golden model of the card.
//
// Doorbells, frames and time come in as arguments; frames, lines and marks go out. No sockets, no clock, no allocation
// after construction. The rules are those of docs/protocol.md, by the same numbers (R1, R2, ...).
//
// Time is a free-running 32-bit count of microseconds; differences are modulo 2^32 and timeouts stay below 2^31.
// Thread rules: one pipeline belongs to one thread.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/congestion/algorithm.hpp"
#include "core/pipeline/bitmap.hpp"
#include "core/pipeline/flow.hpp"
#include "core/pipeline/frame.hpp"
#include "core/regs/regs.hpp"
#include "core/slot/marks.hpp"
#include "core/slot/ring.hpp"

namespace slotwire::pipeline {

/// Most lines in one frame: more would not fit a datagram.
inline constexpr std::uint16_t kMaxLinesPerFrame = 1023;
/// Longest timeout, a quarter of the circle of microseconds (about 18 minutes).
inline constexpr Microseconds kMaxTimeout = 1U << 30;

/// What a link needs to know of its carrier and its distance. All fields may change at any time.
struct LinkParameters {
  std::uint16_t lines_per_frame = 22;          ///< 1..kMaxLinesPerFrame lines; 22 fill an Ethernet frame of 1500 bytes
  Microseconds retransmit_us = 10'000;         ///< first retransmission timeout, 1..retransmit_max_us
  Microseconds retransmit_max_us = 1'000'000;  ///< doubling stops here; ..kMaxTimeout
  Microseconds ack_delay_us = 1'000;  ///< longest wait for a frame that an acknowledgement can ride on; 0..kMaxTimeout
  /// Congestion control (docs/protocol.md, C1 to C12). Off: frames leave as the peer's rings allow.
  bool controlled = false;
  /// For whoever decides; the pipeline does not look.
  congestion::Settings congestion = {};
};

/// The marks of a slot. All zero for a new pairing.
struct Marks {
  Position in_tail = 0, in_head = 0, out_tail = 0, out_head = 0;
};

/// One end of a pairing.
struct Binding {
  std::uint16_t link = 0;
  std::uint16_t peer_slot = 0;
  std::uint16_t epoch = 0;
  unsigned in_order = 0;   ///< input ring: 2^in_order lines, 0..15
  unsigned out_order = 0;  ///< output ring: 2^out_order lines, 0..15
  std::uint32_t credit =
      0;        ///< lines that the peer is known to have room for beyond in_head; 0: unknown, ask by a probe
  Marks marks;  ///< where to take up: nothing but the marks is needed
};

/// Where a slot's rings are.
struct SlotMemory {
  slot::RingView in;   ///< read by the pipeline
  slot::RingView out;  ///< written by the pipeline
};

/// A proxy mark that moved: what to publish for the process.
struct MarkUpdate {
  std::uint16_t slot = 0;
  Position in_head = 0;
  Position out_tail = 0;
};

/// A slot that stopped, and why.
struct SlotEvent {
  std::uint16_t slot = 0;
  regs::Fault fault = regs::Fault::none;
};

/// Per-slot traffic. Monotonic since bind.
struct SlotStats {
  std::uint64_t tx_lines = 0, tx_lines_again = 0, rx_lines = 0, tx_frames = 0, rx_frames = 0;
};

class Pipeline {
 public:
  /// `rows` is admin memory: one row per slot, kept by the caller for as long as the pipeline lives; its contents are
  /// taken as they stand (see recover()). At most 65536 rows; `links` at most 65535. Allocates everything it will ever
  /// need.
  Pipeline(std::span<regs::SlotRow> rows, std::size_t links);

  // --- control port (the engine) ---

  /// Sets a link's figures. The link starts down. Throws std::invalid_argument, saying what is out of range.
  void set_link(std::uint16_t link, const LinkParameters& config);
  /// Frames may flow (again): every slot of the link takes up at its marks. Costs a walk over the link's slots.
  void link_up(std::uint16_t link, Microseconds now);
  /// Frames do not flow: nothing is sent, no timer runs, nothing is lost.
  void link_down(std::uint16_t link);
  /// The carrier has no room (true) or has room again (false). Costs a walk over a bitmap on unblocking.
  void set_blocked(std::uint16_t link, bool blocked);
  bool is_up(std::uint16_t link) const { return links_[link].up; }

  // --- congestion control ---

  bool is_controlled(std::uint16_t link) const { return links_[link].flow.on(); }
  /// What a controlled link may do from now on. Until the first call after link_up(): congestion::first_window().
  void set_window(std::uint16_t link, const congestion::Decision& decision, Microseconds now);
  /// A link whose round is over; kNoLink: none. Decide, and call it again.
  static constexpr std::size_t kNoLink = Bitmap::kNone;
  std::size_t round_over() const { return rounds_.any() ? rounds_.next(0) : kNoLink; }
  congestion::Round take_round(std::uint16_t link, Microseconds now);
  /// `frames` frames of the link arrived with a congestion mark; the peer is told.
  void on_marked(std::uint16_t link, std::uint32_t frames) {
    if (link < links_.size()) links_[link].flow.on_marked(frames);
  }
  const LinkFlow& flow(std::uint16_t link) const { return links_[link].flow; }
  /// Some slot waits for the pace of its link alone: call transmit() soon.
  bool paced() const { return paced_.any(); }
  /// What flow().inflight() must be: the sum over the slots. For checks; costs a walk.
  std::uint32_t inflight_of_slots(std::uint16_t link) const;
  /// Slots wait for the link, and nothing that is under way will wake them. For checks: never true between two calls.
  bool stalled(std::uint16_t link, Microseconds now);

  /// Pairs a slot. The slot must be free (state free, or unbound before); the link must exist.
  void bind(std::uint16_t slot, const Binding& binding, const SlotMemory& memory, Microseconds now);
  /// Takes up a row that is bound in admin memory, from its marks alone, after a restart. A row that cannot be (an
  /// order or a link out of range, marks more than a ring apart) is faulted instead; one that is faulted or reset stays
  /// so. `in_tail` and `out_head` are the process's marks. Every row that is not free is recovered or unbound before
  /// the first frame is received.
  void recover(std::uint16_t slot, const SlotMemory& memory, Position in_tail, Position out_head, Microseconds now);
  /// Frees a slot's row. Frames for it are dropped from now on.
  void unbind(std::uint16_t slot);
  /// Stops a slot and tells its peer by a reset frame.
  void fault(std::uint16_t slot, regs::Fault cause);
  /// Slot memory refused received lines of this slot, and nobody was told of any line from position `from` on: OUT_TAIL
  /// goes back to `from`, which is at most a ring ago, and the slot stops (R8). No effect on a slot that is free.
  void lines_refused(std::uint16_t slot, Position from);

  // --- data ---

  /// The process's marks as read once from its page. Out-of-range marks fault the slot (R10) and no other.
  void doorbell(std::uint16_t slot, Position in_tail, Position out_head, Microseconds now);
  /// A frame that came from `link`'s peer, as it came. Everything in it is checked. False if it was discarded (R2).
  bool receive(std::uint16_t link, std::span<const std::byte> frame, Microseconds now);
  /// Fills `out` with frames that are due, one per ready slot in turn. Returns how many; fewer than out.size() means
  /// that nothing more is ready. Payloads point into the rings.
  std::size_t transmit(std::span<TxFrame> out, Microseconds now);
  /// Is any slot ready to send.
  bool ready() const { return ready_.any() || room_.any(); }

  /// Looks at up to `budget` slots with a running timer, where the last sweep stopped. Returns the microseconds until
  /// the earliest timer that is still running, kNoTimer if none is, or 0 when the budget did not reach all of them.
  Microseconds sweep(Microseconds now, std::size_t budget);
  static constexpr Microseconds kNoTimer = ~Microseconds{0};
  /// Is any timer running. If not, nothing will happen before the next doorbell or frame.
  bool timers_running() const { return timers_.any(); }

  /// Moves up to out.size() proxy marks that changed since they were last taken into `out`.
  std::size_t take_marks(std::span<MarkUpdate> out);
  /// Moves up to out.size() events into `out`.
  std::size_t take_events(std::span<SlotEvent> out);

  // --- what it knows ---

  const regs::SlotRow& row(std::uint16_t slot) const { return rows_[slot]; }
  const SlotStats& stats(std::uint16_t slot) const { return stats_[slot]; }
  std::uint64_t counter(regs::Counter counter) const { return counters_[static_cast<std::size_t>(counter)]; }
  std::size_t slots() const { return rows_.size(); }
  std::size_t links() const { return links_.size(); }

 private:
  struct Link {
    LinkParameters config;
    bool up = false;
    bool blocked = false;
    Bitmap members;  ///< slots bound over this link
    Bitmap parked;   ///< ready slots that wait for the carrier
    LinkFlow flow;
  };
  /// What congestion control keeps of a slot beside its row. Times are of sendings.
  struct Sending {
    Microseconds began_us = 0;  ///< not after the oldest line in flight was sent, or as little before as is known
    Microseconds last_us = 0;   ///< of the newest line
    Position again_until = 0;   ///< lines before this position may have been sent twice
    Microseconds nak_us = 0;    ///< when a NAK made the slot go back
    std::uint16_t granted = 0;  ///< lines that the slot, woken from its link's queue, may send
    bool nak_waits = false;     ///< nothing was acknowledged since
    bool overtaken = false;     ///< it went back because others were delivered, and nothing was acknowledged since
    bool owes_answer = false;
  };

  void count(regs::Counter counter, std::uint64_t n = 1) { counters_[static_cast<std::size_t>(counter)] += n; }
  bool discard(regs::Counter cause) {
    count(cause);
    return false;
  }
  void install(std::uint16_t slot, const SlotMemory& memory, Microseconds now);
  void stop(std::uint16_t slot, regs::SlotState state, regs::Fault cause);
  void quiet(std::uint16_t slot);
  void make_ready(std::uint16_t slot) { ready_.set(slot); }
  void start_tx_timer(std::uint16_t slot, Microseconds now);
  void stop_tx_timer(std::uint16_t slot);
  void stop_ack_timer(std::uint16_t slot);
  void update_timer_bit(std::uint16_t slot);
  Microseconds timeout_of(const regs::SlotRow& row) const;
  std::uint32_t sendable(const regs::SlotRow& row, const SlotMemory& memory) const;
  bool next_frame(std::uint16_t slot, TxFrame& out, Microseconds now);
  std::uint32_t due_lines(std::uint16_t slot, Link& link, Microseconds now);
  std::uint8_t control_flags(std::uint16_t slot, const Header& header, std::uint32_t lines, bool again,
                             Microseconds now);
  void drop_grant(std::uint16_t slot);
  bool waits_for_link(std::uint16_t slot) const;
  void room_made(std::uint16_t link);
  void wake_links(Microseconds now);
  void wake_waiting(std::uint16_t link, Microseconds now);
  void go_back(std::uint16_t slot, Loss loss, Microseconds now);
  void look_for_loss(std::uint16_t slot, Microseconds& earliest, Microseconds now);
  void tx_timer_ran_out(std::uint16_t slot, Microseconds now);
  LinkFlow* flow_of(std::uint16_t slot);
  void leave_flight(std::uint16_t slot);
  void take_control_flags(std::uint16_t slot, const Header& header, bool in_range, Microseconds now);
  void see_round(std::uint16_t link) {
    if (links_[link].flow.round_over()) rounds_.set(link);
  }
  void on_acked(std::uint16_t slot, std::uint32_t acked, bool before_sent_again, Microseconds now);
  void take_ack(std::uint16_t slot, const Header& header, Microseconds now);
  void take_lines(std::uint16_t slot, const Header& header, std::span<const std::byte> payload, Microseconds now);
  void write_lines(std::uint16_t slot, std::span<const std::byte> payload);

  std::span<regs::SlotRow> rows_;
  std::vector<SlotMemory> memory_;
  std::vector<SlotStats> stats_;
  std::vector<Sending> sending_;
  std::vector<Link> links_;
  Bitmap ready_, timers_, moved_, events_;
  Bitmap room_, paced_, rounds_;  ///< links: room for slots that wait, slots that wait for tokens, rounds that are over
  std::size_t ready_cursor_ = 0, timer_cursor_ = 0;
  std::array<std::uint64_t, regs::kCounterCount> counters_{};
};

}  // namespace slotwire::pipeline
