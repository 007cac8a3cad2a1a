#include "runtime/engine/transports/transport.hpp"

#include "core/carriers/frame_cipher.hpp"

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

pipeline::LinkParameters link_figures(const ProtocolConfig& protocol) {
  const auto us = [](std::chrono::microseconds t) { return static_cast<pipeline::Microseconds>(t.count()); };
  pipeline::LinkParameters config;
  config.retransmit_us = us(protocol.retransmit);
  config.retransmit_max_us = us(protocol.retransmit_max);
  config.ack_delay_us = us(protocol.ack_delay);
  return config;
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
          {"connects", c.connects},
          {"disconnects", c.disconnects}};
}

}  // namespace slotwire::engine
