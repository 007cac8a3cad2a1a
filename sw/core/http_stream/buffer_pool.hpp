// Bytes that many sessions share: a session takes what it needs beyond its own share, and gives it back.
#pragma once
#include <cassert>
#include <cstddef>

namespace slotwire::http_stream {

class BufferPool {
 public:
  explicit BufferPool(std::size_t limit) : limit_(limit) {}

  bool lend(std::size_t bytes) {
    if (bytes > limit_ - lent_) return false;
    lent_ += bytes;
    return true;
  }
  void give_back(std::size_t bytes) {
    assert(bytes <= lent_);
    lent_ -= bytes;
  }
  /// Less than a quarter is lent.
  bool plenty() const noexcept { return lent_ < limit_ / 4; }
  std::size_t lent() const noexcept { return lent_; }
  std::size_t left() const noexcept { return limit_ - lent_; }

 private:
  std::size_t limit_;
  std::size_t lent_ = 0;
};

}  // namespace slotwire::http_stream
