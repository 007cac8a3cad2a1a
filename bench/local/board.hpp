// Memory that the harness and both sides of a measurement share: what is to be measured, where the sides stand, what
// they measured, and room for the contenders that are nothing but shared memory.
#pragma once
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "clock.hpp"
#include "core/slot/memory.hpp"

namespace slotwire::bench {

enum class Kind : std::uint32_t {
  round_trip,       ///< a message there and back, the next when the last is back
  open_round_trip,  ///< the same at times fixed in advance
  loan,             ///< a message there and back by the contender's loans, contents written each time
  pass,             ///< the same, but only the header is written
  one_way,          ///< as many messages in one direction as go
  one_way_batch,    ///< the same, kBatch at a time
  open_one_way,     ///< in one direction at times fixed in advance
  publish,          ///< bursts to several subscribers
};
/// Messages of a batch in Kind::one_way_batch.
inline constexpr std::size_t kBatch = 64;
/// Messages that a publisher sends before it waits until all subscribers have them: fewer than any queue holds.
inline constexpr std::size_t kBurst = 8;

/// How a side waits for a message and for room.
enum class Waiting : std::uint32_t { spin, block };

/// Between sleepers, each side pauses this long before it sends, so that the other one has fallen asleep.
inline constexpr std::uint64_t kLullNs = 50'000;

inline constexpr std::size_t kMaxSubscribers = 8;
inline constexpr std::array<double, 3> kLoads{0.1, 0.5, 0.8};

/// One measurement, as the harness orders it.
struct Job {
  char contender[48];
  char directory[96];  ///< for sockets and files of this measurement
  char endpoint[128];  ///< of the contender's daemon, if it has one
  Kind kind;
  Waiting waiting;
  std::uint32_t number;                   ///< of the measurement, for names that must be unique
  std::uint32_t size;                     ///< bytes of a message
  std::uint32_t subscribers;              ///< server sides; 1 except in Kind::publish
  std::uint32_t verify;                   ///< all contents are written and checked, outside of any measurement
  std::uint32_t milliseconds;             ///< of the timed part
  std::int32_t client_core, server_core;  ///< -1: any
  Clock clock;
};

/// What was measured. Unused fields stay 0.
struct Figures {
  double p50, p99;  ///< nanoseconds
  double rate;      ///< messages or round trips a second
  double cpu_ns;    ///< of all processes, for a message or a round trip
  double sleeps;    ///< times that threads of the sides slept for a round trip, lulls left out
};

struct alignas(64) Progress {
  std::atomic<std::uint64_t> seen;  ///< messages that this subscriber has
};

inline constexpr std::size_t kScratchBytes = std::size_t{12} << 20;
inline constexpr std::size_t kMaxProcesses = 16;

struct Board {
  Job job;
  std::atomic<std::uint32_t> bound;        ///< server sides that can be connected to
  std::atomic<std::uint32_t> sides_ready;  ///< sides that are connected
  std::atomic<std::uint32_t> done;         ///< the server side has the last message
  std::atomic<std::uint32_t> finished;     ///< the client side has measured, and the server sides may end
  std::atomic<std::uint64_t> ended;        ///< when it got it, ticks
  std::atomic<std::uint64_t> delivered;    ///< messages that arrived intact and in order
  std::uint32_t processes;                 ///< both sides, and the contender's daemons
  std::array<pid_t, kMaxProcesses> pids;
  Figures closed;                           ///< also: the saturation of the open kinds
  std::array<Figures, kLoads.size()> open;  ///< at kLoads of it
  char problem[512];
  std::array<Progress, kMaxSubscribers> progress;
  alignas(4096) std::array<std::byte, kScratchBytes> scratch;
};

/// The board as a memfd, zeroed.
class BoardMemory {
 public:
  BoardMemory();                 ///< makes one
  explicit BoardMemory(int fd);  ///< of a side: what the harness made
  int fd() const { return fd_.get(); }
  Board& operator*() const { return *reinterpret_cast<Board*>(mapping_.data()); }
  Board* operator->() const { return &**this; }

 private:
  slot::Fd fd_;
  slot::Mapping mapping_;
};

/// FUTEX_WAIT and FUTEX_WAKE on a word of the board.
void wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value);
void wake_all(std::atomic<std::uint32_t>& word);
/// Adds one and wakes.
void count_up(std::atomic<std::uint32_t>& word);
void wait_until_at_least(std::atomic<std::uint32_t>& word, std::uint32_t value);

/// Processor time of all the board's processes so far, all their threads, in nanoseconds.
std::uint64_t cpu_ns(const Board& board);

/// How often threads of the board's processes have given their core up to wait. Threads that ended are not counted.
std::uint64_t voluntary_switches(const Board& board);

/// Median and 99th percentile of ticks; sorts them.
Figures summarise(std::span<std::uint64_t> ticks, const Clock& clock);

}  // namespace slotwire::bench
