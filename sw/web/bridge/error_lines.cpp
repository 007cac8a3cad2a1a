#include "web/bridge/error_lines.hpp"

namespace slotwire::web::bridge {
namespace {

/// "\x1b" for a control character, so that no text forges a line or moves a cursor. The log replaces what is no UTF-8.
void append_escaped(std::string& out, std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  constexpr unsigned kHigh = 4;
  constexpr unsigned kLow = 15;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else {
      out += "\\x";
      out += kDigits[byte >> kHigh];
      out += kDigits[byte & kLow];
    }
  }
}

}  // namespace

void ErrorLines::add(Clock::time_point now, const std::string& title, std::string_view text, std::size_t more) {
  if (now - began_ >= kSecond) {
    tick(now);
    began_ = now;
    lines_ = bytes_ = 0;
  }
  std::string line = title + ": ";
  append_escaped(line, text);
  if (more != 0) line += "... and " + std::to_string(more) + " bytes more";
  if (lines_ == options_.lines || line.size() > options_.bytes - bytes_) {
    ++lines_left_out_;
    bytes_left_out_ += text.size() + more;
    return;
  }
  ++lines_;
  bytes_ += line.size();
  note_(line);
}

void ErrorLines::tick(Clock::time_point now) {
  if (lines_left_out_ == 0 || now - began_ < kSecond) return;
  note_("applications print more than the log takes: " + std::to_string(lines_left_out_) + " lines with " +
        std::to_string(bytes_left_out_) + " bytes were left out (--error-lines " + std::to_string(options_.lines) +
        ", --error-bytes " + std::to_string(options_.bytes) + ", a second)");
  lines_left_out_ = bytes_left_out_ = 0;
}

}  // namespace slotwire::web::bridge
