// What somebody who mistyped a word meant. A header alone, so that the nginx module needs no library of ours for it.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

namespace slotwire::core {
namespace detail {

inline constexpr std::size_t kLongestWord = 64;
inline constexpr std::size_t kMostSlips = 3;

inline char plain_letter(char c) {
  if (c == '-') return '_';
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

inline std::size_t slips_between(std::string_view a, std::string_view b) {
  // Rows of the table for the first i-2, i-1 and i characters of a.
  std::array<std::array<std::size_t, kLongestWord + 1>, 3> rows{};
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i + 2) % 3];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = plain_letter(a[i - 1]) == plain_letter(b[j - 1]);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && plain_letter(a[i - 1]) == plain_letter(b[j - 2]) &&
          plain_letter(a[i - 2]) == plain_letter(b[j - 1])) {
        row[j] = std::min(row[j], rows[(i + 1) % 3][j - 2] + 1);
      }
    }
  }
  return rows[a.size() % 3][b.size()];
}

}  // namespace detail

/// The word of `known` that is nearest to `word` by characters added, left out, changed or swapped with their neighbour
/// (the restricted Damerau-Levenshtein distance); case and the difference between '-' and '_' do not count. Empty when
/// none is near: within a third of its length, and within 3. `word` is foreign: one of more than 64 bytes is not looked
/// at.
inline std::string_view suggestion(std::string_view word, const std::vector<std::string_view>& known) {
  std::string_view best;
  if (word.size() > detail::kLongestWord) return best;
  std::size_t least = detail::kMostSlips + 1;
  for (const std::string_view one : known) {
    if (one.size() > detail::kLongestWord) continue;
    const std::size_t far = detail::slips_between(word, one);
    if (far < least && far <= std::max<std::size_t>(one.size() / 3, 1)) {
      least = far;
      best = one;
    }
  }
  return best;
}

}  // namespace slotwire::core
