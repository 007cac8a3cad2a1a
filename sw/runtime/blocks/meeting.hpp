// How processes of one user find memory that they share with nobody between them: who makes it, who joins it, and who
// still lives ("Regions: who makes one, who finds it" in docs/blocks.md).
#pragma once
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/slot/memory.hpp"

namespace slotwire::blocks {

/// An address of an abstract socket.
struct SocketAddress {
  sockaddr_un address{};
  socklen_t length = 0;

  static SocketAddress abstract(std::string_view name);
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

/// Whether the process `pid` that was started at `start_time` still runs.
bool is_alive(std::uint32_t pid, std::uint64_t start_time);
/// Start time of a process, in clock ticks since boot; 0: there is no such process; kUnknownStart: it cannot be read
/// now.
inline constexpr std::uint64_t kUnknownStart = ~std::uint64_t{0};
std::uint64_t start_time_of(std::uint32_t pid);

/// A socket that neither blocks nor survives exec. Throws std::system_error.
slot::Fd make_unix_socket(int type);
bool bind_to(const slot::Fd& socket, const SocketAddress& address);

/// Which processes' numbers mean the same: an inode. Throws std::system_error.
std::uint64_t own_pid_namespace();

/// What the names of all sockets begin with that processes bind for the memory `name`.
std::string meeting_prefix(const std::string& name);
/// The same of another user.
std::string meeting_prefix(std::uint32_t uid, const std::string& name);
/// Names of all memory that this user's processes have announced; sorted.
std::vector<std::string> announced_names();

/// Memory that some user's processes have announced in this PID namespace.
struct Announced {
  std::uint32_t uid = 0;
  std::string name{};
};
/// That of all users, each once; at most `most`.
std::vector<Announced> announced_by_all(std::size_t most);

/// The right to find or make a region: an abstract name, which the kernel takes back when its holder dies.
class CreationLock {
 public:
  /// Throws std::system_error, or std::runtime_error when it is not to be had within `patience`.
  CreationLock(const std::string& name, std::chrono::milliseconds patience);

 private:
  /// Connects to whoever has the name: the connection ends when it lets go of it.
  static void wait_for_holder(const std::string& name, const SocketAddress& address,
                              std::chrono::steady_clock::time_point end);
  slot::Fd held_;
};

/// A process that has the memory, by the name of its socket.
struct Holder {
  std::uint32_t pid = 0;
  std::uint32_t fd = 0;
  std::string inode{};  ///< of the socket
};
std::vector<Holder> find_holders(const std::string& prefix);
/// Opens the memory of a holder for reading and writing. Empty: it has ended, is somebody else's process, or has closed
/// the memory. Throws std::system_error when it is there and cannot be opened; `what` names it.
slot::Fd open_shared(const Holder& holder, const std::string& what);
/// Opens a descriptor of another process. Empty, and errno, if that does not work.
slot::Fd open_descriptor_of(std::uint32_t pid, std::uint32_t fd, int flags);
/// Lets others find `file` as long as the socket exists. Under the CreationLock. Throws std::system_error.
slot::Fd announce(const std::string& prefix, const slot::Fd& file);

}  // namespace slotwire::blocks
