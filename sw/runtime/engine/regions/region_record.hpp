// What the engine knows of a region or a cell that it made, as the keeper keeps it for its next life: the directory
// itself is written by its processes, and says nothing that can be relied on.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "core/slot/memory.hpp"

namespace slotwire::engine {

struct RegionRecord {
  std::string name;    ///< of the region, at most 31 bytes
  std::string prefix;  ///< of a cell, at most 63 bytes; else empty
  uid_t uid = 0;
  pid_t pid = 0;  ///< of a cell's process; else 0
  std::uint64_t start_time = 0;

  /// A file that nobody can change. Throws std::system_error.
  slot::Fd write() const;
  /// Throws std::runtime_error when the file is none.
  static RegionRecord read(const slot::Fd& file);
};

}  // namespace slotwire::engine
