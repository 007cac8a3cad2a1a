// The body of a response: counted or taken out of its chunks, into nginx's pipe (buffering) or its own chain (without).
#include <algorithm>

#include "web/nginx/context.hpp"

namespace slotwire::nginx {
namespace {

/// What must still come at least of a chunked body, before the first chunk was looked at.
constexpr off_t kShortestChunked = 3;

void note_excess(ngx_http_request_t* r, ngx_log_t* log) {
  RequestContext& context = *context_of(r);
  r->upstream->keepalive = 0;
  // Something follows the response, so nothing more may be asked here: most likely it is a notice that the server ends.
  context.ends = true;
  ngx_log_error(NGX_LOG_INFO, log, 0, "upstream sent more than the response, which ends the connection");
}

void note_complete(ngx_http_request_t* r) {
  r->upstream->keepalive = context_of(r)->ends ? 0 : 1;
}

void append(ngx_event_pipe_t& pipe, ngx_chain_t* link) {
  if (pipe.in != nullptr) {
    *pipe.last_in = link;
  } else {
    pipe.in = link;
  }
  pipe.last_in = &link->next;
}

// --- with buffering ---

ngx_int_t pipe_counted(ngx_event_pipe_t* pipe, ngx_buf_t* buf) {
  auto* const r = static_cast<ngx_http_request_t*>(pipe->input_ctx);
  if (buf->pos == buf->last || pipe->upstream_done != 0) return NGX_OK;
  if (pipe->length == 0) {
    note_excess(r, pipe->log);
    pipe->upstream_done = 1;
    return NGX_OK;
  }
  ngx_chain_t* const link = ngx_chain_get_free_buf(pipe->pool, &pipe->free);
  if (link == nullptr) return NGX_ERROR;
  ngx_buf_t* const part = link->buf;
  *part = *buf;
  part->shadow = buf;
  part->tag = pipe->tag;
  part->last_shadow = 1;
  part->recycled = 1;
  buf->shadow = part;
  append(*pipe, link);
  if (pipe->length == -1) return NGX_OK;
  const off_t size = part->last - part->pos;
  if (size > pipe->length) {
    note_excess(r, pipe->log);
    part->last = part->pos + pipe->length;
    pipe->upstream_done = 1;
    return NGX_OK;
  }
  pipe->length -= size;
  if (pipe->length == 0) note_complete(r);
  return NGX_OK;
}

ngx_int_t pipe_chunked(ngx_event_pipe_t* pipe, ngx_buf_t* buf) {
  auto* const r = static_cast<ngx_http_request_t*>(pipe->input_ctx);
  ngx_http_chunked_t& chunked = context_of(r)->chunked;
  if (buf->pos == buf->last || pipe->upstream_done != 0) return NGX_OK;
  if (pipe->length == 0) {
    note_excess(r, pipe->log);
    pipe->upstream_done = 1;
    return NGX_OK;
  }
  ngx_buf_t* part = nullptr;
  ngx_buf_t** shadow = &buf->shadow;
  while (true) {
    const ngx_int_t rc = ngx_http_parse_chunked(r, buf, &chunked);
    if (rc == NGX_OK) {
      ngx_chain_t* const link = ngx_chain_get_free_buf(pipe->pool, &pipe->free);
      if (link == nullptr) return NGX_ERROR;
      part = link->buf;
      ngx_memzero(part, sizeof *part);
      part->start = buf->start;
      part->end = buf->end;
      part->pos = buf->pos;
      part->tag = pipe->tag;
      part->temporary = 1;
      part->recycled = 1;
      part->num = buf->num;
      *shadow = part;
      shadow = &part->shadow;
      append(*pipe, link);
      const off_t size = std::min<off_t>(buf->last - buf->pos, chunked.size);
      chunked.size -= size;
      buf->pos += size;
      part->last = buf->pos;
      continue;
    }
    if (rc == NGX_DONE) {
      pipe->length = 0;
      note_complete(r);
      if (buf->pos != buf->last) note_excess(r, pipe->log);
      break;
    }
    if (rc == NGX_AGAIN) {
      pipe->length = chunked.length;
      break;
    }
    ngx_log_error(NGX_LOG_ERR, pipe->log, 0, "upstream sent an invalid chunked response");
    return NGX_ERROR;
  }
  if (part == nullptr) return ngx_event_pipe_add_free_buf(pipe, buf);
  part->shadow = buf;
  part->last_shadow = 1;
  return NGX_OK;
}

// --- without ---

/// A buffer of what goes to the client, at the end of what is there.
ngx_buf_t* next_out(ngx_http_request_t* r) {
  ngx_http_upstream_t& u = *r->upstream;
  ngx_chain_t** last = &u.out_bufs;
  while (*last != nullptr) last = &(*last)->next;
  ngx_chain_t* const link = ngx_chain_get_free_buf(r->pool, &u.free_bufs);
  if (link == nullptr) return nullptr;
  *last = link;
  link->buf->flush = 1;
  link->buf->memory = 1;
  link->buf->tag = u.output.tag;
  return link->buf;
}

ngx_int_t pass_counted(void* data, ssize_t bytes) {
  auto* const r = static_cast<ngx_http_request_t*>(data);
  ngx_http_upstream_t& u = *r->upstream;
  if (u.length == 0) {
    note_excess(r, r->connection->log);
    return NGX_OK;
  }
  ngx_buf_t* const out = next_out(r);
  if (out == nullptr) return NGX_ERROR;
  out->pos = u.buffer.last;
  u.buffer.last += bytes;
  out->last = u.buffer.last;
  if (u.length == -1) return NGX_OK;
  if (bytes > u.length) {
    note_excess(r, r->connection->log);
    out->last = out->pos + u.length;
    u.length = 0;
    return NGX_OK;
  }
  u.length -= bytes;
  if (u.length == 0) note_complete(r);
  return NGX_OK;
}

ngx_int_t pass_chunked(void* data, ssize_t bytes) {
  auto* const r = static_cast<ngx_http_request_t*>(data);
  ngx_http_upstream_t& u = *r->upstream;
  ngx_http_chunked_t& chunked = context_of(r)->chunked;
  ngx_buf_t& buf = u.buffer;
  buf.pos = buf.last;
  buf.last += bytes;
  if (u.length == 0) {
    note_excess(r, r->connection->log);
    return NGX_OK;
  }
  while (true) {
    const ngx_int_t rc = ngx_http_parse_chunked(r, &buf, &chunked);
    if (rc == NGX_OK) {
      ngx_buf_t* const out = next_out(r);
      if (out == nullptr) return NGX_ERROR;
      const off_t size = std::min<off_t>(buf.last - buf.pos, chunked.size);
      out->pos = buf.pos;
      buf.pos += size;
      chunked.size -= size;
      out->last = buf.pos;
      continue;
    }
    if (rc == NGX_DONE) {
      u.length = 0;
      note_complete(r);
      if (buf.pos != buf.last) note_excess(r, r->connection->log);
      return NGX_OK;
    }
    if (rc == NGX_AGAIN) return NGX_OK;
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "upstream sent an invalid chunked response");
    return NGX_ERROR;
  }
}

/// The head is there: how long is the body?
ngx_int_t begin_body(void* data) {
  auto* const r = static_cast<ngx_http_request_t*>(data);
  ngx_http_upstream_t& u = *r->upstream;
  const ngx_uint_t status = u.headers_in.status_n;
  if (status == NGX_HTTP_NO_CONTENT || status == NGX_HTTP_NOT_MODIFIED || context_of(r)->is_head ||
      (u.headers_in.chunked == 0 && u.headers_in.content_length_n == 0)) {
    u.pipe->length = 0;
    u.length = 0;
    note_complete(r);
  } else if (u.headers_in.chunked != 0) {
    u.pipe->input_filter = pipe_chunked;
    u.pipe->length = kShortestChunked;
    u.input_filter = pass_chunked;
    u.length = 1;
  } else {
    u.pipe->length = u.headers_in.content_length_n;
    u.length = u.headers_in.content_length_n;
  }
  return NGX_OK;
}

}  // namespace

void start_body_filters(ngx_http_request_t* r) {
  ngx_http_upstream_t& u = *r->upstream;
  u.pipe->input_filter = pipe_counted;
  u.pipe->input_ctx = r;
  u.input_filter_init = begin_body;
  u.input_filter = pass_counted;
  u.input_filter_ctx = r;
}

}  // namespace slotwire::nginx
