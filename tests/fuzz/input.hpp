// What a fuzz target makes its choices from: the bytes of one input, front to back, and zeros when they are used up.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace slotwire::fuzz {

/// Ends the program, which is how libFuzzer learns of a finding.
inline void require(bool good) {
  if (!good) std::abort();
}

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  /// Little-endian.
  template <std::unsigned_integral T>
  T number() {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= std::uint64_t{byte()} << (8 * i);
    return static_cast<T>(value);
  }
  /// 0..n-1; n from 1 to 256.
  std::size_t below(std::size_t n) { return byte() % n; }
  /// Bytes whose count, at most 65535, stands before them.
  std::string_view text(std::size_t most) {
    const std::size_t count = std::min({most, std::size_t{number<std::uint16_t>()}, rest_.size()});
    const std::string_view found = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return found;
  }
  std::string_view rest() { return std::exchange(rest_, {}); }
  std::span<const std::byte> rest_bytes() { return std::as_bytes(std::span(rest())); }

 private:
  std::string_view rest_;
};

}  // namespace slotwire::fuzz
