// A region: the directory that processes of one user share when they publish and subscribe, with no engine between
// them; or, in a region whose isolation is strict, the directory that one process shares with slotwired (a cell).
//
// The first process that opens a region makes it, the next ones find it, and when the last one ends nothing is left
// ("Regions" in docs/blocks.md).
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/blocks/meeting.hpp"
#include "runtime/blocks/region_layout.hpp"
#include "runtime/blocks/region_means.hpp"

namespace slotwire::blocks {

class EngineCall;

/// Removes a member and its entries from a directory, and counts the change. If the caller dies on the way, the member
/// is still there for the next one to remove. Under the lock, unless nobody else has this memory.
void remove_member(RegionMemory& region, std::uint32_t member);
/// Removes a publication, with the cursors that nobody has adopted. As remove_member().
void remove_publication(RegionMemory& region, std::uint32_t publication);
/// Removes the members of which `has_ended` is true. False: there were none. As remove_member().
bool remove_members(RegionMemory& region, const std::function<bool(const Member&)>& has_ended);

/// Why `name` is none for a region; empty: it is one.
std::string wrong_region_name(std::string_view name);
/// Bytes of a directory's file.
std::size_t region_bytes();
/// Writes into zeroed memory what makes it the directory of `name`.
void begin_region(RegionMemory& region, std::string_view name);
/// Takes the right to change a directory (Region::Lock), unless somebody else has it. One thread of a process.
bool try_lock_directory(int file);
void unlock_directory(int file);
/// What is wrong with a directory that somebody else made; empty: nothing.
std::string check_region(const RegionMemory& region);
/// The name that a directory has; whatever it is, at most kMaxTopic bytes of it.
std::string region_name_of(const RegionMemory& region);
/// Where `waker` of process `pid` is woken.
SocketAddress waker_address(const std::string& prefix, std::uint32_t pid, std::uint32_t waker);
/// Wakes all publishers and subscribers of members other than `self` by way of `socket`. Never blocks. Under the lock.
/// Entries of members that are not there are left out. Returns how many were woken.
std::size_t wake_members(const RegionMemory& region, const std::string& prefix, const slot::Fd& socket,
                         std::uint32_t self);

/// What an attachment is made of that somebody else has found or made.
struct RegionParts {
  std::string name;
  std::string prefix;  ///< of the sockets' names
  slot::Fd file;       ///< the directory
  std::unique_ptr<RegionMeans> means;
};

/// An attachment to a region. One thread, but for the process-wide order of locks, which any number of Regions share.
class Region {
 public:
  /// Whether slotwired is asked where the region is, and makes it. Whoever only looks at what is there leaves it out.
  enum class Engine : std::uint8_t { asked, left_out };
  /// Attaches to region `name` of this user ([A-Za-z0-9_-], 1 to 31 of them), and makes it if nobody is attached.
  /// Throws std::invalid_argument for the name, std::system_error or std::runtime_error with what to do.
  explicit Region(std::string name, std::chrono::milliseconds patience = std::chrono::seconds(10),
                  Engine engine = Engine::asked);
  /// Attaches to a directory that is there. Throws as the other one, and RegionBusy.
  explicit Region(RegionParts parts);
  /// Detaches: removes everything of this process from the directory.
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  /// The right to change the directory, and to read what others may change. Released by the kernel if the process dies.
  /// Not kept while anything is waited for. Blocks while another process has it, or throws RegionBusy where the means
  /// do not wait.
  class Lock {
   public:
    explicit Lock(Region& region);
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    std::unique_lock<std::mutex> process_;
    Region& region_;
  };

  RegionMemory& memory() const { return *reinterpret_cast<RegionMemory*>(mapping_.data()); }
  std::uint64_t generation() const { return memory().generation.load(std::memory_order_acquire); }
  /// Counts a change of the directory; under the lock. Returns the new generation.
  std::uint64_t changed();

  std::uint32_t self() const { return self_; }
  /// False in a child that was forked: it has this object too, and is not attached.
  bool is_attached() const;
  const std::string& name() const { return name_; }
  /// A socket that is readable after somebody woke it. `waker` becomes its number. Throws std::system_error.
  slot::Fd make_waker(std::uint32_t& waker) const;
  /// Address of `waker` of `member`; under the lock.
  SocketAddress address_of(std::uint32_t member, std::uint32_t waker) const;
  /// Wakes whoever sleeps at `address`. Never blocks; a full queue means that it is awake anyway.
  void wake(const SocketAddress& address) const;
  /// Wakes all publishers and subscribers of other members, after a change of the directory; under the lock.
  void wake_others() const;

  /// Sets up a cursor for a pair; under the lock. Its `state` is stored by the caller. Throws std::runtime_error.
  CursorEntry& make_cursor(std::uint32_t subscription, std::uint32_t publication);
  /// Removes the entries of members that have died; under the lock. True: there were any.
  bool sweep();
  /// Opens `fd` of the process of a member for reading. Empty: the member has gone. Under the lock.
  slot::Fd open_from(std::uint32_t member, std::uint32_t fd) const;
  RegionMeans& means() const { return *means_; }

 private:
  void find_or_make(std::chrono::milliseconds patience, Engine asked);
  /// False: slotwired has no cell for this process, and the region is found or made.
  bool take_cell(EngineCall& engine);
  void make_directory(EngineCall* engine);
  void become_member();
  bool join_existing();

  std::string name_, prefix_;
  std::unique_ptr<RegionMeans> means_;
  slot::Fd file_, socket_;
  slot::Mapping mapping_;
  std::uint32_t self_ = 0;
};

/// Copies a text of at most 63 bytes.
Name make_name(std::string_view text);

}  // namespace slotwire::blocks
