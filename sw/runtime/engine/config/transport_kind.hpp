// The kinds of transports that a configuration may name: their checks, and how one is opened.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace slotwire::engine {

struct Config;
struct LinkConfig;
struct TransportContext;
class Transport;

/// Reports a contradiction: the key ("card.address"; for a link without its table: "carrier"), and what is wrong.
using ReportProblem = std::function<void(const std::string& key, const std::string& text)>;

/// A row of the registry.
struct TransportKind {
  std::string_view name;   ///< what link.carrier says
  bool datagrams = false;  ///< frames travel as datagrams: link.encryption protects them, not TLS
  /// Contradictions in what the configuration says of the transport itself; may be null.
  void (*check_node)(const Config& config, const ReportProblem& report) = nullptr;
  /// Contradictions in what it says of one link over it; may be null.
  void (*check_link)(const Config& config, const LinkConfig& link, const ReportProblem& report) = nullptr;
  /// Opens it; null when the configuration has none. Throws std::exception with what to do.
  std::unique_ptr<Transport> (*open)(const TransportContext& context) = nullptr;
};

/// All kinds, in the order in which their transports are opened and shown (transports/registry.cpp).
std::span<const TransportKind> transport_kinds();
/// The kind of that name, or null.
const TransportKind* find_transport_kind(std::string_view name);
/// Adds a kind, for programs with transports of their own; before a configuration is read. Not thread-safe.
void add_transport_kind(const TransportKind& kind);

}  // namespace slotwire::engine
