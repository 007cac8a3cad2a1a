// One pair of queues of a port: what sends and receives the frames of links. The same for every queue.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/carriers/dpdk/bell.hpp"
#include "core/carriers/dpdk/gate.hpp"
#include "core/carriers/dpdk/link_board.hpp"
#include "core/carriers/dpdk/port.hpp"
#include "core/carriers/dpdk/spsc_ring.hpp"
#include "core/carriers/poller.hpp"
#include "core/pipeline/ethernet.hpp"

namespace slotwire::carriers {

/// Counts of one queue that others read. One thread writes.
struct alignas(64) QueueStats {
  std::atomic<std::uint64_t> rx_other{0}, handed_out{0}, handed_in{0}, hand_over_dropped{0};
};
inline void count_one(std::atomic<std::uint64_t>& counter) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

/// What the queues of a port share. The thread of queue 0 has the key of the gate and writes what is behind it while
/// the gate is closed and nobody is inside.
struct SharedPort {
  /// `options` are checked. Throws std::system_error.
  SharedPort(const DpdkOptions& options, std::size_t count);

  const std::size_t queues, max_links, output_frames;
  const bool has_kernel;  ///< queue 0 takes what is nobody's
  const std::uint16_t vlan;
  std::size_t lines = 0, frame_bytes = 0;  ///< of the largest frame

  // Behind the gate.
  Gate gate;
  Port* port = nullptr;
  std::vector<std::unique_ptr<Bell>> bells;  ///< by queue; none: the queue is polled without end
  pipeline::Endpoint own;
  std::uint16_t accepted_ports = 1;  ///< UDP ports from that of `own` on

  SpscRing<rte_mbuf*>& handed(std::size_t from, std::size_t to) noexcept { return *rings[from * queues + to]; }
  std::vector<std::unique_ptr<SpscRing<rte_mbuf*>>> rings;
  LinkBoard board;
  std::atomic<std::uint32_t> wire_changes{0};
  std::vector<Waker> wakers;
  std::vector<QueueStats> stats;
};

/// What becomes of frames that are no link's.
class OtherFrames {
 public:
  virtual ~OtherFrames() = default;
  /// False: nobody's. Links that come up by it do so before the next frame is looked at.
  virtual bool on_other(std::span<const std::byte> frame, std::uint64_t now_us, FrameSink& sink) = 0;
};

/// One thread.
class PortQueue {
 public:
  /// `others` takes ARP and what else is no link's; a queue without it hands ARP to queue 0.
  PortQueue(SharedPort& shared, std::size_t index, OtherFrames* others);
  ~PortQueue();
  PortQueue(const PortQueue&) = delete;
  PortQueue& operator=(const PortQueue&) = delete;

  /// Uses the port that is shared; inside the gate only.
  void attach() noexcept;
  /// Gives back what it has of the port. Does nothing when there is none.
  void detach() noexcept;
  bool attached() const noexcept { return port_ != nullptr; }

  // Links: known from set_link() to erase_link(), used while up.
  void set_link(std::uint16_t link, const pipeline::Endpoint& peer, const LinkPorts& ports);
  void set_up(std::uint16_t link, bool up) noexcept { links_[link].up = up; }
  void set_mac(std::uint16_t link, std::uint64_t mac) noexcept { links_[link].peer.mac = mac; }
  void erase_link(std::uint16_t link) noexcept;
  bool is_up(std::uint16_t link) const noexcept { return links_[link].up; }
  /// Whether a link has the address and port.
  bool has_peer(const pipeline::Endpoint& peer) const noexcept { return by_peer_.count(key_of(peer)) != 0; }

  // As of a Carrier.
  std::size_t room(std::uint16_t link) const noexcept;
  void send(std::span<const pipeline::TxFrame> frames);
  int fd() const noexcept { return poller_.fd(); }

  // The parts of a poll(), in this order.
  void begin() noexcept;
  std::size_t work(std::uint64_t now_us, std::size_t max_frames, FrameSink& sink);
  /// `deadline_us`: when the caller has something to do. `pending()`: whether somebody left it something to do.
  template <class Pending>
  void end(std::uint64_t now_us, std::optional<std::uint64_t> deadline_us, Pending pending) noexcept {
    if (looks_ && now_us >= look_us_) look_us_ = now_us + kLookUs;
    poller_.arm(now_us, earliest(earliest(deadline_us, retry_us_), looks_ ? std::optional(look_us_) : std::nullopt));
    if (busy()) return poller_.wake();
    if (shared_.queues > 1) {
      shared_.wakers[index_].fall_asleep();
      asleep_ = true;
      if ((attached() && has_handed()) || pending()) return poller_.wake();
    }
    poller_.clear_wake();
  }

  /// From here until the port was quiet for a while, fd() is readable and the bell mute.
  void stay_awake(std::uint64_t now_us) noexcept;
  void wake() noexcept { poller_.wake(); }
  Poller& poller() noexcept { return poller_; }
  /// A frame beside those of links: lost when the port is full, as it may be anywhere; then false. Needs the port.
  bool send_bytes(std::span<const std::byte> frame) noexcept;

  CarrierCounters& counters() noexcept { return counters_; }
  const CarrierCounters& counters() const noexcept { return counters_; }

 private:
  struct Link {
    bool up = false;
    pipeline::Endpoint peer;
    LinkPorts ports;
  };
  static std::uint64_t key_of(const pipeline::Endpoint& end) noexcept { return std::uint64_t{end.ip} << 16 | end.port; }
  static std::optional<std::uint64_t> earliest(std::optional<std::uint64_t> a,
                                               std::optional<std::uint64_t> b) noexcept {
    return a && b ? std::min(*a, *b) : a ? a : b;
  }

  /// Between two looks at a port whose bell may stay silent.
  static constexpr std::uint64_t kLookUs = 250'000;

  bool busy() const noexcept;
  bool has_handed() const noexcept;
  bool sendable(const pipeline::TxFrame& frame) const noexcept;
  bool in_place(const pipeline::TxFrame& frame) const noexcept;
  void fill(rte_mbuf& buffer, rte_mbuf* lines, const pipeline::TxFrame& frame) noexcept;
  void copy_waiting(std::size_t newest) noexcept;
  void flush() noexcept;
  void transmit() noexcept;
  bool fetch(std::uint64_t now_us, bool& answered) noexcept;
  rte_mbuf* next_handed() noexcept;
  void put_tag(rte_mbuf& buffer) const noexcept;
  bool take_tag(rte_mbuf& buffer) const noexcept;
  bool take(rte_mbuf* buffer, bool handed, std::uint64_t now_us, FrameSink& sink);
  void hand_over(rte_mbuf* buffer, std::size_t to) noexcept;
  void ring() noexcept;

  SharedPort& shared_;
  const std::size_t index_;
  OtherFrames* const others_;
  Poller poller_;
  Port* port_ = nullptr;
  Bell* bell_ = nullptr;
  std::vector<Link> links_;
  std::unordered_map<std::uint64_t, std::uint16_t> by_peer_;  ///< by address and port
  std::vector<rte_mbuf*> unsent_;                             ///< frames that the port had no room for, oldest first
  std::optional<std::uint64_t> retry_us_;
  std::array<rte_mbuf*, kDpdkBurst> received_{};
  std::size_t count_ = 0, next_ = 0;  ///< of received_: held, and the one to hand out
  bool awake_ = false;                ///< fd() is kept readable: own frames came not long ago, and the bell is mute
  std::uint64_t seen_us_ = 0;         ///< when the last of them came
  unsigned empty_polls_ = 0;
  bool looks_ = false;  ///< at look_us_, whether the bell rang or not
  std::uint64_t look_us_ = 0;
  bool asleep_ = false;        ///< others have to ring
  bool handed_first_ = false;  ///< each comes first in turn, so that none starves the other
  std::size_t next_ring_ = 0;  ///< the queue whose frames are looked for next
  std::uint32_t rung_ = 0;     ///< queues that something was handed to, a bit each
  CarrierCounters counters_;
};

}  // namespace slotwire::carriers
