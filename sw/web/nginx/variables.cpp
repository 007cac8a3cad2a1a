// $slotwire_node, $slotwire_service, $slotwire_slot, $slotwire_traceparent, $slotwire_trace_id, and those that the
// default headers use.
#include <array>
#include <string>
#include <string_view>

#include "web/nginx/context.hpp"

namespace slotwire::nginx {
namespace {

ngx_int_t give(ngx_http_request_t* r, ngx_http_variable_value_t* value, std::string_view text) {
  const ngx_str_t copy = copy_of(r->pool, text);
  if (copy.data == nullptr) return NGX_ERROR;
  value->data = copy.data;
  value->len = static_cast<unsigned>(copy.len) & 0x0fffffffU;
  value->valid = 1;
  value->no_cacheable = 0;
  value->not_found = 0;
  return NGX_OK;
}

ngx_int_t give_nothing(ngx_http_variable_value_t* value) {
  value->not_found = 1;
  return NGX_OK;
}

ngx_int_t node(ngx_http_request_t* r, ngx_http_variable_value_t* value, uintptr_t) {
  const RequestContext* const context = context_of(r);
  if (context == nullptr || context->peer.served.node.data == nullptr) return give_nothing(value);
  return give(r, value, view_of(context->peer.served.node));
}

ngx_int_t service(ngx_http_request_t* r, ngx_http_variable_value_t* value, uintptr_t) {
  const RequestContext* const context = context_of(r);
  if (context == nullptr || context->peer.member == nullptr) return give_nothing(value);
  return give(r, value, view_of(context->peer.member->service));
}

ngx_int_t slot(ngx_http_request_t* r, ngx_http_variable_value_t* value, uintptr_t) {
  const RequestContext* const context = context_of(r);
  if (context == nullptr || context->peer.served.node.data == nullptr) return give_nothing(value);
  return give(r, value, std::to_string(context->peer.served.slot));
}

ngx_int_t traceparent(ngx_http_request_t* r, ngx_http_variable_value_t* value, uintptr_t) {
  const RequestContext* const context = context_of(r);
  if (context == nullptr || context->traceparent.len == 0) return give_nothing(value);
  return give(r, value, view_of(context->traceparent));
}

ngx_int_t trace_number(ngx_http_request_t* r, ngx_http_variable_value_t* value, uintptr_t) {
  const RequestContext* const context = context_of(r);
  if (context == nullptr || trace_id(*context).empty()) return give_nothing(value);
  return give(r, value, trace_id(*context));
}

ngx_int_t host(ngx_http_request_t* r, ngx_http_variable_value_t* value, uintptr_t) {
  // The client's header, port included, unless the request line says more (RFC 9112, 3.2.2).
  if (r->host_start == nullptr && r->headers_in.host != nullptr)
    return give(r, value, view_of(r->headers_in.host->value));
  if (r->headers_in.server.len != 0) return give(r, value, view_of(r->headers_in.server));
  auto* const conf = static_cast<ngx_http_core_srv_conf_t*>(ngx_http_get_module_srv_conf(r, ngx_http_core_module));
  return give(r, value, view_of(conf->server_name));
}

ngx_int_t body_length(ngx_http_request_t* r, ngx_http_variable_value_t* value, uintptr_t) {
  const RequestContext* const context = context_of(r);
  if (context == nullptr || context->body_length < 0) return give_nothing(value);
  value->no_cacheable = 0;
  return give(r, value, std::to_string(context->body_length));
}

ngx_int_t coding(ngx_http_request_t* r, ngx_http_variable_value_t* value, uintptr_t) {
  const RequestContext* const context = context_of(r);
  if (context == nullptr || !context->chunked_request) return give_nothing(value);
  return give(r, value, "chunked");
}

}  // namespace

ngx_int_t add_variables(ngx_conf_t* cf) {
  struct Variable {
    std::string_view name;
    ngx_http_get_variable_pt get;
    ngx_uint_t flags;
  };
  constexpr std::array kVariables{
      Variable{"slotwire_node", node, NGX_HTTP_VAR_NOCACHEABLE},
      Variable{"slotwire_service", service, NGX_HTTP_VAR_NOCACHEABLE},
      Variable{"slotwire_slot", slot, NGX_HTTP_VAR_NOCACHEABLE},
      Variable{"slotwire_traceparent", traceparent, NGX_HTTP_VAR_NOCACHEABLE},
      Variable{"slotwire_trace_id", trace_number, NGX_HTTP_VAR_NOCACHEABLE},
      Variable{"slotwire_host", host, NGX_HTTP_VAR_NOHASH},
      Variable{"slotwire_internal_body_length", body_length, NGX_HTTP_VAR_NOCACHEABLE | NGX_HTTP_VAR_NOHASH},
      Variable{"slotwire_internal_coding", coding, NGX_HTTP_VAR_NOCACHEABLE | NGX_HTTP_VAR_NOHASH},
  };
  for (const Variable& entry : kVariables) {
    ngx_str_t name = str_of(entry.name);
    ngx_http_variable_t* const variable = ngx_http_add_variable(cf, &name, entry.flags);
    if (variable == nullptr) return NGX_ERROR;
    variable->get_handler = entry.get;
  }
  return NGX_OK;
}

}  // namespace slotwire::nginx
