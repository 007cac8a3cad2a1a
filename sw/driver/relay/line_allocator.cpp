#include "driver/relay/line_allocator.hpp"

#include <bit>

namespace slotwire::driver {

LineAllocator::LineAllocator(std::uint32_t lines, std::uint32_t reserved) : free_(kOrders) {
  // The largest aligned blocks that fit, from the first line that is given out.
  for (std::uint32_t at = reserved; at < lines;) {
    const auto aligned = at == 0 ? kOrders - 1 : static_cast<unsigned>(std::countr_zero(at));
    const auto fitting = static_cast<unsigned>(std::bit_width(lines - at) - 1);
    const unsigned order = aligned < fitting ? aligned : fitting;
    free_[order].insert(at);
    free_lines_ += std::uint32_t{1} << order;
    at += std::uint32_t{1} << order;
  }
}

std::optional<std::uint32_t> LineAllocator::take(unsigned order) {
  for (unsigned have = order; have < kOrders; ++have) {
    if (free_[have].empty()) continue;
    const std::uint32_t first = *free_[have].begin();
    if (!take_at(first, order)) return std::nullopt;
    return first;
  }
  return std::nullopt;
}

bool LineAllocator::take_at(std::uint32_t first, unsigned order) {
  if (order >= kOrders || (first & ((std::uint32_t{1} << order) - 1)) != 0) return false;
  for (unsigned have = order; have < kOrders; ++have) {
    const std::uint32_t block = first & ~((std::uint32_t{1} << have) - 1);
    if (free_[have].erase(block) == 0) continue;
    // Splits down to the size that is wanted and keeps the halves that are not.
    std::uint32_t at = block;
    for (unsigned split = have; split > order; --split) {
      const std::uint32_t half = std::uint32_t{1} << (split - 1);
      if ((first & half) != 0) {
        free_[split - 1].insert(at);
        at += half;
      } else {
        free_[split - 1].insert(at + half);
      }
    }
    free_lines_ -= std::uint32_t{1} << order;
    return true;
  }
  return false;
}

void LineAllocator::give(std::uint32_t first, unsigned order) {
  if (order >= kOrders) return;
  free_lines_ += std::uint32_t{1} << order;
  while (order + 1 < kOrders) {
    const std::uint32_t buddy = first ^ (std::uint32_t{1} << order);
    if (free_[order].erase(buddy) == 0) break;
    first &= ~(std::uint32_t{1} << order);
    ++order;
  }
  free_[order].insert(first);
}

}  // namespace slotwire::driver
