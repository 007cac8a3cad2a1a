// Bytes that the streams of many sessions share, so that all of them together stay below one limit and no session takes
// what the others need.
#pragma once
#include <cassert>
#include <cstddef>
#include <cstdint>

namespace slotwire::http_stream {

class StreamMemory {
 public:
  explicit StreamMemory(std::size_t limit) : limit_(limit) {}
  StreamMemory(const StreamMemory&) = delete;
  StreamMemory& operator=(const StreamMemory&) = delete;

  std::size_t limit() const noexcept { return limit_; }
  std::size_t used() const noexcept { return used_; }
  /// Streams that were refused for want of memory, and windows that stayed smaller than they could be.
  std::uint64_t refused_streams = 0, short_windows = 0;

  /// What one session has of it. All of it is given back at the end of the session.
  class Share {
   public:
    /// Null: there is no limit.
    explicit Share(StreamMemory* memory) : memory_(memory) {}
    ~Share() {
      if (memory_ != nullptr) memory_->used_ -= held_;
    }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    StreamMemory* memory() const noexcept { return memory_; }
    /// False: the session would have more than is left for all others. So n sessions that want everything get an
    /// (n + 1)th each, and the next one gets as much.
    bool take(std::size_t bytes) {
      if (memory_ == nullptr) return true;
      const std::size_t left = memory_->limit_ - memory_->used_;
      if (bytes > left || held_ + bytes > left - bytes) return false;
      memory_->used_ += bytes;
      held_ += bytes;
      return true;
    }
    void give_back(std::size_t bytes) {
      if (memory_ == nullptr) return;
      assert(bytes <= held_);
      memory_->used_ -= bytes;
      held_ -= bytes;
    }
    /// So little of all memory is in use that nobody has to save.
    bool plenty() const { return memory_ == nullptr || memory_->used_ < memory_->limit_ / 4; }

   private:
    StreamMemory* memory_;
    std::size_t held_ = 0;
  };

 private:
  std::size_t limit_;
  std::size_t used_ = 0;
};

}  // namespace slotwire::http_stream
