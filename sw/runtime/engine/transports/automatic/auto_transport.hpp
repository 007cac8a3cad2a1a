// Links that choose their carrier themselves: datagrams, else TCP, else HTTP, and change it while they live.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/carriers/ladder.hpp"
#include "core/carriers/relayed.hpp"
#include "core/carriers/tcp.hpp"
#include "core/carriers/udp.hpp"
#include "runtime/engine/transports/sealed_links.hpp"
#include "runtime/engine/transports/transport.hpp"

namespace slotwire::engine {

extern const TransportKind kAutoTransport;

/// Sealing stands above the choice, so one set of keys serves whatever a link takes, and no TLS is needed below.
class AutoTransport final : public Transport, private SessionOwner {
 public:
  explicit AutoTransport(const TransportContext& context);

  std::string_view name() const override { return "auto"; }
  void use_card(NodeCard& card, std::span<const LinkInfo> links) override;
  void start() override;
  void fill_hello(const LinkInfo& link, const carriers::Address& peer, control::PeerHello& hello) override;
  std::string mismatch(const LinkInfo& link, const control::PeerHello& hello) const override;
  AddressNeeds needs(const LinkInfo& link) const override;
  void route(const LinkInfo& link, const control::PeerHello& hello, const carriers::Address& from) override;
  carriers::LinkKeys* keys(std::uint16_t link) override { return sealed_->keys(link); }
  void wake_keys(std::uint16_t /*link*/) override { sealed_->wake(); }
  bool take_key_news() override { return sealed_->take_news(); }
  std::string complaint(std::uint16_t link) const override;
  int family() const override { return udp_ ? udp_->local_address().family() : AF_UNSPEC; }
  void shut_out(std::uint16_t link) override;
  void cut(std::uint16_t link) override;
  void report(nlohmann::json& carriers) override;
  void report_link(std::uint16_t link, nlohmann::json& status) const override;

 private:
  enum class Way : std::uint8_t { udp, tcp, http };
  static constexpr std::size_t kWays = 3;

  struct Route {
    carriers::Token token{};
    bool known = false;  ///< the token holds: it is of this node, or the peer has said it
    bool routed = false;
    unsigned ways = 0;              ///< that both nodes have, by Way
    std::uint16_t frame_lines = 0;  ///< that the peer takes in datagrams
    carriers::Address udp, tcp;     ///< of the peer
    std::string mismatch;           ///< for complaint()
    std::string trouble;            ///< why its session over HTTP is not up; empty: it is, or none is wanted
    /// How its session over HTTP travels; none: it is not known yet, or the peer keeps the session.
    std::optional<control::GateSessionWay> http_way;
    std::uint64_t websocket_us = 0;  ///< when a WebSocket is tried again
    LinkInfo link;
  };

  bool has(Way way) const { return rung_[static_cast<std::size_t>(way)].has_value(); }
  std::size_t rung(Way way) const { return *rung_[static_cast<std::size_t>(way)]; }
  unsigned own_ways(const LinkConfig& link) const;
  unsigned rungs_of(unsigned ways) const;
  void begin(Route& route, const control::PeerHello& hello);
  void end(Route& route);
  void route_udp(Route& route, const control::PeerHello& hello, const carriers::Address& from);
  void route_tcp(Route& route, const control::PeerHello& hello, const carriers::Address& from);
  bool wants_session(std::span<const std::byte> token) const override { return find(token) != nullptr; }
  void take_session(std::span<const std::byte> token, slot::Fd frames, const std::string& what) override;
  void session_trouble(std::span<const std::byte> token, const std::string& why) override;
  void session_way(std::span<const std::byte> token, const control::GateSessionWay& way) override;
  /// The routed link of that token that may go over HTTP.
  const Route* find(std::span<const std::byte> token) const;

  const Config& config_;
  EventLoop& loop_;
  SessionNetwork* sessions_;
  std::unique_ptr<carriers::UdpCarrier> udp_;
  std::unique_ptr<carriers::TcpCarrier> tcp_;
  std::unique_ptr<carriers::RelayedCarrier> http_;
  std::optional<std::size_t> rung_[kWays];
  std::unique_ptr<carriers::LadderCarrier> ladder_;
  std::unique_ptr<SealedLinks> sealed_;
  NodeCard* card_ = nullptr;
  std::map<std::uint16_t, Route> routes_;
};

}  // namespace slotwire::engine
