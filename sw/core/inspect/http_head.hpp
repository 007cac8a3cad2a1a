// What the head of one HTTP/1.0 or 1.1 message says, read line by line. Whatever two parsers could read in two ways is
// refused in requests.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "core/inspect/parser.hpp"

namespace slotwire::inspect {

/// A character of a token (RFC 9110, 5.6.2): of a method and of a field's name.
bool is_http_token(char c);

/// Whether a request may begin with `text` whose method is counted by name: part of the method, or all of it and a
/// space.
bool begins_http_method(std::string_view text);
/// A method that is counted by name, or "other".
std::string_view http_method_label(std::string_view method);

/// Where the body of a message ends.
enum class HttpBody : std::uint8_t { none, length, chunked, until_end };

/// Use for one message: start_line(), field() for each line, end(). Lines come without their CR LF and without control
/// characters other than HTAB. What returns a text says why the message is invalid; an empty text: it is not.
class HttpHead {
 public:
  HttpHead(Role role, const Limits& limits) : role_(role), limits_(limits) {}

  std::string_view start_line(std::string_view line);
  std::string_view field(std::string_view line);
  /// A field behind the body. It may not say anything about where the message ends or whom it is for.
  std::string_view trailer(std::string_view line);
  /// The head is complete. `reply_without_body`: of a reply, whether it answers HEAD.
  std::string_view end(bool reply_without_body);

  /// The results; valid after end().
  HttpBody body() const { return body_; }
  std::uint64_t length() const { return length_; }  ///< bytes, with HttpBody::length
  unsigned status() const { return status_; }       ///< of a reply
  bool is_upgrade() const { return role_ == Role::request && !http_1_0_ && upgrade_ && connection_upgrade_; }
  Message message() const;

 private:
  std::string_view version(std::string_view text);
  std::string_view request_line(std::string_view line);
  std::string_view status_line(std::string_view line);
  std::string_view split(std::string_view line, std::string_view& name, std::string_view& value);
  std::string_view content_length(std::string_view value);
  std::string_view transfer_encoding(std::string_view value);
  std::string_view host(std::string_view value);

  Role role_;
  const Limits& limits_;
  std::string_view label_;
  std::string summary_;
  std::string authority_;  ///< of the target in absolute-form, otherwise empty
  std::string_view default_port_;
  std::size_t fields_ = 0;
  std::uint64_t length_ = 0;
  unsigned status_ = 0;
  HttpBody body_ = HttpBody::none;
  bool http_1_0_ = false, is_head_ = false;
  bool has_length_ = false, has_coding_ = false, chunked_ = false, has_host_ = false;
  bool upgrade_ = false, connection_upgrade_ = false;
  bool may_fold_ = false;  ///< the line before was a field whose continuation changes nothing here
};

/// The size that a chunk's line announces. Returns why it is invalid; empty: it is not.
std::string_view parse_chunk_line(std::string_view line, std::uint64_t& size);

}  // namespace slotwire::inspect
