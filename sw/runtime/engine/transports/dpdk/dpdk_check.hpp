// What a configuration may not say of DPDK.
#pragma once
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/config/transport_kind.hpp"

namespace slotwire::engine {

void check_dpdk_node(const Config& config, const ReportProblem& report);
void check_dpdk_link(const Config& config, const LinkConfig& link, const ReportProblem& report);

}  // namespace slotwire::engine
