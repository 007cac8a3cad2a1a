// The limit of open files: slot memory and doorbells are descriptors, and the usual soft limit is low.
#pragma once
#include <cstdint>

namespace slotwire::slot {

/// Raises this process's soft limit of open files to the hard one. Returns the limit as it is then; 0: unknown.
std::uint64_t raise_open_files_limit();

}  // namespace slotwire::slot
