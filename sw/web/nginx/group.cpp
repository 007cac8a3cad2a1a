#include "web/nginx/group.hpp"

#include <algorithm>
#include <array>

#include "web/nginx/config.hpp"
#include "web/nginx/peer.hpp"
#include "web/nginx/words.hpp"

namespace slotwire::nginx {
namespace {

/// As many as the bits of Peer::tried_members.
constexpr ngx_uint_t kMaxMembers = 64;
constexpr std::size_t kMaxName = 63;  // as kServiceName says
/// Of weights and fails.
constexpr ngx_int_t kMost = 1'000'000;

/// nginx makes the peers of an `upstream` block once all of it is read.
ngx_int_t init_group(ngx_conf_t* cf, ngx_http_upstream_srv_conf_t* upstream) {
  ServiceGroup* const group = group_of(upstream);
  if (upstream->servers->nelts != group->members.nelts) {
    ngx_log_error(
        NGX_LOG_EMERG, cf->log, 0,
        "upstream \"%V\" in %s:%ui holds slotwire_service and server together: put them into two upstream blocks",
        &upstream->host, upstream->file_name, upstream->line);
    return NGX_ERROR;
  }
  const auto* const members = static_cast<const GroupMember*>(group->members.elts);
  if (std::all_of(members, members + group->members.nelts, [](const GroupMember& member) { return member.backup; })) {
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "upstream \"%V\" in %s:%ui holds services with \"backup\" alone: remove it from one of them",
                  &upstream->host, upstream->file_name, upstream->line);
    return NGX_ERROR;
  }
  if (upstream->shm_zone != nullptr) {
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "upstream \"%V\" in %s:%ui: \"zone\" is not possible with slotwire_service: remove it "
                  "(slotwire_limits zone= counts for all workers)",
                  &upstream->host, upstream->file_name, upstream->line);
    return NGX_ERROR;
  }
  return NGX_OK;
}

ServiceGroup* make_group(ngx_pool_t* pool) {
  auto* const group = allocate<ServiceGroup>(pool);
  if (group == nullptr || ngx_array_init(&group->members, pool, 2, sizeof(GroupMember)) != NGX_OK) return nullptr;
  return group;
}

GroupMember* add_member(ServiceGroup& group) {
  auto* const member = static_cast<GroupMember*>(ngx_array_push(&group.members));
  if (member == nullptr) return nullptr;
  *member = GroupMember{};
  member->weight = 1;
  member->max_fails = 1;
  member->fail_timeout = 10;
  return member;
}

}  // namespace

bool is_service_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '/' || c == '-';
  });
}

ServiceGroup* group_of(ngx_http_upstream_srv_conf_t* upstream) {
  return upstream->peer.init == init_peer ? static_cast<ServiceGroup*>(upstream->peer.data) : nullptr;
}

ServiceGroup* group_of_service(ngx_pool_t* pool, std::string_view service) {
  ServiceGroup* const group = make_group(pool);
  auto* const upstream = allocate<ngx_http_upstream_srv_conf_t>(pool);
  if (group == nullptr || upstream == nullptr) return nullptr;
  GroupMember* const member = add_member(*group);
  if (member == nullptr) return nullptr;
  member->service = copy_of(pool, service);
  if (member->service.data == nullptr) return nullptr;
  group->upstream = upstream;
  upstream->host = member->service;
  upstream->peer.init = init_peer;
  upstream->peer.data = group;
  return group;
}

char* service_directive(ngx_conf_t* cf, ngx_command_t*, void* /*conf*/) {
  auto* const upstream =
      static_cast<ngx_http_upstream_srv_conf_t*>(ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module));
  auto* const words = static_cast<ngx_str_t*>(cf->args->elts);
  const auto failed = [] { return static_cast<char*>(NGX_CONF_ERROR); };
  ServiceGroup* group = group_of(upstream);
  if (group == nullptr) {
    if (upstream->peer.init_upstream != nullptr) {
      ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                         "slotwire_service chooses by itself: remove the other load balancing method");
      return failed();
    }
    group = make_group(cf->pool);
    if (group == nullptr) return failed();
    group->upstream = upstream;
    upstream->peer.init_upstream = init_group;
    upstream->peer.init = init_peer;
    upstream->peer.data = group;
    upstream->flags = NGX_HTTP_UPSTREAM_CREATE;
    auto* const conf = static_cast<MainConf*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_slotwire_module));
    auto* const place = static_cast<ServiceGroup**>(ngx_array_push(&conf->groups));
    if (place == nullptr) return failed();
    *place = group;
  }
  if (!is_service_name(view_of(words[1]))) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" is no name of a service: expected %s", &words[1], kServiceName);
    return failed();
  }
  if (group->members.nelts == kMaxMembers) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "more than %ui services in upstream \"%V\": make several of it",
                       kMaxMembers, &upstream->host);
    return failed();
  }
  GroupMember* const member = add_member(*group);
  // nginx refuses an upstream without servers.
  auto* const server = static_cast<ngx_http_upstream_server_t*>(ngx_array_push(upstream->servers));
  if (member == nullptr || server == nullptr) return failed();
  member->service = words[1];
  ngx_memzero(server, sizeof *server);
  server->name = words[1];
  const std::array<Parameter, 5> parameters{{
      {"weight=", "N from 1 on", [&](std::string_view text) { return take_number(text, 1, kMost, member->weight); }},
      {"max_fails=", "N from 0 on",
       [&](std::string_view text) { return take_number(text, 0, kMost, member->max_fails); }},
      {"fail_timeout=", "TIME, as 10s or 1m",
       [&](std::string_view text) { return take_seconds(text, member->fail_timeout); }},
      {"backup", nullptr, [&](std::string_view) { return member->backup = true; }},
      {"down", nullptr, [&](std::string_view) { return member->down = true; }},
  }};
  return take_parameters(cf, 2, parameters);
}

}  // namespace slotwire::nginx
