// Slots that do nothing: beside a busy one, and alone.
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "call_cases.hpp"
#include "cases.hpp"
#include "contenders/slot_end.hpp"

namespace slotwire::bench {
namespace {

constexpr std::size_t kEach = 1000;     ///< connections of one process
constexpr std::size_t kSessions = 160;  ///< of the nodes: two processes for each kEach connections, and some more
constexpr std::size_t kSpare = 64;      ///< slots for the busy connection and those that close

std::string idle_service(std::size_t number) {
  return "idle-" + std::to_string(number);
}

/// What one slotwired can hold here, and what says so.
struct Room {
  std::size_t slots = 0;
  std::string why;
};

Room find_room() {
  // What slotwired and its keeper need beside slots is in docs/operate.md, as are the mappings of a slot.
  constexpr std::size_t kOtherDescriptors = (5 * kSessions) + 512, kOtherMappings = 2048, kMappings = 4;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  std::size_t maps = 0;
  std::ifstream("/proc/sys/vm/max_map_count") >> maps;
  const std::size_t by_files =
      files.rlim_max > kOtherDescriptors ? static_cast<std::size_t>(files.rlim_max) - kOtherDescriptors : 0;
  const std::size_t by_maps = maps > kOtherMappings ? (maps - kOtherMappings) / kMappings : 0;
  if (by_files < by_maps) return {by_files, "a process may open " + std::to_string(files.rlim_max) + " files"};
  return {by_maps, "vm.max_map_count is " + std::to_string(maps)};
}

/// Configuration for so many slots: limits and memory, nothing that makes anything faster. One peer has all slots.
std::string limits_for(std::size_t slots, std::size_t nodes_services) {
  constexpr std::size_t kGiB = std::size_t{1} << 30, kRings = std::size_t{128} << 10;
  std::size_t gib = 1;
  while (gib * kGiB < (slots + kSpare) * kRings) gib *= 2;
  std::string text = "[limits]\nslots = " + std::to_string(std::min<std::size_t>(slots + kSpare, 65'535)) +
                     "\nsessions = " + std::to_string(kSessions) +
                     "\nreserve = 0\nuser_share = 1000\npeer_share = 1000\n[memory]\nslot_memory = \"" +
                     std::to_string(gib) + "GiB\"\n";
  for (std::size_t i = 0; i < nodes_services; ++i)
    text += "[[service]]\nname = \"" + idle_service(i) + "\"\nnodes = [\"b\"]\n";
  return text;
}

/// Connections from node 0 to node 1 that nobody uses, and their processes.
class IdleSlots {
 public:
  IdleSlots(const fault::Cluster& nodes, std::size_t count) {
    for (std::size_t number = 0; opened_ < count && problem_.empty(); ++number) {
      const std::string service = idle_service(number);
      const std::size_t part = std::min(kEach, count - opened_);
      parts_.emplace_back("a process with idle slots", [&](const Ready& ready) {
        SlotContext owner(nodes.socket(1));
        sw_service* const served = owner.serve(service);
        ready("serves");
        sw_connection* connection = nullptr;
        while (sw_accept(served, SW_FOREVER, &connection) == SW_OK) {
        }
        throw std::runtime_error("a service with idle slots has ended");
      });
      parts_.back().wait();
      parts_.emplace_back("a process that opens idle slots", [&](const Ready& ready) {
        SlotContext context(nodes.socket(0));
        std::size_t opened = 1;
        context.connect(service);
        const std::string why = open_many(context.get(), service, part - 1, 16, [&](sw_connection*) { ++opened; });
        ready(std::to_string(opened) + " " + why);
        while (true) ::poll(nullptr, 0, -1);
      });
      std::istringstream said(parts_.back().wait());
      std::size_t opened = 0;
      said >> opened >> std::ws;
      std::getline(said, problem_);
      opened_ += opened;
    }
  }
  std::size_t count() const { return opened_; }
  /// Why there are not more; empty: there are as many as were asked for.
  const std::string& problem() const { return problem_; }

 private:
  std::vector<Part> parts_;
  std::size_t opened_ = 0;
  std::string problem_;
};

/// A process and its children: slotwired and its gate. The keeper, which is nobody's child, is not among them.
std::vector<pid_t> family(pid_t pid) {
  std::vector<pid_t> all{pid};
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string directory = "/proc/" + std::to_string(all[i]);
    std::ifstream children(directory + "/task/" + std::to_string(all[i]) + "/children");
    for (pid_t child = 0; children >> child;) all.push_back(child);
  }
  return all;
}

/// What the processes of nodes hold.
struct Holdings {
  double memory = 0;  ///< bytes: of their own, tables of pages included
  double shared = 0;  ///< bytes of shared memory on the whole machine
  double descriptors = 0;
};

Holdings holdings_of(const fault::Cluster& nodes) {
  constexpr double kKiB = 1024;
  Holdings sum;
  const auto read = [](const std::string& path, const std::string& field) {
    std::ifstream file(path);
    for (std::string name, line; file >> name; std::getline(file, line)) {
      double value = 0;
      if (name == field && file >> value) return value * kKiB;
    }
    return 0.0;
  };
  for (std::size_t node = 0; node < nodes.size(); ++node) {
    for (const pid_t pid : family(nodes.pid(node))) {
      const std::string directory = "/proc/" + std::to_string(pid);
      for (const char* const field : {"RssAnon:", "VmPTE:"}) sum.memory += read(directory + "/status", field);
      std::error_code ignored;
      sum.descriptors += static_cast<double>(std::distance(
          std::filesystem::directory_iterator(directory + "/fd", ignored), std::filesystem::directory_iterator{}));
    }
  }
  sum.shared = read("/proc/meminfo", "Shmem:");
  return sum;
}

}  // namespace

void run_slots(Stage& stage, const std::string& name) {
  const Room room = find_room();
  const std::size_t wanted = stage.scale().slots, slots = std::min(wanted, room.slots - kSpare);
  const std::unique_ptr<fault::Cluster> nodes = stage.make_nodes(2, limits_for(slots, (slots / kEach) + 1));
  const Holdings before = holdings_of(*nodes);
  Stage::say(name + ": opening " + std::to_string(slots) + " slots");
  const double begin = clock_us(CLOCK_MONOTONIC);
  const IdleSlots idle(*nodes, slots);
  const double elapsed = clock_us(CLOCK_MONOTONIC) - begin;
  const Holdings after = holdings_of(*nodes);
  const auto count = static_cast<double>(idle.count());
  const auto add = [&](const std::string& contender, const Value& value) {
    stage.figures().add(name, contender, value);
  };
  // A connection is a slot on each of the two nodes.
  const double ends = std::max(count * 2, 1.0);
  add(kSlotwire, {"idle slots of each node", "slots", count});
  add(kSlotwire, {"connections opened", "connections/s", count * 1e6 / elapsed});
  add(kSlotwire, {"memory per slot, slotwired", "bytes", (after.memory - before.memory) / ends});
  add(kSlotwire, {"shared memory per slot", "bytes", (after.shared - before.shared) / ends});
  add(kSlotwire, {"descriptors per slot, slotwired", "", (after.descriptors - before.descriptors) / ends});
  if (idle.count() < slots)
    stage.figures().note(name, std::to_string(idle.count()) + " idle slots, because: " + idle.problem());
  else if (slots < wanted)
    stage.figures().note(name, std::to_string(idle.count()) + " idle slots and not " + std::to_string(wanted) +
                                   ", because on this machine " + room.why);
  stage.figures().set_floor(name, "slotwire, one slot");
  for (int run = 0; run < stage.scale().runs; ++run) {
    for (const Value& value : measure_calls({}, stage.scale().calls, slotwire_contender(*nodes))) add(kSlotwire, value);
    for (const Value& value : measure_calls({}, stage.scale().calls, slotwire_contender(stage.pair())))
      add("slotwire, one slot", value);
  }
}

void run_idle(Stage& stage, const std::string& name) {
  constexpr std::size_t kMany = 1000;
  const std::unique_ptr<fault::Cluster> one = stage.make_nodes(2, limits_for(kMany, 1));
  const std::unique_ptr<fault::Cluster> many = stage.make_nodes(2, limits_for(kMany, 1));
  const IdleSlots slot(*one, 1), slots(*many, kMany);
  if (slots.count() != kMany) throw std::runtime_error("no " + std::to_string(kMany) + " slots: " + slots.problem());
  const auto proxies = [](const fault::Cluster& nodes) { return std::vector<pid_t>{nodes.pid(0), nodes.pid(1)}; };
  for (int run = 0; run < stage.scale().runs; ++run) {
    const double one_before = cpu_us_of(proxies(*one)), many_before = cpu_us_of(proxies(*many));
    const double begin = clock_us(CLOCK_MONOTONIC);
    // The time is what is measured: nothing happens in it.
    ::poll(nullptr, 0, static_cast<int>(stage.scale().seconds * 1000));
    const double both = 2 * (clock_us(CLOCK_MONOTONIC) - begin);
    const auto add = [&](const std::string& contender, double us) {
      stage.figures().add(name, contender, {"processor of an idle slotwired", "%", us * 100 / both});
    };
    add(kSlotwire, cpu_us_of(proxies(*one)) - one_before);
    add("slotwire, 1000 slots", cpu_us_of(proxies(*many)) - many_before);
  }
}

}  // namespace slotwire::bench
