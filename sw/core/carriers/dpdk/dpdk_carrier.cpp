#include "core/carriers/dpdk/dpdk_carrier.hpp"

#include <pthread.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "core/carriers/dpdk/doorbell.hpp"
#include "core/carriers/dpdk/eal.hpp"
#include "core/carriers/dpdk/interrupt_bell.hpp"

namespace slotwire::carriers {
namespace {

/// A port whose other end has gone is opened anew at this interval; the first time after the driver has cleaned up.
constexpr std::uint64_t kReopenUs = 250'000;
constexpr const char *kAfXdp = "net_af_xdp", *kProgram = "xdp_prog";
constexpr std::uint64_t kChangeTag = 2, kKernelTag = 3;  // of those of PortQueue's poller
/// So often the threads of the other queues are asked whether they have left a port that is to be closed.
constexpr std::uint64_t kLeaveUs = 1'000;
/// While there is work the kernel's interface is looked at so often, for so many frames: each costs a system call.
constexpr std::uint64_t kKernelUs = 20;
constexpr std::size_t kKernelFrames = 32;

pipeline::Endpoint endpoint_of(const Address& address) {
  sockaddr_in in{};
  std::memcpy(&in, address.data(), std::min<std::size_t>(sizeof in, address.size()));
  return {0, ntohl(in.sin_addr.s_addr), ntohs(in.sin_port)};
}

bool is_pci(const std::string& device) {
  return device.rfind("net_", 0) != 0 && device.rfind("eth_", 0) != 0;
}

std::string mac_text(std::uint64_t mac) {
  std::string text;
  for (int shift = 40; shift >= 0; shift -= 8) {
    constexpr char kDigits[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned>(mac >> shift) & 0xffU;
    if (!text.empty()) text += ':';
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0xfU];
  }
  return text;
}

template <class T>
void check(const char* name, T value, T min, T max) {
  if (value < min || value > max) {
    throw std::invalid_argument(std::string("dpdk: ") + name + " must be " + std::to_string(min) + " to " +
                                std::to_string(max) + ", not " + std::to_string(value));
  }
}

void check(const DpdkOptions& options) {
  if (options.device.empty()) throw std::invalid_argument("dpdk: no port is named");
  if (options.address.family() != AF_INET || options.address.port() == 0) {
    throw std::invalid_argument("dpdk: the port needs an IPv4 address and a UDP port that is not 0, not " +
                                options.address.to_string());
  }
  if (options.gateway.valid() && options.gateway.family() != AF_INET)
    throw std::invalid_argument("dpdk: the gateway needs an IPv4 address");
  const std::size_t least = pipeline::kIpv4Bytes + pipeline::kUdpBytes + regs::kHeaderBytes + regs::kLineBytes;
  check("mtu", options.mtu, least, kMaxDpdkMtu);
  check("prefix", options.prefix, 1U, 32U);
  check("rx_descriptors", options.rx_descriptors, kMinDpdkDescriptors, kMaxDpdkDescriptors);
  check("tx_descriptors", options.tx_descriptors, kMinDpdkDescriptors, kMaxDpdkDescriptors);
  check("output_frames", options.output_frames, std::size_t{1}, std::size_t{65536});
  check("max_links", options.max_links, std::size_t{0}, std::size_t{65536});
  check("vlan", options.vlan, 0U, kMaxVlan);
  check("queues", options.queues, std::size_t{1}, kMaxDpdkQueues);
  if (options.address.port() + options.queues - 1 > 0xffff) {
    throw std::invalid_argument("dpdk: " + std::to_string(options.queues) + " queues need as many UDP ports from " +
                                std::to_string(options.address.port()) + " on, and the last port is 65535");
  }
  if (!options.queue_cpus.empty() && options.queue_cpus.size() < options.queues) {
    throw std::invalid_argument("dpdk: " + std::to_string(options.queue_cpus.size()) + " CPUs for " +
                                std::to_string(options.queues) + " queues; name one for each, or none");
  }
}

/// Gives back DPDK's number of the thread when that ends.
struct KnownThread {
  bool known = false;
  ~KnownThread() {
    if (known) ::rte_thread_unregister();
  }
};

}  // namespace

PortCarrier::PortCarrier(const DpdkOptions& options) : options_(options) {
  check(options);
  own_ = endpoint_of(options.address);
  NetworkPlace place{0, own_.ip, options.prefix, 0};
  if (options.gateway.valid()) {
    place.gateway = endpoint_of(options.gateway).ip;
    NetworkPlace inside = place;
    inside.gateway = 0;
    if (!Neighbours(inside, 0).next_hop(place.gateway))
      throw std::invalid_argument("dpdk: the gateway is not on the port's own network");
  }
  start_eal(options.eal, is_pci(options.device));
  open_port();
  own_.mac = place.mac = port_->mac();
  const std::size_t room = options.mtu - pipeline::kIpv4Bytes - pipeline::kUdpBytes - regs::kHeaderBytes;
  shared_->lines = room / regs::kLineBytes;
  shared_->frame_bytes = regs::kHeaderBytes + shared_->lines * regs::kLineBytes;
  shared_->own = own_;
  if (!options.kernel_interface.empty()) {
    kernel_ = std::make_unique<KernelInterface>(options.kernel_interface, own_.mac, options.mtu);
    kernel_frame_.resize(pipeline::kEthernetBytes + options.mtu);
    if (!queue_->poller().add(kernel_->fd(), EPOLLIN, kKernelTag)) throw_errno("dpdk: watching the kernel's interface");
  }
  neighbours_ = std::make_unique<Neighbours>(place, options.max_links);
  links_.resize(options.max_links);
  for (std::size_t i = 1; i < shared_->queues; ++i) others_.push_back(std::make_unique<QueueCarrier>(*shared_, i));
  shared_->gate.open();
}

PortCarrier::~PortCarrier() {
  others_.clear();
  close_port();
}

Carrier& PortCarrier::queue(std::size_t queue) {
  return queue == 0 ? static_cast<Carrier&>(*this) : *others_.at(queue - 1);
}

void PortCarrier::enter(std::size_t queue) {
  const std::string who = "dpdk: the thread of queue " + std::to_string(queue) + ": ";
  if (queue < options_.queue_cpus.size()) {
    const unsigned cpu = options_.queue_cpus[queue];
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
    if (const int wrong = ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set); wrong != 0) {
      throw std::runtime_error(who + "cannot be bound to CPU " + std::to_string(cpu) + ": " + errno_text(wrong) +
                               "; name CPUs that this host has and that the process may use (see: taskset -cp PID)");
    }
  }
  // Known to DPDK it has caches of its own in the pools of buffers.
  thread_local KnownThread thread;
  if (::rte_lcore_id() != LCORE_ID_ANY) return;
  if (::rte_thread_register() != 0) {
    throw std::runtime_error(who + "DPDK does not take it: " + ::rte_strerror(rte_errno) + "; it knows at most " +
                             std::to_string(RTE_MAX_LCORE) + " threads");
  }
  thread.known = true;
}

std::vector<std::uint16_t> PortCarrier::ports(const Address& peer) const {
  std::vector<std::uint16_t> ports;
  if (!rss_.queues.empty() && peer.family() == AF_INET) ports = rss_.ports(endpoint_of(peer), own_, queues());
  // By rules each leads to its queue. In software it leads anywhere, but not all to one.
  for (std::size_t i = 0; ports.size() < queues(); ++i) ports.push_back(static_cast<std::uint16_t>(own_.port + i));
  return ports;
}

void PortCarrier::open_port() {
  const std::string interface = device_argument(options_.device, "iface");
  DpdkOptions options = options_;
  const bool raw_socket = options.device.rfind("net_af_packet", 0) == 0, xdp = options.device.rfind(kAfXdp, 0) == 0;
  std::vector<std::unique_ptr<Bell>> bells(options.queues);
  if (raw_socket) {
    const auto last = static_cast<std::uint16_t>(own_.port + options.queues - 1);
    for (auto& bell : bells) bell = std::make_unique<Doorbell>(interface, options.vlan, own_.ip, own_.port, last);
  }
  if (xdp) {
    if (device_argument(options.device, kProgram).empty())
      xdp_ = XdpSteering::on_interface(interface, options.vlan, own_);
    if (xdp_) options.device += std::string(",") + kProgram + "=" + xdp_->path();
  }
  port_ = std::make_unique<Port>(options, own_, !raw_socket && !xdp);
  driver_ = port_->driver();
  zero_copy_ = port_->in_place().text;
  wire_up_ = port_->wire_up();
  const std::size_t queues = port_->queues();
  if (shared_ && shared_->queues != queues)
    throw std::runtime_error("dpdk: the port has another number of queues than before");
  if (port_->xdp_socket() >= 0) bells[0] = std::make_unique<XdpBell>(port_->xdp_socket());
  bells.resize(queues);
  for (std::size_t i = 0; i < queues; ++i) {
    if (!bells[i]) bells[i] = InterruptBell::of_queue(port_->id(), static_cast<std::uint16_t>(i));
  }
  wake_ = bells[0] ? bells[0]->name() : "polling";
  rss_ = port_->rss();
  if (!shared_) {
    options_.queues = queues;
    shared_ = std::make_unique<SharedPort>(options_, queues);
    queue_ = std::make_unique<PortQueue>(*shared_, 0, static_cast<OtherFrames*>(this));
  }
  const std::size_t accepted = rss_.queues.empty() ? queues : std::min<std::size_t>(kRssPorts, 0x10000U - own_.port);
  shared_->accepted_ports = static_cast<std::uint16_t>(accepted);
  shared_->bells = std::move(bells);
  shared_->port = port_.get();
  if (!queue_->poller().add(port_->change_fd(), EPOLLIN, kChangeTag)) throw_errno("dpdk: watching the port");
  queue_->attach();
}

std::string_view PortCarrier::steering() const {
  if (xdp_) return "XDP program";
  if (!device_argument(options_.device, kProgram).empty()) return "the XDP program of the configuration";
  return !port_ || port_->steering().empty() ? "software" : port_->steering();
}

/// Nobody else is inside.
void PortCarrier::close_port() noexcept {
  if (queue_) queue_->detach();
  if (shared_) {
    rte_mbuf* buffer = nullptr;
    for (const auto& ring : shared_->rings) {
      while (ring->pop(buffer)) ::rte_pktmbuf_free(buffer);
    }
    shared_->bells.clear();
    shared_->port = nullptr;
  }
  port_.reset();
  xdp_.reset();
}

std::string PortCarrier::no_wire() const {
  return ": the port " + options_.device + " has no link: is its cable plugged in, its other end there?";
}

/// Tells the other queues what a link is now.
void PortCarrier::tell_others(std::uint16_t number, const std::string& reason) {
  if (others_.empty()) return;
  const Link& link = links_[number];
  LinkNews news;
  news.serial = link.serial;
  news.ups = link.ups;
  news.peer = link.peer;
  news.ports = link.ports;
  if (link.state != State::none) {
    news.state = link.state == State::up ? LinkNews::State::up : LinkNews::State::down;
    news.told = link.state == State::told_down;
    news.name = link.name();
    news.reason = reason;
  }
  for (std::size_t queue = 1; queue < shared_->queues; ++queue) {
    shared_->board.post(queue, number, news);
    shared_->wakers[queue].ring();
  }
}

/// Frames that were under way may be lost, so links go down with the wire.
void PortCarrier::on_change(const Port::Change& change, std::uint64_t now_us, FrameSink& sink) {
  queue_->stay_awake(now_us);  // what was answered may be lost with the old wire
  shared_->wire_changes.fetch_add(1, std::memory_order_release);
  for (std::size_t i = 1; i < shared_->queues; ++i) shared_->wakers[i].ring();
  if (change.down || !wire_up_) neighbours_->forget(now_us);
  wire_up_ = change.up && !change.lost;
  for (std::size_t i = 0; change.down && i < links_.size(); ++i) {
    Link& link = links_[i];
    if (link.state != State::up) continue;
    const auto number = static_cast<std::uint16_t>(i);
    link.state = State::told_down;
    queue_->set_up(number, false);
    waiting_.push_back(number);
    ++queue_->counters().disconnects;
    const std::string reason = link.name() + no_wire();
    tell_others(number, reason);
    sink.on_link(number, false, reason);
  }
  if (!change.lost) return;
  reopen_us_ = now_us + kReopenUs;
  clear_port();
}

/// Sends the threads of the other queues away from the port; they go at their next poll.
void PortCarrier::clear_port() noexcept {
  shared_->gate.close();
  for (std::size_t i = 1; i < shared_->queues; ++i) shared_->wakers[i].ring();
}

/// Tries to open a port that was lost. It keeps its MAC address, which the peers know.
void PortCarrier::reopen(std::uint64_t now_us) {
  if (!shared_->gate.empty()) {
    reopen_us_ = now_us + kLeaveUs;
    return;
  }
  reopen_us_.reset();
  if (port_ && options_.device.find(",mac=") == std::string::npos) options_.device += ",mac=" + mac_text(own_.mac);
  close_port();
  try {
    open_port();
  } catch (const std::exception&) {  // said when it was lost
    close_port();
    reopen_us_ = now_us + kReopenUs;
    return;
  }
  queue_->stay_awake(now_us);
  neighbours_->forget(now_us);
  shared_->gate.open();
  for (std::size_t i = 1; i < shared_->queues; ++i) shared_->wakers[i].ring();
}

DpdkPort PortCarrier::port() const {
  DpdkPort port;
  port.device = options_.device;
  port.driver = driver_;
  port.mac = mac_text(own_.mac);
  port.steering = steering();
  port.zero_copy = zero_copy_;
  port.wake = wake_;
  port.checksum = port_ && port_->makes_checksums() ? "port" : "software";
  for (const QueueStats& queue : shared_->stats) {
    port.rx_other += queue.rx_other.load(std::memory_order_relaxed);
    port.handed_out += queue.handed_out.load(std::memory_order_relaxed);
    port.handed_in += queue.handed_in.load(std::memory_order_relaxed);
    port.hand_over_dropped += queue.hand_over_dropped.load(std::memory_order_relaxed);
  }
  port.kernel_interface = options_.kernel_interface;
  port.to_kernel = to_kernel_;
  port.from_kernel = from_kernel_;
  port.kernel_dropped = kernel_dropped_;
  port.arp_answered = arp_answered_;
  port.arp_conflicts = arp_conflicts_;
  return port;
}

void PortCarrier::add_link(std::uint16_t link, const Address& peer, std::span<const std::uint16_t> ports) {
  const std::string who = "dpdk: link " + std::to_string(link) + " to " + peer.to_string() + ": ";
  if (link >= links_.size()) {
    throw std::invalid_argument(who + "above the limit of " + std::to_string(links_.size()) +
                                " links; raise max_links");
  }
  if (links_[link].state != State::none)
    throw std::invalid_argument(who + "the link is there already; remove it first");
  if (peer.family() != AF_INET || peer.port() == 0)
    throw std::invalid_argument(who + "the peer needs an IPv4 address and a port");
  if (ports.size() > kMaxDpdkQueues || std::find(ports.begin(), ports.end(), 0) != ports.end()) {
    throw std::invalid_argument(who + "the peer may ask for 1 to " + std::to_string(kMaxDpdkQueues) +
                                " ports that are not 0");
  }
  const pipeline::Endpoint end = endpoint_of(peer);
  if (queue_->has_peer(end)) throw std::invalid_argument(who + "another link has this address");
  const auto hop = neighbours_->next_hop(end.ip);
  if (!hop) {
    throw std::invalid_argument(who + "cannot be reached from " + options_.address.to_string() + "/" +
                                std::to_string(options_.prefix) + "; set the prefix or a gateway");
  }
  const auto neighbour = neighbours_->watch(*hop);
  if (!neighbour) throw std::invalid_argument(who + "too many neighbours; raise max_links");
  LinkPorts asked{{end.port}, 1};
  if (!ports.empty()) {
    std::copy(ports.begin(), ports.end(), asked.port.begin());
    asked.count = ports.size();
  }
  links_[link] = {State::added, end, *neighbour, peer, asked, ++serials_, 0};
  queue_->set_link(link, end, asked);
  waiting_.push_back(link);
  tell_others(link, {});
  queue_->wake();
}

void PortCarrier::remove_link(std::uint16_t link) {
  if (link >= links_.size() || links_[link].state == State::none) return;
  queue_->erase_link(link);
  neighbours_->unwatch(links_[link].neighbour);
  std::erase(waiting_, link);
  links_[link] = {};
  tell_others(link, {});
}

void PortCarrier::bring_up(FrameSink& sink) {
  for (std::size_t i = 0; i < waiting_.size();) {
    const std::uint16_t number = waiting_[i];
    Link& link = links_[number];
    const std::uint64_t mac = neighbours_->mac(link.neighbour);
    if (wire_up_ && mac != 0) {
      link.state = State::up;
      ++link.ups;
      link.peer.mac = mac;
      queue_->set_mac(number, mac);
      queue_->set_up(number, true);
      ++queue_->counters().connects;
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
      tell_others(number, {});
      sink.on_link(number, true, link.name());
      continue;
    }
    if (link.state == State::added && neighbours_->silent(link.neighbour)) {
      link.state = State::told_down;
      const std::string reason =
          link.name() + (wire_up_
                             ? ": nobody answers for its address (ARP); is the peer up, and are both on one network?"
                             : no_wire());
      tell_others(number, reason);
      sink.on_link(number, false, reason);
    }
    ++i;
  }
}

/// Links whose peer, or the gateway to it, has another MAC address than before.
void PortCarrier::update_macs() {
  for (std::size_t i = 0; i < links_.size(); ++i) {
    Link& link = links_[i];
    if (link.state != State::up) continue;
    const std::uint64_t mac = neighbours_->mac(link.neighbour);
    if (mac == 0 || mac == link.peer.mac) continue;
    link.peer.mac = mac;
    const auto number = static_cast<std::uint16_t>(i);
    queue_->set_mac(number, mac);
    tell_others(number, {});
  }
}

void PortCarrier::ask(std::uint64_t now_us) {
  ArpFrame request{};
  while (neighbours_->ask(now_us, request)) queue_->send_bytes(request);
}

/// Sends what the kernel has for the port, where there is one.
void PortCarrier::take_from_kernel(std::uint64_t now_us) {
  if (!kernel_ || now_us - kernel_us_ < kKernelUs) return;
  kernel_us_ = now_us;
  for (std::size_t i = 0; i < kKernelFrames; ++i) {
    const std::size_t bytes = kernel_->take(kernel_frame_);
    if (bytes == 0) return;
    const bool sent = queue_->attached() && queue_->send_bytes(std::span(kernel_frame_).first(bytes));
    ++(sent ? from_kernel_ : kernel_dropped_);
  }
}

bool PortCarrier::on_other(std::span<const std::byte> frame, std::uint64_t now_us, FrameSink& sink) {
  ArpFrame answer{};
  const Neighbours::Taken taken = neighbours_->take(frame, now_us, answer);
  if (kernel_) ++(kernel_->put(frame) ? to_kernel_ : kernel_dropped_);  // ARP as well: it has addresses of its own
  if (taken == Neighbours::Taken::not_arp) return kernel_ != nullptr;
  queue_->stay_awake(now_us);
  switch (taken) {
    case Neighbours::Taken::not_arp:
    case Neighbours::Taken::nothing:
      break;
    case Neighbours::Taken::malformed:
      ++queue_->counters().rx_malformed;
      break;
    case Neighbours::Taken::conflict:
      ++arp_conflicts_;
      break;
    case Neighbours::Taken::answer:
      ++arp_answered_;
      queue_->send_bytes(answer);
      update_macs();
      break;
    case Neighbours::Taken::learnt:
      update_macs();
      break;
  }
  if (!waiting_.empty()) bring_up(sink);
  return true;
}

std::size_t PortCarrier::poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) {
  // Whether fd() stays readable is decided at the end; an engine that is busy makes no system calls for that.
  queue_->begin();
  if (port_ && !reopen_us_) {
    if (const Port::Change change = port_->changed(); change.any) on_change(change, now_us, sink);
  }
  if (reopen_us_ && now_us >= *reopen_us_) reopen(now_us);
  if (reopen_us_) {  // there is no port, or soon there is none
    queue_->detach();
    take_from_kernel(now_us);
    queue_->end(now_us, reopen_us_, [] { return false; });
    return 0;
  }
  if (const auto due = neighbours_->deadline_us(); due && now_us >= *due) ask(now_us);
  const std::size_t delivered = queue_->work(now_us, max_frames, sink);
  take_from_kernel(now_us);
  if (!waiting_.empty()) bring_up(sink);
  queue_->end(now_us, neighbours_->deadline_us(), [] { return false; });
  return delivered;
}

}  // namespace slotwire::carriers
