#include "core/blocks/pool.hpp"

#include <bit>
#include <cassert>
#include <stdexcept>
#include <string>

namespace slotwire::blocks {
namespace {

constexpr std::uint64_t kPlacesPerUnit = BlockPool::kUnitBytes / kPlaceBytes;
static_assert(BlockPool::kMaxBytes / BlockPool::kUnitBytes == std::size_t{1} << BuddyAllocator::kMaxSpaceOrder);
static_assert(BlockPool::kMaxBytes / kPlaceBytes <= std::uint64_t{1} << 32);

// The buddy allocator counts in blocks of its own size; here they are units.
std::uint64_t offset_of(BlockPlace place) {
  return place / kPlacesPerUnit * BuddyAllocator::kBlockBytes;
}
BlockPlace place_of(std::uint64_t offset) {
  return static_cast<BlockPlace>(offset / BuddyAllocator::kBlockBytes * kPlacesPerUnit);
}
unsigned order_of(std::size_t bytes) {
  const std::size_t units =
      bytes <= BlockPool::kUnitBytes ? 1 : (bytes + BlockPool::kUnitBytes - 1) / BlockPool::kUnitBytes;
  return static_cast<unsigned>(std::bit_width(units - 1));
}
std::size_t checked_bytes(std::size_t bytes) {
  if (bytes < BlockPool::kUnitBytes || bytes > BlockPool::kMaxBytes) {
    throw std::invalid_argument("block memory of " + std::to_string(bytes) + " bytes: from " +
                                std::to_string(BlockPool::kUnitBytes) + " bytes to 32 GiB are possible");
  }
  return std::bit_floor(bytes);
}

}  // namespace

BlockPool::BlockPool(std::size_t bytes) : bytes_(checked_bytes(bytes)), buddy_(order_of(bytes_)) {
  for (auto& stock : stock_) stock.reserve(kStock);
}

std::optional<BlockPlace> BlockPool::allocate(std::size_t bytes) {
  if (bytes > bytes_) return std::nullopt;
  const unsigned order = order_of(bytes);
  auto& stock = stock_[order];
  if (!stock.empty()) {
    const BlockPlace place = stock.back();
    stock.pop_back();
    ++allocated_;
    return place;
  }
  std::optional<std::uint64_t> offset = buddy_.allocate(order);
  if (!offset) {
    empty_stock();
    offset = buddy_.allocate(order);
  }
  if (!offset) return std::nullopt;
  ++allocated_;
  return place_of(*offset);
}

void BlockPool::free(BlockPlace place) {
  const std::optional<unsigned> order = buddy_.order_at(offset_of(place));
  assert(order);
  --allocated_;
  auto& stock = stock_[*order];
  if (stock.size() < kStock) {
    stock.push_back(place);
    return;
  }
  [[maybe_unused]] const BuddyError error = buddy_.release(offset_of(place));
  assert(error == BuddyError::none);
}

std::size_t BlockPool::size_of(BlockPlace place) const {
  return kUnitBytes << buddy_.order_at(offset_of(place)).value_or(0);
}

void BlockPool::empty_stock() {
  for (auto& stock : stock_) {
    for (const BlockPlace place : stock) {
      [[maybe_unused]] const BuddyError error = buddy_.release(offset_of(place));
      assert(error == BuddyError::none);
    }
    stock.clear();
  }
}

}  // namespace slotwire::blocks
