// Sessions that carry frames of links over HTTP, held by another process; as an interface, so that a test can bring its
// own.
#pragma once
#include <cstddef>
#include <span>
#include <string>

#include "core/slot/memory.hpp"
#include "runtime/control/gate_protocol.hpp"
#include "runtime/engine/config/config.hpp"

namespace slotwire::engine {

/// Whose links sessions carry. Called from the event loop. A token is known to the two nodes of its link alone.
class SessionOwner {
 public:
  virtual ~SessionOwner() = default;
  /// There is a link of that token, which takes frames over a session now. Strangers guess tokens: it is asked before
  /// anything is made.
  virtual bool wants_session(std::span<const std::byte> token) const = 0;
  /// A session is up: `frames` is this node's end of the socket for its frames, `what` describes it to people.
  virtual void take_session(std::span<const std::byte> token, slot::Fd frames, const std::string& what) = 0;
  /// Why the session of that token is not up, for people.
  virtual void session_trouble(std::span<const std::byte> token, const std::string& why) = 0;
  /// How the session of that token travels from now on: over a WebSocket, or by requests and why.
  virtual void session_way(std::span<const std::byte> token, const control::GateSessionWay& way) = 0;
};

/// One thread.
class SessionNetwork {
 public:
  virtual ~SessionNetwork() = default;
  /// Whom sessions belong to; once, before keep_session(). The owner outlives the network's last call.
  virtual void serve_sessions(SessionOwner& owner) = 0;
  /// Keeps a session to the peer open from now on, by the URLs of `link.http`. Control connections to the peer can go
  /// over it, too. Throws std::exception with what is wrong in the configuration of [http].
  virtual void keep_session(const LinkConfig& link, std::span<const std::byte> token) = 0;
};

}  // namespace slotwire::engine
