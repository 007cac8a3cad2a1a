// kill -9 of clients, servers and both slotwired at random moments under load.
//
//   fault_campaign --kills 100 [--seed S] [--carrier udp|tcp] [--encryption aes-256-gcm]
//
// Shows that no message between processes that live is lost or doubled, that survivors go on without being restarted,
// and that nothing is left in use at the end.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <random>

#include "cluster.hpp"

namespace {

using namespace slotwire::fault;

constexpr std::size_t kPairs = 4;             // clients and servers on each node
constexpr std::size_t kWorkers = kPairs * 4;  // 0..: clients a, clients b, servers a, servers b
constexpr int kRecoverMs = 30'000;            // longest time that survivors may take to go on
constexpr std::uint64_t kProgress = 20;       // answers that each client must get after each kill

struct Campaign {
  explicit Campaign(const ClusterOptions& options, std::string worker_path, std::uint64_t seed)
      : cluster(options), worker(std::move(worker_path)), random(seed) {}

  bool is_client(std::size_t i) const { return i < kPairs * 2; }
  std::size_t node_of(std::size_t i) const { return (i / kPairs) % 2; }
  std::string label(std::size_t i) const {
    return std::string(is_client(i) ? "client " : "server ") + std::to_string(i % kPairs) + " on " +
           Cluster::name(node_of(i));
  }

  void start_worker(std::size_t i) {
    // Most clients call across the link, one of each node's calls a server of its own node.
    const std::size_t to = is_client(i) ? (i % kPairs == 0 ? node_of(i) : 1 - node_of(i)) : node_of(i);
    workers[i] = Child::start({worker, is_client(i) ? "client" : "server", cluster.socket(node_of(i)),
                               "on-" + Cluster::name(to), std::to_string(i), std::to_string(++life)},
                              reports.fd(), cluster.directory() / "workers.log");
  }

  /// Every client that lives gets answers. Returns who does not.
  std::string all_progress() {
    std::uint64_t before[kWorkers];
    for (std::size_t i = 0; i < kWorkers; ++i) before[i] = reports[i].done.load();
    std::string stuck;
    const bool good = eventually(kRecoverMs, [&] {
      stuck.clear();
      for (std::size_t i = 0; i < kPairs * 2; ++i) {
        if (reports[i].done.load() < before[i] + kProgress) stuck += (stuck.empty() ? "" : ", ") + label(i);
      }
      return stuck.empty();
    });
    return good ? std::string() : stuck;
  }

  std::uint64_t violations() const {
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < kWorkers; ++i) n += reports[i].violations.load() + reports[i].other_ends.load();
    return n;
  }

  std::uint64_t answers() const {
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < kPairs * 2; ++i) n += reports[i].done.load();
    return n;
  }

  int fail(const std::string& what) {
    std::printf("FAILED: %s\n", what.c_str());
    for (std::size_t i = 0; i < kWorkers; ++i) {
      if (reports[i].last_problem[0] != 0) std::printf("  %s: %s\n", label(i).c_str(), reports[i].last_problem);
      std::printf("  %s: done %lu violations %lu connects %lu peer_ends %lu other_ends %lu\n", label(i).c_str(),
                  reports[i].done.load(), reports[i].violations.load(), reports[i].connects.load(),
                  reports[i].peer_ends.load(), reports[i].other_ends.load());
    }
    for (std::size_t node = 0; node < 2; ++node) {
      std::printf("--- status %s\n%s\n", Cluster::name(node).c_str(), cluster.status(node).dump(1).c_str());
      std::printf("%s\n", cluster.ask(node, {{"op", "slots"}}).dump().c_str());
      const std::string log = cluster.log(node);
      std::printf("--- log %s\n%s\n", Cluster::name(node).c_str(),
                  log.substr(log.size() > 4000 ? log.size() - 4000 : 0).c_str());
    }
    return 1;
  }

  Cluster cluster;
  std::string worker;
  std::mt19937_64 random;
  Reports reports;
  Child workers[kWorkers];
  std::uint64_t life = 0;
};

int run(Campaign& c, int kills) {
  for (std::size_t node = 0; node < 2; ++node) c.cluster.start(node);
  for (std::size_t i = kWorkers; i-- > 0;) c.start_worker(i);  // servers first
  if (const std::string stuck = c.all_progress(); !stuck.empty()) return c.fail("no answers at the start: " + stuck);

  int counts[4] = {};
  std::uint64_t node_kills = 0;
  const std::int64_t begin = now_ms();
  for (int kill = 0; kill < kills; ++kill) {
    // A random moment: after a random number of answers from now.
    const std::uint64_t moment = c.answers() + (c.random() % 2000);
    if (!eventually(kRecoverMs, [&] { return c.answers() >= moment; }))
      return c.fail("answers stopped before kill " + std::to_string(kill));
    const std::uint64_t what = c.random() % 4;
    ++counts[what];
    if (what < 2) {
      // Survivors must not notice: no connection between two workers that live may end.
      std::uint64_t ends = 0;
      for (std::size_t i = 0; i < kWorkers; ++i) ends += c.reports[i].peer_ends.load();
      c.cluster.kill(what);
      ++node_kills;
      if (c.random() % 2 == 0) {
        const std::int64_t later = now_ms() + static_cast<std::int64_t>(c.random() % 200);
        eventually(1000, [&] { return now_ms() >= later; });  // away for a while
      }
      c.cluster.start(what);
      if (const std::string stuck = c.all_progress(); !stuck.empty()) {
        return c.fail("after kill " + std::to_string(kill) + " of slotwired " + Cluster::name(what) +
                      " these did not go on: " + stuck);
      }
      std::uint64_t ends_now = 0;
      for (std::size_t i = 0; i < kWorkers; ++i) ends_now += c.reports[i].peer_ends.load();
      if (ends_now != ends)
        return c.fail("connections between living processes ended after a kill of slotwired " + Cluster::name(what));
    } else {
      const std::size_t victim = (what == 2 ? 0 : kPairs * 2) + (c.random() % (kPairs * 2));
      c.workers[victim].kill_now();
      c.start_worker(victim);
      if (const std::string stuck = c.all_progress(); !stuck.empty()) {
        return c.fail("after kill " + std::to_string(kill) + " of " + c.label(victim) +
                      " these did not go on: " + stuck);
      }
    }
    if (c.violations() != 0)
      return c.fail("a message was lost, doubled or damaged, or a connection ended without cause, by kill " +
                    std::to_string(kill));
    if ((kill + 1) % 10 == 0) {
      std::printf("%d kills, %lu answers, %.1f s\n", kill + 1, c.answers(),
                  static_cast<double>(now_ms() - begin) / 1000);
      std::fflush(stdout);
    }
  }

  // In good order: clients finish what they asked for, then servers, then nothing may be in use.
  for (std::size_t i = 0; i < kPairs * 2; ++i) c.reports[i].stop = 1;
  for (std::size_t i = 0; i < kPairs * 2; ++i) {
    if (const int status = c.workers[i].stop(0, kRecoverMs); status != 0)
      return c.fail(c.label(i) + " did not finish: " + std::to_string(status));
  }
  for (std::size_t i = kPairs * 2; i < kWorkers; ++i) c.reports[i].stop = 1;
  for (std::size_t i = kPairs * 2; i < kWorkers; ++i) {
    if (const int status = c.workers[i].stop(0, kRecoverMs); status != 0)
      return c.fail(c.label(i) + " did not finish: " + std::to_string(status));
  }
  if (c.violations() != 0) return c.fail("a message was lost, doubled or damaged at the end");
  if (const std::string wrong = c.cluster.finish(kRecoverMs); !wrong.empty()) return c.fail(wrong);
  std::size_t left = 0;
  for (const auto& entry : std::filesystem::directory_iterator(c.cluster.directory()))
    left += entry.is_socket() ? 1 : 0;
  if (left != 1) return c.fail("sockets were left behind");  // the notification socket is ours
  std::printf(
      "passed: %d kills (slotwired a %d, slotwired b %d, clients %d, servers %d), %lu answers in order, once; nothing "
      "left in use; %.1f s\n",
      kills, counts[0], counts[1], counts[2], counts[3], c.answers(), static_cast<double>(now_ms() - begin) / 1000);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Kills processes of two nodes under load and checks that nothing between the living is lost."};
  int kills = 100;
  std::uint64_t seed = 1;
  ClusterOptions options;
  options.slotwired = SLOTWIRE_SLOTWIRED;
  app.add_option("--kills", kills, "how many")->capture_default_str();
  app.add_option("--seed", seed, "chooses victims and moments")->capture_default_str();
  app.add_option("--carrier", options.carrier, "udp or tcp")->capture_default_str();
  app.add_option("--encryption", options.encryption, "of frames over udp; keys change every 300 frames")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  options.extra = "[encryption]\nrekey_frames = 300\n";
  try {
    Campaign campaign(options, SLOTWIRE_FAULT_WORKER, seed);
    return run(campaign, kills);
  } catch (const std::exception& error) {
    std::printf("FAILED: %s\n", error.what());
    return 1;
  }
}
