// What the engine's rooms see of time and of descriptors: an interface, so that a test drives them in simulated time.
#pragma once
#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <utility>

namespace slotwire::engine {

/// One thread. Handlers may add and remove anything, themselves included.
class EventLoop {
 public:
  using Handler = std::function<void(std::uint32_t events)>;
  using TimerId = std::pair<std::uint64_t, std::uint64_t>;

  virtual ~EventLoop() = default;

  /// Microseconds of a clock that never goes back.
  virtual std::uint64_t now_us() const = 0;
  /// Microseconds of processor time that the calling thread has used: the difference is what work has cost, whoever
  /// else ran meanwhile.
  virtual std::uint64_t used_us() const = 0;

  /// Calls `handler` when `fd` (not owned, remove it before it is closed) is ready for `events` (EPOLLIN, EPOLLOUT;
  /// level-triggered). Throws std::system_error when the kernel refuses.
  virtual void add(int fd, std::uint32_t events, Handler handler) = 0;
  /// `fd`, when it is readable, only wakes whoever waits in the loop: what it has is looked at elsewhere.
  virtual void add_waker(int fd) {
    add(fd, EPOLLIN, [](std::uint32_t) {});
  }
  /// Calls `handler` when `fd` is readable, before the handlers of add() and however many of these wait: for what tells
  /// that lines wait. The handler takes microseconds at most, since nothing limits what is urgent.
  virtual void add_urgent(int fd, std::function<void()> handler) {
    add(fd, EPOLLIN, [call = std::move(handler)](std::uint32_t) { call(); });
  }
  virtual void modify(int fd, std::uint32_t events) = 0;
  /// Does nothing when the descriptor is not there.
  virtual void remove(int fd) = 0;

  /// Calls `action` once, `delay_us` from now.
  virtual TimerId after(std::uint64_t delay_us, std::function<void()> action) = 0;
  /// Does nothing when it ran already.
  virtual void cancel(TimerId timer) = 0;
};

}  // namespace slotwire::engine
