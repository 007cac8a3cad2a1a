// Time and readiness for engines that run in simulated time.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <unordered_map>
#include <vector>

#include "runtime/engine/host/event_loop.hpp"

namespace slotwire::sim {

/// The clock of a run, and what is due later. One thread.
class Timeline {
 public:
  std::uint64_t now_us() const { return now_us_; }
  /// Calls `action` at `at_us`; those of one time in the order of the calls.
  void at(std::uint64_t at_us, std::function<void()> action);
  /// Moves the clock forward and calls everything that is due.
  void advance(std::uint64_t us);

  /// A number that stands for a descriptor: readable while `ready` says so (EPOLLIN, EPOLLOUT).
  int add_handle(std::function<std::uint32_t()> ready);
  void remove_handle(int handle) { handles_.erase(handle); }
  /// What a descriptor or handle is ready for.
  std::uint32_t ready(int fd) const;

 private:
  struct Entry {
    std::uint64_t at_us, order;
    std::shared_ptr<std::function<void()>> action;
    bool operator<(const Entry& other) const {
      return at_us != other.at_us ? at_us > other.at_us : order > other.order;
    }
  };

  static constexpr int kFirstHandle = 1 << 24;
  std::uint64_t now_us_ = 1'000'000;
  std::uint64_t order_ = 0;
  std::priority_queue<Entry> later_;
  int last_handle_ = kFirstHandle;
  std::unordered_map<int, std::function<std::uint32_t()>> handles_;
};

/// The event loop of one engine. When the engine dies, its loop goes with all that it would have called.
class SimLoop final : public engine::EventLoop {
 public:
  explicit SimLoop(Timeline& timeline) : timeline_(timeline) {}

  std::uint64_t now_us() const override { return timeline_.now_us(); }
  /// Work takes no time, unless it moves the clock itself.
  std::uint64_t used_us() const override { return timeline_.now_us(); }
  void add(int fd, std::uint32_t events, Handler handler) override;
  void modify(int fd, std::uint32_t events) override;
  void remove(int fd) override { watches_.erase(fd); }
  TimerId after(std::uint64_t delay_us, std::function<void()> action) override;
  void cancel(TimerId timer) override { timers_.erase(timer); }

  /// Calls what is ready and due, once each. Returns whether there was anything.
  bool run();

 private:
  struct Watch {
    std::uint64_t id = 0;
    std::uint32_t events = 0;
    std::shared_ptr<Handler> handler;
  };

  Timeline& timeline_;
  std::uint64_t last_id_ = 0;
  std::map<int, Watch> watches_;  ///< by descriptor: in an order that a seed fixes
  std::map<TimerId, std::function<void()>> timers_;
};

}  // namespace slotwire::sim
