// lockstep: the same seeded programs on the software pipeline and on a card, everything compared after every step.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "mutated_pipeline.hpp"
#include "sim/lockstep/campaign.hpp"
#if SLOTWIRE_WITH_RTL
#include "sim/card/story.hpp"
#include "sim/lockstep/free_run.hpp"
#include "sim/lockstep/rtl_card.hpp"
#endif

namespace {
using namespace slotwire;

#if SLOTWIRE_WITH_RTL
constexpr const char* kDefaultAgainst = "rtl";
#else
constexpr const char* kDefaultAgainst = "software";
#endif

struct Arguments {
  lockstep::CampaignOptions campaign;
  std::string broken, replay, write, against = kDefaultAgainst;
  std::string memory = "fixed", trace, coverage;
  unsigned memory_latency = 4, stalls = 0;
  std::uint64_t trace_from = 0;
  int story = -1;
  bool list = false, mutants = false, free_running = false, twins = false;
  std::uint64_t seed = 0;
};

/// The number of a mutant; 0 if there is none of that name.
unsigned mutant_number(const std::string& name) {
  const auto names = lockstep::mutant_names();
  for (unsigned i = 0; i < names.size(); ++i) {
    if (names[i] == name) return i + 1;
  }
  return 0;
}

lockstep::Program read_program(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw std::invalid_argument("cannot be read");
  std::ostringstream text;
  text << in.rdbuf();
  return lockstep::parse_program(text.str());
}

int campaign(const Arguments& arguments, const lockstep::MakeCard& make) {
  const lockstep::CampaignResult result = lockstep::run_campaign(arguments.campaign, make);
  if (arguments.campaign.verbose) std::printf("%s", result.coverage.report().c_str());
  const auto missed = result.coverage.missed();
  const bool judged = arguments.campaign.require_points && !result.differed;
  if (judged) {
    for (const std::string& point : missed) std::printf("never reached: %s\n", point.c_str());
  }
  std::printf("%" PRIu64 " of %" PRIu64 " seeds: %" PRIu64 " steps, %" PRIu64
              " comparisons, %zu points never reached, %.1f s: %s\n",
              result.seeds, arguments.campaign.seeds, result.steps, result.settled, missed.size(), result.seconds,
              result.differed ? "DIFFERED" : "no difference");
  return result.differed || (judged && !missed.empty()) ? 1 : 0;
}

#if SLOTWIRE_WITH_RTL
lockstep::MakeCard rtl_card(const Arguments& arguments, unsigned slots) {
  lockstep::RtlOptions options;
  options.kind = sim::find_card(slots, !arguments.trace.empty(), !arguments.coverage.empty());
  options.coverage_file = arguments.coverage;
  options.random_memory = arguments.memory == "random";
  options.memory_latency = arguments.memory_latency;
  options.stall_permille = arguments.stalls;
  options.twins = arguments.twins;
  options.trace_file = arguments.trace;
  options.trace_from = arguments.trace_from;
  if (arguments.story < 0) {
    return [options](const lockstep::Program&) { return std::make_unique<lockstep::RtlCard>(options); };
  }
  return [options, story = std::make_shared<sim::Story>(static_cast<std::uint16_t>(arguments.story), stdout)](
             const lockstep::Program&) {
    lockstep::RtlOptions watched = options;
    watched.watcher = story.get();
    return std::make_unique<lockstep::RtlCard>(watched);
  };
}

int free_running(const Arguments& arguments) {
  const lockstep::CampaignOptions& campaign = arguments.campaign;
  std::uint64_t lines = 0, clocks = 0;
  for (std::uint64_t i = 0; i < campaign.seeds; ++i) {
    lockstep::FreeRunOptions options;
    options.kind = sim::find_card(campaign.program.slots, !arguments.trace.empty(), false);
    options.seed = campaign.first + i;
    options.twins = arguments.twins;
    options.trace_file = arguments.trace;
    options.trace_from = arguments.trace_from;
    const lockstep::FreeRunResult r = lockstep::free_run(options);
    std::printf("seed %" PRIu64 ": %" PRIu64 " clocks, %" PRIu64 " connections, %" PRIu64 " lines read, %" PRIu64
                " frames out, %" PRIu64 " in, %" PRIu64 " lost, %" PRIu64 " passed, %" PRIu64 " resets, %" PRIu64
                " link cuts, %" PRIu64 " interrupts\n",
                options.seed, r.clocks, r.connections, r.lines, r.frames_out, r.frames_in, r.lost, r.passed, r.resets,
                r.link_cuts, r.interrupts);
    if (!r.failure.empty()) {
      std::printf("seed %" PRIu64 ", %s\nreplay: lockstep --free-running --seed %" PRIu64 " --slots %u\n", options.seed,
                  r.failure.c_str(), options.seed, campaign.program.slots);
      return 1;
    }
    lines += r.lines;
    clocks += r.clocks;
  }
  std::printf("%" PRIu64 " seeds, %" PRIu64 " clocks, %" PRIu64 " lines: everything arrived\n", campaign.seeds, clocks,
              lines);
  return 0;
}
#endif

lockstep::MakeCard card([[maybe_unused]] const Arguments& arguments, unsigned mutant, [[maybe_unused]] unsigned slots) {
#if SLOTWIRE_WITH_RTL
  if (mutant == 0 && arguments.against == "rtl") return rtl_card(arguments, slots);
#endif
  return lockstep::mutant_card(mutant);
}

int run(const Arguments& arguments) {
  if (arguments.list) {
    for (const std::string_view name : lockstep::mutant_names()) {
      std::printf("%.*s\n", static_cast<int>(name.size()), name.data());
    }
    return 0;
  }
  const lockstep::CampaignOptions& options = arguments.campaign;
  if (arguments.mutants) return lockstep::check_mutants(options.program, options.first, options.seeds) ? 0 : 1;
  if (!arguments.write.empty()) {
    lockstep::GeneratorOptions generator = options.program;
    generator.seed = options.first;
    std::ofstream(arguments.write) << lockstep::to_text(lockstep::generate(generator));
    return 0;
  }
  const unsigned mutant = mutant_number(arguments.broken);
  if (!arguments.broken.empty() && mutant == 0) {
    std::fprintf(stderr, "lockstep: no mutant is called '%s'; --list-breaks lists them\n", arguments.broken.c_str());
    return 2;
  }
  try {
#if SLOTWIRE_WITH_RTL
    if (arguments.free_running) return free_running(arguments);
#endif
    if (!arguments.replay.empty()) {
      const lockstep::Program program = read_program(arguments.replay);
      return lockstep::replay(program, card(arguments, mutant, program.slots)) ? 0 : 1;
    }
    return campaign(arguments, card(arguments, mutant, options.program.slots));
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "lockstep: %s%s%s\n", arguments.replay.c_str(), arguments.replay.empty() ? "" : ": ",
                 error.what());
    return 2;
  }
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app{
      "Runs seeded programs on the software pipeline and on a card, and compares every frame, line, row, mark and\n"
      "counter after every step. Exit 0: no difference, 1: a difference, or a point was never reached, 2: a wrong "
      "call."};
  Arguments arguments;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a run that is ended from outside has said what it knew
  lockstep::CampaignOptions& options = arguments.campaign;
  options.shrunk_file = "lockstep.program";
  app.set_version_flag("--version", SLOTWIRE_VERSION);
  app.add_option("--seeds", options.seeds, "How many seeds to run")->capture_default_str();
  app.add_option("--first", options.first, "The first of them")->capture_default_str();
  auto* one = app.add_option("--seed", arguments.seed, "Run this seed alone")->excludes("--seeds", "--first");
  app.add_option("--jobs", options.jobs, "Threads")->check(CLI::Range(1, 256))->capture_default_str();
  app.add_option("--steps", options.program.steps, "Steps of a program")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--against", arguments.against, "The card that is compared")
#if SLOTWIRE_WITH_RTL
      ->check(CLI::IsMember({"rtl", "software"}))
#else
      ->check(CLI::IsMember({"software"}))
#endif
      ->capture_default_str();
  app.add_option("--slots", options.program.slots, "Rows of the slot table")
      ->check(CLI::Range(2, 4096))
      ->capture_default_str();
  app.add_option("--memory-latency", arguments.memory, "Slot memory answers after a fixed or a random number of clocks")
      ->check(CLI::IsMember({"fixed", "random"}))
      ->capture_default_str();
  app.add_option("--memory-clocks", arguments.memory_latency, "That number, or the largest one")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--stalls", arguments.stalls, "Of 1000 clocks, those in which a port that could go on does not")
      ->check(CLI::Range(0, 950))
      ->capture_default_str();
  app.add_option("--trace", arguments.trace, "Write a waveform (FST) of the last card that runs to this file");
  app.add_option("--coverage", arguments.coverage,
                 "Write line coverage of the RTL to this file with the seed behind its name, one for each seed")
      ->excludes("--trace");
  app.add_option("--story", arguments.story, "Tell what happens to this slot, clock by clock; best with --replay")
      ->check(CLI::Range(0, 4095));
  app.add_option("--trace-from", arguments.trace_from, "The first clock in the waveform")->capture_default_str();
  app.add_option("--break", arguments.broken, "Compare a software pipeline with this bug; see --list-breaks");
  app.add_flag("--list-breaks", arguments.list, "List the bugs");
  app.add_flag("--mutants", arguments.mutants, "Check that every bug is found within the seeds");
  app.add_flag("--points", options.require_points, "Exit 1 if a point of the coverage was never reached");
  app.add_option("--shrunk", options.shrunk_file, "Where the shortened program of a difference goes")
      ->capture_default_str();
  app.add_flag("!--no-shrink", options.shrink, "Do not shorten the program of a difference");
  app.add_option("--replay", arguments.replay, "Run the program in this file");
  app.add_option("--write", arguments.write, "Write the program of the first seed to this file, and run nothing");
#if SLOTWIRE_WITH_RTL
  app.add_flag("--free-running", arguments.free_running,
               "Never wait for rest: stalls, bad channels, resets; check that everything arrives");
  app.add_flag("--twins", arguments.twins,
               "Beside every card one whose registers began with other values; compare all ports clock by clock");
#endif
  app.add_flag("--verbose", options.verbose, "Print every seed and what was reached");
  CLI11_PARSE(app, argc, argv);
  if (one->count() != 0) {
    options.first = arguments.seed;
    options.seeds = 1;
  }
#if SLOTWIRE_WITH_RTL
  // Programs are made to fit the card.
  if (const sim::CardKind* kind = sim::find_card(options.program.slots, false, false)) {
    options.program.max_order = kind->max_order;
    options.program.memory_lines = 1U << kind->memory_bits;
    options.program.refusals = !kind->rtl_memory;
  }
#endif
  return run(arguments);
} catch (const std::exception& error) {
  std::fprintf(stderr, "lockstep: %s\n", error.what());
  return 2;
}
