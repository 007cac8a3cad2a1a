// Whole messages over descriptors that carry bytes: pipes and stream sockets. All messages have one length, so there is
// nothing to mark them by.
#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

#include "contender.hpp"
#include "handover.hpp"

namespace slotwire::bench {

inline void set_nonblocking(int fd) {
  if (::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) fail("cannot make a descriptor non-blocking");
}

/// Calls a function that returns bytes until it does not fail with EAGAIN or EINTR. Throws what else it fails with.
template <typename Call>
std::size_t until_done(const char* what, Call call) {
  while (true) {
    const ssize_t n = call();
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) fail(what);
    if (errno == EAGAIN) pause_cpu();
  }
}

class ByteStream {
 public:
  /// Reads from `in` and writes to `out`; both stay open. Where the side spins they become non-blocking.
  ByteStream(const Setup& setup, int in, int out)
      : size_(setup.size()), in_(in), out_(out), buffer_(std::max(size_, kReadAhead)) {
    if (!setup.spins()) return;
    if (in >= 0) set_nonblocking(in);
    if (out >= 0) set_nonblocking(out);
  }
  void write_all(Bytes bytes) const {
    while (!bytes.empty())
      bytes = bytes.subspan(until_done("cannot write", [&] { return ::write(out_, bytes.data(), bytes.size()); }));
  }
  /// Waits for one message and reads no more than that.
  template <typename Take>
  void receive(Take take) {
    while (have_ < size_) read_up_to(size_);
    have_ = 0;
    take(Bytes(buffer_.data(), size_));
  }
  /// Waits for at least one and takes all that came together.
  template <typename Take>
  void receive_some(Take take) {
    while (have_ < size_) read_up_to(buffer_.size());
    std::size_t at = 0;
    for (; have_ - at >= size_; at += size_) take(Bytes(buffer_.data() + at, size_));
    have_ -= at;
    std::memmove(buffer_.data(), buffer_.data() + at, have_);
  }

 private:
  static constexpr std::size_t kReadAhead = std::size_t{64} << 10;
  void read_up_to(std::size_t end) {
    const std::size_t n = until_done("cannot read", [&] { return ::read(in_, buffer_.data() + have_, end - have_); });
    if (n == 0) throw std::runtime_error("the other side ended");
    have_ += n;
  }
  std::size_t size_;
  int in_, out_;
  std::vector<std::byte> buffer_;
  std::size_t have_ = 0;
};

}  // namespace slotwire::bench
