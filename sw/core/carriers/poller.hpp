// One epoll descriptor with a wake-up and a timer in it: what a carrier's fd() is.
#pragma once
#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "core/carriers/socket.hpp"

namespace slotwire::carriers {

/// One thread. Readable when an added descriptor is ready, wake() was called, or the armed time has come.
class Poller {
 public:
  /// Throws std::system_error (out of descriptors: raise RLIMIT_NOFILE).
  Poller();

  int fd() const noexcept { return epoll_.get(); }

  /// Watches `fd` for `events` (EPOLLIN, EPOLLOUT; level-triggered); `tag` comes back from wait() and is below
  /// kOwnTags. False with errno set when the kernel refuses. A descriptor that is closed leaves by itself.
  bool add(int fd, std::uint32_t events, std::uint64_t tag) noexcept;
  bool change(int fd, std::uint32_t events, std::uint64_t tag) noexcept;
  void remove(int fd) noexcept;

  /// Makes fd() readable until clear_wake() or wait().
  void wake() noexcept;
  void clear_wake() noexcept;

  /// Makes fd() readable at `deadline_us` of the clock that shows `now_us` (microseconds, running like
  /// CLOCK_MONOTONIC); none disarms.
  void arm(std::uint64_t now_us, std::optional<std::uint64_t> deadline_us) noexcept;

  /// What is ready now, without waiting, at most `events.size()`. Clears the wake-up and a timer that fired.
  std::span<const epoll_event> wait(std::span<epoll_event> events) noexcept;

  static constexpr std::uint64_t kOwnTags = ~std::uint64_t{0} - 1;

 private:
  Fd epoll_, wake_, timer_;
  bool woken_ = false;
  std::optional<std::uint64_t> armed_us_;
};

}  // namespace slotwire::carriers
