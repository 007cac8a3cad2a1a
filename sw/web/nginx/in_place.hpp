// Response bytes that nginx sends from where they lie in the ring, without a copy.
#pragma once
#include <slotwire.h>

#include <array>

#include "web/nginx/nginx.hpp"

namespace slotwire::nginx {

class PooledConnection;
struct Peer;

/// The pieces of one response that nginx has not sent yet. Lives in the request's memory, and ends with it: until then
/// its connection carries no other request.
///
/// nginx reads into buffers; while one of them stands here, it points at a piece in the ring instead of memory of its
/// own. A piece is given back when nginx hands the same buffer out again, or has sent what it points at.
class InPlace {
 public:
  /// Pieces that are out at a time. A piece is a quarter of the ring at most, so more would rarely find room.
  static constexpr std::size_t kMost = 8;
  /// Bytes that are worth it: less is copied, as a piece keeps a whole buffer of nginx and its lines.
  static constexpr std::size_t kLeastBytes = 8192;

  /// The one of this request; nullptr: its response has to be copied.
  static InPlace* of(Peer& peer);

  /// Lets `buf`, which is empty, point at what comes next on the connection. Returns how many bytes that are; 0: they
  /// have to be copied, or there is nothing.
  std::size_t point(PooledConnection& connection, ngx_buf_t& buf);
  /// nginx reuses `buf`: what it pointed at is given back, and it has its own memory again.
  void reuse(ngx_buf_t& buf);
  /// Nothing comes from the server, which may wait for the room of pieces that are out: nginx is to send what it holds
  /// as soon as the client takes it. By itself it would wait for more, up to slotwire_busy_buffers_size.
  void have_sent() const;
  /// Something came: nginx sends as it is configured to.
  void have_read() const;
  /// Some are still to be sent, or their buffers were not handed out again yet.
  bool any() const { return out_ != 0; }
  /// The request is done with its connection. False: pieces are still to be sent, and the connection is given back to
  /// its pool when the request ends.
  bool release(PooledConnection& connection, bool reusable);

 private:
  struct Piece {
    ngx_buf_t* buf;  ///< nginx's; null: the place is free
    u_char *start, *end;
    sw_message message;
  };

  static void on_request_end(void* data);
  void give_back(Piece& piece);
  bool is_sent(const Piece& piece) const;

  std::array<Piece, kMost> pieces_{};
  ngx_http_upstream_t* upstream_ = nullptr;
  std::size_t out_ = 0;
  std::size_t bytes_ = 0;  ///< of the pieces that are out
  PooledConnection* connection_ = nullptr;
  bool waits_ = false;     ///< the connection is to be given back when the request ends
  bool reusable_ = false;  ///< it can carry another request then
};

}  // namespace slotwire::nginx
