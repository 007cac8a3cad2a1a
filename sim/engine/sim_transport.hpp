// Links between simulated engines: frames over a network that loses, doubles, reorders and delays them.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/carriers/carrier.hpp"
#include "core/carriers/poller.hpp"
#include "runtime/engine/transports/sealed_links.hpp"
#include "runtime/engine/transports/transport.hpp"
#include "sim/engine/sim_loop.hpp"
#include "sim/network.hpp"

namespace slotwire::sim {

/// Both directions between node 0 and node 1, for all lives of their engines.
class SimWire {
 public:
  SimWire(Timeline& timeline, Random& random) : timeline_(timeline), network_(2, random) {}

  Network& network() { return network_; }
  /// The carriers see their link go down, and what is on the way is lost.
  void set_up(bool up);
  bool up() const { return up_; }
  void send(std::uint16_t from, const Bytes& frame) {
    if (up_) network_.send(from, static_cast<std::uint16_t>(1 - from), frame, timeline_.now_us());
  }
  bool room(std::uint16_t from) const { return network_.room(from, static_cast<std::uint16_t>(1 - from)); }
  /// The next frame for `node` that has arrived.
  std::optional<Bytes> receive(std::uint16_t node);

 private:
  Timeline& timeline_;
  Network network_;
  bool up_ = true;
  std::deque<Bytes> inbox_[2];
};

/// One node's end of the wire, for one life of its engine.
class SimCarrier final : public carriers::Carrier {
 public:
  static constexpr std::size_t kLines = 20;
  static constexpr std::size_t kRoom = 256;  ///< frames; a card needs room for a whole burst

  SimCarrier(SimWire& wire, std::uint16_t node) : wire_(wire), node_(node) {}
  void add_link(std::uint16_t link) { link_ = link; }

  std::string_view name() const override { return "sim"; }
  std::size_t lines_per_frame() const override { return kLines; }
  std::size_t room(std::uint16_t link) const override { return link == link_ && up_ && wire_.room(node_) ? kRoom : 0; }
  void send(std::span<const pipeline::TxFrame> frames) override;
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, carriers::FrameSink& sink) override;
  int fd() const override { return poller_.fd(); }
  const carriers::CarrierCounters& counters() const override { return counters_; }

 private:
  SimWire& wire_;
  std::uint16_t node_;
  std::optional<std::uint16_t> link_;
  bool up_ = false;
  carriers::Poller poller_;
  carriers::CarrierCounters counters_;
};

/// The transport "sim". Adding it touches nothing but this folder: use_wire() puts it into the registry.
class SimTransport final : public engine::Transport {
 public:
  SimTransport(const engine::TransportContext& context, SimWire& wire, std::uint16_t node)
      : config_(context.config), carrier_(wire, node), sealed_(context, name(), carrier_) {}

  /// Engines that this thread opens from now on have `wire`: node "a" its end 0, node "b" its end 1.
  static void use_wire(SimWire* wire);

  std::string_view name() const override { return "sim"; }
  void use_card(engine::NodeCard& card, std::span<const engine::LinkInfo> /*links*/) override { card_ = &card; }
  void fill_hello(const engine::LinkInfo&, const carriers::Address&, control::PeerHello&) override {}
  void route(const engine::LinkInfo& link, const control::PeerHello& hello, const carriers::Address& from) override;
  carriers::LinkKeys* keys(std::uint16_t link) override { return sealed_.keys(link); }
  void wake_keys(std::uint16_t /*link*/) override { sealed_.wake(); }
  bool take_key_news() override { return sealed_.take_news(); }
  void report(nlohmann::json& carriers) override {
    carriers.push_back(engine::carrier_report(carrier_.name(), carrier_.counters()));
  }

 private:
  const engine::Config& config_;
  SimCarrier carrier_;
  engine::SealedLinks sealed_;
  engine::NodeCard* card_ = nullptr;
  std::set<std::uint16_t> routed_;
};

}  // namespace slotwire::sim
