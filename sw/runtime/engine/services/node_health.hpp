// The health of services on other nodes: of those that several nodes serve, each node is asked regularly.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/control/messages.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/peers/peer_table.hpp"
#include "runtime/engine/services/health_count.hpp"

namespace slotwire::engine {

/// One service on one other node, as it was heard of last.
struct RemoteHealth {
  HealthCount count;
  bool waiting = false;         ///< asked, and not answered yet
  bool known = false;           ///< an answer has come
  std::uint32_t processes = 0;  ///< that serve it there
  std::uint32_t well = 0;
};

/// One thread. Asks about services that processes here have connected to, `health.services` at most; the one that was
/// used longest ago makes room. A node that has never answered (an earlier release) counts as well.
class NodeHealth {
 public:
  NodeHealth(const Config& config, EventLoop& loop, NodeLog& log, PeerTable& peers)
      : config_(config), loop_(loop), log_(log), peers_(peers) {}

  /// A process connects to a service of several nodes.
  void use(const std::string& service, std::span<const std::string> nodes);
  /// Asks; about four times a second.
  void tick();
  /// Throws Refusal when the peer owes no answer on this control connection.
  void on_health(const Peer& peer, const control::HealthAnswer& answer);
  /// Its control connection ended, and what was asked over it.
  void on_peer_lost(const Peer& peer) { owed_.erase(peer.link.index); }

  /// Whether no new connection should go there while another node is well.
  bool is_failing(const std::string& service, const std::string& node) const;
  void each(std::size_t most,
            const std::function<void(const std::string& service, const std::string& node, const RemoteHealth& health)>&
                show) const;

 private:
  struct Service {
    std::uint64_t used = 0;  ///< the higher the later
    std::map<std::string, RemoteHealth, std::less<>> nodes;
  };

  void note(const std::string& service, const std::string& node, RemoteHealth& health, bool good);
  void ask(const Peer& peer, const std::vector<std::string>& services);
  void send(const Peer& peer, const control::AskHealth& message);

  const Config& config_;
  EventLoop& loop_;
  NodeLog& log_;
  PeerTable& peers_;
  std::map<std::string, Service, std::less<>> services_;
  std::map<std::uint16_t, std::uint64_t> owed_;  ///< answers to come, by link; one to each question, in order
  std::uint64_t uses_ = 0;
  std::uint64_t next_us_ = 0;
};

}  // namespace slotwire::engine
