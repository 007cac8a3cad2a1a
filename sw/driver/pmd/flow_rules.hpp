// rte_flow on the rules of a card's classifier. What the classifier cannot compare or do is refused, never left out.
#pragma once
#include <rte_flow.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "driver/pmd/queue_client.hpp"

/// A flow of an application, as DPDK names it.
struct rte_flow {
  slotwire::regs::ClassifierRule rule{};
  std::uint32_t priority = 0;
};

namespace slotwire::driver::pmd {

/// Writes the rule for a flow to one of `queues` queues. 0, or a negative errno with `error` set.
int translate(const rte_flow_attr& attr, const rte_flow_item* pattern, const rte_flow_action* actions,
              std::uint32_t queues, regs::ClassifierRule& rule, rte_flow_error* error);

/// The flows of a port in the order in which the card compares them: by priority, then by age.
/// Thread rules: one thread at a time.
class FlowTable {
 public:
  explicit FlowTable(QueueClient& card) : card_(card) {}

  /// Null with `error` set: the card has no room for it or did not take it, and the flows are as before.
  rte_flow* add(const regs::ClassifierRule& rule, std::uint32_t priority, rte_flow_error* error);
  /// 0, or a negative errno with `error` set.
  int remove(const rte_flow* flow, rte_flow_error* error);
  int remove_all(rte_flow_error* error);
  std::size_t size() const { return flows_.size(); }

 private:
  int write(std::size_t index);

  QueueClient& card_;
  std::vector<std::unique_ptr<rte_flow>> flows_;
};

}  // namespace slotwire::driver::pmd
