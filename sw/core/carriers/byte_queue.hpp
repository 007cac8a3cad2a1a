// A bounded queue of bytes: what a stream could not write yet.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <span>
#include <vector>

namespace slotwire::carriers {

/// A ring of bytes that grows by doubling up to `limit` bytes and never shrinks. One thread.
class ByteQueue {
 public:
  explicit ByteQueue(std::size_t limit = 0) : limit_(limit) {}

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  /// Bytes that append() takes now.
  std::size_t space() const noexcept { return limit_ - size_; }

  /// Takes all parts or, when they do not fit together, none and returns false.
  bool append(std::initializer_list<std::span<const std::byte>> parts) {
    std::size_t total = 0;
    for (const auto& part : parts) {
      if (part.size() > space() - total) return false;
      total += part.size();
    }
    reserve(size_ + total);
    for (const auto& part : parts) put(part);
    return true;
  }

  /// The oldest bytes that lie in one piece; empty only when the queue is.
  std::span<const std::byte> front() const noexcept {
    if (size_ == 0) return {};
    return std::span<const std::byte>(ring_).subspan(head_, std::min(size_, ring_.size() - head_));
  }

  /// Copies the bytes from the `skip`th oldest on; all of them must be there.
  void peek(std::size_t skip, std::span<std::byte> to) const noexcept {
    for (std::size_t done = 0; done < to.size();) {
      const std::size_t at = (head_ + skip + done) % ring_.size();
      const std::size_t piece = std::min(to.size() - done, ring_.size() - at);
      std::memcpy(to.data() + done, ring_.data() + at, piece);
      done += piece;
    }
  }

  /// Forgets the oldest `count` bytes (at most size()).
  void pop(std::size_t count) noexcept {
    count = std::min(count, size_);
    size_ -= count;
    head_ = size_ == 0 ? 0 : (head_ + count) % ring_.size();
  }

  void clear() noexcept { head_ = size_ = 0; }

 private:
  void reserve(std::size_t wanted) {
    if (wanted <= ring_.size()) return;
    std::vector<std::byte> larger(std::min(limit_, std::max({wanted, 2 * ring_.size(), std::size_t{4096}})));
    std::size_t filled = 0;
    while (size_ != 0) {
      const auto piece = front();
      std::memcpy(larger.data() + filled, piece.data(), piece.size());
      filled += piece.size();
      pop(piece.size());
    }
    ring_ = std::move(larger);
    head_ = 0;
    size_ = filled;
  }

  void put(std::span<const std::byte> bytes) noexcept {
    while (!bytes.empty()) {
      const std::size_t at = (head_ + size_) % ring_.size();
      const std::size_t piece = std::min(bytes.size(), ring_.size() - at);
      std::memcpy(ring_.data() + at, bytes.data(), piece);
      size_ += piece;
      bytes = bytes.subspan(piece);
    }
  }

  std::size_t limit_;
  std::vector<std::byte> ring_;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

}  // namespace slotwire::carriers
