#include "runtime/engine/config/http_values.hpp"

#include <algorithm>
#include <charconv>

#include "runtime/control/gate_protocol.hpp"
#include "runtime/engine/config/config.hpp"

namespace slotwire::engine {
namespace {

constexpr unsigned kIpv4Bits = 32, kIpv6Bits = 128;

/// Everything else is written as %xx in a URL.
bool is_url_char(char c) {
  return c > ' ' && c <= '~' && std::string_view("\"<>\\^`{|}#").find(c) == std::string_view::npos;
}

std::string in_quotes(std::string_view text) {
  return "\"" + printable(text) + "\"";
}

void check_proxy(const HttpConfig& http, const ReportProblem& report) {
  const std::string& proxy = http.proxy_text;
  const std::string whole = proxy.find("://") == std::string::npos ? "http://" + proxy : proxy;
  if (!proxy.empty() && proxy != "none" && !valid_url(whole)) {
    report("http.proxy", "is " + in_quotes(proxy) +
                             "; expected is a URL such as \"http://proxy.example:3128\", or \"none\" for no proxy");
  }
  const auto too_long = [&](const std::string& key, const std::string& value) {
    if (value.size() <= control::kMaxWord) return;
    report(key,
           "has " + std::to_string(value.size()) + " bytes; expected are at most " + std::to_string(control::kMaxWord));
  };
  too_long("http.proxy_user", http.proxy_user);
  // A Kerberos ticket needs neither.
  if (!http.proxy_user.empty() && http.proxy_password_file.empty() && !http.proxy_negotiate) {
    report("http.proxy_user",
           "is given without a password; set 'http.proxy_password_file' to a file whose first line is the password, "
           "set 'http.proxy_negotiate' = true for a login by Kerberos, or remove it");
  }
  if (http.proxy_user.empty() && !http.proxy_password_file.empty()) {
    report("http.proxy_password_file",
           "is given without a user; set 'http.proxy_user' to the user's name, or remove it");
  }
}

}  // namespace

bool valid_url(std::string_view text) {
  if (text.size() > control::kMaxUrl || !std::all_of(text.begin(), text.end(), is_url_char)) return false;
  for (const std::string_view scheme : {std::string_view("http://"), std::string_view("https://")}) {
    if (!text.starts_with(scheme)) continue;
    std::string_view host = text.substr(scheme.size());
    host = host.substr(0, host.find_first_of("/?"));
    // A name and a password.
    if (const std::size_t at = host.rfind('@'); at != std::string_view::npos) host.remove_prefix(at + 1);
    const bool has_port = host.rfind(':') != std::string_view::npos && !host.ends_with(']');
    const auto address = parse_host_port(has_port ? std::string(host) : std::string(host) + ":80");
    return address && address->port != 0;
  }
  return false;
}

bool valid_network(const std::string& text) {
  const std::size_t slash = text.find('/');
  const std::string host = text.substr(0, slash);
  if (!is_numeric_host(host)) return false;
  if (slash == std::string::npos) return true;
  unsigned bits = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + slash + 1, end, bits);
  return error == std::errc{} && rest == end && bits <= (host.find(':') == std::string::npos ? kIpv4Bits : kIpv6Bits);
}

void check_http(const Config& config, const ReportProblem& report) {
  const HttpConfig& http = config.http;
  const bool plain = http.path.size() <= control::kMaxUrl &&
                     std::all_of(http.path.begin(), http.path.end(), [](char c) { return is_url_char(c) && c != '?'; });
  if (http.path.empty() || http.path.front() != '/' || !plain) {
    report("http.path", "is " + in_quotes(http.path) +
                            "; expected is a path that begins with '/', such as \"/slotwire\", " +
                            "without spaces, '?' and '#'");
  }
  for (const std::string& network : http.trusted_proxies) {
    if (valid_network(network)) continue;
    report("http.trusted_proxies", "has " + in_quotes(network) +
                                       "; expected are addresses or networks, such as \"192.0.2.7\", \"10.0.0.0/8\" or "
                                       "\"2001:db8::/32\"");
  }
  check_proxy(http, report);
  if (http.tls && !config.tls.enabled()) {
    report("http.tls", "is true, but there are no certificates; set 'tls.certificate', 'tls.key' and 'tls.ca'");
  }
}

void check_urls(const LinkConfig& link, const ReportProblem& report) {
  for (const std::string& url : link.http) {
    if (valid_url(url)) continue;
    report("http",
           "has " + in_quotes(url) +
               "; expected are URLs such as \"https://example.org/slotwire\" or \"http://192.0.2.10:8080/slotwire\"");
  }
}

}  // namespace slotwire::engine
