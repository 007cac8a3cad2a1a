// Links that the card itself carries. Where the card is software, or stays away, they run over UDP: the same on the
// wire.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "core/carriers/udp.hpp"
#include "runtime/engine/transports/transport.hpp"

namespace slotwire::engine {

extern const TransportKind kCardTransport;

class CardTransport final : public Transport {
 public:
  explicit CardTransport(const TransportContext& context) : context_(context) {}

  std::string_view name() const override { return "card"; }
  void use_card(NodeCard& card, std::span<const LinkInfo> links) override;
  void fill_hello(const LinkInfo& link, const carriers::Address& peer, control::PeerHello& hello) override;
  void route(const LinkInfo& link, const control::PeerHello& hello, const carriers::Address& from) override;
  bool on_card_gone(std::string_view why) override;
  std::string complaint(std::uint16_t link) const override;
  int family() const override { return AF_INET; }
  void report(nlohmann::json& carriers) override;

 private:
  struct Peer {
    carriers::Address address;
    pipeline::LinkParameters figures;
    std::string mismatch;  ///< for complaint()
  };
  void route_over_udp(std::uint16_t link, const Peer& peer);

  TransportContext context_;
  NodeCard* card_ = nullptr;
  std::unique_ptr<carriers::UdpCarrier> udp_;  ///< where there is none, or none any more
  std::map<std::uint16_t, Peer> peers_;        ///< of links that are routed
  std::string wait_reason_;                    ///< what was logged of why a card that is away is waited for
};

}  // namespace slotwire::engine
