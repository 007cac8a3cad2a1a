#include "web/nginx/in_place.hpp"

#include <algorithm>
#include <new>

#include "web/nginx/context.hpp"
#include "web/nginx/peer.hpp"
#include "web/nginx/worker.hpp"

namespace slotwire::nginx {

InPlace* InPlace::of(Peer& peer) {
  ngx_http_request_t& r = *peer.request;
  const ngx_http_upstream_t& u = *r.upstream;
  // A subrequest's memory is that of the page that it is a part of: its connection would be kept until all of the page
  // was sent. What is stored is written to a file from the buffers, which is a copy anyway; and of a chunked body
  // several parts point into one buffer, of which nobody knows when the last one was sent.
  const ngx_event_pipe_t* const pipe = u.pipe;
  if (&r != r.main || pipe == nullptr || pipe->cacheable != 0 || u.headers_in.chunked != 0) return nullptr;
  // A client that does not keep up: nginx is to read on, into a file if need be, so that the server gets free.
  const ngx_event_t& write = *r.connection->write;
  if (pipe->busy != nullptr || pipe->out != nullptr || write.ready == 0 || write.delayed != 0) return nullptr;
  if (peer.in_place != nullptr) return peer.in_place;
  ngx_pool_cleanup_t* const cleanup = ngx_pool_cleanup_add(r.pool, sizeof(InPlace));
  if (cleanup == nullptr) return nullptr;
  peer.in_place = new (cleanup->data) InPlace;
  peer.in_place->upstream_ = r.upstream;
  cleanup->handler = on_request_end;
  return peer.in_place;
}

std::size_t InPlace::point(PooledConnection& connection, ngx_buf_t& buf) {
  const void* data = nullptr;
  std::size_t length = 0;
  ServicePool& pool = connection.pool();
  if (out_ == kMost || buf.last != buf.start || (out_ == 0 && !pool.may_send_in_place()) ||
      sw_peek_stream(connection.get(), &data, &length) != SW_OK || length < kLeastBytes ||
      bytes_ + length > pool.most_in_place()) {
    return 0;
  }
  Piece& piece = *std::find_if(pieces_.begin(), pieces_.end(), [](const Piece& p) { return p.buf == nullptr; });
  SW_INIT(piece.message);
  if (sw_take_stream(connection.get(), &piece.message) != SW_OK) return 0;
  connection_ = &connection;
  if (out_++ == 0) pool.count_in_place(1);
  bytes_ += piece.message.length;
  piece.buf = &buf;
  piece.start = buf.start;
  piece.end = buf.end;
  // nginx does not write through these: the buffer says that its memory is not to be changed.
  buf.start = buf.pos = buf.last = static_cast<u_char*>(const_cast<void*>(piece.message.data));
  buf.end = buf.start + piece.message.length;
  buf.temporary = 0;
  buf.memory = 1;
  return static_cast<std::size_t>(piece.message.length);
}

void InPlace::give_back(Piece& piece) {
  piece.buf = nullptr;
  bytes_ -= piece.message.length;
  sw_release(connection_->get(), &piece.message);
  if (--out_ == 0) connection_->pool().count_in_place(-1);
}

void InPlace::reuse(ngx_buf_t& buf) {
  for (Piece& piece : pieces_) {
    if (piece.buf != &buf) continue;
    buf.start = buf.pos = buf.last = piece.start;
    buf.end = piece.end;
    buf.temporary = 1;
    buf.memory = 0;
    return give_back(piece);
  }
}

void InPlace::have_sent() const {
  ngx_event_pipe_t& pipe = *upstream_->pipe;
  if (out_ == 0 || pipe.in != nullptr || pipe.out != nullptr || pipe.busy == nullptr) return;
  pipe.busy->buf->recycled = 1;  // only such buffers count, and pieces else do not
  pipe.busy_size = 1;
  ngx_event_t* const write = pipe.downstream->write;
  if (write->ready != 0) {
    ngx_post_event(write, &ngx_posted_next_events);
  }
}

void InPlace::have_read() const {
  upstream_->pipe->busy_size = static_cast<ssize_t>(upstream_->conf->busy_buffers_size);
}

/// As nginx itself finds out that a buffer can be reused: nothing is left of the one that the filters got.
bool InPlace::is_sent(const Piece& piece) const {
  return piece.buf->shadow == nullptr || ngx_buf_size(piece.buf->shadow) == 0;
}

bool InPlace::release(PooledConnection& connection, bool reusable) {
  for (Piece& piece : pieces_) {
    if (piece.buf != nullptr && is_sent(piece)) give_back(piece);
  }
  if (out_ == 0) return true;
  waits_ = true;
  reusable_ = reusable;
  connection.want_nothing();
  connection.pool().keep_for_response(connection);
  return false;
}

void InPlace::on_request_end(void* data) {
  InPlace& self = *static_cast<InPlace*>(data);
  if (!self.waits_ || Worker::here() == nullptr) return;
  for (Piece& piece : self.pieces_) {
    if (piece.buf != nullptr) self.give_back(piece);
  }
  self.connection_->pool().take_back(*self.connection_, self.reusable_);
}

}  // namespace slotwire::nginx
