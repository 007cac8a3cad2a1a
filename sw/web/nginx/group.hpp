// A group of services that share requests: an `upstream` block, or one service by its name.
#pragma once
#include "web/nginx/nginx.hpp"

namespace slotwire::nginx {

class ServicePool;

/// One slotwire_service of an `upstream` block.
struct GroupMember {
  ngx_str_t service;
  ngx_uint_t weight;
  ngx_uint_t max_fails;
  time_t fail_timeout;
  bool backup;
  bool down;
  ServicePool* pool;         ///< of this worker; null: not looked up yet
  ngx_int_t current_weight;  ///< of the smooth weighted round robin of this worker
};

struct ServiceGroup {
  ngx_http_upstream_srv_conf_t* upstream;
  ngx_array_t members;  ///< GroupMember
};

/// slotwire_service NAME [weight=] [max_fails=] [fail_timeout=] [backup] [down];
char* service_directive(ngx_conf_t* cf, ngx_command_t* cmd, void* conf);
/// The group of one service. Null: no memory.
ServiceGroup* group_of_service(ngx_pool_t* pool, std::string_view service);
/// Is this a name that a process can serve?
/// What is_service_name() takes, for people.
inline constexpr const char* kServiceName = "1 to 63 letters, digits, \".\", \"_\", \"-\" and \"/\"";
bool is_service_name(std::string_view name);
/// The group behind an `upstream` block that holds slotwire_service only; null for others.
ServiceGroup* group_of(ngx_http_upstream_srv_conf_t* upstream);

}  // namespace slotwire::nginx
