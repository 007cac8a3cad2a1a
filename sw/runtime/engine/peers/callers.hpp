// Accepted control connections that have not said who they are: what any stranger can make.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "runtime/control/codec.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/peers/control_channel.hpp"

namespace slotwire::engine {

/// At most kMaxCallers at a time, each for limits.handshake at most. The first message of each must be a hello.
class Callers {
 public:
  static constexpr std::size_t kMaxCallers = 64;

  /// Gets the channel of a caller that said hello. Returns an empty text, or why it is turned away (the channel is then
  /// still the caller's, to be told so).
  using Introduce = std::function<std::string(std::unique_ptr<ControlChannel>& channel, const control::PeerHello& hello,
                                              const carriers::Address& from)>;

  Callers(ControlNetwork& network, EventLoop& loop, NodeLog& log, std::uint64_t handshake_us, Introduce introduce);
  ~Callers();
  Callers(const Callers&) = delete;
  Callers& operator=(const Callers&) = delete;

  /// Begins to accept.
  void listen();
  /// Drops those that said nothing in time.
  void sweep(std::uint64_t now_us);
  std::size_t count() const { return callers_.size(); }

 private:
  struct Caller {
    std::unique_ptr<ControlChannel> channel;
    carriers::Address from;
    std::uint64_t deadline_us = 0;
    int watched_fd = -1;
  };

  void accept();
  void on_ready(std::uint64_t id);
  void drop(std::uint64_t id);
  void turn_away(Caller& caller, const std::string& why);

  ControlNetwork& network_;
  EventLoop& loop_;
  NodeLog& log_;
  std::uint64_t handshake_us_;
  Introduce introduce_;
  int listen_fd_ = -1;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Caller> callers_;
};

}  // namespace slotwire::engine
