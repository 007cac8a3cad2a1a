// Links over kernel UDP, encrypted where the configuration says so.
#pragma once
#include <map>
#include <memory>

#include "runtime/engine/transports/sealed_links.hpp"
#include "runtime/engine/transports/transport.hpp"
#include "runtime/engine/transports/udp/udp_carrier_port.hpp"

namespace slotwire::engine {

extern const TransportKind kUdpTransport;

class UdpTransport final : public Transport {
 public:
  explicit UdpTransport(const TransportContext& context);

  std::string_view name() const override { return "udp"; }
  void use_card(NodeCard& card, std::span<const LinkInfo> links) override;
  void fill_hello(const LinkInfo& link, const carriers::Address& peer, control::PeerHello& hello) override;
  void route(const LinkInfo& link, const control::PeerHello& hello, const carriers::Address& from) override;
  carriers::LinkKeys* keys(std::uint16_t link) override { return sealed_.keys(link); }
  void wake_keys(std::uint16_t /*link*/) override { sealed_.wake(); }
  bool take_key_news() override { return sealed_.take_news(); }
  std::string complaint(std::uint16_t link) const override;
  int family() const override { return carrier_->local_address().family(); }
  void shut_out(std::uint16_t link) override;
  void report(nlohmann::json& carriers) override;

 private:
  const Config& config_;
  std::unique_ptr<carriers::UdpCarrier> carrier_;
  SealedLinks sealed_;
  NodeCard* card_ = nullptr;
  struct Route {
    carriers::Address peer;
    std::uint16_t frame_lines = 0;  ///< that the peer takes
    std::string mismatch;           ///< for complaint()
    bool operator==(const Route&) const = default;
  };
  std::map<std::uint16_t, Route> routed_;
};

}  // namespace slotwire::engine
