#include "web/bridge/fastcgi.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "web/http/text.hpp"

namespace slotwire::web::bridge::fastcgi {
namespace {

constexpr char kVersion = 1;
constexpr char kResponder = 1;
constexpr std::size_t kMostShort = 127;

char byte_of(std::size_t value, unsigned shift) {
  return static_cast<char>((value >> shift) & 0xff);
}

void append_length(std::string& out, std::size_t length) {
  if (length <= kMostShort) {
    out += static_cast<char>(length);
    return;
  }
  out += static_cast<char>(byte_of(length, 24) | static_cast<char>(0x80));
  out += byte_of(length, 16);
  out += byte_of(length, 8);
  out += byte_of(length, 0);
}

/// Takes a length as append_length() writes it.
std::size_t take_length(std::string_view& params) {
  const auto take = [&params] {
    const auto byte = static_cast<unsigned char>(params.front());
    params.remove_prefix(1);
    return static_cast<std::size_t>(byte);
  };
  std::size_t length = take();
  if (length <= kMostShort) return length;
  length -= kMostShort + 1;
  for (int i = 0; i < 3; ++i) length = (length << 8U) + take();
  return length;
}

/// Bytes of the first parameter, with its lengths.
std::size_t size_of_first(std::string_view params) {
  std::string_view rest = params;
  const std::size_t name = take_length(rest);
  const std::size_t value = take_length(rest);
  return params.size() - rest.size() + name + value;
}

bool equal_prefix(std::string_view name, std::string_view prefix) {
  return name.size() >= prefix.size() && equal_names(name.substr(0, prefix.size()), prefix);
}

/// "X-Real-IP" becomes HTTP_X_REAL_IP. Empty: a field that scripts do not get: one with an underscore, which could pass
/// for another; Proxy, which scripts take for the proxy to use; those that have parameters of their own, or concern a
/// connection.
std::string param_of(std::string_view name) {
  constexpr std::array<std::string_view, 9> kNot{
      "proxy",      "content-length", "content-type", "connection", "transfer-encoding",
      "keep-alive", "upgrade",        "te",           "expect"};
  if (name.find('_') != std::string_view::npos || equal_prefix(name, "slotwire-")) return {};
  if (std::any_of(kNot.begin(), kNot.end(), [&](std::string_view not_this) { return equal_names(name, not_this); }))
    return {};
  std::string param = "HTTP_";
  for (const char c : name) {
    const bool letter = c >= 'a' && c <= 'z';
    const bool upper = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    param += letter ? static_cast<char>(c - 'a' + 'A') : upper ? c : '_';
  }
  return param;
}

/// Fields of one name are one parameter.
void append_fields(std::string& params, const Exchange& exchange) {
  std::vector<std::pair<std::string, std::string>> values;
  for (const Field& field : exchange.fields()) {
    std::string name = param_of(field.name);
    if (name.empty()) continue;
    const auto found =
        std::find_if(values.begin(), values.end(), [&](const auto& entry) { return entry.first == name; });
    if (found == values.end()) {
      values.emplace_back(std::move(name), field.value);
    } else {
      found->second += found->first == "HTTP_COOKIE" ? "; " : ", ";
      found->second += field.value;
    }
  }
  for (const auto& [name, value] : values) append_param(params, name, value);
}

}  // namespace

void append_header(std::string& out, Type type, std::size_t content) {
  out += kVersion;
  out += static_cast<char>(type);
  out += '\0';
  out += '\1';  // the request's number
  out += byte_of(content, 8);
  out += byte_of(content, 0);
  out += '\0';  // no padding
  out += '\0';
}

void append_begin(std::string& out) {
  append_header(out, Type::begin_request, kHeaderBytes);
  out += '\0';
  out += kResponder;
  out.append(6, '\0');  // no flags: a connection that is kept would hold a child of PHP-FPM
}

void append_param(std::string& params, std::string_view name, std::string_view value) {
  append_length(params, name.size());
  append_length(params, value.size());
  params += name;
  params += value;
}

bool append_params(std::string& out, std::string_view params) {
  const std::size_t before = out.size();
  while (!params.empty()) {
    std::size_t n = 0;
    while (n < params.size()) {
      const std::size_t next = size_of_first(params.substr(n));
      if (n + next > kMostContent) break;
      n += next;
    }
    if (n == 0) {
      out.resize(before);
      return false;
    }
    append_header(out, Type::params, n);
    out += params.substr(0, n);
    params.remove_prefix(n);
  }
  append_header(out, Type::params, 0);
  return true;
}

bool decode_header(std::string_view bytes, Record& out) {
  const auto at = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])); };
  constexpr std::size_t kType = 1, kIdHigh = 2, kIdLow = 3, kLengthHigh = 4, kLengthLow = 5, kPadding = 6;
  if (bytes[0] != kVersion || at(kIdHigh) != 0 || at(kIdLow) != 1) return false;
  out.type = static_cast<Type>(bytes[kType]);
  out.content = at(kLengthHigh) * 256 + at(kLengthLow);
  out.padding = at(kPadding);
  return true;
}

std::string make_params(const Exchange& x, const Script& script, const ScriptOptions& options,
                        std::optional<std::uint64_t> length) {
  std::string params;
  const auto add = [&](std::string_view name, std::string_view value) { append_param(params, name, value); };
  const std::string_view host = x.field("host");
  const std::size_t colon = host.rfind(':');
  const bool has_port = colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos;
  const auto said = [&](const std::string& field) { return field.empty() ? std::string_view() : x.field(field); };
  const auto add_said = [&](std::string_view name, const std::string& field) {
    if (const std::string_view value = said(field); !value.empty()) add(name, value);
  };
  const std::string_view remote = said(options.remote_address_field);
  const std::string_view port = said(options.server_port_field);
  const bool https = equal_names(said(options.https_field), "https");
  add("SCRIPT_FILENAME", options.root + script.name);
  add("PATH_INFO", script.path_info);
  add("QUERY_STRING", script.query);
  add("REQUEST_METHOD", x.method());
  add("CONTENT_TYPE", x.field("content-type"));
  add("CONTENT_LENGTH", x.has_body() && length ? std::to_string(*length) : std::string());
  add("SCRIPT_NAME", script.name);
  add("REQUEST_URI", x.target());
  add("DOCUMENT_URI", script.document_uri);
  add("DOCUMENT_ROOT", options.root);
  add("SERVER_PROTOCOL", "HTTP/1.1");
  add("REQUEST_SCHEME", https ? "https" : "http");
  if (https) add("HTTPS", "on");
  add("GATEWAY_INTERFACE", "CGI/1.1");
  add("SERVER_SOFTWARE", "slotwire/" SLOTWIRE_VERSION);
  add("REMOTE_ADDR", remote.empty() ? std::string_view("127.0.0.1") : remote);
  add_said("REMOTE_PORT", options.remote_port_field);
  add_said("REMOTE_USER", options.remote_user_field);
  add_said("SERVER_ADDR", options.server_address_field);
  add("SERVER_NAME", has_port ? host.substr(0, colon) : host);
  add("SERVER_PORT", !port.empty() ? port : has_port ? host.substr(colon + 1) : std::string_view(https ? "443" : "80"));
  add("REDIRECT_STATUS", "200");
  append_fields(params, x);
  return params;
}

}  // namespace slotwire::web::bridge::fastcgi
