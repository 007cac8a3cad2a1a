// Whom a request is for and what it asks for: the target of its first line (RFC 9112, 3.2) and its Host field (RFC
// 9110, 7.2). What servers read in more than one way is invalid here.
#pragma once
#include <string_view>

namespace slotwire::inspect {

/// Capital letters, '-' and '_': some servers take "get" for GET and others do not.
bool is_http_method(std::string_view text);

/// host [ ":" port ] (RFC 3986, 3.2.2) without user information and percent-encoding. No label of a name is empty but
/// one behind the last dot; a port is at most 65535.
bool is_http_authority(std::string_view text);

/// A target in absolute-form has an authority and the port that its scheme means; of the others both are empty.
struct HttpTarget {
  std::string_view authority;
  std::string_view default_port;  ///< ":80" or ":443"
};

/// origin-form ("/path?query"), absolute-form ("http://host/path") or, of OPTIONS, "*". Invalid are a fragment, a tab
/// and bytes above 0x7f; in the path also a backslash, '%' without two hexadecimal digits, "%00", and ".." above the
/// root.
bool is_http_target(std::string_view target, std::string_view method, HttpTarget& parts);

/// Whether a Host field says what the target's authority says; true if it has none.
bool is_authority_of(const HttpTarget& target, std::string_view host_field);

}  // namespace slotwire::inspect
