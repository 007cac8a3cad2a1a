// The Redis protocol as an inspector reads it: RESP2 and RESP3, and the inline commands of people.
#pragma once
#include <memory>

#include "core/inspect/parser.hpp"

namespace slotwire::inspect {

/// Requests are arrays of bulk strings or inline commands; replies any type but the streamed ones, which no server
/// sends. Strings are skipped, not kept.
bool is_redis_command_label(std::string_view label);
std::unique_ptr<Parser> make_redis_parser(Role role, const Limits& limits);

}  // namespace slotwire::inspect
