// The head of a response: read strictly, so that nobody else reads it otherwise.
#include <algorithm>
#include <string_view>

#include "web/nginx/context.hpp"

namespace slotwire::nginx {
namespace {

constexpr ngx_uint_t kMaxFields = 256;
/// Tries of one request that servers refuse without having begun it.
constexpr ngx_uint_t kMaxUnprocessed = 8;

ngx_int_t invalid(ngx_http_request_t* r, const char* why) {
  ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "upstream sent an invalid response: %s", why);
  return NGX_HTTP_UPSTREAM_INVALID_HEADER;
}

bool is(const ngx_table_elt_t& header, std::string_view name) {
  return header.key.len == name.size() && ngx_memcmp(header.lowcase_key, name.data(), name.size()) == 0;
}

bool equals(const ngx_str_t& value, std::string_view text) {
  return value.len == text.size() &&
         ngx_strncasecmp(value.data, reinterpret_cast<u_char*>(const_cast<char*>(text.data())), value.len) == 0;
}

bool has_control_byte(const u_char* from, const u_char* to) {
  return std::any_of(from, to, [](u_char c) { return (c < 0x20 && c != '\t') || c == 0x7f; });
}

/// Is `token` in a comma-separated list?
bool lists(const ngx_str_t& value, std::string_view token) {
  const std::string_view text = view_of(value);
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    std::string_view item = text.substr(at, end - at);
    while (!item.empty() && (item.front() == ' ' || item.front() == '\t')) item.remove_prefix(1);
    while (!item.empty() && (item.back() == ' ' || item.back() == '\t')) item.remove_suffix(1);
    if (equals(str_of(item), token)) return true;
    at = end + 1;
  }
  return false;
}

/// What the framing of the body and the connection depend on. Null, or why the response is refused.
const char* check_framing(ngx_http_request_t* r, RequestContext& context, const ngx_table_elt_t& header) {
  if (is(header, "content-length")) {
    const std::string_view digits = view_of(header.value);
    if (context.has_length) return "two Content-Length";
    context.has_length = true;
    if (digits.empty() || !std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }) ||
        ngx_atoof(header.value.data, header.value.len) == NGX_ERROR) {
      return "a Content-Length that is no number";
    }
  } else if (is(header, "transfer-encoding")) {
    if (context.has_coding) return "two Transfer-Encoding";
    context.has_coding = true;
    if (!equals(header.value, "chunked")) return "a Transfer-Encoding other than chunked";
  } else if (is(header, "connection")) {
    context.ends |= lists(header.value, "close");
  } else if (is(header, "slotwire-credit")) {
    const ngx_int_t requests = ngx_atoi(header.value.data, header.value.len);
    if (requests != NGX_ERROR && context.peer.lent != nullptr)
      context.peer.lent->process().note_credit(static_cast<std::size_t>(requests));
  } else if (is(header, "slotwire-unprocessed")) {
    context.unprocessed = equals(header.value, "1") && r->upstream->headers_in.status_n == NGX_HTTP_SERVICE_UNAVAILABLE;
  }
  return nullptr;
}

/// A copy of the line that was parsed last, in the request's memory.
bool copy_line(ngx_http_request_t* r, ngx_table_elt_t& header) {
  header.hash = r->header_hash;
  header.key.len = static_cast<std::size_t>(r->header_name_end - r->header_name_start);
  header.value.len = static_cast<std::size_t>(r->header_end - r->header_start);
  auto* const text = static_cast<u_char*>(ngx_pnalloc(r->pool, 2 * header.key.len + header.value.len + 2));
  if (text == nullptr) {
    header.hash = 0;
    return false;
  }
  header.key.data = text;
  header.value.data = text + header.key.len + 1;
  header.lowcase_key = header.value.data + header.value.len + 1;
  *ngx_cpymem(header.key.data, r->header_name_start, header.key.len) = 0;
  *ngx_cpymem(header.value.data, r->header_start, header.value.len) = 0;
  ngx_strlow(header.lowcase_key, header.key.data, header.key.len);
  return true;
}

/// nginx sends its own Server and Date unless these are there.
bool add_empty(ngx_http_request_t* r, const ngx_table_elt_t* present, std::string_view name, std::string_view lowcase) {
  if (present != nullptr) return true;
  auto* const header = static_cast<ngx_table_elt_t*>(ngx_list_push(&r->upstream->headers_in.headers));
  if (header == nullptr) return false;
  ngx_memzero(header, sizeof *header);
  header->key = str_of(name);
  header->lowcase_key = str_of(lowcase).data;
  header->hash = ngx_hash_key(header->lowcase_key, lowcase.size());
  return true;
}

/// A server that began nothing: whatever the method was, another one may be asked.
void allow_another_try(ngx_http_request_t* r, RequestContext& context) {
  ngx_http_upstream_t& u = *r->upstream;
  if ((u.conf->next_upstream & NGX_HTTP_UPSTREAM_FT_OFF) != 0 || context.peer.unprocessed >= kMaxUnprocessed ||
      !has_another(context.peer)) {
    return;
  }
  auto* const conf = static_cast<ngx_http_upstream_conf_t*>(ngx_palloc(r->pool, sizeof *u.conf));
  if (conf == nullptr) return;
  *conf = *u.conf;
  conf->next_upstream |= NGX_HTTP_UPSTREAM_FT_HTTP_503 | NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT;
  u.conf = conf;
  ++u.peer.tries;
  ++context.peer.unprocessed;
}

ngx_int_t end_of_head(ngx_http_request_t* r, RequestContext& context) {
  ngx_http_upstream_t& u = *r->upstream;
  if (context.has_length && context.has_coding) return invalid(r, "Content-Length and Transfer-Encoding");
  const ngx_uint_t status = u.headers_in.status_n;
  if (!add_empty(r, u.headers_in.server, "Server", "server") || !add_empty(r, u.headers_in.date, "Date", "date")) {
    return NGX_ERROR;
  }
  if (status == NGX_HTTP_SWITCHING_PROTOCOLS) {
    if (r->headers_in.upgrade == nullptr || !context.asked_upgrade) return invalid(r, "101 without a request for it");
    u.upgrade = 1;
    u.keepalive = 0;
    return NGX_OK;
  }
  if (u.headers_in.chunked != 0) u.headers_in.content_length_n = -1;
  context.ends |= u.headers_in.connection_close != 0;
  // A response without a body is complete: what follows (a redirect inside nginx, no more reading) does not find out.
  if (status == NGX_HTTP_NO_CONTENT || status == NGX_HTTP_NOT_MODIFIED || context.is_head ||
      (u.headers_in.chunked == 0 && u.headers_in.content_length_n == 0)) {
    u.keepalive = context.ends ? 0 : 1;
  }
  if (context.unprocessed) {
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "slotwire: the process that serves \"%V\" began nothing of the request (its log says why)",
                  &context.peer.member->service);
    allow_another_try(r, context);
  }
  return NGX_OK;
}

ngx_int_t process_fields(ngx_http_request_t* r) {
  ngx_http_upstream_t& u = *r->upstream;
  RequestContext& context = *context_of(r);
  auto* const main =
      static_cast<ngx_http_upstream_main_conf_t*>(ngx_http_get_module_main_conf(r, ngx_http_upstream_module));
  while (true) {
    const ngx_int_t rc = ngx_http_parse_header_line(r, &u.buffer, 1);
    if (rc == NGX_AGAIN) return NGX_AGAIN;
    if (rc == NGX_HTTP_PARSE_HEADER_DONE) {
      if (u.buffer.pos - u.buffer.start < 2 || u.buffer.pos[-2] != CR) return invalid(r, "a line that ends without CR");
      if (!context.interim) return end_of_head(r, context);
      context.interim = false;
      context.status = {};
      u.headers_in.status_n = 0;
      if (u.state != nullptr) u.state->status = 0;
      r->state = 0;
      u.process_header = process_status_line;
      return u.buffer.pos == u.buffer.last ? NGX_AGAIN : process_status_line(r);
    }
    if (rc != NGX_OK || *r->header_name_end != ':') return invalid(r, "an invalid header line");
    if (u.buffer.pos[-2] != CR) return invalid(r, "a line that ends without CR");
    if (has_control_byte(r->header_start, r->header_end)) return invalid(r, "a control byte in a header");
    if (++context.fields > kMaxFields) return invalid(r, "more than 256 fields");
    ngx_table_elt_t parsed{};
    if (!copy_line(r, parsed)) return NGX_ERROR;
    if (context.interim) {
      context.ends |= is(parsed, "connection") && lists(parsed.value, "close");
      continue;
    }
    if (const char* const wrong = check_framing(r, context, parsed)) return invalid(r, wrong);
    auto* const header = static_cast<ngx_table_elt_t*>(ngx_list_push(&u.headers_in.headers));
    if (header == nullptr) return NGX_ERROR;
    *header = parsed;
    auto* const known = static_cast<ngx_http_upstream_header_t*>(
        ngx_hash_find(&main->headers_in_hash, header->hash, header->lowcase_key, header->key.len));
    if (known != nullptr && known->handler(r, header, known->offset) != NGX_OK) return NGX_ERROR;
  }
}

}  // namespace

ngx_int_t process_status_line(ngx_http_request_t* r) {
  ngx_http_upstream_t& u = *r->upstream;
  RequestContext& context = *context_of(r);
  const ngx_int_t rc = ngx_http_parse_status_line(r, &u.buffer, &context.status);
  if (rc == NGX_AGAIN) return rc;
  if (rc == NGX_ERROR || context.status.http_version < NGX_HTTP_VERSION_10 ||
      context.status.http_version >= NGX_HTTP_VERSION_20) {
    return invalid(r, "no HTTP/1.x status line");
  }
  if (u.buffer.pos - u.buffer.start < 2 || u.buffer.pos[-2] != CR)
    return invalid(r, "a status line that ends without CR");
  const ngx_uint_t code = context.status.code;
  if (code < 100 || has_control_byte(context.status.start, context.status.end))
    return invalid(r, "an invalid status line");
  context.interim = code < 200 && code != NGX_HTTP_SWITCHING_PROTOCOLS;
  if (!context.interim) {
    if (u.state != nullptr && u.state->status == 0) u.state->status = code;
    u.headers_in.status_n = code;
    u.headers_in.status_line = copy_of(r->pool, {reinterpret_cast<const char*>(context.status.start),
                                                 static_cast<std::size_t>(context.status.end - context.status.start)});
    if (u.headers_in.status_line.data == nullptr) return NGX_ERROR;
    if (context.status.http_version < NGX_HTTP_VERSION_11) u.headers_in.connection_close = 1;
  }
  u.process_header = process_fields;
  return process_fields(r);
}

}  // namespace slotwire::nginx
