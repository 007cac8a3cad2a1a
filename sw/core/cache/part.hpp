// A shard as one process sees it: its log and its index, and how both change step by step. What is kept and what goes
// is decided in cache.cpp.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/cache/frequency.hpp"
#include "core/cache/item.hpp"
#include "core/cache/layout.hpp"

namespace slotwire::cache {

/// Bits of an index word that are the key's; the rest is a position.
inline constexpr unsigned kTagBits = 16;
inline constexpr Position kMaxPosition = Position{1} << (64 - kTagBits);

/// A hash of bytes; the same in every process.
std::uint64_t hash_of(std::uint64_t seed, std::uint32_t service, std::span<const std::byte> bytes);

class Part {
 public:
  Part(std::byte* memory, const Geometry& geometry);

  Shard& shard() const { return *shard_; }
  Frequencies& frequencies() { return frequencies_; }
  std::span<Word> index() const { return index_; }

  Position tail() const { return shard_->tail.load(std::memory_order_acquire); }
  Position head() const { return shard_->head.load(std::memory_order_acquire); }
  std::size_t log_words() const { return log_.size(); }

  /// The log from `position` to its end.
  std::span<Word> at(Position position) const { return log_.subspan(position % log_.size()); }
  std::optional<Item> item_at(Position position) const { return Item::decode(at(position), position); }

  /// The places that a key can have in the index.
  std::array<std::span<Word, kBucketEntries>, 2> buckets(std::uint64_t hash) const;
  static std::uint64_t index_word(std::uint64_t hash, Position position) {
    return (position << kTagBits) | tag_of(hash);
  }
  static bool has_tag(std::uint64_t word, std::uint64_t hash) {
    return word != 0 && (word & ((1U << kTagBits) - 1)) == tag_of(hash);
  }
  static Position position_in(std::uint64_t word) { return word >> kTagBits; }
  /// The place in the index that names exactly this item; nullptr: the item is not in use.
  Word* slot_naming(std::uint64_t hash, Position position) const;
  /// The item that an index word names. None: it names nothing that is there.
  std::optional<Item> item_named(std::uint64_t word) const;
  /// A place in the index that names nothing which is in the log.
  bool is_free(const Word& slot) const {
    const std::uint64_t word = slot.load(std::memory_order_relaxed);
    return word == 0 || position_in(word) < tail();
  }
  std::uint64_t hash_of_item(const Item& item, std::uint64_t seed) const;

  // For the owner of the shard. Each leaves the shard right after every single store.

  /// The tail and the head make sense; else everything in the shard is given up.
  void check_marks();
  void reset();
  std::size_t free_words() const { return log_.size() - (head() - tail()); }
  /// Words that an item needs now, with those that are skipped at the end of the log.
  std::size_t needed(std::size_t words) const;
  void pass_tail(std::size_t words);
  /// Appends an item, for which there is room; it is not in the index yet. `write` fills the words of its key and
  /// value.
  template <typename Write>
  Position append(Item item, Write&& write) {
    skip_to(item.words);
    // Whoever still reads what was here finds the tail moved.
    std::atomic_thread_fence(std::memory_order_release);
    item.position = head();
    const std::span<Word> place = at(item.position);
    const auto header = item.encode();
    for (std::size_t i = 0; i < item.header_words(); ++i) place[i].store(header[i], std::memory_order_relaxed);
    write(place.subspan(item.header_words(), item.words - item.header_words()));
    shard_->head.store(item.position + item.words, std::memory_order_release);
    return item.position;
  }
  /// Takes the item of an index place out.
  void remove(Word& slot);
  /// Has the item of `slot` named by a place of its other bucket, if there is one.
  bool move_to_other_bucket(Word& slot, std::uint64_t seed);
  /// Moves the item at the tail, which `slot` names, to the head. False: there was no room, and it is gone.
  bool spare(const Item& item, Word& slot, std::uint64_t hash);
  void account(const Item& item, bool in);
  /// Puts right what a writer that died may have left: an item that is named twice, and what each service has.
  void repair(std::uint64_t seed);
  std::uint64_t entries() const;

 private:
  static std::uint64_t tag_of(std::uint64_t hash) { return hash & ((1U << kTagBits) - 1); }
  void skip_to(std::size_t words);

  Shard* shard_;
  std::span<Word> index_, log_;
  Frequencies frequencies_;
};

}  // namespace slotwire::cache
