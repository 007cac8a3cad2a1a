#include "runtime/engine/transports/transport.hpp"

#include "core/carriers/frame_cipher.hpp"
#include "runtime/engine/config/congestion_values.hpp"

namespace slotwire::engine {

std::string Transport::mismatch(const LinkInfo& link, const control::PeerHello& hello) const {
  const std::string own(carriers::suite_name(link.config->encryption));
  if (hello.encryption == own) return {};
  return "has encryption = \"" + own + "\" for its link to node '" + link.config->peer + "', which has \"" +
         hello.encryption + "\" for it; set the same encryption in the [[link]] tables of both nodes";
}

std::string Transport::encryption(const LinkInfo& link) const {
  return std::string(carriers::suite_name(link.config->encryption));
}

pipeline::LinkParameters link_figures(const Config& node, const LinkInfo& link, const control::PeerHello& hello) {
  const ProtocolConfig& protocol = node.protocol;
  const auto us = [](std::chrono::microseconds t) { return static_cast<pipeline::Microseconds>(t.count()); };
  pipeline::LinkParameters config;
  config.retransmit_us = us(protocol.retransmit);
  config.retransmit_max_us = us(protocol.retransmit_max);
  config.ack_delay_us = us(protocol.ack_delay);
  config.congestion = congestion_settings(node, *link.config);
  const bool told = hello.frame_lines != 0 && hello.frame_lines <= pipeline::kMaxLinesPerFrame;
  config.lines_per_frame = told ? hello.frame_lines : std::uint16_t{pipeline::kMaxLinesPerFrame};
  return config;
}

std::string port_mismatch(const LinkInfo& link, const control::PeerHello& hello) {
  const std::optional<HostPort>& configured = link.config->udp;
  if (!configured || hello.udp_port == 0 || configured->port == hello.udp_port) return {};
  return "frames go to UDP port " + std::to_string(configured->port) +
         " ('udp' of the [[link]]), but the peer listens on " + std::to_string(hello.udp_port) +
         "; correct one of the two, unless something between the nodes forwards the port";
}

std::string join_complaints(const std::string& first, const std::string& second) {
  return first + (first.empty() || second.empty() ? "" : "; ") + second;
}

std::string misfits_text(const carriers::UdpCarrier::Misfits& misfits) {
  if (misfits.other_port != 0) {
    return std::to_string(misfits.other_port) + " datagrams came from the peer's host but from port " +
           std::to_string(misfits.last_port) +
           " and were discarded; set 'udp' of the [[link]] to where the peer sends from";
  }
  if (misfits.too_large != 0) {
    return std::to_string(misfits.too_large) +
           " frames were larger than 'listen.mtu' allows and were discarded; set the same mtu on both nodes";
  }
  return {};
}

carriers::Address address_of(const HostPort& at) {
  return carriers::Address::parse(to_string(at));
}

carriers::Address data_address(const carriers::Address& configured, std::uint16_t port, const carriers::Address& from) {
  if (configured.valid()) return configured;
  return from.valid() && port != 0 ? from.with_port(port) : carriers::Address();
}

nlohmann::json carrier_report(std::string_view name, const carriers::CarrierCounters& c) {
  return {{"carrier", name},
          {"tx_frames", c.tx_frames},
          {"tx_bytes", c.tx_bytes},
          {"tx_calls", c.tx_calls},
          {"tx_dropped", c.tx_dropped},
          {"rx_frames", c.rx_frames},
          {"rx_bytes", c.rx_bytes},
          {"rx_calls", c.rx_calls},
          {"rx_unknown_peer", c.rx_unknown_peer},
          {"rx_malformed", c.rx_malformed},
          {"rx_other_port", c.rx_other_port},
          {"rx_too_large", c.rx_too_large},
          {"rx_useless", c.rx_useless},
          {"rx_floods", c.rx_floods},
          {"connects", c.connects},
          {"disconnects", c.disconnects}};
}

}  // namespace slotwire::engine
