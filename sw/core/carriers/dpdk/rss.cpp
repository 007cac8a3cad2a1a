#include "core/carriers/dpdk/rss.hpp"

#include <rte_ethdev.h>
#include <rte_thash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

namespace slotwire::carriers {
namespace {

/// The key that RSS was published with. Any would do: nobody is kept out by it.
constexpr std::array<std::uint8_t, 40> kKey{0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                            0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                            0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                            0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
constexpr std::size_t kMaxTable = 2048;  ///< entries; the largest of DPDK's drivers
constexpr std::size_t kMaxKey = 128;     ///< bytes

}  // namespace

std::uint32_t toeplitz(std::span<const std::uint8_t> key, const pipeline::Endpoint& from,
                       const pipeline::Endpoint& to) {
  std::array<std::uint32_t, 3> input{from.ip, to.ip, std::uint32_t{from.port} << 16 | to.port};
  static_assert(kRssKeyBytes == sizeof input + 4);
  alignas(4) std::array<std::uint8_t, kRssKeyBytes> bytes{};
  std::copy_n(key.begin(), bytes.size(), bytes.begin());
  return ::rte_softrss(input.data(), input.size(), bytes.data());
}

std::size_t RssTable::queue_of(const pipeline::Endpoint& from, const pipeline::Endpoint& to) const {
  return queues[toeplitz(key, from, to) & (queues.size() - 1)];
}

std::vector<std::uint16_t> RssTable::ports(const pipeline::Endpoint& peer, const pipeline::Endpoint& own,
                                           std::size_t count) const {
  std::vector<std::optional<std::uint16_t>> found(count);
  pipeline::Endpoint to = own;
  for (std::size_t i = 0, missing = count; i < kRssPorts && own.port + i <= 0xffff; ++i) {
    to.port = static_cast<std::uint16_t>(own.port + i);
    const std::size_t queue = queue_of(peer, to);
    if (queue >= count || found[queue]) continue;
    found[queue] = to.port;
    if (--missing == 0) break;
  }
  std::vector<std::uint16_t> ports;
  for (const auto& port : found) {
    if (!port) return {};
    ports.push_back(*port);
  }
  return ports;
}

bool RssSteering::ask(const rte_eth_dev_info& info, rte_eth_conf& conf) {
  table_entries_ = info.reta_size;
  const std::size_t key_bytes = info.hash_key_size == 0 ? kKey.size() : info.hash_key_size;  // drivers that do not say
  const bool able = (info.flow_type_rss_offloads & RTE_ETH_RSS_NONFRAG_IPV4_UDP) != 0 && key_bytes >= kRssKeyBytes &&
                    key_bytes <= kMaxKey && std::has_single_bit(table_entries_) && table_entries_ <= kMaxTable;
  if (!able) return false;
  key_.resize(key_bytes);
  for (std::size_t i = 0; i < key_.size(); ++i) key_[i] = kKey[i % kKey.size()];
  conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
  conf.rx_adv_conf.rss_conf.rss_key = key_.data();
  conf.rx_adv_conf.rss_conf.rss_key_len = static_cast<std::uint8_t>(key_.size());
  conf.rx_adv_conf.rss_conf.rss_hf = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
  return true;
}

RssTable RssSteering::set_up(std::size_t queues) {
  const auto entries = static_cast<std::uint16_t>(table_entries_);
  std::vector<rte_eth_rss_reta_entry64> table((table_entries_ + RTE_ETH_RETA_GROUP_SIZE - 1) / RTE_ETH_RETA_GROUP_SIZE);
  for (std::size_t i = 0; i < table_entries_; ++i) {
    auto& group = table[i / RTE_ETH_RETA_GROUP_SIZE];
    group.mask |= std::uint64_t{1} << i % RTE_ETH_RETA_GROUP_SIZE;
    group.reta[i % RTE_ETH_RETA_GROUP_SIZE] = static_cast<std::uint16_t>(i % queues);
  }
  // Whether or not it takes ours, what it has counts. Some cannot say their key: then ours was taken, or it would have
  // failed.
  ::rte_eth_dev_rss_reta_update(port_, table.data(), entries);
  if (::rte_eth_dev_rss_reta_query(port_, table.data(), entries) != 0) return {};
  RssTable result;
  std::vector<std::uint8_t> key(key_.size());
  rte_eth_rss_conf conf{};
  conf.rss_key = key.data();
  conf.rss_key_len = static_cast<std::uint8_t>(key.size());
  const bool said = ::rte_eth_dev_rss_hash_conf_get(port_, &conf) == 0;
  if (said && (conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_UDP) == 0) return {};
  const bool has_key = said && std::any_of(key.begin(), key.end(), [](std::uint8_t byte) { return byte != 0; });
  result.key = has_key ? key : key_;
  for (std::size_t i = 0; i < table_entries_; ++i)
    result.queues.push_back(table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE]);
  return result;
}

}  // namespace slotwire::carriers
