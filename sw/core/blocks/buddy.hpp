// The buddy allocator of slot memory and of block memory: it hands out ranges of an address space, it never touches the
// memory itself.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace slotwire::blocks {

/// Why release() or claim() refused. Nothing was changed.
enum class BuddyError : std::uint8_t {
  none,
  out_of_range,   ///< the offset is outside the space, the order too large, or the offset no multiple of the block's
                  ///< size
  not_allocated,  ///< no allocated block starts at the offset: released twice, or never allocated
  not_free,       ///< the range, or a part of it, is allocated
};

/// What an operator does about it, in one line.
const char* describe(BuddyError error);

struct BuddyStats {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t largest_free_bytes = 0;  ///< the largest request that would succeed now
  std::uint64_t allocations = 0;         ///< blocks that are allocated now
  /// 0: all free memory is one block; towards 1: it is in pieces. 1 - largest / free; 0 when nothing is free.
  double fragmentation = 0;
};

/// An address space of 2^space_order blocks of kBlockBytes. A block of order k is 2^k of them and lies on a multiple of
/// its size. Every call but the constructor, stats() and check() takes O(space_order) time; after construction nothing
/// is allocated from the heap. Costs 9 bytes for each 4 KiB. One thread at a time.
class BuddyAllocator {
 public:
  static constexpr std::uint64_t kBlockBytes = 4096;
  static constexpr unsigned kMaxSpaceOrder = 28;  ///< 1 TiB

  /// Throws std::invalid_argument when space_order is over kMaxSpaceOrder.
  explicit BuddyAllocator(unsigned space_order);

  /// Smallest order whose block holds `bytes`; nothing when that is more than any space has.
  static std::optional<unsigned> order_for(std::uint64_t bytes);
  static constexpr std::uint64_t block_bytes(unsigned order) { return kBlockBytes << order; }

  /// Offset in bytes of a free block, now allocated; the lowest order that fits is split. Nothing when there is none.
  std::optional<std::uint64_t> allocate(unsigned order);
  /// Allocates exactly the block at `offset`: how a restarted engine takes back what its predecessor had handed out.
  [[nodiscard]] BuddyError claim(std::uint64_t offset, unsigned order);
  /// Gives the block that starts at `offset` back and joins it with its free buddies.
  [[nodiscard]] BuddyError release(std::uint64_t offset);

  /// Order of the allocated block that starts at `offset`; nothing when none does.
  std::optional<unsigned> order_at(std::uint64_t offset) const;
  unsigned space_order() const { return space_order_; }
  BuddyStats stats() const;

  /// Walks the whole space, O(blocks): empty when every invariant holds, else the first that does not. For tests and
  /// for an operator's self-check.
  std::string check() const;

 private:
  using Block = std::uint32_t;
  static constexpr Block kNil = 0xffffffff;
  // State of a block: inside a larger one, or the head of one, free or allocated, with its order in the low bits.
  static constexpr std::uint8_t kInside = 0xff;
  static constexpr std::uint8_t kAllocated = 0x80;

  bool is_free(Block block, unsigned order) const { return state_[block] == order; }
  void push(Block block, unsigned order);
  void remove(Block block, unsigned order);
  /// Halves a block that is on no list until it has order `to`; the half that does not hold `keep` goes on the lists.
  void split(Block block, unsigned from, unsigned to, Block keep);

  unsigned space_order_;
  std::uint64_t free_blocks_;
  std::uint64_t allocations_ = 0;
  std::uint32_t nonempty_ = 0;  ///< bit k: the list of order k has a block
  std::array<Block, kMaxSpaceOrder + 1> heads_{};
  std::vector<std::uint8_t> state_;
  std::vector<Block> next_;
  std::vector<Block> previous_;
};

}  // namespace slotwire::blocks
