#include "core/carriers/dpdk/host.hpp"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <stdexcept>

namespace slotwire::carriers {
namespace {

namespace fs = std::filesystem;

const fs::path kCpus = "sys/devices/system/cpu", kNodes = "sys/devices/system/node", kPages = "sys/kernel/mm/hugepages";
constexpr std::string_view kPagesPrefix = "hugepages-", kPagesSuffix = "kB";
constexpr std::size_t kMiB = std::size_t{1} << 20;
/// Longest text of one file here.
constexpr std::size_t kMaxText = 4096;

bool has(const std::vector<unsigned>& cpus, unsigned cpu) {
  return std::find(cpus.begin(), cpus.end(), cpu) != cpus.end();
}

std::optional<unsigned> parse(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string size_text(std::size_t bytes) {
  return bytes % (kMiB << 10) == 0 ? std::to_string(bytes / (kMiB << 10)) + " GiB"
         : bytes % kMiB == 0       ? std::to_string(bytes / kMiB) + " MiB"
                                   : std::to_string(bytes >> 10) + " KiB";
}

/// The processors that the options name, each once.
std::vector<unsigned> cpus_of(const DpdkOptions& options) {
  std::vector<unsigned> cpus = options.queue_cpus;
  if (options.eal.lcore >= 0) cpus.push_back(static_cast<unsigned>(options.eal.lcore));
  std::sort(cpus.begin(), cpus.end());
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

}  // namespace

std::vector<unsigned> parse_cpu_list(std::string_view text) {
  std::vector<unsigned> cpus;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    while (!part.empty() && (part.back() == '\n' || part.back() == ' ')) part.remove_suffix(1);
    const std::size_t dash = part.find('-');
    const auto first = parse(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse(part.substr(dash + 1));
    if (!first || !last) continue;
    for (unsigned cpu = *first; cpu <= std::min(*last, kMaxCpu); ++cpu) cpus.push_back(cpu);
  }
  std::sort(cpus.begin(), cpus.end());
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

std::string cpu_list(const std::vector<unsigned>& cpus) {
  std::string text;
  for (std::size_t i = 0; i < cpus.size();) {
    std::size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    text += (text.empty() ? "" : ",") + std::to_string(cpus[i]);
    if (last != i) text += "-" + std::to_string(cpus[last]);
    i = last + 1;
  }
  return text;
}

std::vector<unsigned> allowed_cpus() {
  std::vector<unsigned> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

std::string DpdkHost::read(const fs::path& path) const {
  std::ifstream file(root_ / path);
  std::string text(kMaxText, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::uint64_t DpdkHost::number(const fs::path& path) const {
  const std::string text = read(path);
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::vector<unsigned> DpdkHost::online_cpus() const {
  return parse_cpu_list(read(kCpus / "online"));
}

std::vector<unsigned> DpdkHost::isolated_cpus() const {
  return parse_cpu_list(read(kCpus / "isolated"));
}

std::vector<HugepagePool> DpdkHost::hugepages() const {
  std::vector<HugepagePool> pools;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(root_ / kPages, none)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(kPagesPrefix, 0) != 0 || name.size() <= kPagesPrefix.size() + kPagesSuffix.size()) continue;
    const auto kib = parse(
        std::string_view(name).substr(kPagesPrefix.size(), name.size() - kPagesPrefix.size() - kPagesSuffix.size()));
    if (!kib) continue;
    const fs::path at = kPages / name;
    const std::uint64_t free = number(at / "free_hugepages"), reserved = number(at / "resv_hugepages");
    const std::uint64_t more = number(at / "nr_overcommit_hugepages"), made = number(at / "surplus_hugepages");
    pools.push_back({std::size_t{*kib} << 10, number(at / "nr_hugepages"),
                     free - std::min(free, reserved) + more - std::min(more, made)});
  }
  std::sort(pools.begin(), pools.end(), [](const auto& a, const auto& b) { return a.page_bytes < b.page_bytes; });
  return pools;
}

std::optional<unsigned> DpdkHost::node_of_cpu(unsigned cpu) const {
  const fs::path at = kCpus / ("cpu" + std::to_string(cpu));
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(root_ / at, none)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("node", 0) == 0) {
      if (const auto node = parse(std::string_view(name).substr(4))) return node;
    }
  }
  return std::nullopt;
}

std::optional<unsigned> DpdkHost::node_of_port(const std::string& device) const {
  const std::string address = device.substr(0, device.find(','));
  if (address.find('/') != std::string::npos) return std::nullopt;
  for (const std::string& name : {address, "0000:" + address}) {
    // "-1": the function says nothing of its node.
    if (const auto node = parse(read(fs::path("sys/bus/pci/devices") / name / "numa_node"))) return node;
  }
  return std::nullopt;
}

std::vector<unsigned> DpdkHost::cpus_of_node(unsigned node) const {
  return parse_cpu_list(read(kNodes / ("node" + std::to_string(node)) / "cpulist"));
}

std::vector<unsigned> DpdkHost::siblings(unsigned cpu) const {
  return parse_cpu_list(read(kCpus / ("cpu" + std::to_string(cpu)) / "topology/thread_siblings_list"));
}

void DpdkHost::require(const DpdkOptions& options, const std::vector<unsigned>& allowed) const {
  const std::vector<unsigned> online = online_cpus();
  for (const unsigned cpu : cpus_of(options)) {
    if (!online.empty() && !has(online, cpu)) {
      throw std::runtime_error("dpdk: there is no processor " + std::to_string(cpu) + "; this host has " +
                               cpu_list(online) + ": change dpdk.lcore or dpdk.lcores");
    }
    if (!has(allowed, cpu)) {
      throw std::runtime_error("dpdk: slotwired may not run on processor " + std::to_string(cpu) + ", only on " +
                               cpu_list(allowed) +
                               "; change dpdk.lcore or dpdk.lcores, or what binds it (taskset, AllowedCPUs= or "
                               "CPUAffinity= of its unit, the container's cpuset)");
    }
  }
  if (!options.eal.hugepages) return;
  const std::vector<HugepagePool> pools = hugepages();
  std::uint64_t bytes = 0;
  std::string had;
  for (const HugepagePool& pool : pools) {
    bytes += pool.free * pool.page_bytes;
    had += (had.empty() ? "" : ", ") + std::to_string(pool.free) + " of " + std::to_string(pool.pages) + " pages of " +
           size_text(pool.page_bytes);
  }
  if (bytes >= options.eal.memory) return;
  if (pools.empty()) {
    throw std::runtime_error("dpdk: this kernel has no hugepages; set dpdk.hugepages = false");
  }
  const std::size_t page = pools.front().page_bytes;
  const std::uint64_t missing = (options.eal.memory - bytes + page - 1) / page;
  throw std::runtime_error(
      "dpdk: " + size_text(options.eal.memory) + " in hugepages are wanted (dpdk.memory), and free are " + had +
      "; add " + std::to_string(missing) + " pages of " + size_text(page) + ": write " +
      std::to_string(pools.front().pages + missing) + " to /" +
      (kPages / (std::string(kPagesPrefix) + std::to_string(page >> 10) + std::string(kPagesSuffix)) / "nr_hugepages")
          .string() +
      " (for good: vm.nr_hugepages in /etc/sysctl.d), lower dpdk.memory, or set dpdk.hugepages = false");
}

std::vector<std::string> DpdkHost::advice(const DpdkOptions& options) const {
  std::vector<std::string> said;
  const std::vector<unsigned> cpus = cpus_of(options), isolated = isolated_cpus();
  const std::optional<unsigned> node = node_of_port(options.device);
  std::vector<unsigned> shared;
  std::copy_if(cpus.begin(), cpus.end(), std::back_inserter(shared), [&](unsigned cpu) { return !has(isolated, cpu); });
  if (!shared.empty()) {
    said.push_back(
        "processor " + cpu_list(shared) +
        " is not isolated: other work may run there and delay frames; isolcpus= and nohz_full= on the kernel's "
        "command line, or a cpuset of its own, keep it away");
  }
  for (const unsigned cpu : cpus) {
    const auto at = node_of_cpu(cpu);
    if (node && at && *at != *node) {
      said.push_back("processor " + std::to_string(cpu) + " is on NUMA node " + std::to_string(*at) +
                     ", the port on node " + std::to_string(*node) + "; processors of its node are " +
                     cpu_list(cpus_of_node(*node)));
    }
    for (const unsigned other : siblings(cpu)) {
      if (other > cpu && has(cpus, other)) {
        said.push_back("processors " + std::to_string(cpu) + " and " + std::to_string(other) +
                       " are one core with two threads: each slows the other; name processors of different cores");
      }
    }
  }
  if (node && cpus.empty()) {
    const std::vector<unsigned> near = cpus_of_node(*node);
    if (near.size() < online_cpus().size()) {
      said.push_back("the port is on NUMA node " + std::to_string(*node) +
                     " and slotwired runs on any processor; set dpdk.lcore or dpdk.lcores to some of " +
                     cpu_list(near));
    }
  }
  if (!options.eal.hugepages) {
    const std::vector<HugepagePool> pools = hugepages();
    if (std::any_of(pools.begin(), pools.end(), [](const HugepagePool& pool) { return pool.free != 0; }))
      said.emplace_back(
          "dpdk.hugepages is false and this host has free hugepages: with them a port that does DMA, or moves much, is "
          "faster");
  }
  return said;
}

}  // namespace slotwire::carriers
