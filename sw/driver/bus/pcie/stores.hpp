// How bytes get from the CPU to memory behind PCIe. Plain loads and stores may be split, merged or left out by a
// compiler; these are made as they are called.
//
// Fences: stores to write-combined memory wait in buffers of the CPU and may leave in any order; fence() puts those
// before it in front of all after it. Stores to uncached memory leave at once and in order. So a driver fences between
// lines (write-combined) and the doorbell that tells of them (uncached), and before a read that must see them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace slotwire::driver {

class Stores {
 public:
  virtual ~Stores() = default;
  /// 64 bytes, `to` aligned to 64.
  virtual void line(std::byte* to, const std::byte* from) = 0;
  /// Aligned to 8; aligned to 4.
  virtual void word8(std::byte* to, std::uint64_t value) = 0;
  virtual void word4(std::byte* to, std::uint32_t value) = 0;
  virtual void fence() = 0;
  virtual std::string_view name() const = 0;
};

enum class StoreKind : std::uint8_t { words, avx512, movdir64b };

/// Has this CPU (and its operating system) the instruction.
bool cpu_has(StoreKind kind);
/// The stores of that kind; cpu_has() it.
Stores& stores_of(StoreKind kind);
/// The best that this CPU has: one 64-byte store a line where it can.
Stores& best_stores();

}  // namespace slotwire::driver
