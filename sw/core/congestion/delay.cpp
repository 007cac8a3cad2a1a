// A target for the time that frames spend in queues, after Swift (Kumar et al., SIGCOMM 2020): grow below it, shrink by
// how far it is exceeded above it. For networks that do not share queues with senders who fill them.
//
// Swift grows by one frame a round, which suits round trips of microseconds; over 20 ms and 200 Mb/s it takes a minute
// to double. Here the step grows by a frame with each round in a row that sees no queue, as TIMELY's does (Mittal et
// al., SIGCOMM 2015): links of equal history take equal steps, so shares even out as before.
#include <algorithm>

#include "core/congestion/algorithm.hpp"

namespace slotwire::congestion {
namespace {

/// The least factor of one decrease, and how strongly an excess counts (0.8), both of 256.
constexpr std::uint32_t kMostDecrease = 128, kBeta = 205, kOne = 256;
/// The largest step of growth, in frames.
constexpr std::uint8_t kMostCalm = 64;
/// A part of a round trip in which frames leave together, and the most of it that counts.
constexpr std::uint32_t kBurstsOfRtt = 128;
constexpr Microseconds kMostBurst = 2'000;

void start(State& state) {
  state.threshold = kMaxWindow;
}

/// What a frame waits for the link's own frames that left together with it, if the path is as fast as the link: one
/// frame, or that part of a round trip. It would not wait less if the link sent less. Found in simulation: without it
/// windows stood still at half of the path.
Microseconds own_burst(const State& state, const Round& round) {
  if (round.srtt_us < kLeastPacedRtt) return 0;
  const std::uint64_t frame = std::uint64_t{round.frame_lines} * round.srtt_us / std::max(state.window, 1U);
  return static_cast<Microseconds>(
      std::min<std::uint64_t>(std::max<std::uint64_t>(frame, round.srtt_us / kBurstsOfRtt), kMostBurst));
}

/// What is above the least round trip was spent in queues.
Microseconds queueing(const State& state, const Round& round) {
  const Microseconds none = round.least_us + own_burst(state, round);
  return round.rtt_us > none ? round.rtt_us - none : 0;
}

void shrink_to(State& state, std::uint32_t factor, const Round& round) {
  const auto window = static_cast<std::uint32_t>(std::uint64_t{state.window} * factor / kOne);
  state.window = std::max(window, least_window(round.frame_lines));
  state.threshold = state.window;
  state.calm_rounds = 0;
}

void quiet(State& state, const Round& round, bool limited) {
  if (round.rtt_us == 0) return;
  const Microseconds target = state.settings.target_delay_us;
  const Microseconds queue = queueing(state, round);
  if (queue > target) {
    // Swift: 1 - beta * (delay - target) / delay, with the whole delay.
    const auto excess = static_cast<std::uint32_t>(std::uint64_t{queue - target} * kBeta / round.rtt_us);
    return shrink_to(state, kOne - std::min(excess, kMostDecrease), round);
  }
  if (!limited) return;
  if (state.window < state.threshold) {
    if (queue <= target / 2) {
      state.window += std::min(round.acked, state.window);
      return;
    }
    state.threshold = state.window;
  }
  const bool calm = queue <= target / 2;
  state.calm_rounds = calm ? std::min<std::uint8_t>(state.calm_rounds + 1, kMostCalm) : std::uint8_t{1};
  state.window += std::uint32_t{round.frame_lines} * state.calm_rounds;
}

void lost(State& state, const Round& round) {
  shrink_to(state, kOne - kMostDecrease, round);
}

void marked(State& state, const Round& round) {
  shrink_to(state, kOne - state.alpha * kOne / 2048, round);
}

void silent(State& state, const Round& round) {
  state.threshold = std::max(state.window / 2, least_window(round.frame_lines));
  state.window = least_window(round.frame_lines);
  state.calm_rounds = 0;
}

std::uint32_t pace(const State& state, const Round& round) {
  return pace_of(state.window, round.srtt_us, state.window < state.threshold ? 8 : 4);
}

}  // namespace

const Algorithm kDelay{
    .name = "delay", .start = start, .quiet = quiet, .lost = lost, .marked = marked, .silent = silent, .pace = pace};

}  // namespace slotwire::congestion
