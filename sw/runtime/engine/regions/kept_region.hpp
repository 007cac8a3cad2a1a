// A region of one user whose processes share memory directly, as the engine keeps it: its directory, who is attached,
// and what it holds. The processes need the engine for nothing; it does what they would do for each other, also when
// none of them is there that would.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "runtime/blocks/region.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/recovery/descriptor_store.hpp"
#include "runtime/engine/regions/region_descriptors.hpp"
#include "runtime/engine/sessions/session.hpp"
#include "runtime/engine/sessions/session_table.hpp"

namespace slotwire::engine {

/// What the rooms of regions need of the node. All of it outlives them.
struct RegionParts {
  const Config& config;
  EventLoop& loop;
  NodeLog& log;
  DescriptorStore& store;
  Processes& processes;
  UserAccounts& users;
  RandomBits random;
};

/// What a region holds, as its directory says.
struct RegionFigures {
  std::size_t processes = 0, publishers = 0, subscribers = 0;
  std::uint64_t bytes = 0;  ///< of the directory and of the publishers' memory
};

/// One thread. What the directory says is read once and checked: its user may write into it what it likes.
class KeptRegion {
 public:
  /// How the engine came to have it.
  enum class Origin : std::uint8_t { made, found, kept };

  /// Throws std::runtime_error when `file` is no directory of that name. `watches`: how many more processes may be
  /// watched, `files`: how many more files of lists may be kept open; both shared with others.
  KeptRegion(const RegionParts& parts, std::uint32_t index, std::string name, uid_t uid, slot::Fd file, Origin origin,
             std::size_t& watches, std::size_t& files);
  ~KeptRegion();
  KeptRegion(const KeptRegion&) = delete;
  KeptRegion& operator=(const KeptRegion&) = delete;

  /// The region has been handed to somebody who will attach: it is kept until then, for limits.handshake.
  void expect() { expected_until_us_ = parts_.loop.now_us() + wait_us(); }
  /// Brings watches and accounts up to date, and removes what processes left that have died. False: nobody has it any
  /// more. `all`: looks also for the end of processes that are not watched. A directory may say anything: of members
  /// that were not known, kNewAtOnce are looked at, and the rest is news for the next time.
  bool look(bool all);
  static constexpr std::size_t kNewAtOnce = 32;
  /// What looks have cost since the last call, in system calls, and kLookCost for each look.
  std::size_t take_cost() { return std::exchange(cost_, 0); }
  static constexpr std::size_t kLookCost = 4;
  /// Whether look() would find anything new, but for processes that are not watched.
  bool has_news() const;
  /// Called when a process has ended; look() is to be called then.
  void on_end(std::function<void()> ended) { on_end_ = std::move(ended); }

  std::uint32_t index() const { return index_; }
  const std::string& name() const { return name_; }
  uid_t uid() const { return uid_; }
  Origin origin() const { return origin_; }
  const slot::Fd& file() const { return file_; }
  RegionFigures figures() const;
  /// The descriptors of its processes, lists and blocks, as of now.
  const RegionDescriptors& descriptors() {
    descriptors_.update(memory(), parts_.loop.now_us());
    return descriptors_;
  }
  using Key = RegionDescriptors::Key;
  /// The end of the process is seen by its pidfd.
  bool is_watched(const Key& key) const {
    const auto found = watched_.find(key);
    return found != watched_.end() && found->second != nullptr;
  }
  const blocks::RegionMemory& directory() const { return memory(); }

 private:
  blocks::RegionMemory& memory() const { return *reinterpret_cast<blocks::RegionMemory*>(mapping_.data()); }
  std::uint64_t wait_us() const { return static_cast<std::uint64_t>(parts_.config.limits.handshake.count()); }
  std::set<Key> members() const;
  /// Watches a member. False: it has ended.
  bool watch(const Key& key);
  void unwatch(const Key& key);
  bool reclaim();

  const RegionParts& parts_;
  std::uint32_t index_;
  std::string name_;
  uid_t uid_;
  slot::Fd file_, waker_;
  slot::Mapping mapping_;
  std::string prefix_;
  Origin origin_;
  std::size_t& watches_;
  RegionDescriptors descriptors_;
  std::map<Key, std::unique_ptr<ProcessWatch>> watched_;  ///< none: there were too many
  std::set<Key> ended_;
  std::function<void()> on_end_;
  std::uint64_t generation_ = ~std::uint64_t{0};  ///< of the directory, as it was looked at
  std::uint64_t expected_until_us_ = 0;
  bool busy_ = false;     ///< somebody had the lock when there was something to remove
  bool unknown_ = false;  ///< members wait to be looked at
  std::size_t cost_ = 0;
  UserAccounts::Charge charge_, memory_charge_;
};

}  // namespace slotwire::engine
