// The transports that a node has, opened from its configuration by the registry.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/carriers/loopback.hpp"
#include "runtime/engine/transports/transport.hpp"

namespace slotwire::engine {

class TransportSet {
 public:
  /// Opens every kind that the configuration has. Throws std::exception with what to do.
  explicit TransportSet(const TransportContext& context);

  /// Null when the node has no such transport.
  Transport* find(std::string_view name);
  std::span<const std::unique_ptr<Transport>> all() const { return transports_; }

  /// Threads that transports bring for the slots of their links.
  std::vector<driver::WorkerPlace> workers();
  /// Routes the link within the node, which strict pairs run over.
  void route_loopback(NodeCard& card, std::uint16_t link);
  bool take_key_news();
  bool on_card_gone(std::string_view why);
  /// The list of carriers in the status.
  nlohmann::json report();

 private:
  std::vector<std::unique_ptr<Transport>> transports_;
  carriers::LoopbackCarrier loopback_;
};

}  // namespace slotwire::engine
