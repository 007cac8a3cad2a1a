#include "core/blocks/buddy.hpp"

#include <bit>
#include <stdexcept>

namespace slotwire::blocks {
namespace {

unsigned checked_order(unsigned space_order) {
  if (space_order > BuddyAllocator::kMaxSpaceOrder) {
    throw std::invalid_argument("buddy allocator: order " + std::to_string(space_order) + " is more than " +
                                std::to_string(BuddyAllocator::kMaxSpaceOrder) + "; configure less slot memory");
  }
  return space_order;
}

}  // namespace

const char* describe(BuddyError error) {
  switch (error) {
    case BuddyError::none:
      return "no error";
    case BuddyError::out_of_range:
      return "the block does not lie in slot memory; check the offset and the order";
    case BuddyError::not_allocated:
      return "no allocated block starts there; it was released twice or never allocated";
    case BuddyError::not_free:
      return "the block or a part of it is allocated; release that first";
  }
  return "unknown";
}

BuddyAllocator::BuddyAllocator(unsigned space_order)
    : space_order_(checked_order(space_order)),
      free_blocks_(1ULL << space_order),
      state_(1ULL << space_order, kInside),
      next_(1ULL << space_order, kNil),
      previous_(1ULL << space_order, kNil) {
  heads_.fill(kNil);
  push(0, space_order_);
}

std::optional<unsigned> BuddyAllocator::order_for(std::uint64_t bytes) {
  if (bytes > block_bytes(kMaxSpaceOrder)) return std::nullopt;
  const std::uint64_t blocks = bytes == 0 ? 1 : (bytes + kBlockBytes - 1) / kBlockBytes;
  return static_cast<unsigned>(std::bit_width(blocks - 1));
}

void BuddyAllocator::push(Block block, unsigned order) {
  state_[block] = static_cast<std::uint8_t>(order);
  previous_[block] = kNil;
  next_[block] = heads_[order];
  if (heads_[order] != kNil) previous_[heads_[order]] = block;
  heads_[order] = block;
  nonempty_ |= 1U << order;
}

void BuddyAllocator::remove(Block block, unsigned order) {
  const Block next = next_[block];
  const Block previous = previous_[block];
  if (previous == kNil) {
    heads_[order] = next;
  } else {
    next_[previous] = next;
  }
  if (next != kNil) previous_[next] = previous;
  if (heads_[order] == kNil) nonempty_ &= ~(1U << order);
  state_[block] = kInside;
}

void BuddyAllocator::split(Block block, unsigned from, unsigned to, Block keep) {
  while (from > to) {
    --from;
    const Block upper = block + (Block{1} << from);
    if (keep >= upper) {
      push(block, from);
      block = upper;
    } else {
      push(upper, from);
    }
  }
  state_[block] = static_cast<std::uint8_t>(kAllocated | to);
  free_blocks_ -= 1ULL << to;
  ++allocations_;
}

std::optional<std::uint64_t> BuddyAllocator::allocate(unsigned order) {
  if (order > space_order_) return std::nullopt;
  const std::uint32_t fitting = nonempty_ >> order;
  if (fitting == 0) return std::nullopt;
  const unsigned from = order + static_cast<unsigned>(std::countr_zero(fitting));
  const Block block = heads_[from];
  remove(block, from);
  split(block, from, order, block);
  return block * kBlockBytes;
}

BuddyError BuddyAllocator::claim(std::uint64_t offset, unsigned order) {
  if (order > space_order_ || offset % block_bytes(order) != 0 || offset >= block_bytes(space_order_)) {
    return BuddyError::out_of_range;
  }
  const auto block = static_cast<Block>(offset / kBlockBytes);
  for (unsigned from = order; from <= space_order_; ++from) {
    const Block head = block & ~((Block{1} << from) - 1);
    if (!is_free(head, from)) continue;
    remove(head, from);
    split(head, from, order, block);
    return BuddyError::none;
  }
  return BuddyError::not_free;
}

std::optional<unsigned> BuddyAllocator::order_at(std::uint64_t offset) const {
  if (offset % kBlockBytes != 0 || offset >= block_bytes(space_order_)) return std::nullopt;
  const std::uint8_t state = state_[offset / kBlockBytes];
  if (state == kInside || (state & kAllocated) == 0) return std::nullopt;
  return state & ~kAllocated & 0xffU;
}

BuddyError BuddyAllocator::release(std::uint64_t offset) {
  if (offset % kBlockBytes != 0 || offset >= block_bytes(space_order_)) return BuddyError::out_of_range;
  const auto found = order_at(offset);
  if (!found) return BuddyError::not_allocated;
  unsigned order = *found;
  auto block = static_cast<Block>(offset / kBlockBytes);
  free_blocks_ += 1ULL << order;
  --allocations_;
  state_[block] = kInside;
  for (; order < space_order_; ++order) {
    const Block buddy = block ^ (Block{1} << order);
    if (!is_free(buddy, order)) break;
    remove(buddy, order);
    block &= ~(Block{1} << order);
  }
  push(block, order);
  return BuddyError::none;
}

BuddyStats BuddyAllocator::stats() const {
  BuddyStats stats;
  stats.total_bytes = block_bytes(space_order_);
  stats.free_bytes = free_blocks_ * kBlockBytes;
  stats.allocations = allocations_;
  if (nonempty_ != 0) {
    stats.largest_free_bytes = block_bytes(static_cast<unsigned>(std::bit_width(nonempty_)) - 1);
    stats.fragmentation = 1.0 - static_cast<double>(stats.largest_free_bytes) / static_cast<double>(stats.free_bytes);
  }
  return stats;
}

std::string BuddyAllocator::check() const {
  const std::uint64_t blocks = 1ULL << space_order_;
  std::uint64_t free_blocks = 0, allocations = 0, free_heads = 0;
  for (std::uint64_t block = 0; block < blocks;) {
    const std::uint8_t state = state_[block];
    const std::string where = "block " + std::to_string(block) + ": ";
    if (state == kInside) return where + "no block starts where one must";
    const unsigned order = state & 0x7fU;
    if (order > space_order_ || block % (1ULL << order) != 0) return where + "order does not fit the place";
    if ((state & kAllocated) != 0) {
      ++allocations;
    } else {
      free_blocks += 1ULL << order;
      ++free_heads;
      const auto buddy = static_cast<Block>(block ^ (1ULL << order));
      if (order < space_order_ && is_free(buddy, order)) return where + "free beside its free buddy, not joined";
    }
    for (std::uint64_t inner = block + 1; inner < block + (1ULL << order); ++inner) {
      if (state_[inner] != kInside) return where + "another block starts inside";
    }
    block += 1ULL << order;
  }
  if (free_blocks != free_blocks_) return "the count of free blocks is wrong";
  if (allocations != allocations_) return "the count of allocations is wrong";
  std::uint64_t listed = 0;
  for (unsigned order = 0; order <= space_order_; ++order) {
    if ((heads_[order] != kNil) != ((nonempty_ >> order & 1U) != 0)) return "the bit of a free list is wrong";
    Block previous = kNil;
    for (Block block = heads_[order]; block != kNil; block = next_[block]) {
      if (!is_free(block, order)) return "a free list holds a block that is not free";
      if (previous_[block] != previous) return "a free list is not linked both ways";
      if (++listed > free_heads) return "a free list holds a block twice";
      previous = block;
    }
  }
  return listed == free_heads ? "" : "a free block is on no list";
}

}  // namespace slotwire::blocks
