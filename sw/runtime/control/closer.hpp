// Closing what other processes passed, without waiting for them.
#pragma once
#include <cstddef>
#include <deque>
#include <mutex>

#include "core/slot/memory.hpp"

namespace slotwire::control {

/// close() may wait for whoever made a file, and for as long as that one likes: a socket with SO_LINGER waits for its
/// peer, a file of FUSE for its server. Here it waits in threads of their own: there are none while there is nothing to
/// close, and kMaxThreads at most. Any thread.
class Closer {
 public:
  static constexpr std::size_t kMaxThreads = 8;
  /// Descriptors that wait for a thread, at most. More are left open for as long as this process lives.
  static constexpr std::size_t kMaxWaiting = 1024;

  /// The one of this process.
  static Closer& of_process();

  /// Closes the descriptor soon. Never blocks.
  void close(slot::Fd fd) noexcept;
  /// Descriptors that are not closed yet.
  std::size_t unclosed() const;

 private:
  Closer() = default;
  void work() noexcept;

  mutable std::mutex mutex_;
  std::deque<slot::Fd> waiting_;
  std::size_t threads_ = 0, closing_ = 0, left_open_ = 0;
};

}  // namespace slotwire::control
