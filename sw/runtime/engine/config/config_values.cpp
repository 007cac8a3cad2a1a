#include "runtime/engine/config/config_values.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace slotwire::engine {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// Largest first, so that formatting takes the first that divides.
constexpr std::array<Unit, 5> kSizeUnits{
    {{"TiB", 1ULL << 40}, {"GiB", 1ULL << 30}, {"MiB", 1ULL << 20}, {"KiB", 1ULL << 10}, {"B", 1}}};
constexpr std::array<Unit, 5> kDurationUnits{
    {{"h", 3'600'000'000}, {"min", 60'000'000}, {"s", 1'000'000}, {"ms", 1'000}, {"us", 1}}};
constexpr std::uint64_t kMaxDuration = 24ULL * 3'600'000'000;

template <std::size_t N>
std::optional<std::uint64_t> parse_with_unit(std::string_view text, const std::array<Unit, N>& units) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view name(rest, static_cast<std::size_t>(end - rest));
  const auto unit = std::find_if(units.begin(), units.end(), [&](const Unit& u) { return u.name == name; });
  if (unit == units.end() || number > std::numeric_limits<std::uint64_t>::max() / unit->factor) return std::nullopt;
  return number * unit->factor;
}

template <std::size_t N>
std::string format_with_unit(std::uint64_t number, const std::array<Unit, N>& units) {
  if (number == 0) return "0" + std::string(units.back().name);
  const auto unit = std::find_if(units.begin(), units.end(), [&](const Unit& u) { return number % u.factor == 0; });
  return std::to_string(number / unit->factor) + std::string(unit->name);
}

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_service_char(char c) {
  return is_lower(c) || is_upper(c) || is_digit(c) || c == '.' || c == '_' || c == '/' || c == '-';
}
bool is_host_char(char c) {
  return is_lower(c) || is_upper(c) || is_digit(c) || c == '.' || c == '_' || c == '-';
}

bool is_ipv6(const std::string& host) {
  in6_addr ignored{};
  return inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  return parse_with_unit(text, kSizeUnits);
}
std::string format_size(std::uint64_t bytes) {
  return format_with_unit(bytes, kSizeUnits);
}

std::string describe_size(std::uint64_t bytes) {
  const auto unit =
      std::find_if(kSizeUnits.begin(), kSizeUnits.end(), [&](const Unit& u) { return bytes >= u.factor; });
  if (unit == kSizeUnits.end() || unit->factor == 1 || bytes % kSizeUnits[kSizeUnits.size() - 2].factor == 0) {
    return format_size(bytes);
  }
  const std::uint64_t tenths = bytes % unit->factor * 10 / unit->factor;
  return std::to_string(bytes / unit->factor) + "." + std::to_string(tenths) + std::string(unit->name) + " (" +
         std::to_string(bytes) + " bytes)";
}

std::optional<std::chrono::microseconds> parse_duration(std::string_view text) {
  const auto us = parse_with_unit(text, kDurationUnits);
  if (!us || *us > kMaxDuration) return std::nullopt;
  return std::chrono::microseconds(static_cast<std::int64_t>(*us));
}
std::string format_duration(std::chrono::microseconds duration) {
  return format_with_unit(static_cast<std::uint64_t>(duration.count()), kDurationUnits);
}

std::optional<HostPort> parse_host_port(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  HostPort result;
  const char* const end = port.data() + port.size();
  const auto [rest, error] = std::from_chars(port.data(), end, result.port);
  if (error != std::errc{} || rest != end) return std::nullopt;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    result.host = host.substr(1, host.size() - 2);
    if (!is_ipv6(result.host)) return std::nullopt;
    return result;
  }
  if (host.empty() || host.size() > kMaxHostName || !std::all_of(host.begin(), host.end(), is_host_char)) {
    return std::nullopt;
  }
  result.host = host;
  // Digits and dots only can be an IPv4 address and nothing else; "10.0.0.256" is a slip, not a name to look up.
  const bool looks_numeric = std::all_of(host.begin(), host.end(), [](char c) { return is_digit(c) || c == '.'; });
  if (looks_numeric && !is_numeric_host(result.host)) return std::nullopt;
  return result;
}

std::string to_string(const HostPort& address) {
  const bool bracket = address.host.find(':') != std::string::npos;
  return (bracket ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

bool is_numeric_host(const std::string& host) {
  in_addr ignored{};
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1 || is_ipv6(host);
}

bool valid_node_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNodeName &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_lower(c) || is_digit(c) || c == '-'; });
}

bool valid_service_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxServiceName && std::all_of(name.begin(), name.end(), is_service_char);
}

bool valid_service_pattern(std::string_view pattern) {
  return !pattern.empty() && pattern.size() <= kMaxServiceName &&
         std::all_of(pattern.begin(), pattern.end(), [](char c) { return is_service_char(c) || c == '*' || c == '?'; });
}

bool matches_service_pattern(std::string_view pattern, std::string_view name) {
  // One point to go back to is enough: a later '*' makes every earlier one irrelevant. So no recursion, no blow-up.
  std::size_t p = 0, n = 0;
  std::size_t star = std::string_view::npos, star_name = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_name = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++star_name;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool covers_pattern(std::string_view pattern, std::string_view other) {
  // A '*' of `other` becomes more characters than all '?' of a pattern stand for, so only a '*' covers it.
  std::string name;
  for (const char c : other) name.append(c == '*' ? kMaxServiceName + 1 : 1, c);
  return matches_service_pattern(pattern, name);
}

std::string printable(std::string_view text, std::size_t max) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const char c : text.substr(0, max)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\') {
      out += c;
    } else {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  if (text.size() > max) out += "...";
  return out;
}

}  // namespace slotwire::engine
