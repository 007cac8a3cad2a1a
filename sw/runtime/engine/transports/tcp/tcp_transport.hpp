// Links over TCP, with TLS 1.3 where [tls] is set.
#pragma once
#include <map>
#include <memory>

#include "core/carriers/tcp.hpp"
#include "runtime/engine/transports/transport.hpp"

namespace slotwire::engine {

extern const TransportKind kTcpTransport;

/// Some link runs over TCP.
bool needs_tcp(const Config& config);

/// Says in the log where a carrier takes connections, if it does.
void log_tcp_listener(const TransportContext& context, const carriers::TcpCarrier& carrier);

class TcpTransport final : public Transport {
 public:
  explicit TcpTransport(const TransportContext& context);

  std::string_view name() const override { return "tcp"; }
  void use_card(NodeCard& card, std::span<const LinkInfo> links) override;
  void fill_hello(const LinkInfo& link, const carriers::Address& peer, control::PeerHello& hello) override;
  /// TLS is there, or the connection would not be: nothing to compare.
  std::string mismatch(const LinkInfo&, const control::PeerHello&) const override { return {}; }
  AddressNeeds needs(const LinkInfo& link) const override { return {.tcp = link.config->dial}; }
  void route(const LinkInfo& link, const control::PeerHello& hello, const carriers::Address& from) override;
  std::string encryption(const LinkInfo&) const override { return tls_ ? "tls" : "none"; }
  void shut_out(std::uint16_t link) override;
  void cut(std::uint16_t link) override;
  void report(nlohmann::json& carriers) override;

 private:
  struct Route {
    carriers::Token token{};
    bool routed = false;
    carriers::Address peer;
  };

  const Config& config_;
  bool tls_;
  std::unique_ptr<carriers::TcpCarrier> carrier_;
  NodeCard* card_ = nullptr;
  std::map<std::uint16_t, Route> routes_;  ///< by link; what this node dials with is drawn at start
};

}  // namespace slotwire::engine
