// A region's directory as it lies in shared memory: who is attached, who publishes and who subscribes.
//
// All processes of one user that attach map it writable. It changes only under Region::Lock. An entry is in use while
// its `state` is not 0; whoever adds one stores the state last, whoever removes one stores it first, so that a process
// which dies in between leaves no half of an entry behind.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/blocks/list.hpp"

namespace slotwire::blocks {

inline constexpr std::uint64_t kRegionMagic = 0x6e6f69676572'7773;  // "swregion", little-endian
inline constexpr std::uint64_t kListMagic = 0x000074'73696c'7773;   // "swlist"
inline constexpr std::uint32_t kRegionVersion = 2;                  ///< of both layouts

inline constexpr std::size_t kMaxMembers = 256;
inline constexpr std::size_t kMaxPublications = 256;
inline constexpr std::size_t kMaxSubscriptions = 256;
inline constexpr std::size_t kMaxCursors = 1024;
inline constexpr std::size_t kMaxTopic = 63;   ///< bytes of a topic's name
inline constexpr std::size_t kMaxRegion = 31;  ///< bytes of a region's name

using Name = std::array<char, 64>;  ///< ends with zeros

/// A process that is attached. Its number is its index.
struct Member {
  std::atomic<std::uint32_t> state;
  std::uint32_t pid;
  std::uint64_t start_time;  ///< of the process, in clock ticks since boot: pids are used again
  std::uint32_t region_fd;   ///< the region's descriptor in that process
};

/// A list of messages under a topic.
struct Publication {
  std::atomic<std::uint32_t> state;
  std::uint32_t member;
  std::uint32_t list_fd;     ///< the list's descriptor in the member's process
  std::uint32_t waker;       ///< names the socket at which the publisher is woken
  std::uint64_t list_bytes;  ///< of the file
  std::uint64_t serial;      ///< the generation that added it: entries are used again
  std::uint32_t for_link;    ///< 1: its messages come from another node
  Name topic;
};

struct Subscription {
  std::atomic<std::uint32_t> state;
  std::uint32_t member;
  std::uint32_t waker;     ///< names the socket at which the subscriber is woken
  std::uint32_t overflow;  ///< an Overflow
  std::uint32_t barrier;   ///< as in Cursor
  std::uint32_t for_link;  ///< 1: it takes messages to another node, so none that came from one
  std::uint32_t history;   ///< messages from before that it asked for
  Name topic;
};

/// Where one subscription stands in one publication. Whichever of the two comes second makes it.
struct CursorEntry {
  std::atomic<std::uint32_t> state;
  std::uint32_t subscription;
  std::uint32_t member;  ///< of the subscriber
  std::uint32_t publication;
  std::uint64_t publication_serial;
  std::atomic<std::uint32_t> adopted;  ///< the subscriber has mapped the list; until then the publisher frees the entry
  Cursor<> cursor;
};

struct RegionMemory {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t bytes;
  Name name;  ///< a descriptor's number may be that of another region by the time it is opened
  alignas(64) std::atomic<std::uint64_t> generation;  ///< number of changes
  alignas(64) std::array<Member, kMaxMembers> members;
  std::array<Publication, kMaxPublications> publications;
  std::array<Subscription, kMaxSubscriptions> subscriptions;
  std::array<CursorEntry, kMaxCursors> cursors;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// The start of a list's file, which its publisher alone maps writable. Entries follow at kListEntries, and blocks.
struct ListHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t entries;       ///< a power of two
  std::uint64_t serial;        ///< of the publication
  std::uint64_t block_offset;  ///< bytes from the start of the file
  std::uint64_t block_bytes;
  alignas(64) ListMarks<> marks;
};
inline constexpr std::size_t kListEntries = 4096;
static_assert(sizeof(ListHeader) <= kListEntries);

}  // namespace slotwire::blocks
