// Writing HTTP/1.1: heads and chunks.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace slotwire::web::http {

/// RFC 9110, token.
bool is_token_character(char c);
/// Of a field's value: visible characters, spaces, tabs, and bytes above 127.
bool is_value_character(char c);
bool is_valid_name(std::string_view name);
/// No control character; no space at either end.
bool is_valid_value(std::string_view value);

/// "Not Found"; empty for a status without a name.
std::string_view reason_of(unsigned status);

/// "HTTP/1.1 200 OK\r\n".
void append_status_line(std::string& out, unsigned status);
/// "name: value\r\n". Both are valid.
void append_field(std::string& out, std::string_view name, std::string_view value);
void append_field(std::string& out, std::string_view name, std::uint64_t value);

inline constexpr std::string_view kEndOfHead = "\r\n";
inline constexpr std::string_view kEndOfChunk = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

/// The line before a chunk, always of the same length, so that it can be written when the chunk is there already.
inline constexpr std::size_t kChunkDigits = 6;
inline constexpr std::size_t kChunkLine = kChunkDigits + 2;
inline constexpr std::size_t kMostChunk = (std::size_t{1} << (4 * kChunkDigits)) - 1;
std::array<char, kChunkLine> chunk_line(std::size_t bytes);

}  // namespace slotwire::web::http
