#include "core/inspect/parser.hpp"

#include <array>

#include "core/inspect/http.hpp"
#include "core/inspect/redis.hpp"

namespace slotwire::inspect {
namespace {

constexpr std::array<std::string_view, 4> kNames{"none", "records", "http", "redis"};

}  // namespace

std::string_view name_of(Language language) {
  return kNames.at(static_cast<std::size_t>(language));
}

std::optional<Language> language_of(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames.at(i) == name) return static_cast<Language>(i);
  }
  return std::nullopt;
}

std::unique_ptr<Parser> make_parser(Language language, Role role, const Limits& limits) {
  switch (language) {
    case Language::http:
      return make_http_parser(role, limits);
    case Language::redis:
      return make_redis_parser(role, limits);
    case Language::none:
    case Language::records:
      break;
  }
  return nullptr;
}

void append_printable(std::string& out, std::string_view text, std::size_t most) {
  constexpr char kFirst = 0x20;
  constexpr char kLast = 0x7e;
  if (most == 0) return;
  for (const char c : text.substr(0, most)) out += c >= kFirst && c <= kLast ? c : '.';
  if (text.size() > most) out += "...";
}

}  // namespace slotwire::inspect
