// The control connection to another engine, and the network that it is made over, as interfaces: the rooms above know
// no socket, and a test joins two engines in simulated time.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/carriers/socket.hpp"
#include "runtime/engine/config/config.hpp"

namespace slotwire::engine {

/// One connection that carries whole messages. One thread.
class ControlChannel {
 public:
  enum class Sent : std::uint8_t {
    sent,      ///< taken; it goes out as the connection allows
    too_long,  ///< above the limit that both ends agreed on: this side's fault
    no_room,   ///< the peer does not read
    closed,    ///< see reason()
  };

  virtual ~ControlChannel() = default;
  /// Sends a message, as far as that goes without waiting.
  virtual Sent send(std::string_view message) = 0;
  /// The next whole message; none now, or none any more.
  virtual std::optional<std::string> next() = 0;
  /// Goes on with connecting, handshake and sending.
  virtual void drive(std::uint64_t now_us) = 0;
  virtual bool closed() const = 0;
  /// Why it is closed, for people.
  virtual std::string reason() const = 0;
  /// -1 when closed; else to be watched for events().
  virtual int fd() const = 0;
  virtual std::uint32_t events() const = 0;
  /// Whether the peer has proved to be `node`; true where nothing is proved at all.
  virtual bool peer_is(const std::string& node) const = 0;
};

class ControlNetwork {
 public:
  struct Incoming {
    std::unique_ptr<ControlChannel> channel;
    carriers::Address from;
  };

  virtual ~ControlNetwork() = default;
  /// Starts to connect; the channel closes itself if it is not open by `deadline_us`. Throws std::exception.
  virtual std::unique_ptr<ControlChannel> dial(const LinkConfig& link, std::uint64_t deadline_us) = 0;
  /// Readable when accept() has somebody; -1: nobody is listened for.
  virtual int fd() const = 0;
  virtual std::optional<Incoming> accept(std::uint64_t deadline_us) = 0;
  /// How connections are protected, for people: " (TLS 1.3)" or nothing.
  virtual std::string_view protection() const = 0;
};

}  // namespace slotwire::engine
