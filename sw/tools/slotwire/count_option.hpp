// An option that says how many: from 1 on. One that is left out is not the same as 0, and none is below it.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

namespace slotwire::cli {

inline CLI::Option* add_count(CLI::App& sub, const std::string& name, std::uint64_t& value, const std::string& text) {
  return sub.add_option(name, value, text)
      ->check([](const std::string& given) -> std::string {
        const bool digits = !given.empty() && given.find_first_not_of("0123456789") == std::string::npos;
        if (digits && given.find_first_not_of('0') != std::string::npos) return {};
        return "'" + given + "' is no number from 1 on";
      })
      ->type_name("N");
}

}  // namespace slotwire::cli
