// Calls, messages, tunnels, connections and idle slots between nodes, beside other ways to do the same.
//
//   bench_node [--cases all|calls|CASE,...] [--runs N] [--calls N] [--seconds N] [--slots N] [--json FILE]
//
// Every figure is the median of several runs with its smallest and largest. Within a case all contenders are measured
// in turn, run after run, so that a machine that slows down slows all of them.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>

#include "cases.hpp"
#include "contenders/slot_end.hpp"
#include "round_trips.hpp"

namespace {

using namespace slotwire;
using namespace slotwire::bench;

struct Options {
  Scale scale;
  std::vector<std::string> cases{"all"};
  std::string json_path, extra;
};

bool is_chosen(const std::string& name, const std::vector<std::string>& chosen) {
  return std::any_of(chosen.begin(), chosen.end(), [&](const std::string& one) {
    return one == "all" || one == name || (one == "calls" && (name.starts_with("call-") || name.starts_with("under-")));
  });
}

int run(const Options& options) {
  Figures figures;
  Stage stage(options.scale, options.extra, figures);
  for (const std::string& reason : not_built()) Stage::say("left out: " + reason);
  for (const Case& one : cases()) {
    if (!is_chosen(one.name, options.cases)) continue;
    Stage::say(one.name);
    one.run(stage, one.name);
  }
  const std::string text = figures.rows().dump(1) + "\n";
  if (options.json_path.empty()) {
    std::fputs(text.c_str(), stdout);
  } else {
    std::ofstream(options.json_path) << text;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    // For other benchmarks: one end alone.
    if (argc == 4 && std::string(argv[1]) == "--serve") serve_echo(argv[2], argv[3], [] {});
    if (argc == 6 && std::string(argv[1]) == "--call")
      return print_one_connection(argv[2], argv[3], std::stoi(argv[4]), argv[5]);
    CLI::App app{
        "Calls, messages, tunnels, connections and idle slots between nodes, beside other ways to do the same."};
    Options options;
    std::vector<std::string> known{"all", "calls"};
    for (const Case& one : cases()) known.push_back(one.name);
    app.add_option("--config", options.extra, "more configuration for the nodes, e.g. '[wait]\\nyield = \"0us\"'");
    app.add_option("--runs", options.scale.runs, "how often each contender is measured")->capture_default_str();
    app.add_option("--calls", options.scale.calls, "calls of one caller in one run; other counts follow from it")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--seconds", options.scale.seconds, "how long a run takes where time is what is stated")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--slots", options.scale.slots, "idle slots of slots-60000; fewer where the machine's limits say so")
        ->capture_default_str();
    app.add_option("--cases", options.cases, "which cases: all, those of calls, or some of these by name")
        ->delimiter(',')
        ->check(CLI::IsMember(known))
        ->capture_default_str();
    app.add_option("--json", options.json_path, "where to write the rows; none: standard output");
    CLI11_PARSE(app, argc, argv);
    std::string& extra = options.extra;
    for (std::size_t at = extra.find("\\n"); at != std::string::npos; at = extra.find("\\n"))
      extra.replace(at, 2, "\n");
    return run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_node: %s\n", error.what());
    return 1;
  }
}
