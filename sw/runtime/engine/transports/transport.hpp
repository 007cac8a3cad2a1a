// A transport: one way that links can take, from its configuration to its routes. The engine knows no other kind of it,
// and asks no object what it is.
//
// Adding one: a folder with a class, a TransportKind, and a line in registry.cpp.
#pragma once
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/carriers/link_keys.hpp"
#include "core/carriers/socket.hpp"
#include "core/carriers/tls.hpp"
#include "core/carriers/udp.hpp"
#include "core/pipeline/pipeline.hpp"
#include "driver/sharded/shard_worker.hpp"
#include "runtime/control/messages.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/config/transport_kind.hpp"
#include "runtime/engine/host/event_loop.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/transports/session_network.hpp"

namespace slotwire::engine {

class NodeCard;

/// What a transport is opened with. All of it outlives the transport.
struct TransportContext {
  const Config& config;
  EventLoop& loop;
  NodeLog& log;
  std::shared_ptr<const carriers::TlsContext> tls;  ///< null: no TLS
  std::uint64_t seed = 0;                           ///< of jitter
  SessionNetwork* sessions = nullptr;               ///< over HTTP; null: none
};

/// Data addresses of the peer that a route needs, where the configuration names hosts.
struct AddressNeeds {
  bool udp = false;
  bool tcp = false;
  bool must = true;  ///< without them there is no route
};

/// A link as a transport sees it: its number and its table in the configuration.
struct LinkInfo {
  std::uint16_t index = 0;
  const LinkConfig* config = nullptr;
  /// The data addresses of the configuration; invalid when it has none, or a name that is not looked up yet.
  carriers::Address udp, tcp;
};

/// One thread, the engine's.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual std::string_view name() const = 0;

  // --- set-up, in this order; each may throw std::exception with a text that says what to do ---

  /// Threads of its own that slots of its links are divided among; none: the engine's thread moves them.
  virtual std::vector<driver::WorkerPlace> workers() { return {}; }
  /// The card of the node. `links` are those of this transport. Before any slot is opened.
  virtual void use_card(NodeCard& card, std::span<const LinkInfo> links) = 0;
  /// Slots of an earlier life are taken up; links are about to be routed.
  virtual void start() {}

  // --- links ---

  /// Which addresses are looked up before route().
  virtual AddressNeeds needs(const LinkInfo& /*link*/) const { return {.udp = true}; }
  /// Family of the addresses that its links can go to; AF_UNSPEC: either.
  virtual int family() const { return AF_UNSPEC; }
  /// Puts into a hello what the peer needs for a route. `peer`: where frames will go, if that is known yet.
  virtual void fill_hello(const LinkInfo& link, const carriers::Address& peer, control::PeerHello& hello) = 0;
  /// Why the peer's hello does not fit this node's side of the link, as what follows "node 'a' "; empty: it fits.
  virtual std::string mismatch(const LinkInfo& link, const control::PeerHello& hello) const;
  /// Routes the link after a hello, or changes its route; does nothing when nothing changed. `from`: where the peer
  /// dials from, if it does. Throws std::exception saying why there can be no route.
  virtual void route(const LinkInfo& link, const control::PeerHello& hello, const carriers::Address& from) = 0;
  /// The keys of an encrypted link that is routed; null for others.
  virtual carriers::LinkKeys* keys(std::uint16_t /*link*/) { return nullptr; }
  /// The keys of the link changed: frames may flow now.
  virtual void wake_keys(std::uint16_t /*link*/) {}
  /// Some link's keys want to be looked at, since the last call.
  virtual bool take_key_news() { return false; }
  /// What is wrong with a link that seems to be up, for people: the frames that it sends or gets do not fit. Empty:
  /// nothing.
  virtual std::string complaint(std::uint16_t /*link*/) const { return {}; }
  /// What encrypts the link, for people: "none", a suite, "tls".
  virtual std::string encryption(const LinkInfo& link) const;
  /// The peer is not to be heard any more until it is routed again.
  virtual void shut_out(std::uint16_t link) { cut(link); }
  /// Drops the link's connection now, where there is one; it comes back by itself.
  virtual void cut(std::uint16_t /*link*/) {}
  /// A card of metal or of a simulation stays away. True: the transport has routed its links anew.
  virtual bool on_card_gone(std::string_view /*why*/) { return false; }

  /// Adds what is to be known of one link's path to its status.
  virtual void report_link(std::uint16_t /*link*/, nlohmann::json& /*status*/) const {}
  /// Appends what it counts to the list of carriers in the status.
  virtual void report(nlohmann::json& carriers) = 0;
};

/// Timers and congestion control of a link, from the configuration, and the most lines that the peer takes in a frame.
pipeline::LinkParameters link_figures(const Config& config, const LinkInfo& link, const control::PeerHello& hello);

/// Complaint about a link over UDP whose peer listens on another port than frames are sent to; else empty.
std::string port_mismatch(const LinkInfo& link, const control::PeerHello& hello);
/// Both complaints, as far as they are not empty.
std::string join_complaints(const std::string& first, const std::string& second);
/// Complaint about datagrams that could not be taken; else empty.
std::string misfits_text(const carriers::UdpCarrier::Misfits& misfits);

/// A configured address as the carriers take it. Throws std::runtime_error.
carriers::Address address_of(const HostPort& at);

/// Where frames of a link go: `configured`, else the host `from` with `port`; invalid when that is not known.
carriers::Address data_address(const carriers::Address& configured, std::uint16_t port, const carriers::Address& from);

/// The status of a carrier: its name and its counters.
nlohmann::json carrier_report(std::string_view name, const carriers::CarrierCounters& counters);

}  // namespace slotwire::engine
