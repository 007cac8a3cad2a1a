// Who listens at a control socket: a process must not take just anybody for slotwired.
#pragma once
#include <string>

namespace slotwire::control {

/// Names the user (a number) whose slotwired is expected, and no other.
inline constexpr const char* kEngineUidVariable = "SLOTWIRE_ENGINE_UID";

/// Why whoever listens at the other end of the connected `socket` is not taken for slotwired; empty: it is. Expected
/// are root, this process's own user and the owner of the directory that `path` is in; with SLOTWIRE_ENGINE_UID in the
/// environment that user alone.
std::string wrong_engine_owner(int socket, const std::string& path);

}  // namespace slotwire::control
