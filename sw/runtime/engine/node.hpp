// A node: its rooms, wired together. Knows no socket, signal or clock of its own: what it needs of the machine comes
// in, so that two nodes run in one test in simulated time.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>

#include "driver/card.hpp"
#include "runtime/engine/cards/node_card.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/peers/peer_table.hpp"
#include "runtime/engine/process_requests.hpp"
#include "runtime/engine/recovery.hpp"
#include "runtime/engine/regions/region_table.hpp"
#include "runtime/engine/services/connector.hpp"
#include "runtime/engine/sessions/process_hub.hpp"
#include "runtime/engine/status/capture.hpp"
#include "runtime/engine/status/status_report.hpp"
#include "runtime/engine/transports/transport_set.hpp"

namespace slotwire::engine {

/// The machine that a node runs on. All of it outlives the node.
struct NodeParts {
  const Config& config;
  EventLoop& loop;
  NodeLog& log;
  DescriptorStore& store;
  KeptDescriptors kept;  ///< what an earlier life left in the store
  Processes& processes;
  ControlNetwork& network;
  Directory& directory;
  std::shared_ptr<const carriers::TlsContext> tls;
  RandomBits random;
  /// Makes another card than the configuration says; for tests.
  std::function<std::unique_ptr<driver::Card>(Admin&, driver::CardListener&)> make_card;
};

/// One thread. start() begins to talk; until then nothing is said to anybody.
class Node final : private driver::CardListener {
 public:
  /// Opens transports and the card, and takes up an earlier life. Throws std::exception with what to do.
  explicit Node(NodeParts parts);

  /// Starts threads, listens to peers and dials them.
  void start();
  /// What was written is delivered, and every peer told: ends all sessions. Then step() until idle() or no longer.
  void stop();
  bool drained() const { return slots_->draining() == 0; }

  /// Moves lines and finishes what is drained. Returns whether there was anything to do.
  bool step(std::uint64_t now_us);
  /// What is looked at about four times a second.
  void tick();

  /// Throws ConfigError naming each user and group that does not exist.
  Policy rules_of(const Config& config) const { return Policy(config, own_uid_); }
  /// Decides by these rules from now on; connections that there are stay.
  void use_rules(Policy rules) { *policy_ = std::move(rules); }

  ProcessHub& hub() { return *hub_; }
  driver::Card& card() { return card_->card(); }
  SlotTable& slots() { return *slots_; }
  SessionTable& sessions() { return *sessions_; }
  PeerTable& peers() { return *peers_; }
  Connector& connector() { return *connector_; }
  RegionTable& regions() { return *regions_; }
  UserAccounts& users() { return users_; }
  PeerAccounts& accounts() { return accounts_; }
  /// Times that the caller slept, for the status.
  std::uint64_t& sleeps() { return sleeps_; }

 private:
  void on_fault(std::uint16_t slot, regs::Fault fault) override { slots_->faulted(slot, fault); }
  void on_output(std::uint16_t slot) override {
    if (slots_) slots_->output_changed(slot);
  }
  void on_link(std::uint16_t link, bool up, std::string_view reason) override {
    peers_->carrier_changed(link, up, reason);
  }
  bool on_card_gone(std::string_view why) override { return transports_.on_card_gone(why); }
  void open_card(NodeParts& parts);
  void open_rooms(NodeParts& parts);
  void on_session_end(Session& session, End end);

  const Config& config_;
  EventLoop& loop_;
  std::uint16_t loop_link_;
  std::uint64_t sleeps_ = 0;
  uid_t own_uid_;
  UserAccounts users_;  // both outlive all that holds something
  PeerAccounts accounts_;
  std::unique_ptr<Policy> policy_;
  Recovery recovery_;
  std::unique_ptr<Admin> admin_;
  TransportSet transports_;  // carriers outlive the card
  std::unique_ptr<PeerTable> peers_;
  std::unique_ptr<SlotTable> slots_;
  std::unique_ptr<SessionTable> sessions_;
  std::unique_ptr<ServiceTable> services_;
  std::unique_ptr<ProcessHealth> health_;
  std::unique_ptr<NodeHealth> node_health_;
  std::unique_ptr<Connector> connector_;
  std::unique_ptr<RegionTable> regions_;
  std::unique_ptr<StatusReport> status_;
  std::unique_ptr<NodeCard> card_;  // its threads end before anything goes that they use
  std::unique_ptr<Capture> capture_;
  std::unique_ptr<ProcessRequests> requests_;
  std::unique_ptr<ProcessHub> hub_;
};

}  // namespace slotwire::engine
