// W3C Trace Context: which trace a request belongs to.
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "web/nginx/context.hpp"

namespace slotwire::nginx {
namespace {

// "00-<32 digits>-<16 digits>-<2 digits>"
constexpr std::size_t kLength = 55;
constexpr std::size_t kIdAt = 3, kIdDigits = 32, kParentAt = 36, kParentDigits = 16, kFlagsAt = 53;

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_zero(std::string_view text) {
  return text.find_first_not_of('0') == std::string_view::npos;
}

bool is_traceparent(std::string_view text) {
  if (text.size() < kLength || text[2] != '-' || text[kParentAt - 1] != '-' || text[kFlagsAt - 1] != '-') return false;
  const std::string_view version = text.substr(0, 2), id = text.substr(kIdAt, kIdDigits),
                         parent = text.substr(kParentAt, kParentDigits);
  if (!is_hex(version) || version == "ff" || !is_hex(id) || !is_hex(parent) || !is_hex(text.substr(kFlagsAt, 2)))
    return false;
  if (is_zero(id) || is_zero(parent)) return false;
  // A later version may have more behind a dash.
  return text.size() == kLength || (version != "00" && text[kLength] == '-');
}

/// The client's field; empty: there is none, or none that is valid.
std::string_view from_client(ngx_http_request_t* r) {
  const ngx_table_elt_t* found = nullptr;
  for (ngx_list_part_t* part = &r->headers_in.headers.part; part != nullptr; part = part->next) {
    auto* const header = static_cast<ngx_table_elt_t*>(part->elts);
    for (ngx_uint_t i = 0; i < part->nelts; ++i) {
      if (!is_trace_field(header[i], "traceparent")) continue;
      if (found != nullptr) return {};  // two of them are invalid
      found = &header[i];
    }
  }
  return found != nullptr && is_traceparent(view_of(found->value)) ? view_of(found->value) : std::string_view();
}

/// A new trace, which is not sampled. Empty: no memory, or no random bytes.
ngx_str_t make(ngx_pool_t* pool) {
  std::array<u_char, (kIdDigits + kParentDigits) / 2> random{};
  if (::getrandom(random.data(), random.size(), GRND_NONBLOCK) != static_cast<ssize_t>(random.size())) return {};
  random[0] |= 1U;  // neither number is 0
  random.back() |= 1U;
  auto* const text = static_cast<u_char*>(ngx_pnalloc(pool, kLength));
  if (text == nullptr) return {};
  u_char* to = static_cast<u_char*>(ngx_cpymem(text, "00-", kIdAt));
  to = ngx_hex_dump(to, random.data(), kIdDigits / 2);
  *to++ = '-';
  to = ngx_hex_dump(to, random.data() + kIdDigits / 2, kParentDigits / 2);
  ngx_memcpy(to, "-00", 3);
  return {kLength, text};
}

}  // namespace

bool is_trace_field(const ngx_table_elt_t& header, std::string_view name) {
  return header.key.len == name.size() && ngx_memcmp(header.lowcase_key, name.data(), name.size()) == 0;
}

void find_trace(ngx_http_request_t* r, RequestContext& context) {
  if (const std::string_view given = from_client(r); !given.empty()) {
    context.traceparent = str_of(given);
    return;
  }
  if (loc_conf(r).trace == 0) return;
  context.traceparent = make(r->pool);
  context.made_trace = context.traceparent.len != 0;
}

std::string_view trace_id(const RequestContext& context) {
  const std::string_view text = view_of(context.traceparent);
  return text.size() < kLength ? std::string_view() : text.substr(kIdAt, kIdDigits);
}

}  // namespace slotwire::nginx
