#include "runtime/control/printable.hpp"

#include <cstdint>

namespace slotwire::control {
namespace {

struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 0;  ///< 0: no character of UTF-8 begins here
};

/// The character at the beginning of `text`, which is not empty.
Character decode(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return {first, 1};
  const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < bytes) return {};
  std::uint32_t code = first & (0x7fU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((at(i) & 0xc0U) != 0x80) return {};
    code = (code << 6U) | (at(i) & 0x3fU);
  }
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[bytes] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, bytes};
}

bool is_printable(std::uint32_t code) {
  if (code < ' ' || (code >= 0x7f && code < 0xa0)) return false;
  if (code == 0x2028 || code == 0x2029) return false;                                  // line and paragraph separators
  if (code == 0x200e || code == 0x200f || code == 0x061c) return false;                // marks of direction
  return !((code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069));  // embeddings and overrides
}

}  // namespace

std::string printable(std::string_view text, std::size_t most) {
  std::string out;
  out.reserve(text.size() < most ? text.size() : most);
  while (!text.empty()) {
    const Character c = decode(text);
    const bool shown = c.bytes != 0 && is_printable(c.code);
    const std::size_t size = shown ? c.bytes : 1;
    if (out.size() + size > most) break;
    if (shown) {
      out.append(text.substr(0, c.bytes));
    } else {
      out += '?';
    }
    text.remove_prefix(c.bytes == 0 ? 1 : c.bytes);
  }
  return out;
}

}  // namespace slotwire::control
