// A unix stream socket to a card in another process, whose every wait has an end.
//
// Thread rules: one thread.
#pragma once
#include <chrono>
#include <cstddef>
#include <span>
#include <string>

#include "core/slot/memory.hpp"

namespace slotwire::driver {

class TimedSocket {
 public:
  using Clock = std::chrono::steady_clock;

  /// `what` names the other end in errors ("card socket"), `program` who serves it. `timeout_ms`: the longest wait for
  /// it to take or answer something. Throws std::invalid_argument when the path is too long.
  TimedSocket(std::string what, std::string path, int timeout_ms, std::string program = kSimulatedCard);

  static constexpr const char* kSimulatedCard = "the simulated card (slotwire-simcard)";

  /// Connects anew. False: error() says why not.
  bool connect();
  /// Sends all, with `fds` beside the first byte. False: the connection is lost, error() says how.
  bool send_all(std::span<const std::byte> bytes, std::span<const int> fds = {});
  bool receive_all(std::span<std::byte> bytes, Clock::time_point until);
  /// When a wait that begins now ends.
  Clock::time_point deadline() const { return Clock::now() + std::chrono::milliseconds(timeout_ms_); }
  /// Ends the connection because of `why`.
  void lost(const std::string& why);

  int fd() const { return socket_.get(); }
  explicit operator bool() const { return static_cast<bool>(socket_); }
  /// Empty while connected; else what happened and what to do.
  const std::string& error() const { return error_; }

 private:
  bool wait_for(short events, Clock::time_point until, const char* what);

  std::string what_, path_, program_;
  int timeout_ms_;
  slot::Fd socket_;
  std::string error_;
};

}  // namespace slotwire::driver
