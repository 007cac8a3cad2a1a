// Talk between two processes of one host: Slotwire beside its peers and floors, in one harness.
//
//   bench_local [--runs N] [--milliseconds N] [--quick] [--cases REGEX] [--contenders REGEX] [--json FILE]
//   bench_local --smoke     every contender delivers all messages intact, in every kind of measurement; nothing is
//   timed
//
// README.md beside this file says what is measured and how.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <regex>

#include "cache.hpp"
#include "cases.hpp"
#include "idle.hpp"
#include "inspection.hpp"

namespace {

using namespace slotwire::bench;

struct Options {
  unsigned runs = 5;
  unsigned milliseconds = 100;
  unsigned idle_seconds = 10;
  bool quick = false;
  std::string cases = ".*", contenders = ".*", json_path;
};

void say(const std::string& text) {
  std::fprintf(stderr, "bench_local: %s\n", text.c_str());
}

/// The contenders that can run here and that the user wants; says which are left out and why.
std::vector<const Contender*> chosen(const std::regex& wanted) {
  std::vector<const Contender*> found;
  for (const auto& [name, reason] : not_built()) say("left out: " + name + ": " + reason);
  for (const Contender& contender : contenders()) {
    if (!std::regex_search(contender.name, wanted)) continue;
    const std::string reason = contender.traits.unavailable ? contender.traits.unavailable() : std::string();
    if (reason.empty()) {
      found.push_back(&contender);
    } else {
      say("left out: " + contender.name + ": " + reason);
    }
  }
  return found;
}

bool can_be_placed(const Harness& harness, const Case& one) {
  return one.placement == Placement::same_core || harness.has_two_cores();
}

/// Runs over the contenders in turn, so that a machine that slows down slows all of them.
void measure(Harness& harness, const Case& one, const std::vector<const Contender*>& who, const Options& options,
             Results& results) {
  if (!can_be_placed(harness, one)) {
    say("left out: " + one.name + ": it needs two cores");
    return;
  }
  for (unsigned run = 0; run < options.runs; ++run) {
    for (const Contender* contender : who) {
      if (!takes_part(*contender, one)) continue;
      const Outcome outcome = harness.run({.contender = contender,
                                           .kind = one.kind,
                                           .waiting = one.waiting,
                                           .placement = one.placement,
                                           .size = one.size,
                                           .subscribers = one.subscribers,
                                           .milliseconds = options.milliseconds});
      for (const Value& value : values_of(one, outcome)) results.add(one.name, contender->name, value);
    }
  }
}

int measure_all(const Options& options) {
  Harness harness;
  say("the clock is " + describe(harness.clock()) + "; the sides are on cores " +
      std::to_string(harness.cores().first) + " and " + std::to_string(harness.cores().second));
  const std::regex wanted(options.cases);
  const std::vector<const Contender*> who = chosen(std::regex(options.contenders));
  Results results;
  for (const Case& one : cases()) {
    if ((options.quick && !one.in_quick) || !std::regex_search(one.name, wanted)) continue;
    say(one.name);
    measure(harness, one, who, options, results);
  }
  if (std::regex_search(kCacheCase, wanted) && harness.has_two_cores()) {
    say(kCacheCase);
    for (unsigned run = 0; run < options.runs; ++run) {
      for (const Value& value : measure_cache_hits(harness, options.milliseconds))
        results.add(kCacheCase, "slotwire", value);
    }
    for (const Value& value : measure_cache_ratio(options.quick)) results.add(kCacheCase, "slotwire", value);
  }
  if (std::regex_search(kInspectionCase, wanted)) {
    say(kInspectionCase);
    for (unsigned run = 0; run < options.runs; ++run) measure_inspection(options.milliseconds, results);
  }
  if (std::regex_search(kIdleCase, wanted)) {
    say(kIdleCase);
    for (const Value& value : measure_idle(harness, options.idle_seconds)) results.add(kIdleCase, "slotwire", value);
  }
  const std::string text = results.rows().dump(1) + "\n";
  if (options.json_path.empty()) {
    std::fputs(text.c_str(), stdout);
  } else {
    std::ofstream(options.json_path) << text;
  }
  return 0;
}

/// Every case once with contents that are checked. A side that misses a message, gets one twice or damaged, or hangs
/// ends this with an error.
int smoke(const Options& options) {
  Harness harness;
  const std::regex wanted(options.cases);
  unsigned measurements = 0;
  std::uint64_t messages = 0;
  for (const Contender* contender : chosen(std::regex(options.contenders))) {
    for (const Case& one : cases()) {
      if (!one.in_quick || !takes_part(*contender, one) || !std::regex_search(one.name, wanted)) continue;
      if (!can_be_placed(harness, one)) continue;
      const Outcome outcome = harness.run({.contender = contender,
                                           .kind = one.kind,
                                           .waiting = one.waiting,
                                           .placement = one.placement,
                                           .size = one.size,
                                           .subscribers = one.subscribers,
                                           .milliseconds = 0,
                                           .verify = true});
      if (outcome.delivered == 0) throw std::runtime_error(contender->name + " delivered nothing in " + one.name);
      ++measurements;
      messages += outcome.delivered;
    }
  }
  if (measurements == 0) throw std::runtime_error("nothing was measured");
  std::printf("%u measurements, %llu messages intact and in order\n", measurements,
              static_cast<unsigned long long>(messages));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--side")
    return run_side(std::string(argv[2]) == "client" ? Role::client : Role::server,
                    static_cast<unsigned>(std::stoul(argv[3])));
  try {
    CLI::App app{"Talk between two processes of one host: Slotwire beside its peers and floors."};
    Options options;
    bool only_smoke = false;
    app.add_option("--runs", options.runs, "how often each case is measured")->capture_default_str();
    app.add_option("--milliseconds", options.milliseconds, "of the timed part of a measurement")->capture_default_str();
    app.add_option("--idle-seconds", options.idle_seconds, "how long an idle node is looked at")->capture_default_str();
    app.add_flag("--quick", options.quick, "fewer sizes");
    app.add_option("--cases", options.cases, "cases whose names match this pattern")->capture_default_str();
    app.add_option("--contenders", options.contenders, "contenders whose names match it")->capture_default_str();
    app.add_flag("--smoke", only_smoke, "checks that every contender delivers all messages, and times nothing");
    app.add_option("--json", options.json_path, "where to write the rows; none: standard output");
    CLI11_PARSE(app, argc, argv);
    return only_smoke ? smoke(options) : measure_all(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_local: %s\n", error.what());
    return 1;
  }
}
