// simulate-engines: many seeded runs of two whole engines in simulated time, with every step checked.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include "sim/engine/engine_world.hpp"

namespace {

using slotwire::sim::EngineResult;
using slotwire::sim::EngineRun;

struct Campaign {
  std::uint64_t first = 1, seeds = 100;
  unsigned jobs = 1, steps = 300;
  bool carriers = false;
};

struct Totals {
  std::uint64_t done = 0, steps = 0, restarts = 0, cuts = 0, opened = 0, lines = 0, hash = 0;
  std::uint64_t calls = 0, slowest_us = 0, moves = 0;
};

void print_violation(std::uint64_t seed, const Campaign& campaign, const EngineResult& result) {
  std::printf("seed %" PRIu64 ": %s\nlast events:\n", seed, result.violation->c_str());
  for (const std::string& event : result.events) std::printf("  %s\n", event.c_str());
  std::printf("replay: simulate-engines --seed %" PRIu64 " --steps %u%s\n", seed, campaign.steps,
              campaign.carriers ? " --carriers" : "");
}

int run_campaign(const Campaign& campaign) {
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex output;
  Totals totals;
  const auto start = std::chrono::steady_clock::now();
  const auto work = [&] {
    for (std::uint64_t i = next++; i < campaign.seeds && !failed; i = next++) {
      const std::uint64_t seed = campaign.first + i;
      const EngineResult result =
          slotwire::sim::run_engines({.seed = seed, .steps = campaign.steps, .carriers = campaign.carriers});
      const std::lock_guard lock(output);
      ++totals.done;
      totals.steps += result.steps;
      totals.restarts += result.restarts;
      totals.cuts += result.cuts;
      totals.opened += result.opened;
      totals.lines += result.lines;
      totals.calls += result.calls;
      totals.moves += result.moves;
      totals.slowest_us = std::max(totals.slowest_us, result.slowest_us);
      totals.hash += slotwire::sim::mix(result.hash);  // in any order
      if (result.violation && !failed.exchange(true)) print_violation(seed, campaign, result);
    }
  };
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 1; i < campaign.jobs; ++i) threads.emplace_back(work);
    work();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%" PRIu64 " of %" PRIu64 " seeds: %" PRIu64 " steps, %" PRIu64 " restarts, %" PRIu64
              " cuts of the control connection, %" PRIu64 " connects, %" PRIu64 " lines read, hash %016" PRIx64
              ", %.1f s: %s\n",
              totals.done, campaign.seeds, totals.steps, totals.restarts, totals.cuts, totals.opened, totals.lines,
              totals.hash, seconds.count(), failed ? "VIOLATED" : "all held");
  if (campaign.carriers) {
    std::printf("the links moved %" PRIu64 " times; of %" PRIu64
                " lines while one wire was good the slowest took %" PRIu64 " us, and %" PRIu64 " us is the limit\n",
                totals.moves, totals.calls, totals.slowest_us, slotwire::sim::kSlowestUs);
  }
  return failed ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app{
      "Runs two whole engines in simulated time, with processes that come and go, engines that are killed, a control\n"
      "connection that breaks and a wire that loses frames, and checks after every step. With --carriers there are "
      "three\n"
      "wires, which are cut, fall silent and come back while the link lives. Exit 0: all held, 1: something did not."};
  Campaign campaign;
  std::uint64_t seed = 0;
  app.set_version_flag("--version", SLOTWIRE_VERSION);
  app.add_option("--seeds", campaign.seeds, "How many seeds to run")->capture_default_str();
  app.add_option("--first", campaign.first, "The first of them")->capture_default_str();
  auto* one = app.add_option("--seed", seed, "Run this seed alone; the same seed gives the same run and hash")
                  ->excludes("--seeds", "--first");
  app.add_flag("--carriers", campaign.carriers, "The link goes over the best of three wires, and changes it");
  app.add_option("--jobs", campaign.jobs, "Threads")->check(CLI::Range(1, 256))->capture_default_str();
  app.add_option("--steps", campaign.steps, "Steps of a run before its network heals")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (one->count() != 0) {
    campaign.first = seed;
    campaign.seeds = 1;
  }
  return run_campaign(campaign);
} catch (const std::exception& error) {
  std::fprintf(stderr, "simulate-engines: %s\n", error.what());
  return 2;
}
