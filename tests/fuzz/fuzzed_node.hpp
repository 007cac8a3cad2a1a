// A whole node on a machine of the fuzz target's: simulated time, processes and peers that are hostile, a keeper that
// can be changed while no engine runs.
#pragma once
#include <spdlog/sinks/null_sink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "driver/router/make_card.hpp"
#include "input.hpp"
#include "runtime/engine/node.hpp"
#include "runtime/engine/services/directory.hpp"
#include "sim/engine/node_invariants.hpp"
#include "sim/engine/sim_loop.hpp"
#include "sim/engine/sim_machine.hpp"
#include "sim/engine/sim_transport.hpp"

namespace slotwire::fuzz {

/// A control connection as its peer has it.
struct PeerEnd {
  std::deque<std::string> said;  ///< by the peer, not read yet
  std::size_t told_bytes = 0;    ///< to the peer, since it read last
  std::size_t hellos = 0;        ///< that the node has said
  std::function<void()> ready;
  bool there = false;
  bool deaf = false;
  std::string ended;
  bool revoked = false;

  void tell() {
    const std::function<void()> call = ready;  // it may destroy the channel, which clears `ready`
    if (call) call();
  }
};

class PeerChannel final : public engine::ControlChannel {
 public:
  explicit PeerChannel(std::shared_ptr<PeerEnd> end) : end_(std::move(end)) { end_->there = true; }
  ~PeerChannel() override {
    end_->there = false;
    end_->ready = nullptr;
  }
  PeerChannel(const PeerChannel&) = delete;
  PeerChannel& operator=(const PeerChannel&) = delete;

  Sent send(std::string_view message) override {
    // Whatever the node says, its peer can read.
    const core::Result<control::PeerMessage> read = control::decode_peer(message);
    require(read.ok());
    if (message.size() > control::kMaxPeerMessage) return Sent::too_long;
    if (!end_->ended.empty()) return Sent::closed;
    if (end_->deaf || end_->told_bytes + message.size() > control::kGateWindowOut) return Sent::no_room;
    end_->told_bytes += message.size();
    end_->hellos += std::holds_alternative<control::PeerHello>(read.value()) ? 1 : 0;
    require(end_->hellos <= 1);
    return Sent::sent;
  }
  std::optional<std::string> next() override {
    if (end_->said.empty()) return std::nullopt;
    std::string text = std::move(end_->said.front());
    end_->said.pop_front();
    return text;
  }
  bool closed() const override { return !end_->ended.empty() && end_->said.empty(); }
  std::string reason() const override { return end_->ended; }
  bool revoked() const override { return end_->revoked; }
  void on_ready(std::function<void()> ready) override { end_->ready = std::move(ready); }

 private:
  std::shared_ptr<PeerEnd> end_;
};

class PeerNetwork final : public engine::ControlNetwork {
 public:
  void listen(OnCaller on_caller) override { call = std::move(on_caller); }
  std::unique_ptr<engine::ControlChannel> dial(const engine::LinkConfig&, std::uint64_t) override {
    if (refuses) throw std::runtime_error("nobody answers");
    dialled = std::make_shared<PeerEnd>();
    return std::make_unique<PeerChannel>(dialled);
  }
  void resolve(const std::string&, OnAddresses found) override { found(core::Error{"nothing is looked up here"}); }
  std::string_view protection() const override { return ""; }

  OnCaller call;
  std::shared_ptr<PeerEnd> dialled;
  bool refuses = false;
};

/// Node "a", to which "b" has a link over the simulated wire, and "z" one that this node dials.
class FuzzedNode {
 public:
  static constexpr std::size_t kSlots = 16;
  static constexpr std::size_t kSessions = 6;
  static constexpr uid_t kStranger = 60'001, kOther = 60'002;

  explicit FuzzedNode(bool strict, bool sealed) : config_(config(strict, sealed)) {
    // A card in software needs no frames to be lost: the peer's are the input's.
    sim::SimTransport::use_wires({&wire_});
  }
  ~FuzzedNode() {
    crash();
    sim::SimTransport::use_wires({});
  }
  FuzzedNode(const FuzzedNode&) = delete;
  FuzzedNode& operator=(const FuzzedNode&) = delete;

  void start() {
    loop_ = std::make_unique<sim::SimLoop>(timeline_);
    log_ = std::make_unique<engine::NodeLog>(
        std::make_shared<spdlog::logger>("fuzzed", std::make_shared<spdlog::sinks::null_sink_st>()), *loop_);
    directory_ = std::make_unique<engine::StaticDirectory>(config_.services, config_.directory);
    network_ = std::make_unique<PeerNetwork>();
    node_ = std::make_unique<engine::Node>(engine::NodeParts{
        .config = config_,
        .loop = *loop_,
        .log = *log_,
        .store = store_,
        .kept = store_.take(),
        .processes = processes_,
        .network = *network_,
        .directory = *directory_,
        .tls = nullptr,
        .random = [this] { return random_.bits32(); },
        .make_card = [](engine::Admin& admin, driver::CardListener& listener) -> std::unique_ptr<driver::Card> {
          driver::CardComposition card;
          card.rows = admin.rows();
          card.soft.links = 4;
          return driver::make_card(std::move(card), listener);
        }});
    node_->start();
  }
  /// Like kill -9.
  void crash() {
    node_.reset();
    network_.reset();
    directory_.reset();
    log_.reset();
    loop_.reset();
  }
  bool runs() const { return node_ != nullptr; }

  engine::Node& node() { return *node_; }
  PeerNetwork& network() { return *network_; }
  sim::SimStore& store() { return store_; }
  sim::SimProcesses& processes() { return processes_; }
  sim::SimWire& wire() { return wire_; }
  sim::Timeline& timeline() { return timeline_; }

  /// A process connects to the control socket. Returns its end.
  slot::Fd connect(pid_t pid, uid_t uid) {
    std::array<int, 2> fds{};
    require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
    slot::Fd process(fds[1]);
    auto socket = std::make_unique<control::PacketSocket>(slot::Fd(fds[0]), config_.limits.control_message, kQueue);
    const bool trusted = uid == 0 || uid == ::getuid();
    socket->distrust([trusted](std::string_view text) { return trusted && text.find("capture") != text.npos; });
    engine::PeerCredentials who;
    who.pid = pid;
    who.uid = uid;
    who.gids = {uid};
    who.start_time = static_cast<std::uint64_t>(pid);
    node_->hub().add(std::move(socket), std::move(who));
    return process;
  }

  /// Time passes, everybody has turns, and what must hold holds.
  void turn(std::uint64_t us) {
    timeline_.advance(us);
    constexpr int kTurns = 4;
    for (int i = 0; i < kTurns; ++i) {
      const bool ran = loop_->run();
      if (!node_->step(timeline_.now_us()) && !ran) break;
    }
    since_tick_us_ += us;
    if (since_tick_us_ >= kTickUs) {
      since_tick_us_ = 0;
      node_->tick();
    }
    check();
  }
  void check() {
    const std::string wrong = sim::broken_invariant(*node_, store_);
    if (!wrong.empty()) std::fprintf(stderr, "%s\n", wrong.c_str());
    require(wrong.empty());
    check_quotas();
  }

 private:
  static constexpr std::size_t kQueue = 64;
  static constexpr std::uint64_t kTickUs = 250'000;

  static engine::Config config(bool strict, bool sealed) {
    static const bool added = [] {
      sim::SimTransport::use_wires({});  // adds the transport "sim"
      return true;
    }();
    require(added);
    std::string text =
        "[node]\nname = \"a\"\nrun_dir = \"/nonexistent\"\n[limits]\nslots = 16\nsessions = 6\nlinks = 3\nlinger = "
        "\"1s\"\npending_opens = 4\nslots_per_user = 8\nsessions_per_user = 3\nservices = 8\nservices_per_user = 4\n"
        "pending_opens_per_user = 2\nslots_per_peer = 6\npending_opens_per_peer = 2\ntool_connections = "
        "8\ntool_connections_per_user = 4\nrequests_per_user = 1000\nregions = 8\nblock_memory = \"1MiB\"\ncell_memory "
        "= \"4KiB\"\n"
        "control_message = \"8KiB\"\n[memory]\nslot_memory = \"2MiB\"\nmax_ring = \"64KiB\"\nring = \"4KiB\"\n"
        "[listen]\ncontrol = \"127.0.0.1:1\"\n"
        "[[link]]\npeer = \"b\"\ncontrol = \"127.0.0.1:2\"\ncarrier = \"sim\"\ndial = false\n"
        "[[link]]\npeer = \"z\"\ncontrol = \"127.0.0.1:3\"\ncarrier = \"sim\"\n"
        "[[service]]\nname = \"x\"\nnodes = [\"a\"]\n[[service]]\nname = \"far\"\nnodes = [\"b\", \"z\"]\n"
        "[[allow]]\naction = \"serve\"\nservice = \"*\"\nusers = [\"*\"]\n"
        "[[allow]]\naction = \"connect\"\nservice = \"*\"\nusers = [\"*\"]\nnodes = [\"*\"]\n";
    if (strict) text += "isolation = \"strict\"\n";
    text += "[[region]]\nname = \"y\"\nisolation = \"strict\"\nusers = [\"*\"]\n";
    engine::Config config = engine::parse_config(text, "fuzzed");
    if (sealed) {
      for (engine::LinkConfig& link : config.links) link.encryption = carriers::CipherSuite::aes_128_gcm;
      config.encryption.rekey_frames = 64;
    }
    return config;
  }

  void check_quotas() {
    using engine::Resource;
    const engine::LimitsConfig& l = config_.limits;
    const engine::UserAccounts& users = node_->users();
    require(users.total(Resource::slots) <= l.slots && users.total(Resource::sessions) <= l.sessions);
    require(users.total(Resource::pending_opens) <= l.pending_opens);
    require(users.total(Resource::unread) <= l.unread);
    require(users.total(Resource::tool_connections) <= l.tool_connections);
    require(node_->hub().clients() <= l.tool_connections + l.sessions);
    for (const char* const peer : {"b", "z"}) {
      const engine::PeerAccounts& accounts = node_->accounts();
      require(accounts.held(peer, engine::PeerResource::slots) <= l.slots_per_peer);
      require(accounts.held(peer, engine::PeerResource::pending_opens) <= l.pending_opens_per_peer);
    }
    for (const uid_t uid : {kStranger, kOther}) {
      require(users.held(uid, Resource::sessions) <= l.sessions_per_user);
      require(users.held(uid, Resource::services) <= l.services_per_user);
      require(users.held(uid, Resource::pending_opens) <= l.pending_opens_per_user);
      require(users.held(uid, Resource::tool_connections) <= l.tool_connections_per_user);
      // An end that the other's user paid for is the own user's when that one has gone.
      require(users.held(uid, Resource::slots) <= 2 * l.slots_per_user);
      require(users.held(uid, Resource::unread) <= l.unread_per_user);
    }
  }

  engine::Config config_;
  sim::Timeline timeline_;
  sim::Random random_{1};
  sim::SimWire wire_{timeline_, random_};
  sim::SimStore store_;
  sim::SimProcesses processes_{timeline_};
  std::uint64_t since_tick_us_ = 0;
  // Of one life, in the order in which they are made; destroyed the other way round.
  std::unique_ptr<sim::SimLoop> loop_;
  std::unique_ptr<engine::NodeLog> log_;
  std::unique_ptr<engine::StaticDirectory> directory_;
  std::unique_ptr<PeerNetwork> network_;
  std::unique_ptr<engine::Node> node_;
};

}  // namespace slotwire::fuzz
