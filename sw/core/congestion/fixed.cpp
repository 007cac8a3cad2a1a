// A stated rate, whatever the network does: for paths that belong to the link alone.
#include <algorithm>

#include "core/congestion/algorithm.hpp"

namespace slotwire::congestion {
namespace {

constexpr std::uint64_t kLineBits = 512;
/// The window lets the rate flow for this much longer than a round trip, so that the pace alone limits it.
constexpr Microseconds kSpareUs = 10'000;

std::uint32_t pace(const State& state, const Round& /*round*/) {
  const std::uint64_t pace = (state.settings.rate_bits << kPaceBits) / kLineBits / 1'000'000;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(pace, 1, ~std::uint32_t{0}));
}

void fit(State& state, const Round& round) {
  const std::uint64_t lines = (std::uint64_t{pace(state, round)} * (2 * round.srtt_us + kSpareUs)) >> kPaceBits;
  state.window =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(lines + first_window(round.frame_lines), kMaxWindow));
}

void quiet(State& state, const Round& round, bool /*limited*/) {
  fit(state, round);
}

void start(State& state) {
  state.threshold = 0;
}

void silent(State& state, const Round& round) {
  state.window = least_window(round.frame_lines);
}

}  // namespace

const Algorithm kFixed{
    .name = "fixed", .start = start, .quiet = quiet, .lost = fit, .marked = fit, .silent = silent, .pace = pace};

}  // namespace slotwire::congestion
