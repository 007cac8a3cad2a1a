// Hostile processes beside an honest pair: nobody else may be disturbed, and the engine says whom it faulted and why.
//
//   fault_hostile_campaign [--kinds marks,churn,...] [--seconds 60] [--users 3] [--carrier udp|tcp]
//
// For each kind (tests/fault/hostile.cpp), as many hostile processes as there are users attack for so long. Before and
// after it, as many processes only burn a processor: the honest pair's rate beside those is what its rate beside the
// hostile ones is compared with. Where the processor time went is printed.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "cluster.hpp"

namespace {

using namespace slotwire::fault;

constexpr std::size_t kClient = 0, kServer = 1, kSinkA = 2, kSinkB = 3;
constexpr int kWaitMs = 30'000;
constexpr unsigned kFirstUser = 60'001;
/// Memory that the engine may have more afterwards, for its allocator's sake.
constexpr long kMoreKib = 16'384;

struct Options {
  ClusterOptions cluster;
  std::vector<std::string> kinds = {"all"};
  int seconds = 60;
  int compare_seconds = 5;
  unsigned users = 1;
  std::uint64_t seed = 1;
};

/// Why the campaign failed.
struct Failed {
  std::string what;
};

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

double cpu_seconds(pid_t pid) {
  clockid_t clock{};
  timespec used{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &used) != 0) return 0;
  return static_cast<double>(used.tv_sec) + (static_cast<double>(used.tv_nsec) / 1e9);
}

/// What a process holds.
struct Holdings {
  long kib = 0;
  std::size_t descriptors = 0;

  static Holdings of(pid_t pid) {
    Holdings held;
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string word; status >> word;) {
      if (word == "VmRSS:") status >> held.kib;
    }
    const auto all = std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd");
    held.descriptors = static_cast<std::size_t>(std::distance(begin(all), end(all)));
    return held;
  }
};

class Campaign {
 public:
  explicit Campaign(const Options& options) : options_(options), cluster_(options.cluster) {
    std::filesystem::permissions(cluster_.directory(), std::filesystem::perms(0755));  // others attack
    for (std::size_t node = 0; node < 2; ++node) cluster_.start(node);
    for (std::size_t node = 0; node < 2; ++node) engines_[node] = cluster_.pid(node);
    server_ = worker("server", 1, "on-b", kServer);
    sink_b_ = worker("sink", 1, "sink-b", kSinkB);
    sink_a_ = worker("sink", 0, "sink-a", kSinkA);
    client_ = worker("client", 0, "on-b", kClient);
    if (!eventually(kWaitMs, [&] { return done() > 100; })) throw Failed{"the honest pair does not run"};
  }

  void run() {
    const double alone = compare({}, options_.compare_seconds).rate;
    std::printf("the honest pair alone: %.0f calls/s\n", alone);
    const Holdings before = Holdings::of(engines_[0]);
    for (const std::string& kind : options_.kinds) attack(kind);
    check_honest();
    check_given_back(before);
    finish();
    std::printf("passed: %lu calls, none lost\n", done());
  }

  std::string problems() const {
    return std::string("client: ") + reports_[kClient].last_problem + "; server: " + reports_[kServer].last_problem +
           "\n" + cluster_.log(0) + "\n" + cluster_.log(1);
  }

 private:
  struct Measured {
    double rate = 0, worst = 0;
    std::map<std::string, double> processors;  ///< that each process used
  };

  std::uint64_t done() const { return reports_[kClient].done.load(); }
  Child worker(const char* role, std::size_t node, const std::string& service, std::size_t index) {
    return Child::start({SLOTWIRE_FAULT_WORKER, role, cluster_.socket(node), service, std::to_string(index), "1"},
                        reports_.fd(), cluster_.directory() / "workers.log");
  }
  std::filesystem::path log_of(unsigned user) const {
    return cluster_.directory() / ("hostile" + std::to_string(user));
  }
  std::vector<Child> start(const std::string& kind, int seconds) {
    std::vector<Child> started;
    for (unsigned i = 0; i < options_.users; ++i) {
      std::filesystem::remove(log_of(i));
      started.push_back(
          Child::start({SLOTWIRE_FAULT_HOSTILE, cluster_.socket(0), std::to_string(options_.seed + i),
                        std::to_string(seconds), kind, std::to_string(kFirstUser + i), "sink-b", "sink-a"},
                       -1, log_of(i)));
    }
    return started;
  }

  /// The honest pair's rate while `others` run.
  Measured compare(const std::vector<Child>& others, int seconds) {
    std::map<std::string, double> used = use(others);
    Measured result;
    result.worst = 1e12;
    const std::uint64_t before = done();
    const std::int64_t begin = now_ms();
    for (int second = 0; second < seconds; ++second) {
      const std::uint64_t at_begin = done();
      const std::int64_t since = now_ms();
      eventually(1000, [] { return false; });
      result.worst = std::min(result.worst, per_second(done() - at_begin, now_ms() - since));
    }
    const std::int64_t took = now_ms() - begin;
    result.rate = per_second(done() - before, took);
    for (const auto& [name, cpu] : use(others)) {
      result.processors[name] = (cpu - used[name]) * 1000 / static_cast<double>(took);
    }
    return result;
  }
  static double per_second(std::uint64_t count, std::int64_t ms) {
    return static_cast<double>(count) * 1000 / static_cast<double>(ms);
  }
  std::map<std::string, double> use(const std::vector<Child>& others) const {
    std::map<std::string, double> used = {{"slotwired a", cpu_seconds(engines_[0])},
                                          {"slotwired b", cpu_seconds(engines_[1])},
                                          {"client", cpu_seconds(client_.pid())},
                                          {"server", cpu_seconds(server_.pid())},
                                          {"sinks", cpu_seconds(sink_a_.pid()) + cpu_seconds(sink_b_.pid())}};
    for (const Child& other : others) used["others"] += cpu_seconds(other.pid());
    return used;
  }

  Measured beside(const std::string& kind, int seconds) {
    std::vector<Child> others = start(kind, seconds + 1);
    const Measured result = compare(others, seconds);
    for (Child& other : others) {
      if (const int status = other.stop(0, kWaitMs); status != 0) {
        throw Failed{"a hostile process (" + kind + ") ended with " + std::to_string(status)};
      }
    }
    return result;
  }

  void attack(const std::string& kind) {
    const Measured first = beside("spin", options_.compare_seconds);
    const Measured hostile = beside(kind, options_.seconds);
    for (unsigned i = 0; i < options_.users; ++i) std::printf("  %s", text_of(log_of(i)).c_str());
    const Measured second = beside("spin", options_.compare_seconds);
    const double busy = (first.rate + second.rate) / 2;
    std::printf(
        "%-8s honest pair %.0f calls/s, worst second %.0f; beside as many busy processes %.0f and %.0f; ratio %.2f\n",
        kind.c_str(), hostile.rate, hostile.worst, first.rate, second.rate, hostile.rate / busy);
    for (const auto* measured : {&hostile, &second}) {
      std::printf("         processors %s:", measured == &hostile ? "here" : "there");
      for (const auto& [name, share] : measured->processors) std::printf(" %s %.2f", name.c_str(), share);
      std::printf("\n");
    }
    if (hostile.worst == 0) throw Failed{"the honest pair stood still for a second beside " + kind};
    check_honest();
    if (kind == "all" || kind == "marks") check_log();
  }

  void check_honest() {
    for (const std::size_t i : {kClient, kServer}) {
      const WorkerReport& r = reports_[i];
      if (r.violations != 0 || r.other_ends != 0 || r.peer_ends != 0) throw Failed{"the honest pair was disturbed"};
    }
    for (std::size_t node = 0; node < 2; ++node) {
      if (cluster_.pid(node) != engines_[node] || cluster_.status(node).is_null()) {
        throw Failed{"a slotwired did not survive"};
      }
    }
  }
  void check_log() const {
    const std::string log = cluster_.log(0);
    if (log.find("of 'hostile'") == std::string::npos || log.find("faulted: ") == std::string::npos) {
      throw Failed{"the engine did not say whom it faulted"};
    }
  }
  /// Descriptors come back, and so does memory but for what the allocator keeps.
  void check_given_back(const Holdings& before) {
    Holdings after;
    const bool back = eventually(kWaitMs + 30'000, [&] {
      after = Holdings::of(engines_[0]);
      return after.descriptors <= before.descriptors && after.kib <= before.kib + kMoreKib;
    });
    std::printf("slotwired held %ld KiB and %zu descriptors before, %ld KiB and %zu after\n", before.kib,
                before.descriptors, after.kib, after.descriptors);
    if (!back) throw Failed{"slotwired did not give back what the hostile processes took"};
  }
  void finish() {
    reports_[kClient].stop = 1;
    if (client_.stop(0, kWaitMs) != 0) throw Failed{"the honest client did not finish"};
    for (const std::size_t i : {kServer, kSinkA, kSinkB}) reports_[i].stop = 1;
    for (Child* child : {&server_, &sink_a_, &sink_b_}) {
      if (child->stop(0, kWaitMs) != 0) throw Failed{"a server did not finish"};
    }
    // limits.linger for what the hostile processes left.
    if (const std::string wrong = cluster_.finish(kWaitMs + 30'000); !wrong.empty()) throw Failed{wrong};
  }

  const Options& options_;
  Cluster cluster_;
  Reports reports_;
  std::array<pid_t, 2> engines_{};
  Child client_, server_, sink_a_, sink_b_;
};

int run(const Options& options) {
  Campaign campaign(options);
  try {
    campaign.run();
    return 0;
  } catch (const Failed& failed) {
    std::printf("FAILED: %s\n%s\n", failed.what.c_str(), campaign.problems().c_str());
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Hostile processes of several kinds and users beside an honest pair of processes."};
  Options options;
  options.cluster.slotwired = SLOTWIRE_SLOTWIRED;
  options.cluster.extra =
      "[[service]]\nname = \"sink-b\"\nnodes = [\"b\"]\n[[service]]\nname = \"sink-a\"\nnodes = [\"a\"]\n"
      "[[allow]]\naction = \"serve\"\nservice = \"*\"\nusers = [\"*\"]\n"
      "[[allow]]\naction = \"connect\"\nservice = \"*\"\nusers = [\"*\"]\nnodes = [\"*\"]\n";
  app.add_option("--kinds", options.kinds, "which attacks, one after the other")->delimiter(',')->capture_default_str();
  app.add_option("--seconds", options.seconds, "how long each lasts")->capture_default_str();
  app.add_option("--compare-seconds", options.compare_seconds, "how long each comparison lasts")->capture_default_str();
  app.add_option("--users", options.users, "hostile processes at a time, each another user")->capture_default_str();
  app.add_option("--seed", options.seed, "chooses the values")->capture_default_str();
  app.add_option("--carrier", options.cluster.carrier, "udp or tcp")->capture_default_str();
  app.add_option("--slotwired", options.cluster.slotwired, "another slotwired, for a comparison");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const Failed& failed) {
    std::printf("FAILED: %s\n", failed.what.c_str());
  } catch (const std::exception& error) {
    std::printf("FAILED: %s\n", error.what());
  }
  return 1;
}
