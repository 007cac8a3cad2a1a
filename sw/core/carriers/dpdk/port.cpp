#include "core/carriers/dpdk/port.hpp"

#include <rte_alarm.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <semaphore>
#include <stdexcept>
#include <vector>

#include "core/carriers/dpdk/eal.hpp"
#include "core/carriers/dpdk/flow.hpp"
#include "core/pipeline/ethernet.hpp"

namespace slotwire::carriers {
namespace {

/// Buffers that the pools' caches may hold back.
constexpr unsigned kPoolCache = 128;
/// net_virtio_user wants room for a header of its own beside a received frame.
constexpr std::size_t kDriverHeader = 16;
/// Buffers of the receive pool that net_af_xdp gives the kernel, beside those of the two rings: it also sends from
/// them.
constexpr std::size_t kAfXdpKeeps = 2048;
/// The driver that says 1518 bytes whatever its ring takes, and cuts what is longer.
constexpr std::string_view kRawSocket = "net_af_packet";
constexpr std::size_t kRingFrame = 2048, kRingHeader = 128;  ///< its default, and room for what the kernel puts before
/// The driver that says so late that its other end has gone, by a handler that it puts off.
constexpr std::string_view kTellsLate = "net_virtio_user";
/// Drivers whose port is of no use any more when its other end has gone.
constexpr std::string_view kConnectOnce[] = {kTellsLate, "net_slotwire"};
/// Longest wait for a handler of a driver's to end.
constexpr std::chrono::seconds kHandlerLimit{5};

std::string reason(int error) {
  return ::rte_strerror(error < 0 ? -error : error);
}

void must(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + ": " + reason(result));
}

bool is_down(std::uint16_t port) {
  rte_eth_link link{};
  return ::rte_eth_link_get_nowait(port, &link) == 0 && link.link_status == RTE_ETH_LINK_DOWN;
}

/// Called by whatever thread the driver has.
int tell_change(std::uint16_t port, rte_eth_event_type, void* argument, void*) {
  auto& change = *static_cast<PortChange*>(argument);
  if (is_down(port)) change.down.store(true);
  change.told.store(true);
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = ::write(change.fd.get(), &one, sizeof one);
  return 0;
}

/// A socket that nobody listens at any more: net_vhost leaves it to others to remove what a killed process left behind.
void remove_stale_socket(const std::string& device) {
  const std::string path = device_argument(device, "iface");
  if (device.rfind("net_vhost", 0) != 0 || device_argument(device, "client") == "1" || path.empty()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return;  // the driver says so
  path.copy(address.sun_path, path.size());
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno == ECONNREFUSED)
    ::unlink(path.c_str());
}

/// Bytes of a frame in the ring of net_af_packet.
std::size_t ring_frame(const DpdkOptions& options) {
  const std::string argument = device_argument(options.device, "framesz");
  std::size_t frame = kRingFrame;
  std::from_chars(argument.data(), argument.data() + argument.size(), frame);
  if (options.mtu + pipeline::kEthernetBytes + kRingHeader <= frame) return frame;
  throw std::runtime_error(
      "its ring has room for frames of " + std::to_string(frame) + " bytes, and listen.mtu is " +
      std::to_string(options.mtu) +
      "; add framesz=16384,blocksz=65536,framecnt=512 to the port, or lower listen.mtu on all nodes");
}

/// The XDP sockets that this process has.
std::vector<int> xdp_sockets() {
  std::vector<int> found;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", none)) {
    const int fd = std::stoi(entry.path().filename().string());
    int domain = 0;
    socklen_t bytes = sizeof domain;
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 && domain == AF_XDP) found.push_back(fd);
  }
  return found;
}

/// Runs `step` in EAL's interrupt thread, between two handlers.
template <class Step>
void between_handlers(Step step) noexcept {
  struct Context {
    Step step;
    std::binary_semaphore done{0};
  } context{step};
  const auto run = [](void* argument) {
    auto& own = *static_cast<Context*>(argument);
    own.step();
    own.done.release();
  };
  if (::rte_eal_alarm_set(1, run, &context) == 0 && !context.done.try_acquire_for(kHandlerLimit))
    ::rte_eal_alarm_cancel(run, &context);
}

}  // namespace

std::string device_argument(const std::string& device, const std::string& key) {
  const std::string argument = "," + key + "=";
  const std::size_t at = device.find(argument);
  if (at == std::string::npos) return {};
  const std::size_t begin = at + argument.size();
  return device.substr(begin, device.find(',', begin) - begin);
}

Port::Port(const DpdkOptions& options, const pipeline::Endpoint& own, bool interrupts) {
  change_.fd = Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!change_.fd) throw_errno("dpdk: making an event descriptor");
  const DpdkLog log;
  if (interrupts) {
    // Drivers that have none ignore the wish or fail, at one step or another.
    try {
      open(options);
      configure(options, own, true);
      return;
    } catch (const std::runtime_error&) {
      close();
    }
  }
  try {
    const std::vector<int> before = xdp_sockets();
    open(options);
    configure(options, own, false);
    for (const int fd : xdp_sockets()) {
      if (std::find(before.begin(), before.end(), fd) == before.end()) xdp_socket_ = fd;
    }
  } catch (const std::runtime_error& error) {
    close();
    throw std::runtime_error("dpdk: port '" + options.device + "': " + error.what() + log.text());
  }
}

Port::~Port() {
  const DpdkLog log;  // what it says about an orderly end is of no use
  close();
}

void Port::open(const DpdkOptions& options) {
  remove_stale_socket(options.device);
  const std::string name = options.device.substr(0, options.device.find(','));
  if (::rte_eth_dev_get_port_by_name(name.c_str(), &id_) != 0) {
    const int probed = ::rte_dev_probe(options.device.c_str());
    if (probed != 0 || ::rte_eth_dev_get_port_by_name(name.c_str(), &id_) != 0) {
      throw std::runtime_error(
          "there is no such port or it cannot be opened: " +
          (probed != 0 ? reason(probed) : std::string("no driver took it")) +
          "; a PCI port must be bound to vfio-pci (dpdk-devbind.py -s), an interface must be there");
    }
  }
  open_ = true;
}

void Port::configure(const DpdkOptions& options, const pipeline::Endpoint& own, bool interrupts) {
  rte_eth_dev_info info{};
  must(::rte_eth_dev_info_get(id_, &info), "asking what it can do");
  device_ = info.device;
  driver_ = info.driver_name == nullptr ? "unknown" : info.driver_name;
  rte_ether_addr mac{};
  must(::rte_eth_macaddr_get(id_, &mac), "asking for its MAC address");
  for (const std::uint8_t byte : mac.addr_bytes) mac_ = (mac_ << 8) | byte;
  if (options.mtu > info.max_mtu) {
    throw std::runtime_error("it carries IP packets of at most " + std::to_string(info.max_mtu) +
                             " bytes; lower listen.mtu on all nodes");
  }
  rte_eth_conf conf{};
  const std::size_t data =
      RTE_PKTMBUF_HEADROOM + pipeline::kEthernetBytes + RTE_VLAN_HLEN + options.mtu + RTE_ETHER_CRC_LEN + kDriverHeader;
  std::size_t least = RTE_MBUF_DEFAULT_BUF_SIZE;
  if (driver_ == kRawSocket) {
    least = RTE_PKTMBUF_HEADROOM + ring_frame(options);  // it asks for as much, whatever the MTU
  } else {
    conf.rxmode.mtu = static_cast<std::uint32_t>(options.mtu);
  }
  // UDP checksums are 0: the frame's own CRC covers more. That leaves the IPv4 header's.
  tx_checksum_ = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
  rx_checksum_ = (info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0;
  if (tx_checksum_) conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
  if (rx_checksum_) conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
  if (options.vlan != 0) conf.rxmode.offloads |= info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
  in_place_ = lines_in_place(driver_, (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0, options.zero_copy);
  if (in_place_.any()) conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  if (info.dev_flags != nullptr && (*info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0) {
    conf.intr_conf.lsc = 1;
    must(::rte_eth_dev_callback_register(id_, RTE_ETH_EVENT_INTR_LSC, tell_change, &change_),
         "asking to be told when its wire goes");
    // Queues of net_vhost come one by one, some after the wire; few other drivers tell, and none has to.
    ::rte_eth_dev_callback_register(id_, RTE_ETH_EVENT_QUEUE_STATE, tell_change, &change_);
    watched_ = true;
  }
  if (interrupts) conf.intr_conf.rxq = 1;
  const auto able = std::min<std::size_t>(info.max_rx_queues, info.max_tx_queues);
  // One socket of net_af_xdp, one receive queue of its interface.
  const std::size_t wanted = driver_ == "net_af_xdp" ? 1 : options.queues;
  queues_.resize(std::max<std::size_t>(std::min(wanted, able), 1));
  const auto count = static_cast<std::uint16_t>(queues_.size());
  FlowSteering flow(id_);
  const bool all = !options.kernel_interface.empty();  // the kernel is to have what no rule lets in
  const bool isolated = !all && flow.isolate();
  rte_eth_conf plain = conf;
  RssSteering rss(id_);
  bool spreads = count > 1 && rss.ask(info, conf);
  if (spreads && ::rte_eth_dev_configure(id_, count, count, &conf) != 0) {
    spreads = false;
    conf = plain;
  }
  if (!spreads) must(::rte_eth_dev_configure(id_, count, count, &conf), "configuring it");
  set_up_queues(options, std::max(data, least), conf);
  must(::rte_eth_dev_start(id_), "starting it");
  started_ = true;
  if (all)
    ::rte_eth_allmulticast_enable(id_);  // for its protocols; a driver that cannot has no filter, or a kernel less
  steer(own, static_cast<std::uint16_t>(options.vlan), isolated, spreads ? &rss : nullptr);
}

void Port::set_up_queues(const DpdkOptions& options, std::size_t buffer_bytes, const rte_eth_conf& conf) {
  auto rx = static_cast<std::uint16_t>(options.rx_descriptors), tx = static_cast<std::uint16_t>(options.tx_descriptors);
  must(::rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx, &tx), "choosing the length of its queues");
  rte_eth_dev_info info{};
  must(::rte_eth_dev_info_get(id_, &info), "asking what its queues can do");
  // Linear buffers, and a pool for each direction: some drivers lose frames otherwise.
  const std::size_t kept = driver_ == "net_af_xdp" ? kAfXdpKeeps + 2 * std::size_t{rx} : 0;
  // Of the received ones every thread may hold some back, and some may be on their way from one to another.
  const std::size_t others = queues() - 1, cached = (2 + others) * kPoolCache;
  const auto socket = static_cast<unsigned>(std::max(::rte_eth_dev_socket_id(id_), 0));
  const auto count = static_cast<std::uint16_t>(queues());
  for (std::uint16_t i = 0; i < count; ++i) {
    Queue& queue = queues_[i];
    queue.rx_pool = make_pool("rx", i, kept + rx + 2 * kDpdkBurst + cached + others * kHandOverFrames, buffer_bytes);
    queue.tx_pool = make_pool("tx", i, tx + options.output_frames + 2 * kDpdkBurst + cached, buffer_bytes);
    if (in_place_.any()) queue.lines_pool = make_lines_pool(i);
    rte_eth_rxconf rx_conf = info.default_rxconf;
    rx_conf.offloads = conf.rxmode.offloads;
    must(::rte_eth_rx_queue_setup(id_, i, rx, socket, &rx_conf, queue.rx_pool), "setting up a receive queue");
    rte_eth_txconf tx_conf = info.default_txconf;
    tx_conf.offloads = conf.txmode.offloads;
    must(::rte_eth_tx_queue_setup(id_, i, tx, socket, &tx_conf), "setting up a transmit queue");
  }
}

/// Rules where the port takes them, else what it spreads by. `rss`: none when it cannot spread.
void Port::steer(const pipeline::Endpoint& own, std::uint16_t vlan, bool isolated, RssSteering* rss) {
  FlowSteering flow(id_);
  if (flow.add_rules(own, vlan, queues())) {
    steering_ = isolated ? "rte_flow, isolated" : "rte_flow";
    return;
  }
  if (isolated) {
    must(::rte_eth_dev_stop(id_), "stopping it");
    flow.lift();
    must(::rte_eth_dev_start(id_), "starting it");
  }
  if (rss == nullptr) return;
  rss_ = rss->set_up(queues());
  if (!rss_.queues.empty()) steering_ = "RSS";
}

rte_mempool* Port::make_pool(const char* direction, std::size_t queue, std::size_t buffers, std::size_t data_bytes) {
  const std::string name = std::string("slotwire-") + direction + std::to_string(id_) + "-" + std::to_string(queue);
  rte_mempool* const pool =
      ::rte_pktmbuf_pool_create(name.c_str(), static_cast<unsigned>(buffers), kPoolCache, 0,
                                static_cast<std::uint16_t>(data_bytes), ::rte_eth_dev_socket_id(id_));
  if (pool == nullptr) {
    throw std::runtime_error("no memory for " + std::to_string(buffers) + " buffers of " + std::to_string(data_bytes) +
                             " bytes: " + reason(rte_errno) + "; raise dpdk.memory");
  }
  return pool;
}

/// A burst of them is all there are at once: what the driver does not take is copied.
rte_mempool* Port::make_lines_pool(std::size_t queue) {
  const std::string name = "slotwire-lines" + std::to_string(id_) + "-" + std::to_string(queue);
  constexpr unsigned kBuffers = 2 * (unsigned{kDpdkBurst} + kPoolCache);
  rte_mempool* const pool = carriers::make_lines_pool(name.c_str(), kBuffers, kPoolCache, ::rte_eth_dev_socket_id(id_));
  if (pool == nullptr)
    throw std::runtime_error("no memory for its buffers: " + reason(rte_errno) + "; raise dpdk.memory");
  return pool;
}

Port::Change Port::changed() noexcept {
  if (!change_.told.load(std::memory_order_relaxed)) return {};
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(change_.fd.get(), &count, sizeof count);
  Change change;
  change.any = change_.told.exchange(false);
  const bool was_down = change_.down.exchange(false);
  change.up = !is_down(id_);
  change.down = was_down || !change.up;
  change.lost =
      change.down && std::find(std::begin(kConnectOnce), std::end(kConnectOnce), driver_) != std::end(kConnectOnce);
  return change;
}

bool Port::wire_up() const noexcept {
  return !watched_ || !is_down(id_);
}

bool Port::may_stay_silent() const noexcept {
  // Its queues come one by one while the other end connects: one that was answered in between was seen silent, rarely.
  return driver_ == "net_vhost";
}

void Port::stop() noexcept {
  if (driver_ != kTellsLate) {
    ::rte_eth_dev_stop(id_);
    return;
  }
  // When its other end goes, its handler and what that puts off run in the interrupt thread, also after the port was
  // closed. Stopped in that thread the handler is gone for certain; what it has put off runs before the second step.
  between_handlers([this] { ::rte_eth_dev_stop(id_); });
  between_handlers([] {});
}

void Port::close() noexcept {
  if (watched_) {
    ::rte_eth_dev_callback_unregister(id_, RTE_ETH_EVENT_INTR_LSC, tell_change, &change_);
    ::rte_eth_dev_callback_unregister(id_, RTE_ETH_EVENT_QUEUE_STATE, tell_change, &change_);
  }
  watched_ = false;
  if (started_) stop();
  if (open_) {
    ::rte_eth_dev_close(id_);
    if (device_ != nullptr) ::rte_dev_remove(device_);
  }
  started_ = open_ = false;
  // This release of net_af_xdp forgets to give up its socket (eth_dev_close): until the process ends, the kernel has
  // the pool, and the interface's queue is taken.
  for (const Queue& queue : queues_) {
    if (xdp_socket_ < 0) ::rte_mempool_free(queue.rx_pool);
    ::rte_mempool_free(queue.tx_pool);
    ::rte_mempool_free(queue.lines_pool);
  }
  queues_.clear();
}

std::size_t Port::receive(std::size_t queue, std::span<rte_mbuf*> out) noexcept {
  return ::rte_eth_rx_burst(id_, static_cast<std::uint16_t>(queue), out.data(), static_cast<std::uint16_t>(out.size()));
}

bool Port::allocate(std::size_t queue, std::span<rte_mbuf*> out) noexcept {
  return ::rte_pktmbuf_alloc_bulk(queues_[queue].tx_pool, out.data(), static_cast<unsigned>(out.size())) == 0;
}

bool Port::allocate_lines(std::size_t queue, std::span<rte_mbuf*> out) noexcept {
  rte_mempool* const pool = queues_[queue].lines_pool;
  return pool != nullptr && ::rte_pktmbuf_alloc_bulk(pool, out.data(), static_cast<unsigned>(out.size())) == 0;
}

std::size_t Port::transmit(std::size_t queue, std::span<rte_mbuf*> frames, std::size_t& refused) noexcept {
  const auto number = static_cast<std::uint16_t>(queue);
  std::size_t done = 0;
  while (done < frames.size()) {
    const auto wanted = static_cast<std::uint16_t>(std::min(frames.size() - done, kDpdkBurst));
    rte_mbuf** const first = &frames[done];
    const std::uint16_t good = ::rte_eth_tx_prepare(id_, number, first, wanted);
    const std::uint16_t taken = good == 0 ? std::uint16_t{0} : ::rte_eth_tx_burst(id_, number, first, good);
    done += taken;
    if (taken < good) break;
    if (good < wanted) {  // the driver does not want the next one, now or ever
      ::rte_pktmbuf_free(frames[done++]);
      ++refused;
    }
  }
  return done;
}

}  // namespace slotwire::carriers
