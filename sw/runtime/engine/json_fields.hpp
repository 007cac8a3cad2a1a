// Fields of messages that other processes and machines wrote: of the right type and in range, or the message is
// refused.
#pragma once
#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace slotwire::engine {

/// A request that cannot be met: `code` as in docs/control.md, `text` for people.
struct Refusal {
  std::string code;
  std::string text;
};

/// A whole number that a T can hold. Throws Refusal otherwise; `name` says to people which one it is.
template <std::integral T>
T whole_number(const nlohmann::json& value, const std::string& name) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (std::in_range<T>(number)) return static_cast<T>(number);
  } else if (value.is_number_integer()) {
    const auto number = value.get<std::int64_t>();
    if (std::in_range<T>(number)) return static_cast<T>(number);
  }
  throw Refusal{"bad_request", "'" + name + "' is not a whole number in its range"};
}

/// The number `key` of an object. Throws nlohmann::json::exception when there is none, Refusal when it is not good.
template <std::integral T>
T number_at(const nlohmann::json& object, const char* key) {
  return whole_number<T>(object.at(key), key);
}

/// The same; `otherwise` when there is none.
template <std::integral T>
T number_or(const nlohmann::json& object, const char* key, T otherwise) {
  const auto found = object.find(key);
  return found == object.end() ? otherwise : whole_number<T>(*found, key);
}

}  // namespace slotwire::engine
