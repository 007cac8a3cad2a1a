// One direction of a network path that is narrower than what is sent into it: random loss, then a queue that is
// drained at a rate, then a delay. It waits for nothing and reads no clock: the caller gives the time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace slotwire::bench {

/// What one direction does to frames.
struct PathOptions {
  double megabits = 100;                  ///< rate of the bottleneck, Mb/s, kLeastMegabits to kMostMegabits
  std::chrono::nanoseconds delay{0};      ///< after the queue, at most kMostDelay
  std::uint64_t queue_bytes = 250'000;    ///< what may wait, in bytes of the wire: kLeastQueue to kMostQueue
  std::optional<std::uint64_t> ce_bytes;  ///< frames with ECT get CE while more than this waits; none: never
  double loss = 0;                        ///< share of the frames that is lost at random, 0 to kMostLoss
  std::uint64_t seed = 1;                 ///< of the random loss

  static constexpr double kLeastMegabits = 0.1, kMostMegabits = 10'000, kMostLoss = 0.9;
  static constexpr std::chrono::nanoseconds kMostDelay = std::chrono::seconds(10);
  static constexpr std::uint64_t kLeastQueue = 2'000, kMostQueue = 256U << 20U;
};

/// The first option that is out of its range, as a sentence; none: all are valid.
std::optional<std::string> complaint(const PathOptions& options);

/// What happened to the frames of one direction. Bytes are bytes of the wire (Path::wire_bytes).
struct PathCounts {
  std::uint64_t packets = 0, bytes = 0;  ///< that were let into the queue
  std::uint64_t dropped_queue = 0;       ///< because the queue was full
  std::uint64_t dropped_random = 0;
  std::uint64_t marked = 0;                      ///< CE was set
  std::chrono::nanoseconds largest_queueing{0};  ///< longest time that a frame waited for those before it
  /// How long a frame that came at any time would have waited, averaged over time.
  std::chrono::nanoseconds mean_queueing{0};
  std::uint64_t late = 0;  ///< frames that left more than kLate after their time
  std::chrono::nanoseconds largest_lateness{0};
  std::chrono::nanoseconds over{0};  ///< time that the counts are of

  static constexpr std::chrono::nanoseconds kLate = std::chrono::milliseconds(1);
};

class Path {
 public:
  using Time = std::chrono::nanoseconds;  ///< of a clock that never goes back

  struct Packet {
    Time leaves{0};
    std::vector<std::byte> frame;
  };

  /// Options that are out of range are a std::invalid_argument.
  Path(const PathOptions& options, Time now);

  /// A frame comes in. False: it was dropped. Times never go back.
  bool offer(Time now, std::span<const std::byte> frame);
  /// The next frame that has left by `now`.
  std::optional<Packet> take(Time now);
  /// When the next frame leaves; none: there is no frame.
  std::optional<Time> next() const;
  std::size_t held() const { return held_.size(); }
  /// How long a frame that came now would wait for those before it.
  Time queueing(Time now) const;

  /// The counts since the last call, which start anew. Frames that are held count as what they became when they came.
  PathCounts report(Time now);

  /// Bytes that a frame takes on an Ethernet wire: itself, its checksum, the preamble and the gap.
  static constexpr std::uint64_t wire_bytes(std::size_t frame) { return frame + 24; }

 private:
  /// Adds the time up to `now` to the integral of the queueing delay.
  void integrate(Time now);
  Time transmission(std::uint64_t bytes) const;
  double waiting_bytes(Time now) const;

  PathOptions options_;
  std::mt19937_64 dice_;
  std::bernoulli_distribution lost_;
  std::deque<Packet> held_;
  Time free_at_;  ///< when the queue is empty if nothing more comes
  Time integrated_to_, counted_from_;
  double queueing_integral_ = 0;  ///< seconds squared
  PathCounts counts_;
};

/// Sets CE on an Ethernet frame that holds an IPv4 packet with ECT, and mends its checksum (RFC 1624). False: it has no
/// ECT, or is no such frame, and is unchanged.
bool mark_congestion(std::span<std::byte> frame);
/// Whether an Ethernet frame holds an IPv4 packet.
bool is_ipv4(std::span<const std::byte> frame);

}  // namespace slotwire::bench
