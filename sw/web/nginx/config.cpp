// The configuration: its defaults (those of proxy_pass), inheritance, and the names that it uses.
#include "web/nginx/config.hpp"

#include <sys/un.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "web/nginx/context.hpp"
#include "web/nginx/group.hpp"

namespace slotwire::nginx {
namespace {

constexpr ngx_uint_t kSpare = 4, kMaxConnections = 256, kQueue = 1024;
/// Tries that slotwire_limits allows whatever their share is.
constexpr ngx_uint_t kLeastRetries = 3;
constexpr ngx_msec_t kIdleMs = 60000, kTimeoutMs = 60000, kLockMs = 5000;
/// Room for a page of 64 KiB with its head, so that its server is done at once.
constexpr std::size_t kResponseRing = std::size_t{128} << 10;
constexpr std::size_t kMaxTempFile = std::size_t{1} << 30;
constexpr std::size_t kLeastHead = 1024;
/// Of an element of nginx's arrays that refers to something.
constexpr std::size_t kPointerBytes = sizeof(void*);

struct DefaultHeader {
  std::string_view name, value;
};

/// Of requests. A client's own Slotwire-Timeout never passes, and neither do headers of its connection.
constexpr std::array kDefaultHeaders{
    DefaultHeader{"Host", "$slotwire_host"},
    DefaultHeader{"Content-Length", "$slotwire_internal_body_length"},
    DefaultHeader{"Transfer-Encoding", "$slotwire_internal_coding"},
    DefaultHeader{"Connection", ""},
    DefaultHeader{"TE", ""},
    DefaultHeader{"Keep-Alive", ""},
    DefaultHeader{"Expect", ""},
    DefaultHeader{"Upgrade", ""},
    DefaultHeader{"Slotwire-Timeout", ""},
};
/// Of requests whose response will be cached, too.
constexpr std::array kDefaultCacheHeaders{
    DefaultHeader{"If-Modified-Since", "$upstream_cache_last_modified"},
    DefaultHeader{"If-Unmodified-Since", ""},
    DefaultHeader{"If-None-Match", "$upstream_cache_etag"},
    DefaultHeader{"If-Match", ""},
    DefaultHeader{"Range", ""},
    DefaultHeader{"If-Range", ""},
};

std::array<ngx_str_t, 11> hidden_headers{{
    ngx_string("Date"),
    ngx_string("Server"),
    ngx_string("X-Pad"),
    ngx_string("X-Accel-Expires"),
    ngx_string("X-Accel-Redirect"),
    ngx_string("X-Accel-Limit-Rate"),
    ngx_string("X-Accel-Buffering"),
    ngx_string("X-Accel-Charset"),
    ngx_string("Slotwire-Unprocessed"),
    ngx_string("Slotwire-Credit"),
    ngx_null_string,
}};

ngx_path_init_t temp_path = {ngx_string("/var/lib/nginx/slotwire"), {1, 2, 0}};

char* failed() {
  return static_cast<char*>(NGX_CONF_ERROR);
}

bool same_name(const ngx_str_t& one, std::string_view other) {
  return one.len == other.size() && ngx_strncasecmp(one.data, str_of(other).data, one.len) == 0;
}

/// What a location sends: its own headers, and the defaults that these do not replace.
bool make_headers(ngx_conf_t* cf, LocConf& conf, RequestHeaders& headers, bool cached) {
  ngx_array_t names{};
  headers.values = ngx_array_create(cf->pool, 8, sizeof(HeaderValue));
  if (headers.values == nullptr || ngx_array_init(&names, cf->temp_pool, 8, sizeof(ngx_hash_key_t)) != NGX_OK)
    return false;
  const auto add = [&](ngx_str_t name, ngx_str_t value) {
    auto* const key = static_cast<ngx_hash_key_t*>(ngx_array_push(&names));
    if (key == nullptr) return false;
    key->key = name;
    key->key_hash = ngx_hash_key_lc(name.data, name.len);
    key->value = &conf;  // anything: only whether it is there counts
    if (value.len == 0) return true;
    auto* const header = static_cast<HeaderValue*>(ngx_array_push(headers.values));
    if (header == nullptr) return false;
    ngx_memzero(header, sizeof *header);
    header->name = name;
    ngx_http_compile_complex_value_t compiling{};
    compiling.cf = cf;
    compiling.value = static_cast<ngx_str_t*>(ngx_palloc(cf->pool, sizeof value));
    if (compiling.value == nullptr) return false;
    *compiling.value = value;
    compiling.complex_value = &header->value;
    return ngx_http_compile_complex_value(&compiling) == NGX_OK;
  };
  auto* const own = conf.set_headers == nullptr ? nullptr : static_cast<ngx_keyval_t*>(conf.set_headers->elts);
  const ngx_uint_t count = conf.set_headers == nullptr ? 0 : conf.set_headers->nelts;
  const auto add_default = [&](const DefaultHeader& header) {
    const bool replaced =
        std::any_of(own, own + count, [&](const ngx_keyval_t& entry) { return same_name(entry.key, header.name); });
    return replaced || add(str_of(header.name), copy_of(cf->pool, header.value));
  };
  if (!std::all_of(kDefaultHeaders.begin(), kDefaultHeaders.end(), add_default)) return false;
  if (cached && !std::all_of(kDefaultCacheHeaders.begin(), kDefaultCacheHeaders.end(), add_default)) return false;
  for (ngx_uint_t i = 0; i < count; ++i) {
    if (same_name(own[i].key, "Slotwire-Timeout")) {
      ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                         "slotwire_set_header cannot set Slotwire-Timeout: use slotwire_deadline");
      return false;
    }
    if (!add(own[i].key, own[i].value)) return false;
  }
  ngx_hash_init_t hash{};
  hash.hash = &headers.replaced;
  hash.key = ngx_hash_key_lc;
  hash.max_size = conf.headers_hash_max_size;
  hash.bucket_size = conf.headers_hash_bucket_size;
  hash.name = const_cast<char*>("slotwire_headers_hash");
  hash.pool = cf->pool;
  return ngx_hash_init(&hash, static_cast<ngx_hash_key_t*>(names.elts), names.nelts) == NGX_OK;
}

bool merge_buffers(ngx_conf_t* cf, ngx_http_upstream_conf_t& conf, const ngx_http_upstream_conf_t& prev) {
  ngx_conf_merge_size_value(conf.buffer_size, prev.buffer_size, ngx_pagesize);
  // Larger than proxy_pass' pages: nginx writes to its client once for each two of them.
  ngx_conf_merge_bufs_value(conf.bufs, prev.bufs, 8, 4 * ngx_pagesize);
  const auto wrong = [&](const char* text) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", text);
    return false;
  };
  if (conf.buffer_size < kLeastHead) return wrong("\"slotwire_buffer_size\" must be at least 1k: it holds the head");
  if (conf.bufs.num < 2) return wrong("there must be at least 2 \"slotwire_buffers\"");
  const std::size_t size = std::max(conf.buffer_size, conf.bufs.size);
  const auto merge_size = [](std::size_t& value, std::size_t& own, std::size_t inherited, std::size_t by_default) {
    if (own == NGX_CONF_UNSET_SIZE) own = inherited;
    value = own == NGX_CONF_UNSET_SIZE ? by_default : own;
  };
  merge_size(conf.busy_buffers_size, conf.busy_buffers_size_conf, prev.busy_buffers_size_conf, 2 * size);
  if (conf.busy_buffers_size < size) {
    return wrong(
        "\"slotwire_busy_buffers_size\" must be at least as large as \"slotwire_buffer_size\" and one of the "
        "\"slotwire_buffers\"");
  }
  if (conf.busy_buffers_size > (static_cast<std::size_t>(conf.bufs.num) - 1) * conf.bufs.size) {
    return wrong("\"slotwire_busy_buffers_size\" must be less than all \"slotwire_buffers\" without one");
  }
  merge_size(conf.temp_file_write_size, conf.temp_file_write_size_conf, prev.temp_file_write_size_conf, 2 * size);
  if (conf.temp_file_write_size < size) {
    return wrong(
        "\"slotwire_temp_file_write_size\" must be at least as large as \"slotwire_buffer_size\" and one of the "
        "\"slotwire_buffers\"");
  }
  merge_size(conf.max_temp_file_size, conf.max_temp_file_size_conf, prev.max_temp_file_size_conf, kMaxTempFile);
  if (conf.max_temp_file_size != 0 && conf.max_temp_file_size < size) {
    return wrong(
        "\"slotwire_max_temp_file_size\" must be 0 (no files), or at least as large as \"slotwire_buffer_size\" and "
        "one of the \"slotwire_buffers\"");
  }
  return true;
}

bool merge_cache(ngx_conf_t* cf, LocConf& location, LocConf& above) {
  ngx_http_upstream_conf_t& conf = location.upstream;
  const ngx_http_upstream_conf_t& prev = above.upstream;
  if (conf.cache == NGX_CONF_UNSET) {
    conf.cache = prev.cache == NGX_CONF_UNSET ? 0 : prev.cache;
    conf.cache_zone = prev.cache_zone;
    conf.cache_value = prev.cache_value;
  }
  if (conf.cache_zone != nullptr && conf.cache_zone->data == nullptr) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"slotwire_cache\" zone \"%V\" is unknown: make it by slotwire_cache_path ... keys_zone=",
                       &conf.cache_zone->shm.name);
    return false;
  }
  ngx_conf_merge_uint_value(conf.cache_min_uses, prev.cache_min_uses, 1);
  ngx_conf_merge_off_value(conf.cache_max_range_offset, prev.cache_max_range_offset, NGX_MAX_OFF_T_VALUE);
  ngx_conf_merge_bitmask_value(conf.cache_use_stale, prev.cache_use_stale,
                               (NGX_CONF_BITMASK_SET | NGX_HTTP_UPSTREAM_FT_OFF));
  if ((conf.cache_use_stale & NGX_HTTP_UPSTREAM_FT_OFF) != 0) {
    conf.cache_use_stale = NGX_CONF_BITMASK_SET | NGX_HTTP_UPSTREAM_FT_OFF;
  }
  if ((conf.cache_use_stale & NGX_HTTP_UPSTREAM_FT_ERROR) != 0) conf.cache_use_stale |= NGX_HTTP_UPSTREAM_FT_NOLIVE;
  if (conf.cache_methods == 0) conf.cache_methods = prev.cache_methods;
  conf.cache_methods |= NGX_HTTP_GET | NGX_HTTP_HEAD;
  ngx_conf_merge_ptr_value(conf.cache_bypass, prev.cache_bypass, nullptr);
  ngx_conf_merge_ptr_value(conf.no_cache, prev.no_cache, nullptr);
  ngx_conf_merge_ptr_value(conf.cache_valid, prev.cache_valid, nullptr);
  if (location.cache_key.value.data == nullptr) location.cache_key = above.cache_key;
  ngx_conf_merge_value(conf.cache_lock, prev.cache_lock, 0);
  ngx_conf_merge_msec_value(conf.cache_lock_timeout, prev.cache_lock_timeout, kLockMs);
  ngx_conf_merge_msec_value(conf.cache_lock_age, prev.cache_lock_age, kLockMs);
  ngx_conf_merge_value(conf.cache_revalidate, prev.cache_revalidate, 0);
  ngx_conf_merge_value(conf.cache_convert_head, prev.cache_convert_head, 1);
  ngx_conf_merge_value(conf.cache_background_update, prev.cache_background_update, 0);
  return true;
}

}  // namespace

void* create_main_conf(ngx_conf_t* cf) {
  auto* const conf = allocate<MainConf>(cf->pool);
  if (conf == nullptr) return nullptr;
  conf->pool = {.spare = kSpare,
                .max = kMaxConnections,
                .queue = kQueue,
                .idle_timeout = kIdleMs,
                .request_ring_bytes = 0,
                .response_ring_bytes = kResponseRing,
                .requests = 0,
                .process_requests = 0,
                .retries_percent = 0,
                .least_retries = kLeastRetries};
  if (ngx_array_init(&conf->caches, cf->pool, 4, kPointerBytes) != NGX_OK ||
      ngx_array_init(&conf->passes, cf->pool, 4, sizeof(PendingPass)) != NGX_OK ||
      ngx_array_init(&conf->groups, cf->pool, 4, kPointerBytes) != NGX_OK) {
    return nullptr;
  }
  return conf;
}

char* init_main_conf(ngx_conf_t* cf, void* given) {
  auto& conf = *static_cast<MainConf*>(given);
  if (conf.pool.spare > conf.pool.max) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "slotwire_pool: spare=%ui is more than max=%ui", conf.pool.spare,
                       conf.pool.max);
    return failed();
  }
  // Workers look for a relative path in directories of their own.
  if (conf.socket.data != nullptr && (conf.socket.len == 0 || conf.socket.data[0] != '/')) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "slotwire_socket: \"%V\" is no absolute path; give that of the node's control socket, or leave "
                       "the directive out",
                       &conf.socket);
    return failed();
  }
  constexpr std::size_t kLongestSocket = sizeof(sockaddr_un::sun_path) - 1;
  if (conf.socket.len > kLongestSocket) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "slotwire_socket: the path has %uz bytes, and a socket's has %uz at most: \"%V\"",
                       conf.socket.len, kLongestSocket, &conf.socket);
    return failed();
  }
  return NGX_CONF_OK;
}

void* create_loc_conf(ngx_conf_t* cf) {
  auto* const conf = allocate<LocConf>(cf->pool);
  if (conf == nullptr) return nullptr;
  ngx_http_upstream_conf_t& upstream = conf->upstream;
  upstream.store = NGX_CONF_UNSET;
  upstream.cache = NGX_CONF_UNSET;
  for (ngx_uint_t* const value : {&upstream.store_access, &upstream.next_upstream_tries, &upstream.cache_min_uses,
                                  &conf->headers_hash_max_size, &conf->headers_hash_bucket_size}) {
    *value = NGX_CONF_UNSET_UINT;
  }
  for (ngx_flag_t* const value :
       {&upstream.buffering, &upstream.request_buffering, &upstream.ignore_client_abort, &upstream.force_ranges,
        &upstream.pass_request_headers, &upstream.pass_request_body, &upstream.intercept_errors, &upstream.cache_lock,
        &upstream.cache_revalidate, &upstream.cache_convert_head, &upstream.cache_background_update, &conf->trace}) {
    *value = NGX_CONF_UNSET;
  }
  for (ngx_msec_t* const value :
       {&upstream.connect_timeout, &upstream.send_timeout, &upstream.read_timeout, &upstream.next_upstream_timeout,
        &upstream.cache_lock_timeout, &upstream.cache_lock_age, &conf->deadline}) {
    *value = NGX_CONF_UNSET_MSEC;
  }
  for (std::size_t* const value : {&upstream.buffer_size, &upstream.limit_rate, &upstream.busy_buffers_size_conf,
                                   &upstream.max_temp_file_size_conf, &upstream.temp_file_write_size_conf}) {
    *value = NGX_CONF_UNSET_SIZE;
  }
  upstream.cache_max_range_offset = NGX_CONF_UNSET;
  for (ngx_array_t** const value : {&upstream.cache_bypass, &upstream.no_cache, &upstream.cache_valid,
                                    &upstream.hide_headers, &upstream.pass_headers, &conf->set_headers}) {
    *value = static_cast<ngx_array_t*>(NGX_CONF_UNSET_PTR);
  }
  for (ngx_http_complex_value_t** const value : {&conf->method, &conf->body}) {
    *value = static_cast<ngx_http_complex_value_t*>(NGX_CONF_UNSET_PTR);
  }
  upstream.change_buffering = 1;
  upstream.module = str_of("slotwire");
  return conf;
}

char* merge_loc_conf(ngx_conf_t* cf, void* parent, void* child) {
  auto& above = *static_cast<LocConf*>(parent);
  auto& location = *static_cast<LocConf*>(child);
  ngx_http_upstream_conf_t& conf = location.upstream;
  const ngx_http_upstream_conf_t& prev = above.upstream;
  if (conf.store > 0) conf.cache = 0;
  if (conf.cache > 0) conf.store = 0;
  if (conf.store == NGX_CONF_UNSET) {
    conf.store = prev.store == NGX_CONF_UNSET ? 0 : prev.store;
    conf.store_lengths = prev.store_lengths;
    conf.store_values = prev.store_values;
  }
  ngx_conf_merge_uint_value(conf.store_access, prev.store_access, 0600);
  ngx_conf_merge_uint_value(conf.next_upstream_tries, prev.next_upstream_tries, 0);
  ngx_conf_merge_value(conf.buffering, prev.buffering, 1);
  ngx_conf_merge_value(conf.request_buffering, prev.request_buffering, 1);
  // A body that streams goes on when the response has begun: both ways at a time.
  conf.preserve_output = conf.request_buffering == 0;
  ngx_conf_merge_value(conf.ignore_client_abort, prev.ignore_client_abort, 0);
  ngx_conf_merge_value(conf.force_ranges, prev.force_ranges, 0);
  ngx_conf_merge_value(conf.pass_request_headers, prev.pass_request_headers, 1);
  ngx_conf_merge_value(conf.pass_request_body, prev.pass_request_body, 1);
  ngx_conf_merge_value(conf.intercept_errors, prev.intercept_errors, 0);
  ngx_conf_merge_msec_value(conf.connect_timeout, prev.connect_timeout, kTimeoutMs);
  ngx_conf_merge_msec_value(conf.send_timeout, prev.send_timeout, kTimeoutMs);
  ngx_conf_merge_msec_value(conf.read_timeout, prev.read_timeout, kTimeoutMs);
  ngx_conf_merge_msec_value(conf.next_upstream_timeout, prev.next_upstream_timeout, 0);
  ngx_conf_merge_msec_value(location.deadline, above.deadline, 0);
  ngx_conf_merge_value(location.trace, above.trace, 0);
  ngx_conf_merge_size_value(conf.limit_rate, prev.limit_rate, 0);
  if (!merge_buffers(cf, conf, prev)) return failed();
  ngx_conf_merge_bitmask_value(conf.ignore_headers, prev.ignore_headers, NGX_CONF_BITMASK_SET);
  ngx_conf_merge_bitmask_value(conf.next_upstream, prev.next_upstream,
                               (NGX_CONF_BITMASK_SET | NGX_HTTP_UPSTREAM_FT_ERROR | NGX_HTTP_UPSTREAM_FT_TIMEOUT));
  if ((conf.next_upstream & NGX_HTTP_UPSTREAM_FT_OFF) != 0) {
    conf.next_upstream = NGX_CONF_BITMASK_SET | NGX_HTTP_UPSTREAM_FT_OFF;
  }
  if (ngx_conf_merge_path_value(cf, &conf.temp_path, prev.temp_path, &temp_path) != NGX_OK) return failed();
  if (!merge_cache(cf, location, above)) return failed();
  ngx_conf_merge_ptr_value(location.method, above.method, nullptr);
  ngx_conf_merge_ptr_value(location.body, above.body, nullptr);
  ngx_conf_merge_uint_value(location.headers_hash_max_size, above.headers_hash_max_size, 512);
  ngx_conf_merge_uint_value(location.headers_hash_bucket_size, above.headers_hash_bucket_size, 64);
  location.headers_hash_bucket_size = ngx_align(location.headers_hash_bucket_size, ngx_cacheline_size);
  ngx_hash_init_t hash{};
  hash.max_size = location.headers_hash_max_size;
  hash.bucket_size = location.headers_hash_bucket_size;
  hash.name = const_cast<char*>("slotwire_headers_hash");
  if (ngx_http_upstream_hide_headers_hash(cf, &conf, const_cast<ngx_http_upstream_conf_t*>(&prev),
                                          hidden_headers.data(), &hash) != NGX_OK) {
    return failed();
  }

  auto* const core =
      static_cast<ngx_http_core_loc_conf_t*>(ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));
  if (core->noname != 0 && conf.upstream == nullptr && location.service == nullptr) {  // an `if`, a limit_except
    conf.upstream = prev.upstream;
    location.service = above.service;
  }
  if (core->lmt_excpt != 0 && core->handler == nullptr && (conf.upstream != nullptr || location.service != nullptr)) {
    core->handler = handle;
  }
  ngx_conf_merge_ptr_value(location.set_headers, above.set_headers, nullptr);
  if (!make_headers(cf, location, location.headers, false)) return failed();
  if (conf.cache != 0 && !make_headers(cf, location, location.headers_cache, true)) return failed();
  return NGX_CONF_OK;
}

ngx_int_t resolve_passes(ngx_conf_t* cf) {
  auto& main = *static_cast<MainConf*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_slotwire_module));
  auto& known =
      *static_cast<ngx_http_upstream_main_conf_t*>(ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module));
  auto* const upstreams = static_cast<ngx_http_upstream_srv_conf_t**>(known.upstreams.elts);
  auto* const passes = static_cast<PendingPass*>(main.passes.elts);
  const auto find_block = [&](const ngx_str_t& name) -> ngx_http_upstream_srv_conf_t* {
    for (ngx_uint_t i = 0; i < known.upstreams.nelts; ++i) {
      const bool block = (upstreams[i]->flags & NGX_HTTP_UPSTREAM_CREATE) != 0;
      if (block && same_name(upstreams[i]->host, view_of(name))) return upstreams[i];
    }
    return nullptr;
  };
  for (ngx_uint_t i = 0; i < main.passes.nelts; ++i) {
    PendingPass& pass = passes[i];
    if (ngx_http_upstream_srv_conf_t* const block = find_block(pass.name)) {
      if (group_of(block) == nullptr) {
        ngx_log_error(
            NGX_LOG_EMERG, cf->log, 0,
            "slotwire_pass in %s:%ui names upstream \"%V\", which is not made of slotwire_service alone: remove "
            "\"server\", \"keepalive\" and load balancing methods from it, or use proxy_pass",
            pass.file_name, pass.line, &pass.name);
        return NGX_ERROR;
      }
      *pass.upstream = *block;
      continue;
    }
    if (!is_service_name(view_of(pass.name))) {
      ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "slotwire_pass in %s:%ui: \"%V\" is no name of a service: expected %s",
                    pass.file_name, pass.line, &pass.name, kServiceName);
      return NGX_ERROR;
    }
    ServiceGroup* const group = group_of_service(cf->pool, view_of(pass.name));
    auto* const place = static_cast<ServiceGroup**>(ngx_array_push(&main.groups));
    if (group == nullptr || place == nullptr) return NGX_ERROR;
    *pass.upstream = *group->upstream;
    *place = group;
  }
  return NGX_OK;
}

}  // namespace slotwire::nginx
