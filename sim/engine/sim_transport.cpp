#include "sim/engine/sim_transport.hpp"

#include <iterator>
#include <memory>
#include <mutex>
#include <utility>

#include "core/pipeline/frame.hpp"
#include "runtime/engine/cards/node_card.hpp"

namespace slotwire::sim {
namespace {

thread_local SimWire* the_wire = nullptr;

std::unique_ptr<engine::Transport> open(const engine::TransportContext& context) {
  if (the_wire == nullptr) return nullptr;
  return std::make_unique<SimTransport>(context, *the_wire, context.config.node.name == "a" ? 0 : 1);
}

}  // namespace

void SimTransport::use_wire(SimWire* wire) {
  static std::once_flag once;
  std::call_once(once, [] { engine::add_transport_kind({.name = "sim", .open = open}); });
  the_wire = wire;
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
  sealed_.join(link, nullptr);
  card_->card().set_route(link.index, driver::OverCarrier{sealed_.carrier()},
                          engine::link_figures(config_, link, hello));
  carrier_.add_link(link.index);
}

}  // namespace slotwire::sim
