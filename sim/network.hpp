// A network that loses, doubles, reorders, damages and delays frames. Simulated time; one thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

#include "sim/random.hpp"

namespace slotwire::sim {

using Bytes = std::vector<std::byte>;
/// Simulated time in microseconds since the start of a run; does not wrap.
using Time = std::uint64_t;

/// One direction between two nodes.
struct Channel {
  unsigned loss = 0, duplicate = 0, reorder = 0, corrupt = 0;  ///< of 1000 frames
  std::uint32_t delay_us = 5;                                  ///< shortest way
  std::uint32_t jitter_us = 0;                                 ///< added to a reordered frame, up to this
  std::uint32_t us_per_kib = 0;                                ///< bandwidth; 0: no limit
  std::size_t capacity = 256;                                  ///< frames on the way at most
  bool cut = false;                                            ///< partitioned: everything vanishes
};

struct Arrival {
  Time time = 0;
  std::uint64_t order = 0;  ///< breaks ties: sent earlier, arrives earlier
  std::uint16_t from = 0, to = 0;
  std::uint32_t generation = 0;
  Bytes frame;
};

/// What the network did, over all channels.
struct NetworkCounts {
  std::uint64_t sent = 0, lost = 0, duplicated = 0, reordered = 0, corrupted = 0;
};

class Network {
 public:
  Network(std::size_t nodes, Random& random) : nodes_(nodes), random_(random), channels_(nodes * nodes) {}

  Channel& channel(std::uint16_t from, std::uint16_t to) { return at(from, to).channel; }
  /// Is there room for another frame.
  bool room(std::uint16_t from, std::uint16_t to) const;
  void send(std::uint16_t from, std::uint16_t to, const Bytes& frame, Time now);
  /// The next frame that has arrived by `now`.
  std::optional<Arrival> arrived(Time now);
  /// When the next frame arrives; nothing when none is on the way.
  std::optional<Time> next() const;
  /// Loses what is on the way, as a carrier does whose connection breaks.
  void drop_in_flight(std::uint16_t from, std::uint16_t to);
  const NetworkCounts& counts() const { return counts_; }

 private:
  struct State {
    Channel channel;
    Time busy_until = 0;
    std::uint32_t generation = 0;
    std::size_t in_flight = 0;
  };
  struct Later {
    bool operator()(const Arrival& a, const Arrival& b) const {
      return a.time != b.time ? a.time > b.time : a.order > b.order;
    }
  };

  State& at(std::uint16_t from, std::uint16_t to) { return channels_[from * nodes_ + to]; }
  const State& at(std::uint16_t from, std::uint16_t to) const { return channels_[from * nodes_ + to]; }
  void damage(Bytes& frame);

  std::size_t nodes_;
  Random& random_;
  std::vector<State> channels_;
  std::priority_queue<Arrival, std::vector<Arrival>, Later> on_the_way_;
  std::uint64_t order_ = 0;
  NetworkCounts counts_;
};

}  // namespace slotwire::sim
