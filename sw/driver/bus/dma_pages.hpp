// Pages of this process's memory that a card may write into, at addresses of its own bus.
#pragma once
#include <cstddef>
#include <cstdint>

namespace slotwire::driver {

/// A whole file, mapped. It stays mapped here until the pages were taken back from the card.
struct DmaPages {
  std::uint64_t address = 0;    ///< on the card's bus; a multiple of a page
  std::byte* memory = nullptr;  ///< where this process has it mapped
  std::size_t bytes = 0;        ///< a multiple of a page
  int file = -1;                ///< its descriptor, for a card in another process; -1: there is none any more
};

/// Bus addresses, of which each slot has its own part.
struct DmaRange {
  std::uint64_t first = 0;
  std::uint64_t bytes = 0;
};

}  // namespace slotwire::driver
