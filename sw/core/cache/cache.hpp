// The exchange cache: replies by service and key, in memory that any number of processes share ("Layout" in
// docs/cache.md).
//
// A cache is split into shards. Each has a log, a ring of items that are never changed once they are visible, and an
// index of words that name items by their position. Readers take no lock: they copy an item and then look whether the
// log's tail has passed it meanwhile. Writers of a shard exclude each other by its owner word. Every change becomes
// visible by one store, so a writer that dies at any step leaves entries that are whole or not there, and a lock that
// the next writer takes over.
//
// Times are nanoseconds of one clock that all processes share (CLOCK_BOOTTIME). Standard library only.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/cache/flights.hpp"
#include "core/cache/frequency.hpp"
#include "core/cache/layout.hpp"

namespace slotwire::cache {

using ServiceId = std::uint32_t;
using Time = std::uint64_t;

/// Whether the process that an Owner names still runs.
using IsAlive = std::function<bool(Owner)>;

/// A key of a service. The bytes stay the caller's.
struct Key {
  ServiceId service = 0;
  std::span<const std::byte> bytes;
  std::uint64_t hash = 0;
};

/// A reply to keep.
struct Reply {
  std::span<const std::byte> value;
  Time asked = 0;            ///< when the request was sent: its time to live counts from here
  std::uint32_t ttl_ms = 0;  ///< 0: never valid
  std::uint64_t tag = 0;     ///< by which it can be invalidated; 0: none
};

/// Where find() put a value.
struct Found {
  std::size_t offset = 0;  ///< of the value in the buffer
  std::size_t length = 0;
  Time asked = 0;
};

enum class Stored {
  yes,
  too_large,    ///< key or value beyond the limits
  no_room,      ///< others were asked for more often, or the service has its share
  older,        ///< what is there was asked for later
  invalidated,  ///< its request was sent before an invalidation, or its time is over
  busy,         ///< another writer had the shard for too long
};

struct Item;
class Part;

/// Sums of a service.
struct Totals {
  std::string name;
  std::uint64_t hits = 0, misses = 0, stores = 0, refused = 0, evictions = 0, expirations = 0, invalidations = 0,
                waits = 0, hit_bytes = 0, hit_age_ms = 0, oldest_hit_ms = 0;
  std::uint64_t entries = 0, bytes = 0;
};

/// One process's view of a cache. Any thread.
class Cache {
 public:
  /// Makes a cache in zeroed memory, aligned to 64 bytes. `label` names whose it is; a long one is cut.
  static void format(std::span<std::byte> memory, std::uint64_t seed, std::string_view label = {});
  /// Empty, or what is wrong with this memory.
  static std::string check(std::span<const std::byte> memory);

  /// `memory` passed check(). `self` names this process; not 0.
  Cache(std::span<std::byte> memory, Owner self, IsAlive is_alive);

  /// The number of a service, which is given one if need be. None: there are kMaxServices already, the name is too
  /// long, or another process had the list for too long.
  std::optional<ServiceId> service(std::string_view name);
  /// A key of at most kMaxInnerKey bytes.
  Key key(ServiceId service, std::span<const std::byte> bytes) const;

  /// Copies the value into `buffer`, which grows if need be. `again`: after a miss; it is not counted as asked for once
  /// more, and a hit takes the place of the miss.
  std::optional<Found> find(const Key& key, Time now, std::vector<std::byte>& buffer, bool again = false);
  /// Keeps a reply. `wanted`: others wait for it, so it is kept even if other entries are asked for more often.
  Stored store(const Key& key, const Reply& reply, Time now, bool wanted = false);
  /// After these, no entry is found and none is stored whose request was sent at `now` or before.
  void invalidate(const Key& key, Time now);
  /// Also invalidates tags with the same place, of which there are kTags.
  void invalidate_tag(ServiceId service, std::uint64_t tag, Time now);
  void invalidate_all(ServiceId service, Time now);

  Flights flights() { return Flights(std::span<Flight, kFlights>(header().flights)); }
  Owner self() const { return self_; }
  bool is_alive(Owner owner) const { return is_alive_(owner); }
  void count_wait(ServiceId service) { add(counters(service).waits, 1); }

  std::string label() const;
  /// Of every service that has a number.
  std::vector<Totals> totals() const;
  /// Locks that were taken over from processes which died.
  std::uint64_t locks_taken_over() const;
  const Geometry& geometry() const { return geometry_; }
  /// Bytes of the largest value that is kept with a key of `key_length` bytes.
  std::size_t largest_value(std::size_t key_length) const;
  /// Looks at everything, with no writer about. Empty, or what is wrong. For tests.
  std::string audit(Time now) const;

 private:
  class Lock;

  Header& header() const { return *reinterpret_cast<Header*>(memory_.data()); }
  Part part_of(std::uint64_t hash) const;
  Part part(std::size_t shard) const;
  Counters& counters(ServiceId service) const;
  static void add(Word& word, std::uint64_t n) { word.fetch_add(n, std::memory_order_relaxed); }
  Word& tag_word(ServiceId service, std::uint64_t tag) const;
  /// Whether an entry is valid at `now`, by its times and by what was invalidated.
  bool is_valid(const Item& item, const Shard& shard, Time now) const;
  bool matches(const Part& part, const Item& item, const Key& key) const;
  Word* slot_of(const Part& part, const Key& key, std::optional<Item>& item) const;
  Word* choose_slot(Part& part, const Key& key, Time now, std::uint64_t frequency, bool wanted);
  bool make_room(Part& part, const Key& key, std::size_t words, Time now, std::uint64_t frequency, bool wanted);
  struct Search;
  bool pass_tail(Part& part, const Key& key, Time now, Search& search);
  bool lock(Word& word, bool& taken_over) const;

  std::span<std::byte> memory_;
  Geometry geometry_;
  Owner self_;
  IsAlive is_alive_;
  std::uint64_t seed_;
  std::size_t stripe_;
};

}  // namespace slotwire::cache
