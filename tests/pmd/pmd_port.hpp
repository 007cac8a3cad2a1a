// A port of net_slotwire for tests, and frames.
#pragma once
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mbuf.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sim_card.hpp"

namespace slotwire::test {

inline constexpr std::string_view kPortMac = "02:00:00:00:00:07";
inline constexpr std::uint64_t kPortAddress = 0x0200'0000'0007, kStranger = 0x0200'0000'0008;

/// Starts EAL once, with the driver as its plugin. Throws std::runtime_error.
void start_eal();
/// What DPDK says of a driver or port that cannot be opened; empty: `arguments` opened one, which was closed again.
bool opens(const std::string& arguments);

struct PortOptions {
  std::uint16_t queues = 4;
  std::uint16_t mtu = 1500;
  std::uint64_t rx_offloads = 0, tx_offloads = 0;
  bool interrupts = false;
  bool tells_link = false;
  std::uint16_t buffer_bytes = 10'240;  ///< of a receive buffer
};

class PmdPort {
 public:
  /// Opens it, sets it up and starts it. Throws std::runtime_error.
  explicit PmdPort(const std::string& path, const PortOptions& options = {});
  ~PmdPort();
  PmdPort(const PmdPort&) = delete;
  PmdPort& operator=(const PmdPort&) = delete;

  std::uint16_t id() const { return id_; }
  rte_mempool* pool() const { return pool_; }
  rte_eth_stats stats() const;

  /// Frames that a queue has now.
  std::vector<rte_mbuf*> take(std::uint16_t queue, std::uint16_t most = 32) const;
  /// The next frame of a queue: waits for it. Null: none came in time.
  rte_mbuf* wait(std::uint16_t queue) const;
  /// Sends a frame in buffers of `part` bytes each. False: the port refuses it.
  bool send(const Frame& frame, std::uint16_t queue = 0, std::size_t part = 1 << 16,
            const std::function<void(rte_mbuf&)>& ask = {}) const;
  rte_flow* flow(const std::vector<rte_flow_item>& pattern, const std::vector<rte_flow_action>& actions,
                 std::uint32_t priority = 0);

  rte_flow_error error{};  ///< of the last flow

 private:
  void set_up(const PortOptions& options);
  void close();

  std::uint16_t id_ = 0;
  rte_mempool* pool_ = nullptr;
};

Frame bytes_of(const rte_mbuf* frame);

/// What a frame of a test is made of.
struct Maker {
  std::uint64_t to = kPortAddress;
  int vlan = -1;
  bool ipv6 = false;
  std::uint8_t protocol = 17;
  std::uint32_t src_ip = 0x0a00'0001, dst_ip = 0x0a00'0002;
  std::uint16_t src_port = 1000, dst_port = 2000;
  std::size_t payload = 30;
  std::uint32_t seed = 1;  ///< of the payload
};
/// A frame with right checksums.
Frame make(const Maker& maker);
/// Where its IP header stands, and the one behind.
std::size_t ip_at(const Maker& maker);
std::size_t l4_at(const Maker& maker);
/// The one's complement sum that right data have as 0xffff; for UDP and TCP with the pseudo header.
std::uint32_t ip_sum(const Maker& maker, const Frame& frame);
std::uint32_t l4_sum(const Maker& maker, const Frame& frame);

/// Runs `done` again and again until it is true. False: not in time.
bool until(const std::function<bool()>& done);

}  // namespace slotwire::test
