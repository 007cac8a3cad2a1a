// Keeps file descriptors over the death of slotwired: a tiny process of its own holds them until the next one asks.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/engine/host/result.hpp"
#include "runtime/engine/recovery/descriptor_store.hpp"

namespace slotwire::engine {

/// The first three are for the keeper that attach() starts; one that is running keeps its own.
struct KeeperOptions {
  std::chrono::milliseconds keep_for = std::chrono::minutes(10);  ///< how long it waits for a slotwired, then ends
  std::size_t max_entries = 65536;                                ///< tags
  std::size_t max_descriptors = 262144;  ///< of all tags; never more than the open files limit leaves
  std::chrono::milliseconds timeout = std::chrono::seconds(5);  ///< for each answer of the keeper, and for the lock
};

/// Another slotwired is attached to the node's keeper.
class NodeInUse : public std::runtime_error {
 public:
  NodeInUse(const std::string& node, pid_t pid);
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

/// The connection to a node's keeper, and with it the right to be that node: one process has it at a time. It ends with
/// the object or the process; the keeper then waits for the next one. One thread at a time; calls wait for the keeper's
/// answer, some microseconds, at most `timeout`.
class Keeper final : public DescriptorStore {
 public:
  /// What a slotwired stored under one tag: 1 to 4 descriptors, close-on-exec, in the order stored.
  struct Entry {
    std::uint64_t tag = 0;
    std::vector<slot::Fd> fds;
  };

  /// Connects to the keeper of `node` in `run_dir`, or starts one, and fetches what was stored before. The directory
  /// must belong to this user or root, and nobody else may write to it.
  /// Raises this process's limit of open files to what is allowed. Forks: call it before the process has threads.
  /// Throws NodeInUse; std::runtime_error when there can be no keeper.
  static Keeper attach(const std::filesystem::path& run_dir, const std::string& node,
                       const KeeperOptions& options = {});

  Keeper(Keeper&&) = default;
  Keeper& operator=(Keeper&&) = default;

  /// What a slotwired before this one stored, by rising tag; empty at the second call.
  std::vector<Entry> take_kept() { return std::move(kept_); }

  /// Keeps duplicates of 1 to 4 descriptors under a tag that is not in use.
  [[nodiscard]] Result<void> store(std::uint64_t tag, std::span<const int> fds) override;
  /// Closes the keeper's duplicates under the tag. The result may be left: fails only when there is nothing under the
  /// tag, or when the keeper is gone, which fd() tells too.
  Result<void> remove(std::uint64_t tag) override;
  /// Ends the keeper and with it all it holds; its files are gone on return, and its process has nothing open any more.
  Result<void> quit();

  /// The keeper's process, and a descriptor that becomes readable when it dies (then nothing is kept any more).
  pid_t pid() const { return pid_; }
  int fd() const { return socket_.get(); }

 private:
  Keeper(slot::Fd socket, pid_t pid, std::chrono::milliseconds timeout)
      : socket_(std::move(socket)), pid_(pid), timeout_(timeout) {}
  struct Answer;
  Result<Answer> ask(std::uint16_t op, std::uint64_t tag, std::span<const int> fds);
  void fetch();

  slot::Fd socket_;
  pid_t pid_;
  std::chrono::milliseconds timeout_;
  std::vector<Entry> kept_;
};

/// Raises the soft limit of open files to the hard one; gives what it is then.
std::uint64_t raise_open_files_limit();

}  // namespace slotwire::engine
