// How often keys were asked for of late, also those that are not in the cache: a count-min sketch with counters of 4
// bits that are halved from time to time, as in "TinyLFU: A Highly Efficient Cache Admission Policy" (Einziger,
// Friedman and Manes, 2017). The four counters of a key lie in one line, so that a look costs one.
//
// Any number of threads and processes; two that count at once may lose a count.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/cache/layout.hpp"

namespace slotwire::cache {

class Frequencies {
 public:
  static constexpr std::uint64_t kMost = 15;
  static constexpr std::size_t kLineWords = 8;

  Frequencies() = default;
  /// `words`: whole lines of kLineWords words, fewer than 2^32 of them.
  explicit Frequencies(std::span<Word> words) : words_(words), lines_(words.size() / kLineWords) {}

  std::uint64_t estimate(std::uint64_t hash) const {
    std::uint64_t least = kMost;
    for (const Place place : places(hash)) least = std::min(least, count_at(place));
    return least;
  }
  /// Counts one more. False: the counters are at their limit.
  bool add(std::uint64_t hash) {
    const std::array<Place, kRows> all = places(hash);
    std::uint64_t least = kMost;
    for (const Place place : all) least = std::min(least, count_at(place));
    if (least == kMost) return false;
    // Only the smallest ones: the others count other keys, too.
    for (const Place place : all) {
      const std::uint64_t word = words_[place.word].load(std::memory_order_relaxed);
      if (((word >> place.shift) & kMost) == least)
        words_[place.word].store(word + (std::uint64_t{1} << place.shift), std::memory_order_relaxed);
    }
    return true;
  }
  void halve() {
    for (Word& word : words_) {
      const std::uint64_t old = word.load(std::memory_order_relaxed);
      if (old != 0) word.store((old >> 1) & 0x7777'7777'7777'7777, std::memory_order_relaxed);
    }
  }

 private:
  static constexpr std::size_t kRows = 4;
  struct Place {
    std::size_t word = 0;
    unsigned shift = 0;
  };
  std::array<Place, kRows> places(std::uint64_t hash) const {
    // Other bits than those that choose the shard and the buckets.
    const std::uint64_t mixed = (hash ^ (hash >> 29)) * 0xbf58'476d'1ce4'e5b9;
    const std::size_t line = static_cast<std::size_t>(((mixed >> 32) * lines_) >> 32) * kLineWords;
    std::array<Place, kRows> all;
    for (std::size_t row = 0; row < kRows; ++row) {
      const std::uint64_t bits = mixed >> (row * 5);  // the low 20 bits
      all[row] = {line + (row * 2) + (bits & 1), static_cast<unsigned>((bits >> 1) & 15) * 4};
    }
    return all;
  }
  std::uint64_t count_at(Place place) const {
    return (words_[place.word].load(std::memory_order_relaxed) >> place.shift) & kMost;
  }

  std::span<Word> words_;
  std::uint64_t lines_ = 0;
};

}  // namespace slotwire::cache
