// The registry of transports: a line for each.
#include <vector>

#include "runtime/engine/config/transport_kind.hpp"
#include "runtime/engine/transports/automatic/auto_transport.hpp"
#include "runtime/engine/transports/card/card_transport.hpp"
#include "runtime/engine/transports/dpdk/dpdk_transport.hpp"
#include "runtime/engine/transports/tcp/tcp_transport.hpp"
#include "runtime/engine/transports/udp/udp_transport.hpp"

namespace slotwire::engine {
namespace {

std::vector<TransportKind>& kinds() {
  static std::vector<TransportKind> all = {
      kUdpTransport, kTcpTransport, kCardTransport, kDpdkTransport, kAutoTransport,
  };
  return all;
}

}  // namespace

std::span<const TransportKind> transport_kinds() {
  return kinds();
}

const TransportKind* find_transport_kind(std::string_view name) {
  for (const TransportKind& kind : kinds()) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

void add_transport_kind(const TransportKind& kind) {
  kinds().push_back(kind);
}

}  // namespace slotwire::engine
