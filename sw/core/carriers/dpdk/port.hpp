// One port of DPDK with its pairs of queues, and its packet memory.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/carriers/dpdk/dpdk.hpp"
#include "core/carriers/dpdk/lines_in_place.hpp"
#include "core/carriers/dpdk/rss.hpp"
#include "core/carriers/socket.hpp"
#include "core/pipeline/ethernet.hpp"

struct rte_mbuf;
struct rte_mempool;
struct rte_device;
struct rte_eth_conf;

namespace slotwire::carriers {

inline constexpr std::size_t kDpdkBurst = 64;  ///< frames in one receive or transmit call
/// Frames that may wait from one queue for one other, whose they are.
inline constexpr std::size_t kHandOverFrames = 256;

/// The value of `key` in the arguments of a virtual device ("net_x0,key=value,..."); empty: it is not there.
std::string device_argument(const std::string& device, const std::string& key);

/// Told by a thread of the driver's.
struct PortChange {
  Fd fd;
  std::atomic<bool> told{false}, down{false};
};

/// One thread, which is DPDK's main thread; receive(), allocate() and transmit() of a queue are for one thread each.
/// EAL runs.
class Port {
 public:
  /// Frames to `own` are steered to it by rules where the driver takes them. `interrupts`: with receive interrupts
  /// where the driver has them. Throws std::runtime_error.
  Port(const DpdkOptions& options, const pipeline::Endpoint& own, bool interrupts);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  std::uint16_t id() const noexcept { return id_; }
  /// Pairs of queues: as many as the options say, or as the port can.
  std::size_t queues() const noexcept { return queues_.size(); }
  std::uint64_t mac() const noexcept { return mac_; }
  const std::string& driver() const noexcept { return driver_; }
  /// Empty: no rule steers.
  std::string_view steering() const noexcept { return steering_; }
  /// How it spreads frames over its queues where no rules steer; no table: nobody knows.
  const RssTable& rss() const noexcept { return rss_; }
  /// The XDP socket of a port of net_af_xdp, which is the driver's; else -1.
  int xdp_socket() const noexcept { return xdp_socket_; }
  bool makes_checksums() const noexcept { return tx_checksum_; }
  bool checks_checksums() const noexcept { return rx_checksum_; }
  /// What happened to the wire since the last call; change_fd() is readable until then. Drivers that do not tell are
  /// silent, and their wire is taken to be up.
  struct Change {
    bool any = false;   ///< nothing else is set otherwise
    bool down = false;  ///< it was down for a time, or is
    bool up = false;    ///< it is up now
    bool lost = false;  ///< it will not come back before the port is closed and opened anew
  };
  Change changed() noexcept;
  bool wire_up() const noexcept;
  int change_fd() const noexcept { return change_.fd.get(); }

  /// At most out.size() frames; the caller, or any other thread, frees them. Two pools a queue: a frame that was
  /// received is never sent.
  std::size_t receive(std::size_t queue, std::span<rte_mbuf*> out) noexcept;
  /// Whether an interrupt may stay away though a frame is there: then it is looked for now and then.
  bool may_stay_silent() const noexcept;
  /// Empty buffers for frames to send: all or none.
  bool allocate(std::size_t queue, std::span<rte_mbuf*> out) noexcept;
  /// Payload from which on lines need not be copied, if allocate_lines() has a buffer for them; it is all or none, too.
  const LinesInPlace& in_place() const noexcept { return in_place_; }
  bool allocate_lines(std::size_t queue, std::span<rte_mbuf*> out) noexcept;
  /// Hands frames to the port, the first ones; returns how many it took. The others stay the caller's. `refused` counts
  /// those that the driver would never take; they are freed and among the returned.
  std::size_t transmit(std::size_t queue, std::span<rte_mbuf*> frames, std::size_t& refused) noexcept;

 private:
  struct Queue {
    rte_mempool* rx_pool = nullptr;
    rte_mempool* tx_pool = nullptr;
    rte_mempool* lines_pool = nullptr;  ///< none where lines are copied
  };
  void open(const DpdkOptions& options);
  void set_up_queues(const DpdkOptions& options, std::size_t buffer_bytes, const rte_eth_conf& conf);
  void steer(const pipeline::Endpoint& own, std::uint16_t vlan, bool isolated, RssSteering* rss);
  void configure(const DpdkOptions& options, const pipeline::Endpoint& own, bool interrupts);
  rte_mempool* make_pool(const char* direction, std::size_t queue, std::size_t buffers, std::size_t data_bytes);
  rte_mempool* make_lines_pool(std::size_t queue);
  void stop() noexcept;
  void close() noexcept;

  std::uint16_t id_ = 0;
  bool open_ = false, started_ = false, watched_ = false;
  PortChange change_;
  int xdp_socket_ = -1;
  bool tx_checksum_ = false, rx_checksum_ = false;
  std::uint64_t mac_ = 0;
  std::string driver_;
  std::string_view steering_;
  rte_device* device_ = nullptr;
  std::vector<Queue> queues_;
  RssTable rss_;
  LinesInPlace in_place_;
};

}  // namespace slotwire::carriers
