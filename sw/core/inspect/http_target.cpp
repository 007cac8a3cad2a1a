#include "core/inspect/http_target.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

#include "core/inspect/http_text.hpp"

namespace slotwire::inspect {
namespace {

constexpr std::string_view kCapitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
/// unreserved and sub-delims of RFC 3986.
constexpr std::string_view kNameCharacters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=";
/// More digits than a port needs: some servers would read another number.
constexpr std::size_t kMostPortDigits = 5;

constexpr CharacterTable kInMethods = table_of(kCapitals);
constexpr CharacterTable kInNames = table_of(kNameCharacters);

bool is_port(std::string_view digits) {
  if (digits.empty()) return true;  // RFC 3986: as if there were no colon
  if (digits.size() > kMostPortDigits) return false;
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  return error == std::errc{} && end == digits.data() + digits.size();
}

bool is_ipv6(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> address{};
  if (text.empty() || text.size() >= address.size()) return false;
  std::copy(text.begin(), text.end(), address.begin());
  in6_addr value{};
  return text.find('\0') == std::string_view::npos && ::inet_pton(AF_INET6, address.data(), &value) == 1;
}

bool is_name(std::string_view name) {
  return !name.empty() && name.front() != '.' && name.find("..") == std::string_view::npos && are_all(name, kInNames);
}

std::string_view without_port(std::string_view authority, std::string_view port) {
  if (authority.ends_with(':')) return authority.substr(0, authority.size() - 1);
  return authority.ends_with(port) ? authority.substr(0, authority.size() - port.size()) : authority;
}

std::optional<unsigned> digit_of(char c) {
  unsigned digit = 0;
  const auto [end, error] = std::from_chars(&c, &c + 1, digit, 16);
  return error == std::errc{} ? std::optional(digit) : std::nullopt;
}

/// Whether "/.." and "/%2e%2e" in a path lead no higher than "/". "%2F" separates segments for some servers: it does
/// here.
bool stays_below_root(std::string_view path) {
  int depth = 0;
  std::size_t at = 0;
  const auto next = [&] {
    const char c = path[at++];
    if (c != '%') return c;
    const unsigned value = *digit_of(path[at]) * 16 + *digit_of(path[at + 1]);  // both are there: see is_path()
    at += 2;
    return static_cast<char>(value);
  };
  while (at < path.size()) {  // one turn for each segment, behind its slash
    std::size_t length = 0, dots = 0;
    for (char c = 0; at < path.size() && (c = next()) != '/';) {
      ++length;
      if (c == '.') ++dots;
    }
    if (length == 0 || (length == 1 && dots == 1)) continue;
    depth += length == 2 && dots == 2 ? -1 : 1;
    if (depth < 0) return false;
  }
  return true;
}

/// path [ "?" query ], beginning with its slash. Nobody reads a query before it has found the path and the host, so
/// only what may end the target for somebody is invalid there; the rest is sent by browsers as it is.
bool is_path(std::string_view text) {
  constexpr unsigned char kAscii = 0x80;
  const std::size_t end = std::min(text.find('?'), text.size());
  for (const char c : text) {
    if (c == '#' || c == '\t' || static_cast<unsigned char>(c) >= kAscii) return false;
  }
  bool has_dots = false;
  for (std::size_t at = 0; at < end; ++at) {
    const char c = text[at];
    if (c == '\\') return false;
    if (c == '.') has_dots = true;
    if (c != '%') continue;
    if (end - at < 3 || !digit_of(text[at + 1]) || !digit_of(text[at + 2])) return false;
    if (text[at + 1] == '0' && text[at + 2] == '0') return false;
    has_dots = has_dots || (text[at + 1] == '2' && lower(text[at + 2]) == 'e');
    at += 2;
  }
  return !has_dots || stays_below_root(text.substr(1, end - 1));
}

}  // namespace

bool is_http_method(std::string_view text) {
  return !text.empty() && are_all(text, kInMethods);
}

bool is_http_authority(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos || !is_ipv6(text.substr(1, end - 1))) return false;
    const std::string_view rest = text.substr(end + 1);
    return rest.empty() || (rest.front() == ':' && is_port(rest.substr(1)));
  }
  const std::size_t colon = text.find(':');
  return is_name(text.substr(0, colon)) && (colon == std::string_view::npos || is_port(text.substr(colon + 1)));
}

bool is_http_target(std::string_view target, std::string_view method, HttpTarget& parts) {
  if (target.starts_with('/')) return is_path(target);
  if (target == "*") return method == "OPTIONS";
  constexpr std::string_view kHttp = "http://", kHttps = "https://";
  if (equals(target.substr(0, kHttp.size()), kHttp)) {
    parts.default_port = ":80";
    target.remove_prefix(kHttp.size());
  } else if (equals(target.substr(0, kHttps.size()), kHttps)) {
    parts.default_port = ":443";
    target.remove_prefix(kHttps.size());
  } else {
    return false;
  }
  const std::size_t end = target.find_first_of("/?");
  parts.authority = target.substr(0, end);
  if (!is_http_authority(parts.authority)) return false;
  if (end == std::string_view::npos) return true;
  return target[end] == '/' && is_path(target.substr(end));
}

bool is_authority_of(const HttpTarget& target, std::string_view host_field) {
  return target.authority.empty() ||
         equals(without_port(target.authority, target.default_port), without_port(host_field, target.default_port));
}

}  // namespace slotwire::inspect
