// slotwire-keeper: keeps the descriptors of a node while its slotwired, which starts it, is away.
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string_view>

#include "runtime/engine/recovery/keeper_process.hpp"
#include "runtime/engine/recovery/keeper_start.hpp"

int main(int argc, char** argv) {
  using namespace slotwire::engine;
  if (argc > 1 && std::string_view(argv[1]) == "--version") {
    std::puts("slotwire-keeper " SLOTWIRE_VERSION);
    return 0;
  }
  const std::optional<KeeperStart> start = argc > 1 ? std::nullopt : told_by_slotwired();
  if (!start) {
    std::fputs("slotwire-keeper is started by slotwired, and keeps its descriptors while it is away\n", stderr);
    return 2;
  }
  // Only a process that does not lead its session can never be given a terminal.
  const pid_t keeper = ::fork();
  if (keeper != 0) ::_exit(keeper < 0 ? 1 : 0);
  ::_exit(keeper_main(kKeeperListenerFd, kKeeperDirFd, *start));
}
