// A card's host port, as whoever serves a driver sees it: accesses of a line each, taken in order; answers in order.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "core/regs/regs.hpp"

namespace slotwire::driver {

class AccessPort {
 public:
  using Bytes = std::array<std::byte, regs::kLineBytes>;
  struct Reply {
    Bytes data{};
    bool error = false;  ///< there is nothing at the address
  };

  virtual ~AccessPort() = default;
  /// Takes a write of the bytes of a line that `strobes` has bits for. False: no room now.
  virtual bool write(std::uint32_t address, const Bytes& data, std::uint64_t strobes) = 0;
  /// Takes a read of a line. False: no room now.
  virtual bool read(std::uint32_t address) = 0;
  /// The same when only the 32-bit words that `words` has bits for are wanted; a port that reads word by word leaves
  /// the others zero.
  virtual bool read_words(std::uint32_t address, std::uint16_t /*words*/) { return read(address); }
  /// Is there an answer to take.
  virtual bool answered() const = 0;
  virtual Reply take_answer() = 0;
};

}  // namespace slotwire::driver
