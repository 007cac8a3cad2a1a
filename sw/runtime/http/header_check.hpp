// What a request's header must not have though Beast accepts it: everything that two parsers may understand in two
// ways, and with which one request is smuggled in another. Beast parses; this looks at the bytes before and at the
// fields after.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace slotwire::http {

/// Looks for the end of a header in bytes that arrive in pieces. Each byte is looked at once.
class HeaderScan {
 public:
  enum class Result : std::uint8_t { incomplete, complete, invalid };

  /// `bytes`: all that arrived since the header began.
  Result scan(std::string_view bytes);
  /// Of the header, with the empty line; valid when complete.
  std::size_t length() const { return at_; }
  /// Why it is invalid: a bare CR or LF, a control character, a folded line, an empty first line.
  const char* reason() const { return reason_; }
  void reset() { *this = HeaderScan{}; }

 private:
  std::size_t at_ = 0;
  const char* reason_ = "";
};

/// A request's fields, as far as they say where it ends and whom it is for.
struct Framing {
  std::size_t hosts = 0;
  std::string_view host;
  std::size_t content_lengths = 0;
  std::string_view content_length;
  std::size_t transfer_encodings = 0;
  std::string_view transfer_encoding;
  bool http_1_0 = false;
  bool post = false;
};

struct Verdict {
  unsigned status = 0;      ///< HTTP status of the refusal; 0: accepted
  const char* reason = "";  ///< for people
  std::uint64_t body_bytes = 0;
};

/// Accepts one Host, one Content-Length of digits for a POST and none (or 0) for others, and no Transfer-Encoding.
Verdict check_framing(const Framing& framing, std::uint64_t body_limit);

/// The path of a request's target ("/s?x" and "http://host/s?x" give "/s"), empty for any other form.
std::string_view path_of_target(std::string_view target);
/// Whether `path` is `prefix` or lies beneath it.
bool is_beneath(std::string_view path, std::string_view prefix);

}  // namespace slotwire::http
