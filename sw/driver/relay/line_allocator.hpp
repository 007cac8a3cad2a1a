// Places for rings in a card's slot memory: blocks of 2^order lines that start at a multiple of their size.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

namespace slotwire::driver {

/// A buddy allocator over the lines of a card. Belongs to one thread; allocates memory of its own at every call.
class LineAllocator {
 public:
  /// `lines` lines, of which the first `reserved` are never given out.
  LineAllocator(std::uint32_t lines, std::uint32_t reserved);
  /// The first line of a block of 2^order lines; none when no block of that size is free.
  std::optional<std::uint32_t> take(unsigned order);
  /// Takes the block at `first` itself. False: it is not free, or does not start at a multiple of its size.
  bool take_at(std::uint32_t first, unsigned order);
  /// Gives back what take() or take_at() gave.
  void give(std::uint32_t first, unsigned order);
  std::uint32_t free_lines() const { return free_lines_; }

 private:
  static constexpr unsigned kOrders = 32;
  std::vector<std::set<std::uint32_t>> free_;  ///< by order
  std::uint32_t free_lines_ = 0;
};

}  // namespace slotwire::driver
