#include "core/pipeline/flow.hpp"

#include <cstdlib>

#include "core/regs/regs.hpp"

namespace slotwire::pipeline {
namespace {

constexpr std::uint32_t kBurstFrames = 4;
/// The time that the bucket covers when that is more: a quarter of the round trip within these bounds. Whoever sends
/// may have to wait for a processor, and would lose for good what a smaller bucket did not hold meanwhile.
constexpr std::uint32_t kBurstUs = 128, kMostBurstUs = 8'000;
/// While little is in flight, frames are timed this often: each costs an acknowledgement of its own.
constexpr Microseconds kQuietAskUs = 10'000;
/// First timeout of a link whose round trip nobody knows (RFC 6298).
constexpr Microseconds kFirstTimeoutUs = 1'000'000;
/// A host whose processors are busy may leave a frame waiting for tens of milliseconds; what is lost is found sooner by
/// probes and by what overtakes it. As Linux's TCP.
constexpr Microseconds kLeastTimeoutUs = 200'000;
/// A link that sent nothing for longer, and for longer than its timeout, begins with a small window.
constexpr Microseconds kIdleUs = 100'000;
/// The least round trip is that of the last one or two such spans.
constexpr Microseconds kLeastSpanUs = 10'000'000;
/// Longer round trips are not believed.
constexpr Microseconds kMostRttUs = 1U << 26;
constexpr Microseconds kNoReorderWindow = 0x7fff'ffff;
/// A receiver that looks at its timers now and then acknowledges after so many ack delays at most.
constexpr Microseconds kAckDelays = 2;

bool later(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b) > 0;
}

}  // namespace

void FlowReport::add(const FlowReport& other) {
  window += other.window;
  inflight += other.inflight;
  pace += other.pace;
  lost_nak += other.lost_nak;
  lost_link += other.lost_link;
  lost_timeout += other.lost_timeout;
  marked += other.marked;
  rounds += other.rounds;
  reordered += other.reordered;
  wrong += other.wrong;
  tail_probes += other.tail_probes;
}

void LinkFlow::control(bool on, std::size_t slots) {
  if (on && !waiting) waiting.emplace(slots);
  on_ = on;
}

void LinkFlow::set_times(const FlowTimes& times, std::uint16_t frame_lines) {
  times_ = times;
  frame_lines_ = frame_lines;
  if (!measured()) timeout_us_ = std::max(times.retransmit_us, std::min(kFirstTimeoutUs, times.retransmit_max_us));
}

void LinkFlow::restart(Microseconds now) {
  window_ = congestion::first_window(frame_lines_);
  pace_ = 0;
  tokens_ = bucket_ = 0;
  filled_us_ = now;
  granted_ = 0;
  timed_ = {};
  asked_ = peer_answers_ = false;
  srtt8_ = var4_ = 0;
  timeout_us_ = std::max(times_.retransmit_us, std::min(kFirstTimeoutUs, times_.retransmit_max_us));
  window_us_ = kNoReorderWindow;
  least_us_ = least_before_us_ = kNever;
  patience_ = 1;
  any_delivered_ = tail_probed_ = false;
  heard_us_ = active_us_ = silence_us_ = now;
  silences_ = 0;
  goal_ = passed_ + 1;
  recovered_ = passed_;
  recovering_ = loss_ = over_ = silent_ = reordered_ = idle_ = held_ = pace_held_ = peer_full_ = false;
  began_us_ = now;
  round_rtt_us_ = 0;
  round_ = {};
}

void LinkFlow::refill(Microseconds now) {
  const std::uint64_t since = static_cast<std::int32_t>(now - filled_us_) > 0 ? now - filled_us_ : 0;
  tokens_ = std::min(bucket_, tokens_ + since * pace_);
  filled_us_ = now;
}

void LinkFlow::set(const congestion::Decision& decision, Microseconds now) {
  window_ = decision.window;
  if (decision.pace != 0) {
    const bool begins = pace_ == 0;
    if (!begins) refill(now);
    bucket_ = std::max(std::uint64_t{kBurstFrames} * frame_lines_ << congestion::kPaceBits,
                       std::uint64_t{decision.pace} * std::clamp<Microseconds>(srtt8_ / 32, kBurstUs, kMostBurstUs));
    if (begins) tokens_ = bucket_;
    tokens_ = std::min(tokens_, bucket_);
    filled_us_ = now;
  }
  pace_ = decision.pace;
}

bool LinkFlow::fits(std::uint32_t lines, Microseconds now) {
  short_of_tokens_ = false;
  const std::uint32_t busy = inflight_ + granted_;
  if (busy != 0 && busy + lines > window_) {
    held_ = true;
    return false;
  }
  if (pace_ == 0) return true;
  refill(now);
  short_of_tokens_ = tokens_ < std::uint64_t{granted_ + lines} << congestion::kPaceBits;
  if (short_of_tokens_) pace_held_ = true;
  return !short_of_tokens_;
}

std::uint8_t LinkFlow::on_frame(Microseconds now) {
  ++round_.frames;
  if (timed_.waits && now - timed_.sent_us > 2 * timeout_us_) timed_.waits = false;  // it is lost, or its answer is
  if (to_tell_ == 0) return 0;
  const std::uint32_t told = std::min<std::uint32_t>(to_tell_, regs::kHdrMarkedMax);
  to_tell_ -= told;
  return static_cast<std::uint8_t>(told << regs::kHdrMarkedShift);
}

bool LinkFlow::on_lines(std::uint32_t lines, bool again, std::uint16_t slot, Position end, Microseconds now) {
  if (inflight_ == lines) {  // nothing was in flight
    if (now - active_us_ > std::max(kIdleUs, timeout_us_)) {
      idle_ = true;
      window_ = std::min(window_, congestion::first_window(frame_lines_));
    }
    if (silences_ == 0) heard_us_ = now;  // what goes out again does not end a silence
  }
  active_us_ = now;
  round_.peak = std::max(round_.peak, inflight_);
  if (pace_ != 0) {
    const std::uint64_t cost = std::uint64_t{lines} << congestion::kPaceBits;
    tokens_ = tokens_ > cost ? tokens_ - cost : 0;
  }
  if (timed_.waits || again) return false;
  if (asked_ && inflight_ < window_ / 4 && now - asked_us_ < kQuietAskUs) return false;
  timed_ = {.waits = true, .probe = false, .slot = slot, .end = end, .sent_us = now};
  asked_us_ = now;
  asked_ = true;
  return true;
}

void LinkFlow::on_probe(std::uint16_t slot, Microseconds now) {
  if (timed_.waits && !tail_probed_) return;
  if (timed_.waits && timed_.slot == slot) {
    timed_.probed = true;
    timed_.probed_us = now;
    return;
  }
  timed_ = {.waits = true, .probe = true, .slot = slot, .sent_us = now};
}

void LinkFlow::on_acked(std::uint32_t lines, Microseconds now) {
  passed_ += lines;
  round_.acked += lines;
  heard_us_ = active_us_ = now;
  silences_ = 0;
  tail_probed_ = false;
  if (recovering_ && !later(recovered_, passed_)) recovering_ = false;
}

void LinkFlow::on_answer(bool answers, Position ack, Microseconds now) {
  const bool reached = !timed_.probe && !later(timed_.end, ack);
  if (!reached && !(answers && (timed_.probe || timed_.probed))) return;
  timed_.waits = false;
  tail_probed_ = false;
  if (answers) peer_answers_ = true;
  // What does not reach the lines answers the probe, since the lines have not come.
  const Microseconds sent_us = reached || timed_.probe ? timed_.sent_us : timed_.probed_us;
  on_delivered(sent_us);
  // Without the answer the acknowledgement may have waited for its timer; and with both on the way it may be either's.
  if ((answers || !peer_answers_) && !(reached && timed_.probed)) {
    sample(std::clamp<Microseconds>(now - sent_us, 1, kMostRttUs), now);
  }
}

void LinkFlow::sample(Microseconds rtt_us, Microseconds now) {
  if (srtt8_ == 0) {
    srtt8_ = rtt_us * 8;
    var4_ = rtt_us * 2;
    least_since_us_ = now;
  } else {
    const auto error = static_cast<std::int32_t>(rtt_us - srtt8_ / 8);
    srtt8_ += static_cast<std::uint32_t>(error);
    var4_ += static_cast<std::uint32_t>(std::abs(error)) - var4_ / 4;
  }
  srtt8_ = std::max<Microseconds>(srtt8_, 8);
  const Microseconds most = std::max(times_.retransmit_us, times_.retransmit_max_us);
  const Microseconds least = std::clamp(kLeastTimeoutUs, times_.retransmit_us, most);
  timeout_us_ = std::clamp(srtt8_ / 4 + var4_ + times_.ack_delay_us, least, most);
  set_reorder_window();
  if (now - least_since_us_ > kLeastSpanUs) {
    least_before_us_ = least_us_;
    least_us_ = kNever;
    least_since_us_ = now;
    patience_ = std::max(patience_ / 2, std::uint32_t{1});
  }
  least_us_ = std::min(least_us_, rtt_us);
  if (round_rtt_us_ == 0 || rtt_us < round_rtt_us_) round_rtt_us_ = rtt_us;
}

void LinkFlow::set_reorder_window() {
  // An acknowledgement that nobody asked for waits for the receiver's timer, and like an answer for its processor.
  window_us_ = std::min(patience_ * (srtt8_ / 32 + var4_ / 2 + kAckDelays * times_.ack_delay_us), timeout_us_ / 2);
}

void LinkFlow::on_lost(Loss loss, std::uint32_t lines) {
  switch (loss) {
    case Loss::nak:
      round_.lost_nak += lines;
      report_.lost_nak += lines;
      break;
    case Loss::link:
      round_.lost_link += lines;
      report_.lost_link += lines;
      break;
    case Loss::timeout:
      round_.lost_timeout += lines;
      report_.lost_timeout += lines;
      break;
  }
  if (lines == 0) return;
  ++round_.losses;
  if (recovering_) return;
  recovering_ = loss_ = over_ = true;
  recovered_ = passed_ + inflight_;
}

void LinkFlow::on_timeout(Microseconds now) {
  const Microseconds quiet_since = later(silence_us_, heard_us_) ? silence_us_ : heard_us_;
  if (now - quiet_since < timeout_us_) return;
  silence_us_ = now;
  ++silences_;
  silent_ = over_ = true;
}

std::optional<Microseconds> LinkFlow::tail_probe_at(Microseconds sent_us) const {
  if (!measured() || tail_probed_) return std::nullopt;
  return (later(sent_us, heard_us_) ? sent_us : heard_us_) + srtt8_ / 4 + kAckDelays * times_.ack_delay_us;
}

congestion::Round LinkFlow::take_round(Microseconds now) {
  congestion::Round round = round_;
  round.now_us = now;
  round.length_us = now - began_us_;
  round.frame_lines = frame_lines_;
  round.rtt_us = round_rtt_us_;
  round.srtt_us = srtt8_ / 8;
  round.least_us = least_us() == kNever ? 0 : least_us();
  round.silences = silences_;
  round.silent_us = inflight_ == 0 && silences_ == 0 ? 0 : now - heard_us_;
  round.loss = loss_;
  round.recovering = recovering_;
  round.silent = silent_;
  round.reordered = reordered_;
  round.idle = idle_;
  round.limit = held_        ? congestion::Limit::window
                : pace_held_ ? congestion::Limit::pace
                : peer_full_ ? congestion::Limit::peer
                             : congestion::Limit::application;
  report_.limit = round.limit;
  ++report_.rounds;
  round_ = {};
  round_.peak = inflight_;
  began_us_ = now;
  round_rtt_us_ = 0;
  loss_ = over_ = silent_ = reordered_ = idle_ = held_ = pace_held_ = peer_full_ = false;
  // A link that the window does not limit needs no decision in every round trip.
  goal_ = passed_ + std::max({inflight_, window_ / 8, std::uint32_t{1}});
  return round;
}

FlowReport LinkFlow::report() const {
  FlowReport report = report_;
  report.window = window_;
  report.inflight = inflight_;
  report.pace = pace_;
  report.srtt_us = srtt8_ / 8;
  report.least_us = least_us() == kNever ? 0 : least_us();
  report.timeout_us = timeout_us_;
  return report;
}

}  // namespace slotwire::pipeline
