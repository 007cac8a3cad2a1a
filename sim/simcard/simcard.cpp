// slotwire-simcard: the RTL of a card, simulated, between a wire, the host's network stack and a driver.
#include <poll.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <optional>
#include <string_view>

#include "core/slot/open_files.hpp"
#include "driver/bus/bus_server.hpp"
#include "sim/card/card_driver.hpp"
#include "sim/card/sim_core.hpp"
#include "sim/pci/pci_proxy_server.hpp"
#include "sim/pci/pcie_host_port.hpp"
#include "sim/pci/vfio_user_server.hpp"
#include "sim/simcard/core_port.hpp"
#include "sim/simcard/queue_server.hpp"
#include "sim/simcard/slot_shares.hpp"
#include "sim/simcard/wire.hpp"

namespace slotwire::sim {
namespace {

// A signal handler sets it, in whatever thread the signal arrives.
std::atomic<bool> stopping{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only set what takes no lock");

struct Options {
  std::string bus;
  std::string vfio_user;
  int pci_proxy = -1;
  std::string qtest;
  std::string pci_log;
  bool relayed = false;
  std::uint64_t refuse_write = 0;
  std::string wire = "none";
  std::string host = "none";
  unsigned slots = 64;
  std::uint64_t seed = 1;
  unsigned loss_permille = 0;
  unsigned latency = 4;
  bool random_latency = false;
  std::uint64_t clocks_per_us = 0;
  std::uint64_t clocks = 0;
  std::string trace;
  std::uint64_t trace_from = 0, trace_to = ~std::uint64_t{0};
};

/// Adds up what happens between two looks.
class Watcher final : public PortWatcher {
 public:
  void interrupt(std::uint64_t, std::uint32_t vectors) override { raised_ |= vectors; }
  void out_tail(std::uint64_t) override { moved_ = true; }
  void wire_beat(std::uint64_t, bool out, bool, bool, const Line&) override { moved_ = moved_ || !out; }
  std::uint32_t take() { return std::exchange(raised_, 0); }
  /// Did a proxy mark move, or a frame come that may move one.
  bool take_moved() { return std::exchange(moved_, false); }

 private:
  std::uint32_t raised_ = 0;
  bool moved_ = false;
};

/// A wire and the two queues at the card's port.
class Port {
 public:
  Port(const std::string& text, FrameQueue& in, FrameQueue& out, unsigned loss_permille, Random& random)
      : wire_(make_wire(text)), in_(in), out_(out), loss_(loss_permille), random_(random) {}

  bool poll() {
    bool any = false;
    while (!out_.empty()) {
      any = true;
      if (lost())
        ++dropped_;
      else
        wire_->send(out_.front().bytes);
      out_.pop();
    }
    while (!in_.full()) {
      const std::size_t n = wire_->receive(in_.room());
      if (n == 0) break;
      any = true;
      if (lost())
        ++dropped_;
      else
        in_.commit(n, false);
    }
    return any;
  }
  int fd() const { return wire_->fd(); }
  bool ended() const { return wire_->ended(); }
  std::uint64_t dropped() const { return dropped_; }

 private:
  bool lost() { return loss_ != 0 && random_.chance(loss_); }

  std::unique_ptr<Wire> wire_;
  FrameQueue& in_;
  FrameQueue& out_;
  unsigned loss_;
  Random& random_;
  std::uint64_t dropped_ = 0;
};

class SimCard {
 public:
  /// Clocks between two looks at the world outside.
  static constexpr std::uint64_t kBurst = 32;
  /// An idle card sleeps for so long between two sweeps over its timers; whatever comes in wakes it.
  static constexpr int kIdleMs = 1;
  /// Most clocks that posted accesses of the host take to reach the core.
  static constexpr std::uint64_t kSettleClocks = 100'000;
  /// How --host names the queues of net_slotwire.
  static constexpr std::string_view kQueues = "queues:";

  explicit SimCard(const Options& options)
      : options_(options),
        random_(options.seed),
        core_(core_options(options)),
        wire_(options.wire, core_.wire_in(), core_.wire_out(), options.loss_permille, random_) {
    core_.watch(&watcher_);
    core_.reset();
    if (options.host.starts_with(kQueues)) {
      queues_ = std::make_unique<QueueServer>(options.host.substr(kQueues.size()), core_.from_host(), core_.to_host(),
                                              core_bus_);
    } else {
      host_.emplace(options.host, core_.from_host(), core_.to_host(), 0U, random_);
    }
    if (!options.vfio_user.empty() || options.pci_proxy >= 0) open_pci();
    if (!options.bus.empty()) bus_ = std::make_unique<driver::BusServer>(options.bus, port_);
  }

  int run() {
    const std::string bus = bus_ ? options_.bus : vfio_ ? options_.vfio_user : proxy_ ? "PCI proxy" : "none";
    std::printf("ready: %u slots, bus %s, wire %s, host %s\n", options_.slots, bus.c_str(), options_.wire.c_str(),
                options_.host.c_str());
    std::fflush(stdout);
    const auto start = std::chrono::steady_clock::now();
    const std::uint64_t first_clock = core_.now();
    std::uint64_t swept = 0;  // the card may sleep when it has swept over its timers so often
    while (!stopping && (options_.clocks == 0 || core_.now() < options_.clocks)) {
      bool any = wire_.poll();
      if (host_) any |= host_->poll();
      if (queues_) any |= queues_->poll(port_free());
      any |= poll_driver();
      any |= poll_shares();
      tell_time(start);
      if (any || !core_.idle() || driver_busy() || (host_port_ && !host_port_->idle())) {
        clock(kBurst);
      } else if (core_.sweeps() < swept) {
        // In bursts as well: an access that comes in meanwhile does not wait for the end of the sweep.
        for (std::uint64_t i = 0; i < kBurst && core_.idle(); ++i) core_.clock();
      } else {
        if (wire_.ended() || (proxy_ && proxy_->ended())) break;
        if (pci_) pci_->log().flush();
        if (!queues_ || queues_->may_sleep()) sleep();
        if (queues_) queues_->awake();
        swept = core_.sweeps() + 2;
      }
      const std::uint32_t raised = watcher_.take();
      if (bus_) bus_->interrupt(raised);
      if (pci_) raise(raised);
      if (!core_.violation().empty()) {
        std::fprintf(stderr, "simulated card: %s\n", core_.violation().c_str());
        return 1;
      }
      if (host_port_ && !host_port_->violation().empty()) {
        std::fprintf(stderr, "simulated card: %s\n", host_port_->violation().c_str());
        return 1;
      }
      if (shares_ && !shares_->broken().empty()) {
        std::fprintf(stderr, "simulated card: %s\n", shares_->broken().c_str());
        return 1;
      }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const auto clocks = static_cast<double>(core_.now() - first_clock);
    std::printf("stopped: %.0f clocks in %.3f s (%.0f a second), %llu frames lost on purpose\n", clocks, took.count(),
                clocks / took.count(), static_cast<unsigned long long>(wire_.dropped()));
    return 0;
  }

 private:
  static SimCoreOptions core_options(const Options& options) {
    SimCoreOptions core;
    core.kind = find_card(options.slots, !options.trace.empty(), false);
    if (core.kind == nullptr) {
      std::string built;
      for (const CardKind& kind : card_kinds()) {
        if (!kind.covered && !kind.rtl_memory)
          built += " " + std::to_string(kind.slots) + (kind.traced ? " (with waveforms)" : "");
      }
      throw std::runtime_error("no card with " + std::to_string(options.slots) + " slots" +
                               (options.trace.empty() ? "" : " and waveforms") + " was built; there are:" + built);
    }
    core.seed = options.seed;
    core.memory_latency = options.latency;
    core.random_memory = options.random_latency;
    core.trace_file = options.trace;
    core.trace_from = options.trace_from;
    core.trace_to = options.trace_to;
    return core;
  }

  /// The card's time: the host's, or counted in clocks so that a run can be repeated.
  void tell_time(std::chrono::steady_clock::time_point start) {
    if (options_.clocks_per_us != 0) {
      core_.set_now_us(static_cast<std::uint32_t>(core_.now() / options_.clocks_per_us));
      return;
    }
    const auto passed = std::chrono::steady_clock::now() - start;
    core_.set_now_us(static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(passed).count()));
  }

  /// The card as a PCI function; its sizes are what the card says of itself.
  void open_pci() {
    SimCardDriver driver(core_);
    const auto info = driver.probe();
    if (!info) throw std::runtime_error("the card does not answer: " + driver.error());
    const PciGeometry geometry{info->slots, info->links, info->vectors, info->memory_lines, options_.pci_proxy < 0};
    if (info->slots != PcieHostPort::kSlots || info->links != PcieHostPort::kLinks ||
        info->vectors != PcieHostPort::kVectors) {
      throw std::runtime_error("the card is of another size than its PCIe shell");
    }
    host_port_ = std::make_unique<PcieHostPort>(port_, options_.seed, [this] { core_.reset(); });
    pci_ = std::make_unique<PciDevice>(*host_port_, geometry, [this] { reset_card(); });
    if (!options_.pci_log.empty()) pci_->log().write_to(options_.pci_log);
    if (options_.pci_proxy >= 0) {
      proxy_ = std::make_unique<PciProxyServer>(options_.pci_proxy, options_.qtest, *pci_);
    } else {
      if (!options_.relayed) shares_ = std::make_unique<SlotShares>(core_, info->slots);
      if (shares_) ordered_shares_.emplace(*this);
      vfio_ = std::make_unique<VfioUserServer>(options_.vfio_user, *pci_, ordered_shares_ ? &*ordered_shares_ : nullptr,
                                               &memory_);
      memory_.allowed = [this] {
        return pci_->bus_master() && (options_.refuse_write == 0 || ++writes_ != options_.refuse_write);
      };
      core_.set_host_memory(&memory_);
    }
  }

  /// Rows are free after a reset: whoever shared slots binds them anew.
  void reset_card() {
    if (shares_) shares_->unshare_all();
    host_port_->function_reset();
    while (host_port_->resetting()) clock(1);  // bounded by PcieBridge::kFlrClocks
    if (queues_) queues_->card_was_reset();
  }

  /// They use the host port between the driver's accesses.
  bool poll_shares() {
    if (!shares_) return false;
    if (watcher_.take_moved()) shares_->look();
    return pci_->ready() && host_port_->idle() && shares_->poll();
  }

  /// Clocks of the core, and of the shell in front of it while something is under way there.
  void clock(std::uint64_t n) {
    if (!host_port_ || host_port_->idle()) return core_.clock(n);
    for (; n != 0; --n) {
      host_port_->clock();
      core_.clock();
    }
  }
  /// Interrupts go through the shell, which asks the function for their messages.
  void raise(std::uint32_t vectors) {
    if (vectors != 0) host_port_->interrupt(vectors);
    pci_->raise(host_port_->take_messages());
  }
  /// Waits until all that the host posted has reached the core; bounded, as what does not arrive is a violation or a
  /// hang.
  void settle() {
    for (std::uint64_t i = 0; !host_port_->idle() && i < kSettleClocks; ++i) clock(1);
  }

  /// Whoever shares a slot has written its row before.
  class OrderedShares final : public SlotServer {
   public:
    explicit OrderedShares(SimCard& card) : card_(card) {}
    std::string share(const driver::vfio_user::ShareSlot& asked, ShareFds fds) override {
      card_.settle();
      return card_.shares_->share(asked, std::move(fds));
    }
    void unshare(std::uint32_t slot) override { card_.shares_->unshare(slot); }
    void unshare_all() override { card_.shares_->unshare_all(); }

   private:
    SimCard& card_;
  };

  /// Nobody's access of the core's host port is under way.
  bool port_free() const {
    return !driver_busy() && (!host_port_ || host_port_->idle()) && core_.host_idle() && !core_.host_answered();
  }

  bool poll_driver() {
    bool any = bus_ && bus_->poll();
    any |= vfio_ && vfio_->poll();
    any |= proxy_ && proxy_->poll();
    return any;
  }
  bool driver_busy() const { return (bus_ && bus_->busy()) || (vfio_ && vfio_->busy()) || (proxy_ && proxy_->busy()); }
  int driver_fd() const { return bus_ ? bus_->fd() : vfio_ ? vfio_->fd() : proxy_ ? proxy_->fd() : -1; }

  void sleep() {
    std::array<pollfd, 3> watched{};
    std::size_t n = 0;
    for (const int fd : {wire_.fd(), host_ ? host_->fd() : queues_->fd(), driver_fd()}) {
      if (fd >= 0) watched[n++] = {fd, POLLIN, 0};
    }
    ::poll(watched.data(), n, options_.clocks_per_us != 0 ? 0 : kIdleMs);
  }

  Options options_;
  Random random_;
  SimCore core_;
  Watcher watcher_;
  Port wire_;
  std::optional<Port> host_;  ///< or the queues
  ClientMemory memory_;       ///< that the client of a PCI function maps for it
  std::uint64_t writes_ = 0;  ///< into it that the function made
  CorePort port_{core_};
  CoreBus core_bus_{core_};
  std::unique_ptr<QueueServer> queues_;
  std::unique_ptr<PcieHostPort> host_port_;  ///< of a PCI function
  std::unique_ptr<PciDevice> pci_;
  std::unique_ptr<SlotShares> shares_;
  std::optional<OrderedShares> ordered_shares_;
  std::unique_ptr<VfioUserServer> vfio_;
  std::unique_ptr<PciProxyServer> proxy_;
  std::unique_ptr<driver::BusServer> bus_;
};

}  // namespace
}  // namespace slotwire::sim

int main(int argc, char** argv) {
  using slotwire::sim::Options;
  try {
    Options options;
    CLI::App app("A card in simulation: its RTL between a wire, the host's network stack and a driver (slotwired).");
    app.set_version_flag("--version", SLOTWIRE_VERSION);
    auto* bus = app.add_option("--bus", options.bus, "unix socket for the driver (card.socket of slotwired)");
    auto* vfio_user = app.add_option("--vfio-user", options.vfio_user,
                                     "unix socket of the card as a PCI function, by the vfio-user protocol");
    auto* proxy = app.add_option("--pci-proxy-fd", options.pci_proxy,
                                 "the same for QEMU's x-pci-proxy-dev: descriptor of one end of a socket pair");
    bus->excludes(vfio_user)->excludes(proxy);
    vfio_user->excludes(proxy);
    app.add_option("--qtest", options.qtest, "QEMU's qtest socket, for the interrupts of a function behind its proxy")
        ->needs(proxy);
    app.add_option("--pci-log", options.pci_log, "file for every access of the PCI function");
    app.add_flag("--relayed", options.relayed, "serve no slots: slotwired relays, as for a card in a PCIe slot")
        ->needs(vfio_user);
    app.add_option("--refuse-write", options.refuse_write,
                   "which write into host memory, counted from 1, the bus refuses; 0: none")
        ->needs(vfio_user);
    app.add_option("--wire", options.wire,
                   "none, tap:NAME[@NETNS], veth:NAME[@NETNS], listen:PATH, connect:PATH or pcap:FILE[,OUTPUT]");
    app.add_option("--host", options.host,
                   "where frames go that are not ours: tap:NAME[@NETNS] for the host's network stack, as --wire, or "
                   "queues:PATH for DPDK's net_slotwire (docs/pmd.md)");
    app.add_option("--slots", options.slots, "slots of the card")->capture_default_str();
    app.add_option("--seed", options.seed, "of registers without a reset, memory latency and loss")
        ->capture_default_str();
    app.add_option("--loss", options.loss_permille, "frames lost on the wire, each way, per thousand")
        ->check(CLI::Range(0, 1000));
    app.add_option("--latency", options.latency, "clocks that slot memory takes")
        ->check(CLI::Range(1U, slotwire::sim::SimCore::kMaxMemoryLatency));
    app.add_flag("--random-latency", options.random_latency, "slot memory takes up to --latency clocks");
    app.add_option("--clocks-per-us", options.clocks_per_us, "count the card's time in clocks; else it is the host's");
    app.add_option("--clocks", options.clocks, "stop after so many clocks; else at SIGINT or SIGTERM");
    app.add_option("--trace", options.trace, "FST waveform of everything (sim/waves has a view for GTKWave)");
    app.add_option("--trace-from", options.trace_from, "first clock in it");
    app.add_option("--trace-to", options.trace_to, "last clock in it");
    CLI11_PARSE(app, argc, argv);
    struct sigaction action {};
    action.sa_handler = [](int) { slotwire::sim::stopping = true; };
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    slotwire::slot::raise_open_files_limit();  // three for each slot that it serves itself
    return slotwire::sim::SimCard(options).run();
  } catch (const std::exception& error) {
    std::cerr << "slotwire-simcard: " << error.what() << '\n';
    return 2;
  }
}
