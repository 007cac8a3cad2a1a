#include "carriers/dpdk/dpdk_carrier.hpp"

#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "carriers/dpdk/doorbell.hpp"
#include "carriers/dpdk/eal.hpp"
#include "carriers/dpdk/interrupt_bell.hpp"

namespace slotwire::carriers {
namespace {

/// How long a port that takes nothing (its link is down) is left alone.
constexpr std::uint64_t kRetryUs = 500;
/// So long after the last frame the bell is mute and fd() readable: the next frame of an exchange costs no interrupt.
constexpr std::uint64_t kQuietUs = 50;
/// A bell may ring for a frame that was taken already, a moment later: it is answered every so many empty polls.
constexpr unsigned kEmptyPolls = 16;
/// A port whose other end has gone is opened anew at this interval; the first time after the driver has cleaned up.
constexpr std::uint64_t kReopenUs = 250'000;
constexpr const char *kAfXdp = "net_af_xdp", *kProgram = "xdp_prog";
constexpr std::uint64_t kBellTag = 0, kChangeTag = 1;

pipeline::Endpoint endpoint_of(const Address& address) {
  sockaddr_in in{};
  std::memcpy(&in, address.data(), std::min<std::size_t>(sizeof in, address.size()));
  return {0, ntohl(in.sin_addr.s_addr), ntohs(in.sin_port)};
}

std::uint64_t key_of(const pipeline::Endpoint& end) {
  return std::uint64_t{end.ip} << 16 | end.port;
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
}

std::span<const std::byte> bytes_of(const rte_mbuf& buffer) {
  return {rte_pktmbuf_mtod(&buffer, const std::byte*), buffer.data_len};
}

}  // namespace

PortCarrier::PortCarrier(const DpdkOptions& options) : options_(options) {
  check(options);
  const std::size_t room = options.mtu - pipeline::kIpv4Bytes - pipeline::kUdpBytes - regs::kHeaderBytes;
  lines_ = room / regs::kLineBytes;
  frame_bytes_ = regs::kHeaderBytes + lines_ * regs::kLineBytes;
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
  neighbours_ = std::make_unique<Neighbours>(place, options.max_links);
  links_.resize(options.max_links);
  unsent_.reserve(options.output_frames);
  poller_.wake();
}

PortCarrier::~PortCarrier() {
  close_port();
}

void PortCarrier::open_port() {
  const std::string interface = device_argument(options_.device, "iface");
  DpdkOptions options = options_;
  const bool raw_socket = options.device.rfind("net_af_packet", 0) == 0, xdp = options.device.rfind(kAfXdp, 0) == 0;
  if (raw_socket) bell_ = std::make_unique<Doorbell>(interface, own_.ip, own_.port);
  if (xdp) {
    if (device_argument(options.device, kProgram).empty()) xdp_ = XdpSteering::on_interface(interface, own_);
    if (xdp_) options.device += std::string(",") + kProgram + "=" + xdp_->path();
  }
  port_ = std::make_unique<Port>(options, own_, !raw_socket && !xdp);
  driver_ = port_->driver();
  wire_up_ = port_->wire_up();
  if (port_->xdp_socket() >= 0) bell_ = std::make_unique<XdpBell>(port_->xdp_socket());
  if (!bell_) bell_ = InterruptBell::of_port(port_->id());
  if ((bell_ && !poller_.add(bell_->fd(), EPOLLIN, kBellTag)) || !poller_.add(port_->change_fd(), EPOLLIN, kChangeTag))
    throw_errno("watching the port");
}

std::string_view PortCarrier::steering() const {
  if (xdp_) return "XDP program";
  if (!device_argument(options_.device, kProgram).empty()) return "the XDP program of the configuration";
  return !port_ || port_->steering().empty() ? "software" : port_->steering();
}

void PortCarrier::close_port() noexcept {
  for (; next_ < count_; ++next_) ::rte_pktmbuf_free(received_[next_]);
  next_ = count_ = 0;
  for (rte_mbuf* const buffer : unsent_) ::rte_pktmbuf_free(buffer);
  unsent_.clear();
  bell_.reset();
  port_.reset();
  xdp_.reset();
}

std::string PortCarrier::no_wire() const {
  return ": the port " + options_.device + " has no link: is its cable plugged in, its other end there?";
}

/// Frames that were under way may be lost, so links go down with the wire.
void PortCarrier::on_change(const Port::Change& change, std::uint64_t now_us, FrameSink& sink) {
  stay_awake(now_us);  // what was answered may be lost with the old wire
  if (change.down || !wire_up_) neighbours_->forget(now_us);
  wire_up_ = change.up && !change.lost;
  if (change.lost) reopen_us_ = now_us + kReopenUs;
  for (std::size_t number = 0; change.down && number < links_.size(); ++number) {
    Link& link = links_[number];
    if (link.state != State::up) continue;
    link.state = State::told_down;
    waiting_.push_back(static_cast<std::uint16_t>(number));
    ++counters_.disconnects;
    sink.on_link(static_cast<std::uint16_t>(number), false, "dpdk to " + link.address.to_string() + no_wire());
  }
}

/// Tries to open a port that was lost. It keeps its MAC address, which the peers know.
void PortCarrier::reopen(std::uint64_t now_us) {
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
  awake_ = false;
  stay_awake(now_us);
  neighbours_->forget(now_us);
}

DpdkPort PortCarrier::port() const {
  DpdkPort port;
  port.device = options_.device;
  port.driver = driver_;
  port.mac = mac_text(own_.mac);
  port.steering = steering();
  port.wake = bell_ ? bell_->name() : "polling";
  port.checksum = port_ && port_->makes_checksums() ? "port" : "software";
  port.rx_other = rx_other_;
  port.arp_answered = arp_answered_;
  port.arp_conflicts = arp_conflicts_;
  return port;
}

void PortCarrier::add_link(std::uint16_t link, const Address& peer, std::span<const std::uint16_t> /*ports*/) {
  const std::string who = "dpdk: link " + std::to_string(link) + " to " + peer.to_string() + ": ";
  if (link >= links_.size()) {
    throw std::invalid_argument(who + "above the limit of " + std::to_string(links_.size()) +
                                " links; raise max_links");
  }
  if (links_[link].state != State::none)
    throw std::invalid_argument(who + "the link is there already; remove it first");
  if (peer.family() != AF_INET || peer.port() == 0)
    throw std::invalid_argument(who + "the peer needs an IPv4 address and a port");
  const pipeline::Endpoint end = endpoint_of(peer);
  if (by_peer_.count(key_of(end)) != 0) throw std::invalid_argument(who + "another link has this address");
  const auto hop = neighbours_->next_hop(end.ip);
  if (!hop) {
    throw std::invalid_argument(who + "cannot be reached from " + options_.address.to_string() + "/" +
                                std::to_string(options_.prefix) + "; set the prefix or a gateway");
  }
  const auto neighbour = neighbours_->watch(*hop);
  if (!neighbour) throw std::invalid_argument(who + "too many neighbours; raise max_links");
  links_[link] = {State::added, end, *neighbour, peer};
  by_peer_.emplace(key_of(end), link);
  waiting_.push_back(link);
  poller_.wake();
}

void PortCarrier::remove_link(std::uint16_t link) {
  if (link >= links_.size() || links_[link].state == State::none) return;
  by_peer_.erase(key_of(links_[link].peer));
  neighbours_->unwatch(links_[link].neighbour);
  std::erase(waiting_, link);
  links_[link] = {};
}

std::size_t PortCarrier::room(std::uint16_t link) const {
  if (link >= links_.size() || links_[link].state != State::up) return 0;  // none is up without a port
  return options_.output_frames - std::min(unsent_.size(), options_.output_frames);
}

bool PortCarrier::sendable(const pipeline::TxFrame& frame) const noexcept {
  return frame.link < links_.size() && links_[frame.link].state == State::up &&
         sizeof frame.header + frame.payload.size() <= frame_bytes_;
}

void PortCarrier::fill(rte_mbuf& buffer, const pipeline::TxFrame& frame) noexcept {
  const Link& link = links_[frame.link];
  pipeline::Endpoint to = link.peer;
  to.mac = neighbours_->mac(link.neighbour);
  const std::size_t link_bytes = sizeof frame.header + frame.payload.size();
  const std::size_t bytes = pipeline::kCarrierBytes + link_bytes;
  static_assert(pipeline::kCarrierBytes + sizeof frame.header >= pipeline::kMinEthernetBytes);  // no padding
  const std::span<std::byte> out(rte_pktmbuf_mtod(&buffer, std::byte*), bytes);
  pipeline::write_headers(own_, to, link_bytes, out);
  std::memcpy(out.data() + pipeline::kCarrierBytes, frame.header, sizeof frame.header);
  if (!frame.payload.empty()) {
    std::memcpy(out.data() + pipeline::kCarrierBytes + sizeof frame.header, frame.payload.data(), frame.payload.size());
  }
  buffer.data_len = static_cast<std::uint16_t>(bytes);
  buffer.pkt_len = static_cast<std::uint32_t>(bytes);
  if (port_->makes_checksums()) {
    buffer.ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
    buffer.l2_len = pipeline::kEthernetBytes;
    buffer.l3_len = pipeline::kIpv4Bytes;
    std::fill_n(out.begin() + pipeline::kIpv4ChecksumAt, 2, std::byte{0});
  }
  counters_.tx_bytes += link_bytes;
}

void PortCarrier::send(std::span<const pipeline::TxFrame> frames) {
  std::array<rte_mbuf*, kDpdkBurst> buffers{};
  for (std::size_t next = 0; next < frames.size();) {
    flush();
    std::size_t wanted = 0, end = next;
    const std::size_t most = std::min(kDpdkBurst, options_.output_frames - unsent_.size());
    for (; end < frames.size() && wanted < most; ++end) {
      if (sendable(frames[end])) ++wanted;
    }
    if (wanted == 0 || !port_->allocate(std::span(buffers).first(wanted))) {
      counters_.tx_dropped += frames.size() - next;
      return;
    }
    std::size_t filled = 0;
    for (; next < end; ++next) {
      if (sendable(frames[next])) {
        fill(*buffers[filled++], frames[next]);
      } else {
        ++counters_.tx_dropped;
      }
    }
    unsent_.insert(unsent_.end(), buffers.begin(), buffers.begin() + static_cast<std::ptrdiff_t>(filled));
    counters_.tx_frames += filled;
  }
  flush();
}

void PortCarrier::flush() noexcept {
  transmit();
  if (!unsent_.empty()) poller_.wake();  // the next poll() decides when to go on
}

void PortCarrier::transmit() noexcept {
  if (unsent_.empty()) return;
  std::size_t refused = 0;
  ++counters_.tx_calls;
  const std::size_t taken = port_->transmit(unsent_, refused);
  counters_.tx_dropped += refused;
  unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(taken));
}

/// From here until the port was quiet for a while, fd() is readable and the bell mute. Frames of others do not keep
/// anybody awake.
void PortCarrier::stay_awake(std::uint64_t now_us) noexcept {
  seen_us_ = now_us;
  if (awake_) return;
  awake_ = true;
  empty_polls_ = 0;
  if (bell_) bell_->mute();
  poller_.wake();
}

/// A frame of our own beside those of links: lost when the port is full, as it may be anywhere.
void PortCarrier::send_bytes(std::span<const std::byte> frame) noexcept {
  std::array<rte_mbuf*, 1> buffer{};
  if (!port_->allocate(buffer)) return;
  std::memcpy(rte_pktmbuf_mtod(buffer[0], std::byte*), frame.data(), frame.size());
  buffer[0]->data_len = static_cast<std::uint16_t>(frame.size());
  buffer[0]->pkt_len = static_cast<std::uint32_t>(frame.size());
  std::size_t refused = 0;
  if (port_->transmit(buffer, refused) == 0) ::rte_pktmbuf_free(buffer[0]);
}

void PortCarrier::bring_up(FrameSink& sink) {
  for (std::size_t i = 0; i < waiting_.size();) {
    const std::uint16_t number = waiting_[i];
    Link& link = links_[number];
    if (wire_up_ && neighbours_->mac(link.neighbour) != 0) {
      link.state = State::up;
      ++counters_.connects;
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
      sink.on_link(number, true, "dpdk to " + link.address.to_string());
      continue;
    }
    if (link.state == State::added && neighbours_->silent(link.neighbour)) {
      link.state = State::told_down;
      sink.on_link(
          number, false,
          "dpdk to " + link.address.to_string() +
              (wire_up_ ? ": nobody answers for its address (ARP); is the peer up, and are both on one network?"
                        : no_wire()));
    }
    ++i;
  }
}

void PortCarrier::ask(std::uint64_t now_us) {
  ArpFrame request{};
  while (neighbours_->ask(now_us, request)) send_bytes(request);
}

/// Whether a frame went to the sink.
bool PortCarrier::deliver(const rte_mbuf& buffer, std::uint64_t now_us, FrameSink& sink) {
  const auto frame = bytes_of(buffer);
  if (buffer.nb_segs != 1) {  // larger than any frame of ours
    ++counters_.rx_malformed;
    return false;
  }
  const std::optional<pipeline::Datagram> datagram = pipeline::unwrap(own_, frame);
  if (!datagram) {
    ArpFrame answer{};
    const Neighbours::Taken taken = neighbours_->take(frame, now_us, answer);
    if (taken != Neighbours::Taken::not_arp) stay_awake(now_us);
    switch (taken) {
      case Neighbours::Taken::not_arp:
        ++rx_other_;
        break;
      case Neighbours::Taken::malformed:
        ++counters_.rx_malformed;
        break;
      case Neighbours::Taken::conflict:
        ++arp_conflicts_;
        break;
      case Neighbours::Taken::answer:
        ++arp_answered_;
        send_bytes(answer);
        break;
      case Neighbours::Taken::nothing:
      case Neighbours::Taken::learnt:
        break;
    }
    return false;
  }
  stay_awake(now_us);
  const auto checked = buffer.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
  const auto header = frame.subspan(pipeline::kEthernetBytes, pipeline::kIpv4Bytes);
  const bool intact = checked == RTE_MBUF_F_RX_IP_CKSUM_GOOD ||
                      (checked != RTE_MBUF_F_RX_IP_CKSUM_BAD && pipeline::ipv4_checksum(header) == 0);
  if (!intact || datagram->link_frame.size() != datagram->length || datagram->length > frame_bytes_) {
    ++counters_.rx_malformed;
    return false;
  }
  const auto found = by_peer_.find(key_of(datagram->from));
  if (found == by_peer_.end()) {
    ++counters_.rx_unknown_peer;
    return false;
  }
  if (links_[found->second].state != State::up) return false;
  ++counters_.rx_frames;
  counters_.rx_bytes += datagram->length;
  sink.on_frame(found->second, datagram->link_frame);
  return true;
}

/// Fetches the next frames. `answered`: the bell was, in this poll(). False when there are none.
bool PortCarrier::receive(std::uint64_t now_us, bool& answered) {
  while (true) {
    next_ = 0;
    count_ = port_->receive(received_);
    ++counters_.rx_calls;
    if (count_ != 0) return true;
    if (!bell_ || answered) return false;
    if (awake_ ? now_us - seen_us_ < kQuietUs : ++empty_polls_ < kEmptyPolls) return false;
    // Answered while the port is empty; a frame that came in between has to be seen now, it does not ring again.
    bell_->answer();
    answered = true;
    awake_ = false;
    empty_polls_ = 0;
  }
}

std::size_t PortCarrier::poll(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink) {
  // Whether fd() stays readable is decided at the end; an engine that is busy makes no system calls for that.
  if (port_ && !reopen_us_) {
    if (const Port::Change change = port_->changed(); change.any) on_change(change, now_us, sink);
  }
  if (reopen_us_ && now_us >= *reopen_us_) reopen(now_us);
  if (reopen_us_) {  // there is no port
    poller_.clear_wake();
    poller_.arm(now_us, reopen_us_);
    return 0;
  }
  if (!retry_us_ || now_us >= *retry_us_) {
    retry_us_.reset();
    const std::size_t before = unsent_.size();
    transmit();
    if (!unsent_.empty() && unsent_.size() == before) retry_us_ = now_us + kRetryUs;
  }
  if (const auto due = neighbours_->deadline_us(); due && now_us >= *due) ask(now_us);
  std::size_t delivered = 0, budget = max_frames;
  bool answered = false, more = true;
  while (budget != 0 && more) {
    more = next_ < count_ || receive(now_us, answered);
    if (!more) break;
    rte_mbuf* const buffer = received_[next_++];
    if (deliver(*buffer, now_us, sink)) ++delivered;
    ::rte_pktmbuf_free(buffer);
    --budget;
  }
  if (!waiting_.empty()) bring_up(sink);
  // A full burst may have left more behind, and what was fetched rings no more.
  const bool sending = !unsent_.empty() && !retry_us_;
  if (sending || awake_ || next_ < count_ || count_ == received_.size()) {
    poller_.wake();
  } else {
    poller_.clear_wake();
  }
  std::optional<std::uint64_t> deadline = neighbours_->deadline_us();
  if (retry_us_ && (!deadline || *retry_us_ < *deadline)) deadline = retry_us_;
  poller_.arm(now_us, deadline);
  return delivered;
}

}  // namespace slotwire::carriers
