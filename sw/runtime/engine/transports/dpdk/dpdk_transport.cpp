#include "runtime/engine/transports/dpdk/dpdk_transport.hpp"

#include <algorithm>
#include <stdexcept>

#include "core/carriers/dpdk/host.hpp"
#include "driver/soft/soft_mover.hpp"
#include "runtime/engine/cards/node_card.hpp"
#include "runtime/engine/transports/dpdk/dpdk_check.hpp"

namespace slotwire::engine {
namespace {

std::unique_ptr<Transport> open_dpdk(const TransportContext& context) {
  if (context.config.dpdk.port.empty()) return nullptr;
  return std::make_unique<DpdkTransport>(context);
}

void add(carriers::CarrierCounters& sum, const carriers::CarrierCounters& c) {
  sum.tx_frames += c.tx_frames;
  sum.tx_bytes += c.tx_bytes;
  sum.tx_calls += c.tx_calls;
  sum.tx_dropped += c.tx_dropped;
  sum.rx_frames += c.rx_frames;
  sum.rx_bytes += c.rx_bytes;
  sum.rx_calls += c.rx_calls;
  sum.rx_unknown_peer += c.rx_unknown_peer;
  sum.rx_malformed += c.rx_malformed;
  sum.connects += c.connects;
  sum.disconnects += c.disconnects;
}

/// What DPDK as a whole is set up with.
carriers::EalOptions eal_options(const DpdkConfig& config) {
  return {config.hugepages, config.memory, config.lcore == DpdkConfig::kAnyLcore ? -1 : static_cast<int>(config.lcore),
          config.eal};
}

}  // namespace

constinit const TransportKind kDpdkTransport = {
    .name = "dpdk", .datagrams = true, .check_node = check_dpdk_node, .check_link = check_dpdk_link, .open = open_dpdk};

DpdkTransport::DpdkTransport(const TransportContext& context) : context_(context) {
  open_port();
  choose_ciphers();
  sealed_ = std::make_unique<SealedLinks>(context_, name(), *carrier_);
}

void DpdkTransport::open_port() {
  const DpdkConfig& config = context_.config.dpdk;
  carriers::DpdkOptions options;
  options.device = config.port;
  options.address = address_of(*config.address);
  options.prefix = config.prefix;
  if (!config.gateway.empty()) options.gateway = address_of({config.gateway, 0});
  options.kernel_interface = config.kernel_interface;
  options.vlan = config.vlan;
  options.mtu = context_.config.listen.mtu;
  options.rx_descriptors = config.rx_descriptors;
  options.tx_descriptors = config.tx_descriptors;
  // Room for several bursts.
  options.output_frames = std::max(options.output_frames, 4 * driver::SoftMover::kBurst);
  options.max_links = std::size_t{context_.config.limits.links} + 1;
  options.queues = std::max<std::size_t>(config.lcores.size(), 1);
  options.queue_cpus.assign(config.lcores.begin(), config.lcores.end());
  options.zero_copy = config.zero_copy;
  options.eal = eal_options(config);
  carrier_ = carriers::open_dpdk(options);
  const carriers::DpdkPort port = carrier_->port();
  context_.log->info("carrier dpdk on {}: port {} ({}, {}), steering by {}, checksums by {}, woken by {}, zero copy {}",
                     options.address.to_string(), port.device, port.driver, port.mac, port.steering, port.checksum,
                     port.wake, port.zero_copy);
  advice_ = carriers::DpdkHost().advice(options);
  for (const std::string& advice : advice_) context_.log->warn("carrier dpdk: {}", advice);
  if (config.lcores.empty()) {
    context_.loop.add_waker(carrier_->fd());
  } else if (carrier_->queues() < config.lcores.size()) {
    context_.log->warn("the port has {} pairs of queues, so only as many of the {} CPUs of dpdk.lcores have a thread",
                       carrier_->queues(), config.lcores.size());
  }
}

/// Who computes for the encrypted links. Throws where the configuration wants what is not there.
void DpdkTransport::choose_ciphers() {
  const std::vector<LinkConfig>& links = context_.config.links;
  const auto sealed = std::count_if(links.begin(), links.end(), [&](const LinkConfig& link) {
    return link.carrier == name() && link.encryption != carriers::CipherSuite::none;
  });
  if (sealed == 0) return;
  const CipherChoice choice = context_.config.encryption.library;
  ciphers_why_ = choice == CipherChoice::automatic ? "its driver is there" : "as configured";
  if (choice != CipherChoice::openssl) {
    try {
      ciphers_ = carriers::open_dpdk_ciphers(eal_options(context_.config.dpdk),
                                             static_cast<std::size_t>(sealed) * carriers::kMaxCiphersPerLink);
    } catch (const std::runtime_error& error) {
      if (choice == CipherChoice::dpdk) throw;
      ciphers_why_ = error.what();
    }
  }
  context_.log->info("encryption over dpdk by {} ({})", library().name(), ciphers_why_);
}

std::vector<driver::WorkerPlace> DpdkTransport::workers() {
  const std::vector<std::uint32_t>& cpus = context_.config.dpdk.lcores;
  std::vector<driver::WorkerPlace> places;
  if (cpus.empty()) return places;
  for (std::size_t queue = 0; queue < carrier_->queues(); ++queue) {
    carriers::DpdkCarrier* const dpdk = carrier_.get();
    places.push_back(
        {&dpdk->queue(queue), [dpdk, queue] { dpdk->enter(queue); }, "CPU " + std::to_string(cpus[queue])});
  }
  return places;
}

void DpdkTransport::use_card(NodeCard& card, std::span<const LinkInfo> links) {
  card_ = &card;
  for (const LinkInfo& link : links) card.spread(link.index);
}

void DpdkTransport::start() {
  // What the kernel sends and gets through the port may be what links begin with.
  if (!context_.config.dpdk.kernel_interface.empty()) card_->card().poll_always(sealed_->carrier());
}

void DpdkTransport::fill_hello(const LinkInfo& link, const carriers::Address& peer, control::PeerHello& hello) {
  hello.udp_port = carrier_->local_address().port();
  const bool sealed = link.config->encryption != carriers::CipherSuite::none;
  hello.frame_lines = static_cast<std::uint16_t>(carrier_->lines_per_frame() - (sealed ? 1 : 0));
  if (peer.valid()) card_->run_on_first([&] { hello.ports = carrier_->ports(peer); });
}

void DpdkTransport::route(const LinkInfo& link, const control::PeerHello& hello, const carriers::Address& from) {
  if (std::find(hello.ports.begin(), hello.ports.end(), 0) != hello.ports.end()) {
    throw std::runtime_error("the peer wants frames on UDP port 0");
  }
  const carriers::Address peer = data_address(link.udp, hello.udp_port, from);
  if (!peer.valid()) throw std::runtime_error("the peer's UDP address is not known (set udp in its [[link]])");
  const auto known = routed_.find(link.index);
  const Route route{hello.ports, peer, hello.frame_lines, port_mismatch(link, hello)};
  // As over UDP, one that congestion control holds down begins again at once.
  if (known != routed_.end() && known->second == route && card_->card().link_up(link.index)) return;
  if (known == routed_.end() || known->second.frame_lines != hello.frame_lines) {
    sealed_->join(link, &library());
    card_->card().set_route(link.index, driver::OverCarrier{sealed_->carrier()},
                            link_figures(context_.config, link, hello));
  }
  card_->run_on_first([&] {
    if (known != routed_.end()) carrier_->remove_link(link.index);  // other ports, or another address
    carrier_->add_link(link.index, peer, hello.ports);
  });
  routed_[link.index] = route;
}

void DpdkTransport::shut_out(std::uint16_t link) {
  if (routed_.erase(link) != 0) card_->run_on_first([&] { carrier_->remove_link(link); });
}

void DpdkTransport::report(nlohmann::json& carriers) {
  // What links sent and received over the port, with or without encryption, on all queues together.
  carriers::CarrierCounters sum;
  if (card_->workers() == 0) add(sum, sealed_->carrier().counters());
  for (std::size_t queue = 0; queue < card_->workers(); ++queue) {
    card_->run_on(queue, [&] { add(sum, carrier_->queue(queue).counters()); });
  }
  nlohmann::json json = carrier_report(sealed_->carrier().name(), sum);
  json["port"] = port_report();
  if (sealed_->used()) json["encryption"] = {{"library", library().name()}, {"why", ciphers_why_}};
  carriers.push_back(std::move(json));
}

nlohmann::json DpdkTransport::port_report() {
  carriers::DpdkPort port;
  card_->run_on_first([&] { port = carrier_->port(); });
  return {{"device", port.device},
          {"driver", port.driver},
          {"mac", port.mac},
          {"address", carrier_->local_address().to_string()},
          {"queues", carrier_->queues()},
          {"steering", port.steering},
          {"checksum", port.checksum},
          {"wake", port.wake},
          {"zero_copy", port.zero_copy},
          {"advice", advice_},
          {"handed_out", port.handed_out},
          {"handed_in", port.handed_in},
          {"hand_over_dropped", port.hand_over_dropped},
          {"rx_other", port.rx_other},
          {"kernel_interface", port.kernel_interface},
          {"to_kernel", port.to_kernel},
          {"from_kernel", port.from_kernel},
          {"kernel_dropped", port.kernel_dropped},
          {"arp_answered", port.arp_answered},
          {"arp_conflicts", port.arp_conflicts}};
}

}  // namespace slotwire::engine
