// The connection of one try of one request: chosen, waited for, lent, given back.
#pragma once
#include <array>
#include <cstdint>

#include "web/nginx/group.hpp"
#include "web/nginx/pool.hpp"

namespace slotwire::nginx {

struct RequestContext;

/// Lives in the request's memory. One for all tries of a request.
struct Peer {
  static constexpr std::size_t kTried = 16;

  ngx_http_request_t* request;
  RequestContext* context;  ///< that it is a part of; a redirect inside nginx makes the request forget it
  ServiceGroup* group;
  GroupMember* member;     ///< that the current try goes to
  ServicePool* pool;       ///< the same, as connections
  PooledConnection* lent;  ///< null while the request waits for one
  ngx_connection_t* connection;
  ngx_queue_t link;                               ///< in the pool's queue
  std::chrono::steady_clock::time_point begun{};  ///< when it was given the connection
  bool queued;
  bool failed;                              ///< there will be no connection: the write event finds out
  bool wrote;                               ///< bytes of the request were written in this try
  bool received;                            ///< bytes came back in this try
  bool closed_in_order;                     ///< the connection was closed by the server, not broken
  bool forgave;                             ///< a connection that was closed while it was idle has been tried anew once
  ngx_uint_t attempts;                      ///< times that a connection was asked for
  bool counted, retry;                      ///< as the breaker of `pool` counts this try
  Breaker::Limit limit;                     ///< that refused the request: the answer is made here
  std::size_t refusal_at;                   ///< bytes of that answer that were read
  ngx_uint_t unprocessed;                   ///< tries that a server refused without having begun
  ngx_str_t* name;                          ///< node/service/pid, for $upstream_addr
  std::array<std::uint64_t, kTried> tried;  ///< numbers of processes
  std::size_t tried_count;
  std::uint64_t tried_members;  ///< bits
  struct {
    ngx_str_t node;
    std::uint32_t slot;
  } served;  ///< by the last connection, for $slotwire_node and $slotwire_slot

  bool has_tried(const Process& process) const;
  /// `connection` is lent to this request: names it, and has the request go on if it waited.
  void begin(PooledConnection& connection);
  /// The request is answered with 503 by this module itself, as if a server had sent that.
  void refuse(Breaker::Limit by);
};

/// ngx_http_upstream's hooks.
ngx_int_t init_peer(ngx_http_request_t* r, ngx_http_upstream_srv_conf_t* upstream);

/// Replaces the connection of a try of which nothing was sent, because its server has closed it. False: none is idle;
/// the request waits for one then, unless too many do.
bool replace_connection(Peer& peer);
/// Is there a server that this request has not been sent to?
bool has_another(const Peer& peer);
Peer* peer_of(ngx_connection_t* c);

/// The functions by which nginx reads and writes a connection of ours.
void use_slot_io(ngx_connection_t* c);

}  // namespace slotwire::nginx
