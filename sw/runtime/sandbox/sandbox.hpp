// What a process of Slotwire gives up before it meets anything hostile: its user, system calls, files.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace slotwire::sandbox {

/// A system call by its name, so that a list of them is for people, too. Calls that this kernel's headers or this
/// architecture do not have are left out of the lists.
struct Call {
  std::string_view name;
  long number;
};

/// What the gate needs once it serves; anything else ends it.
std::span<const Call> gate_calls();
/// What the keeper needs once it keeps; anything else fails, since its end would cost a node its slots.
std::span<const Call> keeper_calls();
/// What no part of slotwired needs, nor its drivers: answered with EPERM.
std::span<const Call> refused_calls();

/// No privileges are gained from here on, by no program (PR_SET_NO_NEW_PRIVS). Throws std::system_error.
void gain_nothing();
/// No core dump, no ptrace by the same user.
void hide_memory();
/// What comes of a call that is not on the list: the process ends, or the call fails with EPERM.
enum class Otherwise : std::uint8_t { end, fail };
/// All threads of the process may make these calls and no others. After gain_nothing(). Throws std::system_error.
void allow_only(std::span<const Call> calls, Otherwise otherwise);
/// All threads of the process, and programs that it starts, get EPERM for these. The same.
void refuse(std::span<const Call> calls);

/// Whether the system knows a user of that name.
bool user_exists(const std::string& user);

/// Becomes `user` with no other groups, when this process is root; empty: "slotwire-gate" if there is such a user, else
/// "nobody". Does nothing when it is not root. Throws std::runtime_error.
void become(const std::string& user);

/// Whether filters can be installed: sanitizers make calls of their own.
bool filters();

/// This thread and those that it starts may read what is under these paths, and touch no other file; paths that are not
/// there are left out. False: the kernel has no Landlock.
bool read_only(std::span<const std::string_view> paths);

}  // namespace slotwire::sandbox
