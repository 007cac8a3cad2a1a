// What a card behind a unix socket and its driver say to each other. The driver connects; fields are little-endian, as
// both ends are on one host.
#pragma once
#include <cstddef>
#include <cstdint>

namespace slotwire::driver::socket_bus {

/// Most data bytes in one access.
inline constexpr std::size_t kMaxAccess = std::size_t{64} << 10;

enum class Op : std::uint32_t {
  read = 1,       ///< driver: `length` bytes at `address`; answered in order by `data`
  write = 2,      ///< driver: `length` bytes follow; not answered
  data = 3,       ///< card: `length` bytes follow; `address` is 0, or 1 if there is nothing at the address
  interrupt = 4,  ///< card: `address` has a bit for each vector that was raised
};

struct Message {
  std::uint32_t op;
  std::uint32_t address;
  std::uint32_t length;
};
static_assert(sizeof(Message) == 12);

}  // namespace slotwire::driver::socket_bus
