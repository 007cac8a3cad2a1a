// A set of slot numbers whose next member is found in constant time: three levels of 64-bit words.
// In hardware: a hierarchical find-first-set over one-bit-per-slot registers.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace slotwire::pipeline {

/// Set of numbers below a size fixed at construction (at most 262144). Nothing is allocated afterwards.
class Bitmap {
 public:
  static constexpr std::size_t kNone = ~std::size_t{0};

  explicit Bitmap(std::size_t size) : low_(words(size)), middle_(words(low_.size())), high_(words(middle_.size())) {}

  bool test(std::size_t i) const { return ((low_[i / 64] >> (i % 64)) & 1) != 0; }
  void set(std::size_t i) {
    low_[i / 64] |= bit(i);
    middle_[i / 4096] |= bit(i / 64);
    high_[i / 262144] |= bit(i / 4096);
  }
  void clear(std::size_t i) {
    if ((low_[i / 64] &= ~bit(i)) != 0) return;
    if ((middle_[i / 4096] &= ~bit(i / 64)) != 0) return;
    high_[i / 262144] &= ~bit(i / 4096);
  }
  bool any() const { return high_[0] != 0; }

  /// The first member at or after `from`, wrapping round; kNone if the set is empty.
  std::size_t next(std::size_t from) const {
    const std::size_t found = at_or_after(from);
    return found != kNone || from == 0 ? found : at_or_after(0);
  }
  /// The first member at or after `from`, without wrapping; kNone if there is none.
  std::size_t at_or_after(std::size_t from) const {
    if (from / 64 >= low_.size()) return kNone;
    if (const std::uint64_t w = low_[from / 64] & above(from % 64); w != 0) return lowest(from / 64, w);
    const std::size_t word = from / 64 + 1;
    if (word / 64 >= middle_.size()) return kNone;
    if (const std::uint64_t w = middle_[word / 64] & above(word % 64); w != 0) return descend(lowest(word / 64, w));
    const std::size_t group = word / 64 + 1;
    if (group >= 64) return kNone;
    const std::uint64_t w = high_[0] & above(group);
    if (w == 0) return kNone;
    const std::size_t middle = lowest(0, w);
    return descend(lowest(middle, middle_[middle]));
  }
  /// Adds every member of `other` (same size) and empties it. Costs a walk over the words, not over the members.
  void take_all(Bitmap& other) {
    merge(low_, other.low_);
    merge(middle_, other.middle_);
    merge(high_, other.high_);
  }

 private:
  static std::size_t words(std::size_t bits) { return bits == 0 ? 1 : (bits + 63) / 64; }
  static std::uint64_t bit(std::size_t i) { return std::uint64_t{1} << (i % 64); }
  static std::uint64_t above(std::size_t i) { return ~std::uint64_t{0} << i; }
  static std::size_t lowest(std::size_t word, std::uint64_t w) {
    return (word * 64) + static_cast<std::size_t>(std::countr_zero(w));
  }
  std::size_t descend(std::size_t word) const { return lowest(word, low_[word]); }
  static void merge(std::vector<std::uint64_t>& into, std::vector<std::uint64_t>& from) {
    for (std::size_t i = 0; i < into.size(); ++i) {
      into[i] |= from[i];
      from[i] = 0;
    }
  }

  std::vector<std::uint64_t> low_, middle_, high_;
};

}  // namespace slotwire::pipeline
