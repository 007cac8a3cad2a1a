// HTTP/1.0 and 1.1 as an inspector reads it. Nothing of a body is kept. docs/inspection.md lists what is refused.
#pragma once
#include <memory>

#include "core/inspect/parser.hpp"

namespace slotwire::inspect {

bool is_http_method_label(std::string_view label);
/// Lines are looked at as they are complete, and bytes that are in no line of HTTP at once. One empty line before a
/// request is ignored. After a request for an upgrade, and after the reply 101, the direction is not looked at any
/// more: it need not be HTTP.
std::unique_ptr<Parser> make_http_parser(Role role, const Limits& limits);

}  // namespace slotwire::inspect
