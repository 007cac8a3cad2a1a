// A key with so many parts that reading it would use up the stack: found before the TOML parser sees it.
#pragma once
#include <cstddef>
#include <optional>
#include <string_view>

#include "runtime/engine/config/config.hpp"

namespace slotwire::engine {

/// Parts of a dotted key, or of a table's name, at most. toml++ 3.3 makes a table within a table for each and has no
/// limit of its own; it limits nested arrays and inline tables to 256.
inline constexpr std::size_t kMaxKeyParts = 16;

/// Where the first key with more parts is in `text`, which may be anything. Only its length bounds the time.
std::optional<Position> deep_key(std::string_view text);

}  // namespace slotwire::engine
