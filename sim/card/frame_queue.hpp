// A queue of Ethernet frames with its memory taken once.
#pragma once
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

namespace slotwire::sim {

class FrameQueue {
 public:
  static constexpr std::size_t kCapacity = 256;        ///< frames
  static constexpr std::size_t kMaxFrameBytes = 9216;  ///< of a frame: a jumbo frame without its check sequence

  struct Frame {
    std::span<const std::byte> bytes;
    bool damaged = false;
    std::uint64_t first_clock = 0, last_clock = 0;  ///< of its first and last beat, for one that came from a port
    std::uint64_t verdict = 0;  ///< of the classifier, for one to the host: queue and mark (docs/registers.md)
  };

  FrameQueue() : bytes_(std::make_unique_for_overwrite<std::byte[]>(kCapacity * kMaxFrameBytes)) {}

  bool empty() const { return count_ == 0; }
  bool full() const { return count_ == kCapacity; }
  std::size_t size() const { return count_; }
  /// False: the queue is full, or the frame is longer than kMaxFrameBytes or empty.
  bool push(std::span<const std::byte> frame, bool damaged = false) {
    if (full() || frame.empty() || frame.size() > kMaxFrameBytes) return false;
    std::memcpy(room().data(), frame.data(), frame.size());
    commit(frame.size(), damaged);
    return true;
  }
  /// The memory of the next frame; not while full().
  std::span<std::byte, kMaxFrameBytes> room() {
    assert(!full());
    return std::span<std::byte, kMaxFrameBytes>(bytes_.get() + slot(count_) * kMaxFrameBytes, kMaxFrameBytes);
  }
  void commit(std::size_t bytes, bool damaged, std::uint64_t first_clock = 0, std::uint64_t last_clock = 0,
              std::uint64_t verdict = 0) {
    entries_[slot(count_)] = {bytes, damaged, first_clock, last_clock, verdict};
    ++count_;
  }
  /// The oldest one, until pop(); not while empty().
  Frame front() const {
    assert(!empty());
    const Entry& entry = entries_[head_];
    return {{bytes_.get() + head_ * kMaxFrameBytes, entry.bytes},
            entry.damaged,
            entry.first_clock,
            entry.last_clock,
            entry.verdict};
  }
  void pop() {
    assert(!empty());
    head_ = (head_ + 1) % kCapacity;
    --count_;
  }

 private:
  struct Entry {
    std::size_t bytes = 0;
    bool damaged = false;
    std::uint64_t first_clock = 0, last_clock = 0, verdict = 0;
  };
  std::size_t slot(std::size_t n) const { return (head_ + n) % kCapacity; }

  std::unique_ptr<std::byte[]> bytes_;
  std::array<Entry, kCapacity> entries_{};
  std::size_t head_ = 0, count_ = 0;
};

}  // namespace slotwire::sim
