// Shared memory that a process has announced (docs/blocks.md, "Regions: who makes one, who finds it"), opened by an
// engine that trusts neither the announcement nor the process.
#pragma once
#include <sys/types.h>

#include <string>

#include "core/slot/memory.hpp"

namespace slotwire::engine {

/// The directory of region `name` of user `uid`, opened for reading and writing. Empty: no process has it that this
/// engine may look into; `why` says so when there is one that it may not. Does not wait for anything, whatever the
/// processes have under the numbers that they announce.
slot::Fd find_directory(uid_t uid, const std::string& name, std::string& why);

/// Descriptor `fd` of process `pid`, opened for reading, if it is `bytes` of sealed shared memory of user `uid`. Empty:
/// it is not, or this engine may not look. Does not wait for anything.
slot::Fd open_memory(std::uint32_t pid, std::uint32_t fd, uid_t uid, std::uint64_t bytes);

}  // namespace slotwire::engine
