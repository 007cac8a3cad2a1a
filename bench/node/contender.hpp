// What the suite `node` measures calls and messages through: Slotwire between two nodes, and what stands beside it. A
// contender is a file of its own and a line in contenders.cpp.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "processes.hpp"

namespace slotwire::fault {
class Cluster;
}

namespace slotwire::bench {

using Bytes = std::span<const std::byte>;

inline constexpr std::size_t kCallBytes = 64;
/// A wait that takes this long means that what is waited for never comes.
inline constexpr int kWaitMs = 30'000;
/// Name of Slotwire among the contenders.
inline constexpr const char* kSlotwire = "slotwire";

/// What one caller can do: `start(n)` begins call number n, `finish()` waits for answers and reports each by `done(n)`.
class CallEnd {
 public:
  virtual ~CallEnd() = default;
  virtual void start(std::size_t number) = 0;
  virtual void finish(const std::function<void(std::size_t)>& done) = 0;
};

/// Sends messages one at a time.
class Source {
 public:
  virtual ~Source() = default;
  virtual void send(Bytes message) = 0;
  /// After the last one: whoever counts them may have lost some.
  virtual void finish() {}
};

/// How far the receiver of messages is, in memory that it shares with the benchmark.
class Tally {
 public:
  /// Counts time from the message that follows the first `warm` ones.
  Tally(std::size_t size, std::size_t warm, std::size_t total);
  /// One message has arrived. Reads a word of each of its cache lines, as whoever uses it does at least. Returns
  /// whether it is the last one.
  bool take(Bytes message);
  /// `count` messages of the stated size, of which the receiver has seen the bytes already.
  bool count(std::size_t count);
  /// No more will come.
  void end();
  std::size_t size() const { return size_; }
  double rate() const;        ///< messages a second; 0 if too few came
  double lost_share() const;  ///< of all that were sent

 private:
  struct Counts {
    std::size_t received = 0, warm = 0;
    double begin_us = 0, end_us = 0;
  };
  std::size_t size_, warm_, total_;
  SharedArray<Counts> counts_;
};

/// Reads one word of each cache line.
void read_lines(Bytes bytes);

struct Contender {
  std::string name;
  /// Answers each request with its own bytes, until the process is killed. `index` is the server's number.
  std::function<void(const Ready&, std::size_t index)> echo{};
  std::function<std::unique_ptr<CallEnd>(const std::string& endpoint)> call{};
  /// Receives messages until the tally says that it was the last one. Without it: the contender has calls alone.
  std::function<void(const Ready&, Tally&)> sink{};
  std::function<std::unique_ptr<Source>(const std::string& endpoint)> source{};
  std::vector<pid_t> proxies{};  ///< processes between both ends
  /// Messages that it can send, bytes.
  std::size_t smallest = 0, largest = SIZE_MAX;
  bool only_several = false;  ///< differs from another one only with several calls under way
  bool only_single = false;   ///< has no more than one call of a caller under way
};

/// Slotwire from node 0 of the cluster to the others: server number n is on node n + 1.
Contender slotwire_contender(const fault::Cluster& nodes);
/// Four processes that pass on what Slotwire passes on and do nothing else: it sleeps in each wait, or it stays awake.
Contender relay_asleep();
Contender relay_awake();
Contender bare_tcp();
/// The same with one send() for all that is due.
Contender bare_tcp_together();
Contender bare_udp();
Contender zeromq();
Contender nng();
Contender grpc();

/// Those that stand beside Slotwire, as far as they were built in.
const std::vector<Contender>& peers();
/// Why the others were not.
const std::vector<std::string>& not_built();

/// Services that the nodes of slotwire_contender() need in their directory: `[[service]]` tables.
std::string contender_services(std::size_t nodes);

}  // namespace slotwire::bench
