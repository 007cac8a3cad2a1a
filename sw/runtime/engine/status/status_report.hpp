// What a node tells about itself: the node, its links, sessions and slots. docs/operate.md says what each figure means.
#pragma once
#include <cstdint>

#include "runtime/control/codec.hpp"
#include "runtime/engine/cards/node_card.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/peers/peer_table.hpp"
#include "runtime/engine/regions/region_table.hpp"
#include "runtime/engine/services/directory.hpp"
#include "runtime/engine/services/inspections.hpp"
#include "runtime/engine/services/node_health.hpp"
#include "runtime/engine/services/process_health.hpp"
#include "runtime/engine/services/service_table.hpp"
#include "runtime/engine/sessions/session_table.hpp"
#include "runtime/engine/slots/slot_table.hpp"
#include "runtime/engine/transports/transport_set.hpp"

namespace slotwire::engine {

/// What the report is made from. All of it outlives the report.
struct StatusParts {
  const Config& config;
  const EventLoop& clock;
  Admin& admin;
  NodeCard& card;
  SessionTable& sessions;
  SlotTable& slots;
  PeerTable& peers;
  ServiceTable& services;
  const Directory& directory;
  const ProcessHealth& health;
  const NodeHealth& node_health;
  RegionTable& regions;
  TransportSet& transports;
  const UserAccounts& users;
  const PeerAccounts& accounts;
  const DescriptorStore& store;
  bool recovered = false;
  const std::uint64_t& sleeps;  ///< of the engine's thread so far
};

/// One thread.
class StatusReport {
 public:
  explicit StatusReport(StatusParts parts) : parts_(parts), started_us_(parts.clock.now_us()) {}

  control::Json node();
  /// At most control::kMaxPage rows from `from` on, and where the next page starts (-1: there is none).
  control::Json slots(std::uint64_t from, std::uint64_t max);
  control::Json sessions(std::uint64_t from, std::uint64_t max);
  /// What processes reported of their services; at most control::kMaxFigurePage processes.
  control::Json figures(std::uint64_t from, std::uint64_t max);
  /// What was found in connections to services; at most control::kMaxInspectionPage services.
  static control::Json inspections(const Inspections& found, std::uint64_t from, std::uint64_t max);

 private:
  control::Json links();
  control::Json services();
  control::Json remote_services();
  control::Json configured_services();
  control::Json counters();
  control::Json card_counters();
  control::Json card_output();
  control::Json workers();
  control::Json users();
  control::Json keeper();
  control::Json slot_row(std::uint16_t slot);

  StatusParts parts_;
  std::uint64_t started_us_;
};

}  // namespace slotwire::engine
