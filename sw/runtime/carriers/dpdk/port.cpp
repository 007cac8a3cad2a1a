#include "carriers/dpdk/port.hpp"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <stdexcept>

#include "carriers/dpdk/eal.hpp"
#include "pipeline/ethernet.hpp"

namespace slotwire::carriers {
namespace {

/// Buffers that the pools' caches may hold back.
constexpr unsigned kPoolCache = 128;

std::string reason(int error) {
  return ::rte_strerror(error < 0 ? -error : error);
}

}  // namespace

Port::Port(const DpdkOptions& options) {
  const DpdkLog log;
  try {
    open(options);
    configure(options);
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

void Port::configure(const DpdkOptions& options) {
  rte_eth_dev_info info{};
  const auto must = [](int result, const char* what) {
    if (result < 0) throw std::runtime_error(std::string(what) + ": " + reason(result));
  };
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
  conf.rxmode.mtu = static_cast<std::uint32_t>(options.mtu);
  // UDP checksums are 0: the frame's own CRC covers more. That leaves the IPv4 header's.
  tx_checksum_ = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
  rx_checksum_ = (info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0;
  if (tx_checksum_) conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
  if (rx_checksum_) conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
  must(::rte_eth_dev_configure(id_, 1, 1, &conf), "configuring it");
  auto rx = static_cast<std::uint16_t>(options.rx_descriptors), tx = static_cast<std::uint16_t>(options.tx_descriptors);
  must(::rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx, &tx), "choosing the length of its queues");
  // Linear buffers, and a pool for each direction: some drivers lose frames otherwise.
  const std::size_t data = RTE_PKTMBUF_HEADROOM + pipeline::kEthernetBytes + options.mtu + RTE_ETHER_CRC_LEN;
  // Drivers on sockets hand over frames of a fixed room, whatever the MTU.
  const std::size_t room = std::max<std::size_t>(data, RTE_MBUF_DEFAULT_BUF_SIZE);
  rx_pool_ = make_pool("rx", rx + 2 * kDpdkBurst + 2 * kPoolCache, room);
  tx_pool_ = make_pool("tx", tx + options.output_frames + 2 * kDpdkBurst + 2 * kPoolCache, room);
  const auto socket = static_cast<unsigned>(std::max(::rte_eth_dev_socket_id(id_), 0));
  rte_eth_rxconf rx_conf = info.default_rxconf;
  rx_conf.offloads = conf.rxmode.offloads;
  must(::rte_eth_rx_queue_setup(id_, 0, rx, socket, &rx_conf, rx_pool_), "setting up its receive queue");
  rte_eth_txconf tx_conf = info.default_txconf;
  tx_conf.offloads = conf.txmode.offloads;
  must(::rte_eth_tx_queue_setup(id_, 0, tx, socket, &tx_conf), "setting up its transmit queue");
  must(::rte_eth_dev_start(id_), "starting it");
  started_ = true;
}

rte_mempool* Port::make_pool(const char* direction, std::size_t buffers, std::size_t data_bytes) {
  const std::string name = std::string("slotwire-") + direction + std::to_string(id_);
  rte_mempool* const pool =
      ::rte_pktmbuf_pool_create(name.c_str(), static_cast<unsigned>(buffers), kPoolCache, 0,
                                static_cast<std::uint16_t>(data_bytes), ::rte_eth_dev_socket_id(id_));
  if (pool == nullptr) {
    throw std::runtime_error("no memory for " + std::to_string(buffers) + " buffers of " + std::to_string(data_bytes) +
                             " bytes: " + reason(rte_errno) + "; raise dpdk.memory");
  }
  return pool;
}

void Port::close() noexcept {
  if (started_) ::rte_eth_dev_stop(id_);
  if (open_) {
    ::rte_eth_dev_close(id_);
    if (device_ != nullptr) ::rte_dev_remove(device_);
  }
  started_ = open_ = false;
  ::rte_mempool_free(rx_pool_);
  ::rte_mempool_free(tx_pool_);
  rx_pool_ = tx_pool_ = nullptr;
}

std::size_t Port::receive(std::span<rte_mbuf*> out) noexcept {
  return ::rte_eth_rx_burst(id_, 0, out.data(), static_cast<std::uint16_t>(out.size()));
}

bool Port::allocate(std::span<rte_mbuf*> out) noexcept {
  return ::rte_pktmbuf_alloc_bulk(tx_pool_, out.data(), static_cast<unsigned>(out.size())) == 0;
}

std::size_t Port::transmit(std::span<rte_mbuf*> frames, std::size_t& refused) noexcept {
  std::size_t done = 0;
  while (done < frames.size()) {
    const auto wanted = static_cast<std::uint16_t>(std::min(frames.size() - done, kDpdkBurst));
    rte_mbuf** const first = &frames[done];
    const std::uint16_t good = ::rte_eth_tx_prepare(id_, 0, first, wanted);
    const std::uint16_t taken = good == 0 ? std::uint16_t{0} : ::rte_eth_tx_burst(id_, 0, first, good);
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
