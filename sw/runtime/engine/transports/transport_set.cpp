#include "runtime/engine/transports/transport_set.hpp"

#include "runtime/engine/cards/node_card.hpp"

namespace slotwire::engine {

TransportSet::TransportSet(const TransportContext& context)
    : loopback_(carriers::LoopbackOptions{.max_links = std::size_t{context.config.limits.links} + 1}) {
  for (const TransportKind& kind : transport_kinds()) {
    if (std::unique_ptr<Transport> transport = kind.open(context)) transports_.push_back(std::move(transport));
  }
  context.loop.add_waker(loopback_.fd());  // only wakes the loop, the card polls it
}

Transport* TransportSet::find(std::string_view name) {
  for (const auto& transport : transports_) {
    if (transport->name() == name) return transport.get();
  }
  return nullptr;
}

std::vector<driver::WorkerPlace> TransportSet::workers() {
  std::vector<driver::WorkerPlace> places;
  for (const auto& transport : transports_) {
    for (driver::WorkerPlace& place : transport->workers()) places.push_back(std::move(place));
  }
  return places;
}

void TransportSet::route_loopback(NodeCard& card, std::uint16_t link) {
  card.card().set_route(link, driver::OverCarrier{loopback_}, pipeline::LinkParameters{});
  loopback_.add_link(link);
}

bool TransportSet::take_key_news() {
  bool news = false;
  for (const auto& transport : transports_) news = transport->take_key_news() || news;
  return news;
}

bool TransportSet::on_card_gone(std::string_view why) {
  bool routed = false;
  for (const auto& transport : transports_) routed = transport->on_card_gone(why) || routed;
  return routed;
}

nlohmann::json TransportSet::report() {
  nlohmann::json carriers = nlohmann::json::array();
  for (const auto& transport : transports_) transport->report(carriers);
  carriers.push_back(carrier_report(loopback_.name(), loopback_.counters()));
  return carriers;
}

}  // namespace slotwire::engine
