// Heads of HTTP/1.1 messages (RFC 9112): found in bytes that arrive in pieces, parsed, and checked for everything that
// two parsers could read in two ways. No sockets, no clock.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "slotwire_types.hpp"
#include "slotwire_web_fields.hpp"

namespace slotwire::web::http {

/// HTTP statuses that this code gives by itself.
enum StatusCode : std::uint16_t {
  kContinue = 100,
  kSwitchingProtocols = 101,
  kNoContent = 204,
  kNotModified = 304,
  kBadRequest = 400,
  kNotFound = 404,
  kRequestTimeout = 408,
  kLengthRequired = 411,
  kContentTooLarge = 413,
  kTargetTooLong = 414,
  kHeadTooLarge = 431,
  kInternalError = 500,
  kNotImplemented = 501,
  kBadGateway = 502,
  kUnavailable = 503,
  kGatewayTimeout = 504,
  kVersionNotSupported = 505,
};

struct HeadLimits {
  std::size_t bytes = std::size_t{64} << 10U;  ///< the empty line included
  std::size_t fields = 256;
};

/// Collects the bytes of one head. Refuses a bare CR or LF, a control character, a folded line, an empty first line and
/// a head that is too large. Each byte is looked at once.
class HeadCollector {
 public:
  enum class State : std::uint8_t { incomplete, complete, invalid };

  explicit HeadCollector(std::size_t most_bytes) : most_(most_bytes) {}
  /// Takes bytes from the beginning of `piece`, at most to the end of the head. Returns how many.
  std::size_t feed(std::string_view piece);
  State state() const { return state_; }
  /// No byte has been fed.
  bool is_empty() const { return bytes_.empty() && state_ == State::incomplete; }
  /// Why it is invalid: a sentence, and the HTTP status that answers such a request.
  Error problem() const;
  /// The bytes of a complete head; begins anew.
  std::vector<char> take();

 private:
  enum class Line : std::uint8_t { first_byte, start, inside, after_cr, after_last_cr };
  void refuse(std::uint16_t status, const char* why);

  std::size_t most_;
  std::vector<char> bytes_;
  State state_ = State::incomplete;
  Line line_ = Line::first_byte;
  std::uint16_t status_ = 0;
  const char* why_ = "";
};

/// A parsed head. Movable; the views stay valid.
struct Head {
  std::string_view method, target;  ///< of a request
  unsigned status = 0;              ///< of a response
  std::string_view reason;
  bool http_1_0 = false;
  std::vector<Field> fields;
  std::vector<char> bytes;  ///< what the views lead to

  /// The value of the first field `name`; an empty view without one.
  std::string_view field(std::string_view name) const;
  bool has_field(std::string_view name) const;
  /// Whether the comma-separated list in the fields `name` has `token`.
  bool has_token(std::string_view name, std::string_view token) const;
};

/// Parse the bytes that a HeadCollector took. Error::code is the HTTP status of the refusal.
Result<Head> parse_request(std::vector<char> bytes, const HeadLimits& limits);
Result<Head> parse_response(std::vector<char> bytes, const HeadLimits& limits);

enum class BodyKind : std::uint8_t { none, length, chunked, until_end };

/// Where a message ends.
struct Framing {
  BodyKind kind = BodyKind::none;
  std::uint64_t length = 0;  ///< with BodyKind::length; of a response without a body, what its Content-Length says
  bool has_length = false;   ///< there is a Content-Length field
  bool keep = true;          ///< the connection can carry another message afterwards
};

/// How the body of a request is framed. Refuses Content-Length beside Transfer-Encoding, several or invalid lengths, a
/// transfer coding other than chunked, a Host field that is missing or there twice.
Result<Framing> request_framing(const Head& head);
/// The same for the response to a request with this method.
Result<Framing> response_framing(const Head& head, std::string_view method);

/// A field that belongs to one connection and is not passed on: the fixed ones, and those that Connection names.
bool is_hop_by_hop(const Head& head, std::string_view name);
/// Whether a Connection field that names this field means nothing: the field is for whoever answers the request, and a
/// client that could have it removed would change what the request is or from whom (Host, Content-Length, Cookie,
/// X-Forwarded-For, ...).
bool is_end_to_end(std::string_view name);
/// "GET", "PUT" and the others that may be sent again when it is not known whether they were processed.
bool is_idempotent(std::string_view method);

/// Decimal digits alone, at most `most`.
bool parse_number(std::string_view text, std::uint64_t most, std::uint64_t& out);

}  // namespace slotwire::web::http
