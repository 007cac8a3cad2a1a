#include "runtime/control/closer.hpp"

#include <exception>
#include <thread>
#include <utility>

namespace slotwire::control {

Closer& Closer::of_process() {
  // Never destroyed: its threads end when their files let them.
  static auto* const closer = new Closer;
  return *closer;
}

void Closer::close(slot::Fd fd) noexcept {
  if (!fd) return;
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= kMaxWaiting) {
    fd.release();
    ++left_open_;
    return;
  }
  const int number = fd.get();
  try {
    waiting_.push_back(std::move(fd));
    // Each thread has one descriptor in its hands, or is about to take one that waits.
    if (threads_ == kMaxThreads || threads_ - closing_ >= waiting_.size()) return;
    std::thread([this] { work(); }).detach();
    ++threads_;
  } catch (const std::exception&) {
    // Without memory for the queue it stays open; without a thread it waits for the next one.
    if (waiting_.empty() || waiting_.back().get() != number) {
      fd.release();
      ++left_open_;
    }
  }
}

void Closer::work() noexcept {
  std::unique_lock lock(mutex_);
  while (!waiting_.empty()) {
    slot::Fd fd = std::move(waiting_.front());
    waiting_.pop_front();
    ++closing_;
    lock.unlock();
    fd.reset();
    lock.lock();
    --closing_;
  }
  --threads_;
}

std::size_t Closer::unclosed() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size() + closing_ + left_open_;
}

}  // namespace slotwire::control
