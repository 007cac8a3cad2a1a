// HTTP/1.0 and 1.1 as an inspector reads it. Boost.Beast parses; nothing of a body is kept.
#pragma once
#include <memory>

#include "core/inspect/parser.hpp"

namespace slotwire::inspect {

/// Refuses what Beast refuses (among it two framings of one body), CONNECT, versions other than 1.0 and 1.1, and what
/// is beyond the limits. After a request for an upgrade, and after the reply 101, the direction is not looked at any
/// more: it need not be HTTP.
bool is_http_method_label(std::string_view label);
std::unique_ptr<Parser> make_http_parser(Role role, const Limits& limits);

}  // namespace slotwire::inspect
