#include "runtime/engine/engine.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <filesystem>
#include <random>
#include <utility>

#include "core/slot/open_files.hpp"
#include "driver/sharded/poll_loop.hpp"
#include "runtime/engine/config/config_changes.hpp"
#include "runtime/engine/config/directories.hpp"
#include "runtime/engine/host/control_share.hpp"
#include "runtime/engine/recovery/descriptor_needs.hpp"
#include "runtime/engine/transports/tcp/tcp_transport.hpp"
#include "runtime/sandbox/sandbox.hpp"

namespace slotwire::engine {
namespace {

constexpr std::uint64_t kTickUs = 250'000;
/// Longest time that a stop may take to drain slots.
constexpr std::uint64_t kStopUs = 2'000'000;
/// What a slotwired that was killed may take to give the node free.
constexpr std::chrono::milliseconds kBusyPatience{1'000};
/// Between two looks at slots that drain during a stop.
constexpr std::uint64_t kStopPauseUs = 500;

/// Tags alone: all descriptors at once may be more than this process may open.
KeptDescriptors tags_of(const Keeper& keeper) {
  KeptDescriptors kept;
  for (const std::uint64_t tag : keeper.kept()) kept.try_emplace(tag);
  return kept;
}

}  // namespace

Engine::Engine(Config config)
    : config_(std::move(config)),
      log_file_(config_.log, config_.node.name),
      log_(log_file_.shared(), reactor_),
      notifier_(ServiceNotifier::from_environment()) {
  make_directory("node.run_dir", config_.node.run_dir);
  const NodeSize size{config_.limits.slots,   config_.limits.sessions,         config_.links.size(),
                      config_.limits.regions, config_.limits.region_processes, config_.limits.region_lists};
  KeeperOptions keeping;
  keeping.descriptors = descriptors_kept(size);
  // What there may be beyond what slotwired needs itself.
  const std::uint64_t files = slot::raise_open_files_limit(), needed = descriptors_needed(size);
  keeping.copies = static_cast<std::size_t>(files > needed ? files - needed : 0);
  keeping.starts_per_minute = config_.limits.keeper_starts;
  keeping.busy_patience = kBusyPatience;
  keeping.on_busy = [this](pid_t pid) {
    log_->info("slotwired of pid {} has the node; it may be about to end, and is waited for, at most {} s", pid,
               kBusyPatience.count() / 1000);
  };
  keeper_ = std::make_unique<Keeper>(Keeper::attach(config_.node.run_dir, config_.node.name, keeping));
  try {
    open(size);
  } catch (const std::exception&) {
    // Nothing is kept for the next start but what was there before.
    if (keeper_->kept().empty()) log_.note(keeper_->quit());
    throw;
  }
}

/// Everything but the keeper, which outlives it.
void Engine::open(const NodeSize& size) {
  const std::string shortage = descriptor_shortage(size, slot::raise_open_files_limit());
  if (!shortage.empty()) log_->warn("{}", shortage);
  if (keeper_->found_killed()) {
    log_->warn(
        "the keeper of an earlier slotwired was killed, and nobody took up what it kept: sessions and connections of "
        "that "
        "time are lost, and programs connect again");
  }
  catch_signals();  // after the keeper was started, which has signals of its own
  directory_ = std::make_unique<StaticDirectory>(config_.services, config_.directory);
  for (const std::string& line : directory_->nodes_without_link(config_)) log_->warn("{}", line);
  sandbox::gain_nothing();
  sandbox::refuse(sandbox::refused_calls());
  // Before anything else, so that the gate is as small as it will ever be.
  network_ = std::make_unique<GateNetwork>(config_, reactor_, log_, gate_processes());
  if (config_.tls.enabled() && needs_tcp(config_)) {
    tls_ = std::make_shared<carriers::TlsContext>(
        carriers::TlsFiles{config_.tls.certificate, config_.tls.key, config_.tls.ca, config_.tls.crl});
  }
  node_ = std::make_unique<Node>(NodeParts{
      .config = config_,
      .loop = reactor_,
      .log = log_,
      .store = *keeper_,
      .kept = tags_of(*keeper_),
      .processes = processes_,
      .network = *network_,
      .directory = *directory_,
      .tls = tls_,
      .random = [device = std::make_shared<std::random_device>()] { return static_cast<std::uint32_t>((*device)()); },
      .make_card = {}});
  keeper_->serve_in(reactor_,
                    [this](Keeper::News news, pid_t pid, const std::string& text) { on_keeper(news, pid, text); });
  node_->start();
  control_socket_ = std::make_unique<ControlSocket>(config_, reactor_, log_, node_->hub());
  // Processes that find nobody to ask from now on were there before this.
  node_->regions().find_existing();
  log_->info("node '{}' is ready: {} slots, {} MiB of slot memory, {} links, control socket {}", config_.node.name,
             config_.limits.slots, config_.memory.slot_memory >> 20U, config_.links.size(),
             config_.node.control_socket);
  log_.note(notifier_.ready("serving as node " + config_.node.name));
}

Engine::~Engine() = default;

void Engine::on_keeper(Keeper::News news, pid_t pid, const std::string& text) {
  const StoreReport report = keeper_->report();
  switch (news) {
    case Keeper::News::gone:
      log_->error(
          "the keeper (slotwire-keeper, pid {}) has ended: what there is goes on, but new sessions and connections "
          "wait "
          "or are refused, and slots would not outlive this slotwired; {}",
          pid, config_.limits.keeper_starts == 0 ? "restart it" : "it is started again");
      break;
    case Keeper::News::not_started:
      log_->error("the keeper could not be started again: {}; {}", text, report.text);
      break;
    case Keeper::News::started:
      log_->info("the keeper is there again (slotwire-keeper, pid {})", pid);
      break;
    case Keeper::News::silent:
      log_->warn("{}; what is opened meanwhile is kept when it goes on", text);
      break;
    case Keeper::News::lost:
      log_.limited("keeper room", spdlog::level::err, report.text);
      break;
    case Keeper::News::complete:
      if (report.lost == 0) {
        log_->info("the new keeper (pid {}) has all that the old one had: {} sessions and slots, and admin memory", pid,
                   report.kept - 1);
      } else {
        log_->warn("the new keeper (pid {}) has what slotwired had duplicates of: {}", pid, report.text);
      }
      break;
  }
}

/// From here on a signal waits for run(): one that comes while the engine starts ends it in good order, too.
void Engine::catch_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = slot::Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  reactor_.add(signals_.get(), EPOLLIN, [this](std::uint32_t) { handle_signals(); });
}

void Engine::handle_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGHUP) {
      reload();
    } else {
      stopping_ = true;
    }
  }
}

void Engine::reload() {
  log_.note(notifier_.reloading());
  log_.note(log_file_.reopen());
  try {
    const Config read = load_config(config_.source);
    // Its rules and limits are not meant for this node, whatever else would wait for a restart.
    if (read.node.name != config_.node.name) {
      throw std::runtime_error(config_.source + " is now that of node '" + read.node.name + "', and this is node '" +
                               config_.node.name + "'; put the file back, or restart slotwired to be the other node");
    }
    // All of it or nothing: rules of a file whose services are refused were not meant for the services that stay.
    Policy rules = node_->rules_of(read);
    if (const Result<void> replaced = directory_->replace(read.services, read.directory); !replaced)
      throw std::runtime_error(replaced.error().text);
    node_->use_rules(std::move(rules));
    log_->info("[[service]] tables, the directory and [[allow]] rules reloaded: {} services", directory_->size());
    for (const std::string& line : directory_->nodes_without_link(config_)) log_->warn("{}", line);
    for (const std::string& key : take_live_keys(config_, read)) log_->info("{} changed: it holds from now on", key);
    for (const std::string& change : changes_for_a_restart(config_, read))
      log_->warn("{} in {}: that counts from the next start of slotwired on", change, config_.source);
  } catch (const std::exception& error) {
    log_->error("configuration not reloaded, the old one stays: {}", error.what());
  }
  network_->reload();
  log_.note(notifier_.ready());
}

void Engine::tick() {
  log_.sweep();
  node_->tick();
  // From the loop that moves lines: when it stands still, the service manager starts slotwired anew.
  log_.note(notifier_.alive(monotonic_us()));
  reactor_.after(kTickUs, [this] { tick(); });
}

/// What run_poll_loop() wants of the engine's thread.
struct Engine::Loop {
  Engine& engine;
  ControlShare share{};
  std::uint64_t now = 0;
  bool busy = false;

  bool stopping() const { return engine.stopping_; }
  bool step() {
    now = monotonic_us();
    busy = engine.node_->step(now);
    engine.network_->flush();
    return busy;
  }
  bool look_around() {
    const ControlShare::Look look = share.due(now, busy);
    if (look == ControlShare::Look::none) return false;
    if (look == ControlShare::Look::urgent) {
      share.glanced(now);
      return engine.reactor_.run_urgent(0);
    }
    const bool any = engine.reactor_.run(0);
    share.looked(monotonic_us(), engine.reactor_.spent_us());
    return any;
  }
  bool prepare_sleep() const { return engine.node_->card().prepare_sleep(); }
  /// What carriers have ends the sleep at once: their descriptors are among those of the reactor.
  bool last_step() {
    engine.node_->card().skip_carriers();
    return step();
  }
  void awake() const { engine.node_->card().awake(monotonic_us()); }
  void sleep() {
    driver::Card& card = engine.node_->card();
    const std::uint64_t begin = monotonic_us();
    const std::uint32_t timer = card.timer_us(begin);
    ++engine.node_->sleeps();
    if (const std::uint64_t pause = share.pause_us(begin); pause != 0) {
      engine.reactor_.run_urgent(std::min<std::uint64_t>(pause, timer));
    } else {
      engine.reactor_.run(timer == pipeline::Pipeline::kNoTimer ? std::nullopt : std::optional<std::uint64_t>(timer));
      share.looked(monotonic_us(), engine.reactor_.spent_us());
      if (engine.reactor_.has_more()) return;
    }
    if (!engine.reactor_.woken()) card.skip_carriers();
  }
};

int Engine::run() {
  reactor_.after(kTickUs, [this] { tick(); });
  Loop loop{*this};
  try {
    driver::run_poll_loop(loop, {config_.wait.proxy_spin, config_.wait.proxy_yield});
    shut_down();
  } catch (const std::exception& error) {
    log_->critical("slotwired ends: {}", error.what());
    throw;
  }
  return 0;
}

/// Delivers what processes have written, then tells every peer.
void Engine::shut_down() {
  log_.note(notifier_.stopping());
  log_->info("stopping: {} sessions, {} slots", node_->sessions().used(), node_->slots().used());
  control_socket_->withdraw();
  node_->stop();
  const std::uint64_t deadline = monotonic_us() + kStopUs;
  while (!node_->drained() && monotonic_us() < deadline) {
    node_->step(monotonic_us());
    network_->flush();
    reactor_.run(kStopPauseUs);
  }
  if (const std::uint64_t left = node_->slots().undelivered_lines(); left != 0) {
    log_->warn("{} lines could not be delivered before the stop", left);
  }
  network_->stop();
  log_.note(keeper_->quit());
  log_->info("stopped");
}

}  // namespace slotwire::engine
