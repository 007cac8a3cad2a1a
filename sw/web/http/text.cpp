#include "web/http/text.hpp"

#include <algorithm>
#include <cassert>
#include <ostream>
// After <ostream>, which it needs and does not include.
#include <boost/beast/http/status.hpp>

namespace slotwire::web::http {
namespace {

constexpr std::array<bool, 256> token_table() {
  std::array<bool, 256> table{};
  for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    table[static_cast<unsigned char>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kToken = token_table();

}  // namespace

bool is_token_character(char c) {
  return kToken[static_cast<unsigned char>(c)];
}

bool is_value_character(char c) {
  return (static_cast<unsigned char>(c) >= 0x20 || c == '\t') && c != 0x7f;
}

bool is_valid_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), is_token_character);
}

bool is_valid_value(std::string_view value) {
  const auto space = [](char c) { return c == ' ' || c == '\t'; };
  if (!value.empty() && (space(value.front()) || space(value.back()))) return false;
  return std::all_of(value.begin(), value.end(), is_value_character);
}

std::string_view reason_of(unsigned status) {
  const auto text = boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  const std::string_view reason(text.data(), text.size());
  return reason == "<unknown-status>" ? std::string_view() : reason;
}

void append_status_line(std::string& out, unsigned status) {
  assert(status >= 100 && status <= 999);
  out += "HTTP/1.1 ";
  out += std::to_string(status);
  out += ' ';
  out += reason_of(status);
  out += "\r\n";
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  assert(is_valid_name(name) && is_valid_value(value));
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

void append_field(std::string& out, std::string_view name, std::uint64_t value) {
  append_field(out, name, std::to_string(value));
}

std::array<char, kChunkLine> chunk_line(std::size_t bytes) {
  assert(bytes > 0 && bytes <= kMostChunk);
  std::array<char, kChunkLine> line{};
  for (std::size_t i = 0; i < kChunkDigits; ++i) {
    line[kChunkDigits - 1 - i] = "0123456789abcdef"[bytes & 0xf];
    bytes >>= 4U;
  }
  line[kChunkDigits] = '\r';
  line[kChunkDigits + 1] = '\n';
  return line;
}

}  // namespace slotwire::web::http
