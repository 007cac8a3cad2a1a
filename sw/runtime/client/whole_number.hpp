// Numbers in what the engine says: whole and in range, or the message is not understood.
#pragma once
#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

namespace slotwire::client {

/// A whole number that a T can hold. Throws nlohmann::json::type_error otherwise.
template <std::integral T>
T whole_number(const nlohmann::json& value) {
  if (value.is_number_unsigned()) {
    if (const auto number = value.get<std::uint64_t>(); std::in_range<T>(number)) return static_cast<T>(number);
  } else if (value.is_number_integer()) {
    if (const auto number = value.get<std::int64_t>(); std::in_range<T>(number)) return static_cast<T>(number);
  }
  constexpr int kWrongType = 302;  // the library's own number for it
  throw nlohmann::json::type_error::create(kWrongType, "a number is not whole or not in its range", &value);
}

/// The number `key` of an object; `otherwise` when there is none. Throws as above.
template <std::integral T>
T number_or(const nlohmann::json& object, const char* key, T otherwise) {
  const auto found = object.find(key);
  return found == object.end() ? otherwise : whole_number<T>(*found);
}

}  // namespace slotwire::client
