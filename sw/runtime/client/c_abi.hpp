// What every file of the C ABI needs: structs of other versions, and the last error.
#pragma once
#include <cstdint>
#include <cstring>

#include "runtime/client/engine_session.hpp"

namespace slotwire::client {

/// Keeps the failure's text for sw_last_error() of this thread; returns its status.
int report(const Failure& failure);

inline Failure null_pointer() {
  return {SW_INVALID, "an argument is NULL"};
}

/// Copies a struct of the caller's version: what it does not have stays at the default.
template <typename T>
T from_caller(const T* given) {
  T own{};
  if (given != nullptr) std::memcpy(&own, given, given->size < sizeof(T) ? given->size : sizeof(T));
  own.size = sizeof(T);
  return own;
}

/// Copies a struct to the caller's, no more than it has room for.
template <typename T>
void to_caller(const T& own, T* given) {
  const std::uint32_t size = given->size;
  if (size == sizeof(T)) {
    *given = own;  // the usual case, for which the compiler knows the length
  } else {
    std::memcpy(given, &own, size < sizeof(T) ? size : sizeof(T));
  }
  given->size = size;
}

}  // namespace slotwire::client
