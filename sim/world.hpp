// One simulated run: nodes with pipelines, a bad network, processes, and the checks after every step.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/between.hpp"
#include "sim/breaks.hpp"
#include "sim/end.hpp"
#include "sim/network.hpp"

namespace slotwire::sim {

/// In which runs links are under congestion control.
enum class Control : std::uint8_t { never, some, always };

struct Options {
  std::uint64_t seed = 1;
  std::uint32_t slots = 8;        ///< connections at most, 1..200
  std::uint32_t steps = 20'000;   ///< before the network heals
  const Break* broken = nullptr;  ///< breaks tamper with rows, so their runs are not under congestion control
  Control control = Control::some;
  Between* between = nullptr;  ///< none: frames go into the network as they are
};

/// What went wrong. `events` are the last things that happened, oldest first.
struct Violation {
  std::uint64_t step = 0;
  std::string what;
  std::vector<std::string> events;
};

struct Result {
  std::uint64_t hash = 0;  ///< of every frame sent and when
  std::uint64_t steps = 0;
  std::uint64_t lines_read = 0;  ///< by all processes
  Time simulated_us = 0;
  Time heal_us = 0;  ///< from the healing of the network to the last line's release
  NetworkCounts network;
  std::array<std::uint64_t, regs::kCounterCount> counters{};  ///< over all nodes and their lives
  bool controlled = false;
  std::uint64_t restarts = 0, takeovers = 0, rebinds = 0, link_cuts = 0, blocks = 0, faults = 0;
  std::optional<Violation> violation;
};

/// Runs one seed to its end. Any thread; runs share nothing.
Result run(const Options& options);

/// Thrown inside a run by a check that fails.
struct Violated {
  std::string what;
};

class World {
 public:
  explicit World(const Options& options);
  Result run();

 private:
  struct Node {
    std::vector<regs::SlotRow> rows;
    std::unique_ptr<pipeline::Pipeline> pipe;
    std::vector<End*> by_slot;
    std::vector<bool> up, forced_block, blocked;  ///< by link, which is the number of the node at its other end
    std::vector<pipeline::LinkParameters> config;
    std::vector<congestion::State> control;  ///< by link
  };
  enum class What : std::uint8_t {
    act,
    poll,
    deliver,
    sweep,
    jump,
    channel,
    cut,
    heal,
    link_down,
    link_up,
    block,
    restart,
    takeover,
    stray,
    unbind,
    bind,
    fault,
    final
  };
  struct Event {
    std::uint64_t step;
    Time time;
    What what;
    std::uint32_t a, b, c;
  };

  // world.cpp: what happens
  void build();
  void step();
  void act(End& end, bool draining);
  void read(End& end, std::uint32_t lines);
  void ring(End& end);
  void poll(std::uint16_t node, std::size_t frames);
  void publish(std::uint16_t node, std::size_t marks);
  void take_events(std::uint16_t node);
  void transmit(std::uint16_t node, std::size_t frames);
  bool deliver_one();
  std::uint32_t sweep(std::uint16_t node);
  void refresh_block(std::uint16_t node, std::uint16_t link);
  bool controlled() const;
  void begin_control(std::uint16_t node, std::uint16_t link);
  void decide(std::uint16_t node);
  void finish();
  bool all_arrived() const;
  bool all_idle() const;
  void into_network(std::uint16_t from, std::uint16_t to, Bytes frame);
  void hash_frame(std::uint16_t from, std::uint16_t to, const Bytes& frame);

  // chaos.cpp: what goes wrong
  void chaos();
  void bend_channel();
  void stray_frame(std::uint16_t from, std::uint16_t to);
  void toggle_link(std::uint16_t node, std::uint16_t peer);
  void start_life(std::uint16_t node);
  void restart(std::uint16_t node);
  void takeover(std::uint16_t node);
  void begin_rebind(Pairing& pairing);
  bool go_on_rebinding(Pairing& pairing);
  void unbind(End& end);
  void bind(End& end);
  void heal();
  void collect_counters(std::uint16_t node);

  // check.cpp: what must hold
  void check();
  void check_links(std::uint16_t node);
  void check_end(const Pairing& pairing, End& end);
  void check_pair(const Pairing& pairing, unsigned writer) const;
  std::string name_of(const End& end) const;
  std::vector<std::string> last_events() const;

  pipeline::Microseconds now() const { return clock_base_ + static_cast<std::uint32_t>(time_); }
  const regs::SlotRow& row(const End& end) const { return nodes_[end.node].rows[end.slot]; }
  bool is_bound(const End& end) const { return row(end).state == static_cast<std::uint8_t>(regs::SlotState::bound); }
  void note(What what, std::uint32_t a = 0, std::uint32_t b = 0, std::uint32_t c = 0) {
    events_[events_seen_++ % events_.size()] = {step_, time_, what, a, b, c};
  }
  std::uint16_t node_count() const { return static_cast<std::uint16_t>(nodes_.size()); }
  std::uint16_t any_node() { return static_cast<std::uint16_t>(random_.below(node_count())); }

  Options options_;
  Random random_;
  std::unique_ptr<Tamper> tamper_;
  std::optional<Network> network_;
  std::vector<Node> nodes_;
  std::vector<Pairing> pairings_;
  std::uint32_t chaos_permille_ = 0;  ///< of the steps in which something goes wrong
  std::uint32_t clock_base_ = 0;
  Time time_ = 0;
  std::uint64_t step_ = 0;
  std::array<Event, 60> events_{};
  std::size_t events_seen_ = 0;
  Result result_;
};

}  // namespace slotwire::sim
