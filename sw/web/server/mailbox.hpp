// Functions that other threads leave for a server's thread.
#pragma once
#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "slotwire.hpp"

namespace slotwire::web::detail {

class Mailbox {
 public:
  using Work = std::function<void()>;

  /// Belongs to the thread that makes it. `poller` is interrupted for each post until close().
  explicit Mailbox(const Poller& poller) : owner_(std::this_thread::get_id()), poller_(&poller) {}

  /// Any thread. False: the server is gone.
  bool post(Work work) {
    const std::scoped_lock lock(mutex_);
    if (poller_ == nullptr) return false;
    work_.push_back(std::move(work));
    waiting_.store(true, std::memory_order_release);
    poller_->interrupt();
    return true;
  }
  bool here() const { return std::this_thread::get_id() == owner_; }
  bool waiting() const { return waiting_.load(std::memory_order_acquire); }
  /// In the server's thread.
  std::vector<Work> take() {
    const std::scoped_lock lock(mutex_);
    waiting_.store(false, std::memory_order_release);
    return std::exchange(work_, {});
  }
  /// In the server's thread: posts fail from now on. What was not run is given up by whoever takes the result.
  std::vector<Work> close() {
    const std::scoped_lock lock(mutex_);
    poller_ = nullptr;
    return std::exchange(work_, {});
  }

 private:
  const std::thread::id owner_;
  std::mutex mutex_;
  std::atomic<bool> waiting_{false};
  const Poller* poller_;
  std::vector<Work> work_;
};

}  // namespace slotwire::web::detail
