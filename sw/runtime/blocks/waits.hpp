// Sleeping for a region: until somebody wakes this member, or a process that it depends on ends.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/blocks/region.hpp"

namespace slotwire::blocks {

/// When a wait ends. None: never.
using Deadline = std::optional<std::chrono::steady_clock::time_point>;

/// The longest sleep of somebody whose kernel has just refused the barrier that others rely on. A wake-up may be missed
/// that once; later the others know.
inline constexpr std::chrono::milliseconds kTakenBackSleep{1};
/// `deadline`, or `most` from now if that is earlier.
Deadline earlier(const Deadline& deadline, std::chrono::milliseconds most);

/// What one publisher or subscriber sleeps on. One thread.
class Sleeper {
 public:
  /// Throws std::system_error.
  explicit Sleeper(Region& region);

  /// Watches these members, and no others, for their end. Under the region's lock.
  void watch(const std::vector<std::uint32_t>& members);
  /// Sleeps. False: the deadline has passed. May return early.
  bool sleep(const Deadline& deadline);
  /// Whether a watched process has ended since sweep_if_ended().
  bool somebody_ended() const { return ended_; }
  /// Removes the entries of members that have died if a watched process has ended. False: none has.
  bool sweep_if_ended();
  /// Readable when sleep() would return.
  int fd() const { return epoll_.get(); }
  /// The number by which others wake it.
  std::uint32_t waker() const { return waker_; }
  /// Takes what has come, so that fd() is not readable because of it any more.
  void drain();

 private:
  struct Watch {
    std::uint32_t pid = 0;
    std::uint64_t start_time = 0;
    slot::Fd process;
  };
  std::map<std::uint32_t, Watch>::iterator unwatch(std::map<std::uint32_t, Watch>::iterator one);

  Region& region_;
  std::uint32_t waker_ = 0;
  slot::Fd socket_, epoll_;
  std::map<std::uint32_t, Watch> watched_;  ///< by member
  bool ended_ = false;
};

}  // namespace slotwire::blocks
