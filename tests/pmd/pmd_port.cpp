#include "pmd_port.hpp"

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <sched.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <stdexcept>

namespace slotwire::test {
namespace {

constexpr std::uint16_t kDescriptors = 256;
constexpr unsigned kBuffers = 3000;

void must(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + ": " + ::rte_strerror(-result));
}

void put(Frame& frame, std::uint64_t value, std::size_t bytes) {
  while (bytes-- > 0) frame.push_back(static_cast<std::byte>(value >> 8 * bytes & 0xff));
}
void put_at(Frame& frame, std::size_t at, std::uint32_t value) {
  frame[at] = static_cast<std::byte>(value >> 8 & 0xff);
  frame[at + 1] = static_cast<std::byte>(value & 0xff);
}

std::uint32_t sum_of(const Frame& frame, std::size_t from, std::size_t to, std::uint32_t sum) {
  for (std::size_t i = from; i < to; i += 2) {
    const auto high = std::to_integer<std::uint32_t>(frame[i]);
    const auto low = i + 1 < to ? std::to_integer<std::uint32_t>(frame[i + 1]) : 0;
    sum += high << 8 | low;
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

constexpr std::size_t kIpv4Header = 20, kIpv6Header = 40, kUdpHeader = 8, kTcpHeader = 20;

std::size_t checksum_at(const Maker& maker) {
  return l4_at(maker) + (maker.protocol == 17 ? 6 : 16);
}

}  // namespace

void start_eal() {
  static bool started = false;
  if (std::exchange(started, true)) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  std::string cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus += (cpus.empty() ? "" : ",") + std::to_string(cpu);
  }
  std::vector<std::string> words{"pmd",
                                 "--no-huge",
                                 "--no-shconf",
                                 "--no-telemetry",
                                 "--no-pci",
                                 "-m",
                                 "96",
                                 "--file-prefix",
                                 "slotwire-pmd-" + std::to_string(::getpid()),
                                 "-d",
                                 SLOTWIRE_PMD,
                                 "--lcores",
                                 "0@(" + cpus + ")"};
  std::vector<char*> arguments;
  arguments.reserve(words.size());
  for (std::string& word : words) arguments.push_back(word.data());
  if (::rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0)
    throw std::runtime_error(std::string("EAL does not start: ") + ::rte_strerror(rte_errno));
}

bool opens(const std::string& arguments) {
  start_eal();
  const std::string name = "net_slotwire99";
  if (::rte_vdev_init(name.c_str(), arguments.c_str()) != 0) return false;
  ::rte_vdev_uninit(name.c_str());
  return true;
}

PmdPort::PmdPort(const std::string& path, const PortOptions& options) {
  start_eal();
  static int number = 0;
  const std::string name = "net_slotwire" + std::to_string(number++);
  const std::string arguments =
      "path=" + path + ",queues=" + std::to_string(options.queues) + ",mac=" + std::string(kPortMac);
  must(::rte_vdev_init(name.c_str(), arguments.c_str()), "opening the port");
  must(::rte_eth_dev_get_port_by_name(name.c_str(), &id_), "looking for the port");
  try {
    set_up(options);
  } catch (const std::runtime_error&) {
    close();
    throw;
  }
}

void PmdPort::set_up(const PortOptions& options) {
  const std::string name = "pmd-port" + std::to_string(id_);
  pool_ = ::rte_pktmbuf_pool_create(name.c_str(), kBuffers, 0, 0,
                                    static_cast<std::uint16_t>(options.buffer_bytes + RTE_PKTMBUF_HEADROOM), 0);
  if (pool_ == nullptr) throw std::runtime_error("no memory for buffers");
  rte_eth_conf conf{};
  conf.rxmode.mtu = options.mtu;
  conf.rxmode.offloads = options.rx_offloads;
  conf.txmode.offloads = options.tx_offloads;
  conf.intr_conf.rxq = options.interrupts ? 1 : 0;
  conf.intr_conf.lsc = options.tells_link ? 1 : 0;
  must(::rte_eth_dev_configure(id_, options.queues, options.queues, &conf), "configuring the port");
  for (std::uint16_t i = 0; i < options.queues; ++i) {
    must(::rte_eth_rx_queue_setup(id_, i, kDescriptors, 0, nullptr, pool_), "setting up a receive queue");
    must(::rte_eth_tx_queue_setup(id_, i, kDescriptors, 0, nullptr), "setting up a transmit queue");
  }
  must(::rte_eth_dev_start(id_), "starting the port");
}

PmdPort::~PmdPort() {
  close();
}

void PmdPort::close() {
  ::rte_eth_dev_stop(id_);
  rte_eth_dev_info info{};
  rte_device* const device = ::rte_eth_dev_info_get(id_, &info) == 0 ? info.device : nullptr;
  ::rte_eth_dev_close(id_);
  if (device != nullptr) ::rte_dev_remove(device);
  ::rte_mempool_free(pool_);
}

rte_eth_stats PmdPort::stats() const {
  rte_eth_stats result{};
  must(::rte_eth_stats_get(id_, &result), "reading statistics");
  return result;
}

std::vector<rte_mbuf*> PmdPort::take(std::uint16_t queue, std::uint16_t most) const {
  std::vector<rte_mbuf*> frames(most);
  frames.resize(::rte_eth_rx_burst(id_, queue, frames.data(), most));
  return frames;
}

rte_mbuf* PmdPort::wait(std::uint16_t queue) const {
  rte_mbuf* frame = nullptr;
  until([&] {
    const auto frames = take(queue, 1);
    if (!frames.empty()) frame = frames[0];
    return frame != nullptr;
  });
  return frame;
}

bool PmdPort::send(const Frame& frame, std::uint16_t queue, std::size_t part,
                   const std::function<void(rte_mbuf&)>& ask) const {
  rte_mbuf *first = nullptr, *last = nullptr;
  for (std::size_t at = 0; at < frame.size();) {
    rte_mbuf* const next = ::rte_pktmbuf_alloc(pool_);
    if (next == nullptr) throw std::runtime_error("no buffers are left");
    const std::size_t n = std::min({part, frame.size() - at, std::size_t{::rte_pktmbuf_tailroom(next)}});
    std::memcpy(rte_pktmbuf_mtod(next, std::byte*), frame.data() + at, n);
    next->data_len = static_cast<std::uint16_t>(n);
    at += n;
    if (first == nullptr) {
      first = next;
    } else {
      last->next = next;
      ++first->nb_segs;
    }
    last = next;
  }
  if (first == nullptr) return false;
  first->pkt_len = static_cast<std::uint32_t>(frame.size());
  if (ask) ask(*first);
  if (::rte_eth_tx_prepare(id_, queue, &first, 1) == 1 &&
      until([&] { return ::rte_eth_tx_burst(id_, queue, &first, 1) == 1; }))
    return true;
  ::rte_pktmbuf_free(first);
  return false;
}

rte_flow* PmdPort::flow(const std::vector<rte_flow_item>& pattern, const std::vector<rte_flow_action>& actions,
                        std::uint32_t priority) {
  rte_flow_attr attr{};
  attr.ingress = 1;
  attr.priority = priority;
  std::vector<rte_flow_item> items = pattern;
  items.push_back({RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr, nullptr});
  std::vector<rte_flow_action> ends = actions;
  ends.push_back({RTE_FLOW_ACTION_TYPE_END, nullptr});
  error = {};
  return ::rte_flow_create(id_, &attr, items.data(), ends.data(), &error);
}

Frame bytes_of(const rte_mbuf* frame) {
  Frame bytes;
  for (; frame != nullptr; frame = frame->next) {
    const auto* const data = rte_pktmbuf_mtod(frame, const std::byte*);
    bytes.insert(bytes.end(), data, data + frame->data_len);
  }
  return bytes;
}

std::size_t ip_at(const Maker& maker) {
  return maker.vlan < 0 ? 14 : 18;
}

std::size_t l4_at(const Maker& maker) {
  return ip_at(maker) + (maker.ipv6 ? kIpv6Header : kIpv4Header);
}

Frame make(const Maker& maker) {
  Frame frame;
  put(frame, maker.to, 6);
  put(frame, 0x0200'0000'0042, 6);
  if (maker.vlan >= 0) put(frame, 0x8100'0000U | static_cast<unsigned>(maker.vlan), 4);
  put(frame, maker.ipv6 ? 0x86dd : 0x0800, 2);
  const std::size_t inner = (maker.protocol == 17 ? kUdpHeader : kTcpHeader) + maker.payload;
  if (maker.ipv6) {
    put(frame, 0x6000'0000, 4);
    put(frame, inner, 2);
    put(frame, maker.protocol, 1);
    put(frame, 64, 1);
    for (const std::uint32_t address : {maker.src_ip, maker.dst_ip}) {
      put(frame, 0xfd00'0000'0000'0000, 8);
      put(frame, address, 8);
    }
  } else {
    put(frame, 0x4500, 2);
    put(frame, kIpv4Header + inner, 2);
    put(frame, maker.seed & 0xffff, 2);
    put(frame, 0x4000, 2);
    put(frame, 64, 1);
    put(frame, maker.protocol, 1);
    put(frame, 0, 2);
    put(frame, maker.src_ip, 4);
    put(frame, maker.dst_ip, 4);
  }
  put(frame, maker.src_port, 2);
  put(frame, maker.dst_port, 2);
  if (maker.protocol == 17) {
    put(frame, inner, 2);
    put(frame, 0, 2);
  } else {
    put(frame, maker.seed, 8);
    put(frame, 0x5010'1000, 4);
    put(frame, 0, 4);
  }
  std::uint32_t state = maker.seed;
  for (std::size_t i = 0; i < maker.payload; ++i) put(frame, (state = state * 1664525 + 1013904223) >> 24, 1);
  if (!maker.ipv6) put_at(frame, ip_at(maker) + 10, ~ip_sum(maker, frame));
  put_at(frame, checksum_at(maker), ~l4_sum(maker, frame));
  return frame;
}

std::uint32_t ip_sum(const Maker& maker, const Frame& frame) {
  return sum_of(frame, ip_at(maker), ip_at(maker) + kIpv4Header, 0);
}

std::uint32_t l4_sum(const Maker& maker, const Frame& frame) {
  const std::size_t addresses = ip_at(maker) + (maker.ipv6 ? 8 : 12);
  const auto inner = static_cast<std::uint32_t>(frame.size() - l4_at(maker));
  const std::uint32_t pseudo = sum_of(frame, addresses, addresses + (maker.ipv6 ? 32 : 8), maker.protocol + inner);
  return sum_of(frame, l4_at(maker), frame.size(), pseudo);
}

bool until(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(SimCard::kPatienceMs);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    ::sched_yield();
  }
  return true;
}

}  // namespace slotwire::test
