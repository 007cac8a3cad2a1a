// Who is at the other end of a unix socket, and when a process ends.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/engine/host/result.hpp"

namespace slotwire::engine {

inline constexpr std::size_t kMaxGroups = 65536;  ///< most groups that the kernel gives one process

/// What the kernel, not the peer, says about the process that connected.
struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  std::vector<gid_t> gids;  ///< primary group first, then the supplementary ones
  /// When it started, in clock ticks since boot. With the pid it names one process for ever, also when pids are reused.
  std::uint64_t start_time = 0;
  /// Of the very process that connected, where the kernel gives it (SO_PEERPIDFD, Linux 6.5); else none.
  std::shared_ptr<const slot::Fd> pidfd{};
};

/// Whether the process may do what only an operator may: root, and the user that slotwired runs as.
bool is_operator(const PeerCredentials& who);

/// Credentials of the peer of a connected unix socket, as they were when it connected. An error when `socket` is no
/// such socket or the process has ended.
[[nodiscard]] Result<PeerCredentials> peer_credentials(int socket);

/// Start time of a process in clock ticks since boot; nothing when there is no such process.
std::optional<std::uint64_t> process_start_time(pid_t pid);
/// The same out of the text of /proc/<pid>/stat. A process chooses its own name in there, brackets and blanks included.
std::optional<std::uint64_t> parse_start_time(std::string_view stat);

/// A descriptor that becomes readable when its process ends; the pid cannot come to mean another process meanwhile.
class PidFd {
 public:
  /// An error when there is no such process.
  [[nodiscard]] static Result<PidFd> open(pid_t pid);
  /// Of the process `credentials` tell of; an error when that one has ended, even if its pid is in use again.
  [[nodiscard]] static Result<PidFd> open(const PeerCredentials& credentials);

  int fd() const { return fd_.get(); }
  /// Whether the process has ended. Does not wait.
  bool exited() const;

 private:
  explicit PidFd(slot::Fd fd) : fd_(std::move(fd)) {}
  slot::Fd fd_;
};

}  // namespace slotwire::engine
