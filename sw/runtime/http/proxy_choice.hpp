// Which proxy a request goes through: what the configuration says, or the environment as curl reads it. URLs are parsed
// by libcurl.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace slotwire::http {

/// The parts of a URL that this room needs.
struct Url {
  bool tls = false;
  std::string host;  ///< an IPv6 address has no brackets
  std::uint16_t port = 0;
  std::string path;  ///< from '/', with a query
  std::string user, password;

  /// http:// or https:// (the default is `default_scheme`). The Error says what is wrong.
  static core::Result<Url> parse(const std::string& text, const std::string& default_scheme = {});
  /// "http://host:port", without user and password.
  std::string origin() const;
  std::string text() const { return origin() + path; }
};

/// By name; none: not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;
/// That of this process.
std::optional<std::string> process_environment(const char* name);

/// The proxy that http_proxy, https_proxy (for an https:// URL), all_proxy and no_proxy name for `url`: lower case, or,
/// but for http_proxy, upper case. Empty: none.
std::string proxy_of_environment(const Url& url, const Environment& environment);
/// Whether a no_proxy list ("localhost, .example.com, 10.0.0.0/8, *") names `host`.
bool excluded(std::string_view list, const std::string& host);

}  // namespace slotwire::http
