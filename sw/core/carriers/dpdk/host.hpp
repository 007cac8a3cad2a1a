// What a host has for DPDK: processors, NUMA nodes, hugepages. Needs no DPDK.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/carriers/dpdk/dpdk.hpp"

namespace slotwire::carriers {

/// Processors of a list as the kernel writes it ("0-3,8"), ascending. What is no such list is left out; so are
/// processors above kMaxCpu.
inline constexpr unsigned kMaxCpu = 1023;
std::vector<unsigned> parse_cpu_list(std::string_view text);
/// The reverse.
std::string cpu_list(const std::vector<unsigned>& cpus);

/// Hugepages of one size.
struct HugepagePool {
  std::size_t page_bytes = 0;
  std::uint64_t pages = 0;  ///< that the kernel has
  std::uint64_t free = 0;   ///< that a process may take, those that the kernel would make on demand included
};

/// Reads what the kernel says in /proc and /sys, at each call. Any thread.
class DpdkHost {
 public:
  /// Paths are below `root`.
  explicit DpdkHost(std::filesystem::path root = "/") : root_(std::move(root)) {}

  std::vector<unsigned> online_cpus() const;
  std::vector<unsigned> isolated_cpus() const;
  std::vector<HugepagePool> hugepages() const;
  /// None: the host has no such thing, or the device is no PCI function.
  std::optional<unsigned> node_of_cpu(unsigned cpu) const;
  std::optional<unsigned> node_of_port(const std::string& device) const;
  std::vector<unsigned> cpus_of_node(unsigned node) const;
  /// Processors that share a core with `cpu`, itself included.
  std::vector<unsigned> siblings(unsigned cpu) const;

  /// Throws std::runtime_error when DPDK cannot start with these options: the text says what is missing and what to do.
  /// `allowed`: the processors that this process may run on.
  void require(const DpdkOptions& options, const std::vector<unsigned>& allowed) const;
  /// What it will run with, but slower or less evenly than it could; one sentence each, with what to do.
  std::vector<std::string> advice(const DpdkOptions& options) const;

 private:
  std::string read(const std::filesystem::path& path) const;
  std::uint64_t number(const std::filesystem::path& path) const;

  std::filesystem::path root_;
};

/// Processors that the calling process may run on.
std::vector<unsigned> allowed_cpus();

}  // namespace slotwire::carriers
