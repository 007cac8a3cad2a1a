// How threads that share a port leave it before it is closed, and how they wake each other.
#pragma once
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/carriers/socket.hpp"

namespace slotwire::carriers {

/// One thread has the key: it opens and closes. Any number of others, each with a number of its own, are inside or not.
/// Nobody waits: who closed looks now and then whether all have left.
class Gate {
 public:
  explicit Gate(std::size_t others) : inside_(others) {}

  // The thread with the key.
  void open() noexcept { open_.store(true, std::memory_order_seq_cst); }
  void close() noexcept { open_.store(false, std::memory_order_seq_cst); }
  /// Once closed and empty it stays empty, and all that the others did inside has happened.
  bool empty() const noexcept {
    for (const auto& one : inside_) {
      if (one.load(std::memory_order_seq_cst)) return false;
    }
    return true;
  }

  // The others.
  bool is_open() const noexcept { return open_.load(std::memory_order_acquire); }
  /// False: it was closed.
  bool enter(std::size_t number) noexcept {
    inside_[number].store(true, std::memory_order_seq_cst);
    if (open_.load(std::memory_order_seq_cst)) return true;
    leave(number);
    return false;
  }
  void leave(std::size_t number) noexcept { inside_[number].store(false, std::memory_order_seq_cst); }

 private:
  std::atomic<bool> open_{false};
  std::vector<std::atomic<bool>> inside_;
};

/// Wakes one thread that sleeps on fd(). Costs no system call while it is awake.
class Waker {
 public:
  /// Throws std::system_error.
  Waker() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (!fd_) throw_errno("making an event descriptor (out of descriptors? raise the limit of open files)");
  }
  int fd() const noexcept { return fd_.get(); }

  /// Any thread, after it has put something where the other one looks.
  void ring() noexcept {
    // All changes of the flag are exchanges: each sees what was done before the one before it.
    if (!asleep_.exchange(false, std::memory_order_acq_rel)) return;
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = ::write(fd_.get(), &one, sizeof one);
  }
  /// The thread itself. After it, and before it sleeps, it looks once more whether there is something.
  void fall_asleep() noexcept { asleep_.exchange(true, std::memory_order_acq_rel); }
  void get_up() noexcept {
    if (!asleep_.exchange(false, std::memory_order_acq_rel)) ++owed_;
    // Who has rung may write a moment later: then the next sleep is short.
    std::uint64_t count = 0;
    if (owed_ != 0 && ::read(fd_.get(), &count, sizeof count) == sizeof count) owed_ -= count;
  }

 private:
  Fd fd_;
  std::atomic<bool> asleep_{false};
  std::uint64_t owed_ = 0;  ///< rings that are not read yet
};

}  // namespace slotwire::carriers
