// What a link under congestion control may send, and what is measured of it (docs/protocol.md, C1 to C10).
//
// Belongs to the pipeline, which knows slots and frames; here are only counts and times of the link as a whole.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/congestion/algorithm.hpp"
#include "core/pipeline/bitmap.hpp"
#include "core/slot/ring.hpp"

namespace slotwire::pipeline {

using slot::Position;
using Microseconds = std::uint32_t;

/// Timers of a link that its measured round trip sets bounds to; those of LinkParameters.
struct FlowTimes {
  Microseconds retransmit_us = 10'000;
  Microseconds retransmit_max_us = 1'000'000;
  Microseconds ack_delay_us = 1'000;
};

/// What people may want to know of a link's flow. Monotonic counts since the link was first controlled.
struct FlowReport {
  std::uint32_t window = 0, inflight = 0;  ///< lines
  std::uint32_t pace = 0;                  ///< as congestion::Decision
  Microseconds srtt_us = 0, least_us = 0, timeout_us = 0;
  std::uint64_t lost_nak = 0, lost_link = 0, lost_timeout = 0;  ///< lines sent again, by how the loss was found
  std::uint64_t marked = 0;                                     ///< frames
  std::uint64_t rounds = 0, reordered = 0, wrong = 0, tail_probes = 0;
  congestion::Limit limit = congestion::Limit::application;  ///< of the last round

  /// Windows, paces and counts are sums; times stay those of the first.
  void add(const FlowReport& other);
};

/// How lines were found lost.
enum class Loss : std::uint8_t { nak, link, timeout };

/// A frame whose answer is waited for, or none.
struct TimedFrame {
  bool waits = false;
  bool probe = false;  ///< a frame without lines: only an answer ends it
  std::uint16_t slot = 0;
  Position end = 0;  ///< of its lines
  Microseconds sent_us = 0;
  bool probed = false;  ///< its slot sent a probe since, at probed_us
  Microseconds probed_us = 0;
};

class LinkFlow {
 public:
  /// Lines in flight are counted whether the link is controlled or not.
  std::uint32_t inflight() const { return inflight_; }
  void add(std::uint32_t lines) { inflight_ += lines; }
  void remove(std::uint32_t lines) { inflight_ -= lines; }

  bool on() const { return on_; }
  /// From now on the link is controlled, with memory for the slots that wait, or it is not any more.
  void control(bool on, std::size_t slots);
  void set_times(const FlowTimes& times, std::uint16_t frame_lines);
  /// Frames flow (again), maybe over another path: what was measured of the old one is forgotten.
  void restart(Microseconds now);

  // --- what may be sent ---

  void set(const congestion::Decision& decision, Microseconds now);
  /// So many lines may leave, beside those in flight and those that were granted to slots.
  bool fits(std::uint32_t lines, Microseconds now);
  /// Nothing but the pace keeps the next frame.
  bool short_of_tokens() const { return short_of_tokens_; }
  void grant(std::uint32_t lines) { granted_ += lines; }
  void take_grant(std::uint32_t lines) { granted_ -= lines; }
  std::uint32_t granted() const { return granted_; }

  /// Slots that have lines to send and wait for the link, and whose turn is next.
  std::optional<Bitmap> waiting;
  std::size_t cursor = 0;

  // --- frames ---

  /// A frame leaves. Returns the flags of its header, but for an answer.
  std::uint8_t on_frame(Microseconds now);
  /// A data frame leaves, its lines counted in flight already. Returns true when it is to be timed: it asks for an
  /// answer.
  bool on_lines(std::uint32_t lines, bool again, std::uint16_t slot, Position end, Microseconds now);
  void on_probe(std::uint16_t slot, Microseconds now);
  /// The ring of the peer kept a slot from sending more.
  void on_peer_full() { peer_full_ = true; }
  void on_held() { held_ = true; }
  /// Frames arrived with a congestion mark; the peer is told.
  void on_marked(std::uint32_t frames) { to_tell_ += frames; }
  /// The peer says that so many frames did.
  void on_told(std::uint32_t frames) {
    round_.marked += frames;
    report_.marked += frames;
  }

  // --- acknowledgements and losses ---

  /// Lines were acknowledged.
  void on_acked(std::uint32_t lines, Microseconds now);
  /// A frame of the timed slot came, which acknowledges up to `ack`.
  void on_answer(bool answers, Position ack, Microseconds now);
  bool times(std::uint16_t slot) const { return timed_.waits && timed_.slot == slot; }
  /// What was timed cannot be told from what is sent again (Karn).
  void drop_timing() { timed_.waits = false; }
  /// Lines that left flight for good without being acknowledged: their slot stopped.
  void on_abandoned(std::uint32_t lines) { passed_ += lines; }
  /// Lines are going to be sent again.
  void on_lost(Loss loss, std::uint32_t lines);
  /// What a NAK called lost arrived by itself.
  void on_reordered() {
    ++report_.reordered;
    reordered_ = over_ = true;
  }
  /// Lines that were called lost because later ones were delivered were acknowledged before they were sent again: their
  /// acknowledgement only took longer.
  void on_wrongly_lost() {
    ++report_.wrong;
    reordered_ = over_ = true;
    if (patience_ < kMostPatience) patience_ *= 2;
    set_reorder_window();
  }
  /// A slot timed out. In silence: nothing was acknowledged on the link for as long.
  void on_timeout(Microseconds now);
  /// A frame that was sent at `sent_us` was delivered.
  void on_delivered(Microseconds sent_us) {
    if (!any_delivered_ || static_cast<std::int32_t>(sent_us - delivered_us_) > 0) delivered_us_ = sent_us;
    any_delivered_ = true;
  }
  /// A frame sent at `sent_us`, not acknowledged, is lost: later ones were delivered.
  bool is_overtaken(Microseconds sent_us) const {
    return any_delivered_ && static_cast<std::int32_t>(delivered_us_ - sent_us) > static_cast<std::int32_t>(window_us_);
  }
  /// When a probe is due for lines that were sent at `sent_us`, as long as nothing is heard; none: none.
  std::optional<Microseconds> tail_probe_at(Microseconds sent_us) const;
  void on_tail_probe() {
    tail_probed_ = true;
    ++report_.tail_probes;
  }

  Microseconds timeout_us() const { return timeout_us_; }
  Microseconds least_us() const { return least_us_ < least_before_us_ ? least_us_ : least_before_us_; }
  bool measured() const { return srtt8_ != 0; }

  // --- rounds ---

  /// The round is over, or a loss or a timeout wants a decision at once.
  bool round_over() const { return over_ || static_cast<std::int32_t>(passed_ - goal_) >= 0; }
  /// What was measured; the next round begins.
  congestion::Round take_round(Microseconds now);
  /// Timeouts in silence in a row.
  std::uint32_t silences() const { return silences_; }
  FlowReport report() const;

 private:
  void sample(Microseconds rtt_us, Microseconds now);
  void set_reorder_window();
  void refill(Microseconds now);

  bool on_ = false;
  bool short_of_tokens_ = false;
  std::uint32_t inflight_ = 0, granted_ = 0;
  std::uint32_t window_ = 0, pace_ = 0;
  std::uint16_t frame_lines_ = 1;
  FlowTimes times_;
  // The bucket: lines with congestion::kPaceBits fraction bits.
  std::uint64_t tokens_ = 0, bucket_ = 0;
  Microseconds filled_us_ = 0;

  TimedFrame timed_;
  Microseconds asked_us_ = 0;
  bool asked_ = false, peer_answers_ = false;
  Microseconds srtt8_ = 0, var4_ = 0;  ///< srtt times 8, variation times 4
  Microseconds timeout_us_ = 0, window_us_ = 0;
  /// How often the reorder window has doubled since it was too short, as a factor.
  static constexpr std::uint32_t kMostPatience = 64;
  std::uint32_t patience_ = 1;
  static constexpr Microseconds kNever = ~Microseconds{0};
  Microseconds least_us_ = kNever, least_before_us_ = kNever, least_since_us_ = 0;

  bool any_delivered_ = false, tail_probed_ = false;
  Microseconds delivered_us_ = 0, heard_us_ = 0, active_us_ = 0, silence_us_ = 0;
  std::uint32_t silences_ = 0;
  std::uint32_t to_tell_ = 0;

  // The round.
  std::uint32_t passed_ = 0, goal_ = 1;  ///< lines that left flight for good
  std::uint32_t recovered_ = 0;          ///< passed_ when the lines in flight at the last loss have left it
  bool recovering_ = false, loss_ = false, over_ = false, silent_ = false, reordered_ = false, idle_ = false;
  bool held_ = false, pace_held_ = false, peer_full_ = false;
  Microseconds began_us_ = 0, round_rtt_us_ = 0;
  congestion::Round round_;
  FlowReport report_;
};

}  // namespace slotwire::pipeline
