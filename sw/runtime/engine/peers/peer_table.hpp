// The peers of a node: the control connection to each, from dialling and hello to its loss and the next try.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/control/codec.hpp"
#include "runtime/engine/admin/admin.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/peers/control_channel.hpp"
#include "runtime/engine/slots/slot_table.hpp"
#include "runtime/engine/transports/transport_set.hpp"

namespace slotwire::engine {

/// One peer node and the link to it.
struct Peer {
  LinkInfo link;
  Transport* transport = nullptr;
  std::unique_ptr<ControlChannel> control;
  bool control_up = false;  ///< hellos were exchanged
  bool carrier_up = false;
  std::uint64_t incarnation = 0;  ///< of the peer's admin memory; 0: not known yet
  std::string reason = "not connected yet";
  std::uint64_t backoff_us = 0;
  carriers::Address host;      ///< that the control connection came from, without a port; over HTTP: none
  carriers::Address held_off;  ///< a peer that dials from here is turned away until not_before_us
  std::uint64_t not_before_us = 0;
  std::optional<EventLoop::TimerId> retry;
  std::uint64_t heard_us = 0;
  std::uint64_t pinged_us = 0;
  std::uint64_t up_us = 0;      ///< when the control connection came up
  std::uint64_t usable_us = 0;  ///< when the link was usable last; at first, when this slotwired began
  std::set<std::pair<std::uint16_t, std::uint16_t>> synced;  ///< (own slot, epoch) that the peer says it has
  bool sync_ended = false;                                   ///< it has said all of that on this connection
  std::uint64_t control_connects = 0;
  std::string complaint;          ///< of the transport, as the log has it
  std::uint64_t refused = 0;      ///< messages that ended its connection
  bool more = false;              ///< messages wait for their turn
  bool waits = false;             ///< its messages wait until the link has a route
  std::uint64_t route_asked = 0;  ///< number of the latest question for its data addresses

  const std::string& name() const { return link.config->peer; }
  bool usable() const { return carrier_up && control_up; }
};

/// What a peer asks of the connections between processes. Called from within message handling; throws Refusal for what
/// breaks the rules.
class OpenHandler {
 public:
  virtual ~OpenHandler() = default;
  virtual void on_open(const Peer& peer, const control::Open& message) = 0;
  virtual void on_opened(const Peer& peer, const control::Opened& message) = 0;
  virtual void on_refused(const Peer& peer, const control::Refused& message) = 0;
  /// The control connection was lost: what waits for an answer gets none.
  virtual void on_peer_lost(const Peer& peer, const std::string& text) = 0;
  /// The peer asks how services are here, or answers this question, or tells of the process at its end of a pairing.
  virtual void on_ask_health(const Peer& /*peer*/, const control::AskHealth& /*question*/) {}
  virtual void on_health(const Peer& /*peer*/, const control::HealthAnswer& /*answer*/) {}
  virtual void on_slot_health(const Peer& /*peer*/, const control::SlotHealth& /*message*/) {}
  /// The peer closes what it had opened, perhaps before it was answered.
  virtual void on_given_up(const Peer& /*peer*/, const control::PeerClose& /*close*/) {}
};

/// What the peer table needs. All of it outlives the table.
struct PeerParts {
  const Config& config;
  Admin& admin;
  EventLoop& loop;
  NodeLog& log;
  TransportSet& transports;
  ControlNetwork& network;
};

/// One thread. Outlived by the network, which may call it as long as it lives. Peers are numbered by their links,
/// 0..limits.links-1; a number stays a peer's as long as admin memory lives.
class PeerTable final : public CloseTeller {
 public:
  /// Numbers the links of the configuration. Throws std::runtime_error when they do not fit.
  explicit PeerTable(PeerParts parts);

  /// The rooms that peers talk to; before start().
  void use(SlotTable& slots, OpenHandler& opens);
  /// Listens, and dials where this node dials.
  void start();
  /// No further tries.
  void stop() { stopping_ = true; }
  /// Pings (one a second), silence, keys; about four times a second.
  void tick();
  /// Says what is due for the keys of all encrypted links.
  void tend_keys();

  Peer* find(std::string_view node);
  Peer* at(std::uint16_t link) { return link < peers_.size() ? peers_[link].get() : nullptr; }
  const Peer* at(std::uint16_t link) const { return link < peers_.size() ? peers_[link].get() : nullptr; }
  std::span<const std::unique_ptr<Peer>> all() const { return peers_; }
  std::vector<LinkInfo> links_of(std::string_view transport) const;

  /// Does nothing while the control connection is down.
  void send(std::uint16_t link, const control::PeerMessage& message);
  /// The carrier of a link came up or went down.
  void carrier_changed(std::uint16_t link, bool up, std::string_view reason);
  /// Microseconds that the link has been down; 0: it is usable.
  void pass_over_standstill(std::uint64_t now);
  std::uint64_t down_us(const Peer& peer) const { return peer.usable() ? 0 : parts_.loop.now_us() - peer.usable_us; }
  const ControlNetwork& network() const { return parts_.network; }
  /// Drops the connections of the link; they come back by themselves.
  void cut(Peer& peer);
  /// Tells one session about every link that it has slots on.
  void tell_links(std::uint32_t session);

  // CloseTeller
  void tell_close(std::uint16_t link, const control::PeerClose& close) override { send(link, close); }
  bool can_tell(std::uint16_t link) const override {
    const Peer* const peer = at(link);
    return peer == nullptr || peer->control_up;
  }
  bool usable(std::uint16_t link) const override {
    const Peer* const peer = at(link);
    return peer != nullptr && peer->usable();
  }

 private:
  std::uint16_t number_of(const std::string& peer);
  void dial(Peer& peer);
  void hold_off(Peer& peer, std::uint64_t now_us);
  void retry_later(Peer& peer);
  void introduce(std::unique_ptr<ControlChannel> channel, const control::PeerHello& hello,
                 const carriers::Address& from);
  /// Why this node does not take the caller; empty: it does.
  std::string objection(const control::PeerHello& hello);
  void say_hello(Peer& peer, const carriers::Address& to);
  void adopt(Peer& peer, std::unique_ptr<ControlChannel> channel);
  void on_ready(std::uint16_t link);
  void look_at_complaint(Peer& peer);
  void look_at_absence(Peer& peer);
  template <class Action>
  void guard(Peer& peer, const Action& action);
  void handle(Peer& peer, const std::string& text);
  void take_hello(Peer& peer, const control::PeerHello& hello, const carriers::Address& from);
  void find_route(Peer& peer, const control::PeerHello& hello, const carriers::Address& from);
  bool look_up(Peer& peer, const control::PeerHello& hello, const carriers::Address& from, std::vector<HostPort> done);
  void take_addresses(Peer& peer, const control::PeerHello& hello, const carriers::Address& from,
                      const std::vector<HostPort>& done, const Result<std::vector<carriers::Address>>& found);
  void route(Peer& peer, const control::PeerHello& hello, const carriers::Address& from);
  void check_slot(std::int64_t slot, std::string_view message) const;
  void dispatch(Peer& peer, const control::PeerMessage& message);
  /// `by_itself`: who connected from there has ended it, or has broken the rules.
  void lost(Peer& peer, const std::string& why, bool by_itself = true);
  void refuse(Peer& peer, const std::string& why);
  void shut_out(Peer& peer, const std::string& why);
  void send_sync(Peer& peer);
  void take_sync(Peer& peer, const control::Sync& message);
  void restart_keys(Peer& peer);
  void tend_keys(Peer& peer);
  void take_key(Peer& peer, const control::Key& message);
  void take_key_taken(Peer& peer, const control::KeyTaken& message);
  control::LinkEvent event_of(const Peer& peer) const { return {peer.name(), peer.usable(), peer.reason}; }

  PeerParts parts_;
  std::vector<std::unique_ptr<Peer>> peers_;  ///< by link number; holes are null
  std::uint64_t ticked_us_ = 0;
  SlotTable* slots_ = nullptr;
  OpenHandler* opens_ = nullptr;
  bool stopping_ = false;
};

}  // namespace slotwire::engine
