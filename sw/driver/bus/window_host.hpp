// What a host process of a card behind a window does all day: serves slotwired on a socket, looks whether the card has
// something to tell, and carries the host's own frames between the card and a network interface.
//
// Thread rules: one thread.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/slot/memory.hpp"
#include "driver/bus/bus_server.hpp"
#include "driver/bus/tap.hpp"
#include "driver/bus/window_frames.hpp"
#include "driver/bus/window_port.hpp"

namespace slotwire::driver {

/// How often the card is looked at, as it tells nothing by itself here: without a pause while something goes on, then
/// from kFirst on rarer and rarer.
struct PollPace {
  static constexpr std::chrono::microseconds kBusy{200};  ///< after the last thing that happened
  static constexpr std::chrono::microseconds kFirst{50}, kLast{1000};

  /// After a look: how long until the next one; zero: at once.
  std::chrono::microseconds next(bool something, std::chrono::steady_clock::time_point now);

 private:
  std::chrono::steady_clock::time_point busy_until_{};
  std::chrono::microseconds pause_{0};
};

class WindowHost {
 public:
  /// Frames that are carried in one turn each way, at most.
  static constexpr int kFramesATurn = 8;
  /// Interrupts that slotwired was told of and did not clear are told again after this.
  static constexpr std::chrono::milliseconds kTellAgain{1};
  static constexpr std::chrono::seconds kLook{1};

  /// Listens on `bus`; `interface` (NAME or NAME@NETNS) is made for the host's own frames, none when empty. Throws
  /// std::runtime_error.
  WindowHost(WindowDevice& window, std::uint32_t memory_lines, const std::string& bus, const std::string& interface);

  /// Calls `look` when run() begins, and then every kLook. It must not wait.
  void each_look(std::function<void()> look) { look_ = std::move(look); }
  /// Serves until `stopping` is true, and notices within PollPace::kLast. Another thread or a signal handler may set
  /// it: std::atomic<bool> takes no lock.
  void run(const std::atomic<bool>& stopping);
  static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only set what takes no lock");

 private:
  bool tell();
  bool carry_frames();
  void sleep(std::chrono::microseconds pause);

  WindowDevice& window_;
  WindowPort port_;
  BusServer bus_;
  std::optional<Tap> tap_;
  std::optional<WindowFrames> frames_;
  std::vector<std::byte> room_;
  slot::Fd timer_;
  bool told_ = false;
  std::chrono::steady_clock::time_point told_at_{};
  std::function<void()> look_;
};

}  // namespace slotwire::driver
