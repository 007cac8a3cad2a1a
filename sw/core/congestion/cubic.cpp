// CUBIC (RFC 9438) with HyStart++ (RFC 9406), one decision a round.
#include <algorithm>
#include <utility>

#include "core/congestion/algorithm.hpp"

namespace slotwire::congestion {
namespace {

// RFC 9438: beta is 0.7 (179/256), C is 0.4; the unit of C is a full frame.
constexpr std::uint32_t kBeta = 179, kBetaOne = 256;
constexpr std::uint64_t kCTenths = 4;
/// Times beyond that from the plateau change nothing that matters.
constexpr std::uint64_t kMostMs = 100'000;
/// HyStart++: how much the least round trip of a round rises before slow start is left, and for how many rounds growth
/// is a quarter of it then. The RFC's least rise is 4 ms; networks with round trips below 1 ms need less.
constexpr Microseconds kLeastRise = 4'000, kMostRise = 16'000;
constexpr unsigned kCssRounds = 5;
constexpr unsigned kEstimateBits = 8;

bool in_slow_start(const State& state) {
  return state.window < state.threshold;
}

void begin_avoidance(State& state, std::uint32_t w_max, const Round& round) {
  state.w_max = w_max;
  state.grown_us = 0;
  state.w_est = state.window << kEstimateBits;
  const std::uint64_t to_climb = w_max > state.window ? w_max - state.window : 0;
  // K = cbrt((w_max - window) / C), in frames and seconds.
  state.k_ms = cube_root(to_climb * 10'000'000'000U / (kCTenths * round.frame_lines));
}

/// W(t) = C (t - K)^3 + w_max, in lines.
std::uint32_t cubic_window(const State& state, std::uint64_t at_ms, const Round& round) {
  const bool before = at_ms < state.k_ms;
  const std::uint64_t away = std::min(before ? state.k_ms - at_ms : at_ms - state.k_ms, kMostMs);
  const std::uint64_t lines = away * away * away / 1'000'000'000U * kCTenths * round.frame_lines / 10;
  // What the first division loses matters when the cube is small.
  const std::uint64_t rest = away * away * away % 1'000'000'000U * kCTenths * round.frame_lines / 10'000'000'000U;
  if (before) return state.w_max > lines + rest ? state.w_max - static_cast<std::uint32_t>(lines + rest) : 0;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(state.w_max + lines + rest, kMaxWindow));
}

void start(State& state) {
  state.threshold = kMaxWindow;
}

void leave_slow_start(State& state, const Round& round) {
  state.threshold = state.window;
  state.css_rounds = 0;
  begin_avoidance(state, state.window, round);
}

void grow_in_slow_start(State& state, const Round& round) {
  const std::uint32_t grown = std::min(round.acked, state.window);
  const Microseconds last = state.last_round_rtt_us;
  if (round.rtt_us != 0) state.last_round_rtt_us = round.rtt_us;
  if (state.css_rounds != 0) {
    if (round.rtt_us != 0 && round.rtt_us < state.css_baseline_us) {
      state.css_rounds = 0;  // the rise was none
    } else if (++state.css_rounds > kCssRounds) {
      return leave_slow_start(state, round);
    }
  } else if (round.rtt_us != 0 && last != 0 && round.rtt_us >= last + std::clamp(last / 8, kLeastRise, kMostRise)) {
    state.css_rounds = 1;
    state.css_baseline_us = round.rtt_us;
  }
  state.window += state.css_rounds != 0 ? grown / 4 : grown;
  if (!in_slow_start(state)) begin_avoidance(state, state.w_max > state.window ? state.w_max : state.window, round);
}

void quiet(State& state, const Round& round, bool limited) {
  state.answered_marks = false;
  if (!limited) return;
  if (in_slow_start(state)) return grow_in_slow_start(state, round);
  // Never less than what Reno with the same decrease would have: about half a frame a round, also when it is where it
  // was before the loss. RFC 9438 has a frame then; Linux has not, and on short paths a link would get several times
  // as much as a flow of Linux beside it.
  state.w_est = std::min(state.w_est + (std::uint32_t{round.frame_lines} << kEstimateBits) * 9 / 17,
                         kMaxWindow << kEstimateBits >> 1);
  state.grown_us += round.length_us;
  const std::uint64_t at_ms = (state.grown_us + round.srtt_us) / 1'000;
  const std::uint32_t most = state.window + state.window / 2;
  const std::uint32_t cubic = std::min(cubic_window(state, at_ms, round), most);
  state.window = std::max({state.window, cubic, state.w_est >> kEstimateBits});
}

void decrease(State& state, std::uint32_t to, const Round& round) {
  const std::uint32_t before = state.window;
  // Fast convergence: a link that does not get back to where it was gives room to others.
  const std::uint32_t w_max = before < state.w_before_loss ? before * (kBetaOne + kBeta) / (2 * kBetaOne) : before;
  state.w_before_loss = before;
  state.window = std::max(to, least_window(round.frame_lines));
  state.threshold = state.window;
  state.css_rounds = 0;
  begin_avoidance(state, w_max, round);
}

void lost(State& state, const Round& round) {
  state.answered_marks = true;
  decrease(state, state.window * kBeta / kBetaOne, round);
}

/// As a loss (RFC 3168, section 6.1.2), for once: flows beside this one that are not told how many frames were marked
/// do so, and a link that takes the share of marked frames (RFC 8257) would leave them nothing.
void marked(State& state, const Round& round) {
  if (std::exchange(state.answered_marks, !state.answered_marks)) return;  // of frames sent before the decrease
  const std::uint32_t to = state.window * kBeta / kBetaOne;
  decrease(state, to, round);
}

void silent(State& state, const Round& round) {
  const std::uint32_t before = state.window;
  lost(state, round);
  state.threshold = std::max(before * kBeta / kBetaOne, least_window(round.frame_lines));
  state.window = least_window(round.frame_lines);
  state.last_round_rtt_us = 0;
}

std::uint32_t pace(const State& state, const Round& round) {
  return pace_of(state.window, round.srtt_us, in_slow_start(state) ? 8 : 5);
}

}  // namespace

const Algorithm kCubic{
    .name = "cubic", .start = start, .quiet = quiet, .lost = lost, .marked = marked, .silent = silent, .pace = pace};

}  // namespace slotwire::congestion
