#include "runtime/engine/engine.hpp"

#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/carriers/dpdk/host.hpp"
#include "core/slot/open_files.hpp"
#include "driver/sharded/poll_loop.hpp"
#include "runtime/engine/recovery/descriptor_needs.hpp"

namespace slotwire::engine {
namespace {

/// Packets that may wait for a process that does not read its control socket.
constexpr std::uint64_t kTickUs = 250'000;
/// While busy the reactor is looked at after so many polls of the card, or after kControlUs.
constexpr std::uint32_t kPollsPerReactor = 64;
constexpr std::uint64_t kControlUs = 50;
/// Longest time that a stop may take to drain slots.
constexpr std::uint64_t kStopUs = 2'000'000;

std::uint64_t us(std::chrono::microseconds t) {
  return static_cast<std::uint64_t>(t.count());
}

}  // namespace

carriers::Address address_of(const HostPort& at) {
  return carriers::Address::parse(to_string(at));
}

Engine::Engine(Config config, std::string config_path)
    : config_(std::move(config)),
      config_path_(std::move(config_path)),
      log_(config_.log),
      limited_log_(log_.shared(), LogLimits{}),
      notifier_(ServiceNotifier::from_environment()),
      sessions_(config_.limits.sessions),
      started_us_(monotonic_us()) {
  std::filesystem::create_directories(config_.node.run_dir);
  const NodeSize size{config_.limits.slots, config_.limits.sessions, config_.links.size()};
  KeeperOptions keeping;
  keeping.descriptors = descriptors_kept(size);
  keeper_ = std::make_unique<Keeper>(Keeper::attach(config_.node.run_dir, config_.node.name, keeping));
  const std::string shortage = descriptor_shortage(size, slot::raise_open_files_limit());
  if (!shortage.empty()) log().warn("{}", shortage);
  catch_signals();  // after the keeper was started, which has signals of its own
  policy_ = std::make_unique<Policy>(config_, ::getuid());
  directory_ = std::make_unique<StaticDirectory>(config_.services, config_.directory);
  const std::optional<unsigned> space = BuddyAllocator::order_for(config_.memory.slot_memory);
  if (!space) throw std::runtime_error("memory.slot_memory is larger than the allocator's largest space");
  memory_ = std::make_unique<BuddyAllocator>(*space);
  if (config_.tls.enabled()) {
    tls_ = std::make_shared<carriers::TlsContext>(
        carriers::TlsFiles{config_.tls.certificate, config_.tls.key, config_.tls.ca});
  }
  open_carriers();
  recover();
  // What the kernel sends and gets through the port may be what links begin with.
  if (dpdk_ && !config_.dpdk.kernel_interface.empty()) {
    card_->poll_always(sealed_dpdk_ ? static_cast<carriers::Carrier&>(*sealed_dpdk_) : *dpdk_);
  }
  card_->start();
  open_links();
  open_control_socket();
  log().info("node '{}' is ready: {} slots, {} MiB of slot memory, {} links, control socket {}", config_.node.name,
             config_.limits.slots, config_.memory.slot_memory >> 20, config_.links.size(), config_.node.control_socket);
  tell(notifier_.ready("serving as node " + config_.node.name));
}

/// What the service manager or the keeper could not be told is worth a line, and no more.
void Engine::tell(const Result<void>& result) {
  if (!result.ok()) log_limited("result", spdlog::level::warn, result.error().text);
}

Engine::~Engine() = default;

std::unique_ptr<carriers::UdpCarrier> Engine::open_udp(const carriers::Address& address) {
  carriers::UdpOptions options;
  options.bind = address;
  options.mtu = config_.listen.mtu;
  // Room for several bursts, whatever the frame size.
  options.output_limit = std::max<std::size_t>(options.output_limit, 4 * driver::SoftMover::kBurst * options.mtu);
  options.max_links = std::size_t{config_.limits.links} + 1;
  auto udp = std::make_unique<carriers::UdpCarrier>(options);
  log().info("carrier udp on {}: {}", udp->local_address().to_string(), udp->features());
  reactor_.add(udp->fd(), EPOLLIN, [](std::uint32_t) {});  // only wakes the loop, the card polls it
  return udp;
}

/// What DPDK as a whole is set up with.
carriers::EalOptions Engine::eal_options() const {
  const DpdkConfig& config = config_.dpdk;
  return {config.hugepages, config.memory, config.lcore == DpdkConfig::kAnyLcore ? -1 : static_cast<int>(config.lcore),
          config.eal};
}

void Engine::open_dpdk() {
  const DpdkConfig& config = config_.dpdk;
  carriers::DpdkOptions options;
  options.device = config.port;
  options.address = address_of(*config.address);
  options.prefix = config.prefix;
  if (!config.gateway.empty()) options.gateway = address_of({config.gateway, 0});
  options.kernel_interface = config.kernel_interface;
  options.vlan = config.vlan;
  options.mtu = config_.listen.mtu;
  options.rx_descriptors = config.rx_descriptors;
  options.tx_descriptors = config.tx_descriptors;
  // Room for several bursts.
  options.output_frames = std::max(options.output_frames, 4 * driver::SoftMover::kBurst);
  options.max_links = std::size_t{config_.limits.links} + 1;
  options.queues = std::max<std::size_t>(config.lcores.size(), 1);
  options.queue_cpus.assign(config.lcores.begin(), config.lcores.end());
  options.zero_copy = config.zero_copy;
  options.eal = eal_options();
  dpdk_ = carriers::open_dpdk(options);
  const carriers::DpdkPort port = dpdk_->port();
  log().info("carrier dpdk on {}: port {} ({}, {}), steering by {}, checksums by {}, woken by {}, zero copy {}",
             options.address.to_string(), port.device, port.driver, port.mac, port.steering, port.checksum, port.wake,
             port.zero_copy);
  dpdk_advice_ = carriers::DpdkHost().advice(options);
  for (const std::string& advice : dpdk_advice_) log().warn("carrier dpdk: {}", advice);
  if (config.lcores.empty()) {
    reactor_.add(dpdk_->fd(), EPOLLIN, [](std::uint32_t) {});
  } else if (dpdk_->queues() < config.lcores.size()) {
    log().warn("the port has {} pairs of queues, so only as many of the {} CPUs of dpdk.lcores have a thread",
               dpdk_->queues(), config.lcores.size());
  }
}

/// None where no link over the carrier is encrypted.
std::unique_ptr<carriers::SealedCarrier> Engine::open_sealed(LinkCarrier kind, carriers::Carrier* below) {
  const bool wanted = std::any_of(config_.links.begin(), config_.links.end(), [&](const LinkConfig& link) {
    return link.carrier == kind && link.encryption != carriers::CipherSuite::none;
  });
  if (!wanted || below == nullptr) return nullptr;
  auto sealed = std::make_unique<carriers::SealedCarrier>(*below, std::size_t{config_.limits.links} + 1);
  reactor_.add(sealed->fd(), EPOLLIN, [](std::uint32_t) {});
  return sealed;
}

void Engine::open_carriers() {
  loop_link_ = static_cast<std::uint16_t>(config_.limits.links);
  loopback_ = std::make_unique<carriers::LoopbackCarrier>(
      carriers::LoopbackOptions{.max_links = std::size_t{config_.limits.links} + 1});
  if (config_.listen.udp) udp_ = open_udp(address_of(*config_.listen.udp));
  if (!config_.dpdk.port.empty()) open_dpdk();
  choose_ciphers();
  sealed_udp_ = open_sealed(LinkCarrier::udp, udp_.get());
  sealed_dpdk_ = open_sealed(LinkCarrier::dpdk, dpdk_.get());
  {
    carriers::TcpOptions options;
    options.node = config_.node.name;
    if (config_.listen.tcp) options.listen = address_of(*config_.listen.tcp);
    options.tls = tls_;
    options.max_links = std::size_t{config_.limits.links} + 1;
    options.handshake_us = us(config_.limits.handshake);
    options.seed = started_us_;
    tcp_ = std::make_unique<carriers::TcpCarrier>(options);
    reactor_.add(tcp_->fd(), EPOLLIN, [](std::uint32_t) {});
  }
  reactor_.add(loopback_->fd(), EPOLLIN, [](std::uint32_t) {});
}

void Engine::open_links() {
  if (config_.listen.control) {
    peer_listener_ = std::make_unique<carriers::Listener>(address_of(*config_.listen.control));
    reactor_.add(peer_listener_->fd(), EPOLLIN, [this](std::uint32_t) { accept_caller(); });
  }
  for (const auto& link : links_) {
    if (link && link->config.dial) dial(*link);
  }
}

void Engine::open_control_socket() {
  const std::string& path = config_.node.control_socket;
  control_listener_ = slot::Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw std::runtime_error("node.control_socket: the path is too long: " + path);
  std::memcpy(address.sun_path, path.data(), path.size());
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  // The keeper's lock says that no other slotwired runs as this node, so what lies there is a leftover.
  ::unlink(path.c_str());
  const mode_t mask = ::umask(0777 & ~config_.node.control_socket_mode);
  const int bound = ::bind(control_listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int bind_error = errno;
  ::umask(mask);
  if (bound != 0 || ::listen(control_listener_.get(), 256) != 0) {
    throw std::system_error(
        bound != 0 ? bind_error : errno, std::generic_category(),
        "cannot listen on the control socket " + path + " (may slotwired write into its directory?)");
  }
  reactor_.add(control_listener_.get(), EPOLLIN, [this](std::uint32_t) { accept_client(); });
  offer_as_default();
}

/// Processes that name no socket look for slotwire.sock: the first node of a run_dir is found there.
void Engine::offer_as_default() {
  namespace fs = std::filesystem;
  const fs::path own = config_.node.control_socket;
  const fs::path link = fs::path(config_.node.run_dir) / "slotwire.sock";
  if (own == link || own.parent_path() != link.parent_path()) return;
  std::error_code error;
  if (fs::is_symlink(link, error) && (fs::read_symlink(link, error) == own.filename() || !fs::exists(link, error))) {
    fs::remove(link, error);
  }
  fs::create_symlink(own.filename(), link, error);  // another node has it already: that is no error
}

void Engine::withdraw_as_default() {
  namespace fs = std::filesystem;
  const fs::path own = config_.node.control_socket;
  const fs::path link = fs::path(config_.node.run_dir) / "slotwire.sock";
  std::error_code error;
  if (own.parent_path() == link.parent_path() && fs::read_symlink(link, error) == own.filename())
    fs::remove(link, error);
}

void Engine::log_limited(std::string_view key, spdlog::level::level_enum level, const std::string& text) {
  limited_log_.write(std::chrono::microseconds(monotonic_us()), key, level, text);
}

bool Engine::step(std::uint64_t now_us) {
  const bool busy = card_->poll(now_us);
  if (!draining_.empty()) check_draining(now_us);
  const bool udp_keys = sealed_udp_ && sealed_udp_->look(), dpdk_keys = sealed_dpdk_ && sealed_dpdk_->look();
  if (udp_keys || dpdk_keys) tend_keys();
  return busy;
}

void Engine::tick() {
  const std::uint64_t now = monotonic_us();
  limited_log_.sweep(std::chrono::microseconds(now));
  if (capture_ && capture_->closed()) {
    log().info("capture ended: its reader has gone, {} frames were dropped", capture_->dropped());
    card_->set_tap(nullptr);
    capture_.reset();
  }
  for (const auto& link : links_) {
    if (!link) continue;
    if (link->control_up) {
      // Three missed pings: the other end is gone though the connection does not say so.
      constexpr std::uint64_t kSilenceUs = 3'000'000;
      if (now - link->heard_us > kSilenceUs) {
        control_lost(*link, "nothing was heard from it for 3 s");
      } else {
        send_peer(*link, Json{{"type", "ping"}});
      }
    } else if (link->control) {
      // Connecting or shaking hands: its own deadline ends it.
      link->control->drive(now);
      on_control(link->index);
    }
  }
  tend_keys();
  std::vector<std::uint64_t> late;
  for (auto& [id, caller] : callers_) {
    if (now > caller.deadline_us) late.push_back(id);
  }
  for (const std::uint64_t id : late) {
    log().warn("control connection from {} said nothing in time; closed", callers_.at(id).from.to_string());
    reactor_.remove(callers_.at(id).watched_fd);
    callers_.erase(id);
  }
  reactor_.after(kTickUs, [this] { tick(); });
}

void Engine::handle_signal() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGHUP) {
      tell(notifier_.reloading());
      tell(log_.reopen());
      const Result<void> reloaded = directory_->reload();
      if (reloaded.ok()) {
        log().info("directory reloaded: {} services", directory_->size());
      } else {
        log().error("directory not reloaded, the old one stays: {}", reloaded.error().text);
      }
      tell(notifier_.ready());
    } else {
      stopping_ = true;
    }
  }
}

/// From here on a signal waits for run(): one that comes while the engine starts ends it in good order, too.
void Engine::catch_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = slot::Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  reactor_.add(signals_.get(), EPOLLIN, [this](std::uint32_t) { handle_signal(); });
}

/// What run_poll_loop() wants of the engine's thread.
struct Engine::Loop {
  Engine& engine;
  std::uint64_t now = 0, reactor_us = 0;
  std::uint32_t polls = 0;

  bool stopping() const { return engine.stopping_; }
  bool step() {
    now = monotonic_us();
    return engine.step(now);
  }
  bool look_around() {
    if (++polls < kPollsPerReactor && now - reactor_us < kControlUs) return false;
    polls = 0;
    reactor_us = now;
    return engine.reactor_.run(0);
  }
  bool prepare_sleep() const { return engine.card_->prepare_sleep(); }
  void sleep() const {
    const std::uint32_t timer = engine.card_->timer_us(monotonic_us());
    ++engine.sleeps_;
    engine.reactor_.run(timer == pipeline::Pipeline::kNoTimer ? std::nullopt : std::optional<std::uint64_t>(timer));
  }
};

int Engine::run() {
  reactor_.after(kTickUs, [this] { tick(); });
  Loop loop{*this};
  try {
    driver::run_poll_loop(loop, {config_.wait.spin, config_.wait.yield});
    shut_down();
  } catch (const std::exception& error) {
    log().critical("slotwired ends: {}", error.what());
    throw;
  }
  return 0;
}

void Engine::shut_down() {
  tell(notifier_.stopping());
  log().info("stopping: {} sessions, {} slots", clients_.size(), used_slots_);
  ::unlink(config_.node.control_socket.c_str());
  withdraw_as_default();
  // Deliver what processes have written, then tell every peer.
  for (std::uint32_t i = 0; i < sessions_.size(); ++i) {
    if (sessions_[i]) end_session(i, "the node stops");
  }
  const std::uint64_t deadline = monotonic_us() + kStopUs;
  while (!draining_.empty() && monotonic_us() < deadline) {
    step(monotonic_us());
    constexpr std::uint64_t kPauseUs = 500;
    reactor_.run(kPauseUs);
  }
  std::size_t left = 0;
  for (const Draining& d : draining_) left += card_->row(d.slot).in_tail - card_->row(d.slot).in_head;
  if (left != 0) log().warn("{} lines could not be delivered before the stop", left);
  for (const auto& link : links_) {
    if (link && link->control) link->control->stream().flush();
  }
  tell(keeper_->quit());
  log().info("stopped");
}

void Engine::on_link(std::uint16_t link, bool up, std::string_view reason) {
  if (link == loop_link_ || link >= links_.size() || !links_[link]) return;
  Link& l = *links_[link];
  l.carrier_up = up;
  if (!up) l.reason = std::string(reason);
  log().info("link to '{}': carrier {} {}{}{}", l.config.peer, carrier_name(l.config.carrier), up ? "up" : "down",
             reason.empty() ? "" : ": ", reason);
  tell_link(l);
}

void Engine::on_fault(std::uint16_t slot, regs::Fault fault) {
  const SlotDescriptor& d = admin_->slots()[slot];
  if (fault == regs::Fault::peer_reset) {
    peer_ended(slot, End::peer_fault, "the peer's slot was faulted by its proxy");
    return;
  }
  const regs::SlotRow& row = card_->row(slot);
  const std::string what = fault == regs::Fault::in_tail    ? "IN_TAIL was moved to where it cannot be"
                           : fault == regs::Fault::out_head ? "OUT_HEAD was moved to where it cannot be"
                                                            : std::string(regs::name(fault));
  const std::string owner =
      d.session != kNoSession && sessions_[d.session] ? who(session_at(d.session)) : "a process that ended";
  log_limited("fault", spdlog::level::warn,
              "slot " + std::to_string(slot) + " of " + owner + " faulted: " + what + " (IN_TAIL " +
                  std::to_string(row.in_tail) + ", IN_HEAD " + std::to_string(row.in_head) + ", OUT_TAIL " +
                  std::to_string(row.out_tail) + ", OUT_HEAD " + std::to_string(row.out_head) +
                  " were the last good marks); no other slot is affected");
  stop_slot(slot, End::fault, what);
}

}  // namespace slotwire::engine
