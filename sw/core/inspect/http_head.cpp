#include "core/inspect/http_head.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "core/inspect/http_target.hpp"
#include "core/inspect/http_text.hpp"

namespace slotwire::inspect {
namespace {

constexpr unsigned kFirstFinal = 200;
constexpr unsigned kNoContent = 204;
constexpr unsigned kNotModified = 304;
constexpr std::size_t kStatusDigits = 3;
/// Of a chunk's size; more than that could not be a number of bytes.
constexpr std::size_t kMostChunkDigits = 15;

constexpr std::array<std::string_view, 9> kMethods{"GET",   "HEAD",    "POST",  "PUT",  "DELETE",
                                                   "PATCH", "OPTIONS", "TRACE", "QUERY"};

constexpr std::string_view kNotARequestLine = "a line that is no request-line of HTTP/1.1";
constexpr std::string_view kNotAStatusLine = "a line that is no status-line of HTTP/1.1";
constexpr std::string_view kBadChunk = "a chunk whose size is invalid";
constexpr std::string_view kBadExtension = "a chunk whose extension is invalid";
constexpr std::string_view kBothFramings = "both Content-Length and Transfer-Encoding";

constexpr std::string_view kTokenCharacters =
    "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

constexpr CharacterTable kTokens = table_of(kTokenCharacters);

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_blank(char c) {
  return c == ' ' || c == '\t';
}
bool is_token(std::string_view text) {
  return !text.empty() && are_all(text, kTokens);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

void skip_blanks(std::string_view& text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
}

/// Takes the first element of a list that commas separate.
std::string_view take_element(std::string_view& list) {
  const std::size_t comma = list.find(',');
  const std::string_view element = trimmed(list.substr(0, comma));
  list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  return element;
}

std::string_view label_of_status(unsigned status) {
  constexpr std::array<std::string_view, 5> kClasses{"1xx", "2xx", "3xx", "4xx", "5xx"};
  constexpr unsigned kPerClass = 100;
  const unsigned kind = status / kPerClass;
  return kind >= 1 && kind <= kClasses.size() ? kClasses.at(kind - 1) : "other";
}

/// A quoted string, from its first quote on.
bool take_quoted(std::string_view& text) {
  text.remove_prefix(1);
  while (!text.empty()) {
    const char c = text.front();
    text.remove_prefix(1);
    if (c == '"') return true;
    if (c != '\\') continue;
    if (text.empty()) return false;
    text.remove_prefix(1);
  }
  return false;
}

bool take_token(std::string_view& text) {
  const auto end = std::find_if_not(text.begin(), text.end(), is_http_token);
  const auto size = static_cast<std::size_t>(end - text.begin());
  text.remove_prefix(size);
  return size != 0;
}

/// *( BWS ";" BWS name [ BWS "=" BWS value ] )
bool are_extensions(std::string_view text) {
  while (!text.empty()) {
    skip_blanks(text);
    if (text.empty() || text.front() != ';') return false;
    text.remove_prefix(1);
    skip_blanks(text);
    if (!take_token(text)) return false;
    std::string_view after = text;
    skip_blanks(after);
    if (after.empty() || after.front() != '=') continue;
    text = after.substr(1);
    skip_blanks(text);
    if (text.empty() || !(text.front() == '"' ? take_quoted(text) : take_token(text))) return false;
  }
  return true;
}

}  // namespace

bool is_http_token(char c) {
  return kTokens[static_cast<unsigned char>(c)];
}

std::string_view http_method_label(std::string_view method) {
  const auto found = std::find(kMethods.begin(), kMethods.end(), method);
  return found == kMethods.end() ? "other" : *found;
}

bool begins_http_method(std::string_view text) {
  const std::string_view method = text.ends_with(' ') ? text.substr(0, text.size() - 1) : text;
  return std::any_of(kMethods.begin(), kMethods.end(), [&](std::string_view known) {
    return method.size() < text.size() ? known == method : known.starts_with(method);
  });
}

std::string_view parse_chunk_line(std::string_view line, std::uint64_t& size) {
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
  const auto digits = static_cast<std::size_t>(end - line.data());
  // from_chars() takes no sign of an unsigned number, and no "0x".
  if (error != std::errc{} || digits > kMostChunkDigits) return kBadChunk;
  return are_extensions(line.substr(digits)) ? std::string_view() : kBadExtension;
}

std::string_view HttpHead::start_line(std::string_view line) {
  return role_ == Role::request ? request_line(line) : status_line(line);
}

std::string_view HttpHead::version(std::string_view text) {
  if (text == "HTTP/1.1") return {};
  http_1_0_ = text == "HTTP/1.0";
  return http_1_0_ ? std::string_view() : "a version other than HTTP/1.0 and 1.1";
}

std::string_view HttpHead::request_line(std::string_view line) {
  const std::size_t first = line.find(' ');
  if (first == std::string_view::npos) return kNotARequestLine;
  const std::size_t second = line.find(' ', first + 1);
  if (second == std::string_view::npos) return kNotARequestLine;
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, second - first - 1);
  if (!is_http_method(method)) return kNotARequestLine;
  if (line.substr(second + 1, 5) != "HTTP/") return kNotARequestLine;
  if (const std::string_view problem = version(line.substr(second + 1)); !problem.empty()) return problem;
  if (method == "CONNECT") return "the method CONNECT";
  HttpTarget parts;
  if (!is_http_target(target, method, parts)) return "a request whose target is invalid";
  authority_ = parts.authority;
  default_port_ = parts.default_port;
  label_ = http_method_label(method);
  is_head_ = method == "HEAD";
  if (limits_.summary_bytes == 0) return {};
  append_printable(summary_, method, limits_.summary_bytes / 4);
  summary_ += ' ';
  append_printable(summary_, target, limits_.summary_bytes);
  return {};
}

std::string_view HttpHead::status_line(std::string_view line) {
  constexpr std::size_t kVersion = std::string_view("HTTP/1.1").size();
  constexpr std::size_t kStatus = kVersion + 1;
  constexpr std::size_t kReason = kStatus + kStatusDigits;
  if (line.substr(0, 5) != "HTTP/") return kNotAStatusLine;
  if (const std::string_view problem = version(line.substr(0, kVersion)); !problem.empty()) return problem;
  // Some servers leave the space away when there is no reason.
  if (line.size() < kReason || line[kVersion] != ' ' || (line.size() > kReason && line[kReason] != ' '))
    return kNotAStatusLine;
  const std::string_view digits = line.substr(kStatus, kStatusDigits);
  if (!std::all_of(digits.begin(), digits.end(), is_digit)) return kNotAStatusLine;
  std::from_chars(digits.data(), digits.data() + digits.size(), status_);
  label_ = label_of_status(status_);
  if (limits_.summary_bytes == 0) return {};
  summary_ = std::string(digits) + ' ';
  append_printable(summary_, line.substr(std::min(kReason + 1, line.size())), limits_.summary_bytes / 2);
  return {};
}

std::string_view HttpHead::split(std::string_view line, std::string_view& name, std::string_view& value) {
  if (++fields_ > limits_.fields) return "a head with too many fields";
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return "a field without a colon";
  name = line.substr(0, colon);
  if (!name.empty() && is_blank(name.back())) return "whitespace between a field's name and its colon";
  if (!is_token(name)) return "a field whose name is invalid";
  value = trimmed(line.substr(colon + 1));
  return {};
}

std::string_view HttpHead::field(std::string_view line) {
  if (is_blank(line.front())) {
    // A request with one is refused, since one server joins the lines and another takes it for a field. Replies with
    // one are old but clear, as long as the field is not one that decides where the reply ends.
    if (role_ == Role::reply && may_fold_) return {};
    return "a folded line in a head";
  }
  std::string_view name;
  std::string_view value;
  if (const std::string_view problem = split(line, name, value); !problem.empty()) return problem;
  may_fold_ = true;
  switch (name.size()) {  // most fields are none of these
    case std::string_view("host").size():
      return equals(name, "host") ? host(value) : std::string_view();
    case std::string_view("upgrade").size():
      if (equals(name, "upgrade")) upgrade_ = true;
      return {};
    case std::string_view("connection").size():
      if (!equals(name, "connection")) return {};
      while (!value.empty()) connection_upgrade_ |= equals(take_element(value), "upgrade");
      return {};
    case std::string_view("content-length").size():
      return equals(name, "content-length") ? content_length(value) : std::string_view();
    case std::string_view("transfer-encoding").size():
      return equals(name, "transfer-encoding") ? transfer_encoding(value) : std::string_view();
    default:
      return {};
  }
}

std::string_view HttpHead::trailer(std::string_view line) {
  if (is_blank(line.front())) return "a folded line in a trailer";
  std::string_view name;
  std::string_view value;
  if (const std::string_view problem = split(line, name, value); !problem.empty()) return problem;
  const bool forbidden = equals(name, "content-length") || equals(name, "transfer-encoding") || equals(name, "host");
  return forbidden ? "a field of the head in a trailer" : std::string_view();
}

std::string_view HttpHead::content_length(std::string_view value) {
  may_fold_ = false;
  if (has_length_) return "more than one Content-Length field";
  has_length_ = true;
  if (has_coding_) return kBothFramings;
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length_);
  if (value.empty() || error != std::errc{} || end != value.data() + value.size() || length_ > kMost)
    return "a Content-Length field that is not one number";
  return {};
}

std::string_view HttpHead::transfer_encoding(std::string_view value) {
  may_fold_ = false;
  if (role_ == Role::request && has_coding_) return "more than one Transfer-Encoding field";
  has_coding_ = true;
  if (has_length_) return kBothFramings;
  if (http_1_0_) return "a Transfer-Encoding field in HTTP/1.0";
  if (role_ == Role::request) {
    chunked_ = equals(value, "chunked");
    return chunked_ ? std::string_view() : "a Transfer-Encoding other than 'chunked'";
  }
  if (value.empty()) return "a Transfer-Encoding field without a coding";
  while (!value.empty()) {
    if (chunked_) return "a Transfer-Encoding with 'chunked' before its end";
    chunked_ = equals(take_element(value), "chunked");
  }
  return {};
}

std::string_view HttpHead::host(std::string_view value) {
  if (role_ == Role::reply) return {};
  if (has_host_) return "more than one Host field";
  has_host_ = true;
  if (!is_http_authority(value)) return "a Host field that is invalid";
  if (!is_authority_of({authority_, default_port_}, value)) return "a Host field that is not the target's host";
  return {};
}

std::string_view HttpHead::end(bool reply_without_body) {
  if (role_ == Role::request && !http_1_0_ && !has_host_) return "a request of HTTP/1.1 without a Host field";
  fields_ = 0;  // a trailer has as many for itself
  if (limits_.summary_bytes != 0) {
    if (chunked_) {
      summary_ += ", chunked";
    } else if (has_length_) {
      summary_ += ", " + std::to_string(length_) + " bytes";
    }
  }
  const bool never_has_body =
      role_ == Role::reply && (reply_without_body || (status_ < kFirstFinal && status_ >= 100) ||
                               status_ == kNoContent || status_ == kNotModified);
  if (never_has_body) return {};
  if (chunked_) {
    body_ = HttpBody::chunked;
  } else if (has_length_) {
    if (length_ != 0) body_ = HttpBody::length;
  } else if (role_ == Role::reply) {
    body_ = HttpBody::until_end;
  }
  return {};
}

Message HttpHead::message() const {
  return {label_, std::string_view(summary_).substr(0, limits_.summary_bytes), is_head_};
}

}  // namespace slotwire::inspect
