// Connections between processes: who serves a service, whether it may be connected to, and the pairing of the two
// slots, on this node or with another one.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/control/codec.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/peers/peer_table.hpp"
#include "runtime/engine/services/directory.hpp"
#include "runtime/engine/services/inspections.hpp"
#include "runtime/engine/services/node_health.hpp"
#include "runtime/engine/services/policy.hpp"
#include "runtime/engine/services/process_health.hpp"
#include "runtime/engine/services/service_table.hpp"
#include "runtime/engine/sessions/session_table.hpp"
#include "runtime/engine/slots/slot_table.hpp"

namespace slotwire::engine {

/// What the connector needs. All of it outlives the connector.
struct ConnectorParts {
  const Config& config;
  EventLoop& loop;
  NodeLog& log;
  SessionTable& sessions;
  SlotTable& slots;
  PeerAccounts& accounts;  ///< of peers
  PeerTable& peers;
  ServiceTable& services;
  Policy& policy;
  Directory& directory;
  ProcessHealth& health;
  NodeHealth& node_health;
  bool recovered = false;  ///< an earlier life was taken up: its processes may be about to come back
};

/// One thread.
class Connector final : public OpenHandler {
 public:
  explicit Connector(ConnectorParts parts);

  /// A process serves a service. Throws Refusal.
  void serve(Session& session, const control::Serve& request);
  void unserve(Session& session, const control::Unserve& request);
  /// What a process found in connections to what it serves. Throws Refusal.
  void inspected(const Session& session, const control::Inspected& found);
  const Inspections& inspections() const { return inspections_; }
  /// A process connects to a service. Answered at once, or when the other node has answered. Throws Refusal.
  void connect(Session& session, std::uint64_t request_id, const control::Connect& request);
  /// Connections of processes here that wait for another node.
  std::size_t pending() const { return opens_.size(); }
  /// Connections of other nodes that wait for the keeper.
  std::size_t waiting() const { return late_opens_.size(); }

  void on_open(const Peer& peer, const control::Open& message) override;
  void on_opened(const Peer& peer, const control::Opened& message) override;
  void on_refused(const Peer& peer, const control::Refused& message) override;
  void on_peer_lost(const Peer& peer, const std::string& text) override;
  void on_given_up(const Peer& peer, const control::PeerClose& close) override;

  void on_ask_health(const Peer& peer, const control::AskHealth& question) override;
  void on_health(const Peer& peer, const control::HealthAnswer& answer) override;
  void on_slot_health(const Peer& peer, const control::SlotHealth& message) override;

  /// The keeper has answered: what waited for it is tried again.
  void on_store_ready();
  /// About four times a second.
  void tick();

 private:
  /// Orders of the two rings of a connection, of its opener's.
  struct Rings {
    unsigned in = 0;
    unsigned out = 0;
    bool larger = false;  ///< than the node's default, because there was room
  };

  /// A connect of a process here that waits for another node.
  struct PendingOpen {
    std::uint32_t session = 0;
    std::uint64_t session_id = 0;
    std::uint64_t request_id = 0;
    std::uint16_t slot = 0;
    std::uint16_t link = 0;
    std::uint16_t epoch = 0;
    FirstPositions first;
    control::Connect request;
    Rings rings;
    std::uint64_t deadline_us = 0;
    EventLoop::TimerId timer;
    UserAccounts::Charge charge{};
    PeerAccounts::OpenCharge peer_charge{};
  };

  /// An open of another node that waits for the keeper.
  struct LateOpen {
    std::uint16_t link = 0;
    control::Open message;
    std::uint64_t since_us = 0;
    std::string why;
    PeerAccounts::OpenCharge charge{};
  };
  /// Descriptors of a slot, to be handed to a process.
  struct Parcel {
    std::vector<slot::Fd> temporary;
    std::vector<int> fds;
  };

  /// Whom a search takes: those that are well first, and any of them when none is.
  enum class Search : std::uint8_t { well, any };
  Session* serving(const std::string& service, Search search);
  Session* serving(const std::string& service);
  Refusal nobody_serves(const std::string& service) const;
  bool coming_back() const;
  Refusal still_coming_back() const;
  unsigned ring_order(std::uint64_t bytes) const;
  std::uint64_t bulk_bytes(const Session& session) const;
  Rings rings_for(const Session& session, const control::Connect& request) const;
  /// What has to be tried again with rings of the node's default, because either node has no memory for larger ones.
  static bool lacks_memory(const Refusal& refusal, const Rings& rings);
  void connect_here(Session& from, Session& to, std::uint64_t request_id, const std::string& service,
                    const Rings& rings, Isolation isolation);
  void connect_there(Session& from, const Peer& peer, std::uint64_t request_id, const control::Connect& request,
                     const Rings& rings);
  bool opened_smaller(PendingOpen& open, const Peer& peer, const Refusal& refusal);
  void accept(const Peer& peer, const control::Open& message);
  std::optional<PendingOpen> take_pending(const Peer& peer, std::uint64_t id);
  void late(std::uint64_t id);
  void abandoned(std::uint16_t slot, End end);
  void tell_peer_closed(const PendingOpen& open, End reason);
  void refuse(const PendingOpen& open, const Refusal& refusal);
  bool deliver(Session& session, const std::string& text, std::uint16_t slot);
  std::optional<Parcel> pack(std::uint16_t slot);
  control::SlotInfo accepted_slot(std::uint16_t slot);
  void open_for(const Peer& peer, const control::Open& message, std::uint64_t since_us);
  void wait_for_store(const Peer& peer, const control::Open& message, std::uint64_t since_us, const StoreLate& late);
  Refusal all_are_pending() const;
  void refuse_open(const Peer& peer, const control::Open& message, const Refusal& refusal);

  void remember_given_up(std::uint64_t id, std::uint16_t link);

  ConnectorParts parts_;
  Inspections inspections_;
  std::map<std::string, std::size_t> turns_;  ///< connects to services of the directory that are spread
  std::uint64_t started_us_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, PendingOpen> opens_;
  /// Links of opens that were given up, whose answers may be on their way yet; at most limits.pending_opens.
  std::map<std::uint64_t, std::uint16_t> given_up_;
  std::uint64_t forgotten_id_ = 0;  ///< up to this one it is not known any more which were given up
  std::vector<LateOpen> late_opens_;
};

}  // namespace slotwire::engine
