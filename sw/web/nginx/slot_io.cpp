// nginx's reads and writes of a connection, as those of a slot's byte stream.
#include <slotwire.h>

#include <algorithm>
#include <string_view>

#include "web/nginx/context.hpp"
#include "web/nginx/peer.hpp"
#include "web/nginx/worker.hpp"

namespace slotwire::nginx {
namespace {

/// Room in the ring that is worth a write: with less, a full ring would be filled line by line.
constexpr std::size_t kLeastWrite = 4096;

/// Nothing more can be read: the stream ended (0), or the connection broke (NGX_ERROR).
ssize_t end_of_stream(ngx_connection_t* c, Peer& peer) {
  const void* data = nullptr;
  std::size_t length = 0;
  const int status = sw_peek_stream(peer.lent->get(), &data, &length);
  c->read->ready = 1;  // as a socket that ended: it can be read again, with the same result
  if (status == SW_OK) {
    peer.closed_in_order = true;
    c->read->eof = 1;
    return 0;
  }
  peer.closed_in_order = status == SW_PEER_CLOSED;
  c->read->error = 1;
  ngx_log_error(NGX_LOG_ERR, c->log, 0, "slotwire: cannot read from service \"%V\": %s", &peer.member->service,
                sw_last_error());
  return NGX_ERROR;
}

/// The answer to a request that a limit refuses.
std::string_view refusal_of(Breaker::Limit limit) {
#define SLOTWIRE_REFUSAL(name)                                \
  "HTTP/1.1 503 Service Unavailable\r\nSlotwire-Limit: " name \
  "\r\nRetry-After: 1\r\nContent-Length: 0\r\n"               \
  "Connection: close\r\n\r\n"
  switch (limit) {
    case Breaker::Limit::requests:
      return SLOTWIRE_REFUSAL("requests");
    case Breaker::Limit::process:
      return SLOTWIRE_REFUSAL("process");
    case Breaker::Limit::waiting:
      return SLOTWIRE_REFUSAL("waiting");
    case Breaker::Limit::retries:
      return SLOTWIRE_REFUSAL("retries");
    case Breaker::Limit::none:
      break;
  }
#undef SLOTWIRE_REFUSAL
  return {};
}

ssize_t receive_refusal(ngx_connection_t* c, Peer& peer, u_char* buffer, std::size_t size) {
  const std::string_view rest = refusal_of(peer.limit).substr(peer.refusal_at);
  const std::size_t n = std::min(size, rest.size());
  ngx_memcpy(buffer, rest.data(), n);
  peer.refusal_at += n;
  if (n == 0) c->read->eof = 1;
  return static_cast<ssize_t>(n);
}

ssize_t receive(ngx_connection_t* c, u_char* buffer, std::size_t size) {
  Peer& peer = *peer_of(c);
  if (peer.limit != Breaker::Limit::none) return receive_refusal(c, peer, buffer, size);
  if (peer.lent == nullptr) return NGX_AGAIN;
  std::size_t done = 0;
  const int status = sw_read(peer.lent->get(), buffer, size, &done);
  if (status == SW_OK) {
    peer.received = true;
    // A short read does not say that nothing follows (the end of the stream may): that is found by the next one.
    return static_cast<ssize_t>(done);
  }
  if (status == SW_AGAIN) {
    c->read->ready = 0;
    peer.lent->want(SW_READABLE);
    return NGX_AGAIN;
  }
  return end_of_stream(c, peer);
}

/// nginx reads this way into the buffers of a response that it buffers.
ssize_t receive_chain(ngx_connection_t* c, ngx_chain_t* in, off_t limit) {
  ssize_t total = 0;
  for (; in != nullptr; in = in->next) {
    auto size = static_cast<std::size_t>(in->buf->end - in->buf->last);
    if (limit != 0) size = std::min(size, static_cast<std::size_t>(limit - total));
    if (size == 0) break;
    const ssize_t n = receive(c, in->buf->last, size);
    if (n <= 0) return total != 0 ? total : n;
    total += n;
    if (static_cast<std::size_t>(n) < size) break;
  }
  return total;
}

/// Bytes that a chain holds.
std::size_t size_of(ngx_chain_t* in) {
  off_t size = 0;
  for (; in != nullptr; in = in->next) {
    if (ngx_buf_special(in->buf) == 0) size += ngx_buf_size(in->buf);
  }
  return static_cast<std::size_t>(size);
}

/// Moves bytes from the chain's head to `to`; `in` becomes what is left. -1: a file cannot be read.
ssize_t fill(ngx_chain_t*& in, u_char* to, std::size_t room) {
  std::size_t filled = 0;
  while (in != nullptr && filled < room) {
    ngx_buf_t& buf = *in->buf;
    if (ngx_buf_special(&buf) != 0) {
      in = in->next;
      continue;
    }
    const std::size_t n = std::min(room - filled, static_cast<std::size_t>(ngx_buf_size(&buf)));
    if (ngx_buf_in_memory(&buf) != 0) {
      ngx_memcpy(to + filled, buf.pos, n);
      buf.pos += n;
      if (buf.in_file != 0) buf.file_pos += static_cast<off_t>(n);
    } else {
      // Straight from the file into the slot.
      const ssize_t read = ngx_read_file(buf.file, to + filled, n, buf.file_pos);
      if (read <= 0) return -1;
      buf.file_pos += read;
      filled += static_cast<std::size_t>(read);
      if (buf.file_pos == buf.file_last) in = in->next;
      continue;
    }
    filled += n;
    if (ngx_buf_size(&buf) == 0) in = in->next;
  }
  while (in != nullptr && ngx_buf_special(in->buf) != 0) in = in->next;
  return static_cast<ssize_t>(filled);
}

/// Nothing was sent in this try: nginx may choose another server whatever the method is. Undoes what ngx_http_upstream
/// noted before it called us.
void forget_try(ngx_http_request_t* r) {
  ngx_http_upstream_t& u = *r->upstream;
  context_of(r)->head_sent = false;
  u.request_sent = 0;
  u.output.in = nullptr;
  u.output.busy = nullptr;
  u.output.buf = nullptr;
  off_t position = 0;
  for (ngx_chain_t* link = u.request_bufs; link != nullptr; link = link->next) {
    link->buf->pos = link->buf->start;
    if (link->buf->in_file != 0) {
      link->buf->file_pos = position;
      position = link->buf->file_last;
    }
  }
}

enum class Beginning { possible, later, impossible };

/// May the request begin on its connection? That may have ended meanwhile: then another one is taken, or waited for.
Beginning begin(ngx_connection_t* c, Peer& peer) {
  while (peer.lent != nullptr && !peer.lent->is_fresh()) {
    if (replace_connection(peer)) continue;
    if (peer.queued) {
      c->write->ready = 0;
      return Beginning::later;
    }
    ngx_log_error(NGX_LOG_ERR, c->log, 0,
                  "slotwire: the process that serves \"%V\" closed the connection, and there is no other one",
                  &peer.member->service);
  }
  if (peer.lent != nullptr) return Beginning::possible;
  if (peer.queued) return Beginning::later;
  forget_try(peer.request);
  return Beginning::impossible;
}

ngx_chain_t* send_chain(ngx_connection_t* c, ngx_chain_t* in, off_t limit) {
  Peer& peer = *peer_of(c);
  if (peer.limit != Breaker::Limit::none) return nullptr;  // nobody gets it
  if (!peer.wrote) {
    const Beginning beginning = begin(c, peer);
    if (beginning == Beginning::later) return in;
    if (beginning == Beginning::impossible) {
      c->write->error = 1;
      return NGX_CHAIN_ERROR;
    }
  }
  std::size_t sent = 0;
  while (true) {
    std::size_t left = size_of(in);
    if (left == 0) return nullptr;
    if (limit != 0) {
      if (sent >= static_cast<std::size_t>(limit)) {
        ngx_post_event(c->write, &ngx_posted_next_events);
        return in;
      }
      left = std::min(left, static_cast<std::size_t>(limit) - sent);
    }
    sw_loan loan;
    SW_INIT(loan);
    const int status = sw_loan_stream(peer.lent->get(), std::min(left, kLeastWrite), &loan);
    if (status == SW_AGAIN) {
      c->write->ready = 0;
      peer.lent->want(SW_WRITABLE);
      return in;
    }
    if (status != SW_OK) {
      peer.closed_in_order = status == SW_PEER_CLOSED;
      c->write->error = 1;
      ngx_log_error(NGX_LOG_ERR, c->log, 0, "slotwire: cannot write to service \"%V\": %s", &peer.member->service,
                    sw_last_error());
      return NGX_CHAIN_ERROR;
    }
    const ssize_t filled = fill(in, static_cast<u_char*>(loan.data), std::min<std::size_t>(left, loan.length));
    if (filled <= 0) {
      sw_abandon(peer.lent->get());
      if (filled == 0) return in;
      c->write->error = 1;
      return NGX_CHAIN_ERROR;
    }
    sw_commit_stream(peer.lent->get(), static_cast<std::size_t>(filled));
    peer.wrote = true;
    sent += static_cast<std::size_t>(filled);
    c->sent += filled;
  }
}

ssize_t send(ngx_connection_t* c, u_char* buffer, std::size_t size) {
  Peer& peer = *peer_of(c);
  if (peer.lent == nullptr) return NGX_ERROR;
  std::size_t done = 0;
  const int status = sw_write(peer.lent->get(), buffer, size, &done);
  if (status == SW_OK) {
    peer.wrote = true;
    c->sent += static_cast<off_t>(done);
    if (done < size) {
      c->write->ready = 0;
      peer.lent->want(SW_WRITABLE);
    }
    return static_cast<ssize_t>(done);
  }
  if (status == SW_AGAIN) {
    c->write->ready = 0;
    peer.lent->want(SW_WRITABLE);
    return NGX_AGAIN;
  }
  c->write->error = 1;
  ngx_log_error(NGX_LOG_ERR, c->log, 0, "slotwire: cannot write to service \"%V\": %s", &peer.member->service,
                sw_last_error());
  return NGX_ERROR;
}

}  // namespace

void use_slot_io(ngx_connection_t* c) {
  c->recv = receive;
  c->send = send;
  c->recv_chain = receive_chain;
  c->send_chain = send_chain;
  c->sendfile = 1;  // a buffer in a file is read into the slot, not copied before
}

}  // namespace slotwire::nginx
