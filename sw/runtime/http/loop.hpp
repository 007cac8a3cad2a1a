// The event loop of this room: descriptors, timers and calls in one thread. Boost.Asio does the work; its types stay in
// the sources.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

namespace slotwire::http {

/// One thread runs it, and everything that is attached to it belongs to that thread; only post() and stop() may be
/// called from others. Outlives what is attached to it.
class Loop {
 public:
  /// Throws boost::system::system_error (a std::system_error) when the system has no descriptors left.
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Until stop(). May be called again. An exception of a callback leaves run().
  void run();
  void stop();
  /// Calls `call` from run(), after the present callback.
  void post(std::function<void()> call);

  /// The monotonic clock that all times of this room are of, in microseconds.
  static std::uint64_t now_us();

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

/// Calls once for each time that it is set. May be destroyed within its own call.
class Timer {
 public:
  Timer(Loop& loop, std::function<void()> call);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Replaces the time that is set. A time in the past is now.
  void at(std::uint64_t time_us);
  void after(std::chrono::microseconds time);
  void cancel();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

struct Readiness {
  bool readable = false;
  bool writable = false;
};

/// Watches a descriptor of somebody else, for as long as it lives. Level semantics: calls again and again while the
/// descriptor is ready for what is wanted. An error or a hang-up counts as ready. A regular file is always ready. May
/// be destroyed within its own call.
class Watch {
 public:
  /// Wants nothing at first. Throws std::system_error for a descriptor that cannot be watched.
  Watch(Loop& loop, int fd, std::function<void(Readiness)> call);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  void want(Readiness wanted);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace slotwire::http
