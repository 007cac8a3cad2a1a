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
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/engine/host/event_loop.hpp"

namespace slotwire::engine {

/// Microseconds of CLOCK_MONOTONIC.
std::uint64_t monotonic_us();

/// The event loop over epoll and CLOCK_MONOTONIC. One thread.
class Reactor final : public EventLoop {
 public:
  static constexpr std::uint64_t kDispatchUs = 100;

  /// Throws std::system_error.
  Reactor();

  std::uint64_t now_us() const override { return monotonic_us(); }
  std::uint64_t used_us() const override;
  void add(int fd, std::uint32_t events, Handler handler) override;
  void add_waker(int fd) override;
  void add_urgent(int fd, std::function<void()> handler) override;
  void modify(int fd, std::uint32_t events) override;
  void remove(int fd) override;
  TimerId after(std::uint64_t delay_us, std::function<void()> action) override;
  void cancel(TimerId timer) override;

  /// Waits at most `timeout_us` (none: until something happens) and calls what is due. Returns whether anything was.
  /// What has taken kDispatchUs is left for the next call, which goes on with it: lines do not wait for longer than
  /// that and one handler, however many requests there are.
  bool run(std::optional<std::uint64_t> timeout_us);
  /// Waits at most `timeout_us` for the descriptors of add_waker() and add_urgent() alone. Returns whether one was
  /// ready.
  bool run_urgent(std::uint64_t timeout_us);
  /// How long the last run() called handlers and timers, in microseconds.
  std::uint64_t spent_us() const { return spent_us_; }
  /// Whether one of add_waker()'s descriptors was readable when run() or run_urgent() asked the kernel last.
  bool woken() const { return woken_; }
  /// Whether run() left something for the next call.
  bool has_more() const { return !fetched_.empty(); }

 private:
  struct Watch {
    std::uint64_t id;
    std::uint32_t events;
  };
  /// What add(), add_waker() and add_urgent() were given; `urgent` without a handler: a waker.
  struct Handlers {
    Handler handler;
    std::function<void()> urgent;
    bool is_urgent = false;
  };
  void watch_urgent(int fd, std::function<void()> handler);
  /// Calls what is urgent of it. False: it is not urgent, and may have gone.
  bool call_if_urgent(std::uint64_t id);
  bool run_timers();
  /// Calls handlers of events that were fetched, in turn, until they have taken their time.
  bool dispatch();
  /// dispatch() and run_timers(), timed.
  bool call_handlers();

  /// What is urgent, wakers included, is in both.
  slot::Fd epoll_, urgent_;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> fetched_;  ///< events by id, the next to be called last
  bool woken_ = true;
  std::uint64_t spent_us_ = 0;
  std::uint64_t last_id_ = 0;
  std::unordered_map<int, Watch> watches_;  ///< by descriptor
  /// By id, so that a reused descriptor is a new one.
  std::unordered_map<std::uint64_t, std::shared_ptr<Handlers>> handlers_;
  std::map<TimerId, std::function<void()>> timers_;
};

}  // namespace slotwire::engine
