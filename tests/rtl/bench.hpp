// What the benches of the hardware blocks share: a Verilated model with one clock, and wide words.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "sim/random.hpp"
#include "verilated.h"

namespace slotwire::rtl_test {

/// Seeds that every randomised case runs; a failure names its seed.
inline constexpr std::uint64_t kSeeds = 20;

/// A 512-bit line, byte 0 first.
using Line = std::array<std::uint8_t, 64>;

inline void put(VlWide<16>& port, const Line& line) {
  for (std::size_t i = 0; i < 16; ++i) {
    port[i] = static_cast<std::uint32_t>(line[i * 4]) | static_cast<std::uint32_t>(line[i * 4 + 1]) << 8 |
              static_cast<std::uint32_t>(line[i * 4 + 2]) << 16 | static_cast<std::uint32_t>(line[i * 4 + 3]) << 24;
  }
}

inline Line get(const VlWide<16>& port) {
  Line line;
  for (std::size_t i = 0; i < 64; ++i) line[i] = static_cast<std::uint8_t>(port[i / 4] >> (i % 4 * 8));
  return line;
}

inline Line random_line(sim::Random& random) {
  Line line;
  for (auto& byte : line) byte = static_cast<std::uint8_t>(random.bits32());
  return line;
}

/// A model with clk_i and rst_ni. In every clock: set inputs, settle(), look at outputs, tick().
template <class Model>
class Bench {
 public:
  /// Registers without a reset start with values that depend on the seed.
  explicit Bench(std::uint64_t seed) : random(seed), context_(std::make_unique<VerilatedContext>()) {
    context_->randReset(2);
    context_->randSeed(static_cast<int>(seed % 0x7fffffff) + 1);
    dut = std::make_unique<Model>(context_.get());
    dut->clk_i = 0;
    dut->rst_ni = 0;
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench() { dut->final(); }

  /// Holds the reset for a few clocks; set every input that matters before.
  void reset() {
    dut->rst_ni = 0;
    for (int i = 0; i < 4; ++i) tick();
    dut->rst_ni = 1;
  }
  void settle() { dut->eval(); }
  void tick() {
    dut->clk_i = 1;
    dut->eval();
    dut->clk_i = 0;
    dut->eval();
    ++now;
  }

  sim::Random random;
  std::unique_ptr<VerilatedContext> context_;
  std::unique_ptr<Model> dut;
  std::uint64_t now = 0;  ///< Clocks since the start.
};

/// How eager one side of a handshake is: changes now and then between always, sometimes and hardly ever.
class Eagerness {
 public:
  bool operator()(sim::Random& random) {
    if (random.below(64) == 0) permille_ = kPermille[random.below(kPermille.size())];
    return random.chance(permille_);
  }

 private:
  static constexpr std::array<unsigned, 4> kPermille{1000, 500, 900, 100};
  unsigned permille_ = 1000;
};

}  // namespace slotwire::rtl_test
