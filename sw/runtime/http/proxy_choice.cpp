#include "runtime/http/proxy_choice.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <exception>
#include <memory>

#include "core/carriers/socket.hpp"
#include "runtime/control/printable.hpp"
#include "runtime/http/source.hpp"

namespace slotwire::http {
namespace {

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using UrlHandle = std::unique_ptr<CURLU, FreeUrl>;

std::string part(CURLU* url, CURLUPart what, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, what, &text, flags) != CURLUE_OK) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

std::string lower(std::string_view text) {
  std::string copy(text);
  std::transform(copy.begin(), copy.end(), copy.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return copy;
}

std::optional<carriers::Address> numeric(const std::string& host) {
  try {
    return carriers::Address::parse(host.find(':') == std::string::npos ? host + ":0" : "[" + host + "]:0");
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

bool names(std::string_view entry, const std::string& host) {
  if (entry == "*") return true;
  if (const auto address = numeric(host)) {
    try {
      return Network::parse(std::string(entry)).has(*address);
    } catch (const std::exception&) {
      return false;
    }
  }
  while (entry.starts_with('.')) entry.remove_prefix(1);
  if (entry.empty()) return false;
  const std::string name = lower(entry), whole = lower(host);
  return whole == name || whole.ends_with("." + name);
}

}  // namespace

core::Result<Url> Url::parse(const std::string& text, const std::string& default_scheme) {
  const auto invalid = [&](const std::string& why) {
    return core::Error{"'" + control::printable(text) + "' is no URL that can be used: " + why +
                       "; expected http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH"};
  };
  const UrlHandle handle(curl_url());
  if (!handle) return invalid("no memory");
  const std::string whole =
      default_scheme.empty() || text.find("://") != std::string::npos ? text : default_scheme + "://" + text;
  const CURLUcode code = curl_url_set(handle.get(), CURLUPART_URL, whole.c_str(), 0);
  if (code != CURLUE_OK) return invalid(curl_url_strerror(code));
  const std::string scheme = part(handle.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return invalid("the scheme is '" + control::printable(scheme) + "'");
  Url url;
  url.tls = scheme == "https";
  url.host = part(handle.get(), CURLUPART_HOST);
  if (url.host.starts_with('[')) url.host = url.host.substr(1, url.host.size() - 2);
  const std::string port = part(handle.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  std::from_chars(port.data(), port.data() + port.size(), url.port);
  url.path = part(handle.get(), CURLUPART_PATH);
  const std::string query = part(handle.get(), CURLUPART_QUERY);
  if (!query.empty()) url.path += "?" + query;
  url.user = part(handle.get(), CURLUPART_USER, CURLU_URLDECODE);
  url.password = part(handle.get(), CURLUPART_PASSWORD, CURLU_URLDECODE);
  if (url.host.empty() || url.port == 0) return invalid("it names no host");
  return url;
}

std::string Url::origin() const {
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return std::string(tls ? "https://" : "http://") + name + ":" + std::to_string(port);
}

std::optional<std::string> process_environment(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr || *value == 0) return std::nullopt;
  return std::string(value);
}

std::string proxy_of_environment(const Url& url, const Environment& environment) {
  const auto first = [&](std::initializer_list<const char*> variables) -> std::string {
    for (const char* const name : variables) {
      if (const auto value = environment(name)) return *value;
    }
    return {};
  };
  const std::string exceptions = first({"no_proxy", "NO_PROXY"});
  if (excluded(exceptions, url.host)) return {};
  // HTTP_PROXY in upper case is what a web server makes of a request's field "Proxy".
  return url.tls ? first({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
                 : first({"http_proxy", "all_proxy", "ALL_PROXY"});
}

bool excluded(std::string_view list, const std::string& host) {
  constexpr std::string_view kSeparators = ", \t";
  while (!list.empty()) {
    const std::size_t start = list.find_first_not_of(kSeparators);
    if (start == std::string_view::npos) return false;
    list.remove_prefix(start);
    const std::size_t end = std::min(list.find_first_of(kSeparators), list.size());
    if (names(list.substr(0, end), host)) return true;
    list.remove_prefix(end);
  }
  return false;
}

}  // namespace slotwire::http
