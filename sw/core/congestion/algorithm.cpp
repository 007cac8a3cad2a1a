#include "core/congestion/algorithm.hpp"

#include <algorithm>
#include <array>

#include "core/congestion/decide.hpp"

namespace slotwire::congestion {
namespace {

/// Share of marked frames: a sixteenth of what is new in each round (RFC 8257, g = 1/16). 10 fraction bits.
constexpr unsigned kAlphaShift = 4;
constexpr std::uint32_t kAllMarked = 1024;

constexpr std::array<const Algorithm*, 3> kAlgorithms{&kCubic, &kDelay, &kFixed};

/// The share moves in every round that sent frames, marked or not.
void take_marks(State& state, const Round& round) {
  if (round.frames == 0) return;
  const auto share =
      static_cast<std::uint32_t>(std::uint64_t{std::min(round.marked, round.frames)} * kAllMarked / round.frames);
  state.alpha = state.alpha - (state.alpha >> kAlphaShift) + (share >> kAlphaShift);
  if (share != 0 && state.alpha == 0) state.alpha = 1;
}

void keep_for_undo(State& state, const Round& round) {
  state.window_before = state.window;
  state.threshold_before = state.threshold;
  // Only a NAK can be wrong about a loss.
  state.can_undo = round.lost_link == 0 && round.lost_timeout == 0 && round.marked == 0;
}

}  // namespace

const Algorithm& algorithm(Kind kind) {
  return *kAlgorithms[static_cast<std::size_t>(kind)];
}

const Algorithm* find_algorithm(std::string_view name, Kind& kind) {
  for (std::size_t i = 0; i < kAlgorithms.size(); ++i) {
    if (kAlgorithms[i]->name != name) continue;
    kind = static_cast<Kind>(i);
    return kAlgorithms[i];
  }
  return nullptr;
}

std::string_view name_of(Limit limit) {
  switch (limit) {
    case Limit::application:
      return "application";
    case Limit::peer:
      return "peer";
    case Limit::pace:
      return "pace";
    case Limit::window:
      return "window";
  }
  return "unknown";
}

std::uint32_t cube_root(std::uint64_t value) {
  std::uint64_t root = 0;
  for (std::uint64_t bit = std::uint64_t{1} << 21; bit != 0; bit >>= 1) {
    const std::uint64_t tried = root | bit;
    if (tried * tried <= value / tried) root = tried;
  }
  return static_cast<std::uint32_t>(root);
}

std::uint32_t pace_of(std::uint32_t window, Microseconds srtt_us, std::uint32_t quarters) {
  if (srtt_us < kLeastPacedRtt) return 0;
  const std::uint64_t pace = ((std::uint64_t{window} << kPaceBits) * quarters / 4) / srtt_us;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(pace, 1, ~std::uint32_t{0}));
}

Decision start(State& state, const Settings& settings, std::uint16_t frame_lines) {
  state = {};
  state.settings = settings;
  state.window = first_window(frame_lines);
  algorithm(settings.kind).start(state);
  return {.window = state.window, .pace = 0};
}

Decision decide(State& state, const Round& round) {
  return decide_by(algorithm(state.settings.kind), state, round);
}

Decision decide_by(const Algorithm& by, State& state, const Round& round) {
  take_marks(state, round);
  if (round.idle) state.window = std::min(state.window, first_window(round.frame_lines));
  if (round.silent) {
    state.can_undo = false;
    by.silent(state, round);
  } else if (round.loss && !round.reordered) {
    keep_for_undo(state, round);
    by.lost(state, round);
  } else if (round.reordered && state.can_undo) {
    state.window = std::max(state.window, state.window_before);
    state.threshold = std::max(state.threshold, state.threshold_before);
    state.can_undo = false;
  } else if (round.marked != 0) {
    state.can_undo = false;
    by.marked(state, round);
  } else if (!round.recovering) {
    by.quiet(state, round,
             round.limit == Limit::window || (round.limit == Limit::pace && round.peak >= state.window / 2));
  }
  state.window = std::clamp(state.window, least_window(round.frame_lines), kMaxWindow);
  return {.window = state.window, .pace = by.pace(state, round)};
}

}  // namespace slotwire::congestion
