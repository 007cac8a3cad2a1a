// A request as the server gets it: HTTP/1.1 bytes.
#include <algorithm>
#include <string_view>

#include "web/nginx/context.hpp"

namespace slotwire::nginx {
namespace {

constexpr std::string_view kVersion = " HTTP/1.1\r\n";
constexpr std::string_view kTimeoutName = "Slotwire-Timeout";
constexpr std::string_view kTraceName = "traceparent";

/// A control byte, which must not stand in a header's value or in the request line.
bool is_control(u_char c) {
  return (c < 0x20 && c != '\t') || c == 0x7f;
}

bool is_clean(const ngx_str_t& value) {
  return std::none_of(value.data, value.data + value.len, is_control);
}

bool is_clean_target(const ngx_str_t& uri) {
  return std::none_of(uri.data, uri.data + uri.len, [](u_char c) { return c <= 0x20 || c == 0x7f; });
}

/// What follows the method: as the client sent it, or, if a rewrite changed it, built from its parts. Empty: no memory.
ngx_str_t target_of(ngx_http_request_t* r) {
  if (r->valid_unparsed_uri != 0) return r->unparsed_uri;
  const bool escaped = r->quoted_uri != 0 || r->internal != 0;
  const std::size_t extra =
      escaped ? 2 * static_cast<std::size_t>(ngx_escape_uri(nullptr, r->uri.data, r->uri.len, NGX_ESCAPE_URI)) : 0;
  ngx_str_t target;
  target.data = static_cast<u_char*>(ngx_pnalloc(r->pool, r->uri.len + extra + 1 + r->args.len));
  target.len = 0;
  if (target.data == nullptr) return target;
  u_char* end = target.data;
  if (extra != 0) {
    ngx_escape_uri(end, r->uri.data, r->uri.len, NGX_ESCAPE_URI);
    end += r->uri.len + extra;
  } else {
    end = ngx_cpymem(end, r->uri.data, r->uri.len);
  }
  if (r->args.len != 0) {
    *end++ = '?';
    end = ngx_cpymem(end, r->args.data, r->args.len);
  }
  target.len = static_cast<std::size_t>(end - target.data);
  return target;
}

/// Calls `use` for each header of the client that this location does not replace.
template <typename Use>
void for_each_passed(ngx_http_request_t* r, RequestHeaders& headers, Use use) {
  if (loc_conf(r).upstream.pass_request_headers == 0) return;
  const bool new_trace = context_of(r)->made_trace;
  for (ngx_list_part_t* part = &r->headers_in.headers.part; part != nullptr; part = part->next) {
    auto* const header = static_cast<ngx_table_elt_t*>(part->elts);
    for (ngx_uint_t i = 0; i < part->nelts; ++i) {
      // What belongs to a trace that was not valid is not passed beside a new one.
      if (new_trace && (is_trace_field(header[i], kTraceName) || is_trace_field(header[i], "tracestate"))) continue;
      if (ngx_hash_find(&headers.replaced, header[i].hash, header[i].lowcase_key, header[i].key.len) == nullptr) {
        use(header[i]);
      }
    }
  }
}

/// Milliseconds that are left of slotwire_deadline.
ngx_msec_t time_left(ngx_http_request_t* r, ngx_msec_t deadline) {
  const ngx_time_t* const now = ngx_timeofday();
  const auto spent = std::max<ngx_msec_int_t>(
      0, static_cast<ngx_msec_int_t>((now->sec - r->start_sec) * 1000 + (static_cast<ngx_msec_int_t>(now->msec) -
                                                                         static_cast<ngx_msec_int_t>(r->start_msec))));
  return static_cast<ngx_msec_t>(std::max<ngx_msec_int_t>(1, static_cast<ngx_msec_int_t>(deadline) - spent));
}

/// In the head that was made for the first try, which has room for the number then.
void renew_timeout(ngx_http_request_t* r, const RequestContext& context) {
  u_char digits[NGX_INT64_LEN];
  const u_char* const end = ngx_sprintf(digits, "%M", time_left(r, loc_conf(r).deadline));
  const auto length = static_cast<std::size_t>(end - digits);
  if (length > context.timeout.len) return;
  ngx_memset(context.timeout.data, ' ', context.timeout.len);
  ngx_memcpy(context.timeout.data + context.timeout.len - length, digits, length);
}

u_char* put(u_char* to, std::string_view text) {
  return static_cast<u_char*>(ngx_cpymem(to, text.data(), text.size()));
}

u_char* put_header(u_char* to, const ngx_str_t& name, const ngx_str_t& value) {
  to = put(to, view_of(name));
  to = put(to, ": ");
  to = put(to, view_of(value));
  return put(to, "\r\n");
}

std::size_t size_of(const ngx_str_t& name, const ngx_str_t& value) {
  return name.len + value.len + 4;
}

ngx_int_t refuse(ngx_http_request_t* r, const char* what, const ngx_str_t& text) {
  ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                "slotwire: %s holds a control byte, so the request is not sent: \"%V\"", what, &text);
  return NGX_ERROR;
}

/// Appends copies of the buffers of the body, so that a second try finds them as they were.
ngx_int_t append_body(ngx_http_request_t* r, ngx_chain_t* link, ngx_chain_t* body) {
  for (; body != nullptr; body = body->next) {
    auto* const copy = static_cast<ngx_buf_t*>(ngx_alloc_buf(r->pool));
    if (copy == nullptr) return NGX_ERROR;
    *copy = *body->buf;
    link->next = ngx_alloc_chain_link(r->pool);
    if (link->next == nullptr) return NGX_ERROR;
    link = link->next;
    link->buf = copy;
  }
  link->buf->flush = 1;
  link->next = nullptr;
  return NGX_OK;
}

/// Wraps what is sent of a body that is read while it is sent into chunks; the first buffer is the head.
ngx_int_t send_chunked(void* data, ngx_chain_t* in) {
  auto* const r = static_cast<ngx_http_request_t*>(data);
  RequestContext& context = *context_of(r);
  const auto tag = reinterpret_cast<ngx_buf_tag_t>(&send_chunked);
  ngx_chain_t* out = nullptr;
  ngx_chain_t** last = &out;
  const auto append = [&](ngx_buf_t* buf) {
    ngx_chain_t* const link = ngx_alloc_chain_link(r->pool);
    if (link == nullptr) return false;
    link->buf = buf;
    link->next = nullptr;
    *last = link;
    last = &link->next;
    return true;
  };
  /// A buffer of the frame around the body: `size` bytes to write to, or the constant `text`.
  const auto frame = [&](std::string_view text, std::size_t size) -> ngx_buf_t* {
    ngx_chain_t* const link = ngx_chain_get_free_buf(r->pool, &context.free_bufs);
    if (link == nullptr) return nullptr;
    ngx_buf_t* const buf = link->buf;
    u_char* kept = buf->temporary != 0 ? buf->start : nullptr;
    if (size != 0 && kept == nullptr) kept = static_cast<u_char*>(ngx_palloc(r->pool, size));
    if (size != 0 && kept == nullptr) return nullptr;
    ngx_memzero(buf, sizeof *buf);
    buf->tag = tag;
    if (size != 0) {
      buf->temporary = 1;
      buf->start = buf->pos = buf->last = kept;
      buf->end = kept + size;
    } else {
      buf->memory = 1;
      buf->pos = buf->start = reinterpret_cast<u_char*>(const_cast<char*>(text.data()));
      buf->last = buf->end = buf->pos + text.size();
    }
    link->next = nullptr;
    *last = link;
    last = &link->next;
    return buf;
  };
  if (in != nullptr && !context.head_sent) {
    context.head_sent = true;
    if (!append(in->buf)) return NGX_ERROR;
    in = in->next;
  }
  off_t size = 0;
  bool ends = false;
  for (ngx_chain_t* link = in; link != nullptr; link = link->next) {
    size += ngx_buf_special(link->buf) != 0 ? 0 : ngx_buf_size(link->buf);
    if (link->buf->last_buf != 0) ends = true;
  }
  if (size != 0) {
    ngx_buf_t* const head = frame({}, sizeof("0000000000000000\r\n") - 1);
    if (head == nullptr) return NGX_ERROR;
    head->last = ngx_sprintf(head->last, "%xO\r\n", size);
  }
  for (; in != nullptr; in = in->next) {
    if (ngx_buf_special(in->buf) == 0 && ngx_buf_size(in->buf) == 0) continue;
    if (!append(in->buf)) return NGX_ERROR;
  }
  if (ends) {
    ngx_buf_t* const end = frame(size != 0 ? "\r\n0\r\n\r\n" : "0\r\n\r\n", 0);
    if (end == nullptr) return NGX_ERROR;
    end->last_buf = 1;
  } else if (size != 0 && frame("\r\n", 0) == nullptr) {
    return NGX_ERROR;
  }
  const ngx_int_t rc = ngx_chain_writer(&r->upstream->writer, out);
  ngx_chain_update_chains(r->pool, &context.free_bufs, &context.busy_bufs, &out, tag);
  return rc;
}

}  // namespace

ngx_int_t create_key(ngx_http_request_t* r) {
  auto* const key = static_cast<ngx_str_t*>(ngx_array_push(&r->cache->keys));
  if (key == nullptr) return NGX_ERROR;
  LocConf& conf = loc_conf(r);
  if (conf.cache_key.value.data != nullptr) return ngx_http_complex_value(r, &conf.cache_key, key);
  // The service's name, then the target, as proxy_cache_key does it by default.
  *key = context_of(r)->upstream->host;
  auto* const target = static_cast<ngx_str_t*>(ngx_array_push(&r->cache->keys));
  if (target == nullptr) return NGX_ERROR;
  *target = target_of(r);
  r->upstream->uri = *target;
  return target->data == nullptr ? NGX_ERROR : NGX_OK;
}

ngx_int_t create_request(ngx_http_request_t* r) {
  ngx_http_upstream_t& u = *r->upstream;
  LocConf& conf = loc_conf(r);
  RequestContext& context = *context_of(r);
  RequestHeaders& headers = u.cacheable != 0 ? conf.headers_cache : conf.headers;

  ngx_str_t method = u.method.len != 0 ? u.method : r->method_name;
  if (u.method.len == 0 && conf.method != nullptr && ngx_http_complex_value(r, conf.method, &method) != NGX_OK) {
    return NGX_ERROR;
  }
  if (method.len == 0 || !is_clean_target(method)) return refuse(r, "the method", method);
  context.is_head = view_of(method) == "HEAD";
  if (context.traceparent.len == 0) find_trace(r, context);
  const ngx_str_t target = target_of(r);
  if (target.data == nullptr) return NGX_ERROR;
  if (target.len == 0 || !is_clean_target(target)) return refuse(r, "the address", target);

  ngx_str_t body{0, nullptr};
  if (conf.body != nullptr) {
    if (ngx_http_complex_value(r, conf.body, &body) != NGX_OK) return NGX_ERROR;
    context.body_length = static_cast<off_t>(body.len);
  } else if (r->headers_in.chunked != 0 && r->reading_body != 0) {
    context.body_length = -1;
    context.chunked_request = true;
  } else {
    context.body_length = r->headers_in.content_length_n;
  }

  const std::size_t count = headers.values->nelts;
  auto* const set = static_cast<HeaderValue*>(headers.values->elts);
  auto* const values = static_cast<ngx_str_t*>(ngx_palloc(r->pool, (count + 1) * sizeof(ngx_str_t)));
  if (values == nullptr) return NGX_ERROR;
  u_char left[NGX_INT64_LEN];
  std::size_t length = method.len + 1 + target.len + kVersion.size() + 2 + body.len;
  for (std::size_t i = 0; i < count; ++i) {
    if (ngx_http_complex_value(r, &set[i].value, &values[i]) != NGX_OK) return NGX_ERROR;
    if (values[i].len == 0) continue;
    if (!is_clean(values[i])) return refuse(r, "the value of a slotwire_set_header", values[i]);
    context.asked_upgrade |=
        view_of(set[i].name).size() == 7 &&
        ngx_strncasecmp(set[i].name.data, reinterpret_cast<u_char*>(const_cast<char*>("upgrade")), 7) == 0;
    length += size_of(set[i].name, values[i]);
  }
  const ngx_str_t timeout_name = str_of(kTimeoutName);
  ngx_str_t timeout{0, left};
  if (conf.deadline != 0) {
    timeout.len = static_cast<std::size_t>(ngx_sprintf(left, "%M", time_left(r, conf.deadline)) - left);
    length += size_of(timeout_name, timeout);
  }
  const ngx_str_t trace_name = str_of(kTraceName);
  const bool sends_trace =
      context.made_trace && ngx_hash_find(&headers.replaced, ngx_hash_key(trace_name.data, trace_name.len),
                                          trace_name.data, trace_name.len) == nullptr;
  if (sends_trace) length += size_of(trace_name, context.traceparent);
  for_each_passed(r, headers, [&](const ngx_table_elt_t& header) { length += size_of(header.key, header.value); });

  ngx_buf_t* const b = ngx_create_temp_buf(r->pool, length);
  ngx_chain_t* const link = ngx_alloc_chain_link(r->pool);
  if (b == nullptr || link == nullptr) return NGX_ERROR;
  link->buf = b;
  link->next = nullptr;
  b->last = put(b->last, view_of(method));
  *b->last++ = ' ';
  u.uri.data = b->last;
  b->last = put(b->last, view_of(target));
  u.uri.len = target.len;
  b->last = put(b->last, kVersion);
  for (std::size_t i = 0; i < count; ++i) {
    if (values[i].len != 0) b->last = put_header(b->last, set[i].name, values[i]);
  }
  if (timeout.len != 0) {
    b->last = put_header(b->last, timeout_name, timeout);
    context.timeout = {timeout.len, b->last - timeout.len - 2};
  }
  if (sends_trace) b->last = put_header(b->last, trace_name, context.traceparent);
  for_each_passed(r, headers,
                  [&](const ngx_table_elt_t& header) { b->last = put_header(b->last, header.key, header.value); });
  b->last = put(b->last, "\r\n");
  b->last = put(b->last, view_of(body));

  ngx_chain_t* const client_body = u.request_bufs;
  u.request_bufs = link;
  if (r->request_body_no_buffering != 0) {
    b->flush = 1;
    if (context.chunked_request) {
      u.output.output_filter = send_chunked;
      u.output.filter_ctx = r;
    }
    return NGX_OK;
  }
  const bool passes_body = conf.body == nullptr && conf.upstream.pass_request_body != 0;
  return append_body(r, link, passes_body ? client_body : nullptr);
}

ngx_int_t reinit_request(ngx_http_request_t* r) {
  RequestContext* const context = context_of(r);
  if (context == nullptr) return NGX_OK;
  ngx_http_upstream_t& u = *r->upstream;
  if (context->timeout.len != 0) renew_timeout(r, *context);
  context->status = {};
  context->chunked = {};
  context->fields = 0;
  context->has_length = context->has_coding = context->interim = context->ends = context->unprocessed = false;
  if (context->location != nullptr) u.conf = context->location;
  u.process_header = process_status_line;
  start_body_filters(r);
  r->state = 0;
  return NGX_OK;
}

}  // namespace slotwire::nginx
