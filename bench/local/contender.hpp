// What a contender is to the harness, and what its sides are given. A contender is a class in a file of its own under
// contenders/, which sides.hpp turns into measurements, and a line in registry.cpp.
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "board.hpp"

namespace slotwire::bench {

using Bytes = std::span<const std::byte>;

enum class Role { client, server };

/// What one side gets.
struct Setup {
  Role role;
  unsigned index;  ///< of the server side; more than one with several subscribers
  Board& board;
  const Job& job() const { return board.job; }
  bool spins() const { return job().waiting == Waiting::spin; }
  std::size_t size() const { return job().size; }
  /// Both sides let each other fall asleep before they send (kLullNs).
  bool lulls() const { return job().kind == Kind::round_trip && job().waiting == Waiting::block && job().verify == 0; }
  unsigned subscribers() const { return job().subscribers; }
  /// A path in the measurement's directory.
  std::string path(const std::string& name) const { return std::string(job().directory) + "/" + name; }
  std::string path(const std::string& name, unsigned number) const { return path(name + "-" + std::to_string(number)); }
  /// Of a server side: it can be connected to from now on. The client side starts when all server sides have said so.
  void bound() const { count_up(board.bound); }
};

/// Processes that a contender needs beside both sides. Ended by its destructor.
class Daemon {
 public:
  Daemon() = default;
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  virtual ~Daemon() = default;
  virtual std::vector<pid_t> pids() const = 0;
  virtual std::string endpoint() const { return {}; }  ///< becomes Job::endpoint
};

enum class Group { slotwire, peer, floor };

/// What a contender can do, beyond what its class shows.
struct Traits {
  Group group = Group::peer;
  bool spins = true;               ///< waits by looking
  bool blocks = true;              ///< waits asleep
  bool round_trips = true;         ///< has both directions
  bool fans_out = false;           ///< its client side sends to all subscribers
  std::size_t largest = SIZE_MAX;  ///< message, bytes
  bool own_threads = false;        ///< the library moves messages in threads of its own: sides are not pinned
  std::function<std::string()> unavailable{};  ///< why it cannot run on this machine; empty: it can
  std::function<std::unique_ptr<Daemon>(const std::filesystem::path&)> start{};  ///< its daemon, for all measurements
};

struct Contender {
  std::string name;
  Traits traits;
  bool messages = false;                  ///< has one-way messages
  bool batches = false;                   ///< sends several messages with one call
  bool loans = false;                     ///< has loans
  std::function<void(const Setup&)> run;  ///< a side's part of the measurement
};

/// A contender that is not measured.
struct LeftOut {
  std::string name, reason;
};

/// All contenders that were built in, in the order in which they are shown.
const std::vector<Contender>& contenders();
/// Those that were not, each with the reason.
const std::vector<LeftOut>& not_built();

}  // namespace slotwire::bench
