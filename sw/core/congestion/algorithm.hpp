// Congestion control of one link in one direction: what is measured once a round, what is decided, and by whom.
//
// The pipeline measures and enforces (docs/protocol.md, C1 to C12); an algorithm decides. Everything is an integer, and
// one decision a round is all there is, so that gates can do the same.
#pragma once
#include <cstdint>
#include <string_view>

namespace slotwire::congestion {

using Microseconds = std::uint32_t;

/// Fraction bits of a pace: lines per microsecond.
inline constexpr unsigned kPaceBits = 20;
/// The largest window, in lines.
inline constexpr std::uint32_t kMaxWindow = 1U << 18;
/// Round trips below this are not paced: a sender in software wakes too rarely to space frames within one.
inline constexpr Microseconds kLeastPacedRtt = 400;

enum class Kind : std::uint8_t { cubic, delay, fixed };

/// What the configuration says.
struct Settings {
  Kind kind = Kind::cubic;
  Microseconds target_delay_us = 1'000;     ///< of `delay`: queueing time that is aimed at
  std::uint64_t rate_bits = 1'000'000'000;  ///< of `fixed`: bits of payload in a second
};

/// What kept a link from sending more.
enum class Limit : std::uint8_t { application, peer, pace, window };

/// What was measured since the last decision. Lines that are sent again count as lost.
struct Round {
  Microseconds now_us = 0;
  Microseconds length_us = 0;
  std::uint16_t frame_lines = 22;                               ///< most lines in a frame of this link
  Microseconds rtt_us = 0;                                      ///< the least of this round; 0: none was measured
  Microseconds srtt_us = 0;                                     ///< smoothed; 0: never measured
  Microseconds least_us = 0;                                    ///< the least of the last seconds; 0: never measured
  std::uint32_t acked = 0;                                      ///< lines
  std::uint32_t peak = 0;                                       ///< most lines in flight
  std::uint32_t frames = 0;                                     ///< sent, of any type
  std::uint32_t marked = 0;                                     ///< frames that the peer got with a congestion mark
  std::uint32_t lost_nak = 0, lost_link = 0, lost_timeout = 0;  ///< lines, by how the loss was found
  std::uint32_t losses = 0;                                     ///< how often lines had to be sent again
  std::uint32_t silences = 0;  ///< timeouts in a row without anything acknowledged on the link in between
  Microseconds silent_us = 0;  ///< since something was acknowledged, while lines wait for it
  bool loss = false;           ///< something was lost, and nothing of what was in flight when the loss before was found
  bool recovering = false;     ///< lines are on their way that were in flight when a loss was found
  bool silent = false;         ///< a timeout came and nothing had been acknowledged on the whole link meanwhile
  bool reordered = false;      ///< what a NAK called lost in the round before had only been overtaken
  bool idle = false;           ///< nothing was in flight for longer than a timeout before this round
  Limit limit = Limit::application;
};

/// What the link may do until the next decision.
struct Decision {
  std::uint32_t window = 0;  ///< lines in flight
  std::uint32_t pace = 0;    ///< lines per microsecond with kPaceBits fraction bits; 0: no limit
};

/// Of one link. A plain value; each algorithm uses what it needs.
struct State {
  Settings settings;
  std::uint32_t window = 0;              ///< lines
  std::uint32_t threshold = kMaxWindow;  ///< slow start ends here
  // What to go back to when a loss turns out to be none.
  std::uint32_t window_before = 0, threshold_before = 0;
  bool can_undo = false;
  // HyStart++ (RFC 9406).
  Microseconds last_round_rtt_us = 0, css_baseline_us = 0;
  std::uint8_t css_rounds = 0;
  // CUBIC (RFC 9438).
  std::uint32_t w_max = 0;  ///< lines
  std::uint32_t w_est = 0;  ///< what Reno would have; lines with 8 fraction bits
  std::uint32_t w_before_loss = 0;
  std::uint32_t k_ms = 0;       ///< from the decrease to w_max
  std::uint64_t grown_us = 0;   ///< since the decrease, in rounds that the window limited
  bool answered_marks = false;  ///< marks of this round are of frames that were sent before the last decrease
  // Marks: their share, smoothed, with 10 fraction bits.
  std::uint32_t alpha = 1024;
  // delay: rounds in a row without a queue to speak of.
  std::uint8_t calm_rounds = 0;
};

/// The least and the first window of a link with frames of so many lines: two frames, and ten of ordinary size.
constexpr std::uint32_t least_window(std::uint32_t frame_lines) {
  return 2 * frame_lines;
}
constexpr std::uint32_t first_window(std::uint32_t frame_lines) {
  const std::uint32_t two = 2 * frame_lines, ten = 10 * frame_lines;
  const std::uint32_t most = two > 220 ? two : 220;
  return ten < most ? ten : most;
}

/// One algorithm: a table of functions, in a file of its own.
struct Algorithm {
  std::string_view name;
  /// The link begins, or takes another path. `window` is set by the caller.
  void (*start)(State& state);
  /// Nothing was lost or marked. `limited`: the window kept the link from sending more.
  void (*quiet)(State& state, const Round& round, bool limited);
  /// Lines were lost, for the first time in this round.
  void (*lost)(State& state, const Round& round);
  /// Frames were marked.
  void (*marked)(State& state, const Round& round);
  /// A timeout in silence: the state of the network is not known any more.
  void (*silent)(State& state, const Round& round);
  /// The pace that goes with the window; 0: none.
  std::uint32_t (*pace)(const State& state, const Round& round);
};

const Algorithm& algorithm(Kind kind);
/// Null: none has that name.
const Algorithm* find_algorithm(std::string_view name, Kind& kind);
std::string_view name_of(Limit limit);

extern const Algorithm kCubic, kDelay, kFixed;

/// The largest integer whose cube is not above `value`.
std::uint32_t cube_root(std::uint64_t value);
/// window / srtt, times `numerator` / 4.
std::uint32_t pace_of(std::uint32_t window, Microseconds srtt_us, std::uint32_t quarters);

/// Begins with the first window.
Decision start(State& state, const Settings& settings, std::uint16_t frame_lines);
/// The one decision of a round.
Decision decide(State& state, const Round& round);

}  // namespace slotwire::congestion
