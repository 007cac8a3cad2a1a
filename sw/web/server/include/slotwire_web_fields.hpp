// slotwire_web_fields.hpp: fields of HTTP requests and responses. Include slotwire_web.hpp.
#pragma once

#include <algorithm>
#include <string_view>

namespace slotwire::web {

/// A field of a head. The texts belong to somebody else: those of a request live as long as its Exchange.
struct Field {
  std::string_view name;
  std::string_view value;
};

/// ASCII letters are equal in both cases, as in names of fields.
inline bool equal_names(std::string_view a, std::string_view b) {
  static constexpr auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace slotwire::web
