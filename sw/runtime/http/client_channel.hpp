// The client's end of a WebSocket to the server of a Client, through whatever proxies lie on the way: messages in both
// directions. libcurl makes the connection, Boost.Beast speaks WebSocket over it.
#pragma once
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>

#include "runtime/http/client.hpp"

namespace slotwire::http {

struct ChannelOptions {
  std::size_t message_bytes = std::size_t{1} << 20U;  ///< of the longest message that is taken
  /// Of messages that wait to be written; send() refuses more.
  std::size_t queue_bytes = std::size_t{4} << 20U;
  /// Of what answers the upgrade.
  std::size_t answer_bytes = std::size_t{64} << 10U;
  /// From the beginning until the server has answered a ping.
  std::chrono::microseconds open_time{10'000'000};
  std::chrono::microseconds write_time{60'000'000};  ///< for the other end to take a whole message
  /// Without anything from the server; half of it after the last frame a ping is sent.
  std::chrono::microseconds idle_time{40'000'000};
};

/// Called from the loop. The channel must not be destroyed within a call.
class ClientChannelHandler {
 public:
  virtual ~ClientChannelHandler() = default;
  /// The server has answered a ping: frames pass both ways.
  virtual void on_channel_open() = 0;
  virtual void on_channel_message(std::span<const std::byte> message) = 0;
  /// A message was written: queued() is less than it was.
  virtual void on_channel_room() = 0;
  /// It could not be made, or has ended; the last call.
  virtual void on_channel_end(const ClientFailure& why) = 0;
};

/// One thread, the loop's. The client outlives it.
class ClientChannel {
 public:
  /// Begins to connect. Throws std::exception when there is no memory.
  ClientChannel(Client& client, const ChannelOptions& options, ClientChannelHandler& handler);
  /// Ends it; the handler is not called.
  ~ClientChannel();
  ClientChannel(const ClientChannel&) = delete;
  ClientChannel& operator=(const ClientChannel&) = delete;

  /// Queues a message. False: no room, or the channel is not open.
  bool send(Bytes message);
  /// Bytes that wait to be written.
  std::size_t queued() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace slotwire::http
