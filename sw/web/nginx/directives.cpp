// The directives: those of proxy_pass under another name, and a few about slots.
#include <array>
#include <initializer_list>
#include <string_view>

#include "web/nginx/config.hpp"
#include "web/nginx/context.hpp"
#include "web/nginx/group.hpp"
#include "web/nginx/limits_zone.hpp"
#include "web/nginx/words.hpp"

namespace slotwire::nginx {
namespace {

/// What slotwire_limits and slotwire_pool take at most.
constexpr ngx_int_t kMostRequests = 1'000'000;
/// A share of all, in percent.
constexpr ngx_int_t kWhole = 100;
/// As nginx demands of its own zones.
constexpr std::size_t kLeastZonePages = 8;
/// Rings are powers of two in this range.
constexpr ssize_t kLeastRing = 4096;
constexpr ssize_t kLargestRing = ssize_t{2} << 20;

char* failed() {
  return static_cast<char*>(NGX_CONF_ERROR);
}

/// A sentence that nginx shows with the directive's place.
char* because(const char* text) {
  return const_cast<char*>(text);
}

ngx_str_t* words_of(ngx_conf_t* cf) {
  return static_cast<ngx_str_t*>(cf->args->elts);
}

bool compile(ngx_conf_t* cf, ngx_str_t& text, ngx_http_complex_value_t& value) {
  ngx_http_compile_complex_value_t compiling{};
  compiling.cf = cf;
  compiling.value = &text;
  compiling.complex_value = &value;
  return ngx_http_compile_complex_value(&compiling) == NGX_OK;
}

char* pass_directive(ngx_conf_t* cf, ngx_command_t*, void* given) {
  auto& conf = *static_cast<LocConf*>(given);
  if (conf.passes) return because("is duplicate");
  conf.passes = true;
  auto* const core =
      static_cast<ngx_http_core_loc_conf_t*>(ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));
  core->handler = handle;
  if (core->name.len != 0 && core->name.data[core->name.len - 1] == '/') core->auto_redirect = 1;
  ngx_str_t& name = words_of(cf)[1];
  const std::string_view text = view_of(name);
  if (text.find("://") != std::string_view::npos || text.ends_with('/'))
    return because("takes the name of a service or of an upstream block: no \"http://\", and no slash at its end");
  auto& main = *static_cast<MainConf*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_slotwire_module));
  if (ngx_http_script_variables_count(&name) != 0) {
    conf.service = allocate<ngx_http_complex_value_t>(cf->pool);
    main.has_variables = 1;
    return conf.service != nullptr && compile(cf, name, *conf.service) ? NGX_CONF_OK : failed();
  }
  auto* const pending = static_cast<PendingPass*>(ngx_array_push(&main.passes));
  // ngx_http_upstream wants to know that there is one before the names are looked up.
  conf.upstream.upstream = allocate<ngx_http_upstream_srv_conf_t>(cf->pool);
  if (pending == nullptr || conf.upstream.upstream == nullptr) return failed();
  *pending = {conf.upstream.upstream, name, cf->conf_file->file.name.data, cf->conf_file->line};
  return NGX_CONF_OK;
}

char* store_directive(ngx_conf_t* cf, ngx_command_t*, void* given) {
  ngx_http_upstream_conf_t& upstream = static_cast<LocConf*>(given)->upstream;
  if (upstream.store != NGX_CONF_UNSET) return because("is duplicate");
  ngx_str_t& word = words_of(cf)[1];
  if (view_of(word) == "off") {
    upstream.store = 0;
    return NGX_CONF_OK;
  }
  if (upstream.cache > 0) return because("is incompatible with \"slotwire_cache\"");
  upstream.store = 1;
  if (view_of(word) == "on") return NGX_CONF_OK;
  word.len++;  // the path with its end
  ngx_http_script_compile_t compiling{};
  compiling.cf = cf;
  compiling.source = &word;
  compiling.lengths = &upstream.store_lengths;
  compiling.values = &upstream.store_values;
  compiling.variables = ngx_http_script_variables_count(&word);
  compiling.complete_lengths = 1;
  compiling.complete_values = 1;
  return ngx_http_script_compile(&compiling) == NGX_OK ? NGX_CONF_OK : failed();
}

char* cache_directive(ngx_conf_t* cf, ngx_command_t*, void* given) {
  ngx_http_upstream_conf_t& upstream = static_cast<LocConf*>(given)->upstream;
  if (upstream.cache != NGX_CONF_UNSET) return because("is duplicate");
  ngx_str_t& word = words_of(cf)[1];
  if (view_of(word) == "off") {
    upstream.cache = 0;
    return NGX_CONF_OK;
  }
  if (upstream.store > 0) return because("is incompatible with \"slotwire_store\"");
  upstream.cache = 1;
  if (ngx_http_script_variables_count(&word) != 0) {
    upstream.cache_value = allocate<ngx_http_complex_value_t>(cf->pool);
    return upstream.cache_value != nullptr && compile(cf, word, *upstream.cache_value) ? NGX_CONF_OK : failed();
  }
  upstream.cache_zone = ngx_shared_memory_add(cf, &word, 0, &ngx_http_slotwire_module);
  return upstream.cache_zone != nullptr ? NGX_CONF_OK : failed();
}

char* cache_key_directive(ngx_conf_t* cf, ngx_command_t*, void* given) {
  auto& conf = *static_cast<LocConf*>(given);
  if (conf.cache_key.value.data != nullptr) return because("is duplicate");
  return compile(cf, words_of(cf)[1], conf.cache_key) ? NGX_CONF_OK : failed();
}

/// slotwire_pool [spare=N] [max=N] [queue=N] [idle=TIME];
char* pool_directive(ngx_conf_t* cf, ngx_command_t*, void* given) {
  PoolLimits& pool = static_cast<MainConf*>(given)->pool;
  const auto number = [](ngx_int_t least, ngx_uint_t& to) {
    return [least, &to](std::string_view text) { return take_number(text, least, kMostRequests, to); };
  };
  const std::array<Parameter, 4> parameters{{
      {"spare=", "N from 0 to 1000000", number(0, pool.spare)},
      {"max=", "N from 1 to 1000000", number(1, pool.max)},
      {"queue=", "N from 0 to 1000000", number(0, pool.queue)},
      {"idle=", "TIME, as 500ms, 60s or 1h",
       [&](std::string_view text) { return take_milliseconds(text, pool.idle_timeout); }},
  }};
  return take_parameters(cf, 1, parameters);
}

/// slotwire_limits [requests=N] [process=N] [retries=N%] [least_retries=N] [zone=NAME:SIZE];
char* limits_directive(ngx_conf_t* cf, ngx_command_t*, void* given) {
  auto& main = *static_cast<MainConf*>(given);
  const auto number = [](ngx_uint_t& to) {
    return [&to](std::string_view text) { return take_number(text, 1, kMostRequests, to); };
  };
  bool zone_refused = false;
  const auto zone = [&](std::string_view text) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0) return false;
    ngx_str_t size = str_of(text.substr(colon + 1));
    const ssize_t bytes = ngx_parse_size(&size);
    if (bytes == NGX_ERROR || bytes < static_cast<ssize_t>(kLeastZonePages * ngx_pagesize)) return false;
    if (main.limits_zone != nullptr) {
      const ngx_str_t again = str_of(text);
      ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "slotwire_limits has the zone \"%V\" already: leave \"zone=%V\" out",
                         &main.limits_zone->name(), &again);
      return zone_refused = true;
    }
    main.limits_zone = LimitsZone::add(cf, str_of(text.substr(0, colon)), bytes);
    zone_refused = main.limits_zone == nullptr;
    return true;
  };
  const auto share = [&](std::string_view text) {
    return !text.empty() && text.back() == '%' &&
           take_number(text.substr(0, text.size() - 1), 1, kWhole, main.pool.retries_percent);
  };
  const std::array<Parameter, 5> parameters{{
      {"requests=", "N from 1 to 1000000", number(main.pool.requests)},
      {"process=", "N from 1 to 1000000", number(main.pool.process_requests)},
      {"retries=", "N%, 1% to 100%", share},
      {"least_retries=", "N from 1 to 1000000", number(main.pool.least_retries)},
      {"zone=", "NAME:SIZE, as limits:1m, from 32k (8 pages) on", zone},
  }};
  char* const result = take_parameters(cf, 1, parameters);
  return zone_refused ? failed() : result;
}

/// slotwire_ring [request=SIZE] [response=SIZE];
char* ring_directive(ngx_conf_t* cf, ngx_command_t*, void* given) {
  PoolLimits& pool = static_cast<MainConf*>(given)->pool;
  const auto size = [](std::size_t& to) {
    return [&to](std::string_view text) {
      ngx_str_t given_size = str_of(text);
      const ssize_t value = ngx_parse_size(&given_size);
      if (value < kLeastRing || value > kLargestRing || (value & (value - 1)) != 0) return false;
      to = static_cast<std::size_t>(value);
      return true;
    };
  };
  const std::array<Parameter, 2> parameters{{
      {"request=", "SIZE, a power of two from 4k to 2m", size(pool.request_ring_bytes)},
      {"response=", "SIZE, a power of two from 4k to 2m", size(pool.response_ring_bytes)},
  }};
  return take_parameters(cf, 1, parameters);
}

/// nginx's own words about a value that it cannot read do not say what it expects.
template <auto Set>
char* take_time(ngx_conf_t* cf, ngx_command_t* command, void* conf) {
  char* const result = Set(cf, command, conf);
  const bool invalid = result != NGX_CONF_OK && result != failed() && std::string_view(result) == "invalid value";
  return invalid ? because("has an invalid value: expected TIME, as 500ms, 60s or 1h") : result;
}
template <auto Set>
char* take_size(ngx_conf_t* cf, ngx_command_t* command, void* conf) {
  char* const result = Set(cf, command, conf);
  const bool invalid = result != NGX_CONF_OK && result != failed() && std::string_view(result) == "invalid value";
  return invalid ? because("has an invalid value: expected SIZE in bytes, as 4096, 64k or 1m") : result;
}
char* take_count(ngx_conf_t* cf, ngx_command_t* command, void* conf) {
  char* const result = ngx_conf_set_num_slot(cf, command, conf);
  const bool invalid = result != NGX_CONF_OK && result != failed() && std::string_view(result) == "invalid number";
  return invalid ? because("has an invalid value: expected a number from 0 on") : result;
}

std::array<ngx_conf_bitmask_t, 14> next_upstream_masks{{
    {ngx_string("error"), NGX_HTTP_UPSTREAM_FT_ERROR},
    {ngx_string("timeout"), NGX_HTTP_UPSTREAM_FT_TIMEOUT},
    {ngx_string("invalid_header"), NGX_HTTP_UPSTREAM_FT_INVALID_HEADER},
    {ngx_string("non_idempotent"), NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT},
    {ngx_string("http_500"), NGX_HTTP_UPSTREAM_FT_HTTP_500},
    {ngx_string("http_502"), NGX_HTTP_UPSTREAM_FT_HTTP_502},
    {ngx_string("http_503"), NGX_HTTP_UPSTREAM_FT_HTTP_503},
    {ngx_string("http_504"), NGX_HTTP_UPSTREAM_FT_HTTP_504},
    {ngx_string("http_403"), NGX_HTTP_UPSTREAM_FT_HTTP_403},
    {ngx_string("http_404"), NGX_HTTP_UPSTREAM_FT_HTTP_404},
    {ngx_string("http_429"), NGX_HTTP_UPSTREAM_FT_HTTP_429},
    {ngx_string("updating"), NGX_HTTP_UPSTREAM_FT_UPDATING},
    {ngx_string("off"), NGX_HTTP_UPSTREAM_FT_OFF},
    {ngx_null_string, 0},
}};

ngx_command_t directive(const char* name, ngx_uint_t type, char* (*set)(ngx_conf_t*, ngx_command_t*, void*),
                        ngx_uint_t conf, ngx_uint_t offset, void* post = nullptr) {
  return {str_of(name), type, set, conf, offset, post};
}

/// Where most directives may stand.
constexpr ngx_uint_t kAnywhere = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

ngx_command_t located(const char* name, ngx_uint_t arguments, char* (*set)(ngx_conf_t*, ngx_command_t*, void*),
                      ngx_uint_t offset, void* post = nullptr) {
  return directive(name, kAnywhere | arguments, set, NGX_HTTP_LOC_CONF_OFFSET, offset, post);
}

ngx_command_t flag(const char* name, ngx_uint_t offset) {
  return located(name, NGX_CONF_FLAG, ngx_conf_set_flag_slot, offset);
}
ngx_command_t milliseconds(const char* name, ngx_uint_t offset) {
  return located(name, NGX_CONF_TAKE1, take_time<ngx_conf_set_msec_slot>, offset);
}
ngx_command_t bytes(const char* name, ngx_uint_t offset) {
  return located(name, NGX_CONF_TAKE1, take_size<ngx_conf_set_size_slot>, offset);
}
ngx_command_t number(const char* name, ngx_uint_t offset) {
  return located(name, NGX_CONF_TAKE1, take_count, offset);
}
ngx_command_t list(const char* name, ngx_uint_t offset) {
  return located(name, NGX_CONF_TAKE1, ngx_conf_set_str_array_slot, offset);
}
ngx_command_t mask(const char* name, ngx_uint_t offset, ngx_conf_bitmask_t* masks) {
  return located(name, NGX_CONF_1MORE, take_mask, offset, masks);
}
ngx_command_t predicate(const char* name, ngx_uint_t offset) {
  return located(name, NGX_CONF_1MORE, ngx_http_set_predicate_slot, offset);
}

}  // namespace

#define UPSTREAM(field) offsetof(LocConf, upstream.field)
ngx_command_t commands[] = {
    directive("slotwire_pass", NGX_HTTP_LOC_CONF | NGX_HTTP_LIF_CONF | NGX_HTTP_LMT_CONF | NGX_CONF_TAKE1,
              pass_directive, NGX_HTTP_LOC_CONF_OFFSET, 0),
    directive("slotwire_service", NGX_HTTP_UPS_CONF | NGX_CONF_1MORE, service_directive, 0, 0),
    directive("slotwire_socket", NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_str_slot, NGX_HTTP_MAIN_CONF_OFFSET,
              offsetof(MainConf, socket)),
    directive("slotwire_pool", NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE, pool_directive, NGX_HTTP_MAIN_CONF_OFFSET, 0),
    directive("slotwire_limits", NGX_HTTP_MAIN_CONF | NGX_CONF_1MORE, limits_directive, NGX_HTTP_MAIN_CONF_OFFSET, 0),
    directive("slotwire_ring", NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE12, ring_directive, NGX_HTTP_MAIN_CONF_OFFSET, 0),

    milliseconds("slotwire_connect_timeout", UPSTREAM(connect_timeout)),
    milliseconds("slotwire_send_timeout", UPSTREAM(send_timeout)),
    milliseconds("slotwire_read_timeout", UPSTREAM(read_timeout)),
    milliseconds("slotwire_deadline", offsetof(LocConf, deadline)),
    flag("slotwire_trace", offsetof(LocConf, trace)),
    flag("slotwire_buffering", UPSTREAM(buffering)),
    bytes("slotwire_buffer_size", UPSTREAM(buffer_size)),
    located("slotwire_buffers", NGX_CONF_TAKE2, ngx_conf_set_bufs_slot, UPSTREAM(bufs)),
    bytes("slotwire_busy_buffers_size", UPSTREAM(busy_buffers_size_conf)),
    bytes("slotwire_max_temp_file_size", UPSTREAM(max_temp_file_size_conf)),
    bytes("slotwire_temp_file_write_size", UPSTREAM(temp_file_write_size_conf)),
    located("slotwire_temp_path", NGX_CONF_TAKE1234, ngx_conf_set_path_slot, UPSTREAM(temp_path)),
    bytes("slotwire_limit_rate", UPSTREAM(limit_rate)),
    flag("slotwire_force_ranges", UPSTREAM(force_ranges)),

    flag("slotwire_request_buffering", UPSTREAM(request_buffering)),
    flag("slotwire_pass_request_headers", UPSTREAM(pass_request_headers)),
    flag("slotwire_pass_request_body", UPSTREAM(pass_request_body)),
    located("slotwire_set_header", NGX_CONF_TAKE2, ngx_conf_set_keyval_slot, offsetof(LocConf, set_headers)),
    located("slotwire_set_body", NGX_CONF_TAKE1, ngx_http_set_complex_value_slot, offsetof(LocConf, body)),
    located("slotwire_method", NGX_CONF_TAKE1, ngx_http_set_complex_value_slot, offsetof(LocConf, method)),
    number("slotwire_headers_hash_max_size", offsetof(LocConf, headers_hash_max_size)),
    number("slotwire_headers_hash_bucket_size", offsetof(LocConf, headers_hash_bucket_size)),

    list("slotwire_hide_header", UPSTREAM(hide_headers)),
    list("slotwire_pass_header", UPSTREAM(pass_headers)),
    mask("slotwire_ignore_headers", UPSTREAM(ignore_headers), ngx_http_upstream_ignore_headers_masks),
    flag("slotwire_intercept_errors", UPSTREAM(intercept_errors)),
    flag("slotwire_ignore_client_abort", UPSTREAM(ignore_client_abort)),
    mask("slotwire_next_upstream", UPSTREAM(next_upstream), next_upstream_masks.data()),
    number("slotwire_next_upstream_tries", UPSTREAM(next_upstream_tries)),
    milliseconds("slotwire_next_upstream_timeout", UPSTREAM(next_upstream_timeout)),

    located("slotwire_store", NGX_CONF_TAKE1, store_directive, 0),
    located("slotwire_store_access", NGX_CONF_TAKE123, ngx_conf_set_access_slot, UPSTREAM(store_access)),
    located("slotwire_cache", NGX_CONF_TAKE1, cache_directive, 0),
    located("slotwire_cache_key", NGX_CONF_TAKE1, cache_key_directive, 0),
    directive("slotwire_cache_path", NGX_HTTP_MAIN_CONF | NGX_CONF_2MORE, ngx_http_file_cache_set_slot,
              NGX_HTTP_MAIN_CONF_OFFSET, offsetof(MainConf, caches), &ngx_http_slotwire_module),
    predicate("slotwire_cache_bypass", UPSTREAM(cache_bypass)),
    predicate("slotwire_no_cache", UPSTREAM(no_cache)),
    located("slotwire_cache_valid", NGX_CONF_1MORE, ngx_http_file_cache_valid_set_slot, UPSTREAM(cache_valid)),
    number("slotwire_cache_min_uses", UPSTREAM(cache_min_uses)),
    located("slotwire_cache_max_range_offset", NGX_CONF_TAKE1, ngx_conf_set_off_slot, UPSTREAM(cache_max_range_offset)),
    mask("slotwire_cache_use_stale", UPSTREAM(cache_use_stale), next_upstream_masks.data()),
    mask("slotwire_cache_methods", UPSTREAM(cache_methods), ngx_http_upstream_cache_method_mask),
    flag("slotwire_cache_lock", UPSTREAM(cache_lock)),
    milliseconds("slotwire_cache_lock_timeout", UPSTREAM(cache_lock_timeout)),
    milliseconds("slotwire_cache_lock_age", UPSTREAM(cache_lock_age)),
    flag("slotwire_cache_revalidate", UPSTREAM(cache_revalidate)),
    flag("slotwire_cache_convert_head", UPSTREAM(cache_convert_head)),
    flag("slotwire_cache_background_update", UPSTREAM(cache_background_update)),
    ngx_null_command,
};
#undef UPSTREAM

}  // namespace slotwire::nginx
