// Keeps file descriptors over the death of slotwired: tiny processes of their own hold them until the next one asks.
// One of them is the node's, and its connection the right to be that node. A process may open only so many files
// (RLIMIT_NOFILE), so there are more of them where that limit is smaller than what is to be kept.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/result.hpp"
#include "runtime/engine/recovery/descriptor_store.hpp"

namespace slotwire::engine {

/// The first four are for keepers that attach() starts; those that are running keep their own.
struct KeeperOptions {
  std::chrono::milliseconds keep_for = std::chrono::minutes(10);  ///< how long it waits for a slotwired, then ends
  std::size_t max_entries = 65536;                                ///< tags of each process
  std::size_t max_descriptors = 262144;  ///< of each process; never more than its limit of open files leaves
  /// That are going to be kept: there are as many processes as it takes, up to kMaxKeeperProcesses.
  std::size_t descriptors = 0;
  std::chrono::milliseconds timeout = std::chrono::seconds(5);  ///< for each answer of the keeper, and for the lock
};

/// Processes of one node's keeper. 16 hold all that 65535 slots have where each may open 13000 files.
inline constexpr std::size_t kMaxKeeperProcesses = 16;

/// Another slotwired is attached to the node's keeper.
class NodeInUse : public std::runtime_error {
 public:
  NodeInUse(const std::string& node, pid_t pid);
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

/// The connection to a node's keeper, and with it the right to be that node: one process has it at a time. It ends with
/// the object or the process; the keeper then waits for the next one. One thread at a time. Calls wait for the keeper's
/// answer, some microseconds, at most `timeout`; after serve_in() at most some milliseconds, then it comes later.
/// Only the end of its connection says that a keeper has gone.
class Keeper final : public DescriptorStore {
 public:
  /// What a slotwired stored under one tag: 1 to 4 descriptors, close-on-exec, in the order stored.
  struct Entry {
    std::uint64_t tag = 0;
    std::vector<slot::Fd> fds;
  };

  /// Connects to the keeper of `node` in `run_dir`, or starts one, and learns what was stored before. The directory
  /// must belong to this user or root, and nobody else may write to it.
  /// Raises this process's limit of open files to what is allowed. Forks: call it before the process has threads.
  /// Throws NodeInUse; std::runtime_error when there can be no keeper.
  static Keeper attach(const std::filesystem::path& run_dir, const std::string& node,
                       const KeeperOptions& options = {});

  Keeper(Keeper&&) = default;
  Keeper& operator=(Keeper&&) = default;

  /// From now on no call blocks for long: answers that are late are taken from the loop. The keeper stays where it is,
  /// and the loop outlives it. Throws std::system_error when its connection cannot be watched.
  /// `gone` is called, once for each of the keeper's processes, when that has ended or its connection is of no use any
  /// more.
  void serve_in(EventLoop& loop, std::function<void(pid_t)> gone = {});
  bool ready() const override;
  void on_ready(std::function<void()> again) override { on_ready_ = std::move(again); }

  /// The tags of what a slotwired before this one stored, rising.
  const std::vector<std::uint64_t>& kept() const { return kept_; }
  /// Duplicates of the descriptors under a tag, which the keeper keeps all the same. Takes some microseconds, and as
  /// many descriptors of this process as there are.
  Result<std::vector<slot::Fd>> fetch(std::uint64_t tag) override;
  /// All that a slotwired before this one stored, at once, by rising tag; kept() is empty then. Throws
  /// std::runtime_error when it cannot be had.
  std::vector<Entry> take_kept();

  /// Keeps duplicates of 1 to 4 descriptors under a tag that is not in use.
  [[nodiscard]] Result<void> store(std::uint64_t tag, std::span<const int> fds) override;
  /// Closes the keeper's duplicates under the tag. The result may be left: fails only when there is nothing under the
  /// tag, or when the keeper is gone, which fd() tells too.
  Result<void> remove(std::uint64_t tag) override;
  /// Ends the keeper and with it all it holds; its files are gone on return, and its processes have nothing open any
  /// more.
  Result<void> quit();

  /// The keeper's first process, and a descriptor that becomes readable when it dies (then nothing more is kept).
  pid_t pid() const { return drawers_.front().pid; }
  int fd() const { return drawers_.front().socket.get(); }
  /// Processes that keep.
  std::size_t processes() const { return drawers_.size(); }

 private:
  struct Answer;
  /// One of the keeper's processes.
  struct Drawer {
    slot::Fd socket;
    pid_t pid = -1;
    /// A request whose answer is late, and nobody waits for any more.
    struct Asked {
      std::uint16_t op = 0;
      std::uint64_t tag = 0;
    };
    std::optional<Asked> asked{};
    std::deque<std::uint64_t> to_remove{};  ///< tags, when that answer is there
  };
  explicit Keeper(std::chrono::milliseconds timeout) : timeout_(timeout) {}
  static Drawer open_drawer(const slot::Fd& dir, const std::filesystem::path& run_dir, const std::string& node,
                            std::size_t number, const KeeperOptions& options);
  Result<Answer> ask(Drawer& drawer, std::uint16_t op, std::uint64_t tag, std::span<const int> fds);
  Result<Answer> answer_of(Drawer& drawer, std::uint16_t op, std::uint64_t tag);
  /// Takes an answer that was late, if it is there, and goes on with what waits behind it.
  void take_late(Drawer& drawer);
  void settle(Drawer& drawer);
  void lose(Drawer& drawer);
  static Error late(const Drawer& drawer);
  void list(std::uint8_t drawer);
  Result<void> quit(Drawer& drawer);

  std::chrono::milliseconds timeout_;
  std::vector<Drawer> drawers_;
  std::unordered_map<std::uint64_t, std::uint8_t> where_;  ///< drawer, by tag
  std::size_t filling_ = 0;                                ///< the drawer that had room last
  std::vector<std::uint64_t> kept_;
  EventLoop* loop_ = nullptr;  ///< after serve_in()
  std::function<void()> on_ready_{};
  std::function<void(pid_t)> on_gone_{};
};

}  // namespace slotwire::engine
