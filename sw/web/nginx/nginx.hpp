// nginx's headers, which are C, and what this module needs to say about them in C++.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" {
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_http.h>

extern ngx_module_t ngx_http_slotwire_module;
}

namespace slotwire::nginx {

inline std::string_view view_of(const ngx_str_t& text) {
  return {reinterpret_cast<const char*>(text.data), text.len};
}

/// A string of nginx that nobody writes to.
inline ngx_str_t str_of(std::string_view text) {
  return {text.size(), reinterpret_cast<u_char*>(const_cast<char*>(text.data()))};
}

/// A copy in `pool`; `data` is null when there is no memory.
ngx_str_t copy_of(ngx_pool_t* pool, std::string_view text);

template <typename T>
T* allocate(ngx_pool_t* pool) {
  return static_cast<T*>(ngx_pcalloc(pool, sizeof(T)));
}

}  // namespace slotwire::nginx
