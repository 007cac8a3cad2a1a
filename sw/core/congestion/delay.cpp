// A target for the time that frames spend in queues, after Swift (Kumar et al., SIGCOMM 2020): grow below it, shrink by
// how far it is exceeded above it. For networks that do not share queues with senders who fill them.
#include <algorithm>

#include "core/congestion/algorithm.hpp"

namespace slotwire::congestion {
namespace {

/// The least factor of one decrease, and how strongly an excess counts (0.8), both of 256.
constexpr std::uint32_t kMostDecrease = 128, kBeta = 205, kOne = 256;

void start(State& state) {
  state.threshold = kMaxWindow;
}

/// What is above the least round trip was spent in queues.
Microseconds queueing(const Round& round) {
  return round.rtt_us > round.least_us ? round.rtt_us - round.least_us : 0;
}

void shrink_to(State& state, std::uint32_t factor, const Round& round) {
  const auto window = static_cast<std::uint32_t>(std::uint64_t{state.window} * factor / kOne);
  state.window = std::max(window, least_window(round.frame_lines));
  state.threshold = state.window;
}

void quiet(State& state, const Round& round, bool limited) {
  if (round.rtt_us == 0) return;
  const Microseconds target = state.settings.target_delay_us;
  const Microseconds queue = queueing(round);
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
  state.window += round.frame_lines;
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
}

std::uint32_t pace(const State& state, const Round& round) {
  return pace_of(state.window, round.srtt_us, state.window < state.threshold ? 8 : 5);
}

}  // namespace

const Algorithm kDelay{
    .name = "delay", .start = start, .quiet = quiet, .lost = lost, .marked = marked, .silent = silent, .pace = pace};

}  // namespace slotwire::congestion
