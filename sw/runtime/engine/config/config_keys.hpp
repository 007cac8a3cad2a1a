// The one table of all configuration keys: it parses, checks, gives defaults and writes docs/configuration.md.
// Private to the engine's configuration code.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/engine/config/config.hpp"

namespace slotwire::engine {

/// What a key's value is written as.
enum class Kind : std::uint8_t {
  text,
  path,
  node_name,
  service_name,
  service_pattern,
  size,
  power_size,  ///< a size that is a power of two
  duration,
  count,
  boolean,
  mode,
  listen_address,
  peer_address,
  choice,
  transport,       ///< name of a transport
  cpu_list,        ///< numbers of CPUs
  text_list,       ///< texts that are not empty
  node_list,       ///< node names
  node_patterns,   ///< node names or "*"
  principal_list,  ///< user or group names, numbers, or "*"
};

template <class T>
using Field = T& (*)(Config&);

/// Where a value goes. For a key of a repeated table that is the last element of its list. A choice goes to a function
/// of the position in the key's `choices`.
using Target =
    std::variant<Field<std::string>, Field<std::uint32_t>, Field<std::uint64_t>, Field<bool>,
                 Field<std::chrono::microseconds>, Field<std::optional<HostPort>>, Field<std::vector<std::string>>,
                 Field<std::vector<std::uint32_t>>, void (*)(Config&, std::size_t)>;

struct Key {
  std::string_view section;
  std::string_view name;
  Kind kind;
  bool required;
  std::string_view standard;  ///< default, as it is written in TOML; empty: none, or worked out (see `otherwise`)
  std::uint64_t min;          ///< count: number; size: bytes; duration: us; lists: entries. Both 0: no range
  std::uint64_t max;
  std::string_view choices;    ///< "a|b|c"
  std::string_view otherwise;  ///< the default in words where it is not a fixed value
  std::string_view text;       ///< one sentence or two for the reference
  Target target;
};

struct Section {
  std::string_view name;
  bool repeated;  ///< [[name]]
  std::string_view text;
  void (*append)(Config&, Position);  ///< repeated: adds the element that the keys' targets mean
};

std::span<const Section> config_sections();
std::span<const Key> config_keys();
const Key* find_key(std::string_view section, std::string_view name);
std::vector<std::string_view> split_choices(std::string_view choices);

/// "a size of 4KiB to 2MiB, a power of two": what is expected, for messages and the reference.
std::string describe_expected(const Key& key);

}  // namespace slotwire::engine
