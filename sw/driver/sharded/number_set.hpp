// A set of small numbers between threads: "look at these". What is there already is not added twice, so it cannot
// overflow, however long nobody takes.
#pragma once
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace slotwire::driver {

/// Any thread adds, one thread takes; nobody waits. Nothing is allocated after construction.
class NumberSet {
 public:
  /// Numbers 0..size-1.
  explicit NumberSet(std::size_t size) : words_((size + 63) / 64), groups_((words_.size() + 63) / 64) {}

  /// What the caller wrote before is seen by who takes the number.
  void add(std::size_t number) noexcept {
    words_[number / 64].fetch_or(std::uint64_t{1} << (number % 64), std::memory_order_seq_cst);
    groups_[number / 4096].fetch_or(std::uint64_t{1} << (number / 64 % 64), std::memory_order_seq_cst);
    any_.store(true, std::memory_order_seq_cst);
  }

  /// Takes all numbers that are there, the lowest first, and calls `each(number)`. Returns whether there were any.
  /// Costs one load when there are none.
  template <typename Each>
  bool take(Each&& each) {
    if (!any_.load(std::memory_order_seq_cst)) return false;
    any_.store(false, std::memory_order_seq_cst);
    bool took = false;
    for (std::size_t group = 0; group < groups_.size(); ++group) {
      if (groups_[group].load(std::memory_order_seq_cst) == 0) continue;
      std::uint64_t words = groups_[group].exchange(0, std::memory_order_seq_cst);
      for (; words != 0; words &= words - 1) {
        const std::size_t word = group * 64 + static_cast<std::size_t>(std::countr_zero(words));
        std::uint64_t bits = words_[word].exchange(0, std::memory_order_seq_cst);
        for (; bits != 0; bits &= bits - 1) {
          took = true;
          each(word * 64 + static_cast<std::size_t>(std::countr_zero(bits)));
        }
      }
    }
    return took;
  }

 private:
  std::vector<std::atomic<std::uint64_t>> words_;
  std::vector<std::atomic<std::uint64_t>> groups_;  ///< a bit for each word
  std::atomic<bool> any_{false};
};

}  // namespace slotwire::driver
