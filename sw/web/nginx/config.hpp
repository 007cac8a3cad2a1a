// What the configuration says: the node, the pools, and each location.
#pragma once
#include "web/nginx/nginx.hpp"

namespace slotwire::nginx {

class LimitsZone;
struct ServiceGroup;

/// slotwire_pool and slotwire_ring.
struct PoolLimits {
  ngx_uint_t spare;           ///< idle connections that are kept ready for each service
  ngx_uint_t max;             ///< connections of one service, of each worker
  ngx_uint_t queue;           ///< requests of one service that wait for a connection, of each worker
  ngx_msec_t idle_timeout;    ///< after which connections beyond `spare` are closed
  size_t request_ring_bytes;  ///< 0: the node's default
  size_t response_ring_bytes;
  // slotwire_limits, of one service in each worker, or in all with a zone; 0: no limit.
  ngx_uint_t requests;          ///< begun and not ended
  ngx_uint_t process_requests;  ///< that one process has at a time
  ngx_uint_t retries_percent;   ///< of the requests, those that are tried again
  ngx_uint_t least_retries;     ///< that are allowed whatever their share is
};

struct MainConf {
  ngx_str_t socket;
  PoolLimits pool;
  LimitsZone* limits_zone;   ///< where all workers count together; null: each by itself
  ngx_array_t caches;        ///< ngx_http_file_cache_t*, as ngx_http_upstream wants it
  ngx_array_t passes;        ///< PendingPass: names that are looked up when all of the configuration is read
  ngx_flag_t has_variables;  ///< some slotwire_pass names its service by variables
  ngx_array_t groups;        ///< ServiceGroup*: every group that the configuration names
};

/// A slotwire_pass to a fixed name.
struct PendingPass {
  ngx_http_upstream_srv_conf_t* upstream;  ///< becomes the group of `name`
  ngx_str_t name;
  u_char* file_name;
  ngx_uint_t line;
};

/// One header of a request: its value is computed for each request.
struct HeaderValue {
  ngx_str_t name;
  ngx_http_complex_value_t value;
};

/// The headers that a location sets, and those of the client that they replace.
struct RequestHeaders {
  ngx_array_t* values;  ///< HeaderValue
  ngx_hash_t replaced;
};

struct LocConf {
  ngx_http_upstream_conf_t upstream;
  ngx_http_complex_value_t* service;  ///< slotwire_pass with variables
  bool passes;                        ///< slotwire_pass stands here
  ngx_array_t* set_headers;           ///< ngx_keyval_t
  RequestHeaders headers, headers_cache;
  ngx_http_complex_value_t* body;
  ngx_http_complex_value_t* method;
  ngx_http_complex_value_t cache_key;
  ngx_msec_t deadline;
  ngx_flag_t trace;
  ngx_uint_t headers_hash_max_size, headers_hash_bucket_size;
};

void* create_main_conf(ngx_conf_t* cf);
char* init_main_conf(ngx_conf_t* cf, void* given);
void* create_loc_conf(ngx_conf_t* cf);
char* merge_loc_conf(ngx_conf_t* cf, void* parent, void* child);
/// Looks up what slotwire_pass names.
ngx_int_t resolve_passes(ngx_conf_t* cf);

/// The directives.
extern ngx_command_t commands[];

inline MainConf& main_conf(ngx_http_request_t* r) {
  return *static_cast<MainConf*>(ngx_http_get_module_main_conf(r, ngx_http_slotwire_module));
}
inline LocConf& loc_conf(ngx_http_request_t* r) {
  return *static_cast<LocConf*>(ngx_http_get_module_loc_conf(r, ngx_http_slotwire_module));
}

}  // namespace slotwire::nginx
