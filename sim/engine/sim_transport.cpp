#include "sim/engine/sim_transport.hpp"

#include <iterator>
#include <memory>
#include <mutex>
#include <utility>

#include "core/pipeline/frame.hpp"
#include "runtime/engine/cards/node_card.hpp"

namespace slotwire::sim {
namespace {

thread_local std::vector<SimWire*> the_wires;

std::unique_ptr<engine::Transport> open(const engine::TransportContext& context) {
  if (the_wires.empty()) return nullptr;
  return std::make_unique<SimTransport>(context, the_wires, context.config.node.name == "a" ? 0 : 1);
}

std::vector<std::unique_ptr<SimCarrier>> make_carriers(std::span<SimWire* const> wires, std::uint16_t node) {
  std::vector<std::unique_ptr<SimCarrier>> made;
  for (std::size_t i = 0; i < wires.size(); ++i) {
    made.push_back(std::make_unique<SimCarrier>(*wires[i], node, wires.size() == 1 ? SimPath{} : kSimPaths.at(i)));
  }
  return made;
}

/// As the transport "auto" makes one.
std::unique_ptr<carriers::LadderCarrier> make_ladder(const engine::TransportContext& context,
                                                     const std::vector<std::unique_ptr<SimCarrier>>& made) {
  if (made.size() < 2) return nullptr;
  std::vector<carriers::Rung> rungs;
  const auto slow = static_cast<std::uint32_t>(context.config.protocol.retransmit_max.count());
  for (std::size_t i = 0; i < made.size(); ++i) {
    const SimPath& path = kSimPaths.at(i);
    made[i]->always_ready();
    rungs.push_back({path.name, made[i].get(), path.patience_us, path.connection, path.connection ? slow : 0});
  }
  carriers::LadderOptions options;
  options.max_links = std::size_t{context.config.limits.links} + 1;
  // The same seed gives the same run.
  options.random = [random = Random(context.seed)](std::span<std::byte> bytes) mutable {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(256));
    return true;
  };
  return std::make_unique<carriers::LadderCarrier>("sim", std::move(rungs), std::move(options));
}

}  // namespace

void SimTransport::use_wires(std::vector<SimWire*> wires) {
  static std::once_flag once;
  std::call_once(once, [] { engine::add_transport_kind({.name = "sim", .open = open}); });
  the_wires = std::move(wires);
}

SimTransport::SimTransport(const engine::TransportContext& context, std::span<SimWire* const> wires, std::uint16_t node)
    : config_(context.config),
      carriers_(make_carriers(wires, node)),
      ladder_(make_ladder(context, carriers_)),
      sealed_(context, name(), top()) {}

void SimTransport::report_link(std::uint16_t link, nlohmann::json& status) const {
  if (!ladder_) return;
  const carriers::LadderStatus ladder = ladder_->status(link);
  status["path"] = ladder.rung ? std::string(kSimPaths.at(*ladder.rung).name) : std::string();
  status["changes"] = ladder.changes;
}

void SimWire::set_up(bool up) {
  if (up_ && !up) {
    network_.drop_in_flight(0, 1);
    network_.drop_in_flight(1, 0);
    for (auto& inbox : inbox_) inbox.clear();
  }
  up_ = up;
}

std::optional<Bytes> SimWire::receive(std::uint16_t node) {
  while (std::optional<Arrival> arrival = network_.arrived(timeline_.now_us())) {
    inbox_[arrival->to].push_back(std::move(arrival->frame));
  }
  if (inbox_[node].empty()) return std::nullopt;
  Bytes frame = std::move(inbox_[node].front());
  inbox_[node].pop_front();
  return frame;
}

void SimCarrier::send(std::span<const pipeline::TxFrame> frames) {
  for (const pipeline::TxFrame& frame : frames) {
    if (!up_ || frame.link != link_) {
      ++counters_.tx_dropped;
      continue;
    }
    Bytes bytes(std::begin(frame.header), std::end(frame.header));
    bytes.insert(bytes.end(), frame.payload.begin(), frame.payload.end());
    wire_.send(node_, bytes);
    ++counters_.tx_frames;
  }
}

std::size_t SimCarrier::poll(std::uint64_t /*now_us*/, std::size_t max_frames, carriers::FrameSink& sink) {
  if (!link_) return 0;
  if (up_ != wire_.up()) {
    up_ = wire_.up();
    sink.on_link(*link_, up_, up_ ? "" : "the wire was cut");
  }
  std::size_t count = 0;
  while (up_ && count < max_frames) {
    const std::optional<Bytes> frame = wire_.receive(node_);
    if (!frame) break;
    sink.on_frame(*link_, *frame);
    ++count;
    ++counters_.rx_frames;
  }
  return count;
}

void SimTransport::route(const engine::LinkInfo& link, const control::PeerHello& hello,
                         const carriers::Address& /*from*/) {
  if (!routed_.insert(link.index).second) return;
  if (ladder_) ladder_->add_link(link.index, (1U << carriers_.size()) - 1);
  sealed_.join(link, nullptr);
  pipeline::LinkParameters figures = engine::link_figures(config_, link, hello);
  if (ladder_) figures.lines_per_frame = pipeline::kMaxLinesPerFrame;  // each wire has its own limit
  card_->card().set_route(link.index, driver::OverCarrier{sealed_.carrier()}, figures);
  for (const auto& carrier : carriers_) carrier->add_link(link.index);
}

}  // namespace slotwire::sim
