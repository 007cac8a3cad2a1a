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
  explicit EngineWorld(const EngineRun& run) : run_(run), random_(run.seed), net_(timeline_, random_) {
    std::vector<SimWire*> wires;
    for (std::size_t i = 0; i < (run.carriers ? kSimPaths.size() : 1); ++i) {
      wires_.push_back(std::make_unique<SimWire>(timeline_, random_));
      wires.push_back(wires_.back().get());
    }
    SimTransport::use_wires(std::move(wires));
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
  ~EngineWorld() { SimTransport::use_wires({}); }
  EngineWorld(const EngineWorld&) = delete;
  EngineWorld& operator=(const EngineWorld&) = delete;

  EngineResult run() {
    for (unsigned i = 0; i < run_.steps && !violated(); ++i) {
      act();
      turn(random_.between(1, 3000));
    }
    heal();
    agree();
    if (run_.carriers && !violated()) {
      move();
      heal();
      agree();
    }
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
        return bend(random_.below(static_cast<std::uint32_t>(wires_.size())));
      case 4:
        return cut_or_mend(random_.below(static_cast<std::uint32_t>(wires_.size())));
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

  // ---- wires ----

  static constexpr std::array<std::pair<std::uint16_t, std::uint16_t>, 2> kDirections = {{{0, 1}, {1, 0}}};

  /// What a connection carries is lost as a whole or not at all.
  bool is_connection(std::size_t wire) const { return run_.carriers && kSimPaths.at(wire).connection; }
  std::string name_of(std::size_t wire) const {
    return run_.carriers ? std::string("wire ") + kSimPaths.at(wire).name : "wire";
  }
  void bend(std::size_t wire) {
    note("bend the " + name_of(wire));
    for (const auto& [from, to] : kDirections) {
      Channel& channel = wires_[wire]->network().channel(from, to);
      if (is_connection(wire)) {
        channel.cut = random_.chance(600);
        continue;
      }
      channel.loss = random_.chance(500) ? random_.below(300) : 0;
      channel.duplicate = random_.below(50);
      channel.reorder = random_.below(100);
      channel.jitter_us = random_.below(2000);
    }
  }
  void cut_or_mend(std::size_t wire) {
    const bool up = wires_[wire]->up();
    note((up ? "cut the " : "mend the ") + name_of(wire));
    wires_[wire]->set_up(!up);
    if (is_connection(wire)) calm(wire);
  }
  /// Nothing is lost on it any more. A connection that was silent is another one afterwards.
  void calm(std::size_t wire) {
    bool silent = false;
    for (const auto& [from, to] : kDirections) {
      Channel& channel = wires_[wire]->network().channel(from, to);
      silent = silent || channel.cut;
      channel = {};
    }
    if (!silent || !is_connection(wire) || !wires_[wire]->up()) return;
    wires_[wire]->set_up(false);
    timeline_.at(timeline_.now_us() + 50'000, [this, wire] { wires_[wire]->set_up(true); });
  }
  /// One that works perfectly from now on.
  void make_good(std::size_t wire) {
    note("the " + name_of(wire) + " is good");
    const bool up = wires_[wire]->up();
    calm(wire);
    if (!up) wires_[wire]->set_up(true);
  }
  void spoil(std::size_t wire) {
    switch (random_.below(5)) {
      case 0:
        if (!wires_[wire]->up()) return;
        note("cut the " + name_of(wire));
        return wires_[wire]->set_up(false);
      case 1:
      case 2:
        // It is silent in one direction or in both, and nobody says so.
        note("silence the " + name_of(wire));
        for (const auto& [from, to] : kDirections) {
          wires_[wire]->network().channel(from, to).cut = random_.chance(700);
        }
        return;
      case 3:
        return is_connection(wire) ? make_good(wire) : bend(wire);
      default:
        return make_good(wire);
    }
  }

  /// Lines of one flow that were written and not read yet, and since when each is on its way.
  struct OnTheWay {
    std::uint64_t first = 0;
    std::deque<std::uint64_t> since_us;
  };

  /// The wires change while processes call each other. One of them is good at any time, and which one changes, too.
  void move() {
    constexpr std::uint64_t kMoveUs = 40'000'000, kTurnUs = 4'000;
    note("the wires move");
    std::map<std::uint64_t, OnTheWay> ways;
    const auto any = [this] { return random_.below(static_cast<std::uint32_t>(wires_.size())); };
    std::size_t good = any(), next = good;
    std::uint64_t good_from_us = timeline_.now_us();  // of `next`
    const std::uint64_t end_us = timeline_.now_us() + kMoveUs;
    while (timeline_.now_us() < end_us && !violated()) {
      if (random_.chance(12)) {
        // Only what nobody relies on is spoiled.
        if (const std::size_t wire = any(); wire != good && wire != next) spoil(wire);
      }
      if (next == good && random_.chance(2)) {
        next = any();
        make_good(next);
        good_from_us = timeline_.now_us();
      } else if (next != good && timeline_.now_us() >= good_from_us + kGoodUs) {
        good = next;
      }
      if (random_.chance(1)) {
        note("cut the control connection");
        net_.cut();
      }
      for (SimNode& node : nodes_) {
        for (const auto& process : node.processes) call(node, *process, ways);
      }
      turn(kTurnUs, 1);
      for (SimNode& node : nodes_) {
        for (const auto& process : node.processes) take_calls(*process, ways);
      }
    }
    for (const auto& peer : nodes_[0].node->peers().all()) {
      if (!peer) continue;
      nlohmann::json status;
      peer->transport->report_link(peer->link.index, status);
      result_.moves += status.value("changes", std::uint64_t{0});
    }
  }

  void call(SimNode& node, SimProcess& process, std::map<std::uint64_t, OnTheWay>& ways) {
    if (!process.has_pipe()) return reach(node, process);
    if (!process.attached()) return;
    const std::string service = kServices[random_.below(kServices.size())];
    if (process.services().empty()) return process.serve(service);
    constexpr std::size_t kEnds = 3;
    if (process.ends().size() < kEnds && random_.chance(5)) return process.connect(service, 4096, 2000);
    for (auto& [local, end] : process.ends()) {
      if (end.peer_ended) {
        ways.erase(end.flow);
        continue;
      }
      if (!random_.chance(100)) continue;
      const std::uint64_t before = flows_[end.flow].written;
      process.write(end, random_.between(1, 8));
      OnTheWay& way = ways[end.flow];
      if (way.since_us.empty()) way.first = before;
      const std::uint64_t written = flows_[end.flow].written - before;
      way.since_us.insert(way.since_us.end(), written, timeline_.now_us());
      result_.calls += written;
    }
  }

  /// Everything that has arrived is read at once, so that nothing waits for a process.
  void take_calls(SimProcess& process, std::map<std::uint64_t, OnTheWay>& ways) {
    for (auto& [local, end] : process.ends()) {
      process.read(end);
      const auto found = end.reads_flow ? ways.find(*end.reads_flow) : ways.end();
      if (found == ways.end()) continue;
      OnTheWay& way = found->second;
      while (!way.since_us.empty() && way.first < end.read) {
        took(timeline_.now_us() - way.since_us.front());
        way.since_us.pop_front();
        ++way.first;
      }
    }
    for (auto& [local, end] : process.ends()) {
      const auto found = ways.find(end.flow);
      if (found == ways.end() || found->second.since_us.empty() || end.peer_ended) continue;
      took(timeline_.now_us() - found->second.since_us.front());
    }
  }

  void took(std::uint64_t us) {
    result_.slowest_us = std::max(result_.slowest_us, us);
    if (us > kSlowestUs) violate("a line is on its way for " + std::to_string(us) + " us; " + link_text());
  }

  /// Lets everybody go on, in turn, and time pass.
  void turn(std::uint64_t us, unsigned rounds = 4) {
    ++result_.steps;
    for (unsigned round = 0; round < rounds && !violated(); ++round) {
      timeline_.advance(us / rounds);
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
    for (std::size_t i = 0; i < wires_.size(); ++i) make_good(i);
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

  /// Both ends send over the best wire, since all of them are good.
  void agree_on_wires() {
    for (SimNode& node : nodes_) {
      for (const auto& peer : node.node->peers().all()) {
        if (!peer || !run_.carriers) continue;
        nlohmann::json status;
        peer->transport->report_link(peer->link.index, status);
        const std::string path = status.value("path", std::string());
        if (path != kSimPaths.front().name) violate("node " + node.name + " sends over '" + path + "'; " + link_text());
      }
    }
  }

  /// Both ends agree on every connection, and everything that was written has arrived.
  void agree() {
    agree_on_wires();
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
  std::vector<std::unique_ptr<SimWire>> wires_;
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
