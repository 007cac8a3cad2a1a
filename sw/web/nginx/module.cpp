// The module as nginx sees it, and the handler of its locations.
#include <memory>

#include "web/nginx/context.hpp"
#include "web/nginx/worker.hpp"

namespace slotwire::nginx {
namespace {

void abort_request(ngx_http_request_t* /*r*/) {}
void finalize_request(ngx_http_request_t* /*r*/, ngx_int_t /*rc*/) {}

/// The group that a slotwire_pass with variables means for this request. Null: none.
ngx_http_upstream_srv_conf_t* evaluate_service(ngx_http_request_t* r, LocConf& conf) {
  ngx_str_t name;
  if (ngx_http_complex_value(r, conf.service, &name) != NGX_OK) return nullptr;
  auto* const main =
      static_cast<ngx_http_upstream_main_conf_t*>(ngx_http_get_module_main_conf(r, ngx_http_upstream_module));
  auto* const* const upstreams = static_cast<ngx_http_upstream_srv_conf_t**>(main->upstreams.elts);
  for (ngx_uint_t i = 0; i < main->upstreams.nelts; ++i) {
    if (view_of(upstreams[i]->host) == view_of(name) && group_of(upstreams[i]) != nullptr) return upstreams[i];
  }
  if (!is_service_name(view_of(name))) {
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "slotwire_pass: its variables give \"%V\", which is no name of a service: expected %s", &name,
                  kServiceName);
    return nullptr;
  }
  ServiceGroup* const group = group_of_service(r->pool, view_of(name));
  return group == nullptr ? nullptr : group->upstream;
}

ngx_int_t init_process(ngx_cycle_t* cycle) {
  return Worker::start(cycle);
}

void exit_process(ngx_cycle_t* /*cycle*/) {
  Worker::stop();
}

ngx_http_module_t context = {
    add_variables,   // before the configuration is read
    resolve_passes,  // after
    create_main_conf, init_main_conf, nullptr, nullptr, create_loc_conf, merge_loc_conf,
};

}  // namespace

ngx_str_t copy_of(ngx_pool_t* pool, std::string_view text) {
  auto* const data = static_cast<u_char*>(ngx_pnalloc(pool, text.empty() ? 1 : text.size()));
  if (data != nullptr) ngx_memcpy(data, text.data(), text.size());
  return {text.size(), data};
}

ngx_int_t handle(ngx_http_request_t* r) {
  LocConf& conf = loc_conf(r);
  if (ngx_http_upstream_create(r) != NGX_OK) return NGX_HTTP_INTERNAL_SERVER_ERROR;
  auto* const state = allocate<RequestContext>(r->pool);
  ngx_http_upstream_t& u = *r->upstream;
  u.pipe = allocate<ngx_event_pipe_t>(r->pool);
  if (state == nullptr || u.pipe == nullptr) return NGX_HTTP_INTERNAL_SERVER_ERROR;
  ngx_http_set_ctx(r, state, ngx_http_slotwire_module);
  u.conf = &conf.upstream;
  if (conf.service != nullptr) {
    state->upstream = evaluate_service(r, conf);
    if (state->upstream == nullptr) return NGX_HTTP_INTERNAL_SERVER_ERROR;
    u.conf = static_cast<ngx_http_upstream_conf_t*>(ngx_palloc(r->pool, sizeof *u.conf));
    if (u.conf == nullptr) return NGX_HTTP_INTERNAL_SERVER_ERROR;
    *u.conf = conf.upstream;
    u.conf->upstream = state->upstream;
  }
  state->upstream = u.conf->upstream;
  state->location = u.conf;
  u.output.tag = reinterpret_cast<ngx_buf_tag_t>(&ngx_http_slotwire_module);
  u.caches = &main_conf(r).caches;
  u.create_key = create_key;
  u.create_request = create_request;
  u.reinit_request = reinit_request;
  u.process_header = process_status_line;
  u.abort_request = abort_request;
  u.finalize_request = finalize_request;
  r->state = 0;
  u.buffering = conf.upstream.buffering != 0;
  u.accel = 1;
  start_body_filters(r);
  if (conf.upstream.request_buffering == 0 && conf.body == nullptr && conf.upstream.pass_request_body != 0) {
    r->request_body_no_buffering = 1;
  }
  const ngx_int_t rc = ngx_http_read_client_request_body(r, ngx_http_upstream_init);
  return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}

}  // namespace slotwire::nginx

extern "C" {

ngx_module_t ngx_http_slotwire_module = {
    NGX_MODULE_V1,
    &slotwire::nginx::context,
    slotwire::nginx::commands,
    NGX_HTTP_MODULE,
    nullptr,
    nullptr,
    slotwire::nginx::init_process,
    nullptr,
    nullptr,
    slotwire::nginx::exit_process,
    nullptr,
    NGX_MODULE_V1_PADDING,
};

// What nginx looks for in a module's file.
[[gnu::visibility("default")]] ngx_module_t* ngx_modules[] = {&ngx_http_slotwire_module, nullptr};
[[gnu::visibility("default")]] char* ngx_module_names[] = {const_cast<char*>("ngx_http_slotwire_module"), nullptr};
[[gnu::visibility("default")]] char* ngx_module_order[] = {nullptr};
}
