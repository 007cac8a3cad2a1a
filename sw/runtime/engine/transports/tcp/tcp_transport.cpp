#include "runtime/engine/transports/tcp/tcp_transport.hpp"

#include <algorithm>
#include <random>
#include <stdexcept>

#include "runtime/engine/cards/node_card.hpp"

namespace slotwire::engine {
namespace {

static_assert(sizeof(carriers::Token) == control::kTokenBytes);

void check_tcp_link(const Config& config, const LinkConfig& link, const ReportProblem& report) {
  if (!link.dial && !config.listen.tcp) {
    report("carrier", "is \"tcp\" and the peer dials but nothing listens; set 'listen.tcp', or dial = true");
  }
}

/// Only where a link needs it: nothing that is not used listens, and the key of TLS stays with the gate.
std::unique_ptr<Transport> open_tcp(const TransportContext& context) {
  if (!needs_tcp(context.config)) return nullptr;
  return std::make_unique<TcpTransport>(context);
}

}  // namespace

bool needs_tcp(const Config& config) {
  return std::any_of(config.links.begin(), config.links.end(),
                     [](const LinkConfig& link) { return link.carrier == kTcpTransport.name; });
}

void log_tcp_listener(const TransportContext& context, const carriers::TcpCarrier& carrier) {
  const carriers::Address at = carrier.local_address();
  if (at.valid()) context.log->info("carrier tcp on {}", at.to_string());
}

constinit const TransportKind kTcpTransport = {.name = "tcp", .check_link = check_tcp_link, .open = open_tcp};

TcpTransport::TcpTransport(const TransportContext& context) : config_(context.config), tls_(context.tls != nullptr) {
  carriers::TcpOptions options;
  options.node = config_.node.name;
  if (config_.listen.tcp) options.listen = address_of(*config_.listen.tcp);
  options.tls = context.tls;
  options.max_links = std::size_t{config_.limits.links} + 1;
  options.handshake_us = static_cast<std::uint64_t>(config_.limits.handshake.count());
  options.seed = context.seed;
  carrier_ = std::make_unique<carriers::TcpCarrier>(options);
  log_tcp_listener(context, *carrier_);
  context.loop.add_waker(carrier_->fd());
}

void TcpTransport::use_card(NodeCard& card, std::span<const LinkInfo> links) {
  card_ = &card;
  std::random_device random;
  for (const LinkInfo& link : links) {
    Route& route = routes_[link.index];
    for (std::byte& b : route.token) b = static_cast<std::byte>(random());
  }
}

void TcpTransport::fill_hello(const LinkInfo& link, const carriers::Address& /*peer*/, control::PeerHello& hello) {
  if (carrier_->local_address().valid()) hello.tcp_port = carrier_->local_address().port();
  const carriers::Token& token = routes_.at(link.index).token;
  if (link.config->dial) hello.token.assign(token.begin(), token.end());
}

void TcpTransport::route(const LinkInfo& link, const control::PeerHello& hello, const carriers::Address& from) {
  Route& route = routes_.at(link.index);
  carriers::Token token = route.token;
  if (!link.config->dial) {
    token = {};
    std::copy_n(hello.token.begin(), std::min(hello.token.size(), token.size()), token.begin());
  }
  const carriers::Address peer = link.config->dial ? data_address(link.tcp, hello.tcp_port, from) : carriers::Address();
  if (route.routed && token == route.token && peer == route.peer) return;
  if (route.routed) carrier_->remove_link(link.index);
  route.routed = false;
  if (link.config->dial && !peer.valid()) {
    throw std::runtime_error("the peer's TCP address is not known (set tcp in its [[link]])");
  }
  pipeline::LinkParameters figures = link_figures(config_, link, hello);
  // TCP loses nothing while it stands, and link_up() goes back when it broke: an early timeout would only send again
  // what waits in its buffers.
  figures.retransmit_us = figures.retransmit_max_us;
  card_->card().set_route(link.index, driver::OverCarrier{*carrier_}, figures);
  carrier_->add_link({link.index, link.config->peer, link.config->dial, peer, token});
  route.token = token;
  route.peer = peer;
  route.routed = true;
}

void TcpTransport::shut_out(std::uint16_t link) {
  const auto found = routes_.find(link);
  if (found == routes_.end() || !found->second.routed) return;
  carrier_->remove_link(link);
  found->second.routed = false;
}

void TcpTransport::cut(std::uint16_t link) {
  const auto found = routes_.find(link);
  if (found != routes_.end() && found->second.routed) carrier_->cut(link);
}

void TcpTransport::report(nlohmann::json& carriers) {
  carriers.push_back(carrier_report(carrier_->name(), carrier_->counters()));
}

}  // namespace slotwire::engine
