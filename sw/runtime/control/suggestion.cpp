#include "runtime/control/suggestion.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace slotwire::control {
namespace {

constexpr std::size_t kLongest = 64;
constexpr std::size_t kFarthest = 3;

char plain(char c) {
  if (c == '-') return '_';
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::size_t distance(std::string_view a, std::string_view b) {
  // Rows of the table for the first i-2, i-1 and i characters of a.
  std::array<std::array<std::size_t, kLongest + 1>, 3> rows{};
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i + 2) % 3];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = plain(a[i - 1]) == plain(b[j - 1]);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && plain(a[i - 1]) == plain(b[j - 2]) && plain(a[i - 2]) == plain(b[j - 1])) {
        row[j] = std::min(row[j], rows[(i + 1) % 3][j - 2] + 1);
      }
    }
  }
  return rows[a.size() % 3][b.size()];
}

}  // namespace

std::string_view suggestion(std::string_view word, const std::vector<std::string_view>& known) {
  std::string_view best;
  if (word.size() > kLongest) return best;
  std::size_t least = kFarthest + 1;
  for (const std::string_view one : known) {
    if (one.size() > kLongest) continue;
    const std::size_t far = distance(word, one);
    if (far < least && far <= std::max<std::size_t>(one.size() / 3, 1)) {
      least = far;
      best = one;
    }
  }
  return best;
}

}  // namespace slotwire::control
