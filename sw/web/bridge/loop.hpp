// The event loop of a bridge: sockets, times, and the server's slots, in one thread.
#pragma once
#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "core/slot/memory.hpp"
#include "core/slot/poll_waiter.hpp"
#include "slotwire_web.hpp"

namespace slotwire::web::bridge {

using Clock = std::chrono::steady_clock;

/// Something with a descriptor.
class Source {
 public:
  virtual ~Source() = default;
  /// Of epoll.
  virtual void on_events(std::uint32_t events) = 0;
};

class Loop;

/// A time at which something is done, once. Forgets it when it goes.
class Timer {
 public:
  explicit Timer(Loop& loop) : loop_(loop) {}
  ~Timer() { cancel(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void set(Clock::duration after, std::function<void()> work);
  void cancel();
  bool is_set() const { return at_.has_value(); }

 private:
  friend class Loop;
  Loop& loop_;
  std::optional<Clock::time_point> at_;
  std::function<void()> work_;
};

class Loop {
 public:
  Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// `events` of epoll; edge-triggered with EPOLLET. False: errno says why not.
  bool add(int fd, std::uint32_t events, Source& source);
  /// Nothing is told of `source` afterwards. Call before its descriptor is closed.
  void remove(int fd, Source& source);
  /// Done at the end of this turn, when no list of events points anywhere.
  void later(std::function<void()> work) { later_.push_back(std::move(work)); }

  /// Done in the next turn, before the loop sleeps.
  void next_turn(std::function<void()> work) { next_turn_.push_back(std::move(work)); }

  /// Runs until `over` says so, which is asked after each turn.
  Result<void> run(Server& server, const std::function<bool()>& over);

 private:
  friend class Timer;
  bool take_events(int timeout_ms);
  bool ring_timers();
  void do_later();
  int sleep_ms(const Server& server) const;

  static constexpr std::size_t kEventsAtOnce = 256;
  slot::Fd epoll_;
  /// The longest that a wait yields before it sleeps.
  static constexpr std::chrono::microseconds kYield{50};
  slot::PollWaiter waiter_{{.spin = {}, .yield = kYield}};
  std::array<epoll_event, kEventsAtOnce> events_{};
  int events_at_ = 0, events_end_ = 0;
  std::set<std::pair<Clock::time_point, Timer*>> timers_;
  std::vector<std::function<void()>> later_, next_turn_;
};

}  // namespace slotwire::web::bridge
