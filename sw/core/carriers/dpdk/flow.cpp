#include "core/carriers/dpdk/flow.hpp"

namespace slotwire::carriers {

bool FlowSteering::isolate() noexcept {
  rte_flow_error error{};
  return ::rte_flow_isolate(port_, 1, &error) == 0;
}

bool FlowSteering::add_rule(const FlowPattern& pattern, std::size_t queue) noexcept {
  rte_flow_attr attributes{};
  attributes.ingress = 1;
  const rte_flow_action_queue to{static_cast<std::uint16_t>(queue)};
  const std::array<rte_flow_action, 2> actions{
      {{RTE_FLOW_ACTION_TYPE_QUEUE, &to}, {RTE_FLOW_ACTION_TYPE_END, nullptr}}};
  rte_flow_error error{};
  return ::rte_flow_create(port_, &attributes, pattern.items.data(), actions.data(), &error) != nullptr;
}

bool FlowSteering::add_rules(const pipeline::Endpoint& own, std::uint16_t vlan, std::size_t queues) noexcept {
  bool all = add_rule(FlowPattern(vlan), 0);
  pipeline::Endpoint to = own;
  for (std::size_t queue = 0; all && queue < queues; ++queue, ++to.port) all = add_rule(FlowPattern(to, vlan), queue);
  rte_flow_error error{};
  if (!all) ::rte_flow_flush(port_, &error);
  return all;
}

void FlowSteering::lift() noexcept {
  rte_flow_error error{};
  ::rte_flow_isolate(port_, 0, &error);
}

}  // namespace slotwire::carriers
