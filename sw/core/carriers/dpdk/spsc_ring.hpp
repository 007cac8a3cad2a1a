// A bounded ring from one thread to one other, without locks.
#pragma once
#include <atomic>
#include <bit>
#include <cstddef>
#include <vector>

namespace slotwire::carriers {

/// One thread calls push(), one other pop(); empty() is for both. None of them waits.
template <class T>
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): what one thread writes has a cache line of its own
class SpscRing {
 public:
  /// Room for at least `capacity` elements, 1 to 65536.
  explicit SpscRing(std::size_t capacity) : slots_(std::bit_ceil(capacity)), mask_(slots_.size() - 1) {}
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  /// False when it is full.
  bool push(T value) noexcept {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - seen_head_ == slots_.size()) {
      seen_head_ = head_.load(std::memory_order_acquire);
      if (tail - seen_head_ == slots_.size()) return false;
    }
    slots_[tail & mask_] = value;
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }
  /// False when there is nothing.
  bool pop(T& value) noexcept {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) return false;
    value = slots_[head & mask_];
    head_.store(head + 1, std::memory_order_release);
    return true;
  }
  bool empty() const noexcept { return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_acquire); }
  std::size_t capacity() const noexcept { return slots_.size(); }

 private:
  static constexpr std::size_t kCacheLine = 64;

  std::vector<T> slots_;
  const std::size_t mask_;
  alignas(kCacheLine) std::atomic<std::size_t> tail_{0};
  std::size_t seen_head_ = 0;  ///< the pusher's: no look at the other's line for each element
  alignas(kCacheLine) std::atomic<std::size_t> head_{0};
};

}  // namespace slotwire::carriers
