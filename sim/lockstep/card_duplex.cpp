// card-duplex: the RTL card with both directions of its wire full (full_duplex.hpp).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>

#include "sim/card/sim_core.hpp"
#include "sim/lockstep/full_duplex.hpp"

namespace {
using namespace slotwire;

constexpr unsigned kSlots = 16;

struct Arguments {
  lockstep::FullDuplexOptions run;
  std::uint64_t first = 1, seeds = 1, seed = 0;
  double least_beats = 0;
};

double percent(const lockstep::FullDuplexResult& result, std::uint64_t beats) {
  return result.clocks == 0 ? 0.0 : 100.0 * static_cast<double>(beats) / static_cast<double>(result.clocks);
}

/// Exit 0: nothing was lost, and the beats suffice.
bool run(const Arguments& arguments, std::uint64_t seed) {
  lockstep::FullDuplexOptions options = arguments.run;
  options.seed = seed;
  const auto start = std::chrono::steady_clock::now();
  const lockstep::FullDuplexResult r = lockstep::full_duplex(options);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("seed %" PRIu64 ": %" PRIu64
              " clocks, memory of %s%u clocks, beats in %.2f %%, out %.2f %%, longest stall %" PRIu64
              "; frames with lines in %" PRIu64 ", out %" PRIu64 "; lines in %" PRIu64 ", out %" PRIu64 "; %" PRIu64
              " bindings, %" PRIu64 " other rows, %" PRIu64 " refused, %" PRIu64 " events, %" PRIu64
              " passed; at rest after %" PRIu64 " clocks; %.1f s\n",
              seed, r.clocks, options.memory_jumps ? "1 to " : "", options.memory_latency, percent(r, r.beats_in),
              percent(r, r.beats_out), r.longest_stall, r.frames_in, r.frames_out, r.lines_in, r.lines_out, r.bindings,
              r.rows_written, r.refused, r.events, r.passed, r.settled_clocks, seconds);
  if (!r.failure.empty()) {
    std::printf("seed %" PRIu64 ", %s\n", seed, r.failure.c_str());
    return false;
  }
  if (percent(r, std::min(r.beats_in, r.beats_out)) < arguments.least_beats) {
    std::printf("seed %" PRIu64 ": fewer beats than %.1f %%\n", seed, arguments.least_beats);
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app{
      "Runs the RTL card with both directions of its wire full: long and one-line frames mixed, slots freed and bound\n"
      "anew, rows written in between. Every line has to arrive once, in order, with its content. Exit 0: it did, 1: "
      "it\n"
      "did not, the card hung, or fewer beats were used than asked for, 2: a wrong call."};
  Arguments arguments;
  lockstep::FullDuplexOptions& options = arguments.run;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a run that an assertion ends has said what it knew
  app.set_version_flag("--version", SLOTWIRE_VERSION);
  app.add_option("--seeds", arguments.seeds, "How many seeds to run")->capture_default_str();
  app.add_option("--first", arguments.first, "The first of them")->capture_default_str();
  auto* one = app.add_option("--seed", arguments.seed, "Run this seed alone")->excludes("--seeds", "--first");
  app.add_option("--clocks", options.clocks, "Clocks with traffic")->capture_default_str();
  app.add_option("--memory-clocks", options.memory_latency, "Clocks of an access of slot memory; 2: on the chip")
      ->check(CLI::Range(1U, sim::SimCore::kMaxMemoryLatency))
      ->capture_default_str();
  app.add_flag("--memory-jumps", options.memory_jumps, "Each access takes from 1 to so many clocks");
  app.add_option("--host-stalls", options.host_stalls,
                 "Of 1000 clocks, those in which the host asks, sends and takes nothing")
      ->check(CLI::Range(0, 950))
      ->capture_default_str();
  app.add_option("--mac-stalls", options.mac_stalls,
                 "Of 1000 clocks, those in which the MAC sends nothing, and those in which it takes nothing")
      ->check(CLI::Range(0, 950))
      ->capture_default_str();
  app.add_option("--churn", options.churn_clocks, "Clocks from one binding to the next, 0: none")
      ->capture_default_str();
  app.add_option("--rows", options.row_clocks, "Clocks from one row that is written beside them to the next, 0: none")
      ->capture_default_str();
  app.add_option("--refuse", options.refuse_clocks,
                 "Clocks from one line that slot memory refuses to the next, 0: none; its slot has to stop")
      ->capture_default_str();
  app.add_option("--hang-clocks", options.hang_clocks,
                 "The card hangs if nothing moves for so many clocks while something is due")
      ->check(CLI::Range(1'000, 10'000'000))
      ->capture_default_str();
  app.add_option("--hang-at", options.hang_at,
                 "From this clock on the MAC takes nothing, to see that the hang is reported; 0: never")
      ->capture_default_str();
  app.add_option("--least-beats", arguments.least_beats,
                 "Exit 1 if fewer percent of the clocks have a beat, either way");
  app.add_flag(
      "--stress", options.stress,
      "Adverse surroundings that change every few thousand clocks: memory that jumps, ports that stall, queues "
      "held full, events that nobody takes");
  CLI11_PARSE(app, argc, argv);
  options.kind = sim::find_card(kSlots, false, false);
  if (one->count() != 0) {
    arguments.first = arguments.seed;
    arguments.seeds = 1;
  }
  for (std::uint64_t i = 0; i < arguments.seeds; ++i) {
    if (!run(arguments, arguments.first + i)) return 1;
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "card-duplex: %s\n", error.what());
  return 2;
}
