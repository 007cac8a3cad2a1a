#include "runtime/engine/transports/card/card_transport.hpp"

#include <algorithm>
#include <stdexcept>

#include "runtime/engine/cards/node_card.hpp"
#include "runtime/engine/transports/udp/udp_carrier_port.hpp"

namespace slotwire::engine {
namespace {

void check_node(const Config& config, const ReportProblem& report) {
  const CardConfig& c = config.card;
  if (c.kind() != driver::CardKind::software && !c.address) {
    report("card.address", "is missing although there is a card; give its IPv4 address and UDP port");
  }
  if (!c.chosen && !c.socket.empty() && !c.vfio_user.empty()) {
    report("card.kind", "is missing although there are 'card.socket' and 'card.vfio_user'; say which of them it is");
  }
  if (c.kind() == driver::CardKind::socket && c.socket.empty()) {
    report("card.kind",
           "is \"socket\" but 'card.socket' is missing; give the path of the socket of what serves the card");
  }
  if (c.kind() == driver::CardKind::vfio_user && c.vfio_user.empty()) {
    report("card.kind",
           "is \"vfio-user\" but 'card.vfio_user' is missing; give the path of the simulated card's socket");
  }
}

void check_card_link(const Config& config, const LinkConfig& link, const ReportProblem& report) {
  if (!config.card.address) {
    report("carrier", "is \"card\" but the card has no address; set 'card.address', or use carrier = \"udp\"");
  }
  if (link.encryption != carriers::CipherSuite::none) {
    const std::string suite(carriers::suite_name(link.encryption));
    report("encryption", (link.encryption_given ? "is \"" + suite + "\"" : "is \"" + suite + "\" because of [tls]") +
                             " but the link runs over a card, whose pipeline does not encrypt; use carrier = "
                             "\"udp\", \"dpdk\" or \"tcp\", or encryption = \"none\"");
  }
}

std::unique_ptr<Transport> open_card(const TransportContext& context) {
  if (!context.config.card.address) return nullptr;
  return std::make_unique<CardTransport>(context);
}

}  // namespace

constinit const TransportKind kCardTransport = {
    .name = "card", .datagrams = true, .check_node = check_node, .check_link = check_card_link, .open = open_card};

void CardTransport::use_card(NodeCard& card, std::span<const LinkInfo> /*links*/) {
  card_ = &card;
  const carriers::Address address = address_of(*context_.config.card.address);
  if (card.hardware_lines() == 0) {
    udp_ = open_udp_carrier(context_, address);
  } else {
    context_.log->info("carrier card on {}: up to {} lines a frame", address.to_string(), card.hardware_lines());
  }
}

void CardTransport::fill_hello(const LinkInfo& /*link*/, const carriers::Address& /*peer*/, control::PeerHello& hello) {
  hello.udp_port = context_.config.card.address->port;
  const std::size_t lines = udp_ ? udp_->lines_per_frame() : card_->hardware_lines();
  hello.frame_lines = static_cast<std::uint16_t>(std::min(lines, lines_in_mtu(context_.config.listen.mtu)));
}

void CardTransport::route_over_udp(std::uint16_t link, const Peer& peer) {
  card_->card().set_route(link, driver::OverCarrier{*udp_}, peer.figures);
  udp_->remove_link(link);
  udp_->add_link(link, peer.address);
}

void CardTransport::route(const LinkInfo& link, const control::PeerHello& hello, const carriers::Address& from) {
  const carriers::Address address = data_address(link.udp, hello.udp_port, from);
  if (!address.valid()) throw std::runtime_error("the peer's UDP address is not known (set udp in its [[link]])");
  const auto known = peers_.find(link.index);
  const pipeline::LinkParameters figures = link_figures(context_.config, link, hello);
  if (known != peers_.end() && known->second.address == address &&
      known->second.figures.lines_per_frame == figures.lines_per_frame) {
    return;
  }
  const Peer peer{address, figures, port_mismatch(link, hello)};
  if (udp_) {
    route_over_udp(link.index, peer);
  } else {
    card_->card().set_route(link.index, driver::OnCard{address}, figures);
  }
  peers_[link.index] = peer;
}

std::string CardTransport::complaint(std::uint16_t link) const {
  const auto known = peers_.find(link);
  if (known == peers_.end()) return {};
  const std::string misfits = udp_ ? misfits_text(udp_->misfits(link)) : std::string();
  return join_complaints(known->second.mismatch, misfits);
}

bool CardTransport::on_card_gone(std::string_view why) {
  const HostPort& address = *context_.config.card.address;
  try {
    udp_ = open_udp_carrier(context_, address_of(address));
  } catch (const std::exception& error) {
    if (wait_reason_ != error.what()) {
      wait_reason_ = error.what();
      context_.log->error(
          "the card stays away ({}) and its links cannot go over UDP: {}; they wait for the card, or for an interface "
          "with the address {}",
          why, error.what(), address.host);
    }
    return false;
  }
  context_.log->warn(
      "the card stays away ({}): its links go over UDP from now on, connections over it end; restart slotwired when "
      "the "
      "card is back",
      why);
  card_->replaced_by_software(why);
  for (const auto& [link, peer] : peers_) route_over_udp(link, peer);
  return true;
}

void CardTransport::report(nlohmann::json& carriers) {
  if (udp_) carriers.push_back(carrier_report(udp_->name(), udp_->counters()));
}

}  // namespace slotwire::engine
