// The blocks of one publisher: sizes and places, not the memory itself. Only the publisher has it, in memory of its
// own, so nothing that another process writes can confuse it.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/blocks/buddy.hpp"
#include "core/blocks/list.hpp"

namespace slotwire::blocks {

/// A buddy allocator with a stock of free blocks for each size in front of it, last in first out: the block that comes
/// next is the one that the caches know. Both calls take constant time as long as the stock has blocks or room. One
/// thread.
class BlockPool {
 public:
  /// Smallest block. Two lines, since processors fetch lines in pairs.
  static constexpr std::size_t kUnitBytes = 128;
  /// Free blocks that each size keeps to itself.
  static constexpr std::size_t kStock = 32;
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 35;  ///< that fit the buddy allocator's largest space

  /// Of `bytes`, rounded down to a power of two. Throws std::invalid_argument below kUnitBytes and above kMaxBytes.
  explicit BlockPool(std::size_t bytes);

  /// A block of at least `bytes`. Nothing: none is free (or none is that large).
  std::optional<BlockPlace> allocate(std::size_t bytes);
  /// Takes back what allocate() gave.
  void free(BlockPlace place);

  std::size_t bytes() const { return bytes_; }
  /// Largest block that there can be.
  std::size_t largest() const { return bytes_; }
  /// Bytes of the block at `place`.
  std::size_t size_of(BlockPlace place) const;
  std::size_t allocated_blocks() const { return allocated_; }

 private:
  /// Gives everything in stock back, so that its pieces can join.
  void empty_stock();

  std::size_t bytes_;
  BuddyAllocator buddy_;
  std::size_t allocated_ = 0;
  std::array<std::vector<BlockPlace>, BuddyAllocator::kMaxSpaceOrder + 1> stock_;
};

}  // namespace slotwire::blocks
