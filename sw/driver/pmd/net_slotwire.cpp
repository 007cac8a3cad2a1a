// net_slotwire: the host path of a card as a port of DPDK (docs/pmd.md). What the card does with frames is in
// host_queues.hpp.
//
// Thread rules: DPDK's. A queue belongs to one thread at a time; everything else comes from one thread.
#include <bus_vdev_driver.h>
#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_ethdev.h>
#include <rte_flow_driver.h>
#include <rte_kvargs.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_net.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "driver/pmd/flow_rules.hpp"
#include "driver/pmd/queue_client.hpp"

namespace slotwire::driver::pmd {
namespace {

namespace hq = host_queues;

constexpr std::uint32_t kDefaultQueues = 4;
constexpr std::uint32_t kMinDescriptors = 64;
/// Ethernet header and one VLAN tag around an IP packet.
constexpr std::uint32_t kOverhead = RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;
constexpr std::uint64_t kRxChecksums =
    RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
constexpr std::uint64_t kTxChecksums =
    RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
/// What a frame to be sent may ask for.
constexpr std::uint64_t kTxFlags =
    RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_L4_MASK;

int log_type = 0;

template <typename... Args>
void say(std::uint32_t level, const char* format, Args... args) {
  ::rte_log(level, static_cast<std::uint32_t>(log_type), format, args...);
}

/// Counted by the thread of a queue, read by any.
class Count {
 public:
  void add(std::uint64_t n) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }
  void clear() { value_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Of a field that the card may change meanwhile.
template <typename T>
T read_once(T& field) {
  return std::atomic_ref<T>(field).load(std::memory_order_relaxed);
}

struct Device;

struct RxQueue {
  Device* device = nullptr;
  std::uint32_t index = 0;
  rte_mempool* pool = nullptr;
  std::uint16_t port = 0, descriptors = 0;
  std::uint64_t offloads = 0;
  std::uint32_t consumed = 0;
  bool broken = false;
  Count frames, bytes, errors, no_buffer;
  std::uint64_t dropped_before = 0;  ///< what the card had counted when statistics were cleared
};

struct TxQueue {
  Device* device = nullptr;
  std::uint32_t index = 0;
  std::uint16_t descriptors = 0;
  std::uint32_t produced = 0;
  bool broken = false;
  Count frames, bytes, errors;
};

struct Device {
  Device(const std::string& path, std::uint32_t queues) : card(path, queues), flows(card) {}

  QueueClient card;
  FlowTable flows;
  rte_ether_addr mac{};
  bool running = false, promiscuous = false, all_multicast = false;
  rte_intr_handle* watch = nullptr;  ///< of the connection, while the application wants to be told of the link
  /// Of transmit rings, from one set-up of a queue to the next: the card goes on from there.
  std::array<std::uint32_t, hq::kMaxQueues> produced{};
};

Device& of(const rte_eth_dev* dev) {
  return *static_cast<Device*>(dev->data->dev_private);
}

hq::Ring& ring(const RxQueue& queue) {
  return queue.device->card.memory().ring(queue.index, false);
}
hq::Ring& ring(const TxQueue& queue) {
  return queue.device->card.memory().ring(queue.index, true);
}

// ---- frames

std::uint64_t checksum_flags(std::uint64_t offloads, std::uint32_t flags) {
  std::uint64_t result = 0;
  if ((offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0) {
    if ((flags & hq::kIpGood) != 0) result |= RTE_MBUF_F_RX_IP_CKSUM_GOOD;
    if ((flags & hq::kIpBad) != 0) result |= RTE_MBUF_F_RX_IP_CKSUM_BAD;
  }
  if ((offloads & (RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM)) != 0) {
    if ((flags & hq::kL4Good) != 0) result |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    if ((flags & hq::kL4Bad) != 0) result |= RTE_MBUF_F_RX_L4_CKSUM_BAD;
  }
  return result;
}

/// A frame in buffers of the queue's pool; null: there are not enough. `length` was checked.
rte_mbuf* copy_out(const RxQueue& queue, const std::byte* frame, std::uint32_t length) {
  rte_mbuf* const first = ::rte_pktmbuf_alloc(queue.pool);
  if (first == nullptr) return nullptr;
  first->pkt_len = length;
  first->port = queue.port;
  rte_mbuf* last = first;
  for (;;) {
    const auto n = static_cast<std::uint16_t>(std::min<std::uint32_t>(length, ::rte_pktmbuf_tailroom(last)));
    std::memcpy(rte_pktmbuf_mtod(last, std::byte*), frame, n);
    last->data_len = n;
    frame += n;
    length -= n;
    if (length == 0) return first;
    rte_mbuf* const next = n == 0 ? nullptr : ::rte_pktmbuf_alloc(queue.pool);
    if (next == nullptr) {
      ::rte_pktmbuf_free(first);
      return nullptr;
    }
    last->next = next;
    last = next;
    ++first->nb_segs;
  }
}

std::uint16_t receive(void* opaque, rte_mbuf** out, std::uint16_t wanted) {
  RxQueue& queue = *static_cast<RxQueue*>(opaque);
  if (queue.broken) return 0;
  hq::Ring& from = ring(queue);
  const std::uint32_t ready = from.produced.load(std::memory_order_acquire) - queue.consumed;
  if (ready > hq::kEntries) {
    queue.broken = true;
    queue.errors.add(1);
    say(RTE_LOG_ERR, "net_slotwire: receive ring %u holds more than it can; it is not used any more\n", queue.index);
    return 0;
  }
  std::uint32_t taken = 0;
  std::uint16_t n = 0;
  std::uint64_t bytes = 0;
  while (n < wanted && taken < ready) {
    hq::Entry& entry = queue.device->card.memory().entry(queue.index, false, queue.consumed + taken);
    const std::uint32_t length = read_once(entry.length), flags = read_once(entry.flags), mark = read_once(entry.mark);
    const bool chained =
        length > static_cast<std::uint32_t>(::rte_pktmbuf_data_room_size(queue.pool)) - RTE_PKTMBUF_HEADROOM;
    if (length < hq::kMinFrame || length > hq::kMaxFrame ||
        (chained && (queue.offloads & RTE_ETH_RX_OFFLOAD_SCATTER) == 0)) {
      queue.errors.add(1);
      ++taken;
      continue;
    }
    rte_mbuf* const frame = copy_out(queue, entry.frame.data(), length);
    if (frame == nullptr) {
      queue.no_buffer.add(1);
      break;
    }
    frame->ol_flags |= checksum_flags(queue.offloads, flags);
    if ((flags & hq::kMarked) != 0) {
      frame->ol_flags |= RTE_MBUF_F_RX_FDIR | RTE_MBUF_F_RX_FDIR_ID;
      frame->hash.fdir.hi = mark & ((1U << regs::kVerdictMarkBits) - 1);
    }
    bytes += length;
    out[n++] = frame;
    ++taken;
  }
  if (taken == 0) return 0;
  queue.consumed += taken;
  from.consumed.store(queue.consumed, std::memory_order_release);
  queue.frames.add(n);
  queue.bytes.add(bytes);
  return n;
}

/// Frames that wait.
std::uint32_t waiting(void* opaque) {
  const RxQueue& queue = *static_cast<RxQueue*>(opaque);
  return std::min(ring(queue).produced.load(std::memory_order_acquire) - queue.consumed, hq::kEntries);
}

/// Puts a frame into an entry. False: it is none that the card takes.
bool copy_in(const rte_mbuf& frame, hq::Entry& entry) {
  const std::uint32_t length = frame.pkt_len;
  if (length < hq::kMinFrame || length > hq::kMaxFrame) return false;
  std::uint32_t flags = 0;
  const std::uint32_t ip_at = frame.l2_len, l4_at = ip_at + frame.l3_len;
  if ((frame.ol_flags & RTE_MBUF_F_TX_IP_CKSUM) != 0) {
    flags |= hq::kMakeIp;
    entry.ip_at = static_cast<std::uint16_t>(ip_at);
    entry.ip_bytes = static_cast<std::uint16_t>(frame.l3_len);
  }
  if (const std::uint64_t kind = frame.ol_flags & RTE_MBUF_F_TX_L4_MASK; kind != 0) {
    constexpr std::uint32_t kUdpChecksumAt = 6, kTcpChecksumAt = 16;
    flags |= hq::kMakeL4;
    entry.l4_at = static_cast<std::uint16_t>(l4_at);
    entry.checksum_at =
        static_cast<std::uint16_t>(l4_at + (kind == RTE_MBUF_F_TX_UDP_CKSUM ? kUdpChecksumAt : kTcpChecksumAt));
  }
  std::uint32_t at = 0;
  for (const rte_mbuf* part = &frame; part != nullptr && at < length; part = part->next) {
    const std::uint32_t n = std::min<std::uint32_t>(part->data_len, length - at);
    std::memcpy(entry.frame.data() + at, rte_pktmbuf_mtod(part, const std::byte*), n);
    at += n;
  }
  if (at != length) return false;
  entry.length = length;
  entry.flags = flags;
  return true;
}

std::uint16_t transmit(void* opaque, rte_mbuf** frames, std::uint16_t count) {
  TxQueue& queue = *static_cast<TxQueue*>(opaque);
  if (queue.broken) return 0;
  hq::Ring& to = ring(queue);
  const std::uint32_t under_way = queue.produced - to.consumed.load(std::memory_order_acquire);
  if (under_way > hq::kEntries) {
    queue.broken = true;
    queue.errors.add(1);
    say(RTE_LOG_ERR, "net_slotwire: transmit ring %u lost its place; it is not used any more\n", queue.index);
    return 0;
  }
  const std::uint32_t room = under_way >= queue.descriptors ? 0 : queue.descriptors - under_way;
  std::uint32_t put = 0;
  std::uint16_t n = 0;
  std::uint64_t bytes = 0;
  for (; n < count && put < room; ++n) {
    if (copy_in(*frames[n], queue.device->card.memory().entry(queue.index, true, queue.produced + put))) {
      bytes += frames[n]->pkt_len;
      ++put;
    } else {
      queue.errors.add(1);
    }
    ::rte_pktmbuf_free(frames[n]);
  }
  if (put != 0) {
    queue.produced += put;
    to.produced.store(queue.produced, std::memory_order_seq_cst);
    queue.device->card.kick();
    queue.frames.add(put);
    queue.bytes.add(bytes);
  }
  return n;
}

std::uint16_t prepare(void* /*opaque*/, rte_mbuf** frames, std::uint16_t count) {
  for (std::uint16_t n = 0; n < count; ++n) {
    rte_mbuf* const frame = frames[n];
    const std::uint64_t asked = frame->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK;
    const std::uint64_t l4 = asked & RTE_MBUF_F_TX_L4_MASK;
    if ((asked & ~kTxFlags) != 0 || l4 == RTE_MBUF_F_TX_SCTP_CKSUM) {
      rte_errno = ENOTSUP;
      return n;
    }
    const bool headers = (asked & RTE_MBUF_F_TX_IP_CKSUM) != 0 || l4 != 0;
    if (frame->pkt_len < hq::kMinFrame || frame->pkt_len > hq::kMaxFrame ||
        (headers && frame->l2_len + frame->l3_len + (l4 != 0 ? 8U : 0U) > frame->data_len)) {
      rte_errno = EINVAL;
      return n;
    }
    if (const int wrong = ::rte_net_intel_cksum_prepare(frame); wrong != 0) {
      rte_errno = -wrong;
      return n;
    }
  }
  return count;
}

// ---- setting up

/// Tells the card what the port is set to.
int tell(rte_eth_dev* dev) {
  Device& device = of(dev);
  std::uint32_t flags = device.running ? hq::kRunning : 0;
  if (device.promiscuous) flags |= hq::kPromiscuous;
  if (device.all_multicast) flags |= hq::kAllMulticast;
  std::array<std::uint8_t, 6> mac{};
  std::copy(std::begin(device.mac.addr_bytes), std::end(device.mac.addr_bytes), mac.begin());
  const std::uint32_t max_frame = std::min<std::uint32_t>(dev->data->mtu + kOverhead, hq::kMaxFrame);
  return device.card.set(dev->data->nb_rx_queues, flags, max_frame, mac);
}

/// Sets `flag` and tells the card; it stays as it was when the card does not take it.
int change(rte_eth_dev* dev, bool Device::*flag, bool value) {
  Device& device = of(dev);
  const bool before = std::exchange(device.*flag, value);
  const int wrong = tell(dev);
  if (wrong != 0) device.*flag = before;
  return wrong;
}

int link_update(rte_eth_dev* dev, int /*wait*/) {
  rte_eth_link link{};
  link.link_speed = RTE_ETH_SPEED_NUM_UNKNOWN;
  link.link_duplex = RTE_ETH_LINK_FULL_DUPLEX;
  link.link_autoneg = RTE_ETH_LINK_FIXED;
  const Device& device = of(dev);
  link.link_status = device.running && device.card.link_up() ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN;
  return ::rte_eth_linkstatus_set(dev, &link);
}

/// In EAL's interrupt thread: the connection to the card has something to read.
void on_connection(void* opaque) {
  auto* const dev = static_cast<rte_eth_dev*>(opaque);
  Device& device = of(dev);
  if (device.card.link_up()) return;  // an answer that another thread is about to take
  // Its end is there to read for good.
  ::rte_intr_callback_unregister_pending(device.watch, on_connection, dev, nullptr);
  link_update(dev, 0);
  ::rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_LSC, nullptr);
}

int watch_link(rte_eth_dev* dev) {
  Device& device = of(dev);
  device.watch = ::rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
  if (device.watch == nullptr) return -ENOMEM;
  int wrong = ::rte_intr_type_set(device.watch, RTE_INTR_HANDLE_EXT);
  if (wrong == 0) wrong = ::rte_intr_fd_set(device.watch, device.card.connection_fd());
  if (wrong == 0) wrong = ::rte_intr_callback_register(device.watch, on_connection, dev);
  return wrong;
}

void unwatch_link(rte_eth_dev* dev) {
  Device& device = of(dev);
  if (device.watch == nullptr) return;
  ::rte_intr_callback_unregister_sync(device.watch, on_connection,
                                      dev);  // waits for one that runs; may be gone already
  ::rte_intr_instance_free(std::exchange(device.watch, nullptr));
}

int configure(rte_eth_dev* dev) {
  const std::uint32_t queues = of(dev).card.queues();
  if (dev->data->nb_rx_queues > queues || dev->data->nb_tx_queues > queues) {
    say(RTE_LOG_ERR, "net_slotwire: the port has %u queues; give queues=N for more\n", queues);
    return -EINVAL;
  }
  return 0;
}

/// An eventfd for each receive queue, where the application asked for interrupts.
int open_interrupts(rte_eth_dev* dev) {
  const Device& device = of(dev);
  const int queues = dev->data->nb_rx_queues;
  rte_intr_handle* const handle = ::rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
  if (handle == nullptr) return -ENOMEM;
  dev->intr_handle = handle;
  int wrong = ::rte_intr_vec_list_alloc(handle, nullptr, queues);
  if (wrong == 0) wrong = ::rte_intr_type_set(handle, RTE_INTR_HANDLE_VDEV);
  if (wrong == 0) wrong = ::rte_intr_efd_counter_size_set(handle, sizeof(std::uint64_t));
  if (wrong == 0) wrong = ::rte_intr_nb_efd_set(handle, queues);
  if (wrong == 0) wrong = ::rte_intr_max_intr_set(handle, queues + 1);
  for (int i = 0; i < queues && wrong == 0; ++i) {
    wrong = ::rte_intr_vec_list_index_set(handle, i, RTE_INTR_VEC_RXTX_OFFSET + i);
    if (wrong == 0) wrong = ::rte_intr_efds_index_set(handle, i, device.card.signal_fd(static_cast<std::uint32_t>(i)));
  }
  return wrong;
}

void close_interrupts(rte_eth_dev* dev) {
  if (dev->intr_handle == nullptr) return;
  ::rte_intr_free_epoll_fd(dev->intr_handle);
  ::rte_intr_vec_list_free(dev->intr_handle);
  ::rte_intr_instance_free(dev->intr_handle);
  dev->intr_handle = nullptr;
}

void set_queue_states(rte_eth_dev* dev, std::uint8_t state) {
  for (std::uint16_t i = 0; i < dev->data->nb_rx_queues; ++i) dev->data->rx_queue_state[i] = state;
  for (std::uint16_t i = 0; i < dev->data->nb_tx_queues; ++i) dev->data->tx_queue_state[i] = state;
}

int stop(rte_eth_dev* dev) {
  Device& device = of(dev);
  unwatch_link(dev);
  device.running = false;
  dev->data->dev_started = 0;
  const int wrong = tell(dev);
  close_interrupts(dev);
  set_queue_states(dev, RTE_ETH_QUEUE_STATE_STOPPED);
  link_update(dev, 0);
  return wrong == -EIO ? 0 : wrong;  // a card that is gone has stopped
}

int start(rte_eth_dev* dev) {
  Device& device = of(dev);
  if (dev->data->dev_conf.intr_conf.rxq != 0) {
    if (const int wrong = open_interrupts(dev); wrong != 0) {
      close_interrupts(dev);
      return wrong;
    }
  }
  // What came before the last stop is old.
  for (std::uint16_t i = 0; i < dev->data->nb_rx_queues; ++i) {
    auto& queue = *static_cast<RxQueue*>(dev->data->rx_queues[i]);
    hq::Ring& from = ring(queue);
    from.armed.store(0);
    queue.consumed = from.produced.load(std::memory_order_acquire);
    from.consumed.store(queue.consumed, std::memory_order_release);
  }
  device.running = true;
  if (const int wrong = tell(dev); wrong != 0) {
    device.running = false;
    close_interrupts(dev);
    return wrong;
  }
  if (dev->data->dev_conf.intr_conf.lsc != 0) {
    if (const int wrong = watch_link(dev); wrong != 0) {
      stop(dev);
      return wrong;
    }
  }
  set_queue_states(dev, RTE_ETH_QUEUE_STATE_STARTED);
  link_update(dev, 0);
  return 0;
}

int rx_setup(rte_eth_dev* dev, std::uint16_t index, std::uint16_t descriptors, unsigned /*socket*/,
             const rte_eth_rxconf* conf, rte_mempool* pool) {
  const std::uint64_t offloads = conf->offloads | dev->data->dev_conf.rxmode.offloads;
  const std::uint32_t room = ::rte_pktmbuf_data_room_size(pool);
  if (room <= RTE_PKTMBUF_HEADROOM) return -EINVAL;
  if (room - RTE_PKTMBUF_HEADROOM < dev->data->mtu + kOverhead && (offloads & RTE_ETH_RX_OFFLOAD_SCATTER) == 0) {
    say(RTE_LOG_ERR,
        "net_slotwire: frames of %u bytes do not fit the pool's buffers; make them larger, or take SCATTER\n",
        dev->data->mtu + kOverhead);
    return -EINVAL;
  }
  auto queue = std::make_unique<RxQueue>();
  queue->device = &of(dev);
  queue->index = index;
  queue->pool = pool;
  queue->port = dev->data->port_id;
  queue->descriptors = descriptors;
  queue->offloads = offloads;
  queue->dropped_before = ring(*queue).dropped.load(std::memory_order_relaxed);
  dev->data->rx_queues[index] = queue.release();
  return 0;
}

int tx_setup(rte_eth_dev* dev, std::uint16_t index, std::uint16_t descriptors, unsigned /*socket*/,
             const rte_eth_txconf* /*conf*/) {
  auto queue = std::make_unique<TxQueue>();
  queue->device = &of(dev);
  queue->index = index;
  queue->descriptors = descriptors;
  queue->produced = of(dev).produced[index];
  dev->data->tx_queues[index] = queue.release();
  return 0;
}

void rx_release(rte_eth_dev* dev, std::uint16_t index) {
  std::unique_ptr<RxQueue>(static_cast<RxQueue*>(std::exchange(dev->data->rx_queues[index], nullptr))).reset();
}

void tx_release(rte_eth_dev* dev, std::uint16_t index) {
  const std::unique_ptr<TxQueue> queue(static_cast<TxQueue*>(std::exchange(dev->data->tx_queues[index], nullptr)));
  if (queue) of(dev).produced[index] = queue->produced;
}

int close(rte_eth_dev* dev) {
  // The queues are released before: they know the device.
  for (std::uint16_t i = 0; i < dev->data->nb_rx_queues; ++i) rx_release(dev, i);
  for (std::uint16_t i = 0; i < dev->data->nb_tx_queues; ++i) tx_release(dev, i);
  close_interrupts(dev);
  unwatch_link(dev);
  // The card forgets the rules when the connection ends.
  std::unique_ptr<Device>(static_cast<Device*>(std::exchange(dev->data->dev_private, nullptr))).reset();
  dev->data->mac_addrs = nullptr;  // it was the device's
  return 0;
}

int infos(rte_eth_dev* dev, rte_eth_dev_info* info) {
  const hq::Reply& card = of(dev).card.info();
  info->max_rx_queues = info->max_tx_queues = static_cast<std::uint16_t>(card.queues);
  info->min_rx_bufsize = 0;
  info->max_rx_pktlen = hq::kMaxFrame;
  info->min_mtu = RTE_ETHER_MIN_MTU;
  info->max_mtu = static_cast<std::uint16_t>(hq::kMaxFrame - kOverhead);
  info->max_mac_addrs = 1;
  info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER;
  info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  if ((card.features & hq::kVerifiesChecksums) != 0) info->rx_offload_capa |= kRxChecksums;
  if ((card.features & hq::kMakesChecksums) != 0) info->tx_offload_capa |= kTxChecksums;
  info->rx_queue_offload_capa = 0;
  rte_eth_desc_lim limits{};
  limits.nb_max = hq::kEntries;
  limits.nb_min = kMinDescriptors;
  limits.nb_align = 1;
  info->rx_desc_lim = info->tx_desc_lim = limits;
  info->default_rxportconf.ring_size = info->default_txportconf.ring_size = hq::kEntries;
  return 0;
}

void rx_info(rte_eth_dev* dev, std::uint16_t index, rte_eth_rxq_info* info) {
  const auto& queue = *static_cast<RxQueue*>(dev->data->rx_queues[index]);
  info->mp = queue.pool;
  info->conf.offloads = queue.offloads;
  info->scattered_rx = (queue.offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0 ? 1 : 0;
  info->nb_desc = queue.descriptors;
}

void tx_info(rte_eth_dev* dev, std::uint16_t index, rte_eth_txq_info* info) {
  info->nb_desc = static_cast<TxQueue*>(dev->data->tx_queues[index])->descriptors;
}

int set_promiscuous(rte_eth_dev* dev, bool on) {
  if ((of(dev).card.info().features & hq::kFilters) == 0) return on ? 0 : -ENOTSUP;
  return change(dev, &Device::promiscuous, on);
}
int promiscuous_on(rte_eth_dev* dev) {
  return set_promiscuous(dev, true);
}
int promiscuous_off(rte_eth_dev* dev) {
  return set_promiscuous(dev, false);
}
int all_multicast_on(rte_eth_dev* dev) {
  return change(dev, &Device::all_multicast, true);
}
int all_multicast_off(rte_eth_dev* dev) {
  return change(dev, &Device::all_multicast, false);
}

int set_mac(rte_eth_dev* dev, rte_ether_addr* mac) {
  Device& device = of(dev);
  // DPDK hands in the address's own place, too.
  const rte_ether_addr wanted = *mac, before = device.mac;
  device.mac = wanted;
  const int wrong = tell(dev);
  if (wrong != 0) device.mac = before;
  return wrong;
}

int set_mtu(rte_eth_dev* dev, std::uint16_t mtu) {
  for (std::uint16_t i = 0; i < dev->data->nb_rx_queues; ++i) {
    const auto* const queue = static_cast<RxQueue*>(dev->data->rx_queues[i]);
    if (queue == nullptr || (queue->offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0) continue;
    if (mtu + kOverhead > static_cast<std::uint32_t>(::rte_pktmbuf_data_room_size(queue->pool)) - RTE_PKTMBUF_HEADROOM)
      return -EINVAL;
  }
  const std::uint16_t before = std::exchange(dev->data->mtu, mtu);
  const int wrong = tell(dev);
  if (wrong != 0) dev->data->mtu = before;
  return wrong;
}

// ---- statistics

int stats(rte_eth_dev* dev, rte_eth_stats* out) {
  for (std::uint16_t i = 0; i < dev->data->nb_rx_queues; ++i) {
    const auto* const queue = static_cast<RxQueue*>(dev->data->rx_queues[i]);
    if (queue == nullptr) continue;
    out->ipackets += queue->frames.get();
    out->ibytes += queue->bytes.get();
    out->ierrors += queue->errors.get();
    out->rx_nombuf += queue->no_buffer.get();
    out->imissed += ring(*queue).dropped.load(std::memory_order_relaxed) - queue->dropped_before;
    if (i >= RTE_ETHDEV_QUEUE_STAT_CNTRS) continue;
    out->q_ipackets[i] = queue->frames.get();
    out->q_ibytes[i] = queue->bytes.get();
    out->q_errors[i] = queue->errors.get();
  }
  for (std::uint16_t i = 0; i < dev->data->nb_tx_queues; ++i) {
    const auto* const queue = static_cast<TxQueue*>(dev->data->tx_queues[i]);
    if (queue == nullptr) continue;
    out->opackets += queue->frames.get();
    out->obytes += queue->bytes.get();
    out->oerrors += queue->errors.get();
    if (i >= RTE_ETHDEV_QUEUE_STAT_CNTRS) continue;
    out->q_opackets[i] = queue->frames.get();
    out->q_obytes[i] = queue->bytes.get();
  }
  return 0;
}

int reset_stats(rte_eth_dev* dev) {
  for (std::uint16_t i = 0; i < dev->data->nb_rx_queues; ++i) {
    auto* const queue = static_cast<RxQueue*>(dev->data->rx_queues[i]);
    if (queue == nullptr) continue;
    for (Count* count : {&queue->frames, &queue->bytes, &queue->errors, &queue->no_buffer}) count->clear();
    queue->dropped_before = ring(*queue).dropped.load(std::memory_order_relaxed);
  }
  for (std::uint16_t i = 0; i < dev->data->nb_tx_queues; ++i) {
    auto* const queue = static_cast<TxQueue*>(dev->data->tx_queues[i]);
    if (queue == nullptr) continue;
    for (Count* count : {&queue->frames, &queue->bytes, &queue->errors}) count->clear();
  }
  return 0;
}

// ---- interrupts

int interrupt_on(rte_eth_dev* dev, std::uint16_t index) {
  auto& queue = *static_cast<RxQueue*>(dev->data->rx_queues[index]);
  hq::Ring& from = ring(queue);
  from.armed.store(1, std::memory_order_seq_cst);
  // What came in between has nobody to signal it.
  if (from.produced.load(std::memory_order_seq_cst) == queue.consumed) return 0;
  const std::uint64_t one = 1;
  if (from.armed.exchange(0) != 0) static_cast<void>(!::write(queue.device->card.signal_fd(index), &one, sizeof one));
  return 0;
}

int interrupt_off(rte_eth_dev* dev, std::uint16_t index) {
  auto& queue = *static_cast<RxQueue*>(dev->data->rx_queues[index]);
  ring(queue).armed.store(0, std::memory_order_seq_cst);
  std::uint64_t signals = 0;
  static_cast<void>(!::read(queue.device->card.signal_fd(index), &signals, sizeof signals));
  return 0;
}

// ---- flows

int flow_validate(rte_eth_dev* dev, const rte_flow_attr* attr, const rte_flow_item* pattern,
                  const rte_flow_action* actions, rte_flow_error* error) {
  Device& device = of(dev);
  regs::ClassifierRule rule{};
  if (const int wrong = translate(*attr, pattern, actions, dev->data->nb_rx_queues, rule, error); wrong != 0)
    return wrong;
  if (device.flows.size() < device.card.info().rules) return 0;
  return ::rte_flow_error_set(error, ENOSPC, RTE_FLOW_ERROR_TYPE_HANDLE, nullptr, "the card has no more rules");
}

rte_flow* flow_create(rte_eth_dev* dev, const rte_flow_attr* attr, const rte_flow_item* pattern,
                      const rte_flow_action* actions, rte_flow_error* error) {
  regs::ClassifierRule rule{};
  if (translate(*attr, pattern, actions, dev->data->nb_rx_queues, rule, error) != 0) return nullptr;
  return of(dev).flows.add(rule, attr->priority, error);
}

int flow_destroy(rte_eth_dev* dev, rte_flow* flow, rte_flow_error* error) {
  return of(dev).flows.remove(flow, error);
}

int flow_flush(rte_eth_dev* dev, rte_flow_error* error) {
  return of(dev).flows.remove_all(error);
}

/// Isolated: what no flow asks for is dropped.
int flow_isolate(rte_eth_dev* dev, int on, rte_flow_error* error) {
  const auto otherwise = on != 0 ? regs::ClassifierAction::drop : regs::ClassifierAction::queue;
  const int wrong = of(dev).card.write_default_rule(otherwise, 0);
  if (wrong == 0) return 0;
  return ::rte_flow_error_set(error, -wrong, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "the card did not take it");
}

int flow_ops_get(rte_eth_dev* dev, const rte_flow_ops** ops) {
  static const rte_flow_ops kFlowOps = [] {
    rte_flow_ops flows{};
    flows.validate = flow_validate;
    flows.create = flow_create;
    flows.destroy = flow_destroy;
    flows.flush = flow_flush;
    flows.isolate = flow_isolate;
    return flows;
  }();
  *ops = of(dev).card.info().rules == 0 ? nullptr : &kFlowOps;
  return 0;
}

const eth_dev_ops& operations() {
  static const eth_dev_ops kOps = [] {
    eth_dev_ops ops{};
    ops.dev_configure = configure;
    ops.dev_start = start;
    ops.dev_stop = stop;
    ops.dev_close = close;
    ops.link_update = link_update;
    ops.promiscuous_enable = promiscuous_on;
    ops.promiscuous_disable = promiscuous_off;
    ops.allmulticast_enable = all_multicast_on;
    ops.allmulticast_disable = all_multicast_off;
    ops.mac_addr_set = set_mac;
    ops.mtu_set = set_mtu;
    ops.stats_get = stats;
    ops.stats_reset = reset_stats;
    ops.dev_infos_get = infos;
    ops.rxq_info_get = rx_info;
    ops.txq_info_get = tx_info;
    ops.rx_queue_setup = rx_setup;
    ops.rx_queue_release = rx_release;
    ops.rx_queue_intr_enable = interrupt_on;
    ops.rx_queue_intr_disable = interrupt_off;
    ops.tx_queue_setup = tx_setup;
    ops.tx_queue_release = tx_release;
    ops.flow_ops_get = flow_ops_get;
    return ops;
  }();
  return kOps;
}

// ---- the driver

struct Arguments {
  std::string path;
  std::uint32_t queues = kDefaultQueues;
  std::optional<rte_ether_addr> mac;
};

/// Throws std::runtime_error.
Arguments parse(const char* text) {
  constexpr const char* kKeys[] = {"path", "queues", "mac", nullptr};
  const std::unique_ptr<rte_kvargs, void (*)(rte_kvargs*)> pairs(::rte_kvargs_parse(text, kKeys), ::rte_kvargs_free);
  if (!pairs) throw std::runtime_error("arguments are path=SOCKET, queues=N and mac=ADDRESS");
  Arguments result;
  if (const char* const path = ::rte_kvargs_get(pairs.get(), "path"); path != nullptr) result.path = path;
  if (const char* const queues = ::rte_kvargs_get(pairs.get(), "queues"); queues != nullptr) {
    const std::string_view digits(queues);
    const auto [end, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), result.queues);
    if (wrong != std::errc{} || end != digits.data() + digits.size()) result.queues = 0;
  }
  if (const char* const mac = ::rte_kvargs_get(pairs.get(), "mac"); mac != nullptr) {
    rte_ether_addr address{};
    if (::rte_ether_unformat_addr(mac, &address) != 0 || rte_is_valid_assigned_ether_addr(&address) == 0)
      throw std::runtime_error(std::string("mac=") + mac + " is no MAC address of one port");
    result.mac = address;
  }
  if (result.path.empty()) throw std::runtime_error("give the socket of the card's host queues: path=SOCKET");
  return result;
}

int probe(rte_vdev_device* vdev) {
  const char* const name = ::rte_vdev_device_name(vdev);
  if (::rte_eal_process_type() != RTE_PROC_PRIMARY) {
    say(RTE_LOG_ERR, "net_slotwire: %s: secondary processes cannot use it\n", name);
    return -ENOTSUP;
  }
  try {
    const Arguments arguments = parse(::rte_vdev_device_args(vdev));
    auto device = std::make_unique<Device>(arguments.path, arguments.queues);
    if (arguments.mac) {
      device->mac = *arguments.mac;
    } else {
      ::rte_eth_random_addr(device->mac.addr_bytes);
    }
    rte_eth_dev* const dev = ::rte_eth_vdev_allocate(vdev, 0);
    if (dev == nullptr) return -ENOMEM;
    dev->data->mac_addrs = &device->mac;
    dev->data->dev_private = device.release();
    dev->data->promiscuous = 0;
    dev->data->dev_flags |= RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS | RTE_ETH_DEV_INTR_LSC;
    dev->dev_ops = &operations();
    dev->rx_pkt_burst = receive;
    dev->tx_pkt_burst = transmit;
    dev->tx_pkt_prepare = prepare;
    dev->rx_queue_count = waiting;
    ::rte_eth_dev_probing_finish(dev);
    return 0;
  } catch (const std::exception& error) {
    say(RTE_LOG_ERR, "net_slotwire: %s: %s\n", name, error.what());
    return -EINVAL;
  }
}

int remove(rte_vdev_device* vdev) {
  rte_eth_dev* const dev = ::rte_eth_dev_allocated(::rte_vdev_device_name(vdev));
  if (dev == nullptr) return 0;  // closed before
  close(dev);
  return ::rte_eth_dev_release_port(dev);
}

}  // namespace
}  // namespace slotwire::driver::pmd

// What DPDK's macros do for drivers in C: it is there when the plugin was loaded.
RTE_INIT(slotwire_register) {
  static rte_vdev_driver driver;
  driver.driver.name = "net_slotwire";
  driver.probe = slotwire::driver::pmd::probe;
  driver.remove = slotwire::driver::pmd::remove;
  slotwire::driver::pmd::log_type = ::rte_log_register_type_and_pick_level("pmd.net.slotwire", RTE_LOG_NOTICE);
  ::rte_vdev_register(&driver);
}
