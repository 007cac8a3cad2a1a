// Links between simulated engines: frames over a network that loses, doubles, reorders and delays them, or over the
// best of several such networks.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/carriers/carrier.hpp"
#include "core/carriers/ladder.hpp"
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

/// What a wire is like: as UDP, TCP and HTTP differ for a link.
struct SimPath {
  const char* name = "sim";
  std::size_t lines = 20;  ///< of a frame
  /// It loses nothing but all at once, and is asked for longer before it counts as silent.
  bool connection = false;
  std::uint64_t patience_us = 0;
};
inline constexpr std::array<SimPath, 3> kSimPaths = {
    SimPath{"udp", 20, false, 300'000}, {"tcp", 100, true, 400'000}, {"http", 250, true, 1'000'000}};

/// One node's end of the wire, for one life of its engine.
class SimCarrier final : public carriers::Carrier {
 public:
  static constexpr std::size_t kRoom = 256;  ///< frames; a card needs room for a whole burst

  SimCarrier(SimWire& wire, std::uint16_t node, const SimPath& path) : wire_(wire), node_(node), path_(path) {}
  void add_link(std::uint16_t link) { link_ = link; }
  /// A ladder polls only what is readable: from now on it always is.
  void always_ready() { poller_.wake(); }

  std::string_view name() const override { return path_.name; }
  std::size_t lines_per_frame() const override { return path_.lines; }
  std::size_t room(std::uint16_t link) const override { return link == link_ && up_ && wire_.room(node_) ? kRoom : 0; }
  void send(std::span<const pipeline::TxFrame> frames) override;
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, carriers::FrameSink& sink) override;
  int fd() const override { return poller_.fd(); }
  const carriers::CarrierCounters& counters() const override { return counters_; }

 private:
  SimWire& wire_;
  std::uint16_t node_;
  SimPath path_;
  std::optional<std::uint16_t> link_;
  bool up_ = false;
  carriers::Poller poller_;
  carriers::CarrierCounters counters_;
};

/// The transport "sim". Adding it touches nothing but this folder: use_wires() puts it into the registry.
class SimTransport final : public engine::Transport {
 public:
  SimTransport(const engine::TransportContext& context, std::span<SimWire* const> wires, std::uint16_t node);

  /// Engines that this thread opens from now on have these wires: node "a" their ends 0, node "b" their ends 1. One:
  /// links go over it. As many as kSimPaths: links go over the best one that works. None: there is no such transport.
  static void use_wires(std::vector<SimWire*> wires);

  std::string_view name() const override { return "sim"; }
  void use_card(engine::NodeCard& card, std::span<const engine::LinkInfo> /*links*/) override { card_ = &card; }
  void fill_hello(const engine::LinkInfo&, const carriers::Address&, control::PeerHello&) override {}
  void route(const engine::LinkInfo& link, const control::PeerHello& hello, const carriers::Address& from) override;
  carriers::LinkKeys* keys(std::uint16_t link) override { return sealed_.keys(link); }
  void wake_keys(std::uint16_t /*link*/) override { sealed_.wake(); }
  bool take_key_news() override { return sealed_.take_news(); }
  void report(nlohmann::json& carriers) override {
    for (const auto& carrier : carriers_) {
      carriers.push_back(engine::carrier_report(carrier->name(), carrier->counters()));
    }
  }
  /// "path": which wire it goes over, "changes": how often that has changed.
  void report_link(std::uint16_t link, nlohmann::json& status) const override;

 private:
  carriers::Carrier& top() { return ladder_ ? static_cast<carriers::Carrier&>(*ladder_) : *carriers_.front(); }

  const engine::Config& config_;
  std::vector<std::unique_ptr<SimCarrier>> carriers_;
  std::unique_ptr<carriers::LadderCarrier> ladder_;  ///< of several
  engine::SealedLinks sealed_;
  engine::NodeCard* card_ = nullptr;
  std::set<std::uint16_t> routed_;
};

}  // namespace slotwire::sim
