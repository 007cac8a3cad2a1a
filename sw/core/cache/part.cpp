#include "core/cache/part.hpp"

#include <bit>

namespace slotwire::cache {
namespace {

std::uint64_t mixed(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58'476d'1ce4'e5b9;
  value = (value ^ (value >> 27)) * 0x94d0'49bb'1331'11eb;
  return value ^ (value >> 31);
}

constexpr std::size_t kShardBytes = std::size_t{8} << 20;
constexpr std::size_t kMaxShards = 64;
/// Bytes of a cache for one place in the index: less than the smallest entry takes with its place.
constexpr std::size_t kBytesPerPlace = 52;
/// Part of a shard that is for frequencies.
constexpr std::size_t kFrequencyShare = 10;
/// Part of a cache that one item may take at most, and part of a shard's log.
constexpr std::size_t kItemShare = 64, kItemShareOfLog = 4;

constexpr std::size_t rounded_up(std::size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

}  // namespace

Geometry Geometry::of(std::size_t bytes) {
  Geometry g;
  g.bytes = bytes;
  g.shards = std::bit_floor(std::clamp<std::size_t>(bytes / kShardBytes, 1, kMaxShards));
  g.first_shard = rounded_up(sizeof(Header));
  g.shard_bytes = (bytes - g.first_shard) / g.shards / 64 * 64;
  g.index = rounded_up(sizeof(Shard));
  g.buckets = g.shard_bytes / kBytesPerPlace / kBucketEntries;
  g.frequencies = g.index + (g.buckets * kBucketEntries * sizeof(Word));
  g.frequency_lines = g.shard_bytes / kFrequencyShare / 64;
  g.log = g.frequencies + (g.frequency_lines * 64);
  g.log_words = (g.shard_bytes - g.log) / sizeof(Word);
  g.largest_item = std::min(bytes / kItemShare / sizeof(Word), g.log_words / kItemShareOfLog);
  return g;
}

std::uint64_t hash_of(std::uint64_t seed, std::uint32_t service, std::span<const std::byte> bytes) {
  std::uint64_t hash = mixed(seed + (std::uint64_t{service} << 32) + bytes.size());
  while (!bytes.empty()) {
    std::uint64_t word = 0;
    const std::size_t n = std::min(sizeof word, bytes.size());
    std::memcpy(&word, bytes.data(), n);
    hash = (std::rotl(hash, 23) ^ word) * 0x9e37'79b9'7f4a'7c15;
    hash ^= hash >> 32;
    bytes = bytes.subspan(n);
  }
  return mixed(hash);
}

Part::Part(std::byte* memory, const Geometry& geometry)
    : shard_(reinterpret_cast<Shard*>(memory)),
      index_(reinterpret_cast<Word*>(memory + geometry.index), geometry.buckets * kBucketEntries),
      log_(reinterpret_cast<Word*>(memory + geometry.log), geometry.log_words),
      frequencies_(
          {reinterpret_cast<Word*>(memory + geometry.frequencies), geometry.frequency_lines * (64 / sizeof(Word))}) {}

std::array<std::span<Word, kBucketEntries>, 2> Part::buckets(std::uint64_t hash) const {
  const std::uint64_t count = index_.size() / kBucketEntries;
  // The high half of a product of 32 bits each: even, and no division.
  const auto bucket = [&](std::uint64_t bits) {
    const std::uint64_t number = ((bits & 0xffff'ffff) * count) >> 32;
    return std::span<Word, kBucketEntries>(index_.subspan(number * kBucketEntries, kBucketEntries));
  };
  return {bucket(hash >> 16), bucket((hash ^ (hash >> 33)) * 0xff51'afd7'ed55'8ccd >> 32)};
}

Word* Part::slot_naming(std::uint64_t hash, Position position) const {
  const std::uint64_t word = index_word(hash, position);
  for (const auto bucket : buckets(hash)) {
    for (Word& slot : bucket) {
      if (slot.load(std::memory_order_relaxed) == word) return &slot;
    }
  }
  return nullptr;
}

std::optional<Item> Part::item_named(std::uint64_t word) const {
  const Position position = position_in(word);
  if (word == 0 || position < tail() || position >= head()) return std::nullopt;
  const std::optional<Item> item = item_at(position);
  return item && !item->filler ? item : std::nullopt;
}

std::uint64_t Part::hash_of_item(const Item& item, std::uint64_t seed) const {
  std::array<std::byte, kMaxInnerKey + sizeof(Word)> key;
  const std::size_t words = (item.key_length + sizeof(Word) - 1) / sizeof(Word);
  load_words(at(item.position).subspan(item.header_words(), words), key.data());
  return hash_of(seed, item.service, std::span(key).first(item.key_length));
}

void Part::check_marks() {
  if (head() - tail() > log_.size() || head() < log_.size() || head() > kMaxPosition / 2) reset();
}

void Part::reset() {
  for (Word& slot : index_) slot.store(0, std::memory_order_relaxed);
  for (Account& account : shard_->accounts) {
    account.entries.store(0, std::memory_order_relaxed);
    account.bytes.store(0, std::memory_order_relaxed);
  }
  const Position old = tail();
  // Forward, so that whoever is reading finds the tail past it.
  const Position next = old < kMaxPosition / 2 - (4 * log_.size()) ? old + (2 * log_.size()) : log_.size();
  shard_->head.store(next, std::memory_order_relaxed);
  shard_->tail.store(next, std::memory_order_release);
}

std::size_t Part::needed(std::size_t words) const {
  const std::size_t left = at(head()).size();
  return left < words ? left + words : words;
}

void Part::skip_to(std::size_t words) {
  const std::size_t left = at(head()).size();
  if (left >= words) return;
  std::atomic_thread_fence(std::memory_order_release);
  if (left >= Item::kHeaderWords) {
    Item filler{.position = head(), .filler = true, .words = left};
    const auto header = filler.encode();
    for (std::size_t i = 0; i < Item::kHeaderWords; ++i) at(head())[i].store(header[i], std::memory_order_relaxed);
  }
  shard_->head.store(head() + left, std::memory_order_release);
}

void Part::pass_tail(std::size_t words) {
  shard_->tail.store(tail() + words, std::memory_order_release);
}

void Part::account(const Item& item, bool in) {
  Account& account = shard_->accounts[item.service];
  const std::uint64_t bytes = item.words * sizeof(Word);
  const std::uint64_t entries = account.entries.load(std::memory_order_relaxed);
  const std::uint64_t all = account.bytes.load(std::memory_order_relaxed);
  account.entries.store(in ? entries + 1 : entries - std::min<std::uint64_t>(entries, 1), std::memory_order_relaxed);
  account.bytes.store(in ? all + bytes : all - std::min(all, bytes), std::memory_order_relaxed);
}

void Part::remove(Word& slot) {
  if (const std::optional<Item> item = item_named(slot.load(std::memory_order_relaxed))) account(*item, false);
  slot.store(0, std::memory_order_release);
}

bool Part::move_to_other_bucket(Word& slot, std::uint64_t seed) {
  const std::uint64_t word = slot.load(std::memory_order_relaxed);
  const std::optional<Item> item = item_named(word);
  if (!item) return false;
  for (const auto bucket : buckets(hash_of_item(*item, seed))) {
    if (&slot >= bucket.data() && &slot < bucket.data() + bucket.size()) continue;
    for (Word& other : bucket) {
      if (!is_free(other)) continue;
      // In both places for a moment. Readers that look there before and here after find nothing, and look again.
      other.store(word, std::memory_order_release);
      slot.store(0, std::memory_order_release);
      return true;
    }
  }
  return false;
}

bool Part::spare(const Item& item, Word& slot, std::uint64_t hash) {
  const std::span<Word> from = at(item.position).subspan(item.header_words(), item.words - item.header_words());
  if (free_words() >= needed(item.words)) {
    const Position position = append(item, [&](std::span<Word> to) {
      for (std::size_t i = 0; i < to.size(); ++i)
        to[i].store(from[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
    });
    slot.store(index_word(hash, position), std::memory_order_release);
    pass_tail(item.words);
    return true;
  }
  // Its own room is needed for it. Nobody finds it in the meantime.
  std::vector<std::uint64_t> copy(from.size());
  load_words(from, reinterpret_cast<std::byte*>(copy.data()));
  pass_tail(item.words);
  if (free_words() < needed(item.words)) {
    account(item, false);
    slot.store(0, std::memory_order_release);
    return false;
  }
  const Position position = append(item, [&](std::span<Word> to) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i].store(copy[i], std::memory_order_relaxed);
  });
  slot.store(index_word(hash, position), std::memory_order_release);
  return true;
}

void Part::repair(std::uint64_t seed) {
  for (Account& account : shard_->accounts) {
    account.entries.store(0, std::memory_order_relaxed);
    account.bytes.store(0, std::memory_order_relaxed);
  }
  for (Position position = tail(); position < head();) {
    const std::size_t left = at(position).size();
    if (left < Item::kHeaderWords) {
      position += left;
      continue;
    }
    const std::optional<Item> item = item_at(position);
    if (!item || item->words == 0) return reset();
    if (!item->filler) {
      const std::uint64_t hash = hash_of_item(*item, seed);
      if (const Word* const slot = slot_naming(hash, position); slot != nullptr) {
        account(*item, true);
        for (const auto bucket : buckets(hash)) {
          for (Word& other : bucket) {
            if (&other != slot && other.load(std::memory_order_relaxed) == slot->load(std::memory_order_relaxed))
              other.store(0, std::memory_order_release);
          }
        }
      }
    }
    position += item->words;
  }
}

std::uint64_t Part::entries() const {
  std::uint64_t sum = 0;
  for (const Account& account : shard_->accounts) sum += account.entries.load(std::memory_order_relaxed);
  return sum;
}

}  // namespace slotwire::cache
