// A process of a simulated node: it attaches, serves, connects, writes and reads lines, closes, dies and comes back,
// and checks every line that it reads.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/slot/bell.hpp"
#include "core/slot/memory.hpp"
#include "core/slot/ring.hpp"
#include "runtime/control/codec.hpp"
#include "sim/engine/sim_machine.hpp"
#include "sim/random.hpp"

namespace slotwire::sim {

/// What was written into one direction of one connection, known to both ends through the world.
struct Flow {
  std::uint64_t written = 0;
  bool closed_in_order = false;  ///< its writer closed, so everything that was written has to arrive
};
/// Flows by the number that their lines carry.
using Flows = std::map<std::uint64_t, Flow>;

/// One end of a connection as its process has it.
struct SimEnd {
  control::SlotInfo info;
  slot::Space own, other;
  slot::Fd wake, peer_wake;
  slot::Producer out;
  slot::Consumer in;
  std::uint64_t flow = 0;                   ///< of what it writes
  std::optional<std::uint64_t> reads_flow;  ///< of what it reads; none before the first line
  std::uint64_t read = 0;
  bool peer_ended = false;
  control::End reason = control::End::none;
};

class SimProcess {
 public:
  /// Reports what must not be. `problem` names the process and the connection.
  using Violated = std::function<void(const std::string& problem)>;

  SimProcess(pid_t pid, Random& random, Flows& flows, Violated violated)
      : pid_(pid), random_(random), flows_(flows), violated_(std::move(violated)) {}

  pid_t pid() const { return pid_; }
  std::string name() const { return "p" + std::to_string(pid_); }
  bool attached() const { return pipe_ != nullptr && !pipe_->ended() && session_ != 0 && !resuming_; }
  bool has_pipe() const { return pipe_ != nullptr && !pipe_->ended(); }
  bool was_attached() const { return session_ != 0; }
  std::map<std::uint32_t, SimEnd>& ends() { return ends_; }
  const std::set<std::string>& services() const { return services_; }
  std::size_t asked() const { return asked_.size(); }

  /// Reaches the engine through `pipe`: says hello, or takes its session up again.
  void reach(std::shared_ptr<PacketPipe> pipe);
  void serve(const std::string& service);
  void unserve(const std::string& service);
  void connect(const std::string& service, std::uint64_t ring_bytes, std::int64_t timeout_ms);
  /// Closes its end; the engine is told.
  void close(std::uint32_t local);
  /// Closes in good order, or just ends.
  void end(bool says_bye);
  /// Takes what the engine sent.
  void process();
  /// Writes up to `lines` lines; reads everything that is there and checks it.
  void write(SimEnd& end, std::uint32_t lines);
  void read(SimEnd& end);

 private:
  enum class Asked { hello, resume, serve, connect, close };

  std::uint64_t ask(Asked what, const control::Request& request);
  void take_answer(const control::Answer& answer, std::vector<slot::Fd> fds);
  void take_event(const control::Event& event, std::vector<slot::Fd> fds);
  void take_slot(const control::SlotInfo& info, std::vector<slot::Fd> fds);
  void peer_ended(std::uint32_t local, control::End reason);
  void ring(const SimEnd& end);
  void drop_all();

  pid_t pid_;
  Random& random_;
  Flows& flows_;
  Violated violated_;
  std::shared_ptr<PacketPipe> pipe_;
  std::uint64_t session_ = 0;
  bool resuming_ = false;
  std::string token_;
  slot::Mapping bells_, polled_;
  slot::Fd kick_;
  std::uint64_t last_request_ = 0;
  std::map<std::uint64_t, Asked> asked_;
  std::set<std::string> services_;
  std::map<std::uint32_t, SimEnd> ends_;  ///< by local index
};

}  // namespace slotwire::sim
