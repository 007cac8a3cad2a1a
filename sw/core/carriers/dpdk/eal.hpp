// DPDK's environment (EAL): started once in a process.
#pragma once
#include <cstdio>
#include <memory>
#include <string>

#include "core/carriers/dpdk/dpdk.hpp"

namespace slotwire::carriers {

/// Holds what DPDK writes to its log while it is there, so that an error can repeat it. One at a time.
class DpdkLog {
 public:
  DpdkLog();
  ~DpdkLog();
  DpdkLog(const DpdkLog&) = delete;
  DpdkLog& operator=(const DpdkLog&) = delete;
  /// The last lines, on one line, in parentheses; empty when there are none.
  std::string text() const;

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string kept_;
  std::unique_ptr<std::FILE, Close> stream_;
};

/// Starts EAL where it does not run yet. `pci`: look for PCI ports. The calling thread becomes DPDK's main thread and
/// is bound to the CPUs of the options. Throws std::runtime_error; after that the process cannot try again.
void start_eal(const EalOptions& options, bool pci);

}  // namespace slotwire::carriers
