// Tells the service manager how slotwired is doing (the sd_notify protocol), without a library for it.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/slot/memory.hpp"
#include "runtime/engine/host/result.hpp"

namespace slotwire::engine {

inline constexpr std::size_t kMaxStatusBytes = 1024;  ///< a longer status is cut

/// Sends one datagram for each call; never blocks. Without a service manager every call succeeds and does nothing.
/// One thread at a time.
class ServiceNotifier {
 public:
  /// `address` is the value of NOTIFY_SOCKET: a path, or '@' and an abstract name; empty: no service manager.
  /// Throws std::runtime_error when it is neither or too long. `watchdog`: how long the service manager waits for
  /// alive(); 0: it does not.
  explicit ServiceNotifier(std::string_view address, std::chrono::microseconds watchdog = {});
  /// From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of the environment.
  static ServiceNotifier from_environment();

  bool enabled() const { return static_cast<bool>(socket_); }
  /// Start-up or a reload is done; `status` as in status(), left out when empty.
  Result<void> ready(std::string_view status = {});
  /// A reload begins; ready() ends it.
  Result<void> reloading();
  Result<void> stopping();
  /// Tells the watchdog that the loop still goes round, at most every quarter of its time; call it as often as you
  /// like.
  Result<void> alive(std::uint64_t now_us);
  /// One line for people; line breaks become blanks.
  Result<void> status(std::string_view text);

 private:
  Result<void> send(const std::string& message);

  slot::Fd socket_;
  std::uint64_t watchdog_us_;  ///< 0: none
  std::uint64_t next_alive_us_ = 0;
  std::string address_;  ///< as in sun_path: an abstract name begins with a zero byte
};

}  // namespace slotwire::engine
