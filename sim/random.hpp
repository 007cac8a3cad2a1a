// The simulator's only source of chance: the same seed gives the same run on every machine and library.
#pragma once
#include <cstdint>

namespace slotwire::sim {

/// One step of SplitMix64: a bijection that spreads every bit of `x` over the result.
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(mix(seed)) {}
  std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15U); }
  std::uint32_t bits32() { return static_cast<std::uint32_t>(next()); }
  /// 0..n-1; n at least 1. The slight bias of the remainder does not matter here.
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>((next() >> 32) % n); }
  /// low..high
  std::uint32_t between(std::uint32_t low, std::uint32_t high) { return low + below(high - low + 1); }
  bool chance(unsigned permille) { return below(1000) < permille; }

 private:
  std::uint64_t state_;
};

}  // namespace slotwire::sim
