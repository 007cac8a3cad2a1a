#include "runtime/engine/config/deep_key.hpp"

#include <algorithm>

namespace slotwire::engine {
namespace {

/// Where what begins at `at` with a quotation mark ends: behind its closing mark, or at the end of its line or of the
/// text, where the parser stops with an error.
std::size_t behind_string(std::string_view text, std::size_t at) {
  const char quote = text[at];
  const std::string_view rest = text.substr(at);
  const bool many_lines = rest.size() >= 3 && rest[1] == quote && rest[2] == quote;
  const std::size_t marks = many_lines ? 3 : 1;
  for (std::size_t i = at + marks; i < text.size(); ++i) {
    if (text[i] == '\\' && quote == '"') {
      ++i;
    } else if (text[i] == '\n' && !many_lines) {
      return i;
    } else if (text.substr(i, marks) == rest.substr(0, marks)) {
      i += marks;
      // A string over several lines may end with up to two more marks of its own.
      for (std::size_t more = 0; many_lines && more < 2 && i < text.size() && text[i] == quote; ++more) ++i;
      return i;
    }
  }
  return text.size();
}

Position position_at(std::string_view text, std::size_t at) {
  Position position{1, 1};
  for (const char c : text.substr(0, at)) {
    if (c == '\n') {
      ++position.line;
      position.column = 1;
    } else {
      ++position.column;
    }
  }
  return position;
}

}  // namespace

std::optional<Position> deep_key(std::string_view text) {
  std::size_t dots = 0;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      i = behind_string(text, i);
      continue;
    }
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
      continue;
    }
    if (c == '.') {
      if (++dots >= kMaxKeyParts) return position_at(text, i);
    } else if (c == '\n' || c == '=' || c == ',' || c == '[' || c == ']' || c == '{' || c == '}') {
      dots = 0;
    }
    ++i;
  }
  return std::nullopt;
}

}  // namespace slotwire::engine
