// The control connection to another engine, and the network that it is made over, as interfaces: the rooms above know
// no socket, and a test joins two engines in simulated time.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/carriers/socket.hpp"
#include "runtime/control/gate_protocol.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/result.hpp"
#include "runtime/engine/transports/session_network.hpp"

namespace slotwire::engine {

/// One connection that carries whole messages. One thread. Destroying it lets what was sent go out, and closes it.
class ControlChannel {
 public:
  enum class Sent : std::uint8_t {
    sent,      ///< taken; it goes out as the connection allows
    too_long,  ///< above the limit that both ends agreed on: this side's fault
    no_room,   ///< the peer does not read
    closed,    ///< see reason()
  };

  virtual ~ControlChannel() = default;
  /// Sends a message, as far as that goes without waiting; the rest follows by itself.
  virtual Sent send(std::string_view message) = 0;
  /// The next whole message; none now, or none any more.
  virtual std::optional<std::string> next() = 0;
  /// No further message will come.
  virtual bool closed() const = 0;
  /// Why it is closed, for people.
  virtual std::string reason() const = 0;
  /// It is closed since the peer's certificate does not hold any more.
  virtual bool revoked() const { return false; }
  /// Calls `ready` from the event loop when next() or closed() may have something new. `ready` may destroy the channel.
  virtual void on_ready(std::function<void()> ready) = 0;
};

class ControlNetwork {
 public:
  /// A peer connected, and says it is `hello.node`; where connections are protected its certificate names that node.
  using OnCaller = std::function<void(std::unique_ptr<ControlChannel> channel, const control::PeerHello& hello,
                                      const carriers::Address& from)>;
  /// Addresses of a host, with port 0, at least one.
  using OnAddresses = std::function<void(const Result<std::vector<carriers::Address>>& found)>;

  virtual ~ControlNetwork() = default;
  /// Begins to accept; once.
  virtual void listen(OnCaller on_caller) = 0;
  /// Looks the peer's host up and starts to connect; the channel closes itself if it is not open after `timeout_us`.
  /// Throws std::exception.
  virtual std::unique_ptr<ControlChannel> dial(const LinkConfig& link, std::uint64_t timeout_us) = 0;
  /// Looks a host up and calls `found` from the event loop, or before it returns. Not at all once the network is
  /// destroyed.
  virtual void resolve(const std::string& host, OnAddresses found) = 0;
  /// Sessions over HTTP that come with it; null: none.
  virtual SessionNetwork* sessions() { return nullptr; }
  /// How connections are protected, for people: " (TLS 1.3)" or nothing.
  virtual std::string_view protection() const = 0;
  /// For the status.
  virtual control::Json report() const { return control::Json::object(); }
};

}  // namespace slotwire::engine
