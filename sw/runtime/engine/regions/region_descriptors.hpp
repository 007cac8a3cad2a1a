// What the engine knows of a region's processes, lists and blocks: a descriptor for each process that is attached and
// for each list, kept from their registration on, and one for each block, made when somebody asks.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/blocks/region_layout.hpp"

namespace slotwire::engine {

/// A process that is attached to a region. It is registered when the engine first sees it in the directory.
struct ProcessDescriptor {
  std::string unit{};  ///< the last part of its cgroup's name; empty: not known
  bool unit_sought = false;
  std::uint64_t registered_us = 0;             ///< on the clock of the engine's loop
  std::uint64_t memory = 0;                    ///< bytes of its lists, with their blocks
  std::uint64_t most_memory = 0;               ///< the most that it had
  std::uint32_t growths = 0;                   ///< how often that became more
  std::vector<std::string> writes{}, reads{};  ///< topics, as often as it publishes or subscribes
};

/// A list of messages. It is registered with its publication, and kept until no subscriber has a part in it any more,
/// also when its publisher has ended.
struct ListDescriptor {
  std::uint32_t pid = 0;  ///< of the publisher
  std::string topic{};
  std::uint64_t bytes = 0;  ///< of its file, as the directory says
  std::uint64_t registered_us = 0;
  slot::Fd file{};        ///< for reading; empty: see RegionDescriptors
  bool tried = false;     ///< to open it
  bool published = true;  ///< false: its publisher has ended or closed it
};

enum class BlockState : std::uint8_t {
  published,  ///< in the list, and no subscriber has a claim on it: kept as history, or until there has to be room
  awaited,    ///< a subscriber that must lose nothing has not released it: it has it as a view, or has yet to take it
  held,       ///< a subscriber has named it as a view
};
/// "published", "awaited", "held".
const char* name(BlockState state);

struct BlockHolder {
  std::uint32_t pid = 0;
  BlockState claim = BlockState::awaited;
};

/// A block with a message in it.
struct BlockDescriptor {
  blocks::Position position = 0;  ///< number of the message in its list
  BlockState state = BlockState::published;
  /// Bytes from the start of the list's file, and bytes of the message. None: the list cannot be read, or its entry
  /// says nothing valid, or is that of a newer message by now.
  std::optional<std::uint64_t> offset{}, length{};
  std::vector<BlockHolder> holders{};  ///< at most RegionDescriptors::kMaxHolders
  std::size_t more_holders = 0;        ///< that were left out
};

struct ListBlocks {
  std::vector<BlockDescriptor> blocks{};  ///< by position, the oldest first
  std::uint64_t more = 0;                 ///< blocks that were left out
  std::uint64_t invalid = 0;              ///< of `blocks`: entries that point outside of the block memory
  std::string damage{};                   ///< why the file is none of a list; empty: it is one, or cannot be read
};

/// The descriptors of one region, or of one cell. What directory and lists say is read once into locals and checked:
/// their users may write what they like. Nothing here waits, and the cost of each call is bounded by the limits of the
/// layout and those below. One thread.
class RegionDescriptors {
 public:
  using Key = std::pair<std::uint32_t, std::uint64_t>;      ///< of a process: pid and start time
  using ListKey = std::pair<std::uint32_t, std::uint64_t>;  ///< place and serial of the publication
  /// Opens the file of a publication for reading; empty: it cannot be. The process is the publication's member.
  using Open = std::function<slot::Fd(const Key& process, std::uint32_t list_fd, std::uint64_t bytes)>;

  static constexpr std::size_t kMaxLists = 1024;  ///< registered at once, those whose publisher has ended included
  static constexpr std::size_t kOpenedAtOnce =
      16;  ///< files that one update opens of each kind; others follow in the next
  static constexpr std::size_t kMaxHolders = 8;  ///< named for each block
  static constexpr std::size_t kMaxTopics = 8;   ///< named for each process and direction

  /// `files`: how many more files may be kept open, shared with others (limits.region_lists). nullptr: none is kept,
  /// and a list's file is opened when its blocks are asked for.
  RegionDescriptors(Open open, std::size_t* files) : open_(std::move(open)), files_(files) {}
  ~RegionDescriptors();
  RegionDescriptors(const RegionDescriptors&) = delete;
  RegionDescriptors& operator=(const RegionDescriptors&) = delete;

  /// Registers what has come, and forgets what has gone. Returns how many files it opened.
  std::size_t update(const blocks::RegionMemory& memory, std::uint64_t now_us);

  const std::map<Key, ProcessDescriptor>& processes() const { return processes_; }
  const std::map<ListKey, ListDescriptor>& lists() const { return lists_; }
  /// The blocks of a list that are not free, at most `most` of them: those that are held though they left the list, and
  /// those of the list. Blocks on loan are known to their publisher alone.
  ListBlocks blocks_of(const ListKey& key, const blocks::RegionMemory& memory, std::size_t most) const;

 private:
  slot::Fd open(const ListKey& key, const ListDescriptor& list, const blocks::RegionMemory& memory) const;
  std::size_t register_processes(const blocks::RegionMemory& memory, std::uint64_t now_us);
  void register_lists(const blocks::RegionMemory& memory, std::uint64_t now_us);
  std::size_t open_lists(const blocks::RegionMemory& memory);
  void forget(std::map<ListKey, ListDescriptor>::iterator list);

  Open open_;
  std::size_t* files_;
  std::map<Key, ProcessDescriptor> processes_;
  std::map<ListKey, ListDescriptor> lists_;
};

}  // namespace slotwire::engine
