#include "web/nginx/words.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "core/suggestion.hpp"

namespace slotwire::nginx {
namespace {

char* failed() {
  return static_cast<char*>(NGX_CONF_ERROR);
}

/// "did you mean "X"? " or nothing.
std::string question(std::string_view near) {
  return near.empty() ? std::string() : "did you mean \"" + std::string(near) + "\"? ";
}

}  // namespace

bool take_number(std::string_view text, ngx_int_t least, ngx_int_t most, ngx_uint_t& to) {
  const ngx_str_t digits = str_of(text);
  const ngx_int_t value = ngx_atoi(digits.data, digits.len);
  if (value == NGX_ERROR || value < least || value > most) return false;
  to = static_cast<ngx_uint_t>(value);
  return true;
}

bool take_milliseconds(std::string_view text, ngx_msec_t& to) {
  ngx_str_t time = str_of(text);
  const ngx_int_t value = ngx_parse_time(&time, 0);
  if (value == NGX_ERROR) return false;
  to = static_cast<ngx_msec_t>(value);
  return true;
}

bool take_seconds(std::string_view text, time_t& to) {
  ngx_str_t time = str_of(text);
  const ngx_int_t value = ngx_parse_time(&time, 1);
  if (value == NGX_ERROR) return false;
  to = value;
  return true;
}

char* take_parameters(ngx_conf_t* cf, ngx_uint_t first, std::span<const Parameter> parameters) {
  auto* const words = static_cast<ngx_str_t*>(cf->args->elts);
  std::vector<std::string_view> names;
  std::string all;
  for (const Parameter& parameter : parameters) {
    names.push_back(parameter.name);
    all += (all.empty() ? "" : ", ") + std::string(parameter.name);
    if (parameter.expected != nullptr) all += parameter.expected;
  }
  for (ngx_uint_t i = first; i < cf->args->nelts; ++i) {
    const std::string_view word = view_of(words[i]);
    const std::string_view name =
        word.substr(0, word.find('=') == std::string_view::npos ? word.size() : word.find('=') + 1);
    const auto found =
        std::find_if(parameters.begin(), parameters.end(), [&](const Parameter& one) { return one.name == name; });
    if (found == parameters.end()) {
      // nginx adds the place in the configuration.
      ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\" of %V: %sexpected %s", &words[i], &words[0],
                         question(core::suggestion(name, names)).c_str(), all.c_str());
      return failed();
    }
    if (found->take(word.substr(name.size()))) continue;
    const ngx_str_t shown = str_of(found->name);
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\" of %V: expected %V%s", &words[i], &words[0],
                       &shown, found->expected);
    return failed();
  }
  return NGX_CONF_OK;
}

char* take_mask(ngx_conf_t* cf, ngx_command_t* command, void* conf) {
  auto* const words = static_cast<ngx_str_t*>(cf->args->elts);
  std::vector<std::string_view> names;
  std::string all;
  for (const auto* one = static_cast<ngx_conf_bitmask_t*>(command->post); one->name.len != 0; ++one) {
    names.push_back(view_of(one->name));
    all += (all.empty() ? "" : ", ") + std::string(names.back());
  }
  for (ngx_uint_t i = 1; i < cf->args->nelts; ++i) {
    const std::string_view word = view_of(words[i]);
    const bool is_known = std::any_of(names.begin(), names.end(), [&](std::string_view name) {
      return name.size() == word.size() && ngx_strncasecmp(str_of(name).data, words[i].data, name.size()) == 0;
    });
    if (is_known) continue;
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\" of %V: %sexpected %s", &words[i], &words[0],
                       question(core::suggestion(word, names)).c_str(), all.c_str());
    return failed();
  }
  return ngx_conf_set_bitmask_slot(cf, command, conf);
}

}  // namespace slotwire::nginx
