// The engine's event loop: descriptors and timers, in one thread.
#pragma once
#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/slot/memory.hpp"

namespace slotwire::engine {

/// Microseconds of CLOCK_MONOTONIC.
std::uint64_t monotonic_us();

/// One thread. Handlers may add and remove anything, themselves included.
class Reactor {
 public:
  using Handler = std::function<void(std::uint32_t events)>;
  using TimerId = std::pair<std::uint64_t, std::uint64_t>;

  /// Throws std::system_error.
  Reactor();

  /// Calls `handler` when `fd` (not owned, remove it before it is closed) is ready for `events` (EPOLLIN, EPOLLOUT;
  /// level-triggered). Throws std::system_error when the kernel refuses.
  void add(int fd, std::uint32_t events, Handler handler);
  void modify(int fd, std::uint32_t events);
  /// Does nothing when the descriptor is not there.
  void remove(int fd);

  /// Calls `action` once, `delay_us` from now.
  TimerId after(std::uint64_t delay_us, std::function<void()> action);
  /// Does nothing when it ran already.
  void cancel(TimerId timer);

  /// Waits at most `timeout_us` (none: until something happens) and calls what is due. Returns whether anything was.
  bool run(std::optional<std::uint64_t> timeout_us);

 private:
  struct Watch {
    std::uint64_t id;
    std::uint32_t events;
  };
  bool run_timers();

  slot::Fd epoll_;
  std::uint64_t last_id_ = 0;
  std::unordered_map<int, Watch> watches_;  ///< by descriptor
  std::unordered_map<std::uint64_t, std::shared_ptr<Handler>>
      handlers_;  ///< by id, so that a reused descriptor is a new one
  std::map<TimerId, std::function<void()>> timers_;
};

}  // namespace slotwire::engine
