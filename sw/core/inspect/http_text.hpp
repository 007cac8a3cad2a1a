// Characters of HTTP, for the parsers of heads and of targets.
#pragma once
#include <algorithm>
#include <array>
#include <string_view>

namespace slotwire::inspect {

using CharacterTable = std::array<bool, 256>;

constexpr CharacterTable table_of(std::string_view characters) {
  CharacterTable table{};
  for (const char c : characters) table.at(static_cast<unsigned char>(c)) = true;
  return table;
}

inline bool are_all(std::string_view text, const CharacterTable& table) {
  return std::all_of(text.begin(), text.end(), [&](char c) { return table[static_cast<unsigned char>(c)]; });
}

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Whether both are the same but for capital letters of ASCII.
inline bool equals(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace slotwire::inspect
