// Ports that spread received frames over their queues by a hash (RSS), where no rules can be had: which UDP ports lead
// to which queue.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/pipeline/ethernet.hpp"

struct rte_eth_conf;
struct rte_eth_dev_info;

namespace slotwire::carriers {

/// UDP ports, from the carrier's own on, among which one is looked for that leads to a queue. With the key that ports
/// are given every queue is reached; with a key of the port's own some may not be.
inline constexpr std::size_t kRssPorts = 256;
/// Bytes of the key that a hash over IPv4 and UDP uses: its input, and 32 bits more.
inline constexpr std::size_t kRssKeyBytes = 16;

/// The Toeplitz hash of a datagram as ports make it over IPv4 and UDP (addresses, then ports, as on the wire). `key`
/// has at least kRssKeyBytes.
std::uint32_t toeplitz(std::span<const std::uint8_t> key, const pipeline::Endpoint& from, const pipeline::Endpoint& to);

/// How a port spreads.
struct RssTable {
  std::vector<std::uint8_t> key;
  std::vector<std::uint16_t> queues;  ///< by the lowest bits of the hash; as many as a power of two

  /// The queue that a datagram arrives at.
  std::size_t queue_of(const pipeline::Endpoint& from, const pipeline::Endpoint& to) const;
  /// For each of `count` queues the first of the kRssPorts UDP ports from that of `own` on that leads there, for
  /// datagrams of `peer`. Empty: for one of them there is none.
  std::vector<std::uint16_t> ports(const pipeline::Endpoint& peer, const pipeline::Endpoint& own,
                                   std::size_t count) const;
};

/// The spreading of one port, with as many queues as it is set up with.
class RssSteering {
 public:
  explicit RssSteering(std::uint16_t port) : port_(port) {}
  /// Before the port is configured: asks for a hash over IPv4 and UDP with a key of ours. False when it has none.
  bool ask(const rte_eth_dev_info& info, rte_eth_conf& conf);
  /// After it was started: spreads over `queues` queues and reads back what the port says that it does. Empty when it
  /// does not say it, or does not do it.
  RssTable set_up(std::size_t queues);

 private:
  std::uint16_t port_;
  std::size_t table_entries_ = 0;
  std::vector<std::uint8_t> key_;
};

}  // namespace slotwire::carriers
