// The words of a directive: what is expected, and which word was probably meant.
#pragma once
#include <functional>
#include <span>
#include <string_view>

#include "web/nginx/nginx.hpp"

namespace slotwire::nginx {

/// A parameter that a directive takes: "max=" with a value behind it, or a word of its own.
struct Parameter {
  std::string_view name;                       ///< with its "=", if it has one
  const char* expected;                        ///< what the value is, for people; nullptr: there is none
  std::function<bool(std::string_view)> take;  ///< sets the value; false: it is invalid
};

// Values. `to` is set only if the text is one.
bool take_number(std::string_view text, ngx_int_t least, ngx_int_t most, ngx_uint_t& to);
bool take_milliseconds(std::string_view text, ngx_msec_t& to);
bool take_seconds(std::string_view text, time_t& to);

/// Takes the words of the directive that is being read, from number `first` on (0 is its name). Says what is wrong with
/// one that is invalid, what is possible, and what was probably meant. Returns what a directive's function returns.
char* take_parameters(ngx_conf_t* cf, ngx_uint_t first, std::span<const Parameter> parameters);

/// As ngx_conf_set_bitmask_slot(), which `set` is; an unknown word is answered with the nearest one, and all.
char* take_mask(ngx_conf_t* cf, ngx_command_t* command, void* conf);

}  // namespace slotwire::nginx
