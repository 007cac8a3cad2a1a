#include "runtime/engine/transports/udp/udp_transport.hpp"

#include <algorithm>
#include <stdexcept>

#include "driver/soft/soft_mover.hpp"
#include "runtime/engine/cards/node_card.hpp"

namespace slotwire::engine {
namespace {

void check_udp_link(const Config& config, const LinkConfig& link, const ReportProblem& report) {
  if (!config.listen.udp) {
    report("carrier",
           "is \"" + link.carrier + "\" but this node has no UDP carrier; set 'listen.udp', or use carrier = \"tcp\"");
  }
}

std::unique_ptr<Transport> open_udp(const TransportContext& context) {
  if (!context.config.listen.udp) return nullptr;
  // Where links choose their carrier, the port is theirs (transports/automatic).
  const auto& links = context.config.links;
  if (std::any_of(links.begin(), links.end(), [](const LinkConfig& link) { return link.carrier == "auto"; })) {
    return nullptr;
  }
  return std::make_unique<UdpTransport>(context);
}

}  // namespace

constinit const TransportKind kUdpTransport = {
    .name = "udp", .datagrams = true, .check_link = check_udp_link, .open = open_udp};

std::unique_ptr<carriers::UdpCarrier> open_udp_carrier(const TransportContext& context,
                                                       const carriers::Address& address) {
  carriers::UdpOptions options;
  options.bind = address;
  options.mtu = context.config.listen.mtu;
  options.ecn = context.config.congestion.ecn;
  // Room for several bursts, whatever the frame size.
  options.output_limit = std::max<std::size_t>(options.output_limit, 4 * driver::SoftMover::kBurst * options.mtu);
  options.max_links = std::size_t{context.config.limits.links} + 1;
  auto udp = std::make_unique<carriers::UdpCarrier>(options);
  context.log->info("carrier udp on {}: {}", udp->local_address().to_string(), udp->features());
  context.loop.add_waker(udp->fd());  // only wakes the loop, the card polls it
  return udp;
}

UdpTransport::UdpTransport(const TransportContext& context)
    : config_(context.config),
      carrier_(open_udp_carrier(context, address_of(*context.config.listen.udp))),
      sealed_(context, name(), *carrier_) {}

void UdpTransport::use_card(NodeCard& card, std::span<const LinkInfo> /*links*/) {
  card_ = &card;
}

void UdpTransport::fill_hello(const LinkInfo& link, const carriers::Address& /*peer*/, control::PeerHello& hello) {
  hello.udp_port = carrier_->local_address().port();
  const bool sealed = link.config->encryption != carriers::CipherSuite::none;
  hello.frame_lines = static_cast<std::uint16_t>(carrier_->lines_per_frame() - (sealed ? 1 : 0));
}

void UdpTransport::route(const LinkInfo& link, const control::PeerHello& hello, const carriers::Address& from) {
  const carriers::Address peer = data_address(link.udp, hello.udp_port, from);
  if (!peer.valid()) throw std::runtime_error("the peer's UDP address is not known (set udp in its [[link]])");
  const Route route{peer, hello.frame_lines, port_mismatch(link, hello)};
  const auto known = routed_.find(link.index);
  // One that congestion control holds down begins again at once: the peer is there.
  if (known != routed_.end() && known->second == route && card_->card().link_up(link.index)) return;
  // Where only the address is another one, the link stays as it is. With other frames it begins anew, keys included,
  // and a restart of the peer changes the keys anyway.
  const bool anew = known == routed_.end() || known->second.frame_lines != route.frame_lines;
  routed_.erase(link.index);
  carrier_->remove_link(link.index);
  if (anew) {
    sealed_.join(link, nullptr);
    card_->card().set_route(link.index, driver::OverCarrier{sealed_.carrier()}, link_figures(config_, link, hello));
  }
  carrier_->add_link(link.index, peer);
  routed_.emplace(link.index, route);
}

std::string UdpTransport::complaint(std::uint16_t link) const {
  const auto known = routed_.find(link);
  if (known == routed_.end()) return {};
  return join_complaints(known->second.mismatch, misfits_text(carrier_->misfits(link)));
}

void UdpTransport::shut_out(std::uint16_t link) {
  if (routed_.erase(link) != 0) carrier_->remove_link(link);
}

void UdpTransport::report(nlohmann::json& carriers) {
  carriers.push_back(carrier_report(sealed_.carrier().name(), sealed_.carrier().counters()));
}

}  // namespace slotwire::engine
