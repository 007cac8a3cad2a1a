// A hostile process beside an honest pair: nobody else may be disturbed, and the engine says whom it faulted and why.
//
//   fault_hostile_campaign --seconds 60 [--carrier udp|tcp]
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cluster.hpp"

namespace {

using namespace slotwire::fault;

constexpr std::size_t kClient = 0, kServer = 1, kSinkA = 2, kSinkB = 3;
constexpr int kWaitMs = 30'000;

int run(const ClusterOptions& options, int seconds, std::uint64_t seed) {
  Cluster cluster(options);
  Reports reports;
  // The hostile process is another user.
  std::filesystem::permissions(cluster.directory(), std::filesystem::perms(0755));
  for (std::size_t node = 0; node < 2; ++node) cluster.start(node);
  const auto worker = [&](const char* role, std::size_t node, const std::string& service, std::size_t index) {
    return Child::start({SLOTWIRE_FAULT_WORKER, role, cluster.socket(node), service, std::to_string(index), "1"},
                        reports.fd(), cluster.directory() / "workers.log");
  };
  Child server = worker("server", 1, "on-b", kServer);
  Child sink_b = worker("sink", 1, "sink-b", kSinkB);
  Child sink_a = worker("sink", 0, "sink-a", kSinkA);
  Child client = worker("client", 0, "on-b", kClient);
  const auto done = [&] { return reports[kClient].done.load(); };
  const auto fail = [&](const std::string& what) {
    std::printf("FAILED: %s (client: %s; server: %s)\n%s\n%s\n", what.c_str(), reports[kClient].last_problem,
                reports[kServer].last_problem, cluster.log(0).c_str(), cluster.log(1).c_str());
    return 1;
  };
  if (!eventually(kWaitMs, [&] { return done() > 100; })) return fail("the honest pair does not run");

  // The honest pair alone, beside a process that only takes a processor away, and beside the hostile process.
  const auto rate_over = [&](std::int64_t ms) {
    const std::uint64_t before = done();
    const std::int64_t begin = now_ms();
    eventually(static_cast<int>(ms), [] { return false; });
    return static_cast<double>(done() - before) * 1000 / static_cast<double>(now_ms() - begin);
  };
  const std::int64_t compare_s = std::min(seconds, 5);
  const double alone = rate_over(compare_s * 1000);
  double beside_spin = 0;
  {
    Child spin = Child::start({SLOTWIRE_FAULT_HOSTILE, "-", "0", std::to_string(compare_s + 1), "spin"}, -1,
                              cluster.directory() / "spin.log");
    beside_spin = rate_over(compare_s * 1000);
  }
  const pid_t pids[2] = {cluster.pid(0), cluster.pid(1)};
  Child hostile = Child::start(
      {SLOTWIRE_FAULT_HOSTILE, cluster.socket(0), std::to_string(seed), std::to_string(seconds), "sink-b", "sink-a"},
      -1, cluster.directory() / "hostile.log");
  const std::uint64_t before = done();
  const std::int64_t begin = now_ms();
  double worst = alone;
  for (int second = 0; second < seconds; ++second) {
    const double rate = rate_over(1000);
    worst = std::min(worst, rate);
    if (rate == 0) return fail("the honest pair stood still for a second");
  }
  const double beside = static_cast<double>(done() - before) * 1000 / static_cast<double>(now_ms() - begin);
  const int hostile_status = hostile.stop(0, kWaitMs);
  std::ifstream hostile_log(cluster.directory() / "hostile.log");
  std::stringstream hostile_text;
  hostile_text << hostile_log.rdbuf();
  std::printf("%s", hostile_text.str().c_str());
  if (hostile_status != 0) return fail("the hostile process ended with " + std::to_string(hostile_status));

  for (std::size_t i : {kClient, kServer}) {
    const WorkerReport& r = reports[i];
    if (r.violations != 0 || r.other_ends != 0 || r.peer_ends != 0) return fail("the honest pair was disturbed");
  }
  if (cluster.pid(0) != pids[0] || cluster.pid(1) != pids[1] || cluster.status(0).is_null() ||
      cluster.status(1).is_null()) {
    return fail("a slotwired did not survive");
  }
  const std::string log = cluster.log(0);
  const std::size_t said = log.find("faulted: ");
  if (log.find("of 'hostile'") == std::string::npos || said == std::string::npos)
    return fail("the engine did not say whom it faulted");
  const std::size_t line = log.rfind('\n', said) + 1;
  std::printf("slotwired said: %s\n", log.substr(line, log.find('\n', said) - line).c_str());

  reports[kClient].stop = 1;
  if (client.stop(0, kWaitMs) != 0) return fail("the honest client did not finish");
  for (std::size_t i : {kServer, kSinkA, kSinkB}) reports[i].stop = 1;
  for (Child* child : {&server, &sink_a, &sink_b}) {
    if (child->stop(0, kWaitMs) != 0) return fail("a server did not finish");
  }
  // limits.linger for what the hostile process left.
  if (const std::string wrong = cluster.finish(kWaitMs + 30'000); !wrong.empty()) return fail(wrong);
  std::printf(
      "passed: honest pair %.0f calls/s alone, %.0f beside a process that only spins, %.0f beside the hostile process "
      "(worst second %.0f); %lu calls, none lost\n",
      alone, beside_spin, beside, worst, done());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"A process that writes random values into all it can reach, beside an honest pair of processes."};
  int seconds = 60;
  std::uint64_t seed = 1;
  ClusterOptions options;
  options.slotwired = SLOTWIRE_SLOTWIRED;
  options.extra =
      "[[service]]\nname = \"sink-b\"\nnodes = [\"b\"]\n[[service]]\nname = \"sink-a\"\nnodes = [\"a\"]\n"
      "[[allow]]\naction = \"serve\"\nservice = \"*\"\nusers = [\"*\"]\n"
      "[[allow]]\naction = \"connect\"\nservice = \"*\"\nusers = [\"*\"]\nnodes = [\"*\"]\n";
  app.add_option("--seconds", seconds, "how long")->capture_default_str();
  app.add_option("--seed", seed, "chooses the values")->capture_default_str();
  app.add_option("--carrier", options.carrier, "udp or tcp")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options, seconds, seed);
  } catch (const std::exception& error) {
    std::printf("FAILED: %s\n", error.what());
    return 1;
  }
}
