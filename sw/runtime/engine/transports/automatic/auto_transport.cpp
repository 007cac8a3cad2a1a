#include "runtime/engine/transports/automatic/auto_transport.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "driver/soft/soft_mover.hpp"
#include "runtime/engine/cards/node_card.hpp"
#include "runtime/engine/config/http_values.hpp"
#include "runtime/engine/transports/tcp/tcp_transport.hpp"
#include "runtime/engine/transports/udp/udp_carrier_port.hpp"

namespace slotwire::engine {
namespace {

constexpr std::array<std::string_view, 3> kNames{"udp", "tcp", "http"};
/// An answer over a connection may stand behind frames for a while.
constexpr std::uint64_t kDatagramPatienceUs = 300'000, kTcpPatienceUs = 400'000, kHttpPatienceUs = 1'000'000;

/// What a gate says of the next WebSocket is not believed beyond this.
constexpr std::uint64_t kMostRetryUs = 86'400'000'000;

/// Lines of a frame over HTTP: larger than a datagram's, since each frame is a packet to the gate and one from it.
constexpr std::size_t kHttpLines = 250;

static_assert(sizeof(carriers::Token) == control::kTokenBytes);

bool names(const std::vector<std::string>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

/// What this node has for the link, and may use.
unsigned available(const Config& config, const LinkConfig& link) {
  const std::array<bool, 3> there{config.listen.udp.has_value(), link.dial ? true : config.listen.tcp.has_value(),
                                  link.dial ? !link.http.empty() : config.listen.http.has_value()};
  unsigned ways = 0;
  for (std::size_t i = 0; i < there.size(); ++i) {
    if (there[i] && (link.carriers.empty() || names(link.carriers, kNames[i]))) ways |= 1U << i;
  }
  return ways;
}

void check_auto_link(const Config& config, const LinkConfig& link, const ReportProblem& report) {
  for (const std::string& carrier : link.carriers) {
    if (std::find(kNames.begin(), kNames.end(), carrier) == kNames.end()) {
      return report("carriers", "has \"" + carrier + "\"; expected are \"udp\", \"tcp\" and \"http\"");
    }
  }
  const unsigned ways = available(config, link);
  const std::array<std::string, 3> missing{
      "set 'listen.udp'", link.dial ? "" : "set 'listen.tcp'",
      link.dial ? "give 'http' with the URLs of the peer's server" : "set 'listen.http'"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (names(link.carriers, kNames[i]) && (ways >> i & 1U) == 0) {
      report("carriers", "has \"" + std::string(kNames[i]) + "\", which this node lacks; " + missing[i] +
                             ", or remove it from the list");
    }
  }
  if (ways == 0 && link.carriers.empty()) {
    report("carrier",
           "is \"auto\" but this node has no carrier for it; set 'listen.udp', 'listen.tcp' or 'listen.http'");
  }
  for (const LinkConfig& other : config.links) {
    if (other.carrier == "udp" || other.carrier == "tcp") {
      report("carrier", "is \"auto\" while the link to '" + other.peer + "' has \"" + other.carrier +
                            "\", and one port serves only one of the two; write carrier = \"auto\", carriers = [\"" +
                            other.carrier + "\"] there, which is the same on the wire");
      break;
    }
  }
  check_urls(link, report);
}

std::unique_ptr<Transport> open_auto(const TransportContext& context) {
  const auto& links = context.config.links;
  const bool wanted = std::any_of(links.begin(), links.end(),
                                  [](const LinkConfig& link) { return link.carrier == kAutoTransport.name; });
  if (!wanted) return nullptr;
  return std::make_unique<AutoTransport>(context);
}

std::string names_of(unsigned ways) {
  std::string text;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if ((ways >> i & 1U) == 0) continue;
    if (!text.empty()) text += ',';
    text += kNames[i];
  }
  return text;
}

unsigned ways_named(std::string_view text) {
  unsigned ways = 0;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      if (text.substr(0, comma) == kNames[i]) ways |= 1U << i;
    }
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return ways;
}

}  // namespace

constinit const TransportKind kAutoTransport = {
    .name = "auto", .datagrams = true, .check_node = check_http, .check_link = check_auto_link, .open = open_auto};

AutoTransport::AutoTransport(const TransportContext& context)
    : config_(context.config), loop_(context.loop), sessions_(context.sessions) {
  unsigned ways = 0;
  for (const LinkConfig& link : config_.links) {
    if (link.carrier == name()) ways |= available(config_, link);
  }
  const std::size_t max_links = std::size_t{config_.limits.links} + 1;
  const auto slow = static_cast<std::uint32_t>(config_.protocol.retransmit_max.count());
  std::vector<carriers::Rung> rungs;
  const auto add = [&](Way way, carriers::Carrier& carrier, std::uint64_t patience_us) {
    const auto index = static_cast<std::size_t>(way);
    rung_[index] = rungs.size();
    // What runs over a connection is not lost while it stands: an early timeout would only send again what waits.
    rungs.push_back({std::string(kNames[index]), &carrier, patience_us, way != Way::udp, way == Way::udp ? 0 : slow});
  };
  if ((ways & 1U << static_cast<unsigned>(Way::udp)) != 0) {
    udp_ = open_udp_carrier(context, address_of(*config_.listen.udp));
    add(Way::udp, *udp_, kDatagramPatienceUs);
  }
  if ((ways & 1U << static_cast<unsigned>(Way::tcp)) != 0) {
    carriers::TcpOptions options;
    options.node = config_.node.name;
    if (config_.listen.tcp) options.listen = address_of(*config_.listen.tcp);
    options.max_links = max_links;
    options.handshake_us = static_cast<std::uint64_t>(config_.limits.handshake.count());
    options.seed = context.seed;
    tcp_ = std::make_unique<carriers::TcpCarrier>(options);
    log_tcp_listener(context, *tcp_);
    add(Way::tcp, *tcp_, kTcpPatienceUs);
  }
  if ((ways & 1U << static_cast<unsigned>(Way::http)) != 0) {
    carriers::RelayedOptions options;
    options.name = "http";
    options.lines_per_frame = kHttpLines;
    // A link with less room than a burst is blocked.
    options.output_limit = 2 * driver::SoftMover::kBurst * (kHttpLines + 1) * regs::kLineBytes;
    options.max_links = max_links;
    http_ = std::make_unique<carriers::RelayedCarrier>(options);
    add(Way::http, *http_, kHttpPatienceUs);
  }
  carriers::LadderOptions options;
  options.max_links = max_links;
  ladder_ = std::make_unique<carriers::LadderCarrier>(std::string(name()), std::move(rungs), options);
  context.loop.add_waker(ladder_->fd());  // only wakes the loop, the card polls it
  sealed_ = std::make_unique<SealedLinks>(context, name(), *ladder_);
}

void AutoTransport::use_card(NodeCard& card, std::span<const LinkInfo> links) {
  card_ = &card;
  for (const LinkInfo& link : links) {
    Route& route = routes_[link.index];
    route.link = link;
    if (!link.config->dial) continue;
    if (!carriers::random_bytes(route.token)) throw std::runtime_error("the system has no random bytes for tokens");
    route.known = true;
  }
}

void AutoTransport::start() {
  if (!http_ || sessions_ == nullptr) return;
  sessions_->serve_sessions(*this);
  for (const auto& [index, route] : routes_) {
    if (route.link.config->dial && (own_ways(*route.link.config) >> static_cast<unsigned>(Way::http) & 1U) != 0) {
      sessions_->keep_session(*route.link.config, route.token);
    }
  }
}

unsigned AutoTransport::own_ways(const LinkConfig& link) const {
  return available(config_, link);
}

unsigned AutoTransport::rungs_of(unsigned ways) const {
  unsigned rungs = 0;
  for (std::size_t i = 0; i < kWays; ++i) {
    if ((ways >> i & 1U) != 0 && rung_[i]) rungs |= 1U << *rung_[i];
  }
  return rungs;
}

void AutoTransport::fill_hello(const LinkInfo& link, const carriers::Address& /*peer*/, control::PeerHello& hello) {
  const bool sealed = link.config->encryption != carriers::CipherSuite::none;
  if (udp_) {
    hello.udp_port = udp_->local_address().port();
    hello.frame_lines = static_cast<std::uint16_t>(udp_->lines_per_frame() - (sealed ? 1 : 0));
  }
  if (tcp_ && tcp_->local_address().valid()) hello.tcp_port = tcp_->local_address().port();
  const carriers::Token& token = routes_.at(link.index).token;
  if (link.config->dial) hello.token.assign(token.begin(), token.end());
  hello.paths = names_of(own_ways(*link.config));
}

std::string AutoTransport::mismatch(const LinkInfo& link, const control::PeerHello& hello) const {
  const std::string of_link = "for its link to node '" + link.config->peer + "'";
  if (hello.paths.empty()) {
    return "has carrier = \"auto\" " + of_link + ", which has another one; set carrier = \"auto\" on both nodes";
  }
  const unsigned own = own_ways(*link.config);
  if ((own & ways_named(hello.paths)) == 0) {
    return "has the carriers " + names_of(own) + " " + of_link + ", which has " + hello.paths +
           "; give both nodes one in common";
  }
  return Transport::mismatch(link, hello);
}

AddressNeeds AutoTransport::needs(const LinkInfo& link) const {
  const unsigned ways = own_ways(*link.config);
  return {.udp = (ways >> static_cast<unsigned>(Way::udp) & 1U) != 0,
          .tcp = link.config->dial && (ways >> static_cast<unsigned>(Way::tcp) & 1U) != 0,
          .must = ways != 0 && (ways >> static_cast<unsigned>(Way::http)) == 0};
}

void AutoTransport::route(const LinkInfo& link, const control::PeerHello& hello, const carriers::Address& from) {
  Route& route = routes_.at(link.index);
  route.link = link;
  carriers::Token token = route.token;
  if (!link.config->dial) {
    token = {};
    std::copy_n(hello.token.begin(), std::min(hello.token.size(), token.size()), token.begin());
  }
  const unsigned ways = own_ways(*link.config) & ways_named(hello.paths);
  if (route.routed && (ways != route.ways || token != route.token || hello.frame_lines != route.frame_lines))
    end(route);
  route.token = token;
  route.known = true;
  route.ways = ways;
  route.frame_lines = hello.frame_lines;
  if (!route.routed) begin(route, hello);
  route_udp(route, hello, from);
  route_tcp(route, hello, from);
}

void AutoTransport::begin(Route& route, const control::PeerHello& hello) {
  const std::uint16_t link = route.link.index;
  const bool sealed = route.link.config->encryption != carriers::CipherSuite::none;
  ladder_->remove_link(link);
  ladder_->add_link(link, rungs_of(route.ways));
  if (udp_ && hello.frame_lines != 0) {
    ladder_->limit_lines(link, rung(Way::udp), std::size_t{hello.frame_lines} + (sealed ? 1 : 0));
  }
  sealed_->join(route.link, nullptr);
  pipeline::LinkParameters figures = link_figures(config_, route.link, hello);
  figures.lines_per_frame = pipeline::kMaxLinesPerFrame;  // each carrier has its own limit
  card_->card().set_route(link, driver::OverCarrier{sealed_->carrier()}, figures);
  if ((rungs_of(route.ways) >> (http_ ? rung(Way::http) : kWays) & 1U) != 0) {
    http_->add_link(link);
    http_->explain(link, "no session yet");
  }
  route.routed = true;
}

void AutoTransport::end(Route& route) {
  const std::uint16_t link = route.link.index;
  if (!route.routed) return;
  if (udp_) udp_->remove_link(link);
  if (tcp_) tcp_->remove_link(link);
  if (http_) http_->remove_link(link);
  ladder_->remove_link(link);
  route.udp = route.tcp = carriers::Address();
  route.routed = false;
}

void AutoTransport::route_udp(Route& route, const control::PeerHello& hello, const carriers::Address& from) {
  if ((route.ways >> static_cast<unsigned>(Way::udp) & 1U) == 0) return;
  const carriers::Address peer = data_address(route.link.udp, hello.udp_port, from);
  route.mismatch = port_mismatch(route.link, hello);
  // Where the peer is stays as it was when a later hello does not say.
  if (!peer.valid() || peer == route.udp) return;
  udp_->remove_link(route.link.index);
  udp_->add_link(route.link.index, peer);
  ladder_->ask_anew(route.link.index, rung(Way::udp));
  route.udp = peer;
}

void AutoTransport::route_tcp(Route& route, const control::PeerHello& hello, const carriers::Address& from) {
  if ((route.ways >> static_cast<unsigned>(Way::tcp) & 1U) == 0) return;
  const bool dial = route.link.config->dial;
  const carriers::Address peer = dial ? data_address(route.link.tcp, hello.tcp_port, from) : carriers::Address();
  if (dial && (!peer.valid() || hello.tcp_port == 0)) return;
  if (dial ? peer == route.tcp : route.tcp.valid()) return;
  tcp_->remove_link(route.link.index);
  tcp_->add_link({route.link.index, route.link.config->peer, dial, peer, route.token});
  // Whoever is dialled has no address for it.
  route.tcp = dial ? peer : tcp_->local_address();
}

const AutoTransport::Route* AutoTransport::find(std::span<const std::byte> token) const {
  for (const auto& [index, route] : routes_) {
    const bool over_http = (route.ways >> static_cast<unsigned>(Way::http) & 1U) != 0;
    if (!route.known || !route.routed || !over_http || token.size() != route.token.size()) continue;
    if (CRYPTO_memcmp(token.data(), route.token.data(), token.size()) == 0) return &route;
  }
  return nullptr;
}

void AutoTransport::take_session(std::span<const std::byte> token, slot::Fd frames, const std::string& what) {
  if (const Route* const route = find(token)) {
    Route& taken = routes_.at(route->link.index);
    taken.trouble.clear();
    if (!taken.link.config->dial) taken.http_way.reset();  // whoever dials says it before
    http_->attach(route->link.index, std::move(frames), what);
  }
}

void AutoTransport::session_trouble(std::span<const std::byte> token, const std::string& why) {
  for (auto& [index, route] : routes_) {
    if (!route.known || !std::equal(token.begin(), token.end(), route.token.begin(), route.token.end())) continue;
    route.trouble = why;
    route.http_way.reset();  // the next session finds out anew
    if (route.routed) http_->explain(index, why);
  }
}

void AutoTransport::session_way(std::span<const std::byte> token, const control::GateSessionWay& way) {
  for (auto& [index, route] : routes_) {
    if (!route.known || !std::equal(token.begin(), token.end(), route.token.begin(), route.token.end())) continue;
    route.http_way = way;
    route.websocket_us = loop_.now_us() + std::min<std::uint64_t>(way.retry_us, kMostRetryUs);
  }
}

std::string AutoTransport::complaint(std::uint16_t link) const {
  const auto found = routes_.find(link);
  if (found == routes_.end() || !found->second.routed) return {};
  const carriers::LadderStatus status = ladder_->status(link);
  if (status.rung && *status.rung == 0) return {};
  return join_complaints(found->second.mismatch, udp_ ? misfits_text(udp_->misfits(link)) : std::string());
}

void AutoTransport::shut_out(std::uint16_t link) {
  const auto found = routes_.find(link);
  if (found != routes_.end()) end(found->second);
}

void AutoTransport::cut(std::uint16_t link) {
  const auto found = routes_.find(link);
  if (found == routes_.end() || !found->second.routed) return;
  if (tcp_) tcp_->cut(link);
  if (http_) http_->detach(link, "cut by request");
}

void AutoTransport::report(nlohmann::json& carriers) {
  for (const carriers::Rung& rung : ladder_->rungs()) {
    carriers.push_back(carrier_report(rung.name, rung.carrier->counters()));
  }
}

void AutoTransport::report_link(std::uint16_t link, nlohmann::json& status) const {
  const carriers::LadderStatus ladder = ladder_->status(link);
  const auto rungs = ladder_->rungs();
  const auto route = routes_.find(link);
  if (route != routes_.end() && !route->second.trouble.empty()) status["http_trouble"] = route->second.trouble;
  // Whoever is dialled hears nothing of a session that has ended.
  const bool there = route != routes_.end() && route->second.link.config != nullptr &&
                     (route->second.link.config->dial || (http_ && http_->attached(link)));
  if (there && route->second.http_way) {
    const control::GateSessionWay& way = *route->second.http_way;
    status["http_way"] = way.websocket ? "websocket" : "requests";
    if (!way.websocket && route->second.link.config->dial) {
      const std::uint64_t now = loop_.now_us();
      status["http_way_reason"] = way.why;
      status["websocket_retry_seconds"] = (std::max(now, route->second.websocket_us) - now) / 1'000'000;
    }
  } else if (route != routes_.end() && route->second.link.config != nullptr && route->second.link.config->dial &&
             !config_.http.websocket) {
    status["http_way"] = "requests";
    status["http_way_reason"] = "http.websocket is false";
  }
  status["path"] = ladder.rung ? rungs[*ladder.rung].name : std::string();
  status["path_seconds"] = ladder.rung ? (loop_.now_us() - ladder.since_us) / 1'000'000 : 0;
  status["path_changes"] = ladder.changes;
  nlohmann::json& paths = status["paths"] = nlohmann::json::array();
  for (std::size_t i = 0; i < ladder.rungs.size(); ++i) {
    const carriers::RungStatus& rung = ladder.rungs[i];
    if (!rung.allowed) continue;
    paths.push_back({{"path", rungs[i].name},
                     {"works", rung.works},
                     {"reason", rung.reason},
                     {"round_trip_us", rung.round_trip_us}});
  }
}

}  // namespace slotwire::engine
