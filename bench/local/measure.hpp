// Runs one measurement: starts both sides as processes of their own, places them, waits for their end.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "cluster.hpp"
#include "contender.hpp"

namespace slotwire::bench {

enum class Placement { two_cores, same_core };

struct Measurement {
  const Contender* contender = nullptr;
  Kind kind = Kind::round_trip;
  Waiting waiting = Waiting::spin;
  Placement placement = Placement::two_cores;
  std::size_t size = 64;
  unsigned subscribers = 1;
  unsigned milliseconds = 100;
  bool verify = false;
};

/// What a measurement gave.
struct Outcome {
  Figures closed{};
  std::array<Figures, kLoads.size()> open{};
  std::uint64_t delivered = 0;  ///< messages that the server sides took, intact and in order
};

class Harness {
 public:
  /// Keeps its files in a temporary directory. Throws std::system_error.
  Harness();
  ~Harness();
  Harness(const Harness&) = delete;
  Harness& operator=(const Harness&) = delete;

  /// Throws std::runtime_error with what a side said if a message was lost or damaged, or a side did not end in time.
  Outcome run(const Measurement& measurement);
  /// The daemon of a contender, started at its first use. Null: it has none.
  const Daemon* daemon(const Contender& contender);
  const Clock& clock() const { return clock_; }
  /// The cores of both sides.
  std::pair<int, int> cores() const { return {first_core_, second_core_}; }
  bool has_two_cores() const { return first_core_ != second_core_; }

 private:
  std::filesystem::path directory_;
  Clock clock_;
  int first_core_ = 0, second_core_ = 0;
  std::uint32_t number_ = 0;
  std::map<const void*, std::unique_ptr<Daemon>> daemons_;  ///< by the function that started them
};

/// A side's whole life, in the process that the harness started for it: the board is descriptor 3.
int run_side(Role role, unsigned index);

}  // namespace slotwire::bench
