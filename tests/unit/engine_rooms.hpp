// Rooms of the engine on a machine of the test's: simulated time, a keeper in memory, processes that are numbers.
#pragma once
#include <spdlog/sinks/null_sink.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "driver/router/make_card.hpp"
#include "runtime/engine/sessions/session_table.hpp"
#include "runtime/engine/slots/slot_table.hpp"
#include "sim/engine/sim_loop.hpp"
#include "sim/engine/sim_machine.hpp"

namespace slotwire::engine {

/// Records what the peers of links would be told.
struct RecordingPeers final : CloseTeller {
  void tell_close(std::uint16_t link, const control::PeerClose& close) override { told.emplace_back(link, close); }
  bool can_tell(std::uint16_t /*link*/) const override { return reachable; }
  bool usable(std::uint16_t /*link*/) const override { return reachable; }

  std::vector<std::pair<std::uint16_t, control::PeerClose>> told;
  bool reachable = true;
};

struct QuietCard final : driver::CardListener {
  void on_fault(std::uint16_t /*slot*/, regs::Fault /*fault*/) override {}
  void on_link(std::uint16_t /*link*/, bool /*up*/, std::string_view /*reason*/) override {}
};

inline Config room_config(const std::string& more = {}) {
  return parse_config(
      "[node]\nname = \"left\"\nrun_dir = \"/nonexistent\"\n[limits]\nslots = 8\nsessions = 3\nlinks = 2\n"
      "slots_per_session = 5\nlinger = \"1s\"\n[memory]\nslot_memory = \"256KiB\"\nmax_ring = \"64KiB\"\nring = "
      "\"4KiB\"\n" +
          more,
      "test");
}

/// A card in software alone.
inline std::unique_ptr<driver::Card> software_card(Admin& admin, driver::CardListener& listener, std::size_t links) {
  driver::CardComposition made;
  made.rows = admin.rows();
  made.soft.links = links;
  return driver::make_card(std::move(made), listener);
}

/// Sessions and slots over a card in software.
class Rooms {
 public:
  explicit Rooms(Config given = room_config())
      : config(std::move(given)),
        admin("left", config.limits.slots, config.limits.sessions, config.memory.slot_memory),
        loop(timeline),
        log(std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::null_sink_st>()), loop),
        processes(timeline),
        owned_card(software_card(admin, listener, 3)),
        card(*owned_card),
        sessions({config, admin, card, loop, store, processes, log, [this] { return ++random_bits; }, users},
                 [this](Session& session, End end) {
                   const std::vector<std::uint32_t> held = session.slots;
                   for (const std::uint32_t slot : held) {
                     if (slot != kNoSlotIndex) slots.begin_close(static_cast<std::uint16_t>(slot), end);
                   }
                 }),
        slots({config, admin, card, loop, store, sessions, accounts, peers, log, [this] { return ++random_bits; },
               kLoopLink}) {}

  /// A process that is attached; its end of the control socket is pipes.back().
  Session& attach(pid_t pid, uid_t uid = ::getuid()) {
    processes.born(pid);
    Session& session = sessions.open(who(pid, uid), "p" + std::to_string(pid));
    pipes.push_back(std::make_shared<sim::PacketPipe>(timeline));
    sessions.attach(session, pipes.back()->engine_end(), {});
    return session;
  }
  static PeerCredentials who(pid_t pid, uid_t uid = ::getuid()) {
    PeerCredentials credentials;
    credentials.pid = pid;
    credentials.uid = uid;
    credentials.start_time = static_cast<std::uint64_t>(pid);
    return credentials;
  }
  std::uint16_t open(const Session& session, Pairing pairing, unsigned order = 6) {
    return slots.open({.session = session.index,
                       .link = pairing == Pairing::remote ? std::optional<std::uint16_t>(0) : std::nullopt,
                       .in_order = order,
                       .out_order = order,
                       .pairing = pairing,
                       .service = "orders",
                       .acceptor = false});
  }
  /// As a peer opens it for a process that serves here.
  std::uint16_t open_for(const std::string& peer, const Session& session, std::uint16_t peer_slot = 3,
                         unsigned order = 6) {
    const std::uint16_t slot = slots.open({.session = session.index,
                                           .link = 0,
                                           .in_order = order,
                                           .out_order = order,
                                           .pairing = Pairing::remote,
                                           .service = "orders",
                                           .acceptor = true,
                                           .opened_by = peer});
    slots.pair_remote(slot,
                      {.link = 0, .slot = peer_slot, .epoch = 9, .first = {}, .node = peer, .process = {"p", 1, 2}});
    return slot;
  }
  /// The next event that the process behind `pipe` was sent; fails the test when there is none.
  template <class E>
  E event(sim::PacketPipe& pipe) {
    const std::optional<control::Packet> packet = pipe.receive();
    if (!packet) throw std::runtime_error("the process was told nothing");
    auto read = control::decode_from_engine(packet->text);
    return std::get<E>(std::get<control::Event>(read.value()));
  }

  static constexpr std::uint16_t kLoopLink = 2;

  Config config;
  Admin admin;
  sim::Timeline timeline;
  sim::SimLoop loop;
  NodeLog log;
  sim::SimStore store;
  sim::SimProcesses processes;
  QuietCard listener;
  std::unique_ptr<driver::Card> owned_card;
  driver::Card& card;
  RecordingPeers peers;
  std::uint32_t random_bits = 0;
  UserAccounts users{config, ::getuid()};
  PeerAccounts accounts{config, users};
  SessionTable sessions;
  SlotTable slots;
  std::vector<std::shared_ptr<sim::PacketPipe>> pipes;
};

/// The code of the Refusal that `action` throws; empty when it throws none.
template <class F>
std::string refusal(F&& action) {
  try {
    action();
  } catch (const Refusal& refused) {
    return refused.code;
  }
  return {};
}

}  // namespace slotwire::engine
