// The process behind Keeper: it holds descriptors and does nothing else. Private to the keeper's code.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/engine/recovery/keeper.hpp"
#include "runtime/engine/recovery/keeper_protocol.hpp"
#include "runtime/engine/recovery/keeper_start.hpp"

namespace slotwire::engine {

/// Descriptors that a process with this one's limit of open files can keep.
std::size_t keeper_room(const KeeperOptions& options);

/// The life of a keeper in this process, which has nothing open but the listening socket and the directory of the
/// socket and the lock. Returns the exit status.
int keeper_main(int listener, int dir, const KeeperStart& start);

/// The keeper's work, apart from being a process.
class KeeperProcess {
 public:
  KeeperProcess(slot::Fd listener, slot::Fd dir, std::string socket_name, std::string lock_name,
                const KeeperOptions& options);

  /// Serves until told to quit or nobody was attached for keep_for. Before it returns nothing is left in the directory.
  void run();

 private:
  void accept_one();
  /// Handles what the attached slotwired sent, until there is no more or it is gone.
  void serve_attached();
  void serve(const KeeperRequest& request, std::vector<slot::Fd> fds);
  KeeperStatus store(std::uint64_t tag, std::vector<slot::Fd> fds);
  KeeperStatus remove(std::uint64_t tag);
  void reply(KeeperStatus status, std::uint64_t tag, const std::vector<slot::Fd>* fds = nullptr);
  void detach();
  int milliseconds_left() const;
  void remove_files() const;

  slot::Fd listener_;
  slot::Fd dir_;
  std::string socket_name_;
  std::string lock_name_;
  KeeperOptions options_;
  slot::Fd attached_;
  std::int32_t attached_pid_ = 0;
  std::chrono::steady_clock::time_point leave_at_;  ///< while nobody is attached
  bool quit_ = false;
  std::map<std::uint64_t, std::vector<slot::Fd>> kept_;
  std::size_t descriptors_ = 0;
};

}  // namespace slotwire::engine
