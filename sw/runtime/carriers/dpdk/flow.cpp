#include "carriers/dpdk/flow.hpp"

namespace slotwire::carriers {

bool FlowSteering::isolate() noexcept {
  rte_flow_error error{};
  return ::rte_flow_isolate(port_, 1, &error) == 0;
}

bool FlowSteering::add_rules(const pipeline::Endpoint& own) noexcept {
  const FlowPattern udp(own), arp;
  rte_flow_attr attributes{};
  attributes.ingress = 1;
  const rte_flow_action_queue queue{0};
  const std::array<rte_flow_action, 2> actions{
      {{RTE_FLOW_ACTION_TYPE_QUEUE, &queue}, {RTE_FLOW_ACTION_TYPE_END, nullptr}}};
  for (const FlowPattern* pattern : {&udp, &arp}) {
    rte_flow_error error{};
    if (::rte_flow_create(port_, &attributes, pattern->items.data(), actions.data(), &error) != nullptr) continue;
    ::rte_flow_flush(port_, &error);
    return false;
  }
  return true;
}

void FlowSteering::lift() noexcept {
  rte_flow_error error{};
  ::rte_flow_isolate(port_, 0, &error);
}

}  // namespace slotwire::carriers
