// What is written in [congestion], and in `congestion` of a link.
#pragma once
#include <functional>
#include <string>

#include "core/congestion/algorithm.hpp"
#include "runtime/engine/config/transport_kind.hpp"

namespace slotwire::engine {

/// Whether `host`, a numeric address, is in `network`: "10.0.0.0/8", or an address. False for what is neither.
bool network_has(const std::string& network, const std::string& host);

/// Reports what is wrong in [congestion], and what no algorithm uses. `given`: whether a key is in the file.
void check_congestion(const Config& config, const std::function<bool(const std::string&)>& given,
                      const ReportProblem& report);
/// Reports a link that may not have the algorithm that it has, or on which none decides.
void check_link_congestion(const Config& config, const LinkConfig& link, const ReportProblem& report);

/// What decides for the link.
congestion::Settings congestion_settings(const Config& config, const LinkConfig& link);

}  // namespace slotwire::engine
