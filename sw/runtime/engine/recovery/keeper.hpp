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
#include <set>
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

struct KeeperReply;

/// The first four are for keepers that are started; those that are running keep their own.
struct KeeperOptions {
  std::chrono::milliseconds keep_for = std::chrono::minutes(10);  ///< how long it waits for a slotwired, then ends
  std::size_t max_entries = 65536;                                ///< tags of each process
  std::size_t max_descriptors = 262144;  ///< of each process; never more than its limit of open files leaves
  /// That are going to be kept: there are as many processes as it takes, up to kMaxKeeperProcesses.
  std::size_t descriptors = 0;
  std::chrono::milliseconds timeout = std::chrono::seconds(15);  ///< for each answer of the keeper, and for the lock
  /// Descriptors that this process may have duplicates of, to hand them to a new process when one of the keeper's ends.
  std::size_t copies = 0;
  /// Processes that are started in a minute in the place of those that have ended; 0: none. Counts after serve_in().
  unsigned starts_per_minute = 0;
  /// How long another slotwired that is attached may take to end: one that was killed holds its connection until the
  /// kernel has cleared it away.
  std::chrono::milliseconds busy_patience{0};
  std::function<void(pid_t)> on_busy{};  ///< called once when that begins, with its pid
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
/// answer, some microseconds, at most `timeout`; after serve_in() store() and remove() do not wait for it, unless the
/// keeper is far behind, and fetch() waits at most some milliseconds.
/// Only the end of its connection says that a keeper has gone. In the place of a process that has ended after
/// serve_in() another one is started, and gets what that one had and this process has duplicates of.
class Keeper final : public DescriptorStore {
 public:
  /// What a slotwired stored under one tag: 1 to 4 descriptors, close-on-exec, in the order stored.
  struct Entry {
    std::uint64_t tag = 0;
    std::vector<slot::Fd> fds;
  };

  /// Connects to the keeper of `node` in `run_dir`, or starts one, and learns what was stored before. The directory
  /// must belong to this user or root, and nobody else may write to it.
  /// Raises this process's limit of open files to what is allowed.
  /// Throws NodeInUse; std::runtime_error when there can be no keeper.
  static Keeper attach(const std::filesystem::path& run_dir, const std::string& node,
                       const KeeperOptions& options = {});

  Keeper(Keeper&&) = default;
  Keeper& operator=(Keeper&&) = default;
  ~Keeper();

  /// From now on no call blocks for long: answers that are late are taken from the loop. The keeper stays where it is,
  /// and the loop outlives it. Throws std::system_error when its connection cannot be watched.
  /// `news` is called when one of the keeper's processes has ended or its connection is of no use any more, when
  /// another one is there in its place, and when that has got everything; when one does not answer, and when one has no
  /// room for what it was to keep.
  enum class News : std::uint8_t { gone, not_started, started, complete, silent, lost };
  using OnNews = std::function<void(News news, pid_t pid, const std::string& text)>;
  void serve_in(EventLoop& loop, OnNews news = {});
  bool ready() const override;
  void on_ready(std::function<void()> again) override { on_ready_ = std::move(again); }

  /// A process of the keeper that an earlier slotwired used was killed: its socket was there, and nobody behind it.
  /// What it kept, and this object does not have, is lost.
  bool found_killed() const { return found_killed_; }

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
  StoreReport report() const override;

  /// The keeper's first process, and a descriptor that becomes readable when it dies (then nothing more is kept).
  pid_t pid() const { return drawers_.front().pid; }
  int fd() const { return drawers_.front().socket.get(); }
  /// Processes that keep.
  std::size_t processes() const { return drawers_.size(); }

 private:
  struct Answer;
  /// Where something is kept.
  struct Place {
    std::uint8_t drawer;  ///< kLost: it went with one
    std::uint8_t fds;
  };
  /// One of the keeper's processes.
  struct Drawer {
    slot::Fd socket;
    pid_t pid = -1;
    /// A request whose answer has not come yet.
    struct Asked {
      std::uint16_t op = 0;
      std::uint64_t tag = 0;
      bool handed = false;  ///< it is part of what a new process gets
      std::uint64_t asked_us = 0;
    };
    std::deque<Asked> asked{};              ///< in order, at most kAhead
    std::deque<std::uint64_t> to_remove{};  ///< tags, when there is room in `asked`
    bool silence_told = false;              ///< that it does not answer
    bool behind = false;                    ///< somebody was told to come again when all that was asked is answered
    std::size_t tags = 0, fds = 0;          ///< that it keeps or is to keep
    bool full = false;                      ///< it has refused to keep something, and removed nothing since
    // After one has ended.
    bool greets = false;                        ///< the process in its place has not said that it is there
    std::set<std::uint64_t> to_hand{};          ///< tags that it is to get
    bool replaces_killed = false;               ///< it was started over the socket of one that was killed
    bool fresh = false;                         ///< this process started it, and did not find it
    bool handing = false;                       ///< it has not got all of them
    std::uint64_t starts_at_us = 0;             ///< when another one is started; 0: not planned
    std::optional<EventLoop::TimerId> timer{};  ///< of that, or until it has to have greeted
  };
  Keeper(std::filesystem::path run_dir, std::string node, const KeeperOptions& options);
  static Drawer open_drawer(const slot::Fd& dir, const std::filesystem::path& run_dir, const std::string& node,
                            std::size_t number, const KeeperOptions& options);
  Error gone(const Drawer& drawer) const;
  /// Asks and waits for the answer.
  Result<Answer> ask(Drawer& drawer, std::uint16_t op, std::uint64_t tag, std::span<const int> fds);
  Result<Answer> answer_of(Drawer& drawer, std::uint16_t op, std::uint64_t tag);
  /// Asks and does not wait for the answer: what was sent is carried out also when this process ends, and when the
  /// keeper ends its successor gets it. Waits some milliseconds for room; where there is none nothing was sent.
  Result<void> ask_ahead(Drawer& drawer, std::uint16_t op, std::uint64_t tag, std::span<const int> fds,
                         bool handed = false);
  Result<void> send(Drawer& drawer, std::uint16_t op, std::uint64_t tag, std::span<const int> fds);
  /// Takes the answers that are there, until at most `left` are missing; waits `patience_ms` for these.
  void take_answers(Drawer& drawer, std::size_t left, int patience_ms);
  void take_answer(Drawer& drawer, const Drawer::Asked& asked, const KeeperReply& reply);
  /// Takes the answers that are there and goes on with what waits for room.
  void take_late(Drawer& drawer);
  void settle(Drawer& drawer);
  /// A process has no room for what it was to keep: another one gets it. False: none has room, and it is lost.
  bool move(Drawer& from, std::uint64_t tag);
  bool has_room(const Drawer& drawer, std::size_t fds) const;
  void put(std::uint64_t tag, std::size_t drawer, std::size_t fds);
  /// The place of a tag, which has none any more.
  Place take_place(std::uint64_t tag);
  void lose_place(Place& place);
  Result<void> store_and_wait(std::uint64_t tag, std::span<const int> fds);
  void lose(Drawer& drawer);
  void plan_another(Drawer& drawer);
  static Error late(Drawer& drawer);
  static std::string silence_of(const Drawer& drawer);
  bool is_silent(const Drawer& drawer) const;
  void watch_for_silence();
  void leave_loop();
  static Error full();
  void list(std::uint8_t drawer);
  Result<void> quit(Drawer& drawer);
  void remove_files(std::size_t number) const;

  // In the place of a process that has ended.
  bool restarts() const { return loop_ != nullptr && options_.starts_per_minute != 0; }
  /// Microseconds until another one may be started.
  std::uint64_t wait_to_start();
  void start_later(std::size_t number, std::uint64_t delay_us);
  void start_again(std::size_t number);
  void begin(std::size_t number);
  void take_greeting(std::size_t number);
  void look_again(std::size_t number);
  void not_started(std::size_t number, const std::string& why);
  /// Some of what the drawer is to get, and the rest in the next turn of the loop.
  void hand_over(std::size_t number);
  void not_handed(std::uint64_t tag);
  void listen_to(std::size_t number);
  void tell(News news, const Drawer& drawer, const std::string& text = {}) const;
  void reap();
  void copy(std::uint64_t tag, std::span<const int> fds);
  void forget_copy(std::uint64_t tag);
  bool soon() const;

  std::filesystem::path run_dir_;
  std::string node_;
  KeeperOptions options_;
  std::chrono::milliseconds timeout_;
  std::size_t room_;  ///< descriptors that a process keeps
  std::vector<Drawer> drawers_;
  std::unordered_map<std::uint64_t, Place> where_;  ///< by tag
  std::unordered_map<std::uint64_t, std::vector<slot::Fd>> copies_;
  std::size_t copied_ = 0;  ///< descriptors in copies_
  std::size_t lost_ = 0;    ///< tags
  bool found_killed_ = false;
  std::uint64_t starts_ = 0;
  std::deque<std::uint64_t> started_us_;  ///< in the last minute
  std::vector<pid_t> to_reap_;
  std::string trouble_;      ///< why the last start failed; empty: it did not
  std::size_t filling_ = 0;  ///< the drawer that had room last
  std::vector<std::uint64_t> kept_;
  EventLoop* loop_ = nullptr;  ///< after serve_in()
  std::optional<EventLoop::TimerId> silence_timer_{};
  std::function<void()> on_ready_{};
  OnNews on_news_{};
};

}  // namespace slotwire::engine
