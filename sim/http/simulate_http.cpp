// simulate-http: many seeded runs of http_stream's clients and server over a lossy HTTP in simulated time.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cinttypes>
#include <cstdio>

#include "sim/http/http_world.hpp"
#include "sim/random.hpp"

namespace {

void print_violation(std::uint64_t seed, const slotwire::sim::HttpResult& result) {
  std::printf("seed %" PRIu64 ": %s\nlast events:\n", seed, result.violation->c_str());
  for (const std::string& event : result.events) std::printf("  %s\n", event.c_str());
  std::printf("replay: simulate-http --seed %" PRIu64 "\n", seed);
}

int run_campaign(std::uint64_t first, std::uint64_t seeds, std::uint64_t seconds) {
  slotwire::sim::HttpResult total;
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    const auto result = slotwire::sim::run_http({.seed = seed, .trouble_us = seconds * 1'000'000});
    if (result.violation) {
      print_violation(seed, result);
      return 1;
    }
    total.steps += result.steps;
    total.requests += result.requests;
    total.bytes += result.bytes;
    total.messages += result.messages;
    total.resent += result.resent;
    total.duplicates += result.duplicates;
    total.cuts += result.cuts;
    total.duplex_tries += result.duplex_tries;
    total.ended += result.ended;
    total.hash += slotwire::sim::mix(result.hash);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%" PRIu64 " seeds: %" PRIu64 " steps, %" PRIu64 " requests, %" PRIu64 " messages, %" PRIu64
              " parts sent again, %" PRIu64 " duplicates, %" PRIu64 " tries for a duplex connection, %" PRIu64
              " duplex cuts, %" PRIu64 " sessions of a lost server, hash %016" PRIx64 ", %.1f s: all held\n",
              seeds, total.steps, total.requests, total.messages, total.resent, total.duplicates, total.duplex_tries,
              total.cuts, total.ended, total.hash, took.count());
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app{
      "Runs clients and a server of the message stream over HTTP in simulated time, with requests and responses that\n"
      "are lost, repeated, cut, damaged and late, and proxies that cut, hold up and restart; checks after every step\n"
      "and that everything has arrived at the end. Exit 0: all held, 1: something did not."};
  std::uint64_t seeds = 100, first = 1, seed = 0, seconds = 60;
  app.set_version_flag("--version", SLOTWIRE_VERSION);
  app.add_option("--seeds", seeds, "How many seeds to run")->capture_default_str();
  app.add_option("--first", first, "The first of them")->capture_default_str();
  app.add_option("--seed", seed, "Run this one only");
  app.add_option("--seconds", seconds, "Simulated seconds of trouble in each run")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (seed != 0) return run_campaign(seed, 1, seconds);
  return run_campaign(first, seeds, seconds);
} catch (const std::exception& error) {
  std::fprintf(stderr, "simulate-http: %s\n", error.what());
  return 1;
}
