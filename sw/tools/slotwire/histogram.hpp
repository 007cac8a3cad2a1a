// Durations in buckets whose width grows with the value: every figure is right to about 1.6 %, in memory of a fixed
// size.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace slotwire::cli {

/// Data without pointers, so that it can lie in memory shared between processes. One thread writes; others may read
/// meanwhile and see each count at most a moment late.
class Histogram {
 public:
  /// Adds one value, in nanoseconds; what is longer than about 18 minutes is counted as that.
  void add(std::uint64_t nanoseconds) {
    buckets_[index_of(nanoseconds)].grow(1);
    count_.grow(1);
    sum_.grow(nanoseconds);
    if (nanoseconds < least_) least_ = nanoseconds;
    if (nanoseconds > most_) most_ = nanoseconds;
  }
  void merge(const Histogram& other) {
    for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i].grow(other.buckets_[i]);
    count_.grow(other.count_);
    sum_.grow(other.sum_);
    if (other.least_ < least_) least_ = other.least_;
    if (other.most_ > most_) most_ = other.most_;
  }
  /// Takes away what an earlier state of this histogram held: what is left was added since. least() and most() stay.
  void subtract(const Histogram& earlier) {
    for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i].grow(0 - earlier.buckets_[i]);
    count_.grow(0 - earlier.count_);
    sum_.grow(0 - earlier.sum_);
  }
  std::uint64_t count() const { return count_; }
  std::uint64_t least() const { return count() == 0 ? 0 : std::uint64_t{least_}; }
  std::uint64_t most() const { return most_; }
  double mean() const {
    return count() == 0 ? 0 : static_cast<double>(std::uint64_t{sum_}) / static_cast<double>(count());
  }
  /// The value below or at which the share `quantile` (0 to 1) of all values lies, in nanoseconds; 0 when there are
  /// none.
  std::uint64_t at(double quantile) const {
    const double wanted = quantile * static_cast<double>(count());
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      seen += buckets_[i];
      if (seen != 0 && static_cast<double>(seen) >= wanted) {
        return std::min(top_of(i), most());
      }
    }
    return most_;
  }

 private:
  /// A number with one writer: relaxed loads and stores, no read-modify-write.
  class Number {
   public:
    Number(std::uint64_t value = 0) : value_(value) {}
    Number(const Number& other) : value_(other) {}
    Number& operator=(const Number& other) { return *this = std::uint64_t{other}; }
    Number& operator=(std::uint64_t value) {
      value_.store(value, std::memory_order_relaxed);
      return *this;
    }
    operator std::uint64_t() const { return value_.load(std::memory_order_relaxed); }
    void grow(std::uint64_t by) { *this = *this + by; }

   private:
    std::atomic<std::uint64_t> value_;
  };

  static constexpr unsigned kSubBits = 6;  ///< 64 buckets for each power of two
  static constexpr unsigned kPowers = 40;
  static constexpr std::size_t kBuckets = std::size_t{kPowers - kSubBits + 1} << kSubBits;

  static std::size_t index_of(std::uint64_t value) {
    if (value >= std::uint64_t{1} << kPowers) return kBuckets - 1;
    const auto bits = static_cast<unsigned>(std::bit_width(value));
    if (bits <= kSubBits) return static_cast<std::size_t>(value);
    const unsigned shift = bits - kSubBits - 1;
    return (std::size_t{shift + 1} << kSubBits) +
           static_cast<std::size_t>((value >> shift) - (std::uint64_t{1} << kSubBits));
  }
  /// Largest value of a bucket.
  static std::uint64_t top_of(std::size_t index) {
    if (index < std::size_t{1} << kSubBits) return index;
    const auto shift = static_cast<unsigned>((index >> kSubBits) - 1);
    const std::uint64_t low =
        (std::uint64_t{index & ((std::size_t{1} << kSubBits) - 1)} + (std::uint64_t{1} << kSubBits)) << shift;
    return low + (std::uint64_t{1} << shift) - 1;
  }

  std::array<Number, kBuckets> buckets_{};
  Number count_, sum_;
  Number least_{std::numeric_limits<std::uint64_t>::max()};
  Number most_;
};

}  // namespace slotwire::cli
