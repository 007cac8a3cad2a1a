// How slotwired starts slotwire-keeper, and what that program is told. Private to the keeper's code.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>

#include "core/slot/memory.hpp"
#include "runtime/engine/recovery/keeper.hpp"

namespace slotwire::engine {

/// The program's name, and what `ps` shows of each of its processes: 15 bytes, all that the kernel shows.
inline constexpr const char* kKeeperProgram = "slotwire-keeper";
static_assert(std::string_view(kKeeperProgram).size() <= 15);

/// What a keeper's process is told beside its descriptors.
struct KeeperStart {
  std::string socket_name;  ///< in the directory
  std::string lock_name;    ///< in the directory; empty: another process has the node's lock
  KeeperOptions options;
};

/// The descriptors that the program finds open.
inline constexpr int kKeeperListenerFd = 3;
inline constexpr int kKeeperDirFd = 4;

/// Starts the program slotwire-keeper, which is beside this program or where it is installed, in a session of its own
/// and with nothing open but the two descriptors. What is returned ends at once, when it has made the keeper's process,
/// and has to be waited for; the keeper is nobody's child. Throws std::exception with what to do.
pid_t start_keeper_program(const slot::Fd& listener, const slot::Fd& dir, const KeeperStart& start);

/// What start_keeper_program() gave this process in its environment; none: it was started by somebody else.
std::optional<KeeperStart> told_by_slotwired();

}  // namespace slotwire::engine
