#include "runtime/http/header_check.hpp"

#include <algorithm>
#include <charconv>

namespace slotwire::http {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_host_character(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("-._:[]%~").find(c) != std::string_view::npos;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return lower(x) == lower(y);
  });
}

}  // namespace

HeaderScan::Result HeaderScan::scan(std::string_view bytes) {
  const auto invalid = [this](const char* why) {
    reason_ = why;
    return Result::invalid;
  };
  while (at_ < bytes.size()) {
    const char c = bytes[at_];
    if (c == '\n') return invalid("a line feed without a carriage return");
    if (c == '\r') {
      if (at_ + 1 == bytes.size()) return Result::incomplete;
      if (bytes[at_ + 1] != '\n') return invalid("a carriage return without a line feed");
      if (at_ == 0) return invalid("an empty line before the request");
      if (at_ + 2 == bytes.size()) return Result::incomplete;
      if (bytes[at_ + 2] == ' ' || bytes[at_ + 2] == '\t') return invalid("a folded line");
      if (bytes[at_ + 2] == '\r') {
        if (at_ + 3 == bytes.size()) return Result::incomplete;
        if (bytes[at_ + 3] != '\n') return invalid("a carriage return without a line feed");
        at_ += 4;
        return Result::complete;
      }
      at_ += 2;
      continue;
    }
    const auto code = static_cast<unsigned char>(c);
    if ((code < 0x20 && c != '\t') || code == 0x7f) return invalid("a control character");
    ++at_;
  }
  return Result::incomplete;
}

Verdict check_framing(const Framing& f, std::uint64_t body_limit) {
  constexpr unsigned kBadRequest = 400, kLengthRequired = 411, kTooLarge = 413;
  if (f.hosts != 1) return {kBadRequest, f.hosts == 0 ? "no Host field" : "more than one Host field"};
  if (f.host.empty() || !std::all_of(f.host.begin(), f.host.end(), is_host_character)) {
    return {kBadRequest, "an invalid Host field"};
  }
  if (f.transfer_encodings > 0) {
    if (f.content_lengths > 0) return {kBadRequest, "both Content-Length and Transfer-Encoding"};
    if (f.http_1_0) return {kBadRequest, "Transfer-Encoding in HTTP/1.0"};
    if (f.transfer_encodings > 1 || !equal_ignoring_case(f.transfer_encoding, "chunked")) {
      return {kBadRequest, "an unknown Transfer-Encoding"};
    }
    return {kLengthRequired, "a body in chunks; send it with Content-Length"};
  }
  if (f.content_lengths > 1) return {kBadRequest, "more than one Content-Length field"};
  if (f.content_lengths == 0) return f.post ? Verdict{kLengthRequired, "no Content-Length field"} : Verdict{};
  const std::string_view text = f.content_length;
  if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) {
    return {kBadRequest, "an invalid Content-Length field"};
  }
  Verdict verdict;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), verdict.body_bytes);
  if (error != std::errc{} || verdict.body_bytes > body_limit)
    return {kTooLarge, "a body that is longer than is allowed"};
  if (!f.post && verdict.body_bytes > 0) return {kBadRequest, "a body where none is expected"};
  return verdict;
}

std::string_view path_of_target(std::string_view target) {
  for (const std::string_view scheme : {std::string_view("http://"), std::string_view("https://")}) {
    if (target.size() <= scheme.size() || !equal_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;
    const std::size_t slash = target.find('/', scheme.size());
    target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
    break;
  }
  if (!target.starts_with('/')) return {};
  return target.substr(0, target.find_first_of("?#"));
}

bool is_beneath(std::string_view path, std::string_view prefix) {
  if (prefix.ends_with('/')) prefix.remove_suffix(1);
  if (!path.starts_with(prefix)) return false;
  return path.size() == prefix.size() || path[prefix.size()] == '/';
}

}  // namespace slotwire::http
