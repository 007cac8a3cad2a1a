#include "core/cache/cache.hpp"

#include <algorithm>
#include <chrono>
#include <new>
#include <thread>
#include <utility>

#include "core/cache/part.hpp"

namespace slotwire::cache {
namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000;
/// Looks of a reader at a key that writers keep moving.
constexpr int kLooks = 8;
/// Entries at the tail that one store spares for being asked for more often, before it gives up.
constexpr unsigned kMostSpared = 16;
/// The same if others wait for the reply. From kMostSpared on the one goes that was asked for least of those so far, at
/// the end the next one.
constexpr unsigned kMostSparedIfWanted = 64;
/// Words that are kept free, so that most items can be moved without a moment in which they are not there.
constexpr std::size_t kMostReserve = 1024;
/// Frequencies are halved after so many counts for each entry.
constexpr std::uint64_t kCountsPerEntry = 40;
/// How long a writer waits for another one.
constexpr std::chrono::milliseconds kPatience{20};
constexpr int kLooksBeforeYield = 64;
/// Waits for a lock between two questions whether its owner lives.
constexpr int kYieldsPerQuestion = 64;

void raise_to(Word& word, std::uint64_t value) {
  std::uint64_t found = word.load(std::memory_order_relaxed);
  while (found < value && !word.compare_exchange_weak(found, value, std::memory_order_seq_cst)) {
  }
}

Word& barrier_of(Shard& shard, std::uint64_t hash) {
  return shard.barriers[(hash >> 20) % kBarriers];
}

}  // namespace

/// The right to change a shard, if it was to be had.
class Cache::Lock {
 public:
  Lock(const Cache& cache, Part& part) : word_(part.shard().owner) {
    bool taken_over = false;
    held_ = cache.lock(word_, taken_over);
    if (!held_) return;
    part.check_marks();
    if (!taken_over) return;
    add(part.shard().locks_taken_over, 1);
    part.repair(cache.seed_);
  }
  ~Lock() {
    if (held_) word_.store(0, std::memory_order_release);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  explicit operator bool() const { return held_; }

 private:
  Word& word_;
  bool held_ = false;
};

void Cache::format(std::span<std::byte> memory, std::uint64_t seed, std::string_view label) {
  const Geometry geometry = Geometry::of(memory.size());
  Header& header = *new (memory.data()) Header;
  for (std::size_t i = 0; i < geometry.shards; ++i) {
    Part part(memory.data() + geometry.first_shard + (i * geometry.shard_bytes), geometry);
    // Not 0, which would make an index word that means nothing.
    part.shard().head.store(geometry.log_words);
    part.shard().tail.store(geometry.log_words);
  }
  header.seed.store(seed);
  for (std::size_t i = 0; i < std::min(label.size(), kMaxLabel); ++i) header.label[i].store(label[i]);
  header.bytes.store(memory.size());
  header.version.store(kVersion);
  header.magic.store(kMagic, std::memory_order_release);
}

std::string Cache::check(std::span<const std::byte> memory) {
  if (memory.size() < kMinBytes || memory.size() > kMaxBytes)
    return "it has " + std::to_string(memory.size()) + " bytes";
  const auto& header = *reinterpret_cast<const Header*>(memory.data());
  if (header.magic.load(std::memory_order_acquire) != kMagic) return "it is no cache";
  if (header.version.load() != kVersion) {
    return "it is of version " + std::to_string(header.version.load()) + ", this library of version " +
           std::to_string(kVersion);
  }
  if (header.bytes.load() != memory.size()) return "it was made for " + std::to_string(header.bytes.load()) + " bytes";
  return {};
}

Cache::Cache(std::span<std::byte> memory, Owner self, IsAlive is_alive)
    : memory_(memory),
      geometry_(Geometry::of(memory.size())),
      self_(self),
      is_alive_(std::move(is_alive)),
      seed_(header().seed.load()),
      stripe_(static_cast<std::size_t>(self) % kStripes) {}

bool Cache::lock(Word& word, bool& taken_over) const {
  taken_over = false;
  std::uint64_t found = 0;
  if (word.compare_exchange_strong(found, self_, std::memory_order_acquire)) return true;
  std::chrono::steady_clock::time_point end{};
  for (int look = 1;; ++look) {
    found = 0;
    if (word.load(std::memory_order_relaxed) == 0 &&
        word.compare_exchange_weak(found, self_, std::memory_order_acquire))
      return true;
    if (look < kLooksBeforeYield) continue;
    std::this_thread::yield();
    if (look % kYieldsPerQuestion != 0) continue;
    found = word.load(std::memory_order_relaxed);
    if (found != 0 && !is_alive_(found) && word.compare_exchange_strong(found, self_, std::memory_order_acquire)) {
      taken_over = true;
      return true;
    }
    const auto now = std::chrono::steady_clock::now();
    if (end == std::chrono::steady_clock::time_point{}) end = now + kPatience;
    if (now >= end) return false;
  }
}

std::optional<ServiceId> Cache::service(std::string_view name) {
  if (name.empty() || name.size() > kMaxName) return std::nullopt;
  const auto is_named = [&](const Service& service) {
    for (std::size_t i = 0; i <= name.size(); ++i) {
      if (service.name[i].load(std::memory_order_relaxed) != (i < name.size() ? name[i] : '\0')) return false;
    }
    return true;
  };
  const auto find = [&](ServiceId& free) -> std::optional<ServiceId> {
    for (free = 0; free < kMaxServices; ++free) {
      const Service& service = header().services[free];
      if (service.state.load(std::memory_order_acquire) == 0) break;
      if (is_named(service)) return free;
    }
    return std::nullopt;
  };
  ServiceId free = 0;
  if (const auto found = find(free)) return found;
  bool taken_over = false;
  if (!lock(header().registrar, taken_over)) return std::nullopt;
  auto found = find(free);
  if (!found && free < kMaxServices) {
    Service& service = header().services[free];
    for (std::size_t i = 0; i <= name.size(); ++i)
      service.name[i].store(i < name.size() ? name[i] : '\0', std::memory_order_relaxed);
    service.state.store(1, std::memory_order_release);
    found = free;
  }
  header().registrar.store(0, std::memory_order_release);
  return found;
}

Key Cache::key(ServiceId service, std::span<const std::byte> bytes) const {
  return {service, bytes, hash_of(seed_, service, bytes)};
}

Part Cache::part(std::size_t shard) const {
  return {memory_.data() + geometry_.first_shard + (shard * geometry_.shard_bytes), geometry_};
}

Part Cache::part_of(std::uint64_t hash) const {
  return part(static_cast<std::size_t>(hash >> 58) & (geometry_.shards - 1));
}

Counters& Cache::counters(ServiceId service) const {
  return header().services[service].counters[stripe_];
}

Word& Cache::tag_word(ServiceId service, std::uint64_t tag) const {
  const std::uint64_t mixed = (tag ^ (std::uint64_t{service} << 32)) * 0x9e37'79b9'7f4a'7c15;
  return header().tags[(mixed >> 40) % kTags];
}

std::size_t Cache::largest_value(std::size_t key_length) const {
  const std::size_t most = geometry_.largest_item * sizeof(Word);
  const std::size_t other = (Item::kHeaderWords * sizeof(Word)) + key_length + sizeof(Word);
  return most > other ? most - other : 0;
}

bool Cache::is_valid(const Item& item, const Shard& shard, Time now) const {
  if (now < item.asked || now - item.asked >= item.ttl_ms * kNsPerMs) return false;
  if (item.asked <= shard.dead_before.load(std::memory_order_relaxed)) return false;
  if (item.asked <= header().services[item.service].dead_before.load(std::memory_order_relaxed)) return false;
  return item.tag == 0 || item.asked > tag_word(item.service, item.tag).load(std::memory_order_relaxed);
}

bool Cache::matches(const Part& part, const Item& item, const Key& key) const {
  return item.service == key.service && item.key_length == key.bytes.size() &&
         equals(part.at(item.position).subspan(item.header_words()), key.bytes);
}

std::optional<Found> Cache::find(const Key& key, Time now, std::vector<std::byte>& buffer, bool again) {
  Part part = part_of(key.hash);
  Shard& shard = part.shard();
  Counters& counted = counters(key.service);
  if (!again && part.frequencies().add(key.hash)) {
    // Two that count at once may lose one.
    shard.additions.store(shard.additions.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  bool moved = true;
  for (int look = 0; look < kLooks && moved; ++look) {
    moved = false;
    for (const auto bucket : part.buckets(key.hash)) {
      for (Word& slot : bucket) {
        const std::uint64_t word = slot.load(std::memory_order_acquire);
        if (!Part::has_tag(word, key.hash)) continue;
        const Position position = Part::position_in(word);
        const std::optional<Item> item = position < part.tail() ? std::nullopt : part.item_at(position);
        const bool is_it = item && !item->filler && matches(part, *item, key);
        std::size_t offset = 0;
        if (is_it) {
          // From the word in which the value begins.
          offset = item->value_offset() % sizeof(Word);
          const std::size_t first = item->value_offset() / sizeof(Word);
          const std::size_t words = item->words - first;
          if (buffer.size() < words * sizeof(Word)) buffer.resize(words * sizeof(Word));
          load_words(part.at(position).subspan(first, words), buffer.data());
        }
        std::atomic_thread_fence(std::memory_order_acquire);
        if (position < shard.tail.load(std::memory_order_relaxed)) {
          moved = moved || slot.load(std::memory_order_relaxed) != word;
          continue;
        }
        if (!is_it || !is_valid(*item, shard, now)) continue;
        const std::uint64_t age_ms = (now - item->asked) / kNsPerMs;
        add(counted.hits, 1);
        if (again) counted.misses.fetch_sub(1, std::memory_order_relaxed);  // the first look was counted as one
        add(counted.hit_bytes, item->value_length);
        if (age_ms != 0) add(counted.hit_age_ms, age_ms);
        raise_to(counted.oldest_hit_ms, age_ms);
        return Found{offset, item->value_length, item->asked};
      }
    }
  }
  if (!again) add(counted.misses, 1);
  return std::nullopt;
}

Word* Cache::slot_of(const Part& part, const Key& key, std::optional<Item>& item) const {
  for (const auto bucket : part.buckets(key.hash)) {
    for (Word& slot : bucket) {
      const std::uint64_t word = slot.load(std::memory_order_relaxed);
      if (!Part::has_tag(word, key.hash)) continue;
      item = part.item_named(word);
      if (item && matches(part, *item, key)) return &slot;
    }
  }
  item.reset();
  return nullptr;
}

Word* Cache::choose_slot(Part& part, const Key& key, Time now, std::uint64_t frequency, bool wanted) {
  // Of two buckets the emptier one: so both are rarely full.
  Word* free = nullptr;
  int most = 0;
  for (const auto bucket : part.buckets(key.hash)) {
    Word* first = nullptr;
    int count = 0;
    for (Word& slot : bucket) {
      if (!part.is_free(slot)) continue;
      ++count;
      first = &slot;
    }
    if (count <= most) continue;
    most = count;
    free = first;
  }
  if (free != nullptr) return free;
  for (const auto bucket : part.buckets(key.hash)) {
    for (Word& slot : bucket) {
      if (part.move_to_other_bucket(slot, seed_)) return &slot;
    }
  }
  std::uint64_t least = Frequencies::kMost + 1;
  Word* found = nullptr;
  std::optional<Item> victim;
  for (const auto bucket : part.buckets(key.hash)) {
    for (Word& slot : bucket) {
      const std::optional<Item> item = part.item_named(slot.load(std::memory_order_relaxed));
      if (!item || !is_valid(*item, part.shard(), now)) {
        if (item) add(counters(item->service).expirations, 1);
        part.remove(slot);
        return &slot;
      }
      const std::uint64_t count = part.frequencies().estimate(part.hash_of_item(*item, seed_));
      if (count >= least) continue;
      least = count;
      found = &slot;
      victim = item;
    }
  }
  if (!wanted && least >= frequency) return nullptr;
  add(counters(victim->service).evictions, 1);
  part.remove(*found);
  return found;
}

/// A search for room at the tail of a log.
struct Cache::Search {
  std::size_t words = 0;        ///< of the new item
  std::uint64_t frequency = 0;  ///< of its key
  bool wanted = false;
  unsigned spared = 0;
  std::uint64_t least = Frequencies::kMost;  ///< frequency of those that were spared

  bool is_over() const { return spared >= (wanted ? kMostSparedIfWanted : kMostSpared); }
  bool may_go(std::uint64_t its) const {
    return its < frequency || (wanted && spared >= kMostSpared && (its <= least || is_over()));
  }
};

bool Cache::pass_tail(Part& part, const Key& key, Time now, Search& search) {
  const Position tail = part.tail();
  const std::size_t left = part.at(tail).size();
  if (left < Item::kHeaderWords) {
    part.pass_tail(left);
    return true;
  }
  const std::optional<Item> item = part.item_at(tail);
  if (!item || item->words == 0 || item->words > part.head() - tail) {
    part.reset();  // somebody wrote what no writer writes
    return true;
  }
  const std::uint64_t hash = item->filler ? 0 : part.hash_of_item(*item, seed_);
  Word* const slot = item->filler ? nullptr : part.slot_naming(hash, tail);
  if (slot == nullptr) {
    part.pass_tail(item->words);
    return true;
  }
  const auto pass = [&](Word& counter) {
    add(counter, 1);
    part.remove(*slot);
    part.pass_tail(item->words);
    return true;
  };
  Counters& its = counters(item->service);
  if (!is_valid(*item, part.shard(), now)) return pass(its.expirations);
  const std::uint64_t half = part.log_words() * sizeof(Word) / 2;
  const auto bytes_of = [&](ServiceId service) {
    return part.shard().accounts[service].bytes.load(std::memory_order_relaxed);
  };
  const bool same = item->service == key.service;
  const bool is_over = bytes_of(key.service) + (search.words * sizeof(Word)) > half;
  if (!same && !is_over && bytes_of(item->service) > half) return pass(its.evictions);
  const bool may_go = same || !is_over;  // who has its share takes nothing from others
  const std::uint64_t frequency = part.frequencies().estimate(hash);
  if (may_go && search.may_go(frequency)) return pass(its.evictions);
  if (search.is_over()) return false;
  ++search.spared;
  if (may_go) search.least = std::min(search.least, frequency);
  if (!part.spare(*item, *slot, hash)) add(its.evictions, 1);
  return true;
}

bool Cache::make_room(Part& part, const Key& key, std::size_t words, Time now, std::uint64_t frequency, bool wanted) {
  const std::size_t reserve = std::min(part.log_words() / 32, kMostReserve);
  Search search{.words = words, .frequency = frequency, .wanted = wanted};
  while (part.free_words() < part.needed(words) + reserve) {
    if (!pass_tail(part, key, now, search)) return false;
  }
  return true;
}

Stored Cache::store(const Key& key, const Reply& reply, Time now, bool wanted) {
  Counters& counted = counters(key.service);
  const auto refuse = [&](Stored why) {
    add(counted.refused, 1);
    return why;
  };
  if (key.bytes.size() > kMaxInnerKey || reply.value.size() > largest_value(key.bytes.size()))
    return refuse(Stored::too_large);
  Item item{.value_length = static_cast<std::uint32_t>(reply.value.size()),
            .ttl_ms = reply.ttl_ms,
            .key_length = static_cast<std::uint16_t>(key.bytes.size()),
            .service = static_cast<std::uint8_t>(key.service),
            .asked = reply.asked,
            .tag = reply.tag,
            .words = Item::words_for(key.bytes.size(), reply.value.size(), reply.tag != 0)};
  Part part = part_of(key.hash);
  const Lock lock(*this, part);
  if (!lock) return refuse(Stored::busy);
  Shard& shard = part.shard();
  if (reply.asked <= barrier_of(shard, key.hash).load(std::memory_order_relaxed) || !is_valid(item, shard, now))
    return refuse(Stored::invalidated);
  if (shard.additions.load(std::memory_order_relaxed) >
      kCountsPerEntry * std::max<std::uint64_t>(part.entries(), part.index().size() / 16)) {
    part.frequencies().halve();
    shard.additions.store(shard.additions.load(std::memory_order_relaxed) / 2, std::memory_order_relaxed);
  }
  const std::uint64_t frequency = part.frequencies().estimate(key.hash);
  std::optional<Item> old;
  Word* slot = slot_of(part, key, old);
  if (slot != nullptr) {
    if (is_valid(*old, shard, now)) {
      if (old->asked > reply.asked) return refuse(Stored::older);
    } else {
      add(counted.expirations, 1);
    }
    wanted = true;  // it has its place
  } else {
    slot = choose_slot(part, key, now, frequency, wanted);
    if (slot == nullptr) return refuse(Stored::no_room);
  }
  if (!make_room(part, key, item.words, now, frequency, wanted)) return refuse(Stored::no_room);
  const Position position = part.append(item, [&](std::span<Word> to) {
    const auto byte_at = [&](std::size_t at, std::uint64_t& word) {
      // A word that has the end of the key and the start of the value is put together from both.
      const std::size_t from_key = at < key.bytes.size() ? std::min(sizeof word, key.bytes.size() - at) : 0;
      if (from_key != 0) std::memcpy(&word, key.bytes.data() + at, from_key);
      const std::size_t value_at = at + from_key - key.bytes.size();
      const std::size_t from_value = std::min(sizeof word - from_key, reply.value.size() - value_at);
      if (from_key < sizeof word && from_value != 0)
        std::memcpy(reinterpret_cast<std::byte*>(&word) + from_key, reply.value.data() + value_at, from_value);
    };
    for (std::size_t i = 0; i < to.size(); ++i) {
      std::uint64_t word = 0;
      byte_at(i * sizeof word, word);
      to[i].store(word, std::memory_order_relaxed);
    }
  });
  if (const std::optional<Item> replaced = part.item_named(slot->load(std::memory_order_relaxed)))
    part.account(*replaced, false);
  slot->store(Part::index_word(key.hash, position), std::memory_order_release);
  part.account(item, true);
  add(counted.stores, 1);
  return Stored::yes;
}

void Cache::invalidate(const Key& key, Time now) {
  add(counters(key.service).invalidations, 1);
  Part part = part_of(key.hash);
  const Lock lock(*this, part);
  if (!lock) {
    // Its writer does not come on: then everything in the shard is too old.
    raise_to(part.shard().dead_before, now);
    return;
  }
  raise_to(barrier_of(part.shard(), key.hash), now);
  std::optional<Item> item;
  if (Word* const slot = slot_of(part, key, item); slot != nullptr && item->asked <= now) part.remove(*slot);
}

void Cache::invalidate_tag(ServiceId service, std::uint64_t tag, Time now) {
  add(counters(service).invalidations, 1);
  raise_to(tag_word(service, tag), now);
}

void Cache::invalidate_all(ServiceId service, Time now) {
  add(counters(service).invalidations, 1);
  raise_to(header().services[service].dead_before, now);
}

}  // namespace slotwire::cache
