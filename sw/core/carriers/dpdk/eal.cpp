#include "core/carriers/dpdk/eal.hpp"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>

#include <algorithm>
#include <stdexcept>

namespace slotwire::carriers {
namespace {

constexpr std::size_t kKeptBytes = 1024;

ssize_t keep(void* cookie, const char* bytes, std::size_t size) {
  auto& kept = *static_cast<std::string*>(cookie);
  kept.append(bytes, size);
  if (kept.size() > kKeptBytes) kept.erase(0, kept.size() - kKeptBytes);
  return static_cast<ssize_t>(size);
}

/// EAL's way to say that its one thread may run on any CPU that the process has.
std::string cpus(int lcore) {
  if (lcore >= 0) return "0@" + std::to_string(lcore);
  cpu_set_t set;
  CPU_ZERO(&set);
  std::string list;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) list += (list.empty() ? "" : ",") + std::to_string(cpu);
    }
  }
  return list.empty() ? "0" : "0@(" + list + ")";
}

}  // namespace

DpdkLog::DpdkLog() {
  const cookie_io_functions_t functions{nullptr, keep, nullptr, nullptr};
  stream_.reset(::fopencookie(&kept_, "w", functions));
  if (stream_ == nullptr) return;
  std::setvbuf(stream_.get(), nullptr, _IONBF, 0);
  ::rte_openlog_stream(stream_.get());
}

DpdkLog::~DpdkLog() {
  ::rte_openlog_stream(nullptr);
}

std::string DpdkLog::text() const {
  std::string line = kept_;
  while (!line.empty() && line.back() == '\n') line.pop_back();
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return line.empty() ? line : " (DPDK says: " + line + ")";
}

void start_eal(const EalOptions& options, bool pci) {
  static bool started = false, failed = false;
  if (started) return;
  if (failed) throw std::runtime_error("dpdk: EAL did not start before and cannot be started again in one process");
  if (options.more.size() > kMaxEalArguments) {
    throw std::invalid_argument("dpdk: more than " + std::to_string(kMaxEalArguments) + " arguments for EAL");
  }
  // No other process can attach, and nothing is left but an empty directory, which all share.
  std::vector<std::string> arguments{"slotwired",
                                     "--no-telemetry",
                                     "--file-prefix",
                                     "slotwire",
                                     "--lcores",
                                     cpus(options.lcore),
                                     "-m",
                                     std::to_string(std::max<std::size_t>(options.memory >> 20, 1))};
  if (options.hugepages) {
    // In one file: net_virtio_user shows it to its other end, which takes eight at most.
    arguments.insert(arguments.end(), {"--in-memory", "--single-file-segments"});
  } else {
    arguments.insert(arguments.end(), {"--no-huge", "--no-shconf"});
  }
  if (!pci) arguments.emplace_back("--no-pci");
  arguments.insert(arguments.end(), options.more.begin(), options.more.end());
  std::vector<char*> pointers;
  pointers.reserve(arguments.size());
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  const DpdkLog log;
  failed = true;
  if (::rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) < 0) {
    std::string command;
    for (const std::string& argument : arguments) command += (command.empty() ? "" : " ") + argument;
    throw std::runtime_error(std::string("dpdk: EAL does not start: ") + ::rte_strerror(rte_errno) + log.text() +
                             "; it was given: " + command +
                             (options.hugepages ? "; are there hugepages (vm.nr_hugepages)? "
                                                  "If not, set dpdk.hugepages = false"
                                                : ""));
  }
  failed = false;
  started = true;
}

}  // namespace slotwire::carriers
