// What is written in [http] and in `link.http`: URLs, networks, and the contradictions among the keys of [http].
#pragma once
#include <string>
#include <string_view>

#include "runtime/engine/config/transport_kind.hpp"

namespace slotwire::engine {

/// Whether `text` is `http://host[:port][/path]`, or the same with https: what every HTTP client takes.
bool valid_url(std::string_view text);
/// Whether `text` is an address or a network: "192.0.2.7", "10.0.0.0/8", "2001:db8::/32".
bool valid_network(const std::string& text);

/// Reports what is wrong in [http].
void check_http(const Config& config, const ReportProblem& report);
/// Reports what is wrong in the URLs of one link.
void check_urls(const LinkConfig& link, const ReportProblem& report);

}  // namespace slotwire::engine
