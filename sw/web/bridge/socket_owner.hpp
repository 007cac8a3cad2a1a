// Whose process listens at an address of this machine.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace slotwire::web::bridge {

/// Who made a socket listen.
struct SocketOwner {
  uid_t user = 0;
  pid_t pid = 0;            ///< 0: not known, as always of TCP
  std::uint64_t inode = 0;  ///< of the socket; 0: not known, as always of UNIX sockets
};

struct SocketOwners {
  /// Whether this machine could say who listens: the address is its own, and the kernel answered.
  bool known = false;
  std::vector<SocketOwner> owners;
};

/// Who listens at the address that `fd` is connected to. The answer is of now: nobody may listen there any more, or
/// somebody else. Reads the list of listening sockets of the kernel for TCP. Any thread.
SocketOwners owners_of_peer(int fd);

/// Whether a socket is of the process `leader`, of one of its group, or of a descendant of either. It reads /proc: of
/// another user's processes it knows nothing unless this process is root's. Any thread.
bool belongs_to_group(const SocketOwner& owner, pid_t leader);

/// "a process of the user 'ann' (pid 77, python3)", as far as it can be found out. It reads /proc as above, and the
/// list of users. One thread at a time.
std::string text_of(const SocketOwner& owner);

}  // namespace slotwire::web::bridge
