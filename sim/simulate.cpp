// simulate: many seeded runs of pipelines over a bad network, with every step checked.
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include "sim/bottleneck/bottleneck.hpp"
#include "sim/world.hpp"

namespace {
using namespace slotwire;

struct Campaign {
  std::uint64_t first = 1;
  std::uint64_t seeds = 100;
  unsigned jobs = 1;
  bool verbose = false;
  sim::Options base;
};

void print_run(const sim::Options& options, const sim::Result& r) {
  std::printf("seed %" PRIu64 ": hash %016" PRIx64 ", %" PRIu64 " steps, %" PRIu64 " lines read, %" PRIu64
              " frames (%" PRIu64 " lost, %" PRIu64 " doubled, %" PRIu64 " reordered, %" PRIu64 " damaged), %" PRIu64
              " restarts, %" PRIu64 " takeovers, healed in %" PRIu64 " us\n",
              options.seed, r.hash, r.steps, r.lines_read, r.network.sent, r.network.lost, r.network.duplicated,
              r.network.reordered, r.network.corrupted, r.restarts, r.takeovers, r.heal_us);
}

void print_violation(const sim::Options& options, const sim::Violation& violation) {
  std::printf("seed %" PRIu64 ", step %" PRIu64 ": %s\nlast events:\n", options.seed, violation.step,
              violation.what.c_str());
  for (const std::string& event : violation.events) std::printf("  %s\n", event.c_str());
  std::printf("replay: simulate --seed %" PRIu64 " --slots %u --steps %u", options.seed, options.slots, options.steps);
  if (options.broken != nullptr)
    std::printf(" --break %.*s", static_cast<int>(options.broken->name.size()), options.broken->name.data());
  if (options.control == sim::Control::never) std::printf(" --control never");
  if (options.control == sim::Control::always) std::printf(" --control always");
  std::printf("\n");
}

int run_campaign(const Campaign& campaign) {
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex output;
  std::uint64_t done = 0, lines = 0, frames = 0, steps = 0, hash = 0;
  std::array<std::uint64_t, regs::kCounterCount> counters{};
  const auto start = std::chrono::steady_clock::now();
  const auto work = [&] {
    for (std::uint64_t i = next++; i < campaign.seeds && !failed; i = next++) {
      sim::Options options = campaign.base;
      options.seed = campaign.first + i;
      const sim::Result result = sim::run(options);
      const std::lock_guard lock(output);
      ++done;
      lines += result.lines_read;
      frames += result.network.sent;
      steps += result.steps;
      hash += sim::mix(result.hash);  // in any order
      for (std::size_t c = 0; c < counters.size(); ++c) counters[c] += result.counters[c];
      if (campaign.verbose || campaign.seeds == 1) print_run(options, result);
      if (result.violation && !failed.exchange(true)) print_violation(options, *result.violation);
    }
  };
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 1; i < campaign.jobs; ++i) threads.emplace_back(work);
    work();
  }
  if (campaign.verbose) {
    for (std::size_t c = 0; c < counters.size(); ++c) {
      const auto name = regs::name(static_cast<regs::Counter>(c));
      std::printf("%-16.*s %" PRIu64 "\n", static_cast<int>(name.size()), name.data(), counters[c]);
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%" PRIu64 " of %" PRIu64 " seeds: %" PRIu64 " steps, %" PRIu64 " frames, %" PRIu64
              " lines read, hash %016" PRIx64 ", %.1f s: %s\n",
              done, campaign.seeds, steps, frames, lines, hash, seconds.count(), failed ? "VIOLATED" : "all held");
  return failed ? 1 : 0;
}

void print_bottleneck(std::uint64_t seed, const sim::BottleneckResult& r) {
  std::printf("seed %" PRIu64 ": hash %016" PRIx64
              ", %s, %zu links, %u Mb/s, %u us one way, queue %u bytes, marks from %u, "
              "loss %u of 10000: utilisation %.2f, Jain %.2f, least share %.2f, lost %.4f, mean queue %" PRIu64
              " us, %" PRIu64 " lines sent again, %" PRIu64 " timeouts\n",
              seed, r.hash, std::string(congestion::algorithm(r.kind).name).c_str(), r.slots.size(), r.network.megabits,
              r.network.delay_us, r.network.queue_bytes, r.network.mark_bytes, r.network.loss, r.utilisation,
              r.fairness, r.least_share, r.lost, r.queue_us, r.again, r.timeouts);
}

int run_bottlenecks(const Campaign& campaign) {
  std::uint64_t lines = 0, hash = 0;
  for (std::uint64_t seed = campaign.first; seed < campaign.first + campaign.seeds; ++seed) {
    const sim::BottleneckResult result = sim::run_bottleneck({.seed = seed});
    if (campaign.verbose || campaign.seeds == 1 || !result.violation.empty()) print_bottleneck(seed, result);
    if (!result.violation.empty()) {
      std::printf("%s\nreplay: simulate --bottleneck --seed %" PRIu64 "\n", result.violation.c_str(), seed);
      return 1;
    }
    lines += result.lines;
    hash += sim::mix(result.hash);
  }
  std::printf("%" PRIu64 " seeds of links at a bottleneck: %" PRIu64 " lines, hash %016" PRIx64 ": all held\n",
              campaign.seeds, lines, hash);
  return 0;
}

/// Every bug of an algorithm shows within the seeds.
int find_mutants(const Campaign& campaign) {
  int missed = 0;
  const auto names = sim::mutant_names();
  for (unsigned mutant = 1; mutant <= names.size(); ++mutant) {
    std::string found;
    std::uint64_t seed = campaign.first;
    for (; found.empty() && seed < campaign.first + campaign.seeds; ++seed) {
      found = sim::run_bottleneck({.seed = seed, .mutant = mutant}).violation;
    }
    const std::string name(names[mutant - 1]);
    if (found.empty()) {
      ++missed;
      std::printf("%-30s not found in %" PRIu64 " seeds\n", name.c_str(), campaign.seeds);
    } else {
      std::printf("%-30s seed %" PRIu64 ": %s\n", name.c_str(), seed - 1, found.c_str());
    }
  }
  return missed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app{
      "Runs pipelines over a network that loses, doubles, reorders, damages and delays frames, with restarts,\n"
      "takeovers and hostile processes, and checks after every step. Exit 0: all held, 1: something did not."};
  Campaign campaign;
  std::uint64_t seed = 0;
  std::string broken;
  std::string control = "some";
  bool list = false, bottleneck = false, mutants = false;
  app.set_version_flag("--version", SLOTWIRE_VERSION);
  app.add_option("--seeds", campaign.seeds, "How many seeds to run")->capture_default_str();
  app.add_option("--first", campaign.first, "The first of them")->capture_default_str();
  auto* one = app.add_option("--seed", seed, "Run this seed alone; the same seed gives the same run and hash")
                  ->excludes("--seeds", "--first");
  app.add_option("--jobs", campaign.jobs, "Threads")->check(CLI::Range(1, 256))->capture_default_str();
  app.add_option("--slots", campaign.base.slots, "Connections in a run at most")
      ->check(CLI::Range(1, 200))
      ->capture_default_str();
  app.add_option("--steps", campaign.base.steps, "Steps of a run before its network heals")
      ->check(CLI::Range(1, 100'000'000))
      ->capture_default_str();
  app.add_option("--control", control, "Links are under congestion control in so many runs: never, some or always")
      ->check(CLI::IsMember({"never", "some", "always"}))
      ->capture_default_str();
  app.add_flag("--verbose", campaign.verbose, "Print every run and all counters");
  app.add_option("--break", broken, "Run a proxy that is broken in this way; see --list-breaks");
  app.add_flag("--bottleneck", bottleneck, "Run links that share a queue instead, under congestion control");
  app.add_flag("--mutants", mutants,
               "With --bottleneck: look for the bugs of algorithms; exit 1 when one is not found");
  app.add_flag("--list-breaks", list, "List the broken proxies");
  CLI11_PARSE(app, argc, argv);
  campaign.base.control = control == "never"    ? sim::Control::never
                          : control == "always" ? sim::Control::always
                                                : sim::Control::some;
  if (list) {
    for (const sim::Break& b : sim::breaks()) {
      std::printf("%-22.*s %.*s\n", static_cast<int>(b.name.size()), b.name.data(), static_cast<int>(b.text.size()),
                  b.text.data());
    }
    return 0;
  }
  if (!broken.empty()) {
    campaign.base.broken = sim::find_break(broken);
    if (campaign.base.broken == nullptr) {
      std::fprintf(stderr, "simulate: no broken proxy is called '%s'; --list-breaks lists them\n", broken.c_str());
      return 2;
    }
  }
  if (one->count() != 0) {
    campaign.first = seed;
    campaign.seeds = 1;
  }
  if (bottleneck) return mutants ? find_mutants(campaign) : run_bottlenecks(campaign);
  return run_campaign(campaign);
} catch (const std::exception& error) {
  std::fprintf(stderr, "simulate: %s\n", error.what());
  return 1;
}
