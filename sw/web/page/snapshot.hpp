// What slotwired says of itself, asked for by one thread and shared by all who look.
#pragma once
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "runtime/control/tool_client.hpp"

namespace slotwire::web {

/// How long slotwired took to answer, in buckets.
class AnswerTimes {
 public:
  /// Upper bounds in seconds; one more bucket has what took longer.
  static constexpr std::array<double, 10> kBounds{0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5};

  void add(double seconds);
  /// Answers that took at most kBounds[i]; the last of them all.
  std::array<std::uint64_t, kBounds.size() + 1> cumulative() const;
  std::uint64_t count() const { return count_; }
  double sum() const { return sum_; }

 private:
  std::array<std::uint64_t, kBounds.size() + 1> buckets_{};
  std::uint64_t count_ = 0;
  double sum_ = 0;
};

/// One look at a node. Never changed once it is shared.
struct Snapshot {
  control::Json node;         ///< of `status`; empty if slotwired gave no answer
  control::Json slots;        ///< rows of `slots`
  control::Json sessions;     ///< rows of `sessions`
  control::Json figures;      ///< rows of `figures`
  control::Json inspections;  ///< rows of `inspections`
  std::string trouble;        ///< why there is no answer; empty: there is one
  std::chrono::system_clock::time_point when;
  AnswerTimes answer_times;
  std::uint64_t failures = 0;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

/// Looks when asked, and not again before `lifetime` has passed: a node is asked that often however many look. Its own
/// thread waits for slotwired, so a slotwired that does not answer holds up nobody else.
class Snapshots {
 public:
  Snapshots(std::string socket, std::chrono::milliseconds lifetime);
  ~Snapshots();
  Snapshots(const Snapshots&) = delete;
  Snapshots& operator=(const Snapshots&) = delete;

  /// Calls `done` with a look that is no older than the lifetime, in the thread of Snapshots. Any thread.
  void get(std::function<void(SnapshotPtr)> done);

 private:
  void run();
  SnapshotPtr look();

  std::string socket_;
  std::chrono::milliseconds lifetime_;
  std::optional<control::ToolClient> client_;
  AnswerTimes answer_times_;
  std::uint64_t failures_ = 0;
  SnapshotPtr last_;
  std::chrono::steady_clock::time_point taken_{};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::function<void(SnapshotPtr)>> asked_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace slotwire::web
