// What this module keeps of a request.
#pragma once
#include "web/nginx/config.hpp"
#include "web/nginx/peer.hpp"

namespace slotwire::nginx {

struct RequestContext {
  Peer peer;
  ngx_http_upstream_srv_conf_t* upstream;  ///< of a slotwire_pass with variables
  ngx_http_upstream_conf_t* location;      ///< what u->conf is, but while a refused request is tried anew
  ngx_http_status_t status;
  ngx_http_chunked_t chunked;
  ngx_str_t traceparent;               ///< the client's, or one that was made; empty: none
  ngx_str_t timeout;                   ///< the number in Slotwire-Timeout, in the request's head
  off_t body_length;                   ///< of the request; -1: chunked, 0: none
  ngx_chain_t *free_bufs, *busy_bufs;  ///< of the request's chunks
  ngx_uint_t fields;                   ///< of the response's head
  bool has_length;                     ///< Content-Length was there
  bool has_coding;                     ///< Transfer-Encoding was there
  bool interim;                        ///< the head that is being read is of a 1xx response
  bool ends;                           ///< the server begins nothing new on this connection
  bool chunked_request;
  bool head_sent;  ///< of a chunked request
  bool is_head;    ///< the response has no body
  bool asked_upgrade;
  bool made_trace;   ///< `traceparent` was made here
  bool unprocessed;  ///< the response says that nothing was begun
};

inline RequestContext* context_of(ngx_http_request_t* r) {
  return static_cast<RequestContext*>(ngx_http_get_module_ctx(r, ngx_http_slotwire_module));
}

/// Finds the trace that a request belongs to; with slotwire_trace a request without one begins one.
void find_trace(ngx_http_request_t* r, RequestContext& context);
/// The 32 digits of its number; empty: none.
std::string_view trace_id(const RequestContext& context);
bool is_trace_field(const ngx_table_elt_t& header, std::string_view name);

/// The content handler of a location with slotwire_pass.
ngx_int_t handle(ngx_http_request_t* r);

// Hooks of ngx_http_upstream, by what they do.
ngx_int_t create_request(ngx_http_request_t* r);
ngx_int_t reinit_request(ngx_http_request_t* r);
ngx_int_t create_key(ngx_http_request_t* r);
ngx_int_t process_status_line(ngx_http_request_t* r);
void start_body_filters(ngx_http_request_t* r);

ngx_int_t add_variables(ngx_conf_t* cf);

}  // namespace slotwire::nginx
