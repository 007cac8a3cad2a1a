// slotwired's side of the sessions over HTTP that its gate holds.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "runtime/control/gate_protocol.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/transports/session_network.hpp"

namespace slotwire::engine {

/// One thread.
class GateSessions final : public SessionNetwork {
 public:
  /// Sends a packet to the gate, with a descriptor if it is not negative. Nothing is sent while there is no gate.
  using Send = std::function<void(const control::GatePacket& packet, int descriptor)>;

  GateSessions(const Config& config, NodeLog& log, Send send) : config_(config), log_(log), send_(std::move(send)) {}

  void serve_sessions(SessionOwner& owner) override { owner_ = &owner; }
  void keep_session(const LinkConfig& link, std::span<const std::byte> token) override;

  /// There is a new gate, which knows nothing.
  void tell_all();
  // What the gate says. False: it breaks the protocol, and `broken` says how.
  bool take_up(const control::GatePacket& packet, std::string& broken);
  bool take_trouble(const control::GatePacket& packet, std::string& broken);
  bool take_way(const control::GatePacket& packet, std::string& broken) const;

 private:
  struct Kept {
    control::GateSession session;
    std::vector<std::byte> token;
    std::set<std::string> logged;  ///< reasons of its trouble since it was up
  };

  const Config& config_;
  NodeLog& log_;
  Send send_;
  SessionOwner* owner_ = nullptr;
  std::map<std::uint32_t, Kept> kept_;
  std::map<std::uint32_t, std::vector<std::byte>> accepted_;  ///< sessions of peers that are up: their tokens
};

}  // namespace slotwire::engine
