// The exchange cache as it lies in shared memory ("Layout" in docs/cache.md).
//
// All processes of one user map it writable. Whatever stands in it is checked before it is used as a place or a length,
// so that damaged memory costs entries and never a crash. Everything is made of atomics: readers copy while writers
// write, and find out afterwards whether what they copied still counts.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace slotwire::cache {

inline constexpr std::uint64_t kMagic = 0x0065'6863'6163'7773;  // "swcache", little-endian
inline constexpr std::uint32_t kVersion = 1;

inline constexpr std::size_t kMinBytes = std::size_t{1} << 20;  ///< of a whole cache
inline constexpr std::size_t kMaxBytes = std::size_t{1} << 36;
inline constexpr std::size_t kMaxKey = 1024;              ///< bytes of a key as programs give it
inline constexpr std::size_t kMaxInnerKey = kMaxKey + 8;  ///< with what the library puts before it
inline constexpr std::size_t kMaxServices = 64;
inline constexpr std::size_t kMaxName = 63;    ///< bytes of a service's name
inline constexpr std::size_t kMaxLabel = 191;  ///< bytes of what names the node
inline constexpr std::size_t kTags = 4096;     ///< places for the times at which tags were invalidated
inline constexpr std::size_t kFlights = 1024;
inline constexpr std::size_t kStripes = 8;  ///< of a service's counters, so that processes rarely share one
inline constexpr std::size_t kBarriers = 256;
inline constexpr std::size_t kBucketEntries = 8;

using Word = std::atomic<std::uint64_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == sizeof(std::uint64_t));

/// Who holds something: the process's number in the low 22 bits, its start time in clock ticks in the rest. 0: nobody.
using Owner = std::uint64_t;
inline constexpr unsigned kPidBits = 22;  // the kernel's limit of pid_max is 2^22

/// What a service's calls met. Each counter belongs to one stripe.
struct alignas(64) Counters {
  Word hits, misses, stores, refused, evictions, expirations, invalidations, waits, hit_bytes, hit_age_ms,
      oldest_hit_ms;
};

struct alignas(64) Service {
  std::atomic<std::uint32_t> state;  ///< not 0: in use, for good
  std::array<std::atomic<char>, kMaxName + 1> name;
  Word dead_before;  ///< entries whose request was sent at this time or before are invalid
  std::array<Counters, kStripes> counters;
};

/// A call that is on its way for a key ("What is guaranteed" in docs/cache.md).
struct alignas(64) Flight {
  Word claim;     ///< 0: free; else a tag of the key (24 bits), and 40 bits of its Owner
  Word deadline;  ///< when others stop waiting: milliseconds (40 bits), and whose deadline it is; 0: not known yet
  Word outcome;   ///< of the call that ended last: the tag and a FlightOutcome
  std::atomic<std::uint32_t> turn;        ///< counts ends of calls: what waiters sleep on
  std::atomic<std::uint32_t> waited_for;  ///< not 0: somebody may sleep
};

/// What a service has in one shard.
struct Account {
  Word entries, bytes;
};

/// A part of the cache with a log, an index and a lock of its own. `tail` and `head` are positions: numbers of words of
/// 8 bytes that were ever written to the log.
struct alignas(64) Shard {
  alignas(64) Word owner;  ///< the writer; 0: none
  alignas(64) Word tail;   ///< what lies before it is no more
  Word dead_before;        ///< as Service::dead_before
  alignas(64) Word head;   ///< where the next item goes
  Word additions;          ///< to the frequencies, since they were halved
  Word locks_taken_over;   ///< from processes that died
  std::array<Account, kMaxServices> accounts;
  /// Times of invalidation, by the hash of the key: a reply whose request was sent before is not stored.
  std::array<Word, kBarriers> barriers;
};

struct Header {
  Word magic;
  std::atomic<std::uint32_t> version;
  Word bytes;
  Word seed;                                           ///< of the hashes of keys
  std::array<std::atomic<char>, kMaxLabel + 1> label;  ///< names the node for people
  alignas(64) Word registrar;                          ///< lock of `services`
  std::array<Service, kMaxServices> services;
  std::array<Word, kTags> tags;
  std::array<Flight, kFlights> flights;
};

/// Where everything lies in a cache of so many bytes. Follows from the size alone.
struct Geometry {
  std::size_t bytes = 0;
  std::size_t shards = 0;
  std::size_t first_shard = 0;      ///< bytes from the start
  std::size_t shard_bytes = 0;      ///< from one shard to the next
  std::size_t index = 0;            ///< bytes from the start of a shard
  std::size_t buckets = 0;          ///< of the index, of kBucketEntries words each
  std::size_t frequencies = 0;      ///< bytes from the start of a shard
  std::size_t frequency_lines = 0;  ///< of 64 bytes each
  std::size_t log = 0;              ///< bytes from the start of a shard
  std::size_t log_words = 0;
  std::size_t largest_item = 0;  ///< words

  /// `bytes` between kMinBytes and kMaxBytes.
  static Geometry of(std::size_t bytes);
};

}  // namespace slotwire::cache
