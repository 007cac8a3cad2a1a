#include "sim/engine/engine_world.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include <spdlog/sinks/null_sink.h>

#include "driver/router/make_card.hpp"
#include "sim/engine/node_invariants.hpp"

namespace slotwire::sim {
namespace {

using engine::Pairing;
using engine::Phase;

constexpr std::size_t kProcessesPerNode = 4;
constexpr std::size_t kSlots = 24;
constexpr std::array<const char*, 3> kServices = {"x", "y", "z"};

/// A node over all lives of its engine.
struct SimNode {
  std::string name;
  engine::Config config;
  SimStore store;
  std::unique_ptr<SimProcesses> machine;
  std::vector<std::unique_ptr<SimProcess>> processes;
  // Of one life, in the order in which they are made; destroyed the other way round.
  std::unique_ptr<SimLoop> loop;
  std::unique_ptr<engine::NodeLog> log;
  std::unique_ptr<engine::StaticDirectory> directory;
  std::unique_ptr<engine::ControlNetwork> network;
  std::unique_ptr<engine::Node> node;
  std::uint64_t next_tick_us = 0;
};

engine::Config config_of(const std::string& name, const std::string& peer, Random& random) {
  std::string text = "[node]\nname = \"" + name +
                     "\"\nrun_dir = \"/nonexistent\"\n[limits]\nslots = " + std::to_string(kSlots) +
                     "\nsessions = 6\nlinks = 2\nlinger = \"600s\"\npending_opens = 4\nlink_down = \"" +
                     (random.chance(300) ? "100ms" : "0s") +
                     "\"\n[memory]\nslot_memory = \"4MiB\"\nmax_ring = \"64KiB\"\nring = \"4KiB\"\n"
                     "[listen]\ncontrol = \"127.0.0.1:1\"\n[[link]]\npeer = \"" +
                     peer + "\"\ncontrol = \"127.0.0.1:2\"\ncarrier = \"sim\"\n";
  for (const char* service : kServices) {
    text += "[[service]]\nname = \"" + std::string(service) + "\"\nnodes = [\"" + peer + "\"]\n";
  }
  if (random.chance(300)) {
    text +=
        "[[allow]]\naction = \"serve\"\nservice = \"*\"\nusers = [\"*\"]\n"
        "[[allow]]\naction = \"connect\"\nservice = \"*\"\nusers = [\"*\"]\nnodes = [\"*\"]\nisolation = \"strict\"\n";
  }
  return engine::parse_config(text, "simulated");
}

class EngineWorld {
 public:
  explicit EngineWorld(const EngineRun& run)
      : run_(run), random_(run.seed), net_(timeline_, random_), wire_(timeline_, random_) {
    SimTransport::use_wire(&wire_);
    net_.delay_us = random_.between(100, 3000);
    const bool sealed = random_.chance(300);
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      SimNode& node = nodes_[i];
      node.name = i == 0 ? "a" : "b";
      node.config = config_of(node.name, i == 0 ? "b" : "a", random_);
      if (sealed) {
        node.config.links[0].encryption = carriers::CipherSuite::aes_128_gcm;
        node.config.encryption.rekey_frames = 64;
      }
      node.machine = std::make_unique<SimProcesses>(timeline_);
      start(node);
      for (std::size_t p = 0; p < kProcessesPerNode; ++p) spawn(node);
    }
  }
  ~EngineWorld() { SimTransport::use_wire(nullptr); }
  EngineWorld(const EngineWorld&) = delete;
  EngineWorld& operator=(const EngineWorld&) = delete;

  EngineResult run() {
    for (unsigned i = 0; i < run_.steps && !violated(); ++i) {
      act();
      turn(random_.between(1, 3000));
    }
    heal();
    agree();
    finish();
    result_.hash = hash_;
    if (violated()) result_.events.assign(events_.begin(), events_.end());
    return std::move(result_);
  }

 private:
  bool violated() const { return result_.violation.has_value(); }
  void violate(const std::string& what) {
    if (!violated()) result_.violation = what;
  }
  void note(const std::string& what) {
    events_.push_back(std::to_string(timeline_.now_us()) + " us: " + what);
    if (events_.size() > 40) events_.pop_front();
    for (const char c : what) hash_ = mix(hash_ ^ static_cast<unsigned char>(c));
  }

  // ---- lives of engines and processes ----

  void start(SimNode& node) {
    node.loop = std::make_unique<SimLoop>(timeline_);
    node.log = std::make_unique<engine::NodeLog>(
        std::make_shared<spdlog::logger>("simulated", std::make_shared<spdlog::sinks::null_sink_st>()), *node.loop);
    node.directory = std::make_unique<engine::StaticDirectory>(node.config.services, node.config.directory);
    node.network = net_.join(node.name, *node.loop);
    node.node = std::make_unique<engine::Node>(engine::NodeParts{
        .config = node.config,
        .loop = *node.loop,
        .log = *node.log,
        .store = node.store,
        .kept = node.store.take(),
        .processes = *node.machine,
        .network = *node.network,
        .directory = *node.directory,
        .tls = nullptr,
        .random = [this] { return random_.bits32(); },
        .make_card = [](engine::Admin& admin, driver::CardListener& listener) -> std::unique_ptr<driver::Card> {
          driver::CardComposition card;
          card.rows = admin.rows();
          card.soft.links = 3;
          return driver::make_card(std::move(card), listener);
        }});
    node.node->start();
    node.next_tick_us = timeline_.now_us() + 250'000;
  }

  /// Like kill -9.
  void crash(SimNode& node) {
    node.node.reset();
    node.network.reset();
    node.directory.reset();
    node.log.reset();
    node.loop.reset();
    ++result_.restarts;
  }

  void spawn(SimNode& node) {
    const pid_t pid = ++last_pid_;
    node.machine->born(pid);
    node.processes.push_back(std::make_unique<SimProcess>(
        pid, random_, flows_,
        [this, &node](const std::string& problem) { violate("node " + node.name + ": " + problem); }));
  }

  void reach(SimNode& node, SimProcess& process) {
    if (process.has_pipe()) return;
    const auto pipe = std::make_shared<PacketPipe>(timeline_);
    engine::PeerCredentials who;
    who.pid = process.pid();
    who.uid = ::getuid();
    who.start_time = static_cast<std::uint64_t>(process.pid());
    node.node->hub().add(pipe->engine_end(), who);
    process.reach(pipe);
  }

  void end_process(SimNode& node, std::size_t index) {
    SimProcess& process = *node.processes[index];
    for (auto& [local, end] : process.ends()) judge(node, process, end);
    process.end(random_.chance(500));
    node.machine->died(process.pid());
    retired_.push_back(std::move(node.processes[index]));
    node.processes.erase(node.processes.begin() + static_cast<std::ptrdiff_t>(index));
    if (retired_.size() > 16) retired_.pop_front();
  }

  /// The end of a connection is read to its end: what its peer wrote and closed in order has arrived.
  void judge(SimNode& node, SimProcess& process, SimEnd& end) {
    process.read(end);
    if (end.reason != control::End::closed || !end.reads_flow) return;
    const Flow& flow = flows_.at(*end.reads_flow);
    if (flow.closed_in_order && end.read != flow.written) {
      violate("node " + node.name + ", " + process.name() + ": " + std::to_string(end.read) + " of " +
              std::to_string(flow.written) + " lines arrived before the peer's close");
    }
  }

  // ---- what happens ----

  void act() {
    SimNode& node = nodes_[random_.below(2)];
    if (random_.chance(120)) return chaos(node);
    if (node.processes.empty()) return spawn(node);
    const std::size_t index = random_.below(static_cast<std::uint32_t>(node.processes.size()));
    SimProcess& process = *node.processes[index];
    if (!process.has_pipe()) {
      note("reach " + node.name + " " + process.name());
      return reach(node, process);
    }
    if (!process.attached()) return;
    const std::string service = kServices[random_.below(kServices.size())];
    switch (random_.below(10)) {
      case 0:
        note("serve " + node.name + " " + process.name() + " " + service);
        return process.serve(service);
      case 1:
      case 2:
        note("connect " + node.name + " " + process.name() + " " + service);
        ++result_.opened;
        return process.connect(service, std::uint64_t{4096} << random_.below(3), random_.chance(200) ? 1 : 2000);
      case 3:
        if (process.ends().empty()) return;
        {
          auto end = process.ends().begin();
          std::advance(end, random_.below(static_cast<std::uint32_t>(process.ends().size())));
          note("close " + node.name + " " + process.name() + " " + std::to_string(end->first));
          judge(node, process, end->second);
          return process.close(end->first);
        }
      case 4:
        if (!random_.chance(400)) return;
        note("end " + node.name + " " + process.name());
        end_process(node, index);
        return spawn(node);
      case 5:
        if (process.services().contains(service) && random_.chance(300)) process.unserve(service);
        return;
      default:
        for (auto& [local, end] : process.ends()) {
          if (random_.chance(500)) process.write(end, random_.between(1, 40));
          if (random_.chance(700)) process.read(end);
        }
    }
  }

  void chaos(SimNode& node) {
    switch (random_.below(9)) {
      case 0:
      case 1:
        note("cut the control connection");
        ++result_.cuts;
        return net_.cut();
      case 2:
        net_.set_down(random_.chance(400));
        return;
      case 3:
        note("bend the wire");
        for (const auto& [from, to] : {std::pair<std::uint16_t, std::uint16_t>{0, 1}, {1, 0}}) {
          Channel& channel = wire_.network().channel(from, to);
          channel.loss = random_.chance(500) ? random_.below(300) : 0;
          channel.duplicate = random_.below(50);
          channel.reorder = random_.below(100);
          channel.jitter_us = random_.below(2000);
        }
        return;
      case 4:
        note(wire_.up() ? "cut the wire" : "mend the wire");
        return wire_.set_up(!wire_.up());
      case 5:
      case 6:
        note("restart " + node.name);
        crash(node);
        return start(node);
      case 7:
        if (!random_.chance(250)) return;
        note("restart " + node.name + " without its memory");
        crash(node);
        node.store.clear();
        return start(node);
      default: {
        std::vector<engine::ServiceConfig> services = node.config.services;
        if (random_.chance(300)) services.pop_back();
        note("reload the directory of " + node.name);
        (void)node.directory->replace(services, node.config.directory);
        return;
      }
    }
  }

  /// Lets everybody go on, in turn, and time pass.
  void turn(std::uint64_t us) {
    ++result_.steps;
    constexpr int kRounds = 4;
    for (int round = 0; round < kRounds && !violated(); ++round) {
      timeline_.advance(us / kRounds);
      for (SimNode& node : nodes_) {
        if (timeline_.now_us() >= node.next_tick_us) {
          node.node->tick();
          node.next_tick_us = timeline_.now_us() + 250'000;
        }
        constexpr int kPolls = 3;
        for (int i = 0; i < kPolls; ++i) {
          const bool ran = node.loop->run();
          if (!node.node->step(timeline_.now_us()) && !ran) break;
        }
        for (const auto& process : node.processes) process->process();
      }
    }
    for (SimNode& node : nodes_) check(node);
    check_pairs();
  }

  // ---- what must hold ----

  void check(SimNode& node) {
    if (const std::string wrong = broken_invariant(*node.node, node.store); !wrong.empty()) {
      violate("node " + node.name + ": " + wrong);
    }
  }

  /// What node x's slot `slot` is bound to; nothing when it is not bound over the link.
  std::optional<regs::SlotRow> bound(SimNode& node, std::uint16_t slot) {
    if (slot >= node.node->slots().count()) return std::nullopt;
    const engine::SlotDescriptor& d = node.node->slots().descriptor(slot);
    const regs::SlotRow& row = node.node->card().row(slot);
    if (d.pairing != Pairing::remote || static_cast<regs::SlotState>(row.state) != regs::SlotState::bound)
      return std::nullopt;
    return row;
  }

  void check_pairs() {
    for (std::size_t i = 0; i < kSlots; ++i) {
      const auto slot = static_cast<std::uint16_t>(i);
      const std::optional<regs::SlotRow> row = bound(nodes_[0], slot);
      if (!row) continue;
      const std::optional<regs::SlotRow> other = bound(nodes_[1], row->peer_slot);
      if (other && other->epoch == row->epoch && other->peer_slot != slot) {
        violate("slot " + std::to_string(slot) + " of a is paired with slot " + std::to_string(row->peer_slot) +
                " of b, which is paired with another one");
      }
    }
  }

  /// The network is good again, and everybody that lives comes back.
  void heal() {
    net_.set_down(false);
    wire_.set_up(true);
    for (const auto& [from, to] : {std::pair<std::uint16_t, std::uint16_t>{0, 1}, {1, 0}}) {
      wire_.network().channel(from, to) = {};
    }
    note("heal");
    for (int i = 0; i < 400 && !violated(); ++i) {
      for (SimNode& node : nodes_) {
        for (const auto& process : node.processes) {
          if (!process->has_pipe()) reach(node, *process);
          for (auto& [local, end] : process->ends()) process->read(end);
        }
      }
      turn(20'000);
    }
  }

  static std::string slot_text(SimNode& node, std::uint16_t slot) {
    const engine::SlotDescriptor& d = node.node->slots().descriptor(slot);
    const regs::SlotRow& row = node.node->card().row(slot);
    return "slot " + std::to_string(slot) + " of " + node.name + ": pairing " +
           std::to_string(static_cast<int>(d.pairing)) + ", phase " + std::to_string(static_cast<int>(d.phase)) +
           ", session " + std::to_string(static_cast<std::int32_t>(d.session)) + ", row state " +
           std::to_string(row.state) + ", paired with " + std::to_string(row.peer_slot) + ", epoch " +
           std::to_string(row.epoch) + ", marks " + std::to_string(row.in_tail) + " " + std::to_string(row.in_head) +
           " " + std::to_string(row.out_tail) + " " + std::to_string(row.out_head);
  }
  /// The state of the link, for a violation.
  std::string link_text() {
    std::string text = "link";
    for (SimNode& node : nodes_) {
      for (const auto& peer : node.node->peers().all()) {
        if (!peer) continue;
        text += std::string(", ") + node.name + ": control " + (peer->control_up ? "up" : "down") + ", carrier " +
                (peer->carrier_up ? "up" : "down") + " (" + peer->reason + ")";
        if (const carriers::LinkKeys* const keys = peer->transport->keys(peer->link.index)) {
          const carriers::LinkKeyCounters& c = keys->counters();
          text += ", sealed " + std::to_string(c.sealed) + ", opened " + std::to_string(c.opened) + ", no key " +
                  std::to_string(c.no_key) + ", replayed " + std::to_string(c.replayed) + ", too old " +
                  std::to_string(c.too_old) + ", forged " + std::to_string(c.forged);
        }
      }
    }
    return text;
  }

  /// Both ends agree on every connection, and everything that was written has arrived.
  void agree() {
    for (std::size_t n = 0; n < nodes_.size() && !violated(); ++n) {
      SimNode& node = nodes_[n];
      engine::SlotTable& slots = node.node->slots();
      for (std::size_t i = 0; i < kSlots; ++i) {
        const auto slot = static_cast<std::uint16_t>(i);
        if (slots.descriptor(slot).phase != Phase::draining || slots.descriptor(slot).pairing == Pairing::none)
          continue;
        const regs::SlotRow& row = node.node->card().row(slot);
        violate("node " + node.name + ": slot " + std::to_string(slot) + " (" +
                (slots.descriptor(slot).pairing == Pairing::remote ? "remote" : "strict") + ", row state " +
                std::to_string(row.state) + ") never drains: IN_TAIL " + std::to_string(row.in_tail) + ", IN_HEAD " +
                std::to_string(row.in_head) + ", paired with slot " + std::to_string(row.peer_slot) + "; " +
                slot_text(nodes_[1 - n], row.peer_slot) + "; " + link_text());
      }
      if (node.node->connector().pending() != 0) violate("node " + node.name + " has connects without an answer");
      for (std::size_t i = 0; i < kSlots; ++i) {
        const auto slot = static_cast<std::uint16_t>(i);
        const std::optional<regs::SlotRow> row = bound(node, slot);
        if (!row || slots.descriptor(slot).phase != Phase::open) continue;
        const std::optional<regs::SlotRow> other = bound(nodes_[1 - n], row->peer_slot);
        if (!other || other->peer_slot != slot || other->epoch != row->epoch) {
          violate("node " + node.name + " has slot " + std::to_string(slot) + " paired, and its peer does not know it");
        }
      }
      for (const auto& process : node.processes) {
        for (auto& [local, end] : process->ends()) {
          if (end.peer_ended) {
            judge(node, *process, end);
          } else if (end.out.outstanding() != 0) {
            violate("node " + node.name + ", " + process->name() + ": lines of slot " + std::to_string(end.info.slot) +
                    " were never taken");
          }
          result_.lines += end.read;
        }
      }
    }
  }

  /// Everybody ends: nothing is left.
  void finish() {
    for (SimNode& node : nodes_) {
      while (!node.processes.empty()) end_process(node, 0);
    }
    for (int i = 0; i < 100 && !violated(); ++i) turn(20'000);
    for (SimNode& node : nodes_) {
      if (violated()) return;
      const blocks::BuddyStats memory = node.node->slots().memory();
      if (node.node->slots().used() != 0)
        violate("node " + node.name + " has " + std::to_string(node.node->slots().used()) + " slots left");
      if (node.node->sessions().used() != 0) violate("node " + node.name + " has sessions left");
      if (memory.free_bytes != memory.total_bytes) violate("node " + node.name + " has slot memory left");
      if (node.store.size() != 1) violate("the keeper of node " + node.name + " has descriptors left");
    }
  }

  EngineRun run_;
  Random random_;
  Timeline timeline_;
  SimControlNet net_;
  SimWire wire_;
  Flows flows_;
  std::array<SimNode, 2> nodes_;
  std::deque<std::unique_ptr<SimProcess>> retired_;
  pid_t last_pid_ = 1000;
  std::deque<std::string> events_;
  std::uint64_t hash_ = 0;
  EngineResult result_;
};

}  // namespace

EngineResult run_engines(const EngineRun& run) {
  return EngineWorld(run).run();
}

}  // namespace slotwire::sim
