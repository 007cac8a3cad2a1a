// Calls that were given up, by this end and by the peer. Both sets are bounded.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_set>

namespace slotwire::client {

/// This end's calls whose late answers are to be dropped; the oldest are forgotten beyond kMost.
class GivenUpCalls {
 public:
  static constexpr std::size_t kMost = 1024;
  void add(std::uint32_t id) {
    if (!ids_.insert(id).second) return;
    order_.push_back(id);
    if (order_.size() <= kMost) return;
    ids_.erase(order_.front());
    order_.pop_front();
  }
  /// True if the answer to `id` is to be dropped; only the first one is.
  bool take(std::uint32_t id) { return !ids_.empty() && ids_.erase(id) != 0; }

 private:
  std::unordered_set<std::uint32_t> ids_;
  std::deque<std::uint32_t> order_;
};

/// The peer's requests whose replies it may keep; the oldest are forgotten beyond kMost, and get plain replies.
class RequestsForCache {
 public:
  static constexpr std::size_t kMost = 4096;
  void add(std::uint32_t id) {
    if (!ids_.insert(id).second) return;
    order_.push_back(id);
    if (order_.size() <= kMost) return;
    ids_.erase(order_.front());
    order_.pop_front();
  }
  bool contains(std::uint32_t id) const { return !ids_.empty() && ids_.contains(id); }
  void take(std::uint32_t id) {
    ids_.erase(id);
    while (!order_.empty() && !ids_.contains(order_.front())) order_.pop_front();
  }

 private:
  std::unordered_set<std::uint32_t> ids_;
  std::deque<std::uint32_t> order_;
};

/// The peer's requests that it has given up, until they are asked for; forgotten all at once beyond kMost.
class CancelledRequests {
 public:
  static constexpr std::size_t kMost = 1024;
  void add(std::uint32_t id) {
    if (ids_.size() >= kMost) ids_.clear();
    ids_.insert(id);
  }
  bool contains(std::uint32_t id) const { return !ids_.empty() && ids_.contains(id); }

 private:
  std::unordered_set<std::uint32_t> ids_;
};

}  // namespace slotwire::client
