#include "runtime/engine/config/congestion_values.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "runtime/engine/config/config.hpp"
#include "runtime/engine/config/http_values.hpp"

namespace slotwire::engine {
namespace {

using AddressBytes = std::array<unsigned char, sizeof(in6_addr)>;

/// The number of bytes that the address has; 0: it is none.
std::size_t address_bytes(const std::string& host, AddressBytes& bytes) {
  if (inet_pton(AF_INET, host.c_str(), bytes.data()) == 1) return sizeof(in_addr);
  return inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1 ? sizeof(in6_addr) : 0;
}

congestion::Kind kind_of(const Config& config, const LinkConfig& link) {
  return link.congestion.value_or(config.congestion.algorithm);
}

}  // namespace

bool network_has(const std::string& network, const std::string& host) {
  if (!valid_network(network)) return false;
  AddressBytes of_network{}, of_host{};
  const std::size_t slash = network.find('/');
  const std::size_t bytes = address_bytes(network.substr(0, slash), of_network);
  if (bytes == 0 || address_bytes(host, of_host) != bytes) return false;
  std::size_t bits = bytes * 8;
  if (slash != std::string::npos) std::from_chars(network.data() + slash + 1, network.data() + network.size(), bits);
  for (std::size_t bit = 0; bit < bits; ++bit) {
    const unsigned mask = 0x80U >> (bit % 8);
    if ((of_network[bit / 8] & mask) != (of_host[bit / 8] & mask)) return false;
  }
  return true;
}

namespace {

/// Whether a link over a carrier that shares its network decides by this algorithm; without such a link, the default.
bool is_used(const Config& config, congestion::Kind kind) {
  bool any = false;
  for (const LinkConfig& link : config.links) {
    const TransportKind* const transport = find_transport_kind(link.carrier);
    if (transport == nullptr || !transport->datagrams) continue;
    any = true;
    if (kind_of(config, link) == kind) return true;
  }
  return !any && config.congestion.algorithm == kind;
}

}  // namespace

void check_congestion(const Config& config, const std::function<bool(const std::string&)>& given,
                      const ReportProblem& report) {
  struct Of {
    const char* key;
    congestion::Kind kind;
    const char* name;
  };
  for (const Of& of : {Of{"congestion.rate", congestion::Kind::fixed, "fixed"},
                       Of{"congestion.dedicated", congestion::Kind::fixed, "fixed"},
                       Of{"congestion.target_delay", congestion::Kind::delay, "delay"}}) {
    if (!given(of.key) || is_used(config, of.kind)) continue;
    report(of.key, std::string("is given, but no link decides by \"") + of.name +
                       "\"; remove it, or set congestion.algorithm = \"" + of.name + "\", or congestion of a [[link]]");
  }
  for (const std::string& network : config.congestion.dedicated) {
    if (valid_network(network)) continue;
    report("congestion.dedicated", "has \"" + printable(network) +
                                       "\"; expected are addresses or networks, such as \"192.0.2.7\", "
                                       "\"10.0.0.0/8\" or \"2001:db8::/32\"");
  }
}

void check_link_congestion(const Config& config, const LinkConfig& link, const ReportProblem& report) {
  const TransportKind* const transport = find_transport_kind(link.carrier);
  const std::string key = "congestion";
  if (link.congestion && transport != nullptr && !transport->datagrams) {
    return report(key, "is given, but the link has carrier = \"" + link.carrier +
                           "\", where TCP decides; remove it, or use another carrier");
  }
  if (kind_of(config, link) != congestion::Kind::fixed || transport == nullptr || !transport->datagrams) return;
  const std::string why = "is \"fixed\", which is for dedicated paths alone, ";
  if (!link.udp) {
    report(key, why + "but the peer's address is not written; set 'udp' of the [[link]], or use another algorithm");
    return;
  }
  const auto& networks = config.congestion.dedicated;
  const auto has = [&](const std::string& network) { return network_has(network, link.udp->host); };
  if (std::any_of(networks.begin(), networks.end(), has)) return;
  report(key, why + "but the peer's address '" + link.udp->host +
                  "' is in no network of 'congestion.dedicated'; add its network there (numeric addresses only), or "
                  "use another algorithm");
}

congestion::Settings congestion_settings(const Config& config, const LinkConfig& link) {
  congestion::Settings settings;
  settings.kind = kind_of(config, link);
  settings.target_delay_us = static_cast<congestion::Microseconds>(config.congestion.target_delay.count());
  settings.rate_bits = std::uint64_t{config.congestion.rate} * 1'000'000;
  return settings;
}

}  // namespace slotwire::engine
