// What a cache has and what it met, and whether everything in it is right.
#include <algorithm>
#include <set>

#include "core/cache/cache.hpp"
#include "core/cache/part.hpp"

namespace slotwire::cache {

namespace {

template <std::size_t N>
std::string text_of(const std::array<std::atomic<char>, N>& characters) {
  std::string text;
  for (const auto& character : characters) {
    const char c = character.load(std::memory_order_relaxed);
    if (c == '\0') break;
    text += c;
  }
  return text;
}

}  // namespace

std::string Cache::label() const {
  return text_of(header().label);
}

std::vector<Totals> Cache::totals() const {
  std::vector<Totals> all;
  for (ServiceId id = 0; id < kMaxServices; ++id) {
    const Service& service = header().services[id];
    if (service.state.load(std::memory_order_acquire) == 0) break;
    Totals totals;
    totals.name = text_of(service.name);
    const auto read = [](const Word& word) { return word.load(std::memory_order_relaxed); };
    for (const Counters& one : service.counters) {
      totals.hits += read(one.hits);
      totals.misses += read(one.misses);
      totals.stores += read(one.stores);
      totals.refused += read(one.refused);
      totals.evictions += read(one.evictions);
      totals.expirations += read(one.expirations);
      totals.invalidations += read(one.invalidations);
      totals.waits += read(one.waits);
      totals.hit_bytes += read(one.hit_bytes);
      totals.hit_age_ms += read(one.hit_age_ms);
      totals.oldest_hit_ms = std::max(totals.oldest_hit_ms, read(one.oldest_hit_ms));
    }
    for (std::size_t i = 0; i < geometry_.shards; ++i) {
      const Account& account = part(i).shard().accounts[id];
      totals.entries += read(account.entries);
      totals.bytes += read(account.bytes);
    }
    all.push_back(std::move(totals));
  }
  return all;
}

std::uint64_t Cache::locks_taken_over() const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < geometry_.shards; ++i)
    sum += part(i).shard().locks_taken_over.load(std::memory_order_relaxed);
  return sum;
}

std::string Cache::audit(Time now) const {
  for (std::size_t number = 0; number < geometry_.shards; ++number) {
    const Part part = this->part(number);
    const std::string where = "shard " + std::to_string(number) + ": ";
    if (part.head() - part.tail() > part.log_words()) return where + "its marks are more than a log apart";
    std::set<Position> starts;
    for (Position position = part.tail(); position < part.head();) {
      const std::size_t left = part.at(position).size();
      if (left < Item::kHeaderWords) {
        position += left;
        continue;
      }
      const std::optional<Item> item = part.item_at(position);
      if (!item || item->words == 0 || item->words > part.head() - position)
        return where + "there is no whole item at " + std::to_string(position);
      starts.insert(position);
      position += item->words;
    }
    std::set<std::string> keys;
    for (const Word& slot : part.index()) {
      const std::uint64_t word = slot.load();
      if (word == 0 || Part::position_in(word) < part.tail()) continue;
      const std::optional<Item> item = part.item_named(word);
      if (!item || !starts.contains(item->position)) return where + "the index names what is no item";
      const std::uint64_t hash = part.hash_of_item(*item, seed_);
      if (part_of(hash).index().data() != part.index().data() || part.slot_naming(hash, item->position) != &slot)
        return where + "an entry is not in its place";
      std::string key(kMaxInnerKey + sizeof(Word), '\0');
      const std::size_t words = (item->key_length + sizeof(Word) - 1) / sizeof(Word);
      load_words(part.at(item->position).subspan(item->header_words(), words),
                 reinterpret_cast<std::byte*>(key.data()));
      key.resize(item->key_length);
      if (!keys.insert(std::to_string(item->service) + ":" + key).second && is_valid(*item, part.shard(), now))
        return where + "a key is there twice";
    }
  }
  return {};
}

}  // namespace slotwire::cache
